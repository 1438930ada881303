"""Elementwise arithmetic: one row per operator, kernel names equal operator names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._dtypes import Category
from .._errors import error
from .._operator import Operator, binary, operators, unary
from .._tensor.tensor import Tensor
from ._public import export, inplace_form, into, method

Formula = Callable[..., Any]


def _conj(y: Any) -> Any:
    """The conjugate; of a real tensor or a number, itself."""
    return operators["conj"](y) if isinstance(y, Tensor) and y._k.is_complex else y


def public_unary(
    op: Operator, doc: str, *, namespace: str = "", aliases: tuple[str, ...] = ()
) -> None:
    """Gives a unary operator its function, method, in-place and `out=` forms."""
    entry = op.entry

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            raise error(
                TypeError,
                op.name,
                f"argument 'input' must be Tensor, not {type(input).__name__}",
            )
        result: Tensor = entry(input)
        return result if out is None else into(op.name, result, out)  # type: ignore[no-any-return]

    def as_method(self: Tensor) -> Tensor:
        return entry(self)  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = as_method.__name__ = op.name
    function.__doc__ = as_method.__doc__ = doc
    function.__module__ = "rushlight"
    op.public = function
    writing = inplace_form(as_method, op.name, op)
    for each in (op.name, *aliases):
        export(each, function, namespace)
        if namespace == "":
            method(each, as_method)
            export(each + "_", writing, namespace)
            method(each + "_", writing)


def public_binary(
    op: Operator, doc: str, *, inplace: bool = True, aliases: tuple[str, ...] = ()
) -> None:
    """Gives a binary operator its function, method, in-place and `out=` forms."""
    entry = op.entry

    def function(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
        result: Tensor = entry(input, other)
        return result if out is None else into(op.name, result, out)  # type: ignore[no-any-return]

    def as_method(self: Tensor, other: Any) -> Tensor:
        return entry(self, other)  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = as_method.__name__ = op.name
    function.__doc__ = as_method.__doc__ = doc
    function.__module__ = "rushlight"
    op.public = function
    writing = inplace_form(as_method, op.name, op)
    for each in (op.name, *aliases):
        export(each, function)
        method(each, as_method)
        if inplace:
            method(each + "_", writing)


def operator_method(name: str, op: Operator, *, reflected: bool = False) -> None:
    """Makes an operator a Python operator.

    The entry itself is the method: a frame less on the hottest call of all.  It returns
    `NotImplemented` for an operand that brings its own reflected method.
    """
    entry = op.entry
    method(f"__{name}__", entry)
    if reflected:
        method(f"__r{name}__", lambda self, other: entry(other, self))


def power_rule_x(g: Any, x: Any, y: Any) -> Any:
    """Derivative of x**y by x; 0 where y is 0, also at x = 0."""
    where = operators["where"]
    grad = g * _conj(y * x ** (y - 1))
    if isinstance(y, Tensor):
        return where(y == 0, zeros_like_scalar(grad), grad)
    return grad if y != 0 else g * 0


def power_rule_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    """Derivative of x**y by y; 0 where x is 0 and y is not negative."""
    log = operators["log"]
    where = operators["where"]
    grad = g * _conj(out * log(x))
    return where((x == 0) & (y.real >= 0 if y._k.is_complex else y >= 0), zeros_like_scalar(grad), grad)


def zeros_like_scalar(x: Tensor) -> Tensor:
    """A 0-d zero of a tensor's kind."""
    from .._operator import number_tensor

    return number_tensor(x._k, 0)


def _double_wherever(g: Any, choose: Any) -> Any:
    """A gradient split in two where the operands are tied."""
    return operators["where"](choose, g, zeros_like_scalar(g))


# name -> (promotion, formula, one line of documentation)
UNARY: dict[str, tuple[str, Formula | None, str]] = {
    "neg": ("default", lambda g: -g, "The negative of each element."),
    "exp": ("float", lambda g, out: g * _conj(out), "e to the power of each element."),
    "exp2": ("float", lambda g, out: g * _conj(out) * 0.6931471805599453, "2 to the power of each element."),
    "expm1": ("float", lambda g, out: g * (_conj(out) + 1), "exp(x) - 1, exact for small x."),
    "log": ("float", lambda g, x: g / _conj(x), "Natural logarithm."),
    "log2": ("float", lambda g, x: g / _conj(x * 0.6931471805599453), "Logarithm to base 2."),
    "log10": ("float", lambda g, x: g / _conj(x * 2.302585092994046), "Logarithm to base 10."),
    "log1p": ("float", lambda g, x: g / _conj(x + 1), "log(1 + x), exact for small x."),
    "sin": ("float", lambda g, x: g * _conj(x.cos()), "Sine of each element, in radians."),
    "cos": ("float", lambda g, x: -g * _conj(x.sin()), "Cosine of each element, in radians."),
    "tan": ("float", lambda g, out: g * _conj(out * out + 1), "Tangent of each element, in radians."),
    "asin": ("float", lambda g, x: g * _conj((1 - x * x).rsqrt()), "Inverse sine, in radians."),
    "acos": ("float", lambda g, x: -g * _conj((1 - x * x).rsqrt()), "Inverse cosine, in radians."),
    "atan": ("float", lambda g, x: g / _conj(x * x + 1), "Inverse tangent, in radians."),
    "sinh": ("float", lambda g, x: g * _conj(x.cosh()), "Hyperbolic sine."),
    "cosh": ("float", lambda g, x: g * _conj(x.sinh()), "Hyperbolic cosine."),
    "tanh": ("float", lambda g, out: g * _conj(1 - out * out), "Hyperbolic tangent."),
    "asinh": ("float", lambda g, x: g * _conj((x * x + 1).rsqrt()), "Inverse hyperbolic sine."),
    "acosh": ("float", lambda g, x: g * _conj((x - 1).rsqrt() * (x + 1).rsqrt()), "Inverse hyperbolic cosine."),
    "atanh": ("float", lambda g, x: g / _conj(1 - x * x), "Inverse hyperbolic tangent."),
    "sqrt": ("float", lambda g, out: g / _conj(2 * out), "Square root."),
    "rsqrt": ("float", lambda g, out: g * _conj(out * out * out) * -0.5, "Reciprocal of the square root."),
    "reciprocal": ("float", lambda g, out: -g * _conj(out * out), "1 / x."),
    "sigmoid": ("float", lambda g, out: g * _conj(out * (1 - out)), "1 / (1 + exp(-x))."),
    "erf": ("float", lambda g, x: g * (x * x).neg().exp() * 1.1283791670955126, "The error function."),
    "erfc": ("float", lambda g, x: g * (x * x).neg().exp() * -1.1283791670955126, "1 - erf(x)."),
    "erfinv": ("float", lambda g, out: g * (out * out).exp() * 0.886226925452758, "Inverse of erf."),
    "floor": ("default", lambda g: g * 0, "Largest integer not above each element."),
    "ceil": ("default", lambda g: g * 0, "Smallest integer not below each element."),
    "trunc": ("default", lambda g: g * 0, "Each element without its fraction."),
    "frac": ("default", lambda g: g, "The fraction of each element, with its sign."),
    "square": ("default", lambda g, x: g * _conj(x * 2), "Each element times itself."),
    "sign": ("default", lambda g: g * 0, "-1, 0 or 1 by the sign of each element."),
    "relu": ("default", lambda g, out: g * (out > 0), "Each element, or 0 if it is negative."),
}  # fmt: skip

ALIASES: dict[str, tuple[str, ...]] = {
    "neg": ("negative",), "asin": ("arcsin",), "acos": ("arccos",), "atan": ("arctan",),
    "asinh": ("arcsinh",), "acosh": ("arccosh",), "atanh": ("arctanh",), "trunc": ("fix",),
    "mul": ("multiply",), "maximum": (), "eq": (), "ne": ("not_equal",), "lt": ("less",),
    "le": ("less_equal",), "gt": ("greater",), "ge": ("greater_equal",), "atan2": ("arctan2",),
}  # fmt: skip

for _name, (_promotes, _formula, _doc) in UNARY.items():
    _op = unary(_name, promotes=_promotes)
    if _formula is not None:
        _op.vjp(x=_formula)
    public_unary(_op, _doc, aliases=ALIASES.get(_name, ()))

conj_op = unary("conj", promotes="default")
conj_op.vjp(x=lambda g: _conj(g))

add_op = binary("add")
sub_op = binary("sub")
mul_op = binary("mul")
div_op = binary("div", promotes="float")
pow_op = binary("pow")
maximum_op = binary("maximum")
minimum_op = binary("minimum")
atan2_op = binary("atan2", promotes="float")

add_op.vjp(x=lambda g: g, y=lambda g: g)
sub_op.vjp(x=lambda g: g, y=lambda g: -g)
mul_op.vjp(x=lambda g, y: g * _conj(y), y=lambda g, x: g * _conj(x))
div_op.vjp(
    x=lambda g, y: g / _conj(y),
    y=lambda g, y, out: -g * _conj(out / y),
)
pow_op.vjp(x=power_rule_x, y=power_rule_y)
# Tied operands share the gradient, as in torch.
maximum_op.vjp(
    x=lambda g, x, y: _shared(g, x > y, x == y),
    y=lambda g, x, y: _shared(g, x < y, x == y),
)
minimum_op.vjp(
    x=lambda g, x, y: _shared(g, x < y, x == y),
    y=lambda g, x, y: _shared(g, x > y, x == y),
)
atan2_op.vjp(
    x=lambda g, x, y: g * (y / (x * x + y * y)),
    y=lambda g, x, y: g * (-x / (x * x + y * y)),
)


def _shared(g: Any, wins: Any, ties: Any) -> Any:
    where = operators["where"]
    zero = zeros_like_scalar(g)
    return where(wins, g, where(ties, g * 0.5, zero))


COMPARISONS = {
    "eq": "x == y", "ne": "x != y", "lt": "x < y", "le": "x <= y", "gt": "x > y", "ge": "x >= y",
}  # fmt: skip
for _name, _doc in COMPARISONS.items():
    _op = binary(_name, promotes="compare")
    public_binary(_op, f"Whether {_doc}, element by element.", aliases=ALIASES.get(_name, ()))
    operator_method(_name, _op)

public_binary(mul_op, "Product of two tensors, element by element.", aliases=("multiply",))
public_binary(maximum_op, "The larger of two elements; NaN wins.", inplace=False)
public_binary(minimum_op, "The smaller of two elements; NaN wins.", inplace=False)
public_binary(atan2_op, "Angle of the point (y=other, x=input), in radians.", aliases=("arctan2",))
operator_method("add", add_op, reflected=True)
operator_method("sub", sub_op, reflected=True)
operator_method("mul", mul_op, reflected=True)
operator_method("truediv", div_op, reflected=True)
operator_method("pow", pow_op, reflected=True)
method("__neg__", operators["neg"].entry)


def _scaled(who: str, input: Any, other: Any, alpha: Any) -> Any:
    """`other * alpha`, with torch's demands on alpha."""
    if isinstance(alpha, float | complex) and not isinstance(alpha, bool):
        dtype = input.dtype if isinstance(input, Tensor) else None
        if dtype is not None and not dtype.is_inexact and not (
            isinstance(other, Tensor) and other.dtype.is_inexact
        ):
            raise error(
                RuntimeError,
                who,
                "For integral input tensors, argument alpha must not be a floating point number",
                given=f"alpha={alpha}",
            )
    return other * alpha


def add(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """Sum of two tensors, `input + alpha * other`.

    Example:
        >>> rushlight.add(rushlight.tensor([1, 2]), 3)
        tensor([4, 5])
    """
    if alpha != 1:
        other = _scaled("add", input, other, alpha)
    result: Tensor = add_op.entry(input, other)
    return result if out is None else into("add", result, out)  # type: ignore[no-any-return]


def sub(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """Difference of two tensors, `input - alpha * other`."""
    if alpha != 1:
        other = _scaled("sub", input, other, alpha)
    for x in (input, other):
        if (isinstance(x, Tensor) and x.dtype.category is Category.BOOL) or isinstance(x, bool):
            raise error(
                RuntimeError,
                "sub",
                "Subtraction, the `-` operator, with a bool tensor is not supported",
                fix="use x ^ y or logical_xor(), or convert to an integer dtype first",
            )
    result: Tensor = sub_op.entry(input, other)
    return result if out is None else into("sub", result, out)  # type: ignore[no-any-return]


for _function, _op, _alias in ((add, add_op, "add"), (sub, sub_op, "subtract")):
    _op.public = _function
    _writing = inplace_form(_function, _op.name, _op)
    for _name in dict.fromkeys((_op.name, _alias)):
        export(_name, _function)
        method(_name, _function)
        method(_name + "_", _writing)
