"""The CPU device: host memory as NumPy arrays."""

from __future__ import annotations

import os
import platform

import numpy as np

from rushlight.backend import ArrayDevice, Backend, Manifest
from rushlight.backend.arrays import ACCEPTS_OUT, array_kernels

from .kernels import ACCEPTS_OUT as OWN_ACCEPTS_OUT
from .kernels import cpu_kernels
from .kernels._parallel import set_thread_count, thread_count


class CpuDevice(ArrayDevice):
    """The host."""

    def __init__(self) -> None:
        super().__init__(np)

    def describe(self) -> dict[str, str | int | float]:
        """Facts for `python -m rushlight`."""
        return {
            "name": platform.processor() or platform.machine(),
            "cores": os.cpu_count() or 1,
            "threads": thread_count(),
            "kernels": f"NumPy {np.__version__}",
        }


def make_backend() -> Backend:
    """The backend with the array family's kernels and the CPU's own in front of them."""
    backend = Backend(
        "cpu",
        device=lambda index: CpuDevice(),
        manifest=Manifest(host_memory=True, indexed=False, notes="NumPy kernels"),
        kernels=array_kernels(np),
        accepts_out=ACCEPTS_OUT,
        threads=(thread_count, set_thread_count),
    )
    for name, kernel in cpu_kernels().items():
        backend.kernel(name, accepts_out=name in OWN_ACCEPTS_OUT)(kernel)
    return backend
