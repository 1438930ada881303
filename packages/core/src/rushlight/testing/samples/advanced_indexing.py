"""Samples of reading and writing by index tensors."""

from typing import Any

import numpy as np

from ._inputs import fixed, index, real
from ._table import EVERY, FLOATING, case, samples


def _key(x: Any, indices: Any, dims: Any) -> Any:
    key = [slice(None)] * x.ndim
    for dim, each in zip(dims, indices, strict=True):
        key[dim] = each
    return tuple(key)


def _index(x: Any, *indices: Any, dims: Any) -> Any:
    return x[_key(x, indices, dims)]


def _index_put(x: Any, values: Any, *indices: Any, dims: Any, accumulate: Any = False) -> Any:
    out = x.copy()
    key = _key(x, indices, dims)
    if accumulate:
        np.add.at(out, key, values)
    else:
        out[key] = values
    return out


SAMPLES = [
    samples(
        "index",
        _index,
        case(real(3, 4), index(3, 2), dims=(0,)),
        case(real(3, 4), index(3, 2, 2), index(4, 2), dims=(0, 1)),
        case(real(2, 3, 2), index(2, 3), index(2, 3), dims=(0, 2)),
        case(real(3, 2), index(3, 0), dims=(0,)),
        case(real(3, 4), fixed(-1, 0, -3), fixed(2, -4, -1), dims=(0, 1)),
        dtypes=EVERY,
        tolerance=0.0,
    ),
    samples(
        "index_put",
        _index_put,
        case(real(4, 3), real(2, 3), index(4, 2, unique=True), dims=(0,)),
        case(real(4, 3), real(2, 3), index(4, 2), dims=(0,), accumulate=True),
        case(real(4, 3), real(), index(4, 2), index(3, 2), dims=(0, 1), accumulate=True),
        case(real(3, 2), real(0, 2), index(3, 0), dims=(0,)),
        case(real(3, 2), real(2, 2), fixed(-1, -3), dims=(0,)),
        dtypes=(*FLOATING, *EVERY[4:5]),
        forms=False,
    ),
]
