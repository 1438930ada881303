"""Special functions: error functions, gamma family, Bessel functions, zeta. Without SciPy.

All are computed in float64 and rounded once to the operand's dtype, by Chebyshev series
(`_chebyshev.py`), asymptotic series and recurrences; erf of float32 has a rational of its own,
because GELU needs it fast. Long arrays go through in blocks that stay in the processor's cache.
"""

from __future__ import annotations

import math

import numpy as np

from ._bessel import bessel_functions
from ._bessel_second import bessel_functions_of_the_second_kind
from ._chebyshev import ERF, ERFCINV, ERFCX, ERFINV, chebyshev
from ._common import FLOAT32, Array, ArrayModule, Kernel, Kernels, in_double, widened
from ._gamma import gamma_functions
from ._piecewise import piecewise
from ._polynomials import polynomial_functions

_BLOCK = 1 << 13
_SQRT_HALF = math.sqrt(0.5)

# erf(x)/x as a ratio of polynomials in x**2 on 0 <= x**2 <= 15, fitted for this library by weighted
# least squares (Lawson's iteration): 1.6e-8, and 4e-7 when evaluated in float32.
_ERF_TOP = (
    1.1283791065216064, 0.18869836628437042, 0.05256418138742447,
    0.0037029460072517395, 0.0002853661426343024, 2.0889053757855436e-06,
)  # fmt: skip
_ERF_BOTTOM = (
    1.0, 0.5005624294281006, 0.11344054341316223,
    0.014843100681900978, 0.0011507964227348566, 3.851676228805445e-05,
)  # fmt: skip


def special_function_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of the special functions; polygamma, zeta, igamma and igammac among them."""
    unary = error_functions(xp)
    others: dict[str, Kernel] = {}
    for functions in (gamma_functions(xp), bessel_functions(xp)):
        unary |= functions.unary
        others |= functions.others
    unary |= bessel_functions_of_the_second_kind(xp)
    others |= polynomial_functions(xp)
    table: Kernels = {}
    for name, kernel in unary.items():
        run = in_double(_blocked(xp, kernel, np.float64))
        table[name] = {"floating": run, "reduced": run}
    for name, kernel in others.items():
        run = in_double(kernel)
        table[name] = {"floating": run, "reduced": run}
    table["erf"] = _erf_entry(xp, unary["erf"])
    return table


def _blocked(xp: ArrayModule, kernel: Kernel, dtype: type[np.floating]) -> Kernel:
    """A kernel of vectors made one of arrays, applied to a block at a time."""

    def run(x: Array) -> Array:
        flat = xp.ascontiguousarray(x).reshape(-1)
        if flat.size <= _BLOCK or xp is not np:
            return kernel(flat).reshape(x.shape)
        out = xp.empty(flat.shape, dtype)
        for start in range(0, flat.size, _BLOCK):
            out[start : start + _BLOCK] = kernel(flat[start : start + _BLOCK])
        return out.reshape(x.shape)

    return run


def _erf_entry(xp: ArrayModule, erf_double: Kernel) -> dict[str, Kernel]:
    limit = math.sqrt(15.0)

    def polynomial(z: Array, coefficients: tuple[float, ...]) -> Array:
        out = z * coefficients[-1]
        for coefficient in coefficients[-2:0:-1]:
            out += coefficient
            out *= z
        out += coefficients[0]
        return out

    def erf_single(x: Array) -> Array:
        x = xp.minimum(xp.maximum(x, -limit), limit)
        z = x * x
        x *= polynomial(z, _ERF_TOP)
        x /= polynomial(z, _ERF_BOTTOM)
        return xp.minimum(xp.maximum(x, -1), 1)

    single = _blocked(xp, erf_single, np.float32)
    double = _blocked(xp, erf_double, np.float64)

    def erf(x: Array) -> Array:
        return single(x) if x.dtype == FLOAT32 else double(x)

    return {"floating": erf, "reduced": widened(single)}


def error_functions(xp: ArrayModule) -> dict[str, Kernel]:
    """erf and its relatives, each from a float64 vector to a fresh one."""

    def scaled(x: Array) -> Array:
        """exp(x**2) erfc(x) for x >= 0."""
        return chebyshev(xp, 1 - 8 / (x + 4), ERFCX) / (1 + 2 * x)

    def exp_square(x: Array, sign: float) -> Array:
        # Cody (1969), Rational Chebyshev approximations for the error function: x**2 rounded would
        # lose the last digits of its exponential, so the part that is exact goes separately.
        x = xp.minimum(x, 40.0)
        head = xp.trunc(x * 16) / 16
        return xp.exp(sign * head * head) * xp.exp(sign * (x - head) * (x + head))

    def erfc(x: Array) -> Array:
        size = xp.absolute(x)
        tail = exp_square(size, -1) * scaled(size)
        return xp.where(x < 0, 2 - tail, tail)

    def erf_centre(x: Array) -> Array:
        return x * chebyshev(xp, 2 * x * x - 1, ERF)

    def erf_outside(x: Array) -> Array:
        return xp.copysign(1 - erfc(xp.absolute(x)), x)

    def erf(x: Array) -> Array:
        return piecewise(xp, x, xp.absolute(x) <= 1, erf_centre, erf_outside)

    def erfcx_negative(x: Array) -> Array:
        return 2 * exp_square(-x, 1) - scaled(-x)

    def erfcx(x: Array) -> Array:
        return piecewise(xp, x, x < 0, erfcx_negative, scaled)

    def erfcinv_tail(q: Array) -> Array:
        """The inverse of erfc for 0 <= q <= 1/2."""
        s = xp.sqrt(-xp.log(q))
        low, high = (0.83 - 3) / (0.83 + 3), (27.4 - 3) / (27.4 + 3)
        u = (s - 3) / (s + 3)
        t = xp.minimum((2 * u - (low + high)) / (high - low), 1.0)
        return xp.where(q == 0, math.inf, s * chebyshev(xp, t, ERFCINV))

    def erfinv_centre(y: Array) -> Array:
        return y * chebyshev(xp, 8 * y * y - 1, ERFINV)

    def erfinv_outside(y: Array) -> Array:
        return xp.copysign(erfcinv_tail(1 - xp.absolute(y)), y)

    def erfinv(y: Array) -> Array:
        return piecewise(xp, y, xp.absolute(y) <= 0.5, erfinv_centre, erfinv_outside)

    def ndtri_centre(p: Array) -> Array:
        return math.sqrt(2) * erfinv_centre(2 * p - 1)

    def ndtri_outside(p: Array) -> Array:
        upper = p > 0.5
        tail = math.sqrt(2) * erfcinv_tail(2 * xp.where(upper, 1 - p, p))
        return xp.where(upper, tail, -tail)

    def ndtri(p: Array) -> Array:
        return piecewise(xp, p, xp.absolute(p - 0.5) <= 0.25, ndtri_centre, ndtri_outside)

    def log_ndtr_low(x: Array) -> Array:
        t = -x * _SQRT_HALF
        return xp.log(0.5 * scaled(t)) - t * t

    def log_ndtr_high(x: Array) -> Array:
        return xp.log1p(-0.5 * erfc(x * _SQRT_HALF))

    def log_ndtr(x: Array) -> Array:
        return piecewise(xp, x, x < -1, log_ndtr_low, log_ndtr_high)

    return {
        "erf": erf, "erfc": erfc, "erfcx": erfcx, "erfinv": erfinv,
        "ndtri": ndtri, "log_ndtr": log_ndtr,
    }  # fmt: skip
