"""The Schur form of real matrices: blocks of one and two rows on the diagonal of a triangle.

Steps of a double shift stay in real numbers, so that real eigenvalues are real and others come in
pairs.  Shifts, and what counts as zero, are LAPACK's, and so is the order of eigenvalues mostly.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 7.5.
    Ahues and Tisseur (1997), A new deflation criterion for the QR algorithm. LAPACK Working
    Note 122.
"""

from __future__ import annotations

from ..._dtypes import int32, int64
from .._singularities import not_converged
from .array import DeviceArray
from .hessenberg import Hessenberg, qr_steps

# The last two rows of a block stand for its shifts; sometimes others, where they go in circles.
_SHIFTS = """
const i64 turn = state[2] % 20;
$T a = H(m - 1, m - 1), b = H(m - 1, m), c = H(m, m - 1), d = H(m, m);
if (turn == 10 || turn == 0) {
    const $T size = turn ? abs_$T(H(l + 1, l)) + abs_$T(H(l + 2, l + 1))
        : abs_$T(H(m, m - 1)) + abs_$T(H(m - 1, m - 2));
    a = d = ($T)0.75 * size + (turn ? H(l, l) : H(m, m));
    b = ($T)-0.4375 * size;
    c = size;
}
const $T scale = abs_$T(a) + abs_$T(b) + abs_$T(c) + abs_$T(d);
const $T by = scale == 0 ? 0 : 1 / scale;
const $T middle = (a * by + d * by) / 2;
const $T disc = (a * by - middle) * (d * by - middle) - (b * by) * (c * by);
const $T root = sqrt_$T(abs_$T(disc));
$T re1 = middle * scale, re2 = re1, im = root * scale;
if (disc < 0) {  // real ones: twice the one that is nearer to the last element
    const $T one = middle + root, two = middle - root;
    re1 = re2 = scale * (abs_$T(one - d * by) <= abs_$T(two - d * by) ? one : two);
    im = 0;
}"""

# The first column of the shifted square, from the row on where a bulge may begin.
_FIRST = """
i64 k = m - 2;
for (;; k--) {
    const $T size = abs_$T(H(k, k) - re2) + abs_$T(im) + abs_$T(H(k + 1, k));
    const $T below = H(k + 1, k) / size;
    $T x = below * H(k, k + 1) + (H(k, k) - re1) * ((H(k, k) - re2) / size) + im * (im / size);
    $T y = below * (H(k, k) + H(k + 1, k + 1) - re1 - re2), w = below * H(k + 2, k + 1);
    const $T sum = abs_$T(x) + abs_$T(y) + abs_$T(w);
    first[0] = x / sum;
    first[1] = y / sum;
    first[2] = w / sum;
    if (k == l) break;
    const $T around = abs_$T(H(k - 1, k - 1)) + abs_$T(H(k, k)) + abs_$T(H(k + 1, k + 1));
    if (abs_$T(H(k, k - 1)) * (abs_$T(first[1]) + abs_$T(first[2]))
        <= 2 * $E * abs_$T(first[0]) * around) break;
}"""

_SMALL = """
const $T off = abs_$T(H(l, l - 1));
$T near_ = abs_$T(H(l - 1, l - 1)) + abs_$T(H(l, l));
if (near_ == 0) {
    if (l > 1) near_ += abs_$T(H(l - 1, l - 2));
    if (l + 1 < n) near_ += abs_$T(H(l + 1, l));
}
if (off == 0) break;
if (off <= 2 * $E * near_) {
    const $T beside = abs_$T(H(l - 1, l)), last = abs_$T(H(l, l));
    const $T gap = abs_$T(H(l - 1, l - 1) - H(l, l));
    const $T ab = off > beside ? off : beside, ba = off > beside ? beside : off;
    const $T aa = last > gap ? last : gap, bb = last > gap ? gap : last;
    const $T s = aa + ab;
    if (ba * (ab / s) <= 2 * $E * (bb * (aa / s))) break;
}"""

# `state` holds the last row m and the first l of the block at work, the number of steps for m,
# whether there was one, and the row where the bulge begins.
_DECIDE = f"""
i64 m = state[0], l = 0;
while (m >= 0) {{
    for (l = m; l > 0; l--) {{
        {_SMALL}
    }}
    if (l > 0) H(l, l - 1) = 0;
    if (l < m - 1) break;
    m = l - 1;  // a block of one or two rows is done
    state[2] = 0;
}}
state[2]++;
if (m >= 0 && state[2] > 60) info[0] = (i32)(m + 1);
state[3] = m >= 0 && info[0] == 0;
state[4] = 0;
if (state[3]) {{
    {_SHIFTS}
    {_FIRST}
    state[4] = k;
}}
state[0] = m;
state[1] = l;"""

_STEP = """
    const i64 l = state[1], begin = state[4], m = going ? state[0] : begin;
    for (i64 k = begin; k < m; k++) {
        const i64 three = k + 2 <= m;  // the last reflection is of two rows
        const $T x = k == begin ? first[0] : H(k, k - 1);
        const $T y = k == begin ? first[1] : H(k + 1, k - 1);
        const $T w = !three ? 0 : k == begin ? first[2] : H(k + 2, k - 1);
        const $T top = abs_$T(y) + abs_$T(w), size = top + abs_$T(x);
        const $T by = size == 0 ? 0 : 1 / size;
        const $T norm = size * sqrt_$T((x * by) * (x * by) + (y * by) * (y * by)
            + (w * by) * (w * by));
        const $T beta = top == 0 ? x : x >= 0 ? -norm : norm;
        const $T t1 = top == 0 ? 0 : (beta - x) / beta;
        const $T v2 = top == 0 ? 0 : y / (x - beta), v3 = top == 0 ? 0 : w / (x - beta);
        const $T t2 = t1 * v2, t3 = t1 * v3;
        const i64 third = three ? k + 2 : k + 1;
        SYNC
        ONE {
            if (k > begin) {
                H(k, k - 1) = beta;
                H(k + 1, k - 1) = 0;
                if (three) H(k + 2, k - 1) = 0;
            } else if (begin > l) {
                H(k, k - 1) *= 1 - t1;
            }
        }
        EACH(j, k, n) {
            const $T sum = H(k, j) + v2 * H(k + 1, j) + v3 * H(third, j);
            H(k, j) -= sum * t1;
            H(k + 1, j) -= sum * t2;
            H(third, j) -= sum * t3;
        }
        SYNC
        EACH(i, 0, (k + 3 < m ? k + 3 : m) + 1) {
            const $T sum = H(i, k) + v2 * H(i, k + 1) + v3 * H(i, third);
            H(i, k) -= sum * t1;
            H(i, k + 1) -= sum * t2;
            H(i, third) -= sum * t3;
        }
        EACH(i, 0, vectors ? n : 0) {
            $D $T* row = z_ + i * n;
            const $T sum = row[k] + v2 * row[k + 1] + v3 * row[third];
            row[k] -= sum * t1;
            row[k + 1] -= sum * t2;
            row[third] -= sum * t3;
        }
        SYNC
    }"""

_SCHUR = f"""
#define H(i, j) h[(i) * n + (j)]
EACH(i, 0, n) for (i64 j = 0; j + 1 < i; j++) H(i, j) = 0;
{qr_steps(_DECIDE, _STEP)}"""


class RealSchur(Hessenberg):
    """The real Schur form of (batch, n, n)."""

    def schur(self, who: str, a: DeviceArray, vectors: bool) -> DeviceArray:
        """Leaves the form in the place of `a`; returns what transforms to it, if `vectors`.

        Raises:
            LinAlgError: Steps did not come to an end.
        """
        count, n = a.shape[:2]
        z = self.reduced(a, vectors)
        first = self.empty(count, 3)
        state, info = self.empty(count, 5, dtype=int64), self.empty(count, 1, dtype=int32)
        steps = self.kernel(
            "real_schur", "$T h $T z_ $T first i64 state i32 info", "n vectors", _SCHUR
        )
        steps(count, a, z, first, state, info, n, vectors)
        if self.device.to_host(info).any():
            raise not_converged(who)
        return z
