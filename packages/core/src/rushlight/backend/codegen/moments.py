"""Mean and variance: added up in the type that is computed with, rounded once at the end.

Composed of a sum and a quotient, the mean of 16-bit numbers would overflow, and the variance of
equal numbers would not be 0, because their mean is rounded.
"""

from __future__ import annotations

import math
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .movement import host_number
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


def _squares_fold(device: Any, type: DType) -> Fold:
    """The sum of squares, less what the sum itself brings: it is 0 but for the mean's rounding."""
    zero, s = literal(0, type, device.dialect), suffix(type)
    return Fold(
        (type, type), (zero, zero), "$a0 += $x; $a1 += $x * $x;", "$a0 += $o0; $a1 += $o1;",
        f"$a1 - $a0 * ($a0 / ({s})n) < 0 ? {zero} : $a1 - $a0 * ($a0 / ({s})n)", type,
    )  # fmt: skip


@moments.kernel("var", "floating reduced")
def var_kernel(device: Any, dtype: DType) -> Kernel:
    type = computed(dtype)
    mean = Reduction(device, "wide_mean", dtype, mean_fold(device, dtype, type))
    squares = Reduction(device, "squares", type, _squares_fold(device, type))

    def kernel(
        x: DeviceArray, *, dim: tuple[int, ...], correction: float = 1, keepdim: bool = False
    ) -> DeviceArray:
        centre = mean(x, dim, True)
        wide = x if dtype is type else device.movement.cast(x, type)
        centred = device.kernels_of("sub", type)(wide, centre)
        total = squares(centred, dim, keepdim)
        freedom = max(math.prod([x.shape[d] for d in dim]) - correction, 0)
        divisor = host_number(device, float(freedom), type)
        out: DeviceArray = device.kernels_of("div", type)(total, divisor)
        return out if dtype is type else device.movement.cast(out, dtype)

    return kernel
