"""Samples of filling."""

import numpy as np

from ._inputs import real
from ._table import NUMERIC, case, samples

SAMPLES = [
    samples(
        "fill",
        lambda x, value: np.full(x.shape, value),
        case(real(2, 3), real()),
        case(real(0), real()),
        dtypes=NUMERIC,
        tolerance=0.0,
    ),
]
