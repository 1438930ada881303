"""Eigenvalues and vectors of general matrices, in complex arithmetic.

Householder's reflections leave one diagonal below the main one, and QR steps with shifts make that
an upper triangle T = Z^H A Z, whose diagonal has the eigenvalues.  The vectors of T come by
substitution, in strips of columns, and Z carries them over.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 7.4 to 7.6.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, complex64, complex128, int32, int64
from .._singularities import not_converged
from .array import DeviceArray
from .matrices import copied, part, restored
from .qr import REFLECTOR, Reflections
from .registry import Family, Kernel

general_eigen = Family()

# A := H^H A H for each reflection H = 1 - tau v v^H of what is below the diagonal of a column.
_REDUCE = f"""
for (i64 k = 0; k < n - 1; k++) {{
    const i64 rest = k + 1;
    {{
        const i64 length = n - rest, step = n;
        $D $T* x = a + rest * n + k;
        {REFLECTOR}
        ONE {{ x[0] = of_$T(beta); tau[k] = t; }}
        SYNC
    }}
    EACH(i, rest, n) v[i] = i == rest ? of_$T(1) : a[i * n + k];
    EACH(j, rest, n) p[j] = of_$T(0);
    SYNC
    const $T t = tau[k], back = conj_$T(t);
    for (i64 i = rest; i < n; i++) {{
        const $T f = conj_$T(v[i]);
        EACH(j, rest, n) p[j] = add_$T(p[j], mul_$T(f, a[i * n + j]));
    }}
    for (i64 i = rest; i < n; i++) {{
        const $T f = mul_$T(back, v[i]);
        EACH(j, rest, n) a[i * n + j] = less_$T(a[i * n + j], f, p[j]);
    }}
    SYNC
    EACH(i, 0, n) {{
        $T sum = of_$T(0);
        for (i64 j = rest; j < n; j++) sum = add_$T(sum, mul_$T(a[i * n + j], v[j]));
        sum = mul_$T(sum, t);
        for (i64 j = rest; j < n; j++)
            a[i * n + j] = less_$T(a[i * n + j], sum, conj_$T(v[j]));
    }}
    SYNC
}}"""

# The eigenvalue of the last two rows of a block that is nearer to its last element.
_SHIFT = """
const $T low = a[m * n + m], off = a[m * n + m - 1];
const $T p = scale_$T(sub_$T(a[(m - 1) * n + m - 1], low), ($R)0.5);
const $T product = mul_$T(a[(m - 1) * n + m], off);
$T root = sqrt_$T(add_$T(mul_$T(p, p), product));
if (real_$T(mul_$T(conj_$T(p), root)) < 0) root = scale_$T(root, -1);
const $T far_ = add_$T(p, root);
$T s = low;
if (size_$T(far_) != 0) s = sub_$T(s, div_$T(product, far_));
if (state[2] % 10 == 0)  // where shifts go round in circles
    s = add_$T(low, of_$T(size_$T(off) + (m > 1 ? size_$T(a[(m - 1) * n + m - 2]) : 0)));
shift[0] = s;
for (i64 i = l; i <= m; i++) a[i * n + i] = sub_$T(a[i * n + i], s);"""

# `state` holds the last row m and the first l of the block at work, the number of steps for m, and
# whether there was one.
_DECIDE = f"""
i64 m = state[0], l = 0;
while (m > 0) {{
    for (l = m; l > 0; l--) {{
        const $R near_ = size_$T(a[(l - 1) * n + l - 1]) + size_$T(a[l * n + l]);
        if (size_$T(a[l * n + l - 1]) <= $E * near_) {{
            a[l * n + l - 1] = of_$T(0);
            break;
        }}
    }}
    if (l < m) break;
    m--;
    state[2] = 0;
}}
state[2]++;
if (m > 0 && state[2] > 60) info[0] = (i32)(m + 1);
state[3] = m > 0 && info[0] == 0;
if (state[3]) {{
    {_SHIFT}
}} else {{
    m = l = 0;
    shift[0] = of_$T(0);
}}
state[0] = m;
state[1] = l;"""

# From the left row by row, each rotation making a zero; then all of them from the right.
_TURN_RIGHT = """
    for (i64 k = FIRST; k < m; k++) {
        const $T c = cosine[k], s = sine[k], f = ROW[k], g = ROW[k + 1];
        ROW[k] = add_$T(mul_$T(f, c), mul_$T(g, s));
        ROW[k + 1] = less_$T(mul_$T(g, conj_$T(c)), f, conj_$T(s));
    }"""
_SCHUR = f"""
EACH(i, 0, n) for (i64 j = 0; j + 1 < i; j++) a[i * n + j] = of_$T(0);
ONE {{
    info[0] = 0;
    state[0] = n - 1;
    state[2] = 0;
}}
i64 going = 1;
while (going) {{
    SYNC
    ONE {{
        {_DECIDE}
    }}
    SYNC
    going = state[3];
    const i64 m = state[0], l = state[1];
    for (i64 k = l; k < m; k++) {{
        const $T x = a[k * n + k], y = a[(k + 1) * n + k];
        const $R r = hypot_$R(abs_$T(x), abs_$T(y));
        const $T c = r == 0 ? of_$T(1) : scale_$T(x, 1 / r);
        const $T s = r == 0 ? of_$T(0) : scale_$T(y, 1 / r);
        SYNC
        EACH(j, k, n) {{
            const $T f = a[k * n + j], g = a[(k + 1) * n + j];
            a[k * n + j] = add_$T(mul_$T(conj_$T(c), f), mul_$T(conj_$T(s), g));
            a[(k + 1) * n + j] = j == k ? of_$T(0) : less_$T(mul_$T(c, g), s, f);
        }}
        ONE {{ cosine[k] = c; sine[k] = s; }}
        SYNC
    }}
    EACH(i, 0, m + 1) {{
        $D $T* row = a + i * n;
        {_TURN_RIGHT.replace("FIRST", "(i - 1 > l ? i - 1 : l)").replace("ROW", "row")}
    }}
    if (vectors) EACH(i, 0, n) {{
        $D $T* row = z_ + i * n;
        {_TURN_RIGHT.replace("FIRST", "l").replace("ROW", "row")}
    }}
    SYNC
    ONE for (i64 i = l; i <= m; i++) a[i * n + i] = add_$T(a[i * n + i], shift[0]);
}}
SYNC
$R top = 0;
EACH(i, 0, n) {{
    values[i] = a[i * n + i];
    for (i64 j = i; j < n; j++) top = maximum_$R(top, size_$T(a[i * n + j]));
}}
MOST(top)
ONE least[0] = maximum_$R($E * top, ($R)1e-36);"""

# Column k solves (T - T[k, k]) y = 0 with y[k] = 1. Vectors that grow are made smaller.
_SUBSTITUTE = """
for (i64 i = columns - 1; i >= 0; i--) {
    $T sum[$S];
    LANES(l) sum[l] = of_$T(0);
    for (i64 j = i + 1; j < columns; j++) {
        const $T f = a[i * columns + j];
        LANES(l) sum[l] = less_$T(sum[l], f, y[j * columns + c + l]);
    }
    LANES(l) {
        const i64 k = c + l;
        $T gap = sub_$T(a[i * columns + i], values[k]);
        if (size_$T(gap) < least[0]) gap = of_$T(least[0]);
        const $T found = i > k ? of_$T(0) : i == k ? of_$T(1) : div_$T(sum[l], gap);
        y[i * columns + k] = found;
        const $R size = size_$T(found);
        if (size > ($R)1e6)
            for (i64 j = i; j <= k; j++)
                y[j * columns + k] = scale_$T(y[j * columns + k], 1 / size);
    }
}"""

# Vectors of length 1, whose greatest element is real.
_NORMALISE = """
LANES(l) {
    $R sum = 0, best = -1;
    $T first = of_$T(1);
    for (i64 i = 0; i < columns; i++) {
        const $T x = v[i * columns + c + l];
        const $R square = square_$T(x);
        sum += square;
        if (square > best) { best = square; first = x; }
    }
    const $T f = scale_$T(conj_$T(first), 1 / (sqrt_$R(sum) * abs_$T(first)));
    for (i64 i = 0; i < columns; i++)
        v[i * columns + c + l] = mul_$T(v[i * columns + c + l], f);
}"""


class GeneralEigen(Reflections):
    """Eigenvalues and vectors of (batch, n, n), of a complex dtype."""

    def __call__(self, who: str, a: DeviceArray, vectors: bool) -> tuple[DeviceArray, DeviceArray]:
        """Values, and vectors as columns; `a` is overwritten.

        Raises:
            LinAlgError: Steps did not come to an end.
        """
        count, n = a.shape[:2]
        values = self.empty(count, n)
        if not a.size:
            return values, a
        tau, v, p = self.empty(count, max(n - 1, 1)), self.empty(count, n), self.empty(count, n)
        reduce_ = self.kernel("hessenberg", "$T a $T tau $T v $T p", "n", _REDUCE)
        reduce_(count, a, tau, v, p, n)
        z = a
        if vectors:
            z = self.identity(count, n, n)
            if n > 1:
                weights = tau.geometry((count, n - 1), tau.strides, 0)
                self.apply(part(a, 1, n, 0, n - 1), weights, part(z, 1, n, 0, n), adjoint=False)
        state, info = self.empty(count, 4, dtype=int64), self.empty(count, 1, dtype=int32)
        shift, least = self.empty(count, 1), self.empty(count, 1, dtype=self.part)
        schur = self.kernel(
            "schur",
            "$T a $T z_ $T cosine $T sine $T values $T shift $R least i64 state i32 info",
            "n vectors", _SCHUR,
        )  # fmt: skip
        schur(count, a, z, v, p, values, shift, least, state, info, n, vectors)
        if self.device.to_host(info).any():
            raise not_converged(who)
        if not vectors:
            return values, a
        y = self.empty(count, n, n)
        substitute = self.kernel(
            "eigen_substitute", "$T y $T a $T values $R least", "columns", _SUBSTITUTE, strips=True
        )
        substitute(count, y, a, values, least, n)
        out = self.product(z, y)
        self.kernel("normalise", "$T v", "columns", _NORMALISE, strips=True)(count, out, n)
        return values, out


def _complex(dtype: DType) -> DType:
    return complex64 if dtype.to_real().itemsize == 4 else complex128


def _working_copy(device: Any, x: DeviceArray) -> DeviceArray:
    """The matrices in complex numbers, as (batch, n, n)."""
    wide = _complex(x.dtype)
    return copied(x if x.dtype is wide else device.movement.cast(x, wide))


@general_eigen.kernel("linalg_eig", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = GeneralEigen(device, _complex(dtype))

    def kernel(x: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        w, v = eigen("linalg.eig", _working_copy(device, x), True)
        return restored(w, x.shape[:-2]), restored(v, x.shape[:-2])

    return kernel


@general_eigen.kernel("linalg_eigvals", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = GeneralEigen(device, _complex(dtype))

    def kernel(x: DeviceArray) -> DeviceArray:
        w, _ = eigen("linalg.eigvals", _working_copy(device, x), False)
        return restored(w, x.shape[:-2])

    return kernel
