"""Means, variances, standard deviations: added up in the type computed with, rounded at the end.

Composed of a sum and a quotient, the mean of 16-bit numbers would overflow, and the variance of
equal numbers would not be 0, because their mean is rounded.  A variance reads twice, first for the
mean: what is added up then are squares of what differs from it, and no digits cancel.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import literal
from .reduction import Fold, Reduction, sum_fold
from .registry import Family, Kernel

moments = Family()


def mean_fold(device: Any, dtype: DType, result: DType) -> Fold:
    """Adds up, and divides by the number of elements."""
    total, type = sum_fold(device, dtype), computed(dtype)
    s = suffix(type)
    if type.is_complex:
        real = suffix(type.to_real())
        finish = f"MAKE_{s}($a0.x / ({real})n, $a0.y / ({real})n)"
    else:
        finish = f"$a0 / ({s})n"
    return Fold(total.types, total.start, total.step, total.merge, finish, result)


@moments.kernel("mean", "floating reduced complex")
def mean_kernel(device: Any, dtype: DType) -> Kernel:
    reduction = Reduction(device, "mean", dtype, mean_fold(device, dtype, dtype))

    def kernel(x: DeviceArray, *, dim: tuple[int, ...], keepdim: bool = False) -> DeviceArray:
        return reduction(x, dim, keepdim)

    return kernel


def spread_fold(device: Any, dtype: DType, correction: float, root: bool) -> Fold:
    """Squares of what differs from the mean, over the number of elements less a correction.

    The differences are added up too: they would be nothing, were the mean not rounded.
    """
    type, result = computed(dtype), dtype.to_real()
    part = type.to_real()
    t, s = suffix(type), suffix(part)
    if type.is_complex:
        step = f"const {t} d_ = sub_{t}($x, $c); $a0 += d_.x * d_.x + d_.y * d_.y;"
        step = f"{{ {step} $a1 = add_{t}($a1, d_); }}"
        merge = f"$a0 += $o0; $a1 = add_{t}($a1, $o1);"
        rest = "$a1.x * $a1.x + $a1.y * $a1.y"
    else:
        step = f"{{ const {s} d_ = $x - $c; $a0 += d_ * d_; $a1 += d_; }}"
        merge = "$a0 += $o0; $a1 += $o1;"
        rest = "$a1 * $a1"
    less, zeros = literal(correction, part, device.dialect), (part, type)
    squares = f"maximum_{s}($a0 - ({rest}) / ({s})n, 0)"
    finish = f"({squares} / maximum_{s}(({s})n - {less}, 0))"
    return Fold(
        zeros, tuple([literal(0, z, device.dialect) for z in zeros]), step, merge,
        f"sqrt_{s}{finish}" if root else finish, result, centre=type,
    )  # fmt: skip


def _spread(name: str, root: bool) -> None:
    @moments.kernel(name, "floating reduced complex")
    def make(device: Any, dtype: DType) -> Kernel:
        mean = Reduction(device, "wide_mean", dtype, mean_fold(device, dtype, computed(dtype)))
        spreads: dict[float, Reduction] = {}

        def kernel(
            x: DeviceArray, *, dim: tuple[int, ...], correction: float = 1, keepdim: bool = False
        ) -> DeviceArray:
            spread = spreads.get(correction)
            if spread is None:
                fold = spread_fold(device, dtype, correction, root)
                spread = spreads[correction] = Reduction(device, name, dtype, fold)
            return spread(x, dim, keepdim, mean(x, dim, keepdim))

        return kernel


_spread("var", False)
_spread("std", True)
