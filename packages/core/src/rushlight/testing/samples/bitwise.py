"""Samples of operators on bits."""

import numpy as np

from ._inputs import within
from ._table import INTEGER, WHOLE, binary, unary

_bits = within(0.0, 50.0)
_signed = within(-50.0, 50.0)
_shift = within(0.0, 1.5)

SAMPLES = [
    binary("bitwise_and", np.bitwise_and, _bits, _bits, dtypes=WHOLE, extremes=False),
    binary("bitwise_or", np.bitwise_or, _bits, _bits, dtypes=WHOLE, extremes=False),
    binary("bitwise_xor", np.bitwise_xor, _bits, _bits, dtypes=WHOLE, extremes=False),
    binary("bitwise_left_shift", np.left_shift, _shift, _shift, dtypes=INTEGER, extremes=False),
    binary("bitwise_right_shift", np.right_shift, _signed, _shift, dtypes=INTEGER, extremes=False),
    unary("bitwise_not", np.invert, _bits, dtypes=WHOLE, extremes=False),
]
