"""Sums of large arrays over all but the channels, as the gradients of biases are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.backend.arrays import array_kernels
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, Kernel, prod
from rushlight_cpu.kernels.softmax import row_sums

_general: Kernel = array_kernels(np)["sum"]["default"]  # type: ignore[index]
# Elements below which NumPy's own reduction is no slower.
_LEAST = 2**15


def sum_(x: Array, *, dim: Sequence[int], keepdim: bool) -> Array:
    """Sums over dimensions."""
    if x.size < _LEAST or x.ndim < 3 or sorted(dim) != [0, *range(2, x.ndim)]:
        found: Array = _general(x, dim=dim, keepdim=keepdim)
        return found
    batch, channels, pixels = x.shape[0], x.shape[1], prod(x.shape[2:])
    planes = np.ascontiguousarray(x).reshape(batch * channels, pixels)
    sums = np.empty(len(planes), x.dtype)
    # Planes that stay together, for BLAS adds those at an end in another order.
    step = max(1, BLOCK // max(1, pixels))

    def part(start: int, stop: int) -> None:
        for at in range(start * step, stop * step, step):
            some = slice(at, at + step)
            sums[some] = row_sums(planes[some])

    _parallel.split(-(-len(planes) // step), x.size, part, enough=_parallel.PASSES)
    total: Array = np.add.reduce(sums.reshape(batch, channels), axis=0)
    return total.reshape(1, channels, *(1,) * (x.ndim - 2)) if keepdim else total


KERNELS = {"sum": {"floating": sum_}}
