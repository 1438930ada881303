"""Special functions: error, gamma, Bessel and Airy functions, and orthogonal polynomials."""

from __future__ import annotations

import math
from typing import Any

from .._config import get_default_dtype
from .._dtypes import float64
from .._errors import error
from .._operator import binary, operator, unary
from .._registered import operators
from .._tensor.tensor import Tensor
from ..backend.arrays._chebyshev import ERFCX
from . import arithmetic, unary_math
from ._precision import rounded, widened
from ._public import PUBLIC, export, inplace_form, method, public
from .elementwise import (
    Formula,
    choose,
    masked,
    no_derivative,
    public_binary,
    public_unary,
    require_tensor,
)

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_TAU = math.sqrt(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)


def _call(name: str, *operands: Any, **attributes: Any) -> Any:
    return operators[name](*operands, **attributes)


def _odd_over(x: Any, value: Any, at_zero: float) -> Any:
    """`value / x`, with a given limit at 0."""
    zero = x == 0
    return choose(zero, at_zero, value / choose(zero, 1, x))


def _sinc_rule(g: Any, x: Any) -> Any:
    t = x * math.pi
    zero = x == 0
    slope = (t * t.cos() - t.sin()) / choose(zero, 1, t * x)
    return g * masked(slope, zero)


def _spherical_rule(g: Any, x: Any, out: Any) -> Any:
    return g * _odd_over(x, x.cos() - out, 0.0)


def _i1_rule(g: Any, x: Any, out: Any) -> Any:
    return g * (_call("i0", x) - _odd_over(x, out, 0.5))


def _i1e_rule(g: Any, x: Any, out: Any) -> Any:
    slope = _call("i0e", x) - out * x.sgn() - _odd_over(x, out, 0.5)
    return g * choose(x == 0, 0.5, slope)


# name -> (formula, one line of documentation, public in `rushlight`, names in `rushlight.special`)
UNARY: dict[str, tuple[Formula, str, tuple[str, ...], tuple[str, ...]]] = {
    "erf": (
        lambda g, x: g * (x * x).neg().exp() * _TWO_OVER_ROOT_PI,
        "The error function.", ("erf",), ("erf",),
    ),
    "erfc": (
        lambda g, x: g * (x * x).neg().exp() * -_TWO_OVER_ROOT_PI,
        "1 - erf(x).", ("erfc",), ("erfc",),
    ),
    "erfinv": (
        lambda g, out: g * (out * out).exp() * (1 / _TWO_OVER_ROOT_PI),
        "The inverse of erf.", ("erfinv",), ("erfinv",),
    ),
    "erfcx": (
        lambda g, x, out: g * (2 * x * out - _TWO_OVER_ROOT_PI),
        "exp(x**2) erfc(x), without overflow.", (), ("erfcx",),
    ),
    "ndtri": (
        lambda g, out: g * (out * out / 2).exp() * _ROOT_TAU,
        "Where the standard normal distribution reaches a probability.", (), ("ndtri",),
    ),
    "log_ndtr": (
        lambda g, x: g / _call("erfcx", x * -_ROOT_HALF) * (_TWO_OVER_ROOT_PI * _ROOT_HALF),
        "Logarithm of the standard normal distribution function.", (), ("log_ndtr",),
    ),
    "lgamma": (
        lambda g, x: g * _call("digamma", x),
        "Logarithm of the magnitude of the gamma function.", ("lgamma",), ("gammaln",),
    ),
    "digamma": (
        lambda g, x: g * _call("polygamma", x, n=1),
        "Derivative of the logarithm of the gamma function.", ("digamma",), ("digamma", "psi"),
    ),
    "sinc": (
        _sinc_rule, "sin(pi x) / (pi x), 1 at 0.", ("sinc",), ("sinc",),
    ),
    "entr": (
        lambda g, x: -g * (x.log() + 1), "-x log(x), and minus infinity below 0.", (), ("entr",),
    ),
    "i0": (
        lambda g, x: g * _call("i1", x),
        "Modified Bessel function of the first kind, order 0.", ("i0",),
        ("i0", "modified_bessel_i0"),
    ),
    "i0e": (
        lambda g, x, out: g * (_call("i1e", x) - out * x.sgn()),
        "exp(-|x|) i0(x).", (), ("i0e",),
    ),
    "i1": (
        _i1_rule, "Modified Bessel function of the first kind, order 1.", (),
        ("i1", "modified_bessel_i1"),
    ),
    "i1e": (_i1e_rule, "exp(-|x|) i1(x).", (), ("i1e",)),
    "bessel_j0": (
        lambda g, x: -g * _call("bessel_j1", x),
        "Bessel function of the first kind, order 0.", (), ("bessel_j0",),
    ),
    "bessel_j1": (
        lambda g, x, out: g * (_call("bessel_j0", x) - _odd_over(x, out, 0.5)),
        "Bessel function of the first kind, order 1.", (), ("bessel_j1",),
    ),
    "bessel_y0": (
        lambda g, x: -g * _call("bessel_y1", x),
        "Bessel function of the second kind, order 0.", (), ("bessel_y0",),
    ),
    "bessel_y1": (
        lambda g, x, out: g * (_call("bessel_y0", x) - out / x),
        "Bessel function of the second kind, order 1.", (), ("bessel_y1",),
    ),
    "modified_bessel_k0": (
        lambda g, x: -g * _call("modified_bessel_k1", x),
        "Modified Bessel function of the second kind, order 0.", (), ("modified_bessel_k0",),
    ),
    "modified_bessel_k1": (
        lambda g, x, out: -g * (_call("modified_bessel_k0", x) + out / x),
        "Modified Bessel function of the second kind, order 1.", (), ("modified_bessel_k1",),
    ),
    "scaled_modified_bessel_k0": (
        lambda g, x, out: g * (out - _call("scaled_modified_bessel_k1", x)),
        "exp(x) modified_bessel_k0(x).", (), ("scaled_modified_bessel_k0",),
    ),
    "scaled_modified_bessel_k1": (
        lambda g, x, out: g * (out - _call("scaled_modified_bessel_k0", x) - out / x),
        "exp(x) modified_bessel_k1(x).", (), ("scaled_modified_bessel_k1",),
    ),
    "airy_ai": (no_derivative("airy_ai", "input"), "The Airy function Ai.", (), ("airy_ai",)),
    "spherical_bessel_j0": (
        _spherical_rule, "sin(x) / x, 1 at 0.", (), ("spherical_bessel_j0",),
    ),
}  # fmt: skip

for _name, (_formula, _doc, _main, _special) in UNARY.items():
    _op = unary(_name, promotes="float")
    _op.vjp(x=_formula)
    if _main:
        _function = public_unary(_op, _doc)
        for _alias in _special:
            export(_alias, _function, "special")
    else:
        public_unary(
            _op, _doc, name=_special[0], namespace="special", aliases=_special[1:],
            inplace=False, methods=False,
        )  # fmt: skip


@operators["erfc"].decomposition
def _(x: Tensor) -> Tensor:
    """exp(-x**2) times a series, since 1 - erf(x) has no digits left where x is large.

    References:
        Cody (1969), Rational Chebyshev approximations for the error function. The square rounded
        would cost the exponential's last digits, so the part of it that is exact goes apart.
        Shepherd and Laframboise (1981), Chebyshev approximation of (1 + 2x) exp(x**2) erfc x.
    """
    x = x if x.dtype.is_inexact else x.to(get_default_dtype())
    wide = widened(x)
    size = wide.abs()
    t = 1 - 8 / (size + 4)
    twice = t * 2
    # Terms from the 15th on are below half a unit in the last place of float32.
    first, *series = ERFCX if wide.dtype is float64 else ERFCX[:14]
    above: Any = 0.0
    total: Any = series.pop()
    for term in reversed(series):
        total, above = twice * total - above + term, total
    scaled = (t * total - above + first) / (size * 2 + 1)
    size = size.clamp(max=40.0)  # where the result is 0
    head = (size * 16).trunc() / 16
    tail = (-(head * head)).exp() * (-((size - head) * (size + head))).exp() * scaled
    return rounded(choose(wide < 0, 2 - tail, tail), x.dtype)


# -- functions of the same name in `rushlight` ------------------------------------------------

# name in `rushlight.special` -> the name in `rushlight`
SAME: dict[str, str] = {
    "expit": "sigmoid", "exp2": "exp2", "expm1": "expm1", "log1p": "log1p", "logit": "logit",
    "round": "round",
}  # fmt: skip
for _name, _other in SAME.items():
    export(_name, PUBLIC[""][_other], "special")
_FIRST = (arithmetic, unary_math)  # they define those functions


# -- two operands -----------------------------------------------------------------------------

xlogy_op = binary("xlogy", promotes="float")
xlog1py_op = binary("xlog1py", promotes="float")
zeta_op = binary("zeta", promotes="float")
igamma_op = binary("igamma", promotes="float")
igammac_op = binary("igammac", promotes="float")


def _log_of(y: Any) -> Any:
    return y.log() if isinstance(y, Tensor) else math.log(y) if y > 0 else _edge_log(y)


def _edge_log(y: float) -> float:
    return -math.inf if y == 0 else math.nan


def _gamma_density(g: Any, x: Any, y: Any) -> Any:
    """Derivative of the regularised lower incomplete gamma function by its second argument."""
    return g * ((x - 1) * _log_of(y) - y - _call("lgamma", x)).exp()


def _xlogy_rule_x(g: Any, x: Any, y: Any) -> Any:
    gone = (x == 0) & (y <= 0)
    return masked(g * _log_of(y), gone)


def _xlog1py_rule_x(g: Any, x: Any, y: Any) -> Any:
    gone = (x == 0) & (y <= -1)
    return masked(g * _log_of(y + 1), gone)


xlogy_op.vjp(x=_xlogy_rule_x, y=lambda g, x, y: g * x / y)
xlog1py_op.vjp(x=_xlog1py_rule_x, y=lambda g, x, y: g * x / (y + 1))
zeta_op.vjp(
    x=no_derivative("zeta", "input"),
    y=lambda g, x, y: g * -x * _call("zeta", x + 1, y),
)
igamma_op.vjp(x=no_derivative("igamma", "input"), y=_gamma_density)
igammac_op.vjp(x=no_derivative("igammac", "input"), y=lambda g, x, y: -_gamma_density(g, x, y))

export(
    "xlogy",
    public_binary(xlogy_op, "input * log(other), and 0 where `input` is 0.", scalar_first=True),
    "special",
)
public_binary(
    xlog1py_op, "input * log(1 + other), and 0 where `input` is 0.", namespace="special",
    methods=False, scalar_first=True,
)  # fmt: skip
public_binary(
    zeta_op, "Hurwitz's zeta function of `input` and `other`.", namespace="special",
    methods=False, scalar_first=True,
)  # fmt: skip
export(
    "gammainc",
    public_binary(igamma_op, "The regularised lower incomplete gamma function.", tensors_only=True),
    "special",
)
export(
    "gammaincc",
    public_binary(
        igammac_op, "The regularised upper incomplete gamma function.", tensors_only=True
    ),
    "special",
)

# -- polynomials ------------------------------------------------------------------------------

POLYNOMIALS: dict[str, str] = {
    "chebyshev_polynomial_t": "Chebyshev polynomial of the first kind.",
    "chebyshev_polynomial_u": "Chebyshev polynomial of the second kind.",
    "chebyshev_polynomial_v": "Chebyshev polynomial of the third kind.",
    "chebyshev_polynomial_w": "Chebyshev polynomial of the fourth kind.",
    "shifted_chebyshev_polynomial_t": "Chebyshev polynomial of the first kind, on [0, 1].",
    "shifted_chebyshev_polynomial_u": "Chebyshev polynomial of the second kind, on [0, 1].",
    "shifted_chebyshev_polynomial_v": "Chebyshev polynomial of the third kind, on [0, 1].",
    "shifted_chebyshev_polynomial_w": "Chebyshev polynomial of the fourth kind, on [0, 1].",
    "hermite_polynomial_h": "Hermite polynomial of the physicists.",
    "hermite_polynomial_he": "Hermite polynomial of the probabilists.",
    "laguerre_polynomial_l": "Laguerre polynomial.",
    "legendre_polynomial_p": "Legendre polynomial.",
}
for _name, _doc in POLYNOMIALS.items():
    _op = binary(_name, promotes="float")
    _op.vjp(x=no_derivative(_name, "input"), y=no_derivative(_name, "n"))
    public_binary(
        _op, _doc, namespace="special", methods=False, scalar_first=True,
        parameters=("input", "n"),
    )  # fmt: skip

# -- with attributes, and composites ----------------------------------------------------------

polygamma_op = operator("polygamma(Tensor x, *, int n) -> Tensor", kind="elementwise",
                        promotes="float")  # fmt: skip
polygamma_op.vjp(x=lambda g, x, n: g * _call("polygamma", x, n=n + 1))


def _check_order(n: Any) -> None:
    if not isinstance(n, int):
        raise error(
            TypeError, "polygamma", f"argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    if n < 0:
        raise error(
            RuntimeError, "polygamma", "polygamma(n, x) does not support negative n.",
            given=f"n={n}",
        )  # fmt: skip


@public(methods=False, out=True, op=polygamma_op)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of the digamma function.

    Args:
        n: Order, not negative.
        input: Real tensor.
    Raises:
        RuntimeError: `n` is negative.
    Example:
        >>> rushlight.polygamma(1, rushlight.tensor([1.0]))
        tensor([1.6449])
    """
    _check_order(n)
    require_tensor("polygamma", "input", input)
    return polygamma_op(input, n=n)  # type: ignore[no-any-return]


export("polygamma", PUBLIC[""]["polygamma"], "special")


@public(name="polygamma", function=False, inplace=True)
def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of the digamma function."""
    return polygamma(n, self)


@public(out=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """Logarithm of the multivariate gamma function of dimension `p`.

    Args:
        input: Real tensor; elements above (p - 1) / 2 have a value.
        p: Number of dimensions, at least 1.
    Raises:
        RuntimeError: `p` is less than 1.
    Example:
        >>> rushlight.mvlgamma(rushlight.tensor([2.0]), 1)
        tensor([0.])
    """
    require_tensor("mvlgamma", "input", input)
    if p < 1:
        raise error(RuntimeError, "mvlgamma", "p has to be greater than or equal to 1",
                    given=f"p={p}")  # fmt: skip
    total = _call("lgamma", input)
    for j in range(1, p):
        total = total + _call("lgamma", input - j / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)  # type: ignore[no-any-return]


method("mvlgamma_", inplace_form(mvlgamma, "mvlgamma"))
export("multigammaln", PUBLIC[""]["mvlgamma"], "special")


@public(namespace="special", methods=False, out=True)
def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal distribution.

    Example:
        >>> rushlight.special.ndtr(rushlight.tensor([0.0]))
        tensor([0.5000])
    """
    require_tensor("ndtr", "input", input)
    return _call("erfc", input * -_ROOT_HALF) * 0.5  # type: ignore[no-any-return]
