"""Factors of symmetric and Hermitian indefinite matrices, P L D L^T P^T, and their solver.

The layout is LAPACK's (`sytrf`, lower): a pivot p > 0 belongs to a block of one row exchanged with
row p, two equal pivots -p to a block of two rows, the second of them exchanged with row p.  Every
matrix is factored by one work-item, in both flavours; systems are solved in strips of columns.

References:
    Bunch and Kaufman (1977), Some stable methods for calculating inertia and solving symmetric
    linear systems. Mathematics of Computation 31(137).
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, int32
from .array import DeviceArray
from .matrices import Kernels, broadcast, common_batch, copied, numbers, restored
from .registry import Family, Kernel

indefinite = Family()

# Where the largest element of a column decides: (1 + sqrt(17)) / 8 of it.
_PIVOT = """
$R largest = 0;
i64 other = k;
for (i64 i = k + 1; i < n; i++)
    if (size_$T(a[i * n + k]) > largest) { largest = size_$T(a[i * n + k]); other = i; }
const $R here = size_$T(a[k * n + k]), share = ($R)0.6403882032022076 * largest;
i64 pivot = k, step = 1;
if (here < share) {
    $R row = 0;
    for (i64 j = k; j < other; j++) row = maximum_$R(row, size_$T(a[other * n + j]));
    for (i64 i = other + 1; i < n; i++) row = maximum_$R(row, size_$T(a[i * n + other]));
    if (!(here >= share * (largest / row))) {
        pivot = other;
        step = size_$T(a[other * n + other]) >= ($R)0.6403882032022076 * row ? 1 : 2;
    }
}"""

_EXCHANGE = """
const i64 at = k + step - 1;
if (pivot != at) {
    for (i64 i = pivot + 1; i < n; i++) SWAP(a[i * n + at], a[i * n + pivot])
    for (i64 j = at + 1; j < pivot; j++) {
        SWAP(a[j * n + at], a[pivot * n + j])
        a[j * n + at] = MIRRORED(a[j * n + at]);
        a[pivot * n + j] = MIRRORED(a[pivot * n + j]);
    }
    a[pivot * n + at] = MIRRORED(a[pivot * n + at]);
    SWAP(a[at * n + at], a[pivot * n + pivot])
    if (at != k) SWAP(a[at * n + k], a[pivot * n + k])
}"""

# The block of two rows is divided by the size of what is beside its diagonal.
_BLOCK = """
const $R scale = 1 / abs_$T(a[(k + 1) * n + k]);
const $T b21 = scale_$T(a[(k + 1) * n + k], scale), b12 = MIRRORED(b21);
const $T b11 = scale_$T(a[k * n + k], scale), b22 = scale_$T(a[(k + 1) * n + k + 1], scale);
const $T whole = less_$T(mul_$T(b11, b22), b12, b21);"""

# Rows from the last to the first, so that what is read of the columns is not yet divided.
_ELIMINATE = f"""
if (step == 1) {{
    const $T d = a[k * n + k];
    for (i64 i = n - 1; i > k; i--) {{
        const $T f = div_$T(a[i * n + k], d);
        for (i64 j = k + 1; j <= i; j++)
            a[i * n + j] = less_$T(a[i * n + j], f, MIRRORED(a[j * n + k]));
        a[i * n + k] = f;
    }}
}} else {{
    if (hermitian) a[(k + 1) * n + k + 1] = of_$T(real_$T(a[(k + 1) * n + k + 1]));
    {_BLOCK}
    for (i64 i = n - 1; i > k + 1; i--) {{
        const $T x = scale_$T(a[i * n + k], scale), y = scale_$T(a[i * n + k + 1], scale);
        const $T f = div_$T(less_$T(mul_$T(x, b22), y, b21), whole);
        const $T g = div_$T(less_$T(mul_$T(y, b11), x, b12), whole);
        for (i64 j = k + 2; j <= i; j++)
            a[i * n + j] = less_$T(less_$T(a[i * n + j], f, MIRRORED(a[j * n + k])),
                g, MIRRORED(a[j * n + k + 1]));
        a[i * n + k] = f;
        a[i * n + k + 1] = g;
    }}
}}"""

_MACROS = """
#define SWAP(x, y) { const $T kept = x; x = y; y = kept; }
#define MIRRORED(x) (hermitian ? conj_$T(x) : (x))"""

_FACTOR = f"""{_MACROS}
ONE {{
    info[0] = 0;
    i64 k = 0;
    while (k < n) {{
        if (hermitian) a[k * n + k] = of_$T(real_$T(a[k * n + k]));
        {_PIVOT}
        if (maximum_$R(here, largest) == 0) {{  // a column of zeros: nothing to eliminate
            if (info[0] == 0) info[0] = (i32)(k + 1);
            pivots[k] = (i32)(k + 1);
            k++;
            continue;
        }}
        {_EXCHANGE}
        {_ELIMINATE}
        pivots[k] = (i32)(step == 1 ? pivot + 1 : -(pivot + 1));
        if (step == 2) pivots[k + 1] = pivots[k];
        k += step;
    }}
}}"""

# A zero on D's diagonal gives infinities, as in LAPACK.
_SOLVE = f"""{_MACROS}
#define X(i, l) x[(i) * columns + c + (l)]
for (i64 k = 0; k < n;) {{
    const i64 step = pivots[k] > 0 ? 1 : 2, at = k + step - 1;
    const i64 other = (pivots[k] > 0 ? pivots[k] : -pivots[k]) - 1;
    LANES(l) SWAP(X(at, l), X(other, l))
    for (i64 i = k + step; i < n; i++) {{
        const $T f = a[i * n + k], g = step == 2 ? a[i * n + k + 1] : of_$T(0);
        LANES(l) X(i, l) = less_$T(less_$T(X(i, l), f, X(k, l)), g, X(at, l));
    }}
    if (step == 1) {{
        const $T d = a[k * n + k];
        LANES(l) X(k, l) = div_$T(X(k, l), d);
    }} else {{
        {_BLOCK}
        LANES(l) {{
            const $T one = scale_$T(X(k, l), scale), two = scale_$T(X(k + 1, l), scale);
            X(k, l) = div_$T(less_$T(mul_$T(b22, one), b12, two), whole);
            X(k + 1, l) = div_$T(less_$T(mul_$T(b11, two), b21, one), whole);
        }}
    }}
    k += step;
}}
for (i64 k = n - 1; k >= 0;) {{
    const i64 step = pivots[k] > 0 ? 1 : 2, first = k - step + 1;
    const i64 other = (pivots[k] > 0 ? pivots[k] : -pivots[k]) - 1;
    for (i64 i = k + 1; i < n; i++)
        for (i64 j = first; j <= k; j++) {{
            const $T f = MIRRORED(a[i * n + j]);
            LANES(l) X(j, l) = less_$T(X(j, l), f, X(i, l));
        }}
    LANES(l) SWAP(X(k, l), X(other, l))
    k -= step;
}}"""


@indefinite.kernel("linalg_ldl_factor", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    kernels = Kernels(device, dtype)

    def kernel(
        x: DeviceArray, *, hermitian: bool = False
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        batch = x.shape[:-2]
        a = copied(kernels.operator("tril", x) if x.size else x)
        count, n = a.shape[:2]
        pivots, info = kernels.empty(count, n, dtype=int32), kernels.empty(count, 1, dtype=int32)
        factor = kernels.kernel("ldl", "$T a i32 pivots i32 info", "n hermitian", _FACTOR)
        factor(count, a, pivots, info, n, hermitian and dtype.is_complex)
        return restored(a, batch), restored(pivots, batch), numbers(info, batch)

    return kernel


@indefinite.kernel("linalg_ldl_solve", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    kernels = Kernels(device, dtype)

    def kernel(
        ld: DeviceArray, pivots: DeviceArray, b: DeviceArray, *, hermitian: bool = False
    ) -> DeviceArray:
        batch = common_batch(ld, b)
        if pivots.dtype is not int32:
            pivots = device.movement.cast(pivots, int32)
        x = copied(broadcast(b, batch))
        count, n, columns = x.shape
        if x.size:
            solve = kernels.kernel(
                "ldl_solve", "$T x $T a i32 pivots", "n columns hermitian", _SOLVE, strips=True
            )
            a = copied(broadcast(ld, batch))
            places = copied(broadcast(pivots, batch, 1), 1)
            solve(count, x, a, places, n, columns, hermitian and dtype.is_complex)
        return restored(x, batch)

    return kernel
