"""Kernels that make arrays: filled, ranges, copies and casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight._dtypes import DType

from ._common import Array, ArrayModule, Kernels


def creation_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of `full`, `arange`, `clone` and `cast`."""

    def full(*, shape: tuple[int, ...], value: Any, dtype: DType) -> Array:
        if value.__class__ is int and not value:
            return xp.zeros(shape, dtype.numpy)  # a quarter of the time, and no memory is touched
        return xp.full(shape, value, dtype.numpy)

    def arange(*, start: Any, step: Any, length: int, dtype: DType) -> Array:
        # Computed wide and rounded once, so that float32 ranges do not drift.
        whole = isinstance(start, int) and isinstance(step, int)
        wide = np.complex128 if dtype.is_complex else np.int64 if whole else np.float64
        out = xp.arange(length, dtype=wide)
        if step != 1:
            out *= step
        if start != 0:
            out += start
        return out if out.dtype == dtype.numpy else cast(out, dtype=dtype)

    def cast(x: Array, *, dtype: DType) -> Array:
        host = dtype.numpy
        if dtype.name == "bool":
            return xp.not_equal(x, 0)
        if x.dtype.kind == "c" and not dtype.is_complex:
            x = x.real  # the imaginary part goes without a warning, as in torch
        if dtype.name == "float16" and x.dtype == xp.float64:
            x = x.astype(xp.float32)  # rounded twice, as in torch
        return x.astype(host, order="C")

    return {"full": full, "arange": arange, "clone": xp.ndarray.copy, "cast": cast}
