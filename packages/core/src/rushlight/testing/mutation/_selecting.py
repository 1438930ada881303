"""Defects of kernels that read and write by index, order, and rearrange."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel, is_real_floating
from ._memory_of import as_if_dense

_F = "indexing"


@in_kernel(_F, "indices beyond the end are moved to the last element", "gather")
def gather_clamps(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, index: Any, *, dim: int) -> Any:
        size = x.shape[dim] if x.ndim else 1
        return kernel(x, np.clip(index, 0, max(size - 1, 0)), dim=dim)

    return wrong


@in_kernel(_F, "indices beyond the end read 0", "index index_select")
def reads_beyond_the_end(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *indices: Any, **attributes: Any) -> Any:
        dims = attributes.get("dims", (attributes.get("dim", 0),))
        sizes = [x.shape[d] if x.ndim else 1 for d in dims]
        kept = [np.where((i >= -n) & (i < n), i, 0) for i, n in zip(indices, sizes, strict=True)]
        return kernel(x, *kept, **attributes)

    return wrong


@in_kernel(_F, "a bad index is reported as a ValueError", "gather index_select scatter")
def wrong_exception(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*operands: Any, **attributes: Any) -> Any:
        try:
            return kernel(*operands, **attributes)
        except (IndexError, RuntimeError):
            raise ValueError("bad index") from None

    return wrong


@in_kernel(_F, "negative indices read the first element", "index")
def negative_index(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *indices: Any, dims: Any) -> Any:
        return kernel(x, *(np.maximum(i, 0) for i in indices), dims=dims)

    return wrong


@in_kernel(_F, "gather reads along the last dimension whatever dim is", "gather")
def gather_along_the_last(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, index: Any, *, dim: int) -> Any:
        last = max(x.ndim - 1, 0)
        if index.size and int(index.max()) >= (x.shape[last] if x.ndim else 1):
            return kernel(x, index, dim=dim)
        return kernel(x, index, dim=last)

    return wrong


@in_kernel(_F, "gather reads strided operands as if they were dense", "gather")
def gather_strided_as_dense(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, index, *, dim: kernel(as_if_dense(x), index, dim=dim)


@in_kernel(_F, "of equal indices only one addition counts", "scatter")
def scatter_loses_updates(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, index: Any, src: Any, *, dim: int, reduce: Any, include_self: bool) -> Any:
        if reduce != "sum" or not x.ndim or not index.size:
            return kernel(x, index, src, dim=dim, reduce=reduce, include_self=include_self)
        src = src[tuple(slice(n) for n in index.shape)]
        within = x[tuple(slice(n) for n in (*index.shape[:dim], x.shape[dim],
                                            *index.shape[dim + 1 :]))]  # fmt: skip
        held = np.take_along_axis(within, index, dim) if include_self else 0
        return kernel(x, index, (held + src).astype(x.dtype), dim=dim, reduce=None,
                      include_self=True)  # fmt: skip

    return wrong


@in_kernel(_F, "of equal indices only one addition counts", "index_add")
def index_add_loses_updates(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, index: Any, src: Any, *, dim: int, alpha: Any = 1) -> Any:
        if not x.ndim or not index.size:
            return kernel(x, index, src, dim=dim, alpha=alpha)
        out, rows = np.moveaxis(x.copy(), dim, 0), np.moveaxis(src, dim, 0)
        out[index.reshape(-1)] += (rows * np.asarray(alpha).astype(x.dtype)).astype(x.dtype)
        return np.ascontiguousarray(np.moveaxis(out, 0, dim))

    return wrong


@in_kernel(_F, "index_put replaces where it should accumulate", "index_put")
def accumulate_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, values: Any, *indices: Any, dims: Any, accumulate: bool = False) -> Any:
        return kernel(x, values, *indices, dims=dims, accumulate=False)

    return wrong


@in_kernel(_F, "scattered extremes begin with what was there, asked for or not", "scatter")
def include_self_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*xs, **{**a, "include_self": True})


@in_kernel(_F, "index_fill writes along dimension 0", "index_fill")
def index_fill_along_the_first(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, index: Any, *, dim: int, value: Any) -> Any:
        first = 0 if not index.size or (x.ndim and int(np.abs(index).max()) < len(x)) else dim
        return kernel(x, index, dim=first, value=value)

    return wrong


@in_kernel(_F, "joined arrays all get the width of the first", "cat")
def cat_of_unequal_parts(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*arrays: Any, dim: int) -> Any:
        out = kernel(*arrays, dim=dim).copy()
        start, width = 0, arrays[0].shape[dim]
        target = np.moveaxis(out, dim, 0)
        target[...] = 0
        for part in arrays:
            rows = np.moveaxis(part, dim, 0)[: max(len(target) - start, 0)]
            target[start : start + len(rows)] = rows
            start += width
        return out

    return wrong


@in_kernel(_F, "joining ends at the first empty array", "cat")
def cat_with_an_empty_part(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*arrays: Any, dim: int) -> Any:
        out = kernel(*arrays, dim=dim).copy()
        end = 0
        for part in arrays:
            if not part.size:
                np.moveaxis(out, dim, 0)[end:] = 0
                break
            end += part.shape[dim]
        return out

    return wrong


@in_kernel(_F, "equal elements change places", "sort argsort")
def sort_not_stable(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int, **attributes: Any) -> Any:
        if not x.ndim:
            return kernel(x, dim=dim, **attributes)
        found = kernel(np.flip(x, dim), dim=dim, **attributes)
        if isinstance(found, tuple):
            return found[0], x.shape[dim] - 1 - found[1]
        return x.shape[dim] - 1 - found

    return wrong


@in_kernel(_F, "NaN is sorted to the front", "sort", is_real_floating)
def nan_sorted_first(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int, **attributes: Any) -> Any:
        low = np.where(np.isnan(x), x.dtype.type(-np.inf), x)
        order = kernel(low, dim=dim, **attributes)[1]
        if not x.ndim:
            return x.copy(), order
        return np.take_along_axis(x, order, dim), order

    return wrong


@in_kernel(_F, "descending is ignored", "sort argsort")
def descending_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x, **{**a, "descending": False})


@in_kernel(_F, "rows of more than 64 are sorted in pieces of 64", "sort")
def sort_in_pieces(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int, **attributes: Any) -> Any:
        if not x.ndim or x.shape[dim] <= 64:
            return kernel(x, dim=dim, **attributes)
        starts = range(0, x.shape[dim], 64)
        parts = [
            kernel(x.take(range(s, min(s + 64, x.shape[dim])), dim), dim=dim, **attributes)
            for s in starts
        ]
        places = [part[1] + s for part, s in zip(parts, starts, strict=True)]
        return np.concatenate([part[0] for part in parts], dim), np.concatenate(places, dim)

    return wrong


@in_kernel(_F, "the k greatest come in ascending order", "topk")
def topk_ascending(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, k: int, dim: int, **attributes: Any) -> Any:
        found = kernel(x, k=k, dim=dim, **attributes)
        return tuple(np.flip(part, dim).copy() if part.ndim else part for part in found)

    return wrong


@in_kernel(_F, "NaN is not among the greatest", "topk", is_real_floating)
def topk_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        return kernel(np.where(np.isnan(x), x.dtype.type(-np.inf), x), **attributes)

    return wrong


@in_kernel(_F, "k counts from 0", "kthvalue")
def kth_from_zero(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, k: int, dim: int, keepdim: bool) -> Any:
        size = x.shape[dim] if x.ndim else 1
        return kernel(x, k=min(k + 1, size), dim=dim, keepdim=keepdim)

    return wrong


@in_kernel(_F, "of an even number the upper middle is the median", "median")
def upper_median(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
        if not x.ndim or dim is None or x.shape[dim] % 2:
            return kernel(x, dim=dim, keepdim=keepdim)
        more = np.take(x, [0], dim)
        more[...] = np.inf if x.dtype.kind not in "iub" else np.iinfo(x.dtype).max
        return kernel(np.concatenate((x, more), dim), dim=dim, keepdim=keepdim)

    return wrong


@in_kernel(_F, "left and right insertion are exchanged", "searchsorted")
def other_side(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*xs, **{**a, "right": not a.get("right", False)})


@in_kernel(_F, "only neighbours that are equal are joined", "unique")
def unique_without_sorting(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any = None, **attributes: Any) -> Any:
        found = kernel(x, dim=dim, **attributes)
        values = found[0]
        return (np.flip(values, 0 if dim is None else dim).copy(), *found[1:])

    return wrong


@in_kernel(_F, "positions are listed column by column", "nonzero")
def nonzero_by_columns(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any) -> Any:
        found = kernel(x)
        return found[np.lexsort(found.T)] if x.ndim > 1 else found

    return wrong


@in_kernel(_F, "of several dimensions only the first is flipped", "flip")
def flip_of_one_dim(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dims: kernel(x, dims=dims[:1])


@in_kernel(_F, "elements roll the other way", "roll")
def roll_backwards(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, shifts, dims: kernel(x, shifts=tuple(-s for s in shifts), dims=dims)


@in_kernel(_F, "the diagonal itself is left out", "tril triu")
def triangle_without_diagonal(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, diagonal: int = 0) -> Any:
        out = kernel(x, diagonal=diagonal).copy()
        rows, columns = np.indices(x.shape[-2:])
        out[..., columns - rows == diagonal] = 0
        return out

    return wrong


@in_kernel(_F, "the padding before and after are exchanged", "constant_pad")
def padding_on_the_other_side(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, pad, value: kernel(
        x, pad=tuple((after, before) for before, after in pad), value=value
    )


@in_kernel(_F, "negative padding is taken as none", "constant_pad")
def cropping_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, pad, value: kernel(
        x, pad=tuple((max(before, 0), max(after, 0)) for before, after in pad), value=value
    )


@in_kernel(_F, "a mask of another shape is repeated in memory order", "masked_fill")
def mask_not_broadcast(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, mask: Any, value: Any) -> Any:
        shape = np.broadcast_shapes(x.shape, mask.shape)
        return kernel(x, np.resize(mask, shape) if mask.size else mask, value)

    return wrong


@in_kernel(_F, "minlength is ignored", "bincount")
def minlength_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, weights, *, minlength=0: kernel(x, weights, minlength=0)


@in_kernel(_F, "what goes beyond the whole blocks of 128 is left as it was", "clone")
def copy_of_whole_blocks(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any) -> Any:
        out = np.array(kernel(x), order="C")
        if out.size > 128:
            out.reshape(-1)[out.size // 128 * 128 :] = 0
        return out

    return wrong
