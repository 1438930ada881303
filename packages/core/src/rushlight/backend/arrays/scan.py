"""Scans: cumulative sums, products, extremes with positions, and log-sums of exponentials."""

from __future__ import annotations

import numpy as np

from ._common import INT64, Array, ArrayModule, Kernel, Kernels, by_float, with_reduced


def accumulator(xp: ArrayModule, name: str) -> Kernel:
    """`f(x, axis)`, the running fold of an associative ufunc.

    Where a module's ufunc has no `accumulate` (CuPy's maximum), the scan doubles its reach in
    each of log2(n) passes.

    References:
        Hillis and Steele (1986), Data parallel algorithms. Communications of the ACM 29(12).
    """
    ufunc = getattr(xp, name)
    if isinstance(ufunc, np.ufunc):

        def accumulate(x: Array, axis: int) -> Array:
            return ufunc.accumulate(x, axis)

        return accumulate

    def doubling(x: Array, axis: int) -> Array:
        out = xp.moveaxis(x, axis, 0).copy()
        reach = 1
        while reach < len(out):
            out[reach:] = ufunc(out[reach:], out[:-reach])  # the right side is a fresh array
            reach *= 2
        return xp.moveaxis(out, 0, axis)

    return doubling


def scan_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of the `cum*` operators; `dim` is one dimension."""
    maximum, minimum = accumulator(xp, "maximum"), accumulator(xp, "minimum")
    logaddexp = accumulator(xp, "logaddexp")

    def cumsum(x: Array, *, dim: int) -> Array:
        return xp.cumsum(x, dim, x.dtype) if x.ndim else x.copy()

    def reverse_cumsum(x: Array, *, dim: int) -> Array:
        if not x.ndim:
            return x.copy()
        return xp.ascontiguousarray(xp.flip(xp.cumsum(xp.flip(x, dim), dim, x.dtype), dim))

    def cumprod(x: Array, *, dim: int) -> Array:
        return xp.cumprod(x, dim, x.dtype) if x.ndim else x.copy()

    def extreme(accumulate: Kernel) -> Kernel:
        def kernel(x: Array, *, dim: int) -> tuple[Array, Array]:
            if not x.ndim:
                return x.copy(), xp.zeros((), INT64)
            values = accumulate(x, dim)
            # The last of equals wins, and NaN stays: both are where x is its running extreme.
            here = (x == values) | (x != x)
            steps = xp.arange(x.shape[dim], dtype=INT64)
            steps = steps.reshape([-1 if d == dim else 1 for d in range(x.ndim)])
            return values, maximum(xp.where(here, steps, 0), dim)

        return kernel

    def logcumsumexp(x: Array, *, dim: int) -> Array:
        return logaddexp(x, dim) if x.ndim else x.copy()

    def real(kernel: Kernel) -> dict[str, Kernel]:
        return dict.fromkeys(("bool", "integer"), kernel) | by_float(kernel)

    return {
        "cumsum": with_reduced(cumsum),
        "reverse_cumsum": with_reduced(reverse_cumsum),
        "cumprod": with_reduced(cumprod),
        "cummax": real(extreme(maximum)),
        "cummin": real(extreme(minimum)),
        "logcumsumexp": by_float(logcumsumexp),
    }
