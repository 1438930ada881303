"""Samples of what makes memory: filling, counting, copying and converting."""

from typing import Any

import numpy as np

from ... import _dtypes
from ._inputs import real, special, values
from ._table import EVERY, FULL, MANY, case, samples


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
        case(shape=(3,), value=0, dtype=_dtypes.float32),
        case(shape=(3, 5), value=0.0, dtype=_dtypes.float32),
        case(shape=(1031,), value=3, dtype=_dtypes.uint8),
        dtypes=FULL[:1],
        result="dtype",
    ),
    samples(
        "arange",
        lambda start, step, length, dtype: start + step * np.arange(length),
        case(start=0, step=1, length=5, dtype=_dtypes.int64),
        case(start=1.5, step=-0.25, length=4, dtype=_dtypes.float64),
        case(start=2, step=3, length=0, dtype=_dtypes.int32),
        # What rounding each step anew would make of it.
        case(start=0.0, step=0.1, length=1031, dtype=_dtypes.float32),
        dtypes=FULL[:1],
        result="dtype",
    ),
    samples(
        "clone", np.copy, real(2, 3), real(), real(0, 2), real(MANY), dtypes=EVERY, tolerance=0.0
    ),
    samples(
        "cast",
        lambda x, dtype: x,
        case(real(2, 3), dtype=_dtypes.float64),
        case(real(2, 3), dtype=_dtypes.float32, smooth=False),
        case(real(0), dtype=_dtypes.float16),
        case(special(), dtype=_dtypes.bfloat16, smooth=False, dtypes=FULL),
        case(real(MANY), dtype=_dtypes.bfloat16, smooth=False, dtypes=FULL),
        case(real(MANY), dtype=_dtypes.float16, smooth=False, dtypes=FULL),
        case(values(1.7, -1.7, 2.5, -0.5), dtype=_dtypes.int32, smooth=False, dtypes=FULL),
        case(
            values(0.5, float("nan"), -0.25, 0.0, -0.0, float("inf")),
            dtype=_dtypes.bool_, smooth=False, dtypes=FULL,
        ),
        case(values(300, -1, 127), dtype=_dtypes.uint8, dtypes=(_dtypes.int64,)),
        dtypes=(*FULL, _dtypes.bfloat16, _dtypes.int64, _dtypes.bool_),
        result="dtype",
        tolerance=0.0,
    ),
]  # fmt: skip
