"""Samples of sums, products and logical reductions."""

import numpy as np

from ..._dtypes import bool_, int32, int64
from ..references import along
from ._inputs import mask, positive, real, values, with_inf, with_nan, within
from ._table import EVERY, FLOATING, INEXACT, case, samples

_DIMS = (
    case(real(2, 3), dim=(0, 1)),
    case(real(2, 3), dim=(1,), keepdim=True),
    case(real(2, 1, 3), dim=(0,)),
    case(real(2, 2, 3), dim=(0, 2)),
    case(real(), dim=()),
    case(real(0, 3), dim=(0,)),
    case(real(2, 0), dim=(0,)),
)
_SPECIAL = (
    case(with_nan(2, 3), dim=(1,), dtypes=FLOATING, smooth=False),
    case(with_inf(4), dim=(0,), dtypes=FLOATING, smooth=False),
)
# Longer than a block, and no multiple of one.
_LONG = case(within(0.99, 1.01)(2, 301), dim=(1,), dtypes=FLOATING, smooth=False)
_TALL = case(within(0.99, 1.01)(301, 2), dim=(0,), dtypes=FLOATING[:1], smooth=False)
_VERY_LONG = case(positive(20011), dim=(0,), dtypes=FLOATING[:1], smooth=False)
_LATE = np.zeros((2, 301))
_LATE[0, 300] = 1.0
_EARLY = 1.0 - _LATE
_LOGICAL = (
    case(values(_LATE), dim=(1,), dtypes=FLOATING[:1]),
    case(values(_EARLY), dim=(1,), dtypes=FLOATING[:1]),
    *_DIMS,
    case(mask(2, 3), dim=(1,)),
    case(values([[0, 0], [0, 1], [2, 3]]), dim=(1,)),
    case(with_nan(3), dim=(0,), dtypes=FLOATING),
)
# NumPy's sum would turn bool into integers; here the operator keeps the dtype and torch's function
# converts before.

SAMPLES = [
    samples(
        "sum",
        along(np.sum),
        *_DIMS,
        *_SPECIAL,
        _LONG,
        _TALL,
        _VERY_LONG,
        # What int64 holds, and neither float64 nor 32 bits do.
        case(values((1 << 53) + 1, 1 << 40, -5), dim=(0,), dtypes=(int64,)),
        dtypes=(*INEXACT, int64, int32),
        tolerance=32.0,
    ),
    samples("nansum", along(np.nansum), *_DIMS, *_SPECIAL, dtypes=(*FLOATING, int64)),
    samples(
        "prod",
        along(np.prod),
        *_DIMS,
        *_SPECIAL,
        case(within(0.999, 1.001)(2, 301), dim=(1,), dtypes=FLOATING[:2], smooth=False),
        case(values([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]), dim=(1,), dtypes=FLOATING),
        dtypes=(*INEXACT, int64),
        # 300 roundings add up in any order of the factors.
        tolerance=8.0,
        # torch's takes one dimension or all.
        forms=False,
    ),
    samples("any", along(np.any), *_LOGICAL, dtypes=EVERY, result=bool_),
    samples("all", along(np.all), *_LOGICAL, dtypes=EVERY, result=bool_),
    samples("count_nonzero", along(np.count_nonzero), *_LOGICAL, dtypes=EVERY, result=int64),
]
