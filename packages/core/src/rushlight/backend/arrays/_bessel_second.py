"""Bessel functions of the second kind, the Airy function, and their like, of float64 vectors."""

from __future__ import annotations

import math

from ._bessel import hankel_parts, modified, ordinary
from ._bessel_series import (
    AIRY_MIDDLE,
    AIRY_P,
    AIRY_POSITIVE,
    AIRY_Q,
    K0_LARGE,
    K0_SMALL,
    K1_LARGE,
    K1_SMALL,
    Y0_SMALL,
    Y1_SMALL,
)
from ._chebyshev import J0_P, J0_Q, J1_P, J1_Q, Series, chebyshev
from ._common import Array, ArrayModule, Kernel
from ._piecewise import piecewise

_TWO_OVER_PI = 2 / math.pi
# 2/3 x**(3/2) at the ends of the middle interval, -5 and 2.
_AIRY_LEFT = 2 / 3 * 5**1.5
_AIRY_RIGHT = 2 / 3 * 2**1.5


def bessel_functions_of_the_second_kind(xp: ArrayModule) -> dict[str, Kernel]:
    """Y0, Y1, K0, K1 (also times exp(x)), Ai and the spherical j0.

    References:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 9.1, 9.2, 9.6, 10.1, 10.4.
    """
    return {**_second_kind(xp), **_decaying(xp), **_others(xp)}


def _second_kind(xp: ArrayModule) -> dict[str, Kernel]:
    first = ordinary(xp)

    def y0_near(x: Array) -> Array:
        series = chebyshev(xp, x * x * (2 / 49) - 1, Y0_SMALL)
        return _TWO_OVER_PI * xp.log(x / 2) * first["bessel_j0"](x) + series

    def y1_near(x: Array) -> Array:
        series = chebyshev(xp, x * x * (2 / 64) - 1, Y1_SMALL)
        logarithmic = xp.log(x / 2) * first["bessel_j1"](x) - 1 / x
        return _TWO_OVER_PI * logarithmic + x * series

    def y0_far(x: Array) -> Array:
        p, q = hankel_parts(xp, x, J0_P, J0_Q)
        sin, cos = xp.sin(x), xp.cos(x)
        return p * (sin - cos) + q * (cos + sin)

    def y1_far(x: Array) -> Array:
        p, q = hankel_parts(xp, x, J1_P, J1_Q)
        sin, cos = xp.sin(x), xp.cos(x)
        return q * (sin - cos) - p * (sin + cos)

    def defined(near: Kernel, far: Kernel, border: float) -> Kernel:
        def kernel(x: Array) -> Array:
            inside = piecewise(xp, xp.absolute(x), xp.absolute(x) <= border, near, far)
            inside = xp.where(xp.isinf(x), 0.0, inside)
            return xp.where(x > 0, inside, xp.where(x == 0, -math.inf, math.nan))

        return kernel

    return {"bessel_y0": defined(y0_near, y0_far, 7), "bessel_y1": defined(y1_near, y1_far, 8)}


def _decaying(xp: ArrayModule) -> dict[str, Kernel]:
    growing = modified(xp)

    def k0_near(x: Array) -> Array:
        series = chebyshev(xp, x * x / 2 - 1, K0_SMALL)
        return series - xp.log(x / 2) * growing["i0"](x)

    def k1_near(x: Array) -> Array:
        series = chebyshev(xp, x * x / 2 - 1, K1_SMALL)
        return series / x + xp.log(x / 2) * growing["i1"](x)

    def far(large: Series) -> Kernel:
        return lambda x: chebyshev(xp, 4 / x - 1, large) / xp.sqrt(x)

    def defined(near: Kernel, large: Series, scaled: bool) -> Kernel:
        def inside(x: Array) -> Array:
            return near(x) * xp.exp(x) if scaled else near(x)

        def outside(x: Array) -> Array:
            value = far(large)(x)
            return value if scaled else value * xp.exp(-x)

        def kernel(x: Array) -> Array:
            size = xp.absolute(x)
            value = piecewise(xp, size, size <= 2, inside, outside)
            return xp.where(x > 0, value, xp.where(x == 0, math.inf, math.nan))

        return kernel

    return {
        "modified_bessel_k0": defined(k0_near, K0_LARGE, False),
        "modified_bessel_k1": defined(k1_near, K1_LARGE, False),
        "scaled_modified_bessel_k0": defined(k0_near, K0_LARGE, True),
        "scaled_modified_bessel_k1": defined(k1_near, K1_LARGE, True),
    }


def _others(xp: ArrayModule) -> dict[str, Kernel]:
    root_pi = math.sqrt(math.pi)

    def airy_middle(x: Array) -> Array:
        return chebyshev(xp, (x + 5) * (2 / 7) - 1, AIRY_MIDDLE)

    def airy_right(x: Array) -> Array:
        root = xp.sqrt(x)
        z = 2 / 3 * x * root
        series = chebyshev(xp, 2 * _AIRY_RIGHT / z - 1, AIRY_POSITIVE)
        return xp.exp(-z) * series / (2 * root_pi * xp.sqrt(root))

    def airy_left(x: Array) -> Array:
        size = -x
        root = xp.sqrt(size)
        z = 2 / 3 * size * root
        t = 2 * _AIRY_LEFT**2 / (z * z) - 1
        sin, cos = xp.sin(z - math.pi / 4), xp.cos(z - math.pi / 4)
        wave = cos * chebyshev(xp, t, AIRY_P) + sin * chebyshev(xp, t, AIRY_Q) / z
        return wave / (root_pi * xp.sqrt(root))

    def airy_outside(x: Array) -> Array:
        return piecewise(xp, x, x > 2, airy_right, airy_left)

    def airy_ai(x: Array) -> Array:
        value = piecewise(xp, x, (x >= -5) & (x <= 2), airy_middle, airy_outside)
        return xp.where(xp.isinf(x), xp.where(x > 0, 0.0, math.nan), value)

    def spherical_bessel_j0(x: Array) -> Array:
        square = x * x
        small = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
        value = xp.where(xp.absolute(x) < 0.03, small, xp.sin(x) / x)
        return xp.where(xp.isinf(x), 0.0, value)

    return {"airy_ai": airy_ai, "spherical_bessel_j0": spherical_bessel_j0}
