"""Samples of arithmetic on two tensors."""

import math
from typing import Any

import numpy as np

from ..references import truncated_quotient
from ._inputs import constant, near, positive, real, values, within
from ._table import (
    BOOL,
    COMPLEX,
    EVERY,
    FLOATING,
    FULL,
    INEXACT,
    INTEGER,
    NUMERIC,
    REAL,
    binary,
    case,
    samples,
)

_count = within(1.0, 4.0)
_whole = within(-8.0, 8.0)
_LONG = 1 << 40


def _grown(name: str, reference: Any, *more: Any, **options: Any) -> Any:
    """The samples of `binary` and more."""
    plain = binary(name, reference, **options)
    return samples(name, reference, *plain.cases, *more, **options)


def _pow(x: Any, y: Any) -> Any:
    """NumPy's power, and whole powers with negative exponents, which truncate."""
    if x.dtype.kind not in "iu":
        return np.power(x, y)
    with np.errstate(all="ignore"):
        return np.where(y < 0, np.trunc(x.astype(np.float64) ** y), x ** np.maximum(y, 0))


# What int64 holds exactly, and float64 or 32 bits do not; and what 8 bits do not hold.
_WIDE = case(values(_LONG + 1, -_LONG - 3), values(_LONG + 3, 5), dtypes=INTEGER[:1])
_PRODUCT = case(values(_LONG + 1, -_LONG - 3), values((1 << 20) + 1, 9), dtypes=INTEGER[:1])
_WRAPPED = case(values(200, 100), values(100, 155), dtypes=INTEGER[-1:])

SAMPLES = [
    _grown("add", np.add, _WIDE, _WRAPPED, dtypes=EVERY),
    _grown("sub", np.subtract, _WIDE, _WRAPPED, dtypes=NUMERIC),
    _grown("mul", np.multiply, _PRODUCT, _WRAPPED, dtypes=EVERY, signed_zeros=True),
    binary("div", lambda x, y: x / y, y=positive, dtypes=(*EVERY[:-1],), result="float"),
    binary("div_trunc", truncated_quotient, _whole, _count, dtypes=REAL, extremes=False),
    binary("floor_divide", np.floor_divide, _whole, _count, dtypes=REAL, extremes=False),
    # NumPy's remainder has the divisor's sign, as torch's has.
    binary("remainder", np.remainder, _whole, _count, dtypes=REAL, extremes=False),
    binary("fmod", np.fmod, _whole, _count, dtypes=REAL, extremes=False),
    samples(
        "pow",
        _pow,
        case(positive(2, 3), real(2, 3), dtypes=INEXACT),
        case(positive(3, 1), real(2), dtypes=INEXACT),
        case(positive(0, 2), real(2), dtypes=INEXACT),
        case(within(-3, 3)(4), constant(values(0, 1, 2, 3))),
        case(
            values(0.0, 0.0, 2.0, -2.0), values(0.0, 2.0, 0.0, 3.0), dtypes=FLOATING, smooth=False
        ),
        case(values(1, -1, -1, 2, 3), constant(values(-1, -3, -2, -1, 2)), dtypes=INTEGER[:1]),
        dtypes=(*FLOATING, *INTEGER[:1], *COMPLEX),
        tolerance=16.0,
    ),
    binary("atan2", np.arctan2, dtypes=(*FLOATING, *INTEGER[:1]), result="float"),
    binary("hypot", np.hypot),
    binary("copysign", np.copysign, dtypes=FLOATING, signed_zeros=True),
    samples(
        "nextafter",
        None,
        case(real(2, 3), real(2, 3)),
        case(near(1.0, 3), values(math.inf, -math.inf, 0.0)),
        dtypes=FULL,
    ),
    binary("heaviside", np.heaviside, dtypes=(*FLOATING, *INTEGER[:1]), extremes=False),
    binary("gcd", np.gcd, _whole, _whole, dtypes=INTEGER, extremes=False),
    binary("lcm", np.lcm, _count, _count, dtypes=INTEGER, extremes=False),
    # The larger operand and the logarithm that is added to it may nearly cancel.
    binary("logaddexp", np.logaddexp, many=positive, tolerance=32.0),
    binary("logaddexp2", np.logaddexp2, many=positive, tolerance=32.0),
    _grown("maximum", np.maximum, _WIDE, dtypes=(*REAL, *BOOL)),
    _grown("minimum", np.minimum, _WIDE, dtypes=(*REAL, *BOOL)),
    binary("fmax", np.fmax, dtypes=(*REAL, *BOOL)),
    binary("fmin", np.fmin, dtypes=(*REAL, *BOOL)),
]
