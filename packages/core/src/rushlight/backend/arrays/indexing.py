"""Reading by index and rearranging: gather, advanced indexing, masks, flips, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight._errors import error

from ._common import INT64, Array, ArrayModule, Kernels, check_index


def indexing_kernels(xp: ArrayModule) -> Kernels:
    """Kernels that select elements of an array, or lay them out anew."""
    return {**_by_index(xp), **_by_mask(xp), **_rearranging(xp)}


def element_offsets(xp: ArrayModule, shape: Sequence[int], index: Array, dim: int) -> Array:
    """Positions, in a dense array of `shape`, of the elements that a gather along dim names."""
    stride = math.prod(shape[dim + 1 :])
    offsets = index if stride == 1 else index * stride
    step = 1
    for d in range(len(shape) - 1, -1, -1):
        if d != dim and index.shape[d] > 1:
            along = xp.arange(0, index.shape[d] * step, step, dtype=INT64)
            after = (1,) * (len(shape) - 1 - d)
            offsets = offsets + along.reshape(-1, *after)
        step *= shape[d]
    return offsets


def index_key(ndim: int, indices: Sequence[Array], dims: Sequence[int]) -> tuple[Any, ...]:
    """The subscript that has index arrays at dims and takes the other dimensions whole."""
    given = dict(zip(dims, indices, strict=True))
    return tuple(given.get(d, slice(None)) for d in range(ndim))


def check_indices(x: Array, indices: Sequence[Array], dims: Sequence[int], who: str) -> None:
    """Raises for the first index outside its dimension; negative ones count from the end."""
    for index, d in zip(indices, dims, strict=True):
        check_index(index, x.shape[d], d, who=who, negative=True)


def _by_index(xp: ArrayModule) -> Kernels:
    # NumPy checks while it reads, and the message is made afterwards; other modules wrap around.
    host = xp is np

    def gather(x: Array, index: Array, *, dim: int) -> Array:
        if not x.ndim:
            x, index, shape = x.reshape(1), index.reshape(-1), index.shape
        else:
            shape = index.shape
        check_index(index, x.shape[dim], dim, who="gather", kind=RuntimeError)
        if not index.size:
            return xp.empty(shape, x.dtype)
        offsets = element_offsets(xp, x.shape, index, dim)
        return xp.ascontiguousarray(x).reshape(-1).take(offsets).reshape(shape)

    def index_select(x: Array, index: Array, *, dim: int) -> Array:
        if not x.ndim:
            check_index(index, 1, 0, who="index_select")
            return x.reshape(1).take(index.reshape(-1)[:1]).reshape(())
        check_index(index, x.shape[dim], dim, who="index_select")
        return x.take(index, axis=dim)

    def index(x: Array, *indices: Array, dims: Sequence[int]) -> Array:
        if not host:
            check_indices(x, indices, dims, "index")
        try:
            if len(indices) == 1:
                return x.take(indices[0], axis=dims[0])
            return x[index_key(x.ndim, indices, dims)]
        except IndexError:
            check_indices(x, indices, dims, "index")
            raise

    def take(x: Array, index: Array) -> Array:
        if not host:
            check_index(index, x.size, 0, who="take", negative=True)
        try:
            return x.take(index)
        except IndexError:
            check_index(index, x.size, 0, who="take", negative=True)
            raise

    return {"gather": gather, "index_select": index_select, "index": index, "take": take}


def _by_mask(xp: ArrayModule) -> Kernels:
    def masked_select(x: Array, mask: Array) -> Array:
        if x.shape != mask.shape:
            x, mask = xp.broadcast_arrays(x, mask)
        return x[mask]

    def masked_fill(x: Array, mask: Array, value: Array, *, out: Array | None = None) -> Array:
        if out is None:
            if mask.shape != x.shape or value.ndim:
                return xp.where(mask, value, x)
            out = x.copy()
        if mask.shape == out.shape and not value.ndim:
            out[mask] = value
        else:
            xp.copyto(out, value, where=mask)
        return out

    def masked_scatter(x: Array, mask: Array, source: Array, *, out: Array | None = None) -> Array:
        shape = np.broadcast_shapes(x.shape, mask.shape)
        mask = xp.broadcast_to(mask, shape)
        wanted = int(mask.sum())
        if wanted > source.size:
            raise error(
                RuntimeError,
                "masked_scatter",
                f"source has {source.size} elements and the mask selects {wanted}",
                expected="at least as many elements in source as the mask has ones",
            )
        out = xp.broadcast_to(x, shape).copy() if out is None else out
        out[mask] = source.reshape(-1)[:wanted]
        return out

    def nonzero(x: Array) -> Array:
        if not x.ndim:
            return xp.zeros((int(bool(x)), 0), INT64)
        return xp.stack(xp.nonzero(x), axis=1).astype(INT64, copy=False)

    return {
        "masked_select": masked_select,
        "masked_fill": masked_fill,
        "masked_scatter": masked_scatter,
        "nonzero": nonzero,
    }


def _rearranging(xp: ArrayModule) -> Kernels:
    def flip(x: Array, *, dims: Sequence[int]) -> Array:
        if not x.ndim:
            return x.copy()
        key = tuple(slice(None, None, -1 if d in dims else None) for d in range(x.ndim))
        return x[key].copy()

    def roll(x: Array, *, shifts: Sequence[int], dims: Sequence[int]) -> Array:
        return xp.roll(x, tuple(shifts), axis=tuple(dims)) if x.ndim else x.copy()

    def cat(*arrays: Array, dim: int) -> Array:
        return xp.concatenate(arrays, axis=dim)

    def triangle(x: Array, diagonal: int, lower: bool) -> Array:
        rows, columns = x.shape[-2:]
        offset = xp.arange(columns, dtype=INT64) - xp.arange(rows, dtype=INT64)[:, None]
        kept = offset <= diagonal if lower else offset >= diagonal
        return xp.where(kept, x, xp.zeros((), x.dtype))

    def tril(x: Array, *, diagonal: int = 0) -> Array:
        return triangle(x, diagonal, True)

    def triu(x: Array, *, diagonal: int = 0) -> Array:
        return triangle(x, diagonal, False)

    def constant_pad(x: Array, *, pad: Sequence[tuple[int, int]], value: Any = 0) -> Array:
        sizes = [n + before + after for n, (before, after) in zip(x.shape, pad, strict=True)]
        out = xp.full(tuple(sizes), value, x.dtype)
        # A negative amount crops: what stays is the same span of both arrays.
        into, source = [], []
        for n, size, (before, _) in zip(x.shape, sizes, pad, strict=True):
            first = max(before, 0)
            stop = min(before + n, size)
            into.append(slice(first, max(stop, first)))
            source.append(slice(first - before, max(stop, first) - before))
        out[tuple(into)] = x[tuple(source)]
        return out

    return {
        "flip": flip,
        "roll": roll,
        "cat": cat,
        "tril": tril,
        "triu": triu,
        "constant_pad": constant_pad,
    }
