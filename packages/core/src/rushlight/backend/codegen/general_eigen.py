"""Eigenvalues and vectors of general matrices.

QR steps with shifts make a triangle T = Z^H A Z of the Hessenberg form, whose diagonal has the
eigenvalues: complex matrices go there at once, real ones by the real Schur form.  The vectors of T
come by substitution, in strips of columns, and Z carries them over.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 7.4 to 7.6.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, complex64, complex128, int32, int64
from .._singularities import not_converged
from .array import DeviceArray
from .hessenberg import Hessenberg, qr_steps
from .matrices import copied, restored
from .real_schur import RealSchur
from .registry import Family, Kernel

general_eigen = Family()

_VALUES = """SYNC
$R top = 0;
EACH(i, 0, n) {
    values[i] = a[i * n + i];
    for (i64 j = i; j < n; j++) top = maximum_$R(top, size_$T(a[i * n + j]));
}
MOST(top)
ONE least[0] = maximum_$R($E * top, ($R)1e-36);"""

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
_STEP = f"""
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
    EACH(i, 0, vectors ? n : 0) {{
        $D $T* row = z_ + i * n;
        {_TURN_RIGHT.replace("FIRST", "l").replace("ROW", "row")}
    }}
    SYNC
    ONE for (i64 i = l; i <= m; i++) a[i * n + i] = add_$T(a[i * n + i], shift[0]);"""

_SCHUR = f"""
EACH(i, 0, n) for (i64 j = 0; j + 1 < i; j++) a[i * n + j] = of_$T(0);
{qr_steps(_DECIDE, _STEP)}
{_VALUES}"""

# A block of two rows becomes a triangle by a rotation made of the vector of its first eigenvalue:
# of real ones the greater in size, of a pair the one above the real axis.
_ROTATION = """
const $R a_ = h[k * n + k], b_ = h[k * n + k + 1];
const $R c_ = h[(k + 1) * n + k], d_ = h[(k + 1) * n + k + 1];
const $R half_ = (a_ - d_) / 2;
const $R large = maximum_$R(abs_$R(b_), abs_$R(c_)), small = minimum_$R(abs_$R(b_), abs_$R(c_));
const $R signed_ = (b_ < 0) == (c_ < 0) ? small : -small;
const $R scale = maximum_$R(maximum_$R(abs_$R(half_), large), ($R)1e-37);
const $R disc = half_ / scale * half_ + large / scale * signed_;
const $R root = sqrt_$R(scale) * sqrt_$R(abs_$R(disc));
const $R far_ = half_ + copysign_$R(root, half_);
const $R other = far_ == 0 ? d_ : d_ - large / far_ * signed_;
const $T one = disc >= 0 ? of_$T(d_ + far_) : join_$T(d_ + half_, root);
const $T two = disc >= 0 ? of_$T(other) : conj_$T(one);
const $T x = disc >= 0 ? of_$T(far_) : join_$T(half_, root);
const $R norm = hypot_$R(abs_$T(x), c_);
const $T s = of_$T(c_ / norm), c = scale_$T(x, 1 / norm);"""

_FROM_REAL = f"""
EACH(i, 0, n) for (i64 j = 0; j < n; j++) {{
    a[i * n + j] = of_$T(j + 1 >= i ? h[i * n + j] : 0);
    if (vectors) z_[i * n + j] = of_$T(q[i * n + j]);
}}
SYNC
for (i64 k = 0; k + 1 < n; k++) {{
    const i64 some = h[(k + 1) * n + k] != 0;
    {_ROTATION}
    EACH(j, k, some ? n : 0) {{
        const $T f = a[k * n + j], g = a[(k + 1) * n + j];
        a[k * n + j] = add_$T(mul_$T(conj_$T(c), f), mul_$T(s, g));
        a[(k + 1) * n + j] = less_$T(mul_$T(c, g), s, f);
    }}
    SYNC
    EACH(i, 0, some ? k + 2 : 0) {{
        const $T f = a[i * n + k], g = a[i * n + k + 1];
        a[i * n + k] = add_$T(mul_$T(f, c), mul_$T(g, s));
        a[i * n + k + 1] = less_$T(mul_$T(g, conj_$T(c)), f, s);
    }}
    EACH(i, 0, some && vectors ? n : 0) {{
        const $T f = z_[i * n + k], g = z_[i * n + k + 1];
        z_[i * n + k] = add_$T(mul_$T(f, c), mul_$T(g, s));
        z_[i * n + k + 1] = less_$T(mul_$T(g, conj_$T(c)), f, s);
    }}
    SYNC
    ONE if (some) {{
        a[k * n + k] = one;
        a[(k + 1) * n + k] = of_$T(0);
        a[(k + 1) * n + k + 1] = two;
    }}
    SYNC
}}
{_VALUES}"""

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


class GeneralEigen(Hessenberg):
    """Eigenvalues and vectors of (batch, n, n), of a complex dtype.

    Args:
        device: The launcher.
        dtype: Type of the matrices.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        super().__init__(device, complex64 if dtype.to_real().itemsize == 4 else complex128)
        self.real = None if dtype.is_complex else RealSchur(device, dtype)

    def __call__(self, who: str, x: DeviceArray, vectors: bool) -> tuple[DeviceArray, DeviceArray]:
        """Values, and vectors as columns; `x` is overwritten.

        Raises:
            LinAlgError: Steps did not come to an end.
        """
        count, n = x.shape[:2]
        values = self.empty(count, n)
        if not x.size:
            return values, self.empty(count, n, n)
        least = self.empty(count, 1, dtype=self.part)
        if self.real is None:
            a = x
            z = self._steps(who, a, values, least, vectors)
        else:
            q = self.real.schur(who, x, vectors)
            a = self.empty(count, n, n)
            z = self.empty(count, n, n) if vectors else a
            convert = self.kernel(
                "from_real", "$T a $T z_ $R h $R q $T values $R least", "n vectors", _FROM_REAL
            )
            convert(count, a, z, x, q, values, least, n, vectors)
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

    def _steps(
        self, who: str, a: DeviceArray, values: DeviceArray, least: DeviceArray, vectors: bool
    ) -> DeviceArray:
        """Makes a triangle of `a`; returns what transforms to it, if `vectors`."""
        count, n = a.shape[:2]
        z = self.reduced(a, vectors)
        state, info = self.empty(count, 4, dtype=int64), self.empty(count, 1, dtype=int32)
        cosine, sine, shift = self.empty(count, n), self.empty(count, n), self.empty(count, 1)
        schur = self.kernel(
            "schur",
            "$T a $T z_ $T cosine $T sine $T values $T shift $R least i64 state i32 info",
            "n vectors", _SCHUR,
        )  # fmt: skip
        schur(count, a, z, cosine, sine, values, shift, least, state, info, n, vectors)
        if self.device.to_host(info).any():
            raise not_converged(who)
        return z


@general_eigen.kernel("linalg_eig", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = GeneralEigen(device, dtype)

    def kernel(x: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        w, v = eigen("linalg.eig", copied(x), True)
        return restored(w, x.shape[:-2]), restored(v, x.shape[:-2])

    return kernel


@general_eigen.kernel("linalg_eigvals", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = GeneralEigen(device, dtype)

    def kernel(x: DeviceArray) -> DeviceArray:
        w, _ = eigen("linalg.eigvals", copied(x), False)
        return restored(w, x.shape[:-2])

    return kernel
