"""Functions of one element: exponentials, logarithms, trigonometry, roots and signs."""

from __future__ import annotations

import math
from typing import Any

from .._dispatch import Spec
from .._dtypes import Category, int32, int64
from .._errors import error
from .._operator import Operator, binary, operator, unary
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export, inplace_unary, method, public
from ._results import result_type_named
from .elementwise import Formula, choose, conj, kept, masked, public_unary, require_tensor

_LN2, _LN10 = math.log(2), math.log(10)

# name -> (promotion, formula, one line of documentation)
UNARY: dict[str, tuple[str, Formula, str]] = {
    "neg": ("default", lambda g: -g, "The negative of each element."),
    "exp": ("float", lambda g, out: g * conj(out), "e to the power of each element."),
    "exp2": ("float", lambda g, out: g * conj(out) * _LN2, "2 to the power of each element."),
    "expm1": ("float", lambda g, out: g * (conj(out) + 1), "exp(x) - 1, exact for small x."),
    "log": ("float", lambda g, x: g / conj(x), "Natural logarithm."),
    "log2": ("float", lambda g, x: g / conj(x * _LN2), "Logarithm to base 2."),
    "log10": ("float", lambda g, x: g / conj(x * _LN10), "Logarithm to base 10."),
    "log1p": ("float", lambda g, x: g / conj(x + 1), "log(1 + x), exact for small x."),
    "sin": ("float", lambda g, x: g * conj(x.cos()), "Sine of each element, in radians."),
    "cos": ("float", lambda g, x: -g * conj(x.sin()), "Cosine of each element, in radians."),
    "tan": ("float", lambda g, out: g * conj(out * out + 1), "Tangent of each element."),
    "asin": ("float", lambda g, x: g * conj((1 - x * x).rsqrt()), "Inverse sine, in radians."),
    "acos": ("float", lambda g, x: -g * conj((1 - x * x).rsqrt()), "Inverse cosine, in radians."),
    "atan": ("float", lambda g, x: g / conj(x * x + 1), "Inverse tangent, in radians."),
    "sinh": ("float", lambda g, x: g * conj(x.cosh()), "Hyperbolic sine."),
    "cosh": ("float", lambda g, x: g * conj(x.sinh()), "Hyperbolic cosine."),
    "tanh": ("float", lambda g, out: tanh_backward(g, conj(out)), "Hyperbolic tangent."),
    "asinh": ("float", lambda g, x: g * conj((x * x + 1).rsqrt()), "Inverse hyperbolic sine."),
    "acosh": (
        "float",
        lambda g, x: g * conj((x - 1).rsqrt() * (x + 1).rsqrt()),
        "Inverse hyperbolic cosine.",
    ),
    "atanh": ("float", lambda g, x: g / conj(1 - x * x), "Inverse hyperbolic tangent."),
    "sqrt": ("float", lambda g, out: g / conj(2 * out), "Square root."),
    "rsqrt": ("float", lambda g, out: g * conj(out * out * out) * -0.5, "1 / sqrt(x)."),
    "reciprocal": ("float", lambda g, out: -g * conj(out * out), "1 / x."),
    "sigmoid": ("float", lambda g, out: sigmoid_backward(g, conj(out)), "1 / (1 + exp(-x))."),
    "floor": ("default", lambda g: g * 0, "Largest integer not above each element."),
    "ceil": ("default", lambda g: g * 0, "Smallest integer not below each element."),
    "trunc": ("default", lambda g: g * 0, "Each element without its fraction."),
    "frac": ("default", lambda g: g, "The fraction of each element, with its sign."),
    "square": ("default", lambda g, x: g * conj(x * 2), "Each element times itself."),
    "sign": ("default", lambda g: g * 0, "-1, 0 or 1 by the sign of each element."),
}

ALIASES: dict[str, tuple[str, ...]] = {
    "neg": ("negative",), "asin": ("arcsin",), "acos": ("arccos",), "atan": ("arctan",),
    "asinh": ("arcsinh",), "acosh": ("arccosh",), "atanh": ("arctanh",), "trunc": ("fix",),
}  # fmt: skip

# Gradients of the two activations of recurrent networks, one kernel each.
sigmoid_backward: Operator = binary("sigmoid_backward")
tanh_backward: Operator = binary("tanh_backward")


@sigmoid_backward.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    return x * (y * (1 - y))


@tanh_backward.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    return x * (1 - y * y)


sigmoid_backward.vjp(
    x=lambda g, y: sigmoid_backward(g, conj(y)),
    y=lambda g, x, y: g * conj(x * (1 - 2 * y)),
)
tanh_backward.vjp(
    x=lambda g, y: tanh_backward(g, conj(y)),
    y=lambda g, x, y: g * conj(x * y) * -2,
)

for _name, (_promotes, _formula, _doc) in UNARY.items():
    _op = unary(_name, promotes=_promotes)
    _op.vjp(x=_formula)
    public_unary(_op, _doc, aliases=ALIASES.get(_name, ()))


sign_op = operators["sign"]


@operators["frac"].decomposition
def _(x: Tensor) -> Tensor:
    return x - x.trunc()


@operators["square"].decomposition
def _(x: Tensor) -> Any:
    # True * True would be True; torch has the integer 1.
    return operators["mul"](x, x.to(int64) if x.dtype.category is Category.BOOL else x)


@operators["neg"].check
def _(x: Any) -> None:
    _refuse_bool("neg", "Negation, the `-` operator, on a bool tensor is not supported", x)


def _refuse_bool(who: str, what: str, x: Tensor) -> None:
    if isinstance(x, Tensor) and x.dtype.category is Category.BOOL:
        raise error(RuntimeError, who, what, fix="use ~x or logical_not(), or convert it first")


@public()
def positive(input: Tensor) -> Tensor:
    """The tensor itself.

    Raises:
        RuntimeError: It is bool.
    Example:
        >>> rushlight.positive(rushlight.tensor([-1, 2]))
        tensor([-1,  2])
    """
    require_tensor("positive", "input", input)
    _refuse_bool("positive", "The `+` operator, on a bool tensor is not supported", input)
    return input


method("__neg__", operators["neg"].entry)
method("__pos__", positive)


# -- magnitudes and angles of real and complex elements ---------------------------------------

abs_op = unary("abs", promotes="default", to_real=True)
angle_op = operator("angle(Tensor x) -> Tensor", kind="elementwise", promotes="float", to_real=True)
sgn_op = unary("sgn", promotes="default")
conj_op = unary("conj", promotes="default")
conj_op.vjp(x=lambda g: conj(g))
conj_op.jvp("linear")
abs_op.vjp(x=lambda g, x: g * sgn_op(x))
angle_op.vjp(x=lambda g, x: _angle_rule(g, x))


def _complex_abs_entry() -> Any:
    """The entry of `abs`: of complex elements the result has another kind, which the fast way does
    not expect."""
    fast = abs_op.entry

    def entry(x: Any) -> Any:
        return abs_op.slow_entry(x) if isinstance(x, Tensor) and x._k.is_complex else fast(x)

    return entry


abs_op.entry = _complex_abs_entry()


@abs_op.jvp
def _(primals: Any, tangents: Any, out: Any) -> Any:
    (x,), (t,) = primals, tangents
    product = t * conj(sgn_op(x))
    return operators["real"](product) if x._k.is_complex else product


def _angle_rule(g: Any, x: Any) -> Any:
    if not x._k.is_complex:
        return g * 0
    size = abs_op(x)
    return masked(g * (x * 1j) / (size * size), x == 0)


@angle_op.jvp
def _(primals: Any, tangents: Any, out: Any) -> Any:
    (x,), (t,) = primals, tangents
    if not x._k.is_complex:
        return t * 0
    size = abs_op(x)
    return masked(operators["imag"](t * conj(x)) / (size * size), size == 0)


def _sign_rule(g: Any, x: Any) -> Any:
    """Of real elements nothing; of complex ones what is not along the element, over its size."""
    if not x._k.is_complex:
        return g * 0
    unit, size = sgn_op(x), abs_op(x)
    along = operators["real"](g * conj(unit))
    return masked((g - unit * along) / size, x == 0)


sgn_op.vjp(x=_sign_rule)


@sgn_op.jvp
def _(primals: Any, tangents: Any, out: Any) -> Any:
    return _sign_rule(tangents[0], primals[0])


public_unary(abs_op, "Magnitude of each element.", aliases=("absolute",), inplace=False)
public_unary(angle_op, "Angle of each element in the complex plane, in radians.", inplace=False)
public_unary(sgn_op, "Each element over its magnitude, 0 for 0.")
method("__abs__", abs_op.entry)
_abs_into = inplace_unary(abs_op, abs_op.entry, "abs")


def abs_(input: Tensor) -> Tensor:
    """In-place version of `abs`."""
    require_tensor("abs_", "input", input)
    if input._k.is_complex:
        raise error(
            RuntimeError, "abs_", "In-place abs is not supported for complex tensors.",
            fix="use abs(), whose result is real",
        )  # fmt: skip
    return _abs_into(input)  # type: ignore[no-any-return]


export("abs_", abs_)
for _name in ("abs_", "absolute_"):
    method(_name, abs_)


# `conj` names the public function below, as torch does; the helper of rules stays `conj`.
def _conjugate(input: Tensor) -> Tensor:
    """The complex conjugate of each element; a real tensor is returned itself.

    Example:
        >>> rushlight.conj(rushlight.tensor([1 + 2j]))
        tensor([1.-2.j])
    """
    require_tensor("conj", "input", input)
    return conj_op.entry(input) if input._k.is_complex else input


_conjugate.__name__ = _conjugate.__qualname__ = "conj"
public(op=conj_op)(_conjugate)
public(name="conj_physical", inplace=True, out=True)(_conjugate)


# -- rounding ---------------------------------------------------------------------------------

round_op = operator("round(Tensor x, *, int decimals=0) -> Tensor", kind="elementwise",
                    promotes="default")  # fmt: skip
round_op.vjp(x=lambda g: g * 0)


@public(inplace=True, out=True, op=round_op)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Each element rounded to the nearest number of so many decimals, halves to even.

    Args:
        input: Real tensor.
        decimals: Digits after the point; a negative number rounds before it.
    Example:
        >>> rushlight.round(rushlight.tensor([0.5, 1.5, -2.7]))
        tensor([ 0.,  2., -3.])
    """
    require_tensor("round", "input", input)
    if decimals and not input._k.dtype.is_inexact:
        raise error(
            NotImplementedError,
            "round",
            '"round_cpu" with decimals is not implemented for whole numbers',
            given=f"input of {input.dtype}, decimals={decimals}",
        )
    return round_op(input, decimals=decimals)  # type: ignore[no-any-return]


# -- scales and parts -------------------------------------------------------------------------


@public(inplace=True, out=True)
def rad2deg(input: Tensor) -> Tensor:
    """Angles in degrees of angles in radians.

    Example:
        >>> rushlight.rad2deg(rushlight.tensor([0.0, 3.14159265]))
        tensor([  0., 180.])
    """
    require_tensor("rad2deg", "input", input)
    return input * (180 / math.pi)


@public(inplace=True, out=True)
def deg2rad(input: Tensor) -> Tensor:
    """Angles in radians of angles in degrees.

    Example:
        >>> rushlight.deg2rad(rushlight.tensor([0.0, 180.0]))
        tensor([0.0000, 3.1416])
    """
    require_tensor("deg2rad", "input", input)
    return input * (math.pi / 180)


nan_to_num_op = operator(
    "nan_to_num(Tensor x, *, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
    kind="elementwise", promotes="default",
)  # fmt: skip
nan_to_num_op.vjp(x=lambda g, x: kept(g, operators["isfinite"](x)))


@public(inplace=True, out=True, op=nan_to_num_op)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """The tensor with NaN and infinities replaced by finite numbers.

    Args:
        input: A tensor.
        nan: Replaces NaN; 0 by default.
        posinf: Replaces infinity; the dtype's largest number by default.
        neginf: Replaces minus infinity; the dtype's smallest number by default.
    Example:
        >>> rushlight.nan_to_num(rushlight.tensor([float("nan"), 1.0]))
        tensor([0., 1.])
    """
    require_tensor("nan_to_num", "input", input)
    return nan_to_num_op(input, nan=nan, posinf=posinf, neginf=neginf)  # type: ignore[no-any-return]


frexp_op = operator("frexp(Tensor x) -> (Tensor, Tensor)", constant_outputs=(1,))
frexp_op.batching("elementwise")


@frexp_op.meta
def _(x: Tensor) -> Any:
    if not x.dtype.is_floating_point:
        raise error(
            RuntimeError,
            "frexp",
            "torch.frexp() only supports floating-point dtypes",
            given=f"input of {x.dtype}",
        )
    return Spec(x.shape, x.dtype), Spec(x.shape, int32)


@frexp_op.vjp
def _(g: Any, *, outs: Any) -> Any:
    return g[0] / operators["exp2"](outs[1])


@frexp_op.jvp
def _(primals: Any, tangents: Any, outs: Any) -> Any:
    return tangents[0] / operators["exp2"](outs[1]), None


Frexp = result_type_named("frexp", ("mantissa", "exponent"))


@public(op=frexp_op, out=True)
def frexp(input: Tensor) -> Any:
    """Mantissa, of magnitude from 1/2 to 1, and exponent: `input = mantissa * 2**exponent`.

    Raises:
        RuntimeError: `input` is not of a floating-point dtype.
    Example:
        >>> rushlight.frexp(rushlight.tensor([6.0])).exponent
        tensor([3], dtype=rushlight.int32)
    """
    require_tensor("frexp", "input", input)
    return Frexp(*frexp_op(input))


logit_op = operator("logit(Tensor x, *, float? eps=None) -> Tensor", kind="elementwise",
                    promotes="float")  # fmt: skip


def _logit_rule(g: Any, x: Any, eps: float | None) -> Any:
    slope = g / (x * (1 - x))
    if eps is None:
        return choose((x < 0) | (x > 1), math.nan, slope)
    return masked(slope, (x < eps) | (x > 1 - eps))


logit_op.vjp(x=_logit_rule)


@public(inplace=True, out=True, op=logit_op)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """The inverse of `sigmoid`, log(x / (1 - x)).

    Args:
        input: Real tensor.
        eps: Clamps `input` to [eps, 1 - eps] first.
    Example:
        >>> rushlight.logit(rushlight.tensor([0.5]))
        tensor([0.])
    """
    require_tensor("logit", "input", input)
    return logit_op(input, eps=eps)  # type: ignore[no-any-return]
