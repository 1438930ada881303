"""Distinct elements and counts: unique, bincount, histc."""

from __future__ import annotations

import numpy as np

from rushlight._errors import error

from ._common import INT64, Array, ArrayModule, Kernels
from .sorting import stable_order


def counting_kernels(xp: ArrayModule) -> Kernels:
    """Kernels whose results have as many elements as the data say."""
    return {**_distinct(xp), **_histograms(xp)}


def _rows(xp: ArrayModule, x: Array, dim: int | None) -> Array:
    """x as a matrix whose rows are compared: its elements, or its slices along dim."""
    if dim is None:
        return x.reshape(-1, 1)
    return xp.moveaxis(x, dim, 0).reshape(x.shape[dim], -1 if x.size else 0)


def _changes(xp: ArrayModule, rows: Array) -> Array:
    """Where a row differs from the one before; NaN differs from everything."""
    starts = xp.ones(len(rows), np.bool_)
    starts[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return starts


def _lexical_order(xp: ArrayModule, rows: Array) -> Array:
    """The stable order of rows by their first, then second, ... element."""
    order = xp.arange(len(rows), dtype=INT64)
    for column in range(rows.shape[1] - 1, -1, -1):
        order = order[stable_order(xp, rows[order, column], False)]
    return order


def _distinct(xp: ArrayModule) -> Kernels:
    def collect(
        x: Array, rows: Array, starts: Array, dim: int | None, return_counts: bool
    ) -> tuple[Array, Array]:
        """The distinct rows in x's layout, and how often each occurs."""
        places = xp.nonzero(starts)[0]
        values = rows[places]
        if dim is None:
            values = values.reshape(-1)
        else:
            others = x.shape[:dim] + x.shape[dim + 1 :]
            values = values.reshape(len(places), *others)
            values = xp.ascontiguousarray(xp.moveaxis(values, 0, dim))
        if not return_counts:
            return values, xp.zeros(0, INT64)
        ends = xp.concatenate((places, xp.asarray([len(rows)], dtype=INT64)))
        return values, (ends[1:] - ends[:-1]).astype(INT64, copy=False)

    def shaped(inverse: Array, x: Array, dim: int | None) -> Array:
        return inverse.reshape(x.shape) if dim is None else inverse

    def unique(
        x: Array,
        *,
        dim: int | None = None,
        return_inverse: bool = False,
        return_counts: bool = False,
    ) -> tuple[Array, Array, Array]:
        rows = _rows(xp, x, dim)
        order = _lexical_order(xp, rows)
        rows = rows[order]
        starts = _changes(xp, rows)
        inverse = xp.zeros(0, INT64)
        if return_inverse:
            inverse = xp.empty(len(rows), INT64)
            inverse[order] = xp.cumsum(starts, dtype=INT64) - 1
            inverse = shaped(inverse, x, dim)
        values, counts = collect(x, rows, starts, dim, return_counts)
        return values, inverse, counts

    def unique_consecutive(
        x: Array,
        *,
        dim: int | None = None,
        return_inverse: bool = False,
        return_counts: bool = False,
    ) -> tuple[Array, Array, Array]:
        rows = _rows(xp, x, dim)
        starts = _changes(xp, rows)
        inverse = xp.zeros(0, INT64)
        if return_inverse:
            inverse = shaped(xp.cumsum(starts, dtype=INT64) - 1, x, dim)
        values, counts = collect(x, rows, starts, dim, return_counts)
        return values, inverse, counts

    return {"unique": unique, "unique_consecutive": unique_consecutive}


def _histograms(xp: ArrayModule) -> Kernels:
    def bincount(x: Array, weights: Array | None = None, *, minlength: int = 0) -> Array:
        if x.size and int(x.min()) < 0:
            raise error(
                RuntimeError,
                "bincount",
                f"{int(x.min())} can't be counted",
                expected="non-negative integers",
            )
        x = x.astype(INT64, copy=False)
        if weights is None:
            return xp.bincount(x, minlength=minlength).astype(INT64, copy=False)
        total = xp.bincount(x, weights.astype(np.float64, copy=False), minlength)
        return total.astype(np.float32 if weights.dtype == np.float32 else np.float64, copy=False)

    def histc(x: Array, *, bins: int = 100, min: float = 0, max: float = 0) -> Array:
        low, high = float(min), float(max)
        data = x.reshape(-1).astype(np.float64)
        if low == high and data.size:
            low, high = float(data.min()), float(data.max())
        if low == high:
            low, high = low - 1, high + 1
        if not (np.isfinite(low) and np.isfinite(high)):
            raise error(
                RuntimeError,
                "histc",
                f"range of [{low}, {high}] is not finite",
                fix="give finite min and max, or remove inf and nan from the input",
            )
        data = data[(data >= low) & (data <= high)]
        places = ((data - low) / (high - low) * bins).astype(INT64)
        counts = xp.bincount(xp.minimum(places, bins - 1), minlength=bins)
        return counts.astype(x.dtype)

    return {"bincount": bincount, "histc": histc}
