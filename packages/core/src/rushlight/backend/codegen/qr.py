"""QR factors by Householder's reflections, as LAPACK has them: 1 - tau v v^H, v being 1 first.

A panel of columns is reduced by itself; its reflections are then applied to strips of the columns
to the right.  The same strips make Q out of the identity.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .matrices import Kernels, copied, part, restored, stacked, stacked_rows
from .registry import Family, Kernel

qr = Family()
_PANEL = 32

# One reflection of `x`, a strip of columns: the vector stands in column k of `a`, below row k.
_REFLECT = """
{
    $T w[$S];
    LANES(l) w[l] = x[k * x_row + l];
    for (i64 i = k + 1; i < rows; i++) {
        const $T v = conj_$T(a[i * a_row + k * a_column]);
        LANES(l) w[l] = add_$T(w[l], mul_$T(v, x[i * x_row + l]));
    }
    LANES(l) w[l] = mul_$T(t, w[l]);
    LANES(l) x[k * x_row + l] = sub_$T(x[k * x_row + l], w[l]);
    for (i64 i = k + 1; i < rows; i++) {
        const $T v = a[i * a_row + k * a_column];
        LANES(l) x[i * x_row + l] = less_$T(x[i * x_row + l], v, w[l]);
    }
}"""

# The reflection of a column `x` of `length` elements at `step`, whose first becomes real and the
# others the vector: `t` is its weight and `beta` what the first becomes.  A column of zeros, or
# of one real number, is left as it is.  Sums are scaled, so that squares do not overflow.
_REFLECTOR = """
const $T alpha = x[0];
$R top = 0;
EACH(i, 1, length) top = maximum_$R(top, size_$T(x[i * step]));
MOST(top)
const i64 some = (top != 0) | (imag_$T(alpha) != 0);
top = some ? maximum_$R(top, size_$T(alpha)) : 1;
$R sum = 0;
EACH(i, 0, length) sum += square_$T(scale_$T(x[i * step], 1 / top));
SUM(sum)
const $R norm = top * sqrt_$R(sum);
const $R beta = !some ? real_$T(alpha) : real_$T(alpha) >= 0 ? -norm : norm;
const $T t = some ? div_$T(sub_$T(of_$T(beta), alpha), of_$T(beta)) : of_$T(0);
const $T rest = some ? sub_$T(alpha, of_$T(beta)) : of_$T(1);
EACH(i, 1, length) x[i * step] = div_$T(x[i * step], rest);
SYNC"""


def column_reflected(length: str, step: str, first: str, kept: str) -> str:
    """Statements that leave the vector of a column's reflection in its place, and `tau[k]`.

    Args:
        length, step: Its elements, and how far they are apart.
        first: Its first element's place in `a`.
        kept: What keeps `beta`, which the first element becomes.
    """
    return f"""{{
        const i64 length = {length}, step = {step};
        $D $T* x = a + {first};
        {_REFLECTOR}
        ONE {{ {kept} tau[k] = t; }}
        SYNC
    }}"""


_FACTOR = f"""
for (i64 k = start; k < stop; k++) {{
    {column_reflected("rows - k", "a_row", "k * a_row + k", "x[0] = of_$T(beta);")}
    const $T t = conj_$T(tau[k]);
    const i64 x_row = a_row, a_column = 1;
    STRIPS(j, k + 1, stop) {{
        $D $T* x = a + j;
        const int left = stop - j < $S ? (int)(stop - j) : $S;
        {_REFLECT}
    }}
    SYNC
}}"""

_APPLY = f"""
x += c;
for (i64 s = 0; s < n; s++) {{
    const i64 k = back ? n - 1 - s : s;
    const $T t = adjoint ? conj_$T(tau[k]) : tau[k];
    {_REFLECT}
}}"""

_IDENTITY = "for (i64 i = 0; i < rows; i++) LANES(l) x[i * columns + c + l] = of_$T(i == c + l);"


class Reflections(Kernels):
    """Householder's reflections, and what they make of matrices."""

    def factor(self, a: DeviceArray) -> DeviceArray:
        """Leaves R and the vectors in the place of (batch, rows, columns); returns the weights."""
        count, rows, columns = a.shape
        rank = min(rows, columns)
        tau = self.empty(count, rank)
        panel = self.kernel("qr", "$T a $T tau", "rows a_row start stop", _FACTOR)
        for start in range(0, rank, _PANEL):
            stop = min(start + _PANEL, rank)
            panel(count, a, tau, rows, a.strides[1], start, stop)
            if stop < columns:
                right = part(a, start, rows, stop, columns)
                weights = tau.geometry((count, stop - start), tau.strides, start)
                vectors = part(a, start, rows, start, stop)
                self.apply(vectors, weights, right, adjoint=True)
        return tau

    def apply(
        self, a: DeviceArray, tau: DeviceArray, x: DeviceArray, *, adjoint: bool
    ) -> DeviceArray:
        """Makes Q x of `x` in its place, or Q^H x; columns of `x` are contiguous."""
        count, rows, columns = x.shape
        apply = self.kernel(
            "reflect", "$T x $T a $T tau", "rows n columns x_row a_row a_column back adjoint",
            _APPLY, strips=True,
        )  # fmt: skip
        apply(
            count, x, a, tau, rows, tau.shape[1], columns, x.strides[1], *a.strides[1:],
            not adjoint, adjoint,
        )  # fmt: skip
        return x

    def apply_below(self, a: DeviceArray, tau: DeviceArray, x: DeviceArray) -> None:
        """Makes Q x of `x`, of reflections whose vectors stand below the diagonal of (batch, n, n)
        and leave the first row alone."""
        count, n = a.shape[:2]
        if n > 1:
            weights = tau.geometry((count, n - 1), tau.strides, 0)
            self.apply(part(a, 1, n, 0, n - 1), weights, part(x, 1, n, 0, n), adjoint=False)

    def identity(self, count: int, rows: int, columns: int) -> DeviceArray:
        """The first columns of the identity."""
        x = self.empty(count, rows, columns)
        fill = self.kernel("identity", "$T x", "rows columns", _IDENTITY, strips=True)
        fill(count, x, rows, columns)
        return x

    def first_columns(self, a: DeviceArray, tau: DeviceArray, columns: int) -> DeviceArray:
        """Columns of Q."""
        count, rows, _ = a.shape
        return self.apply(a, tau, self.identity(count, rows, columns), adjoint=False)


@qr.kernel("geqrf", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    reflections = Reflections(device, dtype)

    def kernel(x: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        a = copied(x)
        tau = reflections.factor(a)
        return restored(a, x.shape[:-2]), restored(tau, x.shape[:-2])

    return kernel


@qr.kernel("linalg_qr", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    reflections = Reflections(device, dtype)

    def kernel(x: DeviceArray, *, mode: str = "reduced") -> tuple[DeviceArray, DeviceArray]:
        batch, (rows, columns) = x.shape[:-2], x.shape[-2:]
        width = rows if mode == "complete" else min(rows, columns)
        a = copied(x)
        tau = reflections.factor(a)
        r = part(a, 0, width, 0, columns)
        r = reflections.operator("triu", r, diagonal=0) if r.size else r
        if mode == "r":
            return reflections.empty(0), restored(r, batch)
        q = reflections.first_columns(a, tau, width)
        return restored(q, batch), restored(r, batch)

    return kernel


@qr.kernel("householder_product", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    reflections = Reflections(device, dtype)

    def kernel(a: DeviceArray, tau: DeviceArray) -> DeviceArray:
        vectors, weights = stacked(a), stacked_rows(tau)
        assert weights.shape[0] == vectors.shape[0]
        q = reflections.first_columns(vectors, weights, a.shape[-1])
        return restored(q, a.shape[:-2])

    return kernel
