"""Singular values and vectors by one-sided Jacobi rotations, and least squares with them.

Rotations make the columns of a tall matrix orthogonal, pair by pair: A V = U S.  The norms of the
columns are the singular values.  A QR factorization of what is left, its columns in descending
order, gives vectors that are orthonormal even where values are zero.

All pairs of a round are disjoint and rotate at once: one kernel goes through the rounds of small
matrices, of large ones each round is launched, with a part for each pair.  Eigenvectors of A^H A do
most of the work beforehand; that their squares lose digits is what the rotations then mend.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 8.6.
    Drmač and Veselić (2008), New fast and accurate Jacobi SVD algorithm.
    SIAM Journal on Matrix Analysis 29(4).
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, int32, int64
from .._singularities import not_converged
from .array import DeviceArray, broadcast_shape
from .matrices import broadcast, copied, numbers, restored, stacked, transposed
from .registry import Family, Kernel
from .symmetric_eigen import SymmetricEigen, sorted_places

singular_values = Family()
#: From so many columns on, eigenvectors of A^H A turn a matrix first; few sweeps are left then.
_TURNED = 24
#: Up to so many columns, one kernel does all rounds.
_SMALL = {"cpu": 128, "gpu": 40}
_SWEEPS = 40
_LANES = 16

# The matrix is scaled by a power of two, so that squares neither overflow nor vanish.
_PREPARE = """
$R top = 0;
EACH(i, 0, n * m) top = maximum_$R(top, size_$T(g[i]));
MOST(top)
$R factor = 1;
while (top * factor > 1024 && factor > ($R)1e-30) factor *= ($R)0.0009765625;
while (top * factor < ($R)0.0009765625 && factor < ($R)1e30) factor *= 1024;
EACH(i, 0, n * m) g[i] = scale_$T(g[i], factor);
if (vectors) EACH(i, 0, n) for (i64 j = 0; j < n; j++) v[i * n + j] = of_$T(i == j);
ONE {
    scale[0] = factor;
    scale[1] = $E * top * factor;
    turned[0] = 0;
    info[0] = !isfinite_$R(top);
}"""

# Sums of a pair of rows: compilers keep the CPU's partial ones in vectors.
_DOTS_LONE = f"""
$R alphas[{_LANES}], betas[{_LANES}], reals[{_LANES}], imags[{_LANES}];
for (int l = 0; l < {_LANES}; l++) alphas[l] = betas[l] = reals[l] = imags[l] = 0;
i64 start = 0;
for (; start + {_LANES} <= m; start += {_LANES})
    for (int l = 0; l < {_LANES}; l++) {{
        const $T x = gp[start + l], y = gq[start + l];
        const $T xy = mul_$T(conj_$T(x), y);
        alphas[l] += square_$T(x);
        betas[l] += square_$T(y);
        reals[l] += real_$T(xy);
        imags[l] += imag_$T(xy);
    }}
for (int l = 0; l < {_LANES}; l++) {{
    alpha += alphas[l];
    beta += betas[l];
    re += reals[l];
    im += imags[l];
}}"""

_PAIR = """
{
    $D $T* gp = g + p * m;
    $D $T* gq = g + q * m;
    $R alpha = 0, beta = 0, re = 0, im = 0;
    DOTS
    EACH(i, start, m) {
        const $T x = gp[i], y = gq[i];
        const $T xy = mul_$T(conj_$T(x), y);
        alpha += square_$T(x);
        beta += square_$T(y);
        re += real_$T(xy);
        im += imag_$T(xy);
    }
    SUM(alpha)
    SUM(beta)
    SUM(re)
    SUM(im)
    const $R gamma = hypot_$R(re, im);
    // Columns that are rounding errors of the greatest stay as they are.
    const i64 some = (alpha > least * least) & (beta > least * least);
    if (some && gamma > tolerance * sqrt_$R(alpha) * sqrt_$R(beta)) {
        const $R zeta = (beta - alpha) / (2 * gamma);
        const $R t = copysign_$R(1, zeta) / (abs_$R(zeta) + hypot_$R(1, zeta));
        const $R c = 1 / sqrt_$R(1 + t * t), s = c * t;
        const $T turn = join_$T(re / gamma, -im / gamma);
        const $T turn_s = scale_$T(turn, s), turn_c = scale_$T(turn, c);
        EACH(i, 0, m) {
            const $T x = gp[i], y = gq[i];
            gp[i] = less_$T(scale_$T(x, c), turn_s, y);
            gq[i] = add_$T(scale_$T(x, s), mul_$T(turn_c, y));
        }
        $D $T* vp = v + p * n;
        $D $T* vq = v + q * n;
        EACH(i, 0, vectors ? n : 0) {
            const $T x = vp[i], y = vq[i];
            vp[i] = less_$T(scale_$T(x, c), turn_s, y);
            vq[i] = add_$T(scale_$T(x, s), mul_$T(turn_c, y));
        }
        ONE turned[0] = 1;
    }
}"""

# Round r of a tournament of `even` players, whose last one stays in its place: pair k of it.
_PLAYERS = """
const i64 last = even - 1;
const i64 one = k == 0 ? last : (r + k) % last, two = (r + last - k) % last;
const i64 p = one < two ? one : two, q = one < two ? two : one;"""

_NORMS = """
EACH(i, 0, n) order[i] = i;
EACH(i, 0, n) {
    $R sum = 0;
    for (i64 j = 0; j < m; j++) sum += square_$T(g[i * m + j]);
    norms[i] = sqrt_$R(sum) / scale[0];
}
SYNC
"""
_SORTED_NORMS = _NORMS + sorted_places("norms", ">")

_COLLECT = """
for (i64 i = 0; i < rows; i++)
    LANES(l) out[i * columns + c + l] = x[order[c + l] * rows + i];"""

# The diagonal of R has norms with signs; the signs go to the vectors.
_SIGNS = """
for (i64 i = 0; i < rows; i++)
    LANES(l) if (c + l < n && real_$T(r[(c + l) * n + c + l]) < 0)
        u[i * columns + c + l] = scale_$T(u[i * columns + c + l], -1);"""

_ROTATE_ALL = f"""
const $R tolerance = 4 * $E * sqrt_$R(($R)m), least = scale[1];
const i64 even = n + n % 2;
i64 going = 1;
for (i64 sweep = 1; going; sweep++) {{
    SYNC
    ONE turned[0] = 0;
    SYNC
    for (i64 r = 0; r < even - 1; r++)
        for (i64 k = even - n; k < even / 2; k++) {{  // an odd one out has no partner
            {_PLAYERS}
            {_PAIR}
        }}
    SYNC
    going = turned[0] && sweep < {_SWEEPS};
    ONE if (turned[0] && !going) info[0] = 1;
}}"""

_ROTATE_ROUND = f"""
const $R tolerance = 4 * $E * sqrt_$R(($R)m), least = scale[1];
const i64 even = n + n % 2, k = part + n % 2;
{_PLAYERS}
{_PAIR}"""

_RANK = """
ONE {
    i64 found = 0;
    for (i64 i = 0; i < n; i++) found += s[i] > rcond * s[0];
    rank[0] = found;
}"""

_DIVIDE = """
for (i64 i = 0; i < n; i++) {
    const $R f = i < rank[0] ? 1 / s[i] : 0;
    LANES(l) x[i * columns + c + l] = scale_$T(x[i * columns + c + l], f);
}"""

_SQUARES = """
$R sum[$S];
LANES(l) sum[l] = 0;
for (i64 i = 0; i < rows; i++) LANES(l) sum[l] += square_$T(x[i * columns + c + l]);
LANES(l) out[c + l] = sum[l];"""


class SingularValues(SymmetricEigen):
    """Singular value decompositions of (batch, m, n)."""

    def rotated(self, x: DeviceArray, vectors: bool, who: str) -> tuple[DeviceArray, ...]:
        """For tall matrices: rows that are columns of U S, those of V, order, and values.

        Raises:
            LinAlgError: Rotations did not come to an end, or a matrix is not finite.
        """
        g = copied(transposed(x))
        count, n, m = g.shape
        v = self.empty(count, n, n) if vectors else g
        scale, norms = (self.empty(count, k, dtype=self.part) for k in (2, n))
        turned, info = (self.empty(count, 1, dtype=int32) for _ in range(2))
        prepare = self.kernel(
            "prepare", "$T g $T v $R scale i32 turned i32 info", "n m vectors", _PREPARE
        )
        prepare(count, g, v, scale, turned, info, n, m, vectors)
        if n >= _TURNED and not self.device.to_host(info).any():
            g, v = self._turned(g, who)
        if n <= _SMALL[self.device.flavour]:
            sweeps = self.kernel(
                "jacobi", "$T g $T v $R scale i32 turned i32 info", "n m vectors",
                self._with_dots(_ROTATE_ALL),
            )  # fmt: skip
            sweeps(count, g, v, scale, turned, info, n, m, vectors)
            if self.device.to_host(info).any():
                raise not_converged(who)
        else:
            self._rounds(g, v, scale, turned, info, vectors, who)
        values, order = self.empty(count, n, dtype=self.part), self.empty(count, n, dtype=int64)
        sort = self.kernel(
            "sort_norms", "$T g $R scale $R norms $R values i64 order", "n m", _SORTED_NORMS
        )
        sort(count, g, scale, norms, values, order, n, m)
        return g, v, order, values

    def _turned(self, g: DeviceArray, who: str) -> tuple[DeviceArray, DeviceArray]:
        """Rows that are nearly orthogonal, and what they were turned by.

        However imprecise the eigenvectors are, they are orthonormal, so the result is exact.
        """
        other = self.operator("conj", g) if self.dtype.is_complex else g
        _, vectors = self.values(who, self.product(other, transposed(g)), True)
        assert vectors is not None
        turn: DeviceArray = self.device.dense(transposed(vectors))
        return self.product(turn, g), turn

    def _rounds(
        self, g: DeviceArray, v: DeviceArray, scale: DeviceArray, turned: DeviceArray,
        info: DeviceArray, vectors: bool, who: str,
    ) -> None:  # fmt: skip
        count, n, m = g.shape
        even = n + n % 2
        turn = self.kernel(
            "jacobi_round", "$T g $T v $R scale i32 turned", "n m r vectors",
            self._with_dots(_ROTATE_ROUND), many=True,
        )  # fmt: skip
        to_host = self.device.to_host
        for _ in range(0 if to_host(info).any() else _SWEEPS):
            self.device.movement.fill(turned, 0)
            for r in range(even - 1):
                turn(count, g, v, scale, turned, n, m, r, vectors, parts=n // 2)
            if not to_host(turned).any():
                return
        raise not_converged(who)

    def _with_dots(self, text: str) -> str:
        lone = self.device.flavour != "gpu"
        return text.replace("DOTS", _DOTS_LONE if lone else "const i64 start = 0;")

    def collected(self, x: DeviceArray, order: DeviceArray) -> DeviceArray:
        """Rows in an order, as columns."""
        count, columns, rows = x.shape
        out = self.empty(count, rows, columns)
        collect = self.kernel(
            "collect_rows", "$T out $T x i64 order", "rows columns", _COLLECT, strips=True
        )
        collect(count, out, x, order, rows, columns)
        return out

    def factors(
        self, x: DeviceArray, full: bool, who: str = "linalg.svd"
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        """(U, S, V) of (batch, m, n); V, not its adjoint."""
        count, m, n = x.shape
        if m < n:
            v, s, u = self.factors(self.adjoint(x), full, who)
            return u, s, v
        g, v, order, s = self.rotated(x, True, who)
        a = self.collected(g, order)
        tau = self.factor(a)
        width = m if full else n
        u = self.first_columns(a, tau, width)
        signs = self.kernel("signs", "$T u $T r", "rows n columns", _SIGNS, strips=True)
        signs(count, u, a, m, n, width)
        return u, s, self.collected(v, order)


@singular_values.kernel("linalg_svd", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    values = SingularValues(device, dtype)

    def kernel(
        x: DeviceArray, *, full_matrices: bool = True
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        batch = x.shape[:-2]
        u, s, v = values.factors(stacked(x), full_matrices)
        return restored(u, batch), restored(s, batch), restored(values.adjoint(v), batch)

    return kernel


@singular_values.kernel("linalg_svdvals", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    values = SingularValues(device, dtype)

    def kernel(x: DeviceArray) -> DeviceArray:
        flat = stacked(x)
        tall = flat if flat.shape[1] >= flat.shape[2] else transposed(flat)
        *_, s = values.rotated(tall, False, "linalg.svdvals")
        return restored(s, x.shape[:-2])

    return kernel


@singular_values.kernel("linalg_lstsq", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    values = SingularValues(device, dtype)

    def kernel(
        a: DeviceArray, b: DeviceArray, *, rcond: float | None = None
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray, DeviceArray]:
        own, batch = a.shape[:-2], broadcast_shape(a.shape[:-2], b.shape[:-2])
        rows, columns = a.shape[-2:]
        if rcond is None:
            rcond = (2.0**-23 if dtype.to_real().itemsize == 4 else 2.0**-52) * max(rows, columns)
        u, s, v = values.factors(stacked(broadcast(a, batch)), False, "linalg.lstsq")
        count, k = s.shape
        rank = values.empty(count, 1, dtype=int64)
        values.kernel("rank", "$R s i64 rank", "n rcond:$R", _RANK)(count, s, rank, k, rcond)
        right = stacked(broadcast(b, batch))
        x = values.product(values.adjoint(u), right)
        divide = values.kernel("divide", "$T x $R s i64 rank", "n columns", _DIVIDE, strips=True)
        divide(count, x, s, rank, k, right.shape[2])
        x = values.product(v, x)
        residuals = values.empty(0, dtype=values.part)
        if rows > columns and bool((device.to_host(rank) == columns).all()):
            residuals = values.empty(count, right.shape[2], dtype=values.part)
            rest = copied(right)
            values.subtract_product(rest, stacked(broadcast(a, batch)), x)
            squares = values.kernel("squares", "$R out $T x", "rows columns", _SQUARES, strips=True)
            squares(count, residuals, rest, rows, right.shape[2])
            residuals = restored(residuals, batch)
        assert own == batch, "the core broadcasts operands"
        return restored(x, batch), residuals, numbers(rank, batch), restored(s, batch)

    return kernel
