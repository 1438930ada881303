"""Bessel functions of orders 0 and 1, as kernels of float64 vectors."""

from __future__ import annotations

import math

from ._chebyshev import (
    I0_LARGE,
    I0_SMALL,
    I1_LARGE,
    I1_SMALL,
    J0_P,
    J0_Q,
    J0_SMALL,
    J1_P,
    J1_Q,
    J1_SMALL,
    Series,
    chebyshev,
)
from ._common import Array, ArrayModule, Kernel
from ._piecewise import Functions, piecewise

# The first two zeros of J0 and of J1, each as a float64 and what that leaves over.
J0_ZEROS = ((2.404825557695773, -1.176691651530894e-16), (5.520078110286311, 8.088597146146722e-17))
J1_ZEROS = (
    (3.8317059702075125, -1.526918409008806e-16),
    (7.015586669815619, -9.414165653410388e-17),
)


def bessel_functions(xp: ArrayModule) -> Functions:
    """i0, i0e, i1, i1e and J0, J1.

    References:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 9.2 and 9.7.
    """
    return Functions({**modified(xp), **ordinary(xp)}, {})


def modified(xp: ArrayModule) -> dict[str, Kernel]:
    """I0 and I1, also times exp(-|x|)."""

    def scaled(small: Series, large: Series) -> Kernel:
        """exp(-x) I(x) for x >= 0; for order 1 the small series has the factor x taken out."""

        def near(x: Array) -> Array:
            return chebyshev(xp, x / 4 - 1, small)

        def far(x: Array) -> Array:
            return chebyshev(xp, 16 / x - 1, large) / xp.sqrt(x)

        def near_odd(x: Array) -> Array:
            return x * near(x)

        inner = near_odd if small is I1_SMALL else near

        def kernel(x: Array) -> Array:
            return piecewise(xp, x, x <= 8, inner, far)

        return kernel

    even, odd = scaled(I0_SMALL, I0_LARGE), scaled(I1_SMALL, I1_LARGE)

    def i0e(x: Array) -> Array:
        return even(xp.absolute(x))

    def i0(x: Array) -> Array:
        size = xp.absolute(x)
        return xp.exp(size) * even(size)

    def i1e(x: Array) -> Array:
        return xp.copysign(odd(xp.absolute(x)), x)

    def i1(x: Array) -> Array:
        size = xp.absolute(x)
        return xp.copysign(xp.exp(size) * odd(size), x)

    return {"i0": i0, "i0e": i0e, "i1": i1, "i1e": i1e}


def hankel_parts(xp: ArrayModule, x: Array, p: Series, q: Series) -> tuple[Array, Array]:
    """P and Q of Hankel's asymptotic form, over sqrt(pi x), for large x."""
    t = 98 / (x * x) - 1
    scale = 1 / xp.sqrt(math.pi * x)
    return scale * chebyshev(xp, t, p), scale * chebyshev(xp, t, q) / x


def ordinary(xp: ArrayModule) -> dict[str, Kernel]:
    """J0 and J1."""

    def factors(x: Array, zeros: tuple[tuple[float, float], ...]) -> Array:
        """(x**2 - a**2)(x**2 - b**2), accurate near the zeros a and b."""
        product: Array = 1.0
        for head, rest in zeros:
            product = product * (((x - head) - rest) * (x + head))
        return product

    def j0_near(x: Array) -> Array:
        return factors(x, J0_ZEROS) * chebyshev(xp, x * x * (2 / 49) - 1, J0_SMALL)

    def j1_near(x: Array) -> Array:
        return x * factors(x, J1_ZEROS) * chebyshev(xp, x * x * (2 / 64) - 1, J1_SMALL)

    def j0_far(x: Array) -> Array:
        p, q = hankel_parts(xp, x, J0_P, J0_Q)
        sin, cos = xp.sin(x), xp.cos(x)
        return p * (cos + sin) - q * (sin - cos)

    def j1_far(x: Array) -> Array:
        p, q = hankel_parts(xp, x, J1_P, J1_Q)
        sin, cos = xp.sin(x), xp.cos(x)
        return p * (sin - cos) + q * (sin + cos)

    def j0(x: Array) -> Array:
        size = xp.absolute(x)
        return piecewise(xp, size, size <= 7, j0_near, j0_far)

    def j1(x: Array) -> Array:
        size = xp.absolute(x)
        return xp.copysign(1.0, x) * piecewise(xp, size, size <= 8, j1_near, j1_far)

    return {"bessel_j0": j0, "bessel_j1": j1}
