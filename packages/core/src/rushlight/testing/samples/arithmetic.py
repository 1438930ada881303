"""Samples of arithmetic on two tensors."""

import math

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

SAMPLES = [
    binary("add", np.add, dtypes=EVERY),
    binary("sub", np.subtract, dtypes=NUMERIC),
    binary("mul", np.multiply, dtypes=EVERY),
    binary("div", lambda x, y: x / y, y=positive, dtypes=(*EVERY[:-1],), result="float"),
    binary("div_trunc", truncated_quotient, _whole, _count, dtypes=REAL, extremes=False),
    binary("floor_divide", np.floor_divide, _whole, _count, dtypes=REAL, extremes=False),
    # NumPy's remainder has the divisor's sign, as torch's has.
    binary("remainder", np.remainder, _whole, _count, dtypes=REAL, extremes=False),
    binary("fmod", np.fmod, _whole, _count, dtypes=REAL, extremes=False),
    samples(
        "pow",
        np.power,
        case(positive(2, 3), real(2, 3), dtypes=INEXACT),
        case(positive(3, 1), real(2), dtypes=INEXACT),
        case(positive(0, 2), real(2), dtypes=INEXACT),
        case(within(-3, 3)(4), constant(values(0, 1, 2, 3))),
        case(
            values(0.0, 0.0, 2.0, -2.0), values(0.0, 2.0, 0.0, 3.0), dtypes=FLOATING, smooth=False
        ),
        dtypes=(*FLOATING, *INTEGER[:1], *COMPLEX),
        tolerance=16.0,
    ),
    binary("atan2", np.arctan2, dtypes=(*FLOATING, *INTEGER[:1]), result="float"),
    binary("hypot", np.hypot),
    binary("copysign", np.copysign, dtypes=FLOATING),
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
    binary("logaddexp", np.logaddexp),
    binary("logaddexp2", np.logaddexp2),
    binary("maximum", np.maximum, dtypes=(*REAL, *BOOL)),
    binary("minimum", np.minimum, dtypes=(*REAL, *BOOL)),
    binary("fmax", np.fmax, dtypes=(*REAL, *BOOL)),
    binary("fmin", np.fmin, dtypes=(*REAL, *BOOL)),
]
