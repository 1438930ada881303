"""Samples of joining and padding."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import EVERY, NUMERIC, case, samples


def _pad(x: Any, pad: Any, value: Any) -> Any:
    out = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pad], constant_values=value)
    cut = tuple(slice(-a if a < 0 else None, b if b < 0 else None) for a, b in pad)
    return out[cut]


SAMPLES = [
    samples(
        "cat",
        lambda *xs, dim: np.concatenate(xs, dim),
        case(real(2, 3), real(1, 3), dim=0),
        case(real(2, 1), real(2, 0), real(2, 2), dim=1),
        case(real(3), dim=0),
        dtypes=EVERY,
        tolerance=0.0,
        forms=False,
    ),
    samples(
        "stack",
        lambda *xs, dim: np.stack(xs, dim),
        case(real(2, 3), real(2, 3), dim=1),
        case(real(), real(), real(), dim=0),
        case(real(2, 0), real(2, 0), dim=2),
        dtypes=EVERY,
        tolerance=0.0,
        forms=False,
    ),
    samples(
        "constant_pad",
        _pad,
        case(real(2, 3), pad=((0, 1), (2, 0)), value=7),
        case(real(2, 4), pad=((1, -1), (-1, -2)), value=0),
        case(real(0, 2), pad=((1, 1), (0, 0)), value=1),
        dtypes=NUMERIC,
        tolerance=0.0,
        forms=False,
    ),
]
