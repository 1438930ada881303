"""The CPU device: host memory as NumPy arrays."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rushlight import _dtypes
from rushlight.backend import ArrayDevice, Backend, Manifest
from rushlight.backend.arrays import ACCEPTS_OUT, array_kernels

from . import _native
from .kernels import ACCEPTS_OUT as OWN_ACCEPTS_OUT
from .kernels import cpu_kernels
from .kernels._common import Array
from .kernels._memory import POOL
from .kernels._parallel import set_thread_count, share_threads, thread_count
from .kernels.creation import assign
from .native import native_kernels


def _processor() -> str:
    """The processor's name, or its architecture where the system does not tell it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class CpuDevice(ArrayDevice):
    """The host."""

    _pool = POOL

    def __init__(self, tier: _native.Tier) -> None:
        super().__init__(np)
        self.tier = tier
        limit = _native.cache_limit()
        if limit is not None:
            self._pool.set_limit(limit)
            if tier.library is not None:
                tier.library.set_cache_limit(limit)

    def allocate(self, nbytes: int) -> Array:
        """See `DeviceRuntime.allocate`."""
        return self._pool.empty(nbytes, np.uint8)

    def copy(self, target: Array, source: Array) -> None:
        """See `DeviceRuntime.copy`."""
        if source.dtype == target.dtype:
            assign(target, source)
        else:
            super().copy(target, source)

    def describe(self) -> dict[str, str | int | float]:
        """Facts for `python -m rushlight`."""
        return {
            "name": _processor(),
            "cores": os.cpu_count() or 1,
            "threads": thread_count(),
            "NumPy": np.__version__,
        }

    def memory_stats(self) -> Mapping[str, int]:
        """Bytes of the pools that results are taken from, that of NumPy's and of native kernels."""
        stats = self._pool.stats()
        if self.tier.library is not None:
            for name, value in self.tier.library.memory_stats().items():
                stats[name] += value
        return stats

    def reset_peak(self) -> None:
        """Counts the peak of memory from what is in use now."""
        self._pool.reset_peak()
        if self.tier.library is not None:
            self.tier.library.reset_peak()

    def empty_cache(self) -> None:
        """Frees the memory that is kept for later results."""
        self._pool.empty_cache()
        if self.tier.library is not None:
            self.tier.library.empty_cache()


def make_backend(name: str = "cpu", tier: _native.Tier | None = None) -> Backend:
    """The backend: the array family's kernels, before them the CPU's own, and the native ones.

    Args:
        name: The device type; tests make a second one.
        tier: Which kernels; by default what the environment asks for.
    """
    chosen = _native.choose() if tier is None else tier
    backend = Backend(
        name,
        device=lambda index: CpuDevice(chosen),
        manifest=Manifest(host_memory=True, indexed=False, notes=str(chosen)),
        kernels=array_kernels(np),
        accepts_out=ACCEPTS_OUT,
        threads=(thread_count, set_thread_count),
    )
    for operator, kernel in cpu_kernels().items():
        takes = operator in OWN_ACCEPTS_OUT or operator in ACCEPTS_OUT
        backend.kernel(operator, accepts_out=takes)(kernel)
    if chosen.library is not None:
        share_threads(chosen.library.set_threads)
        _add_native(backend, chosen.library)
    return backend


def _add_native(backend: Backend, library: object) -> None:
    """Puts the native kernels before those of NumPy, which get what they decline."""

    def fallback(operator: str, kernel_class: str) -> object:
        dtype = next(d for d in _dtypes.ALL if d.kernel_class == kernel_class)
        return backend.find_kernel(operator, dtype)

    for operator, entry in native_kernels(library, fallback).items():
        backend.kernel(operator, accepts_out=operator in backend.accepts_out)(entry)
