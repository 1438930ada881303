"""Reductions over dimensions, and the positions of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._common import INT64, Array, ArrayModule, Kernel, Kernels, by_float, with_reduced

Dims = tuple[int, ...]

# Rows that are added up one after the other before the next level of the sum.
_LONG = 256


def reduction_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of sums, products, extremes, moments and counts."""
    return {**_folds(xp), **_moments(xp), **_counts(xp), **_positions(xp)}


def _count(x: Array, dim: Dims) -> int:
    return math.prod([x.shape[d] for d in dim])


def reducer(xp: ArrayModule, ufunc: str, function: str) -> Kernel:
    """A reduction as `f(x, axis, dtype, out, keepdims)`, by the shortest way a module has."""
    known = getattr(xp, ufunc)
    if isinstance(known, np.ufunc):
        reduce: Kernel = known.reduce
        return reduce
    theirs = getattr(xp, function)

    def call(x: Array, axis: Any, dtype: Any, out: Any, keepdims: bool) -> Array:
        return theirs(x, axis=axis, keepdims=keepdims)

    return call


def _adder(xp: ArrayModule) -> Callable[[Array, Dims, bool], Array]:
    """The sum over dimensions, in the array's own dtype."""
    add, host = xp.add.reduce, xp is np

    def total(x: Array, dim: Dims, keepdim: bool) -> Array:
        d = dim[0] if host and len(dim) == 1 else -1
        if d >= 0 and x.ndim > 1 and x.shape[d] > _LONG and x.strides[d] != x.itemsize:
            # NumPy adds rows one after the other: the error would grow with their number.
            before = (slice(None),) * d
            parts = [
                add(x[(*before, slice(start, start + _LONG))], dim, x.dtype, None, keepdim)
                for start in range(0, x.shape[d], _LONG)
            ]
            return add(xp.stack(parts), (0,), x.dtype, None, False)
        # The dtype keeps NumPy from widening small integers: the core has chosen already.
        return add(x, dim, x.dtype, None, keepdim)

    return total


def _folds(xp: ArrayModule) -> Kernels:
    total, add, multiply = _adder(xp), xp.add.reduce, xp.multiply.reduce
    greatest, least = reducer(xp, "maximum", "max"), reducer(xp, "minimum", "min")
    either, each = reducer(xp, "logical_or", "any"), reducer(xp, "logical_and", "all")

    def sum_(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        if x.size > _LONG:
            return total(x, dim, keepdim)
        return add(x, dim, x.dtype, None, keepdim)  # the usual case, a call less

    def prod(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return multiply(x, dim, x.dtype, None, keepdim)

    def amax(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return greatest(x, dim, None, None, keepdim)

    def amin(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return least(x, dim, None, None, keepdim)

    def any_(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return either(x, dim, None, None, keepdim)

    def all_(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return each(x, dim, None, None, keepdim)

    def nansum(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return total(xp.where(xp.isnan(x), x.dtype.type(0), x), dim, keepdim)

    real = ("bool", "integer", "floating", "reduced")
    return {
        "sum": with_reduced(sum_),
        "prod": with_reduced(prod),
        "amax": dict.fromkeys(real, amax),
        "amin": dict.fromkeys(real, amin),
        "any": any_,
        "all": all_,
        "nansum": {**with_reduced(nansum), "bool": sum_, "integer": sum_},
    }


def _moments(xp: ArrayModule) -> Kernels:
    total = _adder(xp)
    greatest = reducer(xp, "maximum", "max")

    def mean(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        return total(x, dim, keepdim) / _count(x, dim)

    def var(x: Array, *, dim: Dims, correction: float = 1, keepdim: bool) -> Array:
        centred = x - mean(x, dim=dim, keepdim=True)
        if x.dtype.kind == "c":
            squares = xp.square(centred.real) + xp.square(centred.imag)
        else:
            squares = xp.multiply(centred, centred, out=centred) if x.ndim else centred * centred
        freedom = max(_count(x, dim) - correction, 0)
        sums = total(squares, dim, keepdim)
        if not freedom:  # a division would warn
            return xp.where(sums > 0, math.inf, math.nan).astype(sums.dtype)
        return sums / freedom

    def std(x: Array, *, dim: Dims, correction: float = 1, keepdim: bool) -> Array:
        return xp.sqrt(var(x, dim=dim, correction=correction, keepdim=keepdim))

    def logsumexp(x: Array, *, dim: Dims, keepdim: bool) -> Array:
        if not _count(x, dim):
            return xp.log(total(x, dim, keepdim))  # the logarithm of an empty sum
        top = greatest(x.real, dim, None, None, True)
        # Rows whose maximum is infinite are not shifted: inf - inf would make them NaN.
        top = xp.where(xp.isfinite(top), top, top.dtype.type(0))
        out = xp.log(total(xp.exp(x - top), dim, True)) + top
        kept = out.shape if keepdim else [n for d, n in enumerate(x.shape) if d not in dim]
        return out.reshape(kept)

    return {
        "mean": by_float(mean, complex=mean),
        "var": by_float(var, complex=var),
        "std": by_float(std, complex=std),
        "logsumexp": by_float(logsumexp, complex=logsumexp),
    }


def _counts(xp: ArrayModule) -> Kernels:
    def count_nonzero(x: Array, *, dim: Dims, keepdim: bool = False) -> Array:
        return xp.add.reduce(xp.not_equal(x, 0), dim, INT64, None, keepdim)

    return {"count_nonzero": count_nonzero}


def _positions(xp: ArrayModule) -> Kernels:
    def position(name: str) -> dict[str, Kernel]:
        # NumPy and CuPy agree with torch: NaN is the extreme, and the first of equals wins.
        find = getattr(xp, name)

        def kernel(x: Array, *, dim: int | None, keepdim: bool) -> Array:
            if x.ndim == 0:
                return xp.zeros((), INT64)
            return find(x, axis=dim, keepdims=keepdim).astype(INT64, copy=False)

        def reduced(x: Array, *, dim: int | None, keepdim: bool) -> Array:
            # ml_dtypes' comparisons do not order NaN; float32's do.
            return kernel(x.astype(np.float32), dim=dim, keepdim=keepdim)

        return {"bool": kernel, "integer": kernel, "floating": kernel, "reduced": reduced}

    return {"argmax": position("argmax"), "argmin": position("argmin")}
