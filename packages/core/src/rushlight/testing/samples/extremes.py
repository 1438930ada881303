"""Samples of greatest and smallest elements."""

import numpy as np

from ..._dtypes import int64
from ..references import along
from ._inputs import distinct, values, with_nan, within
from ._table import BOOL, FLOATING, REAL, case, samples

_DIMS = (
    case(distinct(2, 3), dim=(0, 1)),
    case(distinct(2, 3), dim=(1,), keepdim=True),
    case(distinct(2, 2, 3), dim=(0, 2)),
    case(distinct(3, 0), dim=(0,)),
    case(distinct(), dim=()),
    case(distinct(2, 301), dim=(1,), dtypes=FLOATING[:2], smooth=False),
    case(within(-2.0, -1.0)(2, 3), dim=(1,), dtypes=FLOATING),
    case(with_nan(2, 3), dim=(1,), dtypes=FLOATING, smooth=False),
)
_INDEX = (
    case(distinct(2, 3), dim=0),
    case(distinct(2, 3), dim=1, keepdim=True),
    case(distinct(2, 3), dim=None),
    case(distinct(2, 0), dim=0),
    case(values([[2.0, 1.0, 2.0], [0.0, 0.0, 0.0]]), dim=1, dtypes=FLOATING),
    case(with_nan(2, 3), dim=1, dtypes=FLOATING),
    case(distinct(2, 301), dim=1, dtypes=FLOATING[:2]),
)

SAMPLES = [
    samples("amax", along(np.max), *_DIMS, dtypes=(*REAL, *BOOL), tolerance=0.0),
    samples("amin", along(np.min), *_DIMS, dtypes=(*REAL, *BOOL), tolerance=0.0),
    samples("argmax", along(np.argmax), *_INDEX, dtypes=REAL, result=int64),
    samples("argmin", along(np.argmin), *_INDEX, dtypes=REAL, result=int64),
]
