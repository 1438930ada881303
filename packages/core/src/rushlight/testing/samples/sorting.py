"""Samples of sorting, selecting and searching."""

from typing import Any

import numpy as np

from ... import _dtypes
from ..._dtypes import int64
from ._inputs import constant, distinct, real, values, with_nan
from ._table import FLOATING, REAL, SOME_INTEGER, case, samples


def _sort(x: Any, dim: Any, descending: Any = False, stable: Any = False) -> Any:
    # Negating keeps equal elements in their order, which flipping would not.
    key = -x if descending else x
    order = np.argsort(key, axis=dim, kind="stable")
    if descending and x.dtype.kind == "f":
        order = np.argsort(np.where(np.isnan(x), -np.inf, key), axis=dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def _topk(x: Any, k: Any, dim: Any, largest: Any = True, sorted: Any = True) -> Any:
    values, order = _sort(x, dim, descending=largest)
    return np.take(values, range(k), axis=dim), np.take(order, range(k), axis=dim)


def _kthvalue(x: Any, k: Any, dim: Any, keepdim: Any = False) -> Any:
    found = [np.take(part, [k - 1], axis=dim) for part in _sort(x, dim)]
    return tuple(part if keepdim else np.squeeze(part, dim) for part in found)


def _unique(
    x: Any, dim: Any = None, return_inverse: Any = False, return_counts: Any = False
) -> Any:
    found, inverse, counts = np.unique(x, axis=dim, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(x.shape if dim is None else -1)
    return found, inverse if return_inverse else None, counts if return_counts else None


def _unique_consecutive(
    x: Any, dim: Any = None, return_inverse: Any = False, return_counts: Any = False
) -> Any:
    rows = x.ravel() if dim is None else np.moveaxis(x, dim, 0)
    starts = [i for i in range(len(rows)) if i == 0 or not np.array_equal(rows[i], rows[i - 1])]
    found = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    inverse = np.searchsorted(starts, np.arange(len(rows)), side="right") - 1
    counts = np.diff([*starts, len(rows)])
    inverse = inverse.reshape(x.shape) if dim is None else inverse
    return found, inverse if return_inverse else None, counts if return_counts else None


def _searchsorted(ordered: Any, sought: Any, right: Any = False, out_int32: Any = False) -> Any:
    side: Any = "right" if right else "left"
    if ordered.ndim == 1:
        return np.searchsorted(ordered, sought, side=side)
    rows = [np.searchsorted(o, s, side=side) for o, s in zip(ordered, sought, strict=True)]
    return np.stack(rows)


_ORDER = (
    case(distinct(2, 4), dim=1),
    case(distinct(4, 2), dim=0, descending=True),
    case(distinct(2, 0), dim=1),
    case(values(3, 1, 3, 1, 2), dim=0, stable=True, smooth=False),
    case(values(3, 1, 3, 1, 2), dim=0, stable=True, descending=True, smooth=False),
    case(distinct(2, 131), dim=1, smooth=False, dtypes=FLOATING[:2]),
    case(with_nan(4), dim=0, dtypes=FLOATING, smooth=False),
    case(with_nan(4), dim=0, descending=True, dtypes=FLOATING, smooth=False),
)
_DUPLICATES = values([[1, 0, 1], [1, 0, 1], [0, 2, 1]])
_UNIQUE = (
    case(_DUPLICATES, return_inverse=True, return_counts=True),
    case(_DUPLICATES, dim=0, return_inverse=True, return_counts=True),
    case(_DUPLICATES, dim=1),
    case(values(2, 2, 1, 1, 2), return_counts=True),
)
_EXACT: dict[str, Any] = {"dtypes": REAL, "tolerance": 0.0, "result": ("same", int64)}
_DATA_DEPENDENT: dict[str, Any] = {"meta": False, "replays": False, "batches": (), "layouts": False}

SAMPLES = [
    samples("sort", _sort, *_ORDER, **_EXACT),
    samples("argsort", lambda x, **a: _sort(x, **a)[1], *_ORDER, dtypes=REAL, result=int64),
    samples(
        "topk",
        _topk,
        case(distinct(2, 4), k=2, dim=1),
        case(distinct(4, 2), k=3, dim=0, largest=False),
        case(distinct(3), k=0, dim=0),
        case(with_nan(4), k=2, dim=0, dtypes=FLOATING[:2], smooth=False),
        **_EXACT,
    ),
    samples(
        "kthvalue",
        _kthvalue,
        case(distinct(2, 4), k=2, dim=1),
        case(distinct(4, 2), k=4, dim=0, keepdim=True),
        case(with_nan(4), k=4, dim=0, dtypes=FLOATING[:2], smooth=False),
        **_EXACT,
    ),
    samples(
        "unique",
        _unique,
        *_UNIQUE,
        dtypes=(*FLOATING[:2], *SOME_INTEGER),
        result=("same", int64, int64),
        **_DATA_DEPENDENT,
    ),
    samples(
        "unique_consecutive",
        _unique_consecutive,
        *_UNIQUE,
        dtypes=(*FLOATING[:2], *SOME_INTEGER),
        result=("same", int64, int64),
        **_DATA_DEPENDENT,
    ),
    samples(
        "searchsorted",
        _searchsorted,
        case(constant(values(-1.0, 0.0, 1.0, 1.0, 3.0)), real(2, 3)),
        case(constant(values(-1.0, 0.0, 1.0, 1.0, 3.0)), values(1.0, -5.0, 9.0), right=True),
        case(constant(values([[0.0, 1.0, 2.0], [-2.0, -1.0, 0.0]])), real(2, 2)),
        dtypes=(*FLOATING[:2], *SOME_INTEGER),
        result=int64,
        layouts=False,
    ),
    samples(
        "bincount",
        lambda x, weights, minlength=0: np.bincount(x, weights, minlength),
        case(values(0, 3, 3, 1), None),
        case(values(0, 3, 3, 1), None, minlength=7),
        dtypes=(_dtypes.int64, _dtypes.uint8),
        result=int64,
        **_DATA_DEPENDENT,
    ),
]
