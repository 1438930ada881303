"""The Hessenberg form of general matrices: one diagonal below the main one is left.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 7.4.
"""

from __future__ import annotations

from .array import DeviceArray
from .qr import Reflections, column_reflected

# A := H^H A H for each reflection H = 1 - tau v v^H of what is below the diagonal of a column.
_REDUCE = f"""
for (i64 k = 0; k < n - 1; k++) {{
    const i64 rest = k + 1;
    {column_reflected("n - rest", "n", "rest * n + k", "x[0] = of_$T(beta);")}
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


def qr_steps(decide: str, step: str) -> str:
    """Statements that take a Hessenberg matrix to its Schur form, from the last block on.

    Args:
        decide: What one lane works out before a step: into `state` the last row and the first of
            the block at work, the number of steps for it, and whether there was one.
        step: The step, for all lanes; nothing happens in it where there was none.
    """
    return f"""ONE {{
    info[0] = 0;
    state[0] = n - 1;
    state[2] = 0;
}}
i64 going = 1;
while (going) {{
    SYNC
    ONE {{
        {decide}
    }}
    SYNC
    going = state[3];
    {step}
}}"""


class Hessenberg(Reflections):
    """The Hessenberg form of (batch, n, n)."""

    def reduced(self, a: DeviceArray, vectors: bool) -> DeviceArray:
        """Leaves the form in the place of `a` (numbers below it have no meaning).

        Returns:
            What transforms to it, if `vectors`.
        """
        count, n = a.shape[:2]
        tau, v, p = self.empty(count, max(n - 1, 1)), self.empty(count, n), self.empty(count, n)
        reduce_ = self.kernel("hessenberg", "$T a $T tau $T v $T p", "n", _REDUCE)
        reduce_(count, a, tau, v, p, n)
        if not vectors:
            return a
        z = self.identity(count, n, n)
        self.apply_below(a, tau, z)
        return z
