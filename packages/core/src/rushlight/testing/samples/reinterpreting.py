"""Samples of views that read the same memory as another dtype."""

from typing import Any

import numpy as np

from ... import _dtypes
from ._inputs import real
from ._table import COMPLEX, FULL, case, samples


def _view_dtype(x: Any, dtype: Any, itemsize: Any) -> Any:
    return x.astype(np.float32).view(dtype.numpy)


SAMPLES = [
    samples("real", np.real, real(2, 3), real(0), dtypes=COMPLEX, result="real", tolerance=0.0),
    samples("imag", np.imag, real(2, 3), real(0), dtypes=COMPLEX, result="real", tolerance=0.0),
    samples(
        "view_as_real",
        lambda x: np.stack([x.real, x.imag], axis=-1),
        real(2, 3),
        real(),
        dtypes=COMPLEX,
        result="real",
        tolerance=0.0,
    ),
    samples(
        "view_as_complex",
        lambda x: x[..., 0] + 1j * x[..., 1],
        real(2, 3, 2),
        real(2),
        dtypes=FULL,
        result="complex",
        tolerance=0.0,
        # The parts must lie side by side.
        layouts=False,
        batches=(0,),
    ),
    samples(
        "view_dtype",
        _view_dtype,
        case(real(2, 3), dtype=_dtypes.int32, itemsize=4),
        case(real(2, 3), dtype=_dtypes.int16, itemsize=4),
        dtypes=FULL[:1],
        result="dtype",
        layouts=False,
        smooth=False,
        batches=(0,),
    ),
]
