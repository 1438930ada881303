"""Samples of matrix products."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import COMPLEX, FLOATING, INTEGER, case, samples

_TYPES: dict[str, Any] = {"dtypes": (*FLOATING, *COMPLEX, *INTEGER[:1]), "tolerance": 8.0}

SAMPLES = [
    samples("mm", np.matmul, case(real(2, 3), real(3, 4)), case(real(2, 0), real(0, 3)), **_TYPES),
    samples(
        "bmm",
        np.matmul,
        case(real(2, 2, 3), real(2, 3, 2)),
        case(real(0, 2, 3), real(0, 3, 2)),
        **_TYPES,
    ),
    samples(
        "matmul",
        np.matmul,
        case(real(3), real(3)),
        case(real(2, 3), real(3)),
        case(real(3), real(3, 2)),
        case(real(2, 1, 2, 3), real(2, 3, 2)),
        case(real(2, 0), real(0, 2)),
        **_TYPES,
    ),
    samples("dot", np.dot, case(real(4), real(4)), case(real(0), real(0)), **_TYPES),
    samples(
        "addmm",
        lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
        case(real(2, 4), real(2, 3), real(3, 4)),
        case(real(4), real(2, 3), real(3, 4), beta=2, alpha=3),
        **_TYPES,
    ),
    samples(
        "linear",
        lambda x, weight, bias: x @ weight.T + (0 if bias is None else bias),
        case(real(2, 3), real(4, 3), real(4)),
        case(real(2, 2, 3), real(2, 3), None),
        case(real(3), real(2, 3), real(2)),
        case(real(0, 3), real(2, 3), real(2)),
        dtypes=(*FLOATING, *COMPLEX),
        tolerance=8.0,
    ),
]
