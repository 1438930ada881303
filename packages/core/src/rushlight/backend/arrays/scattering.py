"""Writing by index, as functions of the array written to: scatter, index_add, index_put, put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._common import (
    INT64,
    Array,
    ArrayModule,
    Kernel,
    Kernels,
    check_index,
    with_reduced,
)
from .indexing import check_indices, element_offsets, index_key

# Beyond this many rounds, rows with the same index are summed by one reduction per index.
_ROUNDS = 32


def scattering_kernels(xp: ArrayModule) -> Kernels:
    """Kernels that return a copy of x with elements replaced, or added to, at indices."""
    return {**_scatter(xp), **_rows(xp), **_anywhere(xp)}


def _add_rows(xp: ArrayModule, out: Array, index: Array, rows: Array) -> None:
    """`out[index] += rows` along the first dimension, with equal indices adding up.

    Sorted by index, the r-th occurrences of all indices are added in one go (they are distinct),
    round by round; `ufunc.at` on rows takes three times as long.
    """
    if out.ndim == 1 or xp is not np or len(index) < 64:
        xp.add.at(out, index, rows)
        return
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    counts = np.diff(starts, append=len(index))
    for r in range(min(int(counts.max()), _ROUNDS)):
        chosen = order[starts[counts > r] + r]
        out[index[chosen]] += rows[chosen]
    for start, count in zip(*(a[counts > _ROUNDS] for a in (starts, counts)), strict=True):
        rest = order[start + _ROUNDS : start + count]
        out[index[rest[0]]] += rows[rest].sum(axis=0, dtype=out.dtype)


def _scatter(xp: ArrayModule) -> Kernels:
    folds = {"sum": "add", "mean": "add", "prod": "multiply", "amax": "maximum", "amin": "minimum"}

    def neutral(reduce: str, dtype: Any) -> Any:
        if reduce in ("sum", "mean"):
            return 0
        if reduce == "prod":
            return 1
        if dtype.kind == "b":
            return reduce == "amin"
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return limits.min if reduce == "amax" else limits.max
        return -np.inf if reduce == "amax" else np.inf

    def scatter(
        x: Array,
        index: Array,
        src: Array,
        *,
        dim: int,
        reduce: str | None = None,
        include_self: bool = True,
    ) -> Array:
        out = x.copy()
        if not x.ndim:
            x, index, src = x.reshape(1), index.reshape(-1), src.reshape(-1)
        check_index(index, x.shape[dim], dim, who="scatter", kind=RuntimeError)
        if not index.size:
            return out
        flat = out.reshape(-1)
        places = element_offsets(xp, x.shape, index, dim).reshape(-1)
        values = src[tuple(slice(n) for n in index.shape)].reshape(-1)
        if reduce is None:
            flat[places] = values
            return out
        if not include_self:
            flat[places] = neutral(reduce, x.dtype)
        getattr(xp, folds[reduce]).at(flat, places, values)
        if reduce == "mean":
            counts = xp.bincount(places, minlength=flat.size)
            counts = xp.maximum(counts + include_self, 1)
            divide = xp.floor_divide if x.dtype.kind in "iu" else xp.true_divide
            flat[...] = divide(flat, counts.astype(x.dtype))
        return out

    return {"scatter": with_reduced(scatter)}


def _rows(xp: ArrayModule) -> Kernels:
    def writable(x: Array, dim: int) -> tuple[Array, Array]:
        """A copy of x, and a view of it with dim in front."""
        out = x.copy()
        return out, (xp.moveaxis(out, dim, 0) if x.ndim else out.reshape(1))

    def source(src: Array, dim: int) -> Array:
        return xp.moveaxis(src, dim, 0) if src.ndim else src.reshape(1)

    def index_add(x: Array, index: Array, src: Array, *, dim: int, alpha: Any = 1) -> Array:
        check_index(index, x.shape[dim] if x.ndim else 1, dim, who="index_add")
        out, rows = writable(x, dim)
        added = source(src, dim)
        _add_rows(xp, rows, index.reshape(-1), added if alpha == 1 else added * alpha)
        return out

    def index_copy(x: Array, index: Array, src: Array, *, dim: int) -> Array:
        check_index(index, x.shape[dim] if x.ndim else 1, dim, who="index_copy")
        out, rows = writable(x, dim)
        rows[index.reshape(-1)] = source(src, dim)
        return out

    def index_fill(x: Array, index: Array, *, dim: int, value: Any) -> Array:
        size = x.shape[dim] if x.ndim else 1
        check_index(index, size, dim, who="index_fill", negative=True)
        out, rows = writable(x, dim)
        rows[index.reshape(-1)] = value
        return out

    return {
        "index_add": with_reduced(index_add),
        "index_copy": index_copy,
        "index_fill": index_fill,
    }


def _anywhere(xp: ArrayModule) -> Kernels:
    def index_put(
        x: Array, values: Array, *indices: Array, dims: Sequence[int], accumulate: bool = False
    ) -> Array:
        check_indices(x, indices, dims, "index_put")
        out = x.copy()
        if accumulate:
            _accumulate(xp, out, values, indices, dims)
        else:
            out[index_key(x.ndim, indices, dims)] = values
        return out

    def put(x: Array, index: Array, src: Array, *, accumulate: bool = False) -> Array:
        check_index(index, x.size, 0, who="put", negative=True)
        out = x.copy()
        flat = out.reshape(-1)
        if accumulate:
            xp.add.at(flat, index.reshape(-1), src.reshape(-1))
        else:
            flat[index.reshape(-1)] = src.reshape(-1)
        return out

    # 16-bit sums of many addends are taken in float32; plain writes need no widening.
    return {"index_put": _widened_if_adding(index_put), "put": _widened_if_adding(put)}


def _widened_if_adding(kernel: Kernel) -> dict[str, Kernel]:
    wide = with_reduced(kernel)["reduced"]

    def reduced(*operands: Array, accumulate: bool = False, **attributes: Any) -> Array:
        chosen = wide if accumulate else kernel
        return chosen(*operands, accumulate=accumulate, **attributes)

    return {"default": kernel, "reduced": reduced}


def _accumulate(
    xp: ArrayModule,
    out: Array,
    values: Array,
    indices: Sequence[Array],
    dims: Sequence[int],
) -> None:
    """`out[indices] += values` with equal positions adding up."""
    shape = np.broadcast_shapes(*[index.shape for index in indices])
    others = [d for d in range(out.ndim) if d not in dims]
    adjacent = dims[-1] - dims[0] == len(dims) - 1
    # The layout of a result of advanced indexing: adjacent index dimensions stay in their place.
    first = dims[0] if adjacent else 0
    rest = [out.shape[d] for d in others]
    values = xp.broadcast_to(values, (*rest[:first], *shape, *rest[first:]))
    values = xp.moveaxis(values, range(first, first + len(shape)), range(len(shape)))
    # One position per index tuple, counted through the indexed dimensions alone.
    places = xp.zeros(shape, INT64)
    for index, d in zip(indices, dims, strict=True):
        places = places * out.shape[d] + xp.where(index < 0, index + out.shape[d], index)
    front = xp.transpose(out, (*dims, *others))
    rows = int(np.prod([out.shape[d] for d in dims], dtype=np.int64))
    table = xp.ascontiguousarray(front).reshape(rows, -1 if out.size else 0)
    table = table[:, 0] if not others else table
    added = values.reshape(places.size, *rest)
    if others:
        added = added.reshape(places.size, table.shape[1])
    if added.size:
        _add_rows(xp, table, places.reshape(-1), added)
    front[...] = table.reshape(front.shape)
