"""The native kernels: choice of the tier, operands of every kind, threads, forks and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend

NUMPY = make_backend("cpu_plain", _native.Tier(None))
TYPES = {np.dtype(np.float32): rushlight.float32, np.dtype(np.float64): rushlight.float64}
FLOATS = list(TYPES)
TYPES[np.dtype(np.bool_)] = rushlight.bool


def built() -> list[str]:
    """The variants that this machine has and runs."""
    found = []
    for variant in _native.VARIANTS:
        try:
            _native.load(variant)
        except ImportError:
            continue
        found.append(variant)
    return found


BUILT = built()
needs_native = pytest.mark.skipif(not BUILT, reason=_native.choose("").reason)


@pytest.fixture(scope="module", params=BUILT or ["none"])
def native(request: pytest.FixtureRequest) -> Any:
    """The backend of each variant."""
    if not BUILT:
        pytest.skip(_native.choose("").reason)
    return make_backend("cpu_native", _native.choose(request.param))


@pytest.fixture
def threads(native: Any) -> Iterator[Any]:
    """Sets the number of threads of a variant, for a test."""
    library = native.runtime(0).tier.library
    before = library.get_threads()
    yield library.set_threads
    library.set_threads(before)


def both(native: Any, name: str, *arrays: Any, **attributes: Any) -> tuple[Any, Any]:
    """What the two tiers make of a call."""
    dtype = TYPES[arrays[0].dtype]
    with np.errstate(all="ignore"):
        plain = NUMPY.find_kernel(name, dtype)(*arrays, **attributes)
        fast = native.find_kernel(name, dtype)(*arrays, **attributes)
    return np.asarray(fast), np.asarray(plain)


def agree(native: Any, name: str, *arrays: Any, tol: Any = None, **attributes: Any) -> None:
    got, wanted = both(native, name, *arrays, **attributes)
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.strides == wanted.strides or not got.size or 1 in got.shape
    if tol is None:
        tol = 1e-6 if got.dtype == np.float32 else 1e-14
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)
    if got.dtype.kind == "f":
        zero = (got == 0) & (wanted == 0)
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(wanted[zero]))


# Which tier


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_numpy_tier_can_be_chosen_and_is_reported() -> None:
    code = "import rushlight as rl; rl.ones(2); print(rl.backend.report())"
    done = run(code, RUSHLIGHT_CPU_KERNELS="numpy")
    assert "NumPy kernels (RUSHLIGHT_CPU_KERNELS=numpy)" in done.stdout, done.stderr


@needs_native
def test_the_native_tier_is_reported() -> None:
    code = "import rushlight as rl; rl.ones(2); print(rl.backend.report())"
    done = run(code, RUSHLIGHT_CPU_KERNELS="native")
    assert f"native kernels ({BUILT[0]})" in done.stdout, done.stderr


def test_native_kernels_that_are_asked_for_and_absent_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(variant: str) -> None:
        raise ImportError("not built (no C compiler when the package was installed)")

    monkeypatch.setattr(_native, "load", absent)
    with pytest.raises(RuntimeError, match="the native kernels can't be used") as raised:
        _native.choose("native")
    assert "avx512: not built (no C compiler" in str(raised.value)
    assert "install a C compiler and reinstall rushlight-cpu from source" in str(raised.value)
    assert str(_native.choose("")).startswith("NumPy kernels (no native ones: avx512: not built")


def test_a_variant_this_cpu_does_not_run_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_native, "cpu_features", lambda: frozenset({"AVX2"}))
    with pytest.raises(RuntimeError, match="avx2: this CPU has no F16C, FMA3"):
        _native.choose("avx2")


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no such kernels") as raised:
        _native.choose("fortran")
    assert "RUSHLIGHT_CPU_KERNELS=fortran" in str(raised.value)
    assert "numpy, native, avx512, avx2, baseline" in str(raised.value)


# Elementwise

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 88.8, -88.0, -103.5, 3e38]
UNARY = (
    """neg abs square sqrt reciprocal rsqrt relu exp expm1 log tanh sigmoid silu isnan""".split()
)
BINARY = "add sub mul div maximum minimum eq ne lt le gt ge".split()
BACKWARD = "relu_backward sigmoid_backward tanh_backward silu_backward".split()
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def layouts(draw: st.DrawFn, count: int) -> list[np.ndarray]:
    """Arrays that broadcast against each other, of all kinds of strides."""
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    found = []
    for _ in range(count):
        own = [draw(st.sampled_from([n, n, n, 1])) for n in shape]
        own = own[draw(st.integers(0, len(own))) :] if draw(st.booleans()) else own
        x = rng.standard_normal([2 * n for n in own])
        order = draw(st.permutations(range(len(own))))
        x = np.array(x.transpose(order), order="C").transpose(np.argsort(order).astype(int))
        stepped = draw(st.booleans())
        x = x[tuple([slice(None, None, 2) if stepped else slice(n) for n in own])]
        found.append(x if stepped else np.array(x, order="K"))
    return found


@floats
@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_of_all_sizes_of_numbers(native: Any, name: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([SPECIAL, *(rng.standard_normal(3000) * s for s in (1e-3, 1, 30))])
    tol = 5e-6 if dtype == np.float32 else 1e-13
    agree(native, name, x.astype(dtype), tol=tol)
    agree(native, name, np.array(0.5, dtype), tol=tol)
    agree(native, name, x.astype(dtype)[::3], tol=tol)


@floats
@pytest.mark.parametrize("name", [*BINARY, *BACKWARD])
def test_binary_functions_of_special_numbers(native: Any, name: str, dtype: Any) -> None:
    x, y = (a.reshape(-1).astype(dtype) for a in np.meshgrid(SPECIAL, SPECIAL))
    if name in ("sigmoid_backward", "tanh_backward"):  # of a result, which is finite
        y = np.tanh(np.nan_to_num(y))
    agree(native, name, x, y, tol=1e-5 if dtype == np.float32 else 1e-13)


@given(st.data(), st.sampled_from(["add", "div", "lt", "maximum"]), st.sampled_from(FLOATS))
@settings(max_examples=150)
def test_binary_functions_on_every_layout(
    native: Any, data: st.DataObject, name: str, dtype: Any
) -> None:
    x, y = (a.astype(dtype, order="K") for a in data.draw(layouts(2)))
    agree(native, name, x, y)


@given(st.data(), st.sampled_from(["where", "masked_fill", "addcmul", "addcdiv", "lerp", "clamp"]))
@settings(max_examples=150)
def test_ternary_functions_on_every_layout(native: Any, data: st.DataObject, name: str) -> None:
    x, y, z = data.draw(layouts(3))
    x = np.broadcast_to(x, np.broadcast_shapes(x.shape, y.shape, z.shape)).copy()
    if name == "where":
        return agree(native, name, x > 0, y, z)
    if name == "masked_fill":
        return agree(native, name, x, y > 0, np.array(2.5))
    attributes = {"value": 0.5} if name.startswith("addc") else {}
    return agree(native, name, x, y, z, **attributes)


@pytest.mark.parametrize(("low", "high"), [(None, 0.5), (-0.5, None), (-0.5, 0.5)])
def test_clamp_with_one_end(native: Any, low: float | None, high: float | None) -> None:
    x = np.array([*SPECIAL, 0.7, -0.7])
    ends = [None if end is None else np.array(end) for end in (low, high)]
    agree(native, "clamp", x, *ends)


@floats
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("name", ["gelu", "gelu_backward"])
def test_gelu(native: Any, name: str, approximate: str, dtype: Any) -> None:
    x = np.concatenate([SPECIAL[:7], np.linspace(-12, 12, 4001)]).astype(dtype)
    arrays = [x] if name == "gelu" else [np.full_like(x, 2), x]
    if approximate == "tanh" and name == "gelu_backward":
        arrays = [a[np.isfinite(x)] for a in arrays]
    tol = 5e-6 if dtype == np.float32 else 1e-13
    got, wanted = both(native, name, *arrays, approximate=approximate)
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("value", [0, 1, True, 0.0, -0.0, 2.5, np.nan, -1e300])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3), (500, 500)])
def test_full(native: Any, shape: tuple[int, ...], value: Any, dtype: str) -> None:
    attributes = {"shape": shape, "value": value, "dtype": getattr(rushlight, dtype)}
    if not attributes["dtype"].is_floating_point and value != 0 and value != 1:
        return
    with np.errstate(all="ignore"):
        got, wanted = (
            tier.find_kernel("full", attributes["dtype"])(**attributes) for tier in (native, NUMPY)
        )
    assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, 1.7, 0.0])
def test_powers(native: Any, exponent: float) -> None:
    agree(native, "pow", np.array(SPECIAL), np.array(exponent))


@given(st.data(), st.booleans())
@settings(max_examples=60)
def test_out_may_be_any_array_of_the_shape(native: Any, data: st.DataObject, same: bool) -> None:
    x, y = data.draw(layouts(2))
    order = data.draw(st.sampled_from("CF"))
    x = np.broadcast_to(x, np.broadcast_shapes(x.shape, y.shape)).copy(order)
    wanted = x + y
    out = x if same else np.zeros(x.shape, order="F")
    assert native.find_kernel("add", rushlight.float64)(x, y, out=out) is out
    np.testing.assert_array_equal(out, wanted)


def test_out_that_overlaps_an_operand_in_part(native: Any) -> None:
    room = np.arange(10000.0)
    wanted = room[:-1] + 1
    native.find_kernel("add", rushlight.float64)(room[:-1], np.array(1.0), out=room[1:])
    np.testing.assert_array_equal(room[1:], wanted)


def test_operands_that_do_not_broadcast_or_are_no_arrays_are_numpys_to_refuse(native: Any) -> None:
    add = native.find_kernel("add", rushlight.float32)
    with pytest.raises(ValueError, match="could not be broadcast"):
        add(np.zeros(2, np.float32), np.zeros(3, np.float32))
    assert add(np.zeros(2, np.float32), 1.5).tolist() == [1.5, 1.5]
    assert add(np.zeros(2, np.float32)[::-1], np.zeros(2, ">f4")).tolist() == [0, 0]


# Reductions


@given(st.data(), st.sampled_from(["sum", "mean", "amax", "amin"]), st.sampled_from(FLOATS))
@settings(max_examples=150)
def test_reductions(native: Any, data: st.DataObject, name: str, dtype: Any) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 70, 300]), max_size=3).map(tuple))
    dims = tuple(d for d in range(len(shape)) if data.draw(st.booleans()))
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    if x.size and data.draw(st.booleans()):
        special = data.draw(st.sampled_from([np.nan, np.inf]))
        x.reshape(-1)[data.draw(st.integers(0, x.size - 1))] = special
    if not dims and name != "sum":
        return
    # NumPy adds rows one after the other: its error grows with how many there are.
    terms = float(np.prod([shape[d] for d in dims])) if dims else float(x.size)
    tol = max(1e-4, 1e-5 * terms**0.5) if dtype == np.float32 else 1e-11
    agree(native, name, x, tol=tol, dim=dims, keepdim=data.draw(st.booleans()))


@pytest.mark.parametrize(
    "shape", [(3000001,), (70001, 11), (5, 2000, 301), (129, 5003), (3, 200000)]
)
def test_large_sums_are_exact_and_the_same_on_any_number_of_threads(
    native: Any, threads: Any, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for dim in range(-1, len(shape)):
        dims = tuple(range(len(shape))) if dim < 0 else (dim,)
        for name in ("sum", "mean", "amax"):
            kernel = native.find_kernel(name, rushlight.float32)
            results = []
            for count in (1, 2, 3, 7):
                threads(count)
                results.append(kernel(x, dim=dims, keepdim=False))
            assert all(np.array_equal(results[0], other) for other in results)
            exact = getattr(np, name)(x.astype(np.float64), axis=dims)
            scale = np.abs(x).sum(dims, dtype=np.float64) if name == "sum" else 1.0
            assert np.all(np.abs(results[0] - exact) <= 1e-6 * scale)


# Threads, forks, memory


def test_python_threads_share_the_pool(native: Any, threads: Any) -> None:
    threads(3)
    x = np.random.default_rng(0).standard_normal(400_000)
    exp, wanted = native.find_kernel("exp", rushlight.float64), np.exp(x)
    wrong = []

    def use() -> None:
        for _ in range(20):
            if not np.allclose(exp(x), wanted, rtol=1e-13):
                wrong.append(1)

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong


def test_workers_sleep_when_no_more_jobs_come(native: Any, threads: Any) -> None:
    threads(3)
    exp, x = native.find_kernel("exp", rushlight.float64), np.ones(100_000)
    for _ in range(50):  # in quick succession: workers wait for the next without sleeping
        exp(x)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the threads of a process")
def test_workers_that_were_asleep_may_use_every_core_again(native: Any) -> None:
    # In a process of its own, where no others have threads of which some may not.
    code = f"""
import os, time
import numpy as np
from rushlight_cpu import _native
library = _native.choose("{native.runtime(0).tier.library.variant}").library
index = [name for name, _ in library.kernels()].index("exp")
exp = library.bind(index, None)
library.set_threads(3)
x = np.zeros(1_000_000, np.float32)
for _ in range(10):  # each job wakes them, on another core than this thread's
    exp(x)
    time.sleep(0.01)
assert len(os.listdir("/proc/self/task")) >= 3
deadline = time.monotonic() + 30
while restricted := [
    thread
    for thread in map(int, os.listdir("/proc/self/task"))
    if os.sched_getaffinity(thread) != os.sched_getaffinity(0)
]:
    assert time.monotonic() < deadline, restricted
    time.sleep(0.01)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_a_forked_child_computes(native: Any, threads: Any) -> None:
    code = f"""
import os
import numpy as np
from rushlight_cpu import _native
library = _native.choose("{native.runtime(0).tier.library.variant}").library
index = [name for name, _ in library.kernels()].index("exp")
exp = library.bind(index, None)
library.set_threads(3)
x = np.ones(1_000_000)
wanted = exp(x)
for _ in range(4):
    child = os.fork()
    if not child:
        same = all(np.array_equal(exp(x), wanted) for _ in range(10))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(exp(x), wanted)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_the_number_of_threads_reaches_the_pool() -> None:
    before = rushlight.get_num_threads()
    tier = _native.choose("")
    rushlight.ones(1)
    try:
        rushlight.set_num_threads(3)
        assert rushlight.get_num_threads() == 3
        if tier.library is not None:
            assert tier.library.get_threads() == 3
    finally:
        rushlight.set_num_threads(before)


def test_memory_is_kept_counted_and_given_back(native: Any) -> None:
    runtime = native.runtime(0)
    runtime.empty_cache()
    before = runtime.memory_stats()
    x = np.ones((512, 1024), np.float32)
    exp = native.find_kernel("exp", rushlight.float32)
    y = exp(x)
    assert y.ctypes.data % 64 == 0
    assert runtime.memory_stats()["allocated"] - before["allocated"] >= y.nbytes
    part, place = y[3:5, ::2], y.ctypes.data
    kept = part.copy()
    del y
    other = exp(x * 0)  # a view holds the block: it is not reused
    assert other.ctypes.data != place
    np.testing.assert_array_equal(part, kept)
    del part
    assert exp(x).ctypes.data == place
    del other
    assert runtime.memory_stats()["allocated"] == before["allocated"]
    runtime.empty_cache()
    assert runtime.memory_stats()["idle"] == 0


def test_idle_memory_has_a_limit(native: Any) -> None:
    library = native.runtime(0).tier.library
    library.empty_cache()
    library.set_cache_limit(3 << 20)
    try:
        held = [library.empty((1 << 18,), np.dtype(np.float32).num) for _ in range(6)]
        held.clear()
        assert library.memory_stats()["idle"] == 3 << 20
        library.empty((1 << 22,), np.dtype(np.float32).num)  # larger than the limit: not kept
        assert library.memory_stats()["idle"] == 3 << 20
    finally:
        library.set_cache_limit(1 << 30)
        library.empty_cache()
