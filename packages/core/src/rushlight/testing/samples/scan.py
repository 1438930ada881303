"""Samples of running sums, products and extremes."""

from typing import Any

import numpy as np

from ..._dtypes import int64
from ._inputs import distinct, near, real, values, with_nan, within
from ._table import FLOATING, INEXACT, REAL, case, samples

_CASES = (
    case(real(2, 3), dim=1),
    case(real(2, 3), dim=0),
    case(real(2, 3, 2), dim=1),
    case(real(3), dim=0),
    case(real(2, 0), dim=1),
    case(within(0.99, 1.01)(2, 301), dim=1, dtypes=FLOATING[:2], smooth=False),
    case(with_nan(2, 3), dim=1, dtypes=FLOATING, smooth=False),
)
_ORDERED = (
    case(distinct(2, 4), dim=1),
    case(distinct(3, 2), dim=0),
    case(distinct(2, 0), dim=1),
    # The last of equal elements counts.
    case(values(1.0, 1.0, 0.0, 1.0, 2.0, 2.0), dim=0, smooth=False),
    case(values(2.0, float("nan"), 3.0, float("nan")), dim=0, dtypes=FLOATING, smooth=False),
)


def _running(better: Any) -> Any:
    """Running extreme and its place, by a loop; once NaN, always NaN."""

    def reference(x: Any, dim: Any) -> Any:
        found = np.empty(x.shape, x.dtype)
        places = np.zeros(x.shape, np.int64)
        source, best, at = (np.moveaxis(a, dim, 0) for a in (x, found, places))
        for i in range(source.shape[0]):
            best[i], at[i] = source[i], i
            if i:
                stays = better(best[i - 1], source[i]) | np.isnan(best[i - 1].astype(float))
                stays &= ~np.isnan(source[i].astype(float))
                best[i] = np.where(stays, best[i - 1], source[i])
                at[i] = np.where(stays, at[i - 1], i)
        return found, places

    return reference


SAMPLES = [
    samples("cumsum", lambda x, dim: np.cumsum(x, axis=dim), *_CASES, dtypes=(*INEXACT, int64)),
    samples(
        "reverse_cumsum",
        lambda x, dim: np.flip(np.cumsum(np.flip(x, dim), axis=dim), dim) if x.ndim else x,
        *_CASES,
        dtypes=(*INEXACT, int64),
    ),
    samples(
        "cumprod",
        lambda x, dim: np.cumprod(x, axis=dim),
        *_CASES,
        case(values(2.0, 0.0, 3.0, 0.0), dim=0, dtypes=FLOATING),
        dtypes=(*INEXACT, int64),
        tolerance=8.0,
    ),
    samples(
        "logcumsumexp",
        lambda x, dim: np.logaddexp.accumulate(x, axis=dim),
        *_CASES,
        case(near(1e3, 4), dim=0, smooth=False),
        dtypes=FLOATING,
        tolerance=8.0,
    ),
    samples("cummax", _running(np.greater), *_ORDERED, dtypes=REAL, result=("same", int64)),
    samples("cummin", _running(np.less), *_ORDERED, dtypes=REAL, result=("same", int64)),
]
