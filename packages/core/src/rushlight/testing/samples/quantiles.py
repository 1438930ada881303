"""Samples of medians and modes."""

from typing import Any

import numpy as np

from ..._dtypes import int64
from ._inputs import distinct, values, with_nan
from ._table import FLOATING, REAL, case, samples


def _median(x: Any, dim: Any, keepdim: Any = False) -> Any:
    """The lower of the two middle elements; NaN if there is one."""
    order = np.argsort(x, axis=dim, kind="stable")
    place = np.take(order, [(x.shape[dim] - 1) // 2], axis=dim)
    if x.dtype.kind == "f":
        missing = np.isnan(x).any(axis=dim, keepdims=True)
        place = np.where(missing, np.isnan(x).argmax(axis=dim, keepdims=True), place)
    found = np.take_along_axis(x, place, dim)
    return _kept((found, place), dim, keepdim)


def _nanmedian(x: Any, dim: Any, keepdim: Any = False) -> Any:
    order = np.argsort(x, axis=dim, kind="stable")
    missing = np.isnan(x.astype(float)).sum(axis=dim, keepdims=True)
    place = np.take_along_axis(order, np.maximum(x.shape[dim] - missing - 1, 0) // 2, dim)
    return _kept((np.take_along_axis(x, place, dim), place), dim, keepdim)


def _mode(x: Any, dim: Any, keepdim: Any = False) -> Any:
    """The most frequent element, the smallest of several; where it stands is left open."""

    def most(row: Any) -> Any:
        found, counts = np.unique(row, return_counts=True)
        return found[np.argmax(counts)]

    found = np.apply_along_axis(most, dim, x)
    return np.expand_dims(found, dim) if keepdim else found, None


def _kept(parts: Any, dim: Any, keepdim: Any) -> Any:
    return tuple(part if keepdim else np.squeeze(part, dim) for part in parts)


_ORDER = (
    case(distinct(2, 4), dim=1),
    case(distinct(3, 2), dim=0, keepdim=True),
    case(distinct(1, 2), dim=0),
    case(with_nan(2, 3), dim=1, dtypes=FLOATING, smooth=False),
)
_EXACT: dict[str, Any] = {"dtypes": REAL, "tolerance": 0.0}

SAMPLES = [
    samples("median", _median, *_ORDER, result=("same", int64), **_EXACT),
    samples("nanmedian", _nanmedian, *_ORDER, result=("same", int64), **_EXACT),
    samples(
        "mode",
        _mode,
        case(distinct(2, 4), dim=1),
        case(distinct(3, 2), dim=0, keepdim=True),
        case(values([[2, 1, 2, 1], [3, 3, 0, 3]]), dim=1, smooth=False),
        result=("same", int64),
        **_EXACT,
    ),
    samples(
        "median_of_all",
        lambda x, omit_nan=False: np.sort(x.ravel())[
            ((x.size - np.isnan(x.astype(float)).sum() if omit_nan else x.size) - 1) // 2
        ],
        case(distinct(2, 4)),
        case(distinct(3), omit_nan=True),
        case(with_nan(2, 3), omit_nan=True, dtypes=FLOATING, smooth=False),
        **_EXACT,
    ),
]
