"""What recurrent layers of every kind do with a sequence (T, N, features)."""

from __future__ import annotations

from rushlight_cpu.kernels._common import Array
from rushlight_cpu.kernels._memory import empty


def walk(steps: int, reverse: bool) -> range:
    """The steps in their order."""
    return range(steps - 1, -1, -1) if reverse else range(steps)


def rows_of(x: Array) -> Array:
    """(T, N, features) as a matrix."""
    return x.reshape(len(x) * x.shape[1], x.shape[2])


def states_before(h: Array, out: Array, reverse: bool) -> Array:
    """The hidden state before each step."""
    before = empty(out.shape, out.dtype)
    if not len(out):
        return before
    if reverse:
        before[:-1], before[-1] = out[1:], h
    else:
        before[1:], before[0] = out[:-1], h
    return before
