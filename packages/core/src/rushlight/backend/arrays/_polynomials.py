"""Orthogonal polynomials of varying degree: Chebyshev, Hermite, Laguerre, Legendre."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ._common import Array, ArrayModule, Kernel

# Beyond these degrees Chebyshev polynomials inside [-1, 1] are computed from cosines.
_TRIGONOMETRIC = 8
# Hermite polynomials of higher degrees do not fit in float64, as torch has it.
_HERMITE_LIMIT = 512

# From (x, P_k, P_{k-1}, k) to P_{k+1}.
Step = Callable[[Array, Array, Array, int], Array]


def polynomial_functions(xp: ArrayModule) -> dict[str, Kernel]:
    """The polynomials, as kernels of two float64 arrays: argument and degree.

    References:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 22.7.
    """
    table = _chebyshev(xp) | _classical(xp)
    for kind in "tuvw":
        table[f"shifted_chebyshev_polynomial_{kind}"] = _shifted(
            table[f"chebyshev_polynomial_{kind}"]
        )
    return table


def _shifted(kernel: Kernel) -> Kernel:
    return lambda x, n: kernel(2 * x - 1, n)


def recurrence(
    xp: ArrayModule, x: Array, n: Array, first: Array, step: Step, limit: int | None = None
) -> Array:
    """Polynomials by a recurrence of three terms; 0 where the degree is negative."""
    x, n = xp.broadcast_arrays(x, n)
    x, n, first = x.astype(np.float64), xp.trunc(n), xp.broadcast_to(first, x.shape)
    out = xp.where(n == 0, 1.0, xp.where(n == 1, first, 0.0))
    asked = n[n <= limit] if limit is not None else n[xp.isfinite(n)]
    older, newer = xp.ones_like(x), first
    for k in range(1, int(asked.max()) if asked.size else 0):
        older, newer = newer, step(x, newer, older, k)
        out = xp.where(n == k + 1, newer, out)
    if limit is not None:
        out = xp.where(n > limit, math.nan, out)
    return out


def _chebyshev(xp: ArrayModule) -> dict[str, Kernel]:
    def step(x: Array, newer: Array, older: Array, k: int) -> Array:
        return 2 * x * newer - older

    def cosine(x: Array, n: Array) -> Array:
        return xp.cos(n * xp.arccos(x))

    def sine_ratio(x: Array, n: Array) -> Array:
        angle = xp.arccos(x)
        return xp.sin((n + 1) * angle) / xp.sin(angle)

    def half_cosine(x: Array, n: Array) -> Array:
        angle = xp.arccos(x)
        return xp.cos((n + 0.5) * angle) / xp.cos(angle / 2)

    def half_sine(x: Array, n: Array) -> Array:
        angle = xp.arccos(x)
        return xp.sin((n + 0.5) * angle) / xp.sin(angle / 2)

    def kind(first: Callable[[Array], Array], closed: Kernel) -> Kernel:
        def kernel(x: Array, n: Array) -> Array:
            x, n = xp.broadcast_arrays(x, n)
            whole = xp.trunc(n)
            inside = (xp.absolute(x) < 1) & (whole > _TRIGONOMETRIC)
            out = recurrence(xp, x, xp.where(inside, 0.0, whole), first(x), step)
            safe = xp.where(inside, x, 0.5)
            return xp.where(inside, closed(safe, whole), out)

        return kernel

    return {
        "chebyshev_polynomial_t": kind(lambda x: x, cosine),
        "chebyshev_polynomial_u": kind(lambda x: 2 * x, sine_ratio),
        "chebyshev_polynomial_v": kind(lambda x: 2 * x - 1, half_cosine),
        "chebyshev_polynomial_w": kind(lambda x: 2 * x + 1, half_sine),
    }


def _classical(xp: ArrayModule) -> dict[str, Kernel]:
    def hermite_h(x: Array, newer: Array, older: Array, k: int) -> Array:
        return 2 * x * newer - 2 * k * older

    def hermite_he(x: Array, newer: Array, older: Array, k: int) -> Array:
        return x * newer - k * older

    def laguerre(x: Array, newer: Array, older: Array, k: int) -> Array:
        return ((2 * k + 1 - x) * newer - k * older) / (k + 1)

    def legendre(x: Array, newer: Array, older: Array, k: int) -> Array:
        return ((2 * k + 1) * x * newer - k * older) / (k + 1)

    def kind(first: Callable[[Array], Array], step: Step, limit: int | None = None) -> Kernel:
        return lambda x, n: recurrence(xp, x, n, first(x), step, limit)

    return {
        "hermite_polynomial_h": kind(lambda x: 2 * x, hermite_h, _HERMITE_LIMIT),
        "hermite_polynomial_he": kind(lambda x: x, hermite_he, _HERMITE_LIMIT),
        "laguerre_polynomial_l": kind(lambda x: 1 - x, laguerre),
        "legendre_polynomial_p": kind(lambda x: x, legendre),
    }
