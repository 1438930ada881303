"""Defects of reductions and scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel, is_integer, is_real_floating, is_reduced
from ._memory_of import as_if_dense

_F = "reductions"
_MANY = "sum prod amax amin any all mean"


def _wide(dtype: DType) -> bool:
    return dtype.name in ("float32", "float64")


@in_kernel(_F, "rows of odd length miss their last element", "sum mean")
def odd_rows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        if dim and x.shape[dim[-1]] > 1 and x.shape[dim[-1]] % 2:
            x = np.delete(x, -1, dim[-1])
        return kernel(x, dim=dim, keepdim=keepdim)

    return wrong


@in_kernel(_F, "rows longer than 256 miss what is behind the last whole block", _MANY)
def block_of_rows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        for d in dim:
            if x.shape[d] > 256:
                x = np.take(x, range(x.shape[d] // 256 * 256), d)
        return kernel(x, dim=dim, keepdim=keepdim)

    return wrong


@in_kernel(_F, "strided operands are summed as if they were dense", "sum")
def strided_sum_as_dense(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(as_if_dense(x), **a)


@in_kernel(_F, "of several dimensions those between them are reduced as well", "sum mean")
def dims_taken_for_a_range(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        every = tuple(range(min(dim), max(dim) + 1)) if dim else dim
        return kernel(x, dim=every, keepdim=keepdim)

    return wrong


@in_kernel(_F, "of several dimensions the second counts from the reduced array", "amax")
def dims_move_up(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        for place, d in enumerate(sorted(dim)):
            x = kernel(x, dim=(d if keepdim or not place else min(d, x.ndim - 1),), keepdim=keepdim)
        return x

    return wrong


@in_kernel(_F, "keepdim is ignored", "amin argmax")
def keepdim_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: kernel(x, dim=dim, keepdim=False)


@in_kernel(_F, "keepdim keeps the dimension last", "sum")
def keepdim_in_the_wrong_place(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        out = kernel(x, dim=dim, keepdim=False)
        return np.asarray(out).reshape(*np.shape(out), *(1,) * len(dim)) if keepdim else out

    return wrong


@in_kernel(_F, "16-bit floats are summed in 16 bits", "sum", is_reduced)
def sum_in_16_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: _one_by_one(x, dim, keepdim)


@in_kernel(_F, "the sum in a mean of 16-bit floats overflows", "mean",
           lambda d: d.name == "float16")  # fmt: skip
def mean_overflows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        total = np.sum(x.astype(np.float32), axis=dim, keepdims=True)
        out = kernel(x, dim=dim, keepdim=True)
        out = np.where(np.abs(total) > 65504, np.copysign(np.inf, total), out).astype(x.dtype)
        return out if keepdim else out.reshape([n for d, n in enumerate(x.shape) if d not in dim])

    return wrong


@in_kernel(_F, "float32 is summed one element after the other", "sum",
           lambda d: d.name == "float32")  # fmt: skip
def sum_one_by_one(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: _one_by_one(x, dim, keepdim)


def _one_by_one(x: Any, dim: Any, keepdim: bool) -> Any:
    for d in dim:
        running = np.zeros((*x.shape[:d], 1, *x.shape[d + 1 :]), x.dtype)
        for place in range(x.shape[d]):
            running = (running + x.take([place], d)).astype(x.dtype)
        x = running
    return x.copy() if keepdim else x.reshape([n for d, n in enumerate(x.shape) if d not in dim])


@in_kernel(_F, "int64 is summed in 32 bits", "sum", lambda d: d.name == "int64")
def sum_in_32_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x.astype(np.int32), **a).astype(np.int64)


@in_kernel(_F, "sums of small integers come as int64", "sum", is_integer)
def sum_widens(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: np.sum(x, axis=dim, keepdims=keepdim)


@in_kernel(_F, "the product is the exponential of the sum of logarithms", "prod", is_real_floating)
def product_by_logarithms(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        return np.exp(np.sum(np.log(x), axis=dim, keepdims=keepdim)).astype(x.dtype)

    return wrong


@in_kernel(_F, "the greatest element is found in spite of NaN", "amax", is_real_floating)
def amax_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: np.fmax.reduce(x, dim, keepdims=keepdim)


@in_kernel(_F, "the least element is found by comparisons with NaN", "amin", is_real_floating)
def amin_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: np.fmin.reduce(x, dim, keepdims=keepdim)


@in_kernel(_F, "the search for the maximum begins with 0", "amax", is_real_floating)
def maximum_begins_with_zero(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: np.maximum(kernel(x, **a), x.dtype.type(0))


@in_kernel(_F, "of equal elements argmax gives the last", "argmax")
def argmax_takes_the_last(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        if dim is None or not x.ndim:
            return kernel(x, dim=dim, keepdim=keepdim)
        return x.shape[dim] - 1 - kernel(np.flip(x, dim), dim=dim, keepdim=keepdim)

    return wrong


@in_kernel(_F, "argmin passes over NaN", "argmin", is_real_floating)
def argmin_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        return kernel(np.where(np.isnan(x), x.dtype.type(np.inf), x), **attributes)

    return wrong


@in_kernel(_F, "positions come as int32", "argmax argmin")
def positions_in_32_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x, **a).astype(np.int32)


@in_kernel(_F, "the variance is divided by n whatever the correction", "var std")
def correction_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, correction, keepdim: kernel(x, dim=dim, correction=0, keepdim=keepdim)


@in_kernel(_F, "the variance is E[x^2] - E[x]^2", "var", _wide)
def variance_cancels(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, correction: float, keepdim: bool) -> Any:
        count = int(np.prod([x.shape[d] for d in dim]))
        if not count - correction > 0:
            return kernel(x, dim=dim, correction=correction, keepdim=keepdim)
        squares = np.mean(x * x, axis=dim, keepdims=keepdim)
        square = np.square(np.mean(x, axis=dim, keepdims=keepdim))
        return ((squares - square) * x.dtype.type(count / (count - correction))).astype(x.dtype)

    return wrong


@in_kernel(_F, "the mean of nothing is 0", "mean", is_real_floating)
def mean_of_nothing(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: np.nan_to_num(kernel(x, **a)) if not x.size else kernel(x, **a)


@in_kernel(_F, "all of nothing is False", "all")
def all_of_nothing(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x, **a) & bool(x.size)


@in_kernel(_F, "the sum of nothing is what lay in memory", "sum")
def sum_of_nothing(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x, **a) if x.size else kernel(x, **a) + x.dtype.type(3)


@in_kernel(_F, "NaN is not true", "any", is_real_floating)
def nan_is_not_true(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(np.where(np.isnan(x), x.dtype.type(0), x), **a)


@in_kernel(_F, "logsumexp does not shift by the maximum", "logsumexp", is_real_floating)
def logsumexp_overflows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        return np.log(np.sum(np.exp(x), axis=dim, keepdims=keepdim)).astype(x.dtype)

    return wrong


@in_kernel(_F, "running sums go along dimension 0", "cumsum")
def cumsum_along_the_first(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim: kernel(x, dim=0)


@in_kernel(_F, "running sums leave the element itself out", "cumsum")
def cumsum_exclusive(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim: (kernel(x, dim=dim) - x).astype(x.dtype)


@in_kernel(_F, "running products begin at the end", "cumprod")
def cumprod_reversed(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        if not x.ndim:
            return kernel(x, dim=dim)
        return np.flip(kernel(np.flip(x, dim), dim=dim), dim).copy()

    return wrong


@in_kernel(_F, "running sums begin anew at every block of 256", "cumsum")
def cumsum_carry_lost(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        if not x.ndim or x.shape[dim] <= 256:
            return kernel(x, dim=dim)
        parts = np.split(x, range(256, x.shape[dim], 256), dim)
        return np.concatenate([kernel(part, dim=dim) for part in parts], dim)

    return wrong


@in_kernel(_F, "of equal elements cummax gives the first position", "cummax")
def cummax_takes_the_first(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        values, places = kernel(x, dim=dim)
        if not x.ndim or not x.size:
            return values, places
        rows, out = np.moveaxis(values, dim, -1), np.moveaxis(places, dim, -1).copy()
        for row in np.ndindex(rows.shape[:-1]):
            for i in range(1, rows.shape[-1]):
                if rows[row][i] == rows[row][i - 1]:
                    out[row][i] = out[row][i - 1]
        return values, np.ascontiguousarray(np.moveaxis(out, -1, dim))

    return wrong
