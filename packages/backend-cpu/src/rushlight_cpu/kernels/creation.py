"""Filled arrays and copies: large ones in memory of the pool, written side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight._dtypes import DType
from rushlight.backend import KernelEntry
from rushlight.backend.arrays import array_kernels
from rushlight_cpu.kernels import _memory, _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod

_FAMILY: Any = array_kernels(np)
_full: Kernel = _FAMILY["full"]
_cast: Kernel = _FAMILY["cast"]


def full(*, shape: tuple[int, ...], value: Any, dtype: DType) -> Array:
    """An array of one value."""
    if prod(shape) * dtype.itemsize < _memory.LEAST:
        small: Array = _full(shape=shape, value=value, dtype=dtype)
        return small
    out = _memory.empty(shape, dtype.numpy)
    out.fill(value)
    return out


def clone(x: Array) -> Array:
    """A copy in C order."""
    if x.size * x.itemsize < _memory.LEAST:
        return x.copy()
    out = _memory.empty(x.shape, x.dtype)
    assign(out, x)
    return out


def assign(out: Array, x: Array) -> None:
    """`out[...] = x`, for large arrays in parts along the longest of the outer dimensions."""
    if out.size < 2 * _parallel.PASSES or x.shape != out.shape or np.may_share_memory(out, x):
        out[...] = x
        return
    axis = int(np.argmax(out.shape[:-1])) if out.ndim > 1 else 0
    into, source = out.swapaxes(0, axis), x.swapaxes(0, axis)

    def part(start: int, stop: int) -> None:
        into[start:stop] = source[start:stop]

    _parallel.split(len(into), float(out.size), part, enough=_parallel.PASSES)


def cast(x: Array, *, dtype: DType) -> Array:
    """A copy in another dtype."""
    kind = dtype.numpy
    plain = x.dtype.kind == "f" and kind.kind == "f" and min(x.itemsize, kind.itemsize) >= 4
    if not plain or x.size * kind.itemsize < _memory.LEAST:
        small: Array = _cast(x, dtype=dtype)
        return small
    out = _memory.empty(x.shape, kind)
    assign(out, x)
    return out


KERNELS: dict[str, KernelEntry] = {"full": full, "clone": clone, "cast": cast}
