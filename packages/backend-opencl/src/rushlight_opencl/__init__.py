"""Rushlight's OpenCL backend: kernels of the core's kernel-language family, on pyopencl."""

from __future__ import annotations

import rushlight
from rushlight.backend import Backend, Manifest, hookimpl
from rushlight.backend.codegen import kernel_table

from .device import OpenCLDevice
from .platforms import DeviceInfo, found_devices, has_double, info

__version__ = "0.1.0"
_DTYPES = (
    (rushlight.bool, rushlight.uint8, rushlight.uint16, rushlight.uint32, rushlight.uint64)
    + (rushlight.int8, rushlight.int16, rushlight.int32, rushlight.int64)
    + (rushlight.float16, rushlight.bfloat16, rushlight.float32, rushlight.complex64)
)
_DOUBLE = (rushlight.float64, rushlight.complex128)


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
    api=(1, 0),
    manifest=_manifest(),
    count=lambda: len(found_devices()),
    kernels=kernel_table(),
    accepts_out=frozenset(),
)


@hookimpl
def rushlight_backend() -> Backend:
    """The hook that Rushlight calls."""
    return backend
