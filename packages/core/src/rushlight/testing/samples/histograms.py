"""Samples of counting into bins."""

from typing import Any

import numpy as np

from ._inputs import real, within
from ._table import FULL, case, samples


def _histc(x: Any, bins: Any = 100, min: Any = 0, max: Any = 0) -> Any:
    if min == max:
        min, max = (x.min(), x.max()) if x.size else (0, 1)
    counts, _ = np.histogram(x, bins, range=(float(min), float(max)))
    return counts


SAMPLES = [
    samples(
        "histc",
        _histc,
        case(within(0.0, 4.0)(10), bins=4, min=0, max=4),
        case(real(2, 5), bins=3),
        case(real(2, 5), bins=5, min=-1, max=1),
        dtypes=FULL,
        batches=(),
    ),
]
