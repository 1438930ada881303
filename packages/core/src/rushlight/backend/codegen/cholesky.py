"""Cholesky factors: blocks of rows of the upper factor, and products for what is below them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType, int32
from .._singularities import not_positive
from .array import DeviceArray
from .matrices import copied, numbers, part, restored, transposed
from .registry import Family, Kernel
from .triangular import Triangular

cholesky = Family()
_BLOCK = 64

# The first pivot that fails is told; `_CLEAR` makes zeros of the rows from there on.
_FACTOR = """
for (i64 k = start; k < stop; k++) {
    const $R pivot = real_$T(a[k * n + k]);
    const i64 good = pivot > 0 && info[0] == 0;
    SYNC
    ONE if (!good && info[0] == 0) info[0] = (i32)(k + 1);
    const $R root = good ? sqrt_$R(pivot) : 1;
    EACH(j, k, stop)
        a[k * n + j] = good ? j == k ? of_$T(root) : scale_$T(a[k * n + j], 1 / root) : of_$T(0);
    SYNC
    for (i64 i = k + 1; i < stop; i++) {
        const $T f = conj_$T(a[k * n + i]);
        EACH(j, i, stop) a[i * n + j] = less_$T(a[i * n + j], f, a[k * n + j]);
    }
    SYNC
}"""

_CLEAR = """
for (i64 i = 0; i < n; i++)
    LANES(l) if (i > c + l || (info[0] > 0 && i >= info[0] - 1)) x[i * n + c + l] = of_$T(0);"""


class Cholesky(Triangular):
    """The upper factor U of A = U^H U, in place, row by row."""

    def factor(self, a: DeviceArray) -> DeviceArray:
        """Factors (batch, n, n), whose upper triangle is read; returns the reports."""
        count, n = a.shape[:2]
        info: DeviceArray = self.device.movement.fill(self.empty(count, dtype=int32), 0)
        rows = self.kernel("cholesky", "$T a i32 info", "n start stop", _FACTOR)
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            rows(count, a, info, n, start, stop)
            if stop < n:
                corner = self.adjoint(part(a, start, stop, start, stop))
                right = part(a, start, stop, stop, n)
                self.solve(corner, right, False, False)
                self.subtract_product(part(a, stop, n, stop, n), self.adjoint(right), right)
        clear = self.kernel("clear_lower", "$T x i32 info", "n columns", _CLEAR, strips=True)
        clear(count, a, info, n, n)
        return info


@cholesky.kernel("linalg_cholesky", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = Cholesky(device, dtype)

    def kernel(
        x: DeviceArray, *, upper: bool = False, check_errors: bool = False
    ) -> tuple[DeviceArray, DeviceArray]:
        batch = x.shape[:-2]
        # The upper factor of the transposed matrix is the lower factor transposed.
        a = copied(x if upper else transposed(x))
        info = factors.factor(a)
        if check_errors and info.size:
            found = device.to_host(info)
            if found.any():
                raise not_positive(x.shape, np.asarray(found))
        if not upper:
            a = transposed(a)
        return restored(a, batch), numbers(info, batch)

    return kernel
