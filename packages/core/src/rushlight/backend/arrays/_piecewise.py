"""Functions with different formulas in different places, and groups of them."""

from __future__ import annotations

from dataclasses import dataclass

from ._common import Array, ArrayModule, Kernel


@dataclass(frozen=True)
class Functions:
    """Kernels of float64 arrays: `unary` take one vector, `others` arrays of any shape."""

    unary: dict[str, Kernel]
    others: dict[str, Kernel]


def piecewise(
    xp: ArrayModule, x: Array, condition: Array, yes: Kernel, no: Kernel, *more: Array
) -> Array:
    """`yes` of the elements where the condition holds, `no` of the others; each only if needed.

    Elements of `more` (arrays of x's shape) are passed as further arguments.
    """
    if condition.all():
        return yes(x, *more)
    if not condition.any():
        return no(x, *more)
    out = xp.empty_like(x)
    for mask, function in ((condition, yes), (~condition, no)):
        out[mask] = function(x[mask], *[y[mask] for y in more])
    return out
