"""Eigenvalues and vectors of symmetric and Hermitian matrices.

Householder's reflections make the matrix tridiagonal and real, and QL steps with implicit shifts
make that diagonal.  The rotations of a step are found by one lane and applied by all, to rows: the
vectors are kept transposed.

References:
    Wilkinson and Reinsch (1971), Handbook for Automatic Computation, volume II: Linear Algebra,
    contributions II/2 (tred2) and II/4 (imtql2).
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 8.3.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, int32, int64
from .._singularities import not_converged
from .array import DeviceArray
from .matrices import restored, stacked
from .qr import Reflections, column_reflected
from .registry import Family, Kernel

symmetric_eigen = Family()

_MIRROR = """
for (i64 i = 0; i < columns; i++)
    LANES(l) {
        const i64 j = c + l;
        const $T x_ij = j <= i ? x[i * x_row + j * x_column]
            : conj_$T(x[j * x_row + i * x_column]);
        a[i * columns + j] = i == j ? of_$T(real_$T(x_ij)) : x_ij;
    }"""

# A := H^H A H = A - v w^H - w v^H for each reflection H, with p = tau A v and
# w = p - tau / 2 (p^H v) v.
_REDUCE = f"""
for (i64 k = 0; k < n - 1; k++) {{
    const i64 rest = k + 1;
    {column_reflected("n - rest", "n", "rest * n + k", "e[k] = beta; x[0] = of_$T(1);")}
    EACH(i, rest, n) {{ v[i] = a[i * n + k]; p[i] = of_$T(0); }}
    SYNC
    const $T t = tau[k];
    for (i64 i = rest; i < n; i++) {{
        const $T f = v[i];
        EACH(j, rest, n) p[j] = add_$T(p[j], mul_$T(conj_$T(a[i * n + j]), f));
    }}
    $T dot = of_$T(0);
    EACH(j, rest, n) {{
        p[j] = mul_$T(t, p[j]);
        dot = add_$T(dot, mul_$T(conj_$T(p[j]), v[j]));
    }}
    SUM_T(dot)
    const $T half_ = scale_$T(mul_$T(t, dot), ($R)0.5);
    EACH(j, rest, n) p[j] = less_$T(p[j], half_, v[j]);
    SYNC
    for (i64 i = rest; i < n; i++) {{
        const $T v_i = v[i], w_i = p[i];
        EACH(j, rest, n)
            a[i * n + j] = less_$T(less_$T(a[i * n + j], v_i, conj_$T(p[j])), w_i, conj_$T(v[j]));
    }}
    SYNC
}}
EACH(i, 0, n) d[i] = real_$T(a[i * n + i]);"""

# One step, for the block of the tridiagonal matrix from row l to row m. Rotation i turns rows
# i and i + 1; where the recurrence meets a zero, the others are none.
_STEP = """
$R g = (d[l + 1] - d[l]) / (2 * e[l]);
g = d[m] - d[l] + e[l] / (g + copysign_$R(hypot_$R(g, 1), g));
$R s = 1, c = 1, shift = 0;
i64 i = m - 1;
for (; i >= l; i--) {
    const $R f = s * e[i], b = c * e[i], r = hypot_$R(f, g);
    e[i + 1] = r;
    if (r == 0) break;
    s = f / r;
    c = g / r;
    g = d[i + 1] - shift;
    const $R turn = (d[i] - g) * s + 2 * c * b;
    shift = s * turn;
    d[i + 1] = g + shift;
    g = c * turn - b;
    cosine[i] = c;
    sine[i] = s;
}
if (i < l) {
    d[l] -= shift;
    e[l] = g;
} else {
    d[i + 1] -= shift;
}
e[m] = 0;
for (; i >= l; i--) { cosine[i] = 1; sine[i] = 0; }"""

# `state` holds l, m, the number of steps for l, and whether there was one.
_DIAGONALISE = f"""
if (vectors) EACH(i, 0, n) for (i64 j = 0; j < n; j++) z_[i * n + j] = i == j;
ONE {{
    info[0] = 0;
    state[0] = state[2] = 0;
    e[n - 1] = 0;
}}
i64 going = 1;
while (going) {{
    SYNC
    ONE {{
        i64 l = state[0], m = l;
        while (l < n) {{
            for (m = l; m < n - 1; m++)
                if (abs_$R(e[m]) <= $E * (abs_$R(d[m]) + abs_$R(d[m + 1]))) break;
            if (m > l) break;
            l++;
            state[2] = 0;
        }}
        state[2]++;
        if (state[2] > {{LIMIT}}) info[0] = (i32)(l + 1);
        state[3] = l < n && info[0] == 0;
        if (state[3]) {{
            {_STEP}
        }}
        state[0] = l;
        state[1] = m;
    }}
    SYNC
    going = state[3];
    const i64 l = state[0], m = going ? state[1] : l;
    for (i64 i = m - 1; i >= l; i--) {{
        const $R c = cosine[i], s = sine[i];
        $D $R* one = z_ + i * n;
        $D $R* two = one + n;
        EACH(j, 0, vectors ? n : 0) {{
            const $R f = two[j], g = one[j];
            two[j] = s * g + c * f;
            one[j] = c * g - s * f;
        }}
    }}
}}""".replace("{LIMIT}", "60")


def sorted_places(x: str, before: str) -> str:
    """Statements that give each of `x` its place among all; equal ones stay in their order."""
    return f"""EACH(i, 0, n) {{
    i64 place = 0;
    const $R value = {x}[i];
    for (i64 j = 0; j < n; j++)
        place += ({x}[j] {before} value) | (({x}[j] == value) & (j < i));
    order[place] = i;
    values[place] = value;
}}"""


_SORT = f"""
EACH(i, 0, n) order[i] = i;
SYNC
{sorted_places("d", "<")}"""

_COLLECT = """
for (i64 i = 0; i < columns; i++)
    LANES(l) v[i * columns + c + l] = of_$T(z_[order[c + l] * columns + i]);"""


class SymmetricEigen(Reflections):
    """Eigenvalues, ascending, and eigenvectors."""

    def mirrored(self, x: DeviceArray, upper: bool) -> DeviceArray:
        """The whole matrices of which (batch, n, n) has one triangle, densely."""
        count, n = x.shape[:2]
        a = self.empty(count, n, n)
        if upper:  # the lower triangle of the adjoint
            x = self.adjoint(x)
        mirror = self.kernel("mirror", "$T a $T x", "columns x_row x_column", _MIRROR, strips=True)
        mirror(count, a, x, n, *x.strides[1:])
        return a

    def values(
        self, who: str, a: DeviceArray, vectors: bool
    ) -> tuple[DeviceArray, DeviceArray | None]:
        """Values, and vectors as columns, of whole matrices (batch, n, n), which are overwritten.

        Raises:
            LinAlgError: Steps did not come to an end.
        """
        count, n = a.shape[:2]
        d, e, cosine, sine, values = (self.empty(count, n, dtype=self.part) for _ in range(5))
        tau, v, p = self.empty(count, max(n - 1, 1)), self.empty(count, n), self.empty(count, n)
        if not a.size:
            return values, a if vectors else None
        reduce_ = self.kernel("tridiagonal", "$T a $R d $R e $T tau $T v $T p", "n", _REDUCE)
        reduce_(count, a, d, e, tau, v, p, n)
        z = self.empty(count, n, n, dtype=self.part) if vectors else d
        state, info = self.empty(count, 4, dtype=int64), self.empty(count, 1, dtype=int32)
        steps = self.kernel(
            "ql", "$R d $R e $R z_ $R cosine $R sine i64 state i32 info", "n vectors",
            _DIAGONALISE,
        )  # fmt: skip
        steps(count, d, e, z, cosine, sine, state, info, n, vectors)
        if self.device.to_host(info).any():
            raise not_converged(who)
        order = self.empty(count, n, dtype=int64)
        sort = self.kernel("sort_values", "$R d $R values i64 order", "n", _SORT)
        sort(count, d, values, order, n)
        if not vectors:
            return values, None
        out = self.empty(count, n, n)
        collect = self.kernel("collect", "$T v $R z_ i64 order", "columns", _COLLECT, strips=True)
        collect(count, out, z, order, n)
        self.apply_below(a, tau, out)
        return values, out


@symmetric_eigen.kernel("linalg_eigh", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = SymmetricEigen(device, dtype)

    def kernel(x: DeviceArray, *, upper: bool = False) -> tuple[DeviceArray, DeviceArray]:
        w, v = eigen.values("linalg.eigh", eigen.mirrored(stacked(x), upper), True)
        assert v is not None
        return restored(w, x.shape[:-2]), restored(v, x.shape[:-2])

    return kernel


@symmetric_eigen.kernel("linalg_eigvalsh", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    eigen = SymmetricEigen(device, dtype)

    def kernel(x: DeviceArray, *, upper: bool = False) -> DeviceArray:
        w, _ = eigen.values("linalg.eigvalsh", eigen.mirrored(stacked(x), upper), False)
        return restored(w, x.shape[:-2])

    return kernel
