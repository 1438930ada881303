"""NumPy in the place of CuPy, with CuPy's manners: what passes here does not lean on NumPy.

- Arrays are of a class of their own; host arrays among the operands are refused.
- There are no NumPy scalars: every result is an array.
- Ufuncs are not NumPy's; they have `reduce` for sums and products only, no `at`, and no loops for
  some dtypes.
- Indices out of range wrap around without a word; a singular matrix gives NaN, unless asked.
- Memory is counted, and can be made scarce; streams and events write down what they are told.

`lacks.py` says what CuPy 14 lacks; `test_cuda_cupy.py` compares it with the real one.
"""

from . import cupy as cupy
from . import cupyx as cupyx
