"""Samples of elementwise operators of three tensors."""

from typing import Any

import numpy as np

from ..._dtypes import bool_
from ._inputs import fixed, mask, positive, real, values
from ._table import COMPLEX, EVERY, FLOATING, INEXACT, MANY, NUMERIC, REAL, case, samples


def _clamp(x: Any, low: Any, high: Any) -> Any:
    # Not np.clip: where the bounds cross, the upper one wins, and NaN stays.
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


SAMPLES = [
    samples(
        "where",
        np.where,
        case(mask(2, 3), real(2, 3), real(2, 3)),
        case(mask(3, 1), real(2), real()),
        case(mask(0, 1), real(2), real(2)),
        # What is not chosen does not count, NaN and infinity included.
        case(
            fixed(True, False, True, dtype=bool_),
            values(1.0, float("nan"), 2.0), values(float("inf"), 3.0, float("nan")),
            dtypes=FLOATING, smooth=False,
        ),
        case(mask(MANY), real(MANY), real(MANY), dtypes=FLOATING[:1], smooth=False),
        dtypes=EVERY,
        tolerance=0.0,
    ),
    samples(
        "clamp",
        _clamp,
        case(real(2, 3), values(-0.55), values(0.55)),
        case(real(2, 3), None, real(3)),
        case(real(4), values(0.3), None),
        case(real(0, 3), real(3), real(3)),
        case(values(float("nan"), 1.0), values(0.0), values(0.5), dtypes=FLOATING, smooth=False),
        dtypes=REAL,
    ),
    samples(
        "lerp",
        lambda x, y, weight: x + weight * (y - x),
        case(real(2, 3), real(2, 3), positive(2, 3)),
        case(real(3, 1), real(2), real()),
        case(real(0, 2), real(2), real()),
        dtypes=INEXACT,
        tolerance=64.0,
    ),
    samples(
        "lerp_by",
        lambda x, y, weight: x + weight * (y - x),
        case(real(2, 3), real(2, 3), weight=0.25),
        case(real(3, 1), real(2), weight=1.5),
        dtypes=INEXACT,
        tolerance=64.0,
    ),
    samples(
        "addcmul",
        lambda x, a, b, value=1: x + value * a * b,
        case(real(2, 3), real(2, 3), real(2, 3)),
        case(real(2, 1), real(3), real(), value=2),
        case(real(0, 2), real(2), real(2)),
        dtypes=NUMERIC,
        tolerance=64.0,
    ),
    samples(
        "addcdiv",
        lambda x, a, b, value=1: x + value * a / b,
        case(real(2, 3), real(2, 3), positive(2, 3)),
        case(real(2, 1), real(3), positive(), value=2),
        case(real(0, 2), real(2), positive(2)),
        dtypes=(*FLOATING, *COMPLEX),
        tolerance=64.0,
    ),
]  # fmt: skip
