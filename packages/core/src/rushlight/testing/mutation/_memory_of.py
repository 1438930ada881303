"""Reading an array's memory in a wrong way, without leaving it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._defect import Array


def root_of(x: Array) -> Array:
    """The array that owns the memory."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def _bytes_from(x: Array, start: int, count: int) -> bytes:
    """`count` bytes of the memory under x, zeros behind its end."""
    root = root_of(x)
    if not (root.flags.c_contiguous or root.flags.f_contiguous):
        return x.tobytes()[:count].ljust(count, b"\0")
    memory = root.ravel("K").view(np.uint8)[start : start + count].tobytes()
    return memory.ljust(count, b"\0")


def _start(x: Array) -> int:
    return int(x.__array_interface__["data"][0] - root_of(x).__array_interface__["data"][0])


def as_if_dense(x: Any) -> Any:
    """What lies at x's first element and behind, as if x had no strides."""
    if not isinstance(x, np.ndarray) or x.flags.c_contiguous or not x.size:
        return x
    held = _bytes_from(x, _start(x), x.nbytes)
    return np.frombuffer(held, x.dtype).reshape(x.shape)


def without_offset(x: Any) -> Any:
    """What lies at the beginning of x's memory, with x's strides."""
    if not isinstance(x, np.ndarray) or not x.size or not x.ndim or min(x.strides) < 0:
        return x
    span = x.itemsize + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True))
    held = _bytes_from(x, 0, span)
    return np.ndarray(x.shape, x.dtype, held, 0, x.strides)
