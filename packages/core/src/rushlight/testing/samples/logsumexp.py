"""Samples of the logarithm of sums of exponentials."""

import math

from ..references import logsumexp
from ._inputs import near, real, values, with_nan
from ._table import FLOATING, case, samples

SAMPLES = [
    samples(
        "logsumexp",
        lambda x, dim, keepdim=False: logsumexp(x, dim, keepdim),
        case(real(2, 3), dim=(1,)),
        case(real(2, 3), dim=(0, 1), keepdim=True),
        case(real(2, 2, 3), dim=(0, 2)),
        # The sum of nothing: its forward derivative is 0 / 0.
        case(real(0, 3), dim=(0,), smooth=False),
        case(near(1e4, 4), dim=(0,), smooth=False),
        case(values([[-math.inf, -math.inf], [math.inf, 1.0]]), dim=(1,), smooth=False),
        case(with_nan(2, 3), dim=(1,), smooth=False),
        dtypes=FLOATING,
    ),
]
