"""The OpenCL backend, on whichever device there is; PoCL's wheel brings one."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight._dtypes import float32

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen import Reduction  # noqa: E402
from rushlight.backend.codegen.reduction import _sum  # noqa: E402


def on(array):
    return rl.tensor(array, device="opencl")


def back(x):
    return x.cpu().numpy()


def test_values_survive_the_way_there_and_back() -> None:
    for dtype in ("bool", "uint8", "int16", "int64", "float16", "bfloat16", "float32"):
        x = rl.arange(6).reshape(2, 3).to(getattr(rl, dtype))
        assert (x.to("opencl").cpu() == x).all()


@pytest.mark.parametrize("layout", ["dense", "transposed", "broadcast", "sliced", "five"])
def test_operands_of_any_layout(layout: str) -> None:
    generator = np.random.default_rng(0)
    a = generator.standard_normal((6, 4)).astype(np.float32)
    b = generator.standard_normal((6, 4)).astype(np.float32)
    x, y = on(a), on(b)
    if layout == "transposed":
        x, a = x.t(), a.T
        y, b = on(b.T.copy()), b.T
    elif layout == "broadcast":
        y, b = y[:1], b[:1]
    elif layout == "sliced":
        x, y, a, b = x[1:, ::2], y[:5, 1::2], a[1:, ::2], b[:5, 1::2]
    elif layout == "five":
        a = generator.standard_normal((2, 3, 2, 3, 2)).astype(np.float32)
        x, a = on(a).permute(4, 2, 0, 1, 3), a.transpose(4, 2, 0, 1, 3)
        y, b = y[0, 0], b[0, 0]
    np.testing.assert_array_equal(back(x + y), a + b)


def test_numbers_are_arguments_and_become_memory_when_written() -> None:
    x = on(2.0)
    assert (on([1.0, 2.0]) * x).tolist() == [2.0, 4.0]
    x.fill_(3.0)
    assert (on([1.0, 2.0]) * x).tolist() == [3.0, 6.0]


def test_functions_keep_special_values() -> None:
    x = on([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.9, -104.5])
    for name in ("exp", "log1p", "tanh", "expm1"):
        ours = back(getattr(rl, name)(x))
        with np.errstate(all="ignore"):
            theirs = getattr(np, name)(back(x).astype(np.float64)).astype(np.float32)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-44, err_msg=name)
        np.testing.assert_array_equal(np.signbit(ours[:2]), np.signbit(theirs[:2]), err_msg=name)


def test_own_functions_are_accurate() -> None:
    x = np.linspace(-87, 88, 20001).astype(np.float32)
    for name, a in {
        "exp": x,
        "tanh": x / 8,
        "log": np.exp(x),
        "expm1": x,
        "log1p": np.exp(x),
    }.items():
        ours = back(getattr(rl, name)(on(a)))
        with np.errstate(all="ignore"):
            theirs = getattr(np, name)(a.astype(np.float64))
        error = np.abs(ours - theirs) / np.spacing(np.abs(theirs).astype(np.float32))
        assert error.max() < 3, (name, error.max())


def test_division_of_whole_numbers_by_zero_raises() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        on([1, 2]) // on([1, 0])
    assert (on([7, -7]) // 2).tolist() == [3, -4]
    assert (on([7, -7]) % 3).tolist() == [1, 2]


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
@pytest.mark.parametrize("shape", [(3, 5), (1, 20000), (300, 33), (70, 4100)])
def test_sums_in_both_flavours(flavour: str, shape: tuple[int, int], monkeypatch) -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(device, "flavour", flavour)
    total = Reduction(device, f"sum_{flavour}", float32, _sum(device, float32))
    a = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    x = device.from_host(a)
    for dim in ((0,), (1,), (0, 1)):
        np.testing.assert_allclose(
            device.to_host(total(x, dim, False)), a.sum(dim, dtype=np.float64), rtol=1e-4, atol=1e-3
        )


def test_extremes_and_positions_with_nan() -> None:
    a = np.array([[1.0, np.nan, 3.0], [4.0, 4.0, -1.0]], np.float32)
    x = on(a)
    np.testing.assert_array_equal(back(x.amax(1)), [np.nan, 4])
    assert x.argmax(1).tolist() == [1, 0]
    assert x.argmin(1).tolist() == [1, 2]
    assert x.argmax().item() == 1


def test_out_of_memory_says_how_much_and_where() -> None:
    with pytest.raises(MemoryError, match=r"opencl:0.*no memory for \d+ bytes"):
        rl.empty(1 << 60, dtype=rl.uint8, device="opencl")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(RuntimeError, match="opencl:99"):
        rl.ones(1, device="opencl:99")


def test_a_kernel_that_does_not_compile_shows_its_line() -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    with pytest.raises(
        RuntimeError, match=r"compiler refused a kernel: .*nowhere[\s\S]*line 1: kernel void"
    ):
        device.compile("kernel void broken(global int* x) { x[0] = nowhere; }", {"broken": "p"})


def test_faults_become_exceptions_with_the_line_and_the_device_stays_usable() -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    text = device.dialect.header + (
        "kernel void check(global long* faults, const int slot) { report(faults, slot, 17); }"
    )
    launch = device.compile(text, {"check": "p i32"})["check"]
    buffer, slot = device.fault("take", "index {value} is out of range", IndexError)
    launch((1,), None, buffer, slot)
    with pytest.raises(IndexError, match=r"index 17 is out of range[\s\S]*test_opencl_kernels"):
        device.synchronize()
    assert (on([1.0]) + 1).tolist() == [2.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_told_instead_of_hanging() -> None:
    program = """
import os, sys, rushlight as rl
x = rl.ones(3, device="opencl")
(x + x).tolist()
child = os.fork()
if not child:
    try:
        x + x
    except RuntimeError as raised:
        os._exit(0 if "forked" in str(raised) else 2)
    os._exit(3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_float64_can_be_hidden() -> None:
    program = """
import rushlight as rl
x = rl.ones(3, device="opencl")
assert x.lgamma().tolist() == [0.0] * 3
try:
    x.double()
except TypeError as raised:
    assert "float64" in str(raised)
else:
    raise SystemExit("no error")
"""
    environment = {**os.environ, "RUSHLIGHT_OPENCL_FLOAT64": "0"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=environment)


def test_memory_is_counted() -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    before = device.memory_stats()["allocated"]
    x = rl.ones(1 << 20, device="opencl")
    assert device.memory_stats()["allocated"] >= before + (4 << 20)
    del x
    device.empty_cache()


def test_attributes_that_are_constants_of_the_kernel() -> None:
    x = on([np.nan, np.inf, -np.inf, 2.0])
    assert x.nan_to_num(nan=1.0, posinf=5.0, neginf=-5.0).tolist() == [1.0, 5.0, -5.0, 2.0]


def test_drivers_of_pip_are_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    from rushlight_opencl import platforms

    folder = Path("/site/lib")
    names = {
        "pocl-binary-distribution": ["pocl.icd", "libpocl-6a1b.so.2.9.0"],
        "intel-opencl-rt": [
            "__pycache__/libintelocl.so-gdb.cpython-311.pyc", "libintelocl.so-gdb.py",
            "libintelocl.so", "libintelocl_emu.so",
        ],
    }  # fmt: skip
    monkeypatch.setattr(
        platforms.importlib.metadata,
        "files",
        lambda name: [Listed(folder / each) for each in names[name]],
    )
    assert platforms.packaged_drivers() == [
        "/site/lib/libpocl-6a1b.so.2.9.0", "/site/lib/libintelocl.so",
    ]  # fmt: skip


class Listed:
    """A file as `importlib.metadata` lists it."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    def locate(self) -> Path:
        return self.path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("dim", [0, 1, (0, 2), None])
def test_means_and_variances(dtype: str, dim: Any) -> None:
    x = rl.randn(4, 5, 6).to(getattr(rl, dtype))
    y = x.to("opencl")
    units = {"float32": 4e-7, "float16": 1e-3, "bfloat16": 8e-3, "complex64": 4e-7}[dtype]
    for name in ("mean", "var", "std"):
        found, expected = (getattr(rl, name)(z, dim=dim, keepdim=True).cpu() for z in (y, x))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        wide = rl.complex128 if found.is_complex() else rl.float64
        np.testing.assert_allclose(found.to(wide), expected.to(wide), rtol=units, atol=units)


def test_means_and_variances_at_the_ends() -> None:
    assert rl.full((99,), 49984.0, dtype=rl.float16, device="opencl").mean() == 49984.0
    equal = rl.tensor(1234.5678, device="opencl").expand(3, 7)
    assert equal.var(0).tolist() == [0.0] * 7
    assert equal.var().item() == 0.0
    assert np.isnan(rl.zeros(0, 3, device="opencl").mean(0).tolist()).all()
    assert np.isnan(rl.ones(1, device="opencl").var().item())
    assert rl.tensor([float("inf"), 1.0], device="opencl").mean().item() == float("inf")


def test_attributes_do_not_widen_16_bits() -> None:
    x = rl.ones(3, dtype=rl.float16, device="opencl")
    assert rl.lerp(x, 2 * x, 0.25).dtype is rl.float16


def test_truth_values_are_written_as_numbers() -> None:
    x = rl.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], device="opencl").t()
    assert x.logical_not_().tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "abc"),
        ("1", "b"),
        ("7", ""),
        ("intel", "b"),
        ("pocl", "a"),
        ("xeon", "ab"),
        ("radeon", "c"),
    ],
)
def test_devices_are_chosen_by_number_platform_or_name(wanted: str, found: str) -> None:
    from rushlight_opencl.platforms import chosen

    def device(key: str, platform: str, version: str, name: str) -> SimpleNamespace:
        of = SimpleNamespace(name=platform, version=version)
        return SimpleNamespace(key=key, name=name, platform=of)

    devices = [
        device(
            "a", "Portable Computing Language", "OpenCL 3.0 PoCL 3.0", "pthread-Intel(R) Xeon(R)"
        ),
        device("b", "Intel(R) OpenCL", "OpenCL 3.1 LINUX", "Intel(R) Xeon(R)"),
        device("c", "AMD", "OpenCL 2.0", "Radeon"),
    ]
    assert "".join(d.key for d in chosen(devices, wanted)) == found
