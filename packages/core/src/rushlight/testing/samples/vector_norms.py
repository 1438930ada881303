"""Samples of vector norms."""

import math
from typing import Any

import numpy as np

from ._inputs import distinct, real, with_nan
from ._table import INEXACT, case, samples


def _norm(x: Any, ord: float, dim: Any, keepdim: bool = False) -> Any:
    size = np.abs(x)
    if ord == math.inf:
        return np.max(size, axis=dim, keepdims=keepdim)
    if ord == -math.inf:
        return np.min(size, axis=dim, keepdims=keepdim)
    if ord == 0:
        return np.sum(size != 0, axis=dim, keepdims=keepdim)
    return np.sum(size**ord, axis=dim, keepdims=keepdim) ** (1 / ord)


SAMPLES = [
    samples(
        "linalg_vector_norm",
        _norm,
        case(real(2, 3), ord=2, dim=(0, 1)),
        case(real(2, 3), ord=1, dim=(1,), keepdim=True),
        case(real(2, 3), ord=3.5, dim=(0,)),
        case(distinct(2, 3), ord=math.inf, dim=(1,)),
        case(real(2, 3), ord=-math.inf, dim=(1,)),
        case(real(2, 3), ord=0, dim=(1,), smooth=False),
        case(real(2, 0), ord=2, dim=(1,), smooth=False),
        case(with_nan(3), ord=2, dim=(0,), smooth=False),
        dtypes=INEXACT,
        result="real",
        tolerance=16.0,
    ),
]
