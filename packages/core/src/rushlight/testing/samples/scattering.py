"""Samples of writing by index and by mask."""

from typing import Any

import numpy as np

from ._inputs import index, mask, real
from ._table import BOOL, EVERY, FLOATING, FULL, INTEGER, case, samples


def _index_add(x: Any, index: Any, src: Any, dim: Any, alpha: Any = 1) -> Any:
    out = x.copy()
    rows, source = np.moveaxis(out, dim, 0), np.moveaxis(src, dim, 0)
    for place, target in enumerate(index):
        rows[target] += alpha * source[place]
    return out


def _index_copy(x: Any, index: Any, src: Any, dim: Any) -> Any:
    out = x.copy()
    np.moveaxis(out, dim, 0)[index] = np.moveaxis(src, dim, 0)
    return out


def _index_fill(x: Any, index: Any, dim: Any, value: Any) -> Any:
    out = x.copy()
    np.moveaxis(out, dim, 0)[index] = value
    return out


def _put(x: Any, index: Any, src: Any, accumulate: Any = False) -> Any:
    out = x.copy().ravel()
    if accumulate:
        np.add.at(out, index.ravel(), src.ravel())
    else:
        out[index.ravel()] = src.ravel()
    return out.reshape(x.shape)


def _masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    out = x.copy()
    chosen = np.broadcast_to(mask, x.shape)
    out[chosen] = source.ravel()[: chosen.sum()]
    return out


def _arranged(x: Any, index: Any, src: Any, dim: Any) -> Any:
    return x, dim, index, src


_MOST = (*FULL, *INTEGER[:1])

SAMPLES = [
    samples(
        "index_add",
        _index_add,
        case(real(3, 4), index(4, 5), real(3, 5), dim=1),
        case(real(4, 2), index(4, 3), real(3, 2), dim=0, alpha=2),
        case(real(3, 2), index(3, 0), real(0, 2), dim=0),
        dtypes=_MOST,
        forms=False,
        tolerance=16.0,
    ),
    samples(
        "index_copy",
        _index_copy,
        case(real(3, 4), index(4, 2, unique=True), real(3, 2), dim=1),
        case(real(4, 2), index(4, 3, unique=True), real(3, 2), dim=0),
        case(real(3, 2), index(3, 0), real(0, 2), dim=0),
        dtypes=(*_MOST, *BOOL),
        arrange=_arranged,
    ),
    samples(
        "index_fill",
        _index_fill,
        case(real(3, 4), index(4, 2), dim=1, value=3),
        case(real(3, 2), index(3, 0), dim=0, value=1),
        dtypes=_MOST,
        arrange=lambda x, index, dim, value: (x, dim, index, value),
    ),
    samples(
        "put",
        _put,
        case(real(2, 3), index(6, 2, unique=True), real(2)),
        case(real(2, 3), index(6, 4), real(4), accumulate=True),
        dtypes=_MOST,
        tolerance=16.0,
    ),
    samples(
        "masked_fill",
        lambda x, mask, value: np.where(mask, value, x),
        case(real(2, 3), mask(2, 3), real()),
        case(real(2, 3), mask(3), real()),
        case(real(0, 3), mask(3), real()),
        dtypes=EVERY,
        tolerance=0.0,
    ),
    samples(
        "masked_scatter",
        _masked_scatter,
        case(real(2, 3), mask(2, 3), real(6)),
        case(real(2, 3), mask(3), real(2, 3)),
        dtypes=(*FLOATING, *INTEGER[:1]),
        replays=False,
        batches=(),
    ),
]
