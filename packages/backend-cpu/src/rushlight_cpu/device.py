"""The CPU device: host memory as NumPy arrays."""

from __future__ import annotations

import numpy as np

from rushlight.backend import ArrayDevice, Backend, Manifest
from rushlight.backend.arrays import ACCEPTS_OUT, array_kernels

from .kernels import cpu_kernels
from .kernels._parallel import set_thread_count, thread_count


def make_backend() -> Backend:
    """The backend with the array family's kernels and the CPU's own in front of them."""
    backend = Backend(
        "cpu",
        device=lambda index: ArrayDevice(np),
        manifest=Manifest(host_memory=True, indexed=False, notes="NumPy kernels"),
        kernels=array_kernels(np),
        accepts_out=ACCEPTS_OUT,
        threads=(thread_count, set_thread_count),
    )
    for name, kernel in cpu_kernels().items():
        backend.kernel(name)(kernel)
    return backend
