"""The error function from ufuncs: NumPy has none, and SciPy's is slow in float32.

References:
    Cody (1969), Rational Chebyshev approximations for the error function; Math. Comp. 23.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight_cpu.kernels._common import Array, blocks

# Cody's coefficients, highest power first; |x| <= 15/32, up to 4, and beyond 4 in 1/x^2.
_P1 = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
       3.77485237685302021e2, 3.20937758913846947e3)  # fmt: skip
_Q1 = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
       2.84423683343917062e3)  # fmt: skip
_P2 = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
       6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
       1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)  # fmt: skip
_Q2 = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
       1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
       3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip
_P3 = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
       1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip
_Q3 = (1.0, 2.56852019228982242e0, 1.87295284992346047e0, 5.27905102951428412e-1,
       6.05183413124413191e-2, 2.33520497626869185e-3)  # fmt: skip
_ROOT = 5.6418958354775628695e-1  # 1 / sqrt(pi)
_SMALL, _LARGE = 0.46875, 4.0


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    out: Array = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        out *= x
        out += coefficient
    return out


def _erf_small(x: Array) -> Array:
    square = x * x
    out: Array = x * (_horner(_P1, square) / _horner(_Q1, square))
    return out


def _erfc_large(y: Array) -> Array:
    """erfc of y > 15/32 in float64."""
    out: Array = np.empty_like(y)
    middle = y <= _LARGE
    at = y[middle]
    out[middle] = _horner(_P2, at) / _horner(_Q2, at)
    far = ~middle
    at = y[far]
    inverse = 1.0 / (at * at)
    tail = inverse * _horner(_P3, inverse) / _horner(_Q3, inverse)
    out[far] = (_ROOT - tail) / at
    # exp(-y^2) in two factors: y^2 would be rounded, and exp magnifies that by y^2.
    head = np.trunc(y * 16.0) / 16.0
    out *= np.exp(-head * head) * np.exp(-(y - head) * (y + head))
    return out


def erf64(x: Array) -> Array:
    """erf in float64, to about 1e-15."""
    out: Array = np.array(x)
    size = np.abs(x)
    small = size <= _SMALL
    out[small] = _erf_small(x[small])
    large = size > _SMALL
    away = np.minimum(size[large], 30.0)
    out[large] = np.copysign(1.0 - _erfc_large(away), x[large])
    return out


def erfc64(x: Array) -> Array:
    """erfc in float64, to about 1e-15 relative even far out."""
    out: Array = np.array(x)
    size = np.abs(x)
    small = size <= _SMALL
    out[small] = 1.0 - _erf_small(x[small])
    large = size > _SMALL
    tail = _erfc_large(np.minimum(size[large], 30.0))
    out[large] = np.where(x[large] < 0, 2.0 - tail, tail)
    return out


def _by_blocks(function: Any, x: Array) -> Array:
    flat = np.ascontiguousarray(x).reshape(-1)
    out: Array = np.empty(flat.shape, flat.dtype)
    for some in blocks(flat.size):
        out[some] = function(flat[some].astype(np.float64, copy=False))
    return out.reshape(x.shape)


def erf(x: Array) -> Array:
    """Error function of a float array, in cache blocks."""
    return _by_blocks(erf64, x)


def erfc(x: Array) -> Array:
    """Complementary error function of a float array, in cache blocks."""
    return _by_blocks(erfc64, x)
