"""Rows of a matrix in blocks that fit the cache, and numbers of each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, row_dots


def row_blocks(start: int, stop: int, n: int) -> list[slice]:
    """Slices of rows of `n` columns, a block's worth each."""
    step = rows_together(n)
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def rows_together(n: int) -> int:
    """How many rows of `n` columns a block has."""
    return max(1, BLOCK // max(1, n))


def split_blocks(
    rows: int, n: int, work: float, task: Any, *, enough: float = _parallel.BLOCKS
) -> list[Any]:
    """Like `split`, but cut at multiples of a block: blocks are the same for any thread count."""
    step = rows_together(n)
    units = -(-rows // step)
    return _parallel.split(
        units, work, lambda a, b: task(a * step, min(b * step, rows)), enough=enough
    )


def inverse_deviations(x: Array, eps: float, out: Array) -> None:
    """Fills `out` with 1 / the root of each row's mean square and `eps`; of centred rows, too."""
    square = row_dots(x, x)
    square /= x.shape[1]
    square += eps
    np.divide(1.0, np.sqrt(square, out=square), out=out)
