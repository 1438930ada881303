"""rushlight-cuda against the CuPy that is installed: names, loops, views; on a card, everything.

Without a card CuPy computes nothing, but it can say what it has, and its views are geometry.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rushlight
import rushlight.backend.arrays
from rushlight_cuda.numpy_like import CHECKED

cupy: Any = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
ARRAYS = Path(rushlight.backend.arrays.__file__).parent


def attributes() -> set[str]:
    """Dotted names that the array family asks of its module: xp.add, xp.linalg.qr."""
    found = set()
    for path in ARRAYS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and _root(node.value):
                found.add(f"{_root(node.value)}.{node.attr}".removeprefix("xp."))
    return found


def _root(node: ast.expr) -> str | None:
    """What an expression means: the module, or one of its parts under a name of its own."""
    text = ast.unparse(node)
    known = {"xp": "xp", "self.xp": "xp", "linalg": "linalg", "transform": "fft"}
    return known.get(text) or {"xp.linalg": "linalg", "xp.fft": "fft"}.get(text)


NAMES = sorted(attributes())


def test_the_names_are_found() -> None:
    assert {"add", "where", "linalg.qr", "fft.irfftn", "ndarray"} <= set(NAMES)
    assert len(NAMES) > 80


@pytest.mark.parametrize("name", NAMES)
def test_cupy_has_what_the_array_family_uses(name: str) -> None:
    where = cupy
    for part in name.split("."):
        where = getattr(where, part)


@pytest.mark.parametrize("name", NAMES)
def test_the_stand_in_has_it_too(name: str, cupy_standin: ModuleType) -> None:
    where = cupy_standin.cupy
    for part in name.split("."):
        where = getattr(where, part)


def ufuncs(cupy_standin: ModuleType) -> list[str]:
    standin = cupy_standin.cupy
    return [
        n for n in dir(cupy) if isinstance(getattr(cupy, n), cupy.ufunc) and hasattr(standin, n)
    ]


def test_the_stand_in_lacks_what_cupy_lacks(cupy_standin: ModuleType) -> None:
    lacks = cupy_standin.cupy.lacks

    def without(char: str) -> set[str]:
        loops = {n: getattr(cupy, n).types for n in ufuncs(cupy_standin)}
        return {
            getattr(cupy, name).name.removeprefix("cupy_")
            for name, types in loops.items()
            if not any(char in loop.split("->")[0] for loop in types)
        }

    assert without("E") >= lacks.BFLOAT16
    assert without("F") >= lacks.COMPLEX
    used = {name for name in NAMES if "." not in name}
    assert used & without("E") <= lacks.BFLOAT16
    assert used & without("F") <= lacks.COMPLEX


def test_the_functions_take_what_is_given_to_them() -> None:
    expected = {
        "where": "condition x y", "copyto": "dst src where", "bincount": "x weights minlength",
        "searchsorted": "a v side", "argmax": "a axis keepdims", "max": "a axis keepdims",
        "any": "a axis keepdims", "cumsum": "a axis dtype", "argsort": "a axis kind",
        "roll": "a shift axis", "stack": "tup axis", "concatenate": "tup axis",
        "full": "shape fill_value dtype", "take_along_axis": "a indices axis",
        "diagonal": "a axis1 axis2", "linalg.qr": "a mode", "linalg.eigh": "a UPLO",
        "linalg.svd": "a full_matrices compute_uv", "fft.irfftn": "a s axes norm",
        "cuda.Stream": "non_blocking priority", "cuda.Event": "disable_timing",
        "cuda.Stream.record": "event", "cuda.Stream.wait_event": "event",
    }  # fmt: skip
    for name, parameters in expected.items():
        function = cupy
        for part in name.split("."):
            function = getattr(function, part)
        found = inspect.signature(function).parameters
        assert set(parameters.split()) <= set(found), name


def test_the_modules_have_what_the_device_uses() -> None:
    cuda = cupy.cuda
    for name in """getDeviceCount driverGetVersion runtimeGetVersion getDeviceProperties memGetInfo
                CUDARuntimeError""".split():
        assert hasattr(cuda.runtime, name)
    assert issubclass(cuda.memory.OutOfMemoryError, MemoryError)
    for name in ("copy_from_host_async", "copy_from_device_async", "mem", "ptr"):
        assert hasattr(cuda.MemoryPointer, name)
    for name in ("used_bytes", "total_bytes", "free_all_blocks"):
        assert hasattr(cuda.MemoryPool, name)
    assert callable(cuda.alloc_pinned_memory)
    assert callable(cuda.get_elapsed_time)
    assert all(hasattr(cupy.linalg, name) for name in CHECKED)


def on_host(array: np.ndarray[Any, Any]) -> Any:
    """Host memory as an array of CuPy's: every view works, nothing can be computed."""
    memory = cupy.cuda.UnownedMemory(array.ctypes.data, array.nbytes, array, 0)
    return cupy.ndarray(array.shape, array.dtype, cupy.cuda.MemoryPointer(memory, 0))


def test_views_are_laid_out_as_numpys() -> None:
    from rushlight_cuda.device import CudaDevice

    device = CudaDevice.__new__(CudaDevice)  # without a card there is no current device
    device.xp, device.device = cupy, _Nowhere()
    host = np.arange(24, dtype=np.float32)
    buffer = on_host(host.view(np.uint8))
    seen = device.view(buffer, 2, (2, 3), (1, 4), rushlight.float32)
    assert seen.shape == (2, 3)
    assert device.strides_of(seen) == (1, 4)
    assert seen.data.ptr == host.ctypes.data + 8
    span = device.buffer_of(seen)
    assert device.nbytes_of(span) == 4 * (1 + 1 + 2 * 4)
    assert device.address_of(span) == host.ctypes.data + 8
    assert device.view(buffer, 0, (24,), (1,), rushlight.float32).flags.c_contiguous


class _Nowhere:
    def __enter__(self) -> None: ...

    def __exit__(self, *raised: object) -> None: ...


def test_axes_may_be_ranges() -> None:
    x = on_host(np.zeros((2, 3, 4), np.float32))
    assert cupy.moveaxis(x, range(1, 3), range(2)).shape == (3, 4, 2)


def has_card() -> bool:
    return bool(cupy.cuda.is_available())


@pytest.mark.gpu
@pytest.mark.skipif("not has_card()", reason="this machine has no CUDA device")
def test_a_card_computes() -> None:
    x = rushlight.randn(64, 64, device="cuda", requires_grad=True)
    (x @ x).softmax(1).sum().backward()
    assert x.grad is not None
    assert x.grad.cpu().isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif("not has_card()", reason="this machine has no CUDA device")
def test_a_card_draws_the_bits_of_the_cpu() -> None:
    for draw in (rushlight.rand, rushlight.randn):
        found = []
        for device in ("cpu", "cuda"):
            generator = rushlight.Generator(device=device).manual_seed(7)
            found.append(draw(10001, generator=generator, device=device).cpu().numpy().tobytes())
        assert found[0] == found[1]
