"""Ufuncs that NumPy gets wrong when `out=` is a view with steps; here they are right.

Seen with NumPy 2.4 on x86-64 and found by comparing every ufunc, dtype and pair of steps:

- `negative` of 4- and 8-byte numbers leaves elements unwritten or mixes them up when its operand
  takes steps of 16 or 64 bytes (the square of the element's size: columns of a matrix with four
  float32 or eight float64 in a row) and `out` takes steps too;
- `isnan`, `isinf`, `isfinite` and `signbit` of float32 and float64 do so when `out` takes steps.

Results that NumPy allocates have no such steps, so only calls with `out=` need care: the result is
computed fresh and copied.
"""

from __future__ import annotations

import numpy as np

from ._common import Array, ArrayModule, Kernel

_PREDICATES = frozenset({"isnan", "isinf", "isfinite", "signbit"})


def strided_out(xp: ArrayModule, name: str) -> Kernel:
    """The ufunc of a name; on NumPy one that may be given any `out=`."""
    ufunc: Kernel = getattr(xp, name)
    if xp is not np or not (name in _PREDICATES or name == "negative"):
        return ufunc

    def kernel(x: Array, out: Array | None = None) -> Array:
        if out is None:
            return ufunc(x)
        if name in _PREDICATES:
            wrong = not out.flags.c_contiguous
        else:
            wrong = x.itemsize**2 in map(abs, x.strides)
        if wrong:
            out[...] = ufunc(x)
            return out
        return ufunc(x, out)

    return kernel
