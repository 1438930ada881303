"""Samples of special functions."""

import math
from typing import Any

import numpy as np

from ... import _dtypes
from .. import integrals
from ..references import each
from ._inputs import chance, constant, positive, real, special, unit, values, within
from ._table import FLOATING, binary, case, samples, unary

_FLOAT: dict[str, Any] = {
    "result": "float",
    "dtypes": (*FLOATING, _dtypes.int64),
    "extremes": False,
}
_PLAIN: dict[str, Any] = {
    "result": "float",
    "dtypes": FLOATING,
    "extremes": False,
    "tolerance": 32.0,
}
_far = within(0.5, 6.0)
_both = within(-6.0, 6.0)


def _bessel(name: Any, reference: Any, domain: Any = _both, **options: Any) -> Any:
    # Zeros lie among the values: the error counts in units of the function's size, about 1.
    return samples(
        name,
        reference,
        domain(2, 3),
        domain(4),
        domain(0),
        **{"result": "float", "tolerance": 256.0, **options},
    )


def _polynomial(name: Any, reference: Any, domain: Any = unit) -> Any:
    degrees = constant(values(0.0, 1.0, 2.0, 5.0))
    return samples(
        name,
        reference,
        case(domain(4), degrees),
        case(domain(2, 1), degrees),
        # As in torch, they have no derivative.
        smooth=False,
        result="float",
        tolerance=512.0,
    )


def _xlogy(x: Any, y: Any) -> Any:
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


_t = integrals.polynomial(np.polynomial.chebyshev, "chebval")

SAMPLES = [
    unary("erf", each(math.erf), **{**_FLOAT, "extremes": True}),
    unary("erfc", each(math.erfc), **{**_FLOAT, "extremes": True, "tolerance": 16.0}),
    unary("erfinv", integrals.erfinv, unit, **_PLAIN),
    unary("erfcx", each(lambda x: math.exp(x * x) * math.erfc(x)), **_PLAIN),
    unary("ndtri", integrals.ndtri, chance, **_PLAIN),
    unary("log_ndtr", each(lambda x: math.log(integrals.ndtr(x))), **_PLAIN),
    unary("lgamma", each(math.lgamma), within(2.5, 9.0), **_PLAIN),
    unary("digamma", integrals.polygamma, within(2.0, 9.0), **_PLAIN),
    samples(
        "polygamma",
        integrals.polygamma,
        case(positive(2, 3), n=1),
        case(positive(4), n=2),
        case(positive(0), n=3),
        # torch's function and method take n in different places.
        forms=False,
        result="float",
        tolerance=64.0,
    ),
    unary("sinc", lambda x: np.sinc(x), unit, **_PLAIN),
    samples(
        "entr",
        lambda x: np.where(x > 0, -x * np.log(np.where(x > 0, x, 1)), np.where(x < 0, -np.inf, x)),
        positive(2, 3),
        positive(0),
        case(special(), smooth=False),
        result="float",
        tolerance=16.0,
    ),
    unary("i0", integrals.bessel_i(0), _both, **_PLAIN),
    unary("i0e", integrals.bessel_i(0, scaled=True), _both, **_PLAIN),
    unary("i1", integrals.bessel_i(1), _both, **{**_PLAIN, "tolerance": 256.0}),
    unary("i1e", integrals.bessel_i(1, scaled=True), _both, **_PLAIN),
    _bessel("bessel_j0", integrals.bessel_j(0)),
    _bessel("bessel_j1", integrals.bessel_j(1)),
    _bessel("bessel_y0", integrals.bessel_y(0), _far, tolerance=4096.0),
    _bessel("bessel_y1", integrals.bessel_y(1), _far, tolerance=4096.0),
    unary("modified_bessel_k0", integrals.bessel_k(0), _far, **_PLAIN),
    unary("modified_bessel_k1", integrals.bessel_k(1), _far, **_PLAIN),
    unary("scaled_modified_bessel_k0", integrals.bessel_k(0, scaled=True), _far, **_PLAIN),
    unary("scaled_modified_bessel_k1", integrals.bessel_k(1, scaled=True), _far, **_PLAIN),
    _bessel("airy_ai", integrals.airy, real, smooth=False),
    unary("spherical_bessel_j0", lambda x: np.sin(x) / x, **_PLAIN),
    samples(
        "xlogy",
        _xlogy,
        case(real(2, 3), positive(2, 3)),
        case(real(3, 1), positive(2)),
        case(values(0.0, 0.0, 1.0), values(0.0, math.nan, 0.0), smooth=False),
        result="float",
        tolerance=16.0,
    ),
    samples(
        "xlog1py",
        lambda x, y: _xlogy(x, 1 + y),
        case(real(2, 3), positive(2, 3)),
        case(real(3, 1), positive(2)),
        result="float",
        tolerance=16.0,
    ),
    binary("zeta", integrals.zeta, lambda *s: constant(within(2.0, 5.0)(*s)), positive, **_PLAIN),
    binary(
        "igamma",
        integrals.igamma,
        lambda *s: constant(positive(*s)),
        positive,
        **{**_PLAIN, "tolerance": 128.0},
    ),
    binary(
        "igammac",
        integrals.igammac,
        lambda *s: constant(positive(*s)),
        positive,
        **{**_PLAIN, "tolerance": 512.0},
    ),
    _polynomial("chebyshev_polynomial_t", _t),
    _polynomial("chebyshev_polynomial_u", integrals.chebyshev("u")),
    _polynomial("chebyshev_polynomial_v", integrals.chebyshev("v")),
    _polynomial("chebyshev_polynomial_w", integrals.chebyshev("w")),
    *(
        _polynomial(
            f"shifted_chebyshev_polynomial_{kind}",
            lambda x, n, reference=reference: reference(2 * x - 1, n),
            chance,
        )
        for kind, reference in (
            ("t", _t),
            ("u", integrals.chebyshev("u")),
            ("v", integrals.chebyshev("v")),
            ("w", integrals.chebyshev("w")),
        )
    ),
    _polynomial("hermite_polynomial_h", integrals.polynomial(np.polynomial.hermite, "hermval")),
    _polynomial("hermite_polynomial_he", integrals.polynomial(np.polynomial.hermite_e, "hermeval")),
    _polynomial("laguerre_polynomial_l", integrals.polynomial(np.polynomial.laguerre, "lagval")),
    _polynomial("legendre_polynomial_p", integrals.polynomial(np.polynomial.legendre, "legval")),
]
