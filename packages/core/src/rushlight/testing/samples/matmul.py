"""Samples of matrix products."""

from typing import Any

import numpy as np

from ._inputs import positive, real, with_nan
from ._table import COMPLEX, FLOATING, INTEGER, case, samples

_TYPES: dict[str, Any] = {"dtypes": (*FLOATING, *COMPLEX, *INTEGER[:1]), "tolerance": 8.0}


def _addmm(x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    # With beta 0, NaN in x does not count.
    return (beta * x if beta else 0) + alpha * (a @ b)


# Sizes that no tile divides, and a sum that 16 bits can't hold on the way.
_ODD = case(real(5, 37), real(37, 21), dtypes=FLOATING[:2], smooth=False)
_LONG = case(positive(2, 1200), positive(1200, 3), dtypes=FLOATING[2:], smooth=False)

SAMPLES = [
    samples(
        "mm",
        np.matmul,
        case(real(2, 3), real(3, 4)),
        case(real(2, 0), real(0, 3)),
        _ODD,
        _LONG,
        **_TYPES,
    ),
    samples(
        "bmm",
        np.matmul,
        case(real(2, 2, 3), real(2, 3, 2)),
        case(real(0, 2, 3), real(0, 3, 2)),
        case(real(2, 3, 19), real(2, 19, 18), dtypes=FLOATING[:2], smooth=False),
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
        _ODD,
        _LONG,
        **_TYPES,
    ),
    samples("dot", np.dot, case(real(4), real(4)), case(real(0), real(0)), **_TYPES),
    samples(
        "addmm",
        _addmm,
        case(real(2, 4), real(2, 3), real(3, 4)),
        case(real(4), real(2, 3), real(3, 4), beta=2, alpha=3),
        case(with_nan(4), real(2, 3), real(3, 4), beta=0, dtypes=FLOATING, smooth=False),
        **_TYPES,
    ),
    samples(
        "linear",
        lambda x, weight, bias: x @ weight.T + (0 if bias is None else bias),
        case(real(2, 3), real(4, 3), real(4)),
        case(real(2, 2, 3), real(2, 3), None),
        case(real(3), real(2, 3), real(2)),
        case(real(0, 3), real(2, 3), real(2)),
        case(real(5, 37), real(21, 37), real(21), dtypes=FLOATING[:2], smooth=False),
        dtypes=(*FLOATING, *COMPLEX),
        tolerance=8.0,
    ),
    samples(
        "linear_weight",
        lambda g, x: np.tensordot(g, x.conj(), (range(g.ndim - 1),) * 2),
        case(real(3, 4), real(3, 2)),
        case(real(2, 3, 4), real(2, 3, 2)),
        case(real(0, 4), real(0, 2)),
        case(real(2, 3, 0), real(2, 3, 2)),
        dtypes=(*FLOATING, *COMPLEX),
        tolerance=8.0,
    ),
]
