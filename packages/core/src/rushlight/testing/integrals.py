"""References of special functions by series and integrals: slow, and independent of any kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .references import Array, each

_HALF, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _integral(function: Any, low: float, high: float) -> float:
    """By Gauss and Legendre."""
    points = (high - low) / 2 * _HALF + (high + low) / 2
    return float(np.sum(_WEIGHTS * function(points)) * (high - low) / 2)


def _period(function: Any) -> float:
    """Mean over a full turn, where the trapezoidal rule is exact to rounding."""
    return math.fsum(function(2 * math.pi / 64 * np.arange(64))) / 64


# Abramowitz and Stegun (1964), Handbook of mathematical functions: 9.6.19, 9.6.24, 9.1.21, 9.1.22.


def bessel_i(n: int, scaled: bool = False) -> Any:
    """Modified Bessel function of the first kind; scaled by exp(-|x|)."""

    def at(x: float) -> float:
        shift = abs(x) if scaled else 0.0
        return _period(lambda a: np.exp(x * np.cos(a) - shift) * np.cos(n * a))

    return each(at)


def bessel_k(n: int, scaled: bool = False) -> Any:
    """Modified Bessel function of the second kind, for x > 0; scaled by exp(x)."""

    def at(x: float) -> float:
        shift = x if scaled else 0.0
        # The integrand falls doubly exponentially: there too the trapezoidal rule is exact.
        t = np.arange(1, 400) / 32
        with np.errstate(all="ignore"):
            tail = np.exp(shift - x * np.cosh(t)) * np.cosh(n * t)
        return (math.exp(shift - x) / 2 + math.fsum(tail)) / 32

    return each(at)


def bessel_j(n: int) -> Any:
    """Bessel function of the first kind."""
    return each(lambda x: _period(lambda a: np.cos(n * a - x * np.sin(a))))


def bessel_y(n: int) -> Any:
    """Bessel function of the second kind, for x > 0."""

    def at(x: float) -> float:
        waves = _integral(lambda a: np.sin(x * np.sin(a) - n * a), 0, math.pi)
        top = math.asinh(800 / x)
        tail = _integral(
            lambda t: (np.exp(n * t) + (-1) ** n * np.exp(-n * t)) * np.exp(-x * np.sinh(t)), 0, top
        )
        return (waves - tail) / math.pi

    return each(at)


def _airy(x: float) -> float:
    """Maclaurin series (10.4.2), for small |x|."""
    f = term_f = 1.0
    g = term_g = x
    for k in range(1, 60):
        term_f *= x**3 / ((3 * k - 1) * (3 * k))
        term_g *= x**3 / ((3 * k) * (3 * k + 1))
        f, g = f + term_f, g + term_g
    first = 3 ** (-2 / 3) / math.gamma(2 / 3)
    return first * f - 3 ** (-1 / 3) / math.gamma(1 / 3) * g


airy = each(_airy)


def _polygamma(n: int, x: float) -> float:
    """By recurrence to a large argument, and the asymptotic series there (6.3.18, 6.4.11)."""
    total = 0.0
    sign = (-1) ** (n + 1) * math.factorial(n)
    while x < 20:
        total += sign / x ** (n + 1) if n else -1 / x
        x += 1
    bernoulli = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
    if n == 0:
        tail = sum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(bernoulli, 1))
        return total + math.log(x) - 1 / (2 * x) - tail
    tail = math.factorial(n - 1) / x**n + math.factorial(n) / (2 * x ** (n + 1))
    for k, b in enumerate(bernoulli, 1):
        tail += b * math.factorial(2 * k + n - 1) / (math.factorial(2 * k) * x ** (2 * k + n))
    return float(total + (-1) ** (n + 1) * tail)


def polygamma(x: Array, n: int = 0) -> Array:
    """Derivatives of log(gamma(x)), for x > 0."""
    return each(lambda v: _polygamma(n, v))(x)


def _zeta(s: float, q: float) -> float:
    """Hurwitz' zeta function by Euler and Maclaurin."""
    count = 30
    total = sum((q + k) ** -s for k in range(count))
    a = q + count
    total += a ** (1 - s) / (s - 1) + a**-s / 2
    rise, power = s, a ** (-s - 1)
    for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30), 1):
        total += b / math.factorial(2 * k) * rise * power
        rise *= (s + 2 * k - 1) * (s + 2 * k)
        power /= a * a
    return float(total)


zeta = each(_zeta)


def _lower_gamma(a: float, x: float) -> float:
    """Regularised lower incomplete gamma function by its series (6.5.29)."""
    term = total = 1 / a
    for k in range(1, 300):
        term *= x / (a + k)
        total += term
    return total * math.exp(a * math.log(x) - x - math.lgamma(a))


igamma = each(_lower_gamma)
igammac = each(lambda a, x: 1 - _lower_gamma(a, x))


def inverse(function: Any, slope: Any, low: float, high: float) -> Any:
    """The inverse of an increasing function of Python numbers, by bisection and Newton's steps."""

    def at(y: float) -> float:
        a, b = low, high
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if function(middle) < y else (a, middle)
        x = (a + b) / 2
        for _ in range(3):
            x -= (function(x) - y) / slope(x)
        return x

    return each(at)


erfinv = inverse(math.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x), -6, 6)


def ndtr(x: float) -> float:
    """Probability of a standard normal variable below x."""
    return math.erfc(-x / math.sqrt(2)) / 2


ndtri = inverse(ndtr, lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi), -8, 8)


def polynomial(module: Any, evaluate: str) -> Any:
    """One of NumPy's families of orthogonal polynomials, by degree."""
    function = getattr(module, evaluate)
    return each(lambda x, n: float(function(x, [0.0] * int(n) + [1.0])))


def chebyshev(kind: str) -> Any:
    """Chebyshev polynomials of the second, third and fourth kind, by their angles."""

    def at(x: float, n: float) -> float:
        a = math.acos(x)
        if kind == "u":
            return math.sin((n + 1) * a) / math.sin(a)
        if kind == "v":
            return math.cos((n + 0.5) * a) / math.cos(a / 2)
        return math.sin((n + 0.5) * a) / math.sin(a / 2)

    return each(at)
