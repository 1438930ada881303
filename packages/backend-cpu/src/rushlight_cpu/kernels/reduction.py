"""Sums of large arrays over all but the channels, as the gradients of biases are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.backend.arrays import array_kernels
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod
from rushlight_cpu.kernels._rows import row_blocks, split_blocks
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

    # By blocks, for BLAS adds planes at an end in another order.
    def part(start: int, stop: int) -> None:
        for some in row_blocks(start, stop, pixels):
            sums[some] = row_sums(planes[some])

    split_blocks(len(planes), pixels, x.size, part, enough=_parallel.PASSES)
    total: Array = np.add.reduce(sums.reshape(batch, channels), axis=0)
    return total.reshape(1, channels, *(1,) * (x.ndim - 2)) if keepdim else total


KERNELS = {"sum": {"floating": sum_}}
