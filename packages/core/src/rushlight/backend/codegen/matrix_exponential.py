"""The exponential of matrices, by scaling and squaring: products, and one system to solve.

References:
    Higham (2005), The scaling and squaring method for the matrix exponential revisited.
    SIAM Journal on Matrix Analysis 26(4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType, float32, int32
from .array import DeviceArray
from .lu import LU
from .matrices import copied, restored
from .registry import Family, Kernel

matrix_exponential = Family()
# Numerator of the diagonal Padé approximant of degree 13 (the denominator alternates), and the
# norm up to which it is as precise as float64.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_RADIUS = 5.371920351148152

_NORM = """
$R most = 0;
EACH(j, 0, n) {
    $R sum = 0;
    for (i64 i = 0; i < n; i++) sum += abs_$T(x[i * n + j]);
    most = maximum_$R(most, sum);
}
MOST(most)
ONE norm[0] = most;"""

_SCALE = """
for (i64 i = 0; i < columns; i++)
    LANES(l) x[i * columns + c + l] = scale_$T(x[i * columns + c + l], factor[0]);"""

_COMBINE = """
for (i64 i = 0; i < columns; i++)
    LANES(l) {
        const i64 at = i * columns + c + l;
        $T sum = add_$T(scale_$T(x[at], f), add_$T(scale_$T(y[at], g), scale_$T(w[at], h)));
        if (i == c + l) sum = add_$T(sum, of_$T(unit));
        out[at] = more ? add_$T(out[at], sum) : sum;
    }"""

_CHOOSE = """
if (step < times[0])
    for (i64 i = 0; i < columns; i++) LANES(l) out[i * columns + c + l] = x[i * columns + c + l];"""


class Exponential(LU):
    """exp of (batch, n, n)."""

    def __call__(self, x: DeviceArray) -> DeviceArray:
        """The exponentials; `x` is overwritten."""
        count, n = x.shape[:2]
        times = self._times(x)
        factor = self.device.from_host(np.exp2(-times[:, None]).astype(self.part.numpy))
        scale = self.kernel("scale_each", "$T x $R factor", "columns", _SCALE, strips=True)
        scale(count, x, factor, n)
        out = self._approximant(x)
        steps = self.device.from_host(times.astype(int32.numpy)[:, None])
        choose = self.kernel(
            "choose_squared", "$T out $T x i32 times", "columns step", _CHOOSE, strips=True
        )
        for step in range(int(times.max())):
            choose(count, out, self.product(out, out), steps, n, step)
        return out

    def _times(self, x: DeviceArray) -> Any:
        """How often each matrix is halved, on the host."""
        norm = self.empty(x.shape[0], 1, dtype=self.part)
        self.kernel("one_norm", "$T x $R norm", "n", _NORM)(x.shape[0], x, norm, x.shape[1])
        found = np.asarray(self.device.to_host(norm), np.float64)[:, 0]
        found = np.where(np.isfinite(found), np.maximum(found, _RADIUS), _RADIUS)
        return np.ceil(np.log2(found / _RADIUS))

    def _approximant(self, a: DeviceArray) -> DeviceArray:
        count, n = a.shape[:2]
        combine = self.kernel(
            "combine", "$T out $T x $T y $T w", "columns f:$R g:$R h:$R unit:$R more", _COMBINE,
            strips=True,
        )  # fmt: skip
        a2 = self.product(a, a)
        a4 = self.product(a2, a2)
        a6 = self.product(a4, a2)

        def half(first: int) -> DeviceArray:
            """The sum of every second power, from the one of the coefficient `first` on."""
            b = _PADE[first:]
            inner = self.empty(count, n, n)
            combine(count, inner, a2, a4, a6, n, b[8], b[10], b[12], 0.0, 0)
            total = self.product(a6, inner)
            combine(count, total, a2, a4, a6, n, b[2], b[4], b[6], b[0], 1)
            return total

        even, odd = half(0), self.product(a, half(1))
        below = self.operator("sub", even, odd)
        pivots = self.factor(below)
        return self.solution(below, pivots, self.operator("add", even, odd))


@matrix_exponential.kernel("linalg_matrix_exp", "floating reduced complex")
def _(device: Any, dtype: DType) -> Kernel:
    wide = float32 if dtype.is_reduced else dtype
    exponential = Exponential(device, wide)

    def kernel(x: DeviceArray) -> DeviceArray:
        a = device.movement.cast(x, wide) if dtype.is_reduced else x
        a = copied(a)
        out = restored(exponential(a), x.shape[:-2]) if a.size else a
        if dtype.is_reduced:
            made: DeviceArray = device.movement.cast(out, dtype)
            return made
        return out if a.size else device.empty(x.shape, dtype)

    return kernel
