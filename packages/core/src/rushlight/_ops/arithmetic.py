"""Arithmetic of two operands: sums, products, quotients, remainders and powers."""

from __future__ import annotations

import math
from typing import Any

from .._dtypes import Category, complex128, float64
from .._errors import error
from .._operator import binary
from .._promotion import result_type
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import METHODS, export, inplace_binary, inplace_form, into, method, public
from .elementwise import (
    choose,
    conj,
    inplace_operator,
    is_complex,
    is_integral,
    kept,
    masked,
    operator_method,
    public_binary,
    python_entry,
    reflected_entry,
    require_operand,
    require_tensor,
)

add_op = binary("add")
sub_op = binary("sub")
mul_op = binary("mul")
div_op = binary("div", promotes="float")
div_trunc_op = binary("div_trunc")
floor_divide_op = binary("floor_divide")
remainder_op = binary("remainder")
fmod_op = binary("fmod")
pow_op = binary("pow")

add_op.vjp(x=lambda g: g, y=lambda g: g)
sub_op.vjp(x=lambda g: g, y=lambda g: -g)
mul_op.vjp(x=lambda g, y: g * conj(y), y=lambda g, x: g * conj(x))
div_op.vjp(x=lambda g, y: g / conj(y), y=lambda g, y, out: -g * conj(out / y))
div_trunc_op.vjp(x=lambda g: g * 0, y=lambda g: g * 0)
floor_divide_op.vjp(x=lambda g: g * 0, y=lambda g: g * 0)
remainder_op.vjp(x=lambda g: g, y=lambda g, x, y: -g * floor_divide_op(x, y))
fmod_op.vjp(x=lambda g: g, y=lambda g, x, y: -g * div_trunc_op(x, y))


def _power_rule_x(g: Any, x: Any, y: Any) -> Any:
    """Derivative of x**y by x; 0 where y is 0, also at x = 0."""
    if isinstance(y, Tensor):
        return masked(g * conj(y * x ** (y - 1)), y == 0)
    return g * conj(y * x ** (y - 1)) if y != 0 else g * 0


def _power_rule_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    """Derivative of x**y by y; 0 where x is 0 and y is not negative."""
    grad = g * conj(out * operators["log"](x))
    return masked(grad, (x == 0) & (operators["real"](y) >= 0 if is_complex(y) else y >= 0))


pow_op.vjp(x=_power_rule_x, y=_power_rule_y)


# -- sums and differences ---------------------------------------------------------------------


def _scaled(who: str, input: Any, other: Any, alpha: Any) -> Any:
    """`other * alpha`, with torch's demands on alpha."""
    if alpha.__class__ is float and isinstance(other, Tensor) and other._k.dtype.is_inexact:
        if isinstance(input, Tensor) and input._k is not other._k:
            # The product is rounded to the precision of the sum, not of `other`.
            other = other.to(result_type(input, other))
        return mul_op.entry(other, alpha)
    operands = (input, other)
    if isinstance(alpha, bool) and not all(
        isinstance(x, bool) or (isinstance(x, Tensor) and x.dtype.category is Category.BOOL)
        for x in operands
    ):
        raise error(
            RuntimeError, who, "Boolean alpha only supported for Boolean results",
            given=f"alpha={alpha}",
        )  # fmt: skip
    if isinstance(alpha, (float, complex)) and all(is_integral(x) for x in operands):
        raise error(
            RuntimeError,
            who,
            "For integral input tensors, argument alpha must not be a floating point number",
            given=f"alpha={alpha}",
        )
    if isinstance(alpha, complex) and not any(is_complex(x) for x in operands):
        raise error(
            RuntimeError,
            who,
            "For non-complex input tensors, argument alpha must not be a complex number",
            given=f"alpha={alpha}",
        )
    return other * alpha


@sub_op.check
def _(x: Any, y: Any) -> None:
    for operand in (x, y):
        if operand.__class__ is bool or (
            isinstance(operand, Tensor) and operand.dtype.category is Category.BOOL
        ):
            raise error(
                RuntimeError,
                "sub",
                "Subtraction, the `-` operator, with a bool tensor is not supported",
                fix="use x ^ y or logical_xor(), or convert to an integer dtype first",
            )


def add(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """Sum of two tensors, `input + alpha * other`.

    Args:
        input: A tensor.
        other: A tensor, or a number.
        alpha: Factor of `other`.
        out: Receives the result.
    Raises:
        RuntimeError: The shapes do not broadcast, or `alpha` is not of the operands' category.
    Example:
        >>> rushlight.add(rushlight.tensor([1, 2]), 3)
        tensor([4, 5])
    """
    require_tensor("add", "input", input)
    require_operand("add", "other", other)
    if alpha != 1 or alpha is True:
        other = _scaled("add", input, other, alpha)
    result: Tensor = add_op.entry(input, other)
    return result if out is None else into("add", result, out)


def sub(input: Tensor, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """Difference of two tensors, `input - alpha * other`.

    Args:
        input: A tensor.
        other: A tensor, or a number.
        alpha: Factor of `other`.
        out: Receives the result.
    Raises:
        RuntimeError: An operand is bool, or the shapes do not broadcast.
    Example:
        >>> rushlight.sub(rushlight.tensor([4, 5]), 3)
        tensor([1, 2])
    """
    require_tensor("sub", "input", input)
    require_operand("sub", "other", other)
    if alpha != 1 or alpha is True:
        other = _scaled("sub", input, other, alpha)
    result: Tensor = sub_op.entry(input, other)
    return result if out is None else into("sub", result, out)


_add_into = inplace_binary(add_op, add, "add")
_sub_into = inplace_binary(sub_op, sub, "sub")


def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of `add`."""
    if alpha != 1 or alpha is True:
        other = _scaled("add_", input, other, alpha)
    return _add_into(input, other)  # type: ignore[no-any-return]


def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """In-place version of `sub`."""
    if alpha != 1 or alpha is True:
        other = _scaled("sub_", input, other, alpha)
    return _sub_into(input, other)  # type: ignore[no-any-return]


for _op, _function, _writing, _names in (
    (add_op, add, add_, ("add",)),
    (sub_op, sub, sub_, ("sub", "subtract")),
):
    _op.public = _function
    for _name in _names:
        export(_name, _function)
        method(_name, _function)
        method(_name + "_", _writing)


@public(out=False, methods=False)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Difference of two tensors, `other - alpha * input`.

    Example:
        >>> rushlight.rsub(rushlight.tensor([1, 2]), 3)
        tensor([2, 1])
    """
    require_tensor("rsub", "input", input)
    require_operand("rsub", "other", other)
    if alpha != 1:
        input = _scaled("rsub", other, input, alpha)
    return sub_op.entry(other, input)  # type: ignore[no-any-return]


# -- products and quotients -------------------------------------------------------------------

public_binary(mul_op, "Product of two tensors, element by element.", aliases=("multiply",))

_ROUNDED = {"trunc": div_trunc_op, "floor": floor_divide_op}


@public(inplace=False, out=True, aliases=("divide",), op=div_op)
def div(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Quotient of two tensors; integers are divided as floats unless the quotient is rounded.

    Args:
        input: Dividend.
        other: Divisor, a tensor or a number.
        rounding_mode: None, "trunc" (towards zero) or "floor" (downwards).
    Raises:
        RuntimeError: Another rounding mode; an integer is divided by zero and rounded.
    Example:
        >>> rushlight.div(rushlight.tensor([-7, 7]), 2, rounding_mode="floor")
        tensor([-4,  3])
    """
    require_tensor("div", "input", input)
    require_operand("div", "other", other)
    if rounding_mode is None:
        return div_op.entry(input, other)  # type: ignore[no-any-return]
    chosen = _ROUNDED.get(rounding_mode)
    if chosen is None:
        raise error(
            RuntimeError,
            "div",
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'",
        )
    return chosen.entry(input, other)  # type: ignore[no-any-return]


_div_into = inplace_binary(div_op, div, "div")
_div_rounded_into = inplace_form(div, "div")


def div_(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """In-place version of `div`."""
    if rounding_mode is None:
        return _div_into(input, other)  # type: ignore[no-any-return]
    return _div_rounded_into(input, other, rounding_mode=rounding_mode)  # type: ignore[no-any-return]


method("div_", div_)
method("divide_", div_)


@public(out=True)
def true_divide(input: Tensor, other: Any) -> Tensor:
    """Quotient of two tensors, in floating point.

    Example:
        >>> rushlight.true_divide(rushlight.tensor([1, 3]), 2)
        tensor([0.5000, 1.5000])
    """
    return div(input, other)


method("true_divide_", _div_into)
public_binary(floor_divide_op, "Quotient of two tensors, rounded downwards.")
public_binary(remainder_op, "Remainder of a division, with the divisor's sign.", scalar_first=True)
public_binary(fmod_op, "Remainder of a division, with the dividend's sign.")


# -- powers -----------------------------------------------------------------------------------


@pow_op.check
def _(x: Any, y: Any) -> None:
    """Refuses what has no whole value. An integer tensor of exponents is the kernel's matter."""
    if y.__class__ is int and y < 0 and is_integral(x):
        raise error(
            RuntimeError,
            "pow",
            "Integers to negative integer powers are not allowed",
            given=f"exponent {y}",
            fix="convert the base to a floating-point dtype",
        )


def _power(x: Any, y: Any) -> Tensor:
    """A power; a square is cheaper as such, and whole exponents of integers are checked."""
    if y.__class__ in (int, float) and isinstance(x, Tensor):
        if y == 2 and x._k.dtype.is_inexact:
            return operators["square"].entry(x)  # type: ignore[no-any-return]
        if y < 0:
            return pow_op.slow_entry(x, y)  # type: ignore[no-any-return]
    return pow_op.entry(x, y)  # type: ignore[no-any-return]


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """A power of each element.

    Args:
        input: Base, a tensor or a number.
        exponent: Exponent, a tensor or a number; one of the two is a tensor.
        out: Receives the result.
    Raises:
        RuntimeError: An integer base has a negative exponent.
    Example:
        >>> rushlight.pow(rushlight.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 4., 9.])
    """
    if not isinstance(exponent, Tensor):
        require_tensor("pow", "input", input)
    require_operand("pow", "input", input)
    require_operand("pow", "exponent", exponent)
    result = _power(input, exponent)
    return result if out is None else into("pow", result, out)


def _pow_method(self: Tensor, exponent: Any) -> Tensor:
    require_operand("pow", "exponent", exponent)
    return _power(self, exponent)


_pow_method.__name__, _pow_method.__doc__ = "pow", pow.__doc__
pow_op.public = pow
_pow_into = inplace_form(_pow_method, "pow")
export("pow", pow)
method("pow", _pow_method)
method("pow_", _pow_into)


def _wide(who: str, *operands: Any) -> list[Any]:
    """Operands in double precision."""
    wide = complex128 if any(is_complex(x) for x in operands) else float64
    return [x.to(wide) if isinstance(x, Tensor) else x for x in operands]


@public(out=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """A power of each element, computed in double precision.

    Args:
        input: Base, a tensor or a number.
        exponent: Exponent, a tensor or a number; one of the two is a tensor.
    Example:
        >>> rushlight.float_power(rushlight.tensor([2, 3]), -1)
        tensor([0.5000, 0.3333], dtype=rushlight.float64)
    """
    if not isinstance(exponent, Tensor):
        require_tensor("float_power", "input", input)
    require_operand("float_power", "input", input)
    require_operand("float_power", "exponent", exponent)
    if not isinstance(input, Tensor) and input == 1:
        return operators["full"].function(  # type: ignore[no-any-return]
            tuple(exponent.shape), 1, dtype=_wide("", input, exponent)[1].dtype,
            device=exponent.device,
        )  # fmt: skip
    return _power(*_wide("float_power", input, exponent))


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """In-place version of `float_power`; `input` is in double precision already."""
    wide = complex128 if is_complex(input) or is_complex(exponent) else float64
    if input.dtype is not wide:
        raise error(
            RuntimeError,
            "float_power_",
            f"the base given to float_power_ has dtype {input.dtype.name} but the operation's "
            f"result requires dtype {wide.name}",
            fix=f"convert it to {wide} first",
        )
    return _pow_into(input, exponent)  # type: ignore[no-any-return]


method("float_power_", float_power_)


@public(inplace=True, out=True, function=True)
def ldexp(input: Tensor, other: Any) -> Tensor:
    """Each element times a power of two, `input * 2**other`.

    Example:
        >>> rushlight.ldexp(rushlight.tensor([1.0]), rushlight.tensor([1, 2, 3]))
        tensor([2., 4., 8.])
    """
    require_tensor("ldexp", "input", input)
    require_tensor("ldexp", "other", other)
    return mul_op.entry(input, pow_op.entry(2.0, other))  # type: ignore[no-any-return]


# -- other functions of two operands ----------------------------------------------------------

atan2_op = binary("atan2", promotes="float")
hypot_op = binary("hypot")
copysign_op = binary("copysign", promotes="float")
nextafter_op = binary("nextafter")
heaviside_op = binary("heaviside", differentiable=False)
gcd_op = binary("gcd", differentiable=False)
lcm_op = binary("lcm", differentiable=False)
logaddexp_op = binary("logaddexp")
logaddexp2_op = binary("logaddexp2")

atan2_op.vjp(
    x=lambda g, x, y: g * (y / (x * x + y * y)),
    y=lambda g, x, y: g * (-x / (x * x + y * y)),
)
nextafter_op.vjp(x=lambda g, x, y: masked(g, x == y), y=lambda g: g * 0)
hypot_op.vjp(x=lambda g, x, out: g * (x / out), y=lambda g, y, out: g * (y / out))
copysign_op.vjp(x=lambda g, x, out: g * masked(out / x, x == 0), y=lambda g: g * 0)
logaddexp_op.vjp(
    x=lambda g, x, y: g / (1 + operators["exp"](y - x)),
    y=lambda g, x, y: g / (1 + operators["exp"](x - y)),
)
logaddexp2_op.vjp(
    x=lambda g, x, y: g / (1 + operators["exp2"](y - x)),
    y=lambda g, x, y: g / (1 + operators["exp2"](x - y)),
)


@logaddexp_op.decomposition
def _(x: Tensor, y: Tensor) -> Any:
    """With the larger operand taken out; of complex ones, that with the larger real part."""
    real: Any = operators["real"]
    larger = real(x) >= real(y) if x._k.is_complex else x >= y
    high, low = choose(larger, x, y), choose(larger, y, x)
    # Equal infinities: their difference would be NaN.
    gap = masked(low - high, low == high)
    return high + operators["log1p"](operators["exp"](gap))


@logaddexp2_op.decomposition
def _(x: Tensor, y: Tensor) -> Any:
    larger = x >= y
    high, low = choose(larger, x, y), choose(larger, y, x)
    gap = masked(low - high, low == high)
    return high + operators["log1p"](operators["exp2"](gap)) * (1 / math.log(2))


@heaviside_op.check
def _(x: Any, y: Any) -> None:
    if is_complex(x) or is_complex(y):
        raise error(
            RuntimeError, "heaviside", "heaviside is not yet implemented for complex tensors."
        )
    if isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype is not y.dtype:
        raise error(
            RuntimeError,
            "heaviside",
            "heaviside is not yet implemented for tensors with different dtypes.",
            given=f"{x.dtype} and {y.dtype}",
        )


public_binary(
    atan2_op,
    "Angle of the point (y=input, x=other), in radians.",
    aliases=("arctan2",),
    tensors_only=True,
)
public_binary(hypot_op, "Length of the hypotenuse with these legs.", tensors_only=True)
public_binary(copysign_op, "The magnitude of `input` with the sign of `other`.")
public_binary(nextafter_op, "The next number after `input` towards `other`.", tensors_only=True)
public_binary(
    heaviside_op,
    "0 below zero, 1 above it, and `values` at zero.",
    parameters=("input", "values"),
    tensors_only=True,
)
public_binary(gcd_op, "Greatest common divisor.", tensors_only=True)
public_binary(lcm_op, "Least common multiple.", tensors_only=True)
public_binary(logaddexp_op, "log(exp(input) + exp(other)).", tensors_only=True, inplace=False)
public_binary(logaddexp2_op, "log2(2**input + 2**other).", tensors_only=True, inplace=False)


# -- extrema ----------------------------------------------------------------------------------

maximum_op = binary("maximum")
minimum_op = binary("minimum")
fmax_op = binary("fmax")
fmin_op = binary("fmin")


def _share(g: Any, loses: Any, ties: Any) -> Any:
    """A gradient that tied operands share, as in torch."""
    return masked(choose(ties, g * 0.5, g), loses)


maximum_op.vjp(
    x=lambda g, x, y: _share(g, x < y, x == y),
    y=lambda g, x, y: _share(g, x > y, x == y),
)
minimum_op.vjp(
    x=lambda g, x, y: _share(g, x > y, x == y),
    y=lambda g, x, y: _share(g, x < y, x == y),
)
fmax_op.vjp(
    x=lambda g, x, y: kept(g, (x >= y) | (y != y)),
    y=lambda g, x, y: masked(g, (x >= y) | (y != y)),
)
fmin_op.vjp(
    x=lambda g, x, y: kept(g, (x <= y) | (y != y)),
    y=lambda g, x, y: masked(g, (x <= y) | (y != y)),
)
for _op, _doc in (
    (maximum_op, "The larger of two elements; NaN wins."),
    (minimum_op, "The smaller of two elements; NaN wins."),
    (fmax_op, "The larger of two elements; NaN loses."),
    (fmin_op, "The smaller of two elements; NaN loses."),
):
    public_binary(_op, _doc, inplace=False, tensors_only=True)


# -- Python's operators -----------------------------------------------------------------------

operator_method("add", add_op, reflected=True, inplace=True)
operator_method("sub", sub_op, reflected=True, inplace=True)
operator_method("mul", mul_op, reflected=True, inplace=True)
operator_method("truediv", div_op, reflected=True, inplace=True)
operator_method("floordiv", floor_divide_op, reflected=True, inplace=True)
operator_method("mod", remainder_op, reflected=True, inplace=True)
for _name in ("div", "rdiv", "idiv"):  # Python 2's names, which torch still has
    method(f"__{_name}__", METHODS[f"__{_name.replace('div', 'truediv')}__"])

_pow_entry = python_entry(pow_op)


def _pow_operator(self: Tensor, other: Any) -> Any:
    return _power(self, other) if other.__class__ in (int, float) else _pow_entry(self, other)


method("__pow__", _pow_operator)
method("__rpow__", reflected_entry(pow_op))
method("__ipow__", inplace_operator("pow", _pow_into))
