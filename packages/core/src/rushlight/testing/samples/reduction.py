"""Samples of sums, products and logical reductions."""

import numpy as np

from ..._dtypes import bool_, int64
from ..references import along
from ._inputs import mask, real, values, with_inf, with_nan
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
_LOGICAL = (
    *_DIMS,
    case(mask(2, 3), dim=(1,)),
    case(values([[0, 0], [0, 1], [2, 3]]), dim=(1,)),
    case(with_nan(3), dim=(0,), dtypes=FLOATING),
)
# NumPy's sum would turn bool into integers; here the operator keeps the dtype and torch's function
# converts before.

SAMPLES = [
    samples("sum", along(np.sum), *_DIMS, *_SPECIAL, dtypes=(*INEXACT, int64)),
    samples("nansum", along(np.nansum), *_DIMS, *_SPECIAL, dtypes=(*FLOATING, int64)),
    samples(
        "prod",
        along(np.prod),
        *_DIMS,
        *_SPECIAL,
        case(values([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]), dim=(1,), dtypes=FLOATING),
        dtypes=(*INEXACT, int64),
        # torch's takes one dimension or all.
        forms=False,
    ),
    samples("any", along(np.any), *_LOGICAL, dtypes=EVERY, result=bool_),
    samples("all", along(np.all), *_LOGICAL, dtypes=EVERY, result=bool_),
    samples("count_nonzero", along(np.count_nonzero), *_LOGICAL, dtypes=EVERY, result=int64),
]
