"""Samples of what makes memory: filling, counting, copying and converting."""

from typing import Any

import numpy as np

from ... import _dtypes
from ._inputs import real, special
from ._table import EVERY, FULL, case, samples


def _full(shape: Any, value: Any, dtype: Any) -> Any:
    return np.full(shape, value)


SAMPLES = [
    samples(
        "full",
        _full,
        case(shape=(2, 3), value=2.5, dtype=_dtypes.float32),
        case(shape=(), value=7, dtype=_dtypes.int64),
        case(shape=(0, 2), value=True, dtype=_dtypes.bool_),
        case(shape=(2,), value=1 + 2j, dtype=_dtypes.complex64),
        dtypes=FULL[:1],
        result="dtype",
    ),
    samples(
        "arange",
        lambda start, step, length, dtype: start + step * np.arange(length),
        case(start=0, step=1, length=5, dtype=_dtypes.int64),
        case(start=1.5, step=-0.25, length=4, dtype=_dtypes.float64),
        case(start=2, step=3, length=0, dtype=_dtypes.int32),
        dtypes=FULL[:1],
        result="dtype",
    ),
    samples("clone", np.copy, real(2, 3), real(), real(0, 2), dtypes=EVERY, tolerance=0.0),
    samples(
        "cast",
        lambda x, dtype: x,
        case(real(2, 3), dtype=_dtypes.float64),
        case(real(2, 3), dtype=_dtypes.float32, smooth=False),
        case(real(0), dtype=_dtypes.float16),
        case(special(), dtype=_dtypes.bfloat16, smooth=False, dtypes=FULL),
        dtypes=(*FULL, _dtypes.bfloat16, _dtypes.int64, _dtypes.bool_),
        result="dtype",
    ),
]
