"""The gamma family: lgamma, digamma, polygamma, zeta and the incomplete gamma functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from ._chebyshev import LGAMMA_ONE, LGAMMA_TWO, chebyshev
from ._common import Array, ArrayModule, Kernel
from ._piecewise import Functions, piecewise

# Bernoulli numbers B2, B4, ..., B24.
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
    43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730,
)  # fmt: skip
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def gamma_functions(xp: ArrayModule) -> Functions:
    """The family, as kernels of float64.

    References:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 6.1, 6.3, 6.4, 6.5, 23.1.
    """
    lgamma, digamma, zeta = _lgamma(xp), _digamma(xp), _zeta(xp)

    def polygamma(x: Array, *, n: int) -> Array:
        if n == 0:
            return digamma(x.reshape(-1)).reshape(x.shape)
        sign = 1 if n % 2 else -1
        factor = math.gamma(n + 1) if n < 170 else math.inf
        return sign * factor * zeta(xp.full_like(x, n + 1), x)

    igamma, igammac = _incomplete(xp, lgamma)
    return Functions(
        {"lgamma": lgamma, "digamma": digamma},
        {"polygamma": polygamma, "zeta": zeta, "igamma": igamma, "igammac": igammac},
    )


def stirling_rest(xp: ArrayModule, x: Array) -> Array:
    """lgamma(x) - ((x - 1/2) log x - x + log(2 pi)/2), for x >= 12."""
    z = 1 / (x * x)
    out = 0.0
    for k in range(8, 0, -1):
        out = out * z + _BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return out / x


def _sine_of_pi(xp: ArrayModule, x: Array) -> Array:
    """|sin(pi x)|, exactly 0 at integers."""
    return xp.absolute(xp.sin(math.pi * (x - xp.rint(x))))


def _lgamma(xp: ArrayModule) -> Kernel:
    def around_one(x: Array) -> Array:
        return (x - 1) * chebyshev(xp, 2 * (x - 1), LGAMMA_ONE)

    def around_two(x: Array) -> Array:
        return (x - 2) * chebyshev(xp, 2 * (x - 2), LGAMMA_TWO)

    def tiny(x: Array) -> Array:
        return around_one(x + 1) - xp.log(x)

    def below_one_and_a_half(x: Array) -> Array:
        return piecewise(xp, x, x < 0.5, tiny, around_one)

    def middling(x: Array) -> Array:
        product = xp.ones_like(x)
        for _ in range(10):  # down into [1.5, 2.5)
            large = x >= 2.5
            x = xp.where(large, x - 1, x)
            product = xp.where(large, product * x, product)
        return around_two(x) + xp.log(product)

    def large(x: Array) -> Array:
        return (x - 0.5) * (xp.log(x) - 1) + (_HALF_LOG_TAU - 0.5) + stirling_rest(xp, x)

    def above(x: Array) -> Array:
        return piecewise(xp, x, x < 12, middling, large)

    def positive(x: Array) -> Array:
        return piecewise(xp, x, x < 1.5, below_one_and_a_half, above)

    def reflected(x: Array, mirrored: Array) -> Array:
        # The integers are poles, and torch says infinity at minus infinity too.
        out = xp.log(math.pi / (-x * _sine_of_pi(xp, x))) - mirrored
        return xp.where(x == xp.rint(x), math.inf, out)

    def lgamma(x: Array) -> Array:
        out = positive(xp.absolute(x))
        return piecewise(xp, x, x <= 0, reflected, lambda x, out: out, out)

    return lgamma


def _digamma(xp: ArrayModule) -> Kernel:
    def positive(x: Array) -> Array:
        shift = xp.zeros_like(x)
        for _ in range(10):  # up to 10 and more, where the asymptotic series is exact enough
            small = x < 10
            shift = xp.where(small, shift + 1 / x, shift)
            x = xp.where(small, x + 1, x)
        z = 1 / (x * x)
        series = xp.zeros_like(x)
        for k in range(9, 0, -1):
            series = (series + _BERNOULLI[k - 1] / (2 * k)) * z
        return xp.log(x) - 0.5 / x - series - shift

    def reflected(x: Array, mirrored: Array) -> Array:
        fraction = x - xp.rint(x)
        out = mirrored - math.pi / xp.tan(math.pi * fraction)
        out = xp.where(fraction == 0, math.nan, out)
        return xp.where(x == 0, xp.copysign(math.inf, -x), out)

    def digamma(x: Array) -> Array:
        out = positive(xp.where(x <= 0, 1 - x, x))
        return piecewise(xp, x, x <= 0, reflected, lambda x, out: out, out)

    return digamma


def _zeta(xp: ArrayModule) -> Callable[[Array, Array], Array]:
    def positive(q: Array, s: Array) -> Array:
        """Euler and Maclaurin's summation from the tenth term on."""
        total = xp.zeros_like(q)
        for i in range(10):
            total += xp.power(q + i, -s)
        a = q + 10
        power = xp.power(a, -s)
        total += power * (a / (s - 1) + 0.5)
        rising, z = s * power / a, 1 / (a * a)
        for k, bernoulli in enumerate(_BERNOULLI, 1):
            term = rising * (bernoulli / math.factorial(2 * k))
            total += xp.where(xp.isnan(term), 0.0, term)  # inf * 0 beyond the range of float64
            rising = rising * ((s + 2 * k - 1) * (s + 2 * k)) * z
        return xp.where(xp.isinf(q), 0.0, total)

    def below_zero(q: Array, s: Array, steps: Array, above: Array) -> Array:
        # The terms on both sides of zero, those below it as a difference of two more zetas.
        fraction = q + steps
        mirrored = positive(1 - fraction, s) - positive(steps + 1 - fraction, s)
        parity = xp.where(s / 2 == xp.floor(s / 2), 1.0, -1.0)
        out = xp.where(s == xp.floor(s), above + parity * mirrored, math.nan)
        return xp.where(fraction == 0, math.inf, out)

    def zeta(s: Array, q: Array) -> Array:
        s, q = xp.broadcast_arrays(s, q)
        shape = s.shape
        s, q = s.reshape(-1), q.reshape(-1)
        safe = xp.where(s > 1, s, 2.0)
        steps = xp.where(q <= 0, xp.ceil(-q), 0.0)
        above = positive(q + steps, safe)
        out = piecewise(
            xp, q, q <= 0, below_zero, lambda q, s, steps, above: above, safe, steps, above
        )
        out = xp.where(s > 1, out, xp.where(s == 1, math.inf, math.nan))
        return out.reshape(shape)

    return zeta


def _incomplete(xp: ArrayModule, lgamma: Kernel) -> tuple[Kernel, Kernel]:
    """The regularised lower and upper incomplete gamma functions."""
    parts = _IncompleteGamma(xp, lgamma)

    def edges(a: Array, x: Array, out: Array, at_zero: float) -> Array:
        out = xp.where((x == 0) | xp.isinf(a), at_zero, out)
        out = xp.where((a == 0) | xp.isinf(x), 1 - at_zero, out)
        undefined = ((a == 0) & (x == 0)) | (xp.isinf(a) & xp.isinf(x)) | (a < 0) | (x < 0)
        return xp.where(undefined | xp.isnan(a) | xp.isnan(x), math.nan, out)

    def kernel(upper: bool) -> Kernel:
        def run(a: Array, x: Array) -> Array:
            a, x = xp.broadcast_arrays(a, x)
            inside = (a > 0) & (x > 0) & xp.isfinite(a) & xp.isfinite(x)
            safe_a = xp.where(inside, a, 1.0).reshape(-1)
            safe_x = xp.where(inside, x, 1.0).reshape(-1)
            value, is_upper = parts(safe_a, safe_x)
            value = xp.where(is_upper == upper, value, 1 - value).reshape(a.shape)
            return edges(a, x, value, float(upper))

        return run

    return kernel(False), kernel(True)


class _IncompleteGamma:
    """The smaller of P(a, x) and Q(a, x): by series, continued fraction or quadrature."""

    def __init__(self, xp: ArrayModule, lgamma: Kernel) -> None:
        self.xp = xp
        self.lgamma = lgamma

    @cached_property
    def nodes(self) -> list[tuple[float, float]]:
        """Gauss and Legendre's nodes and weights on [0, 1]; `np.polynomial` is slow to import."""
        nodes, weights = np.polynomial.legendre.leggauss(48)
        return [((float(n) + 1) / 2, float(w) / 2) for n, w in zip(nodes, weights, strict=True)]

    def __call__(self, a: Array, x: Array) -> tuple[Array, Array]:
        """The value for each pair, and whether it is Q's."""
        upper = self.xp.where(a < 50, x > a + 1, x > a)
        value = piecewise(self.xp, a, a < 50, self._small, self._large, x)
        return value, upper

    def _small(self, a: Array, x: Array) -> Array:
        return piecewise(self.xp, a, x > a + 1, self._fraction, self._series, x)

    def _density(self, a: Array, x: Array) -> Array:
        """x**a exp(-x) / Gamma(a), without cancellation of large logarithms."""
        return piecewise(self.xp, a, a < 12, self._density_small, self._density_large, x)

    def _density_small(self, a: Array, x: Array) -> Array:
        return self.xp.exp(a * self.xp.log(x) - x - self.lgamma(a))

    def _density_large(self, a: Array, x: Array) -> Array:
        xp = self.xp
        excess = (x - a) / a
        exponent = -a * (excess - xp.log1p(excess)) - stirling_rest(xp, a)
        return xp.sqrt(a / (2 * math.pi)) * xp.exp(exponent)

    def _series(self, a: Array, x: Array) -> Array:
        term = 1 / a
        total = term.copy()
        for n in range(1, 500):
            term = term * (x / (a + n))
            total += term
            if bool((term <= 1e-17 * total).all()):
                break
        return total * self._density(a, x)

    def _fraction(self, a: Array, x: Array) -> Array:
        """Legendre's continued fraction, evaluated forwards (Lentz 1976)."""
        b = x + 1 - a
        c, d = self.xp.full_like(x, 1e300), 1 / b
        total = d.copy()
        for n in range(1, 500):
            weight = -n * (n - a)
            b = b + 2
            d = 1 / (weight * d + b)
            c = b + weight / c
            total *= c * d
            if bool((abs(c * d - 1) < 1e-16).all()):
                break
        return total * self._density(a, x)

    def _large(self, a: Array, x: Array) -> Array:
        """Quadrature of the tail in w = log(t / x), over the stretch where it is not negligible."""
        xp = self.xp
        gap = xp.absolute(x - a)
        direction = xp.where(x > a, 1.0, -1.0)
        stretch = xp.minimum(11 / xp.sqrt(x), 40 / xp.maximum(gap, 1e-300))
        total = xp.zeros_like(x)
        for node, weight in self.nodes:
            w = stretch * node
            signed = direction * w
            total += weight * xp.exp(-gap * w - x * (xp.expm1(signed) - signed))
        return total * stretch * self._density(a, x)
