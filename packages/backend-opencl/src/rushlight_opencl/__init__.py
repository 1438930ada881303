"""Rushlight's OpenCL backend: kernels of the core's kernel-language family, on pyopencl."""

from __future__ import annotations

from rushlight import _dtypes
from rushlight.backend import Backend, Manifest, hookimpl
from rushlight.backend.codegen import ACCEPTS_OUT, kernel_table

from .device import OpenCLDevice
from .platforms import DeviceInfo, found_devices, has_double, info

__version__ = "0.1.0"
_DTYPES = (
    (_dtypes.bool_, _dtypes.uint8, _dtypes.uint16, _dtypes.uint32, _dtypes.uint64)
    + (_dtypes.int8, _dtypes.int16, _dtypes.int32, _dtypes.int64)
    + (_dtypes.float16, _dtypes.bfloat16, _dtypes.float32, _dtypes.complex64)
)
_DOUBLE = (_dtypes.float64, _dtypes.complex128)


def devices() -> list[DeviceInfo]:
    """All OpenCL devices, with names and limits; the first is "opencl:0"."""
    return [info(index) for index in range(len(found_devices()))]


def _manifest() -> Manifest:
    double = all(has_double(device) for device in found_devices())
    return Manifest(
        dtypes=frozenset(_DTYPES + (_DOUBLE if double else ())),
        notes="" if double else "no float64",
    )


backend = Backend(
    "opencl",
    device=OpenCLDevice,
    api=(1, 1),
    manifest=_manifest(),
    count=lambda: len(found_devices()),
    kernels=kernel_table(),
    accepts_out=ACCEPTS_OUT,
)


@hookimpl
def rushlight_backend() -> Backend:
    """The hook that Rushlight calls."""
    return backend
