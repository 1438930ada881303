"""Samples of means, variances and standard deviations."""

from typing import Any

import numpy as np

from ..._dtypes import float16
from ._inputs import near, positive, real, values, with_nan
from ._table import INEXACT, case, samples

_CASES = (
    case(real(2, 3), dim=(0, 1)),
    case(real(2, 3), dim=(1,), keepdim=True),
    case(real(2, 2, 3), dim=(0, 2)),
    case(real(3, 0), dim=(0,)),
    case(positive(2, 301), dim=(1,), smooth=False),
    case(with_nan(2, 3), dim=(1,), smooth=False),
)


def _mean(x: Any, dim: Any, keepdim: Any = False) -> Any:
    return np.mean(x, axis=dim, keepdims=keepdim)


def _var(x: Any, dim: Any, correction: Any = 1, keepdim: Any = False) -> Any:
    return np.var(x, axis=dim, ddof=correction, keepdims=keepdim)


def _std(x: Any, dim: Any, correction: Any = 1, keepdim: Any = False) -> Any:
    return np.sqrt(_var(x, dim, correction, keepdim))


_SPREAD = (
    *_CASES,
    case(real(2, 3), dim=(1,), correction=0),
    case(real(2, 3), dim=(0, 1), correction=1.5),
    # The mean is a thousand times the spread: sums of squares would cancel.
    case(near(1e3, 8), dim=(0,), dtypes=INEXACT[:2], smooth=False),
)

_MEANS = (
    case(real(0, 3), dim=(0,), smooth=False),
    # The sum is beyond the dtype, the mean is not.
    case(values(60000.0, 60000.0, 30000.0), dim=(0,), dtypes=(float16,), smooth=False),
)

SAMPLES = [
    samples("mean", _mean, *_CASES, *_MEANS, dtypes=INEXACT, tolerance=16.0),
    samples("var", _var, *_SPREAD, dtypes=INEXACT, result="real", tolerance=16.0),
    samples("std", _std, *_SPREAD, dtypes=INEXACT, result="real", tolerance=16.0),
]
