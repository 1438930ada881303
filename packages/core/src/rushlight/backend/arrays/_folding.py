"""Writing by index where equal indices add up, multiply, or keep the greatest."""

from __future__ import annotations

import numpy as np

from ._common import INT64, Array, ArrayModule
from .scan import accumulator


def fold_at(xp: ArrayModule, name: str, out: Array, index: Array, values: Array) -> None:
    """`out[index] = ufunc(out[index], values)` along the first dimension, equal indices in turn.

    Where a module's ufunc has no `at` for every dtype (CuPy's has few, and atomic additions in an
    order of their own), the values are sorted by index and folded in each run of equal indices by
    doubling steps, as many as the longest run needs. The same operands give the same bits.

    Args:
        xp: The module.
        name: The ufunc's name, such as "add"; it must be associative.
        out: What is written to.
        index: A vector of places, not negative.
        values: Of `out`'s dtype, one for each place.
    """
    ufunc = getattr(xp, name)
    if isinstance(ufunc, np.ufunc):
        ufunc.at(out, index, values)
        return
    if not values.size:
        return
    order = xp.argsort(index, kind="stable")
    index, values = index[order], values[order]
    ends = xp.ones(len(index), np.bool_)
    ends[:-1] = index[1:] != index[:-1]
    depth = _depths(xp, ends)
    reach, longest = 1, int(depth.max()) + 1
    while reach < longest:
        same = (depth[reach:] >= reach).reshape(-1, *(1,) * (values.ndim - 1))
        folded = ufunc(values[reach:], values[:-reach])
        values[reach:] = xp.where(same, folded, values[reach:])
        reach *= 2
    last = xp.nonzero(ends)[0]
    index = index[last]
    out[index] = ufunc(out[index], values[last])


def _depths(xp: ArrayModule, ends: Array) -> Array:
    """How many of its run stand before each element; `ends` marks the last of a run."""
    steps = xp.arange(len(ends), dtype=INT64)
    starts = xp.zeros(len(ends), INT64)
    starts[1:] = xp.where(ends[:-1], steps[1:], 0)
    return steps - accumulator(xp, "maximum")(starts, 0)
