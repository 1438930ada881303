"""Writing by index, as functions of the array written to: scatter, index_add, index_put, put.

Each kernel returns a copy of x with elements replaced, unless `out` is given, which is x itself:
then the elements are replaced there. Indices are checked before anything is written.
"""

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
from ._folding import fold_at
from .indexing import check_indices, element_offsets, index_key

# Kernels that can write into their first operand: `out=x`.
WRITES_IN_PLACE: frozenset[str] = frozenset(
    ("scatter", "index_add", "index_copy", "index_fill", "index_put", "put")
    + ("masked_fill", "masked_scatter")
)

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
        fold_at(xp, "add", out, index, rows)
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
    host = xp is np
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
        out: Array | None = None,
    ) -> Array:
        shape = x.shape or (1,)
        if not x.ndim:
            index, src = index.reshape(-1), src.reshape(-1)
        check_index(index, shape[dim], dim, who="scatter", kind=RuntimeError)
        if out is None:
            out = x.copy(order="C") if host else x.copy()
        if not index.size:
            return out
        if reduce is None and index.size * 8 < out.size and host:
            # Few elements: a subscript costs less than their offsets.
            whole = out.reshape(shape)
            values = src[tuple(slice(n) for n in index.shape)]
            whole[_elementwise_key(xp, index, dim)] = values
            return out
        flat = out.reshape(-1)  # a view if `out` is dense, else a copy that is written back
        places = element_offsets(xp, shape, index, dim).reshape(-1)
        values = src[tuple(slice(n) for n in index.shape)].reshape(-1)
        if reduce is None:
            flat[places] = values
            return _written_back(out, flat)
        if not include_self:
            flat[places] = neutral(reduce, x.dtype)
        fold_at(xp, folds[reduce], flat, places, values)
        if reduce == "mean":
            counts = xp.bincount(places, minlength=flat.size)
            counts = xp.maximum(counts + include_self, 1)
            divide = xp.floor_divide if x.dtype.kind in "iu" else xp.true_divide
            flat[...] = divide(flat, counts.astype(x.dtype))
        return _written_back(out, flat)

    wide = with_reduced(scatter)["reduced"]

    def reduced(*operands: Array, reduce: str | None = None, **attributes: Any) -> Array:
        chosen = scatter if reduce is None else _rounding_into(wide)
        return chosen(*operands, reduce=reduce, **attributes)

    return {"scatter": {"default": scatter, "reduced": reduced}}


def _elementwise_key(xp: ArrayModule, index: Array, dim: int) -> tuple[Array, ...]:
    """The subscript that takes, at each place of `index`, that place with `dim` replaced."""
    key = []
    for d, n in enumerate(index.shape):
        along = xp.arange(n).reshape(-1, *(1,) * (index.ndim - 1 - d))
        key.append(index if d == dim else along)
    return tuple(key)


def _written_back(out: Array, flat: Array) -> Array:
    """`out` with the elements of `flat`, which is a view of it where it is dense."""
    if not out.flags.c_contiguous:
        out[...] = flat.reshape(out.shape)
    return out


def _rounding_into(kernel: Kernel) -> Kernel:
    """A kernel of widened operands whose `out` has the narrow dtype."""

    def compute(*operands: Array, out: Array | None = None, **attributes: Any) -> Array:
        result = kernel(*operands, **attributes)
        if out is None:
            return result
        out[...] = result
        return out

    return compute


def _rows(xp: ArrayModule) -> Kernels:
    def rows_of(out: Array, dim: int) -> Array:
        """A view of an array with dim in front."""
        if not out.ndim:
            return out.reshape(1)
        return out if not dim else out.transpose(dim, *range(dim), *range(dim + 1, out.ndim))

    def index_add(
        x: Array, index: Array, src: Array, *, dim: int, alpha: Any = 1, out: Array | None = None
    ) -> Array:
        check_index(index, x.shape[dim] if x.ndim else 1, dim, who="index_add")
        added = rows_of(src, dim)
        if alpha != 1:
            factor = np.asarray(alpha).astype(x.dtype)[()]  # a scalar belongs to no device
            added = added & bool(alpha) if x.dtype.kind == "b" else added * factor
        out = x.copy() if out is None else out
        _add_rows(xp, rows_of(out, dim), index.reshape(-1), added)
        return out

    def index_copy(
        x: Array, index: Array, src: Array, *, dim: int, out: Array | None = None
    ) -> Array:
        check_index(index, x.shape[dim] if x.ndim else 1, dim, who="index_copy")
        out = x.copy() if out is None else out
        rows_of(out, dim)[index.reshape(-1)] = rows_of(src, dim)
        return out

    def index_fill(
        x: Array, index: Array, *, dim: int, value: Any, out: Array | None = None
    ) -> Array:
        size = x.shape[dim] if x.ndim else 1
        check_index(index, size, dim, who="index_fill", negative=True)
        out = x.copy() if out is None else out
        rows_of(out, dim)[index.reshape(-1)] = value
        return out

    wide = with_reduced(index_add)["reduced"]
    return {
        "index_add": {"default": index_add, "reduced": _rounding_into(wide)},
        "index_copy": index_copy,
        "index_fill": index_fill,
    }


def _anywhere(xp: ArrayModule) -> Kernels:
    host = xp is np

    def index_put(
        x: Array,
        values: Array,
        *indices: Array,
        dims: Sequence[int],
        accumulate: bool = False,
        out: Array | None = None,
    ) -> Array:
        if accumulate or not host:
            check_indices(x, indices, dims, "index_put")
        out = x.copy() if out is None else out
        if accumulate:
            _accumulate(xp, out, values, indices, dims)
            return out
        try:
            # NumPy checks all indices before it writes.
            out[index_key(x.ndim, indices, dims)] = values
        except IndexError:
            check_indices(x, indices, dims, "index_put")
            raise
        return out

    def put(
        x: Array,
        index: Array,
        src: Array,
        *,
        accumulate: bool = False,
        out: Array | None = None,
    ) -> Array:
        check_index(index, x.size, 0, who="put", negative=True)
        out = x.copy(order="C") if out is None and host else x.copy() if out is None else out
        flat = out.reshape(-1)
        if accumulate:
            places = index.reshape(-1)
            # One number for each place: -1 and the last one are the same.
            places = places if host else xp.where(places < 0, places + flat.size, places)
            fold_at(xp, "add", flat, places, src.reshape(-1))
        else:
            flat[index.reshape(-1)] = src.reshape(-1)
        return _written_back(out, flat)

    # 16-bit sums of many addends are taken in float32; plain writes need no widening.
    return {"index_put": _widened_if_adding(index_put), "put": _widened_if_adding(put)}


def _widened_if_adding(kernel: Kernel) -> dict[str, Kernel]:
    wide = with_reduced(kernel)["reduced"]

    def reduced(*operands: Array, accumulate: bool = False, **attributes: Any) -> Array:
        chosen = _rounding_into(wide) if accumulate else kernel
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
    if not out.size or not all(shape):
        return
    values = xp.broadcast_to(values, (*rest[:first], *shape, *rest[first:]))
    values = xp.moveaxis(values, range(first, first + len(shape)), range(len(shape)))
    # One position per index tuple, counted through the indexed dimensions alone.
    places = xp.zeros(shape, INT64)
    for index, d in zip(indices, dims, strict=True):
        places = places * out.shape[d] + xp.where(index < 0, index + out.shape[d], index)
    front = xp.transpose(out, (*dims, *others))
    rows = int(np.prod([out.shape[d] for d in dims], dtype=np.int64))
    table = xp.ascontiguousarray(front).reshape(rows, -1)
    table = table[:, 0] if not others else table
    added = values.reshape(places.size, *rest)
    if others:
        added = added.reshape(places.size, table.shape[1])
    _add_rows(xp, table, places.reshape(-1), added)
    if xp is not np or not np.may_share_memory(table, out):
        front[...] = table.reshape(front.shape)
