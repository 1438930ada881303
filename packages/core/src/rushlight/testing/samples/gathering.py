"""Samples of reading by index."""

from typing import Any

import numpy as np

from ..._dtypes import int64
from ._inputs import index, mask, real, values
from ._table import EVERY, case, samples

_EXACT: dict[str, Any] = {"dtypes": EVERY, "tolerance": 0.0}


def _take(x: Any, index: Any) -> Any:
    return x.ravel()[index]


SAMPLES = [
    samples(
        "gather",
        lambda x, index, dim: np.take_along_axis(
            x[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))],
            index,
            dim,
        ),
        case(real(3, 4), index(4, 3, 2), dim=1),
        case(real(3, 4), index(3, 5, 2), dim=0),
        case(real(3, 2), index(3, 0, 2), dim=0),
        arrange=lambda x, index, dim: (x, dim, index),
        **_EXACT,
    ),
    samples(
        "index_select",
        lambda x, index, dim: np.take(x, index, axis=dim),
        case(real(3, 4), index(4, 5), dim=1),
        case(real(3, 2, 2), index(3, 2), dim=0),
        case(real(3, 2), index(3, 0), dim=0),
        arrange=lambda x, index, dim: (x, dim, index),
        **_EXACT,
    ),
    samples("take", _take, case(real(2, 3), index(6, 2, 2)), case(real(4), index(4)), **_EXACT),
    samples(
        "masked_select",
        lambda x, mask: x[mask],
        case(real(2, 3), mask(2, 3)),
        case(real(4), mask(4)),
        meta=False,
        replays=False,
        batches=(),
        layouts=False,
        **_EXACT,
    ),
    samples(
        "nonzero",
        lambda x: np.argwhere(x),
        values([[0, 1, 2], [0, 0, 3]]),
        real(3),
        real(0, 2),
        dtypes=EVERY,
        result=int64,
        meta=False,
        replays=False,
        batches=(),
    ),
]
