"""Rushlight's OpenCL backend: kernels of the core's kernel-language family, on pyopencl."""

from __future__ import annotations

from rushlight.backend import Backend, hookimpl
from rushlight.backend.codegen import ACCEPTS_OUT, kernel_table

from .device import OpenCLDevice
from .faults import faults
from .platforms import DeviceInfo, found_devices, info

__version__ = "0.1.0"


def devices() -> list[DeviceInfo]:
    """All OpenCL devices, with names and limits; the first is "opencl:0"."""
    return [info(index) for index in range(len(found_devices()))]


backend = Backend(
    "opencl",
    device=OpenCLDevice,
    api=(1, 2),
    count=lambda: len(found_devices()),
    kernels=kernel_table(),
    accepts_out=ACCEPTS_OUT,
    namespace={"devices": devices, "faults": faults},
)


@hookimpl
def rushlight_backend() -> Backend:
    """The hook that Rushlight calls."""
    return backend
