"""The Hessenberg form of general matrices: one diagonal below the main one is left.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 7.4.
"""

from __future__ import annotations

from .array import DeviceArray
from .matrices import part
from .qr import REFLECTOR, Reflections

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
        if n > 1:
            weights = tau.geometry((count, n - 1), tau.strides, 0)
            self.apply(part(a, 1, n, 0, n - 1), weights, part(z, 1, n, 0, n), adjoint=False)
        return z
