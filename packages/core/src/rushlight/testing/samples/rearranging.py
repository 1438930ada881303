"""Samples of reversing, rolling and triangles."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import EVERY, case, samples

_EXACT: dict[str, Any] = {"dtypes": EVERY, "tolerance": 0.0}
_TRIANGLES = (
    case(real(3, 3)),
    case(real(2, 3), diagonal=1),
    case(real(2, 3, 2), diagonal=-1),
    case(real(0, 2)),
)

SAMPLES = [
    samples(
        "flip",
        lambda x, dims: np.flip(x, dims),
        case(real(2, 3), dims=(1,)),
        case(real(2, 3, 2), dims=(0, 2)),
        case(real(0, 2), dims=(0,)),
        **_EXACT,
    ),
    samples(
        "roll",
        lambda x, shifts, dims: np.roll(x, shifts, dims),
        case(real(2, 3), shifts=(1,), dims=(1,)),
        case(real(2, 3), shifts=(-1, 5), dims=(0, 1)),
        case(real(0, 2), shifts=(1,), dims=(0,)),
        **_EXACT,
    ),
    samples("tril", lambda x, diagonal=0: np.tril(x, diagonal), *_TRIANGLES, **_EXACT),
    samples("triu", lambda x, diagonal=0: np.triu(x, diagonal), *_TRIANGLES, **_EXACT),
]
