"""Elementwise operators of three operands: `where`, `clamp`, `lerp`, `addcmul` and `addcdiv`."""

from __future__ import annotations

import warnings
from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, uint8
from .._errors import error
from .._failures import explained
from .._modes import GRAD, NO_GRAD, STATE
from .._node import NO_ATTRIBUTES
from .._operator import operator
from .._promotion import broadcast_shapes, promoted
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, fresh, native_of
from ._public import assign, export, inplace_elementwise, into, method, public
from .elementwise import (
    conj,
    is_complex,
    is_integral,
    kept,
    masked,
    overrides,
    require_operand,
    require_tensor,
    scalar_like,
)

# -- where ------------------------------------------------------------------------------------

where_op = operator("where(Tensor condition, Tensor x, Tensor y) -> Tensor", promotes="default")
where_op.vjp(
    x=lambda g, condition: kept(g, condition),
    y=lambda g, condition: masked(g, condition),
)
where_op.batching("elementwise")


@where_op.meta
def _(condition: Tensor, x: Tensor, y: Tensor) -> Spec:
    return Spec(broadcast_shapes("where", condition.shape, x.shape, y.shape), x.dtype)


@where_op.jvp
def _(primals: Any, tangents: Any, out: Any) -> Any:
    condition = primals[0]
    _, x, y = tangents
    x = scalar_like(out, 0) if x is None else x
    return where_op(condition, x, scalar_like(out, 0) if y is None else y)


def _fast_where(generic: Any) -> Any:
    """The entry of `where`: plain tensors of which nothing is recorded go straight to the kernel.

    Derivative rules choose often, and on small tensors the general way takes most of the time.
    """
    index = where_op.index

    def entry(condition: Any, x: Any, y: Any) -> Any:
        if condition.__class__ in PLAIN and x.__class__ in PLAIN and y.__class__ in PLAIN:
            kind = x._k
            state = STATE.get()
            recorded = state is GRAD and (
                x._req or y._req or x._view is not None or y._view is not None
            )
            if y._k is kind and not recorded and (state is GRAD or state is NO_GRAD):
                kernel = condition._k.hot[index]
                if kernel is not None and condition._k is kind.bool_kind:
                    try:
                        result = kernel(native_of(condition), native_of(x), native_of(y))
                    except Exception as raised:
                        raise explained(
                            where_op, (condition, x, y), NO_ATTRIBUTES, raised
                        ) from raised
                    if result.__class__ is not kind.array:
                        result = kind.runtime.wrap(result, kind.dtype)
                    return fresh(kind, result)
        return generic(condition, x, y)

    return entry


where_op.entry = _fast_where(where_op.entry)


def where(
    condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None
) -> Any:
    """Elements of `input` where a condition holds, of `other` elsewhere.

    Args:
        condition: A bool tensor.
        input: A tensor, or a number.
        other: A tensor, or a number. Without both, the result is `nonzero(as_tuple=True)`.
        out: Receives the result.
    Raises:
        RuntimeError: `condition` is not bool, or the shapes do not broadcast.
    Example:
        >>> x = rushlight.tensor([-1.0, 2.0])
        >>> rushlight.where(x > 0, x, 0.0)
        tensor([0., 2.])
    """
    require_tensor("where", "condition", condition)
    if input is None and other is None:
        return operators["nonzero"].public(condition, as_tuple=True)
    require_operand("where", "input", input)
    require_operand("where", "other", other)
    result = _where(condition, input, other)
    return result if out is None else into("where", result, out)


def _where(condition: Tensor, input: Any, other: Any) -> Tensor:
    if isinstance(condition, Tensor) and condition.dtype is not bool_:
        if condition.dtype is not uint8:
            raise error(
                RuntimeError,
                "where",
                "expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{condition.dtype.name}",
                fix="compare it, for example condition != 0",
            )
        warnings.warn(
            "where received a uint8 condition tensor. This behavior is deprecated and will be "
            "removed in a future version of PyTorch. Use a boolean condition instead.",
            UserWarning,
            stacklevel=3,
        )
        condition = condition.to(bool_)
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        if overrides(input) or overrides(other) or not isinstance(condition, Tensor):
            return where_op(condition, input, other)  # type: ignore[no-any-return]
        # Two numbers join each other, not the condition, but lie on its device.
        from .._promotion import number_tensor, result_type
        from ..backend import kind_of

        kind = kind_of(condition.device, result_type(input, other))
        return where_op(condition, number_tensor(kind, input), number_tensor(kind, other))  # type: ignore[no-any-return]
    input, other = promoted(where_op, (input, other))
    return where_op(condition, input, other)  # type: ignore[no-any-return]


where_op.public = where


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Elements of the tensor where a condition holds, of `other` elsewhere."""
    require_operand("where", "other", other)
    require_tensor("where", "condition", condition)
    return _where(condition, self, other)


_where_method.__name__ = "where"
public(name="where", methods=False)(where)
method("where", _where_method)


# -- clamp ------------------------------------------------------------------------------------

clamp_op = operator(
    "clamp(Tensor x, Tensor? low, Tensor? high) -> Tensor", kind="elementwise", promotes="default"
)


def _clamp_rule_x(g: Any, x: Any, low: Any, high: Any) -> Any:
    """The bounds belong to the inside."""
    if low is None:
        return kept(g, x <= high)
    return kept(g, x >= low if high is None else (x >= low) & (x <= high))


def _clamp_rule_low(g: Any, x: Any, low: Any, high: Any) -> Any:
    return kept(g, x < low if high is None else (x < low) & (low < high))


def _clamp_rule_high(g: Any, x: Any, low: Any, high: Any) -> Any:
    return kept(g, x > high if low is None else (x > high) | (low > high))


clamp_op.vjp(x=_clamp_rule_x, low=_clamp_rule_low, high=_clamp_rule_high)


@clamp_op.check
def _(x: Any, low: Any, high: Any) -> None:
    if any(is_complex(each) for each in (x, low, high)):
        raise error(
            NotImplementedError, "clamp", "clamp is not supported for complex types",
            given=f"input of {getattr(x, 'dtype', type(x).__name__)}",
        )  # fmt: skip


@clamp_op.decomposition
def _(x: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    if low is not None:
        x = operators["maximum"](x, low)
    return x if high is None else operators["minimum"](x, high)


def _check_bounds(input: Any, min: Any, max: Any) -> None:
    require_tensor("clamp", "input", input)
    for name, bound in (("min", min), ("max", max)):
        if bound is not None:
            require_operand("clamp", name, bound)
    if min is None and max is None:
        raise error(
            RuntimeError, "clamp", "At least one of 'min' or 'max' must not be None",
            fix="give a bound",
        )  # fmt: skip


@public(out=True, aliases=("clip",), op=clamp_op)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Each element, or the bound that it exceeds.

    Args:
        input: Real tensor.
        min: Lower bound, a number or a tensor.
        max: Upper bound, a number or a tensor; it wins where it is below `min`.
    Raises:
        RuntimeError: Both bounds are None.
    Example:
        >>> rushlight.clamp(rushlight.tensor([-2.0, 0.5, 3.0]), min=-1, max=1)
        tensor([-1.0000,  0.5000,  1.0000])
    """
    _check_bounds(input, min, max)
    return clamp_op(input, min, max)  # type: ignore[no-any-return]


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place version of `clamp`."""
    if inplace_elementwise(clamp_op, input, (min, max), {}):
        return input
    return assign("clamp_", input, clamp(input, min, max))


def clamp_min_(input: Tensor, min: Any) -> Tensor:
    """In-place version of `clamp_min`."""
    _check_bounds(input, min, None)
    return clamp_(input, min)


def clamp_max_(input: Tensor, max: Any) -> Tensor:
    """In-place version of `clamp_max`."""
    _check_bounds(input, None, max)
    return clamp_(input, None, max)


for _name, _writing in (
    ("clamp_", clamp_),
    ("clip_", clamp_),
    ("clamp_min_", clamp_min_),
    ("clamp_max_", clamp_max_),
):
    export(_name, _writing)
    method(_name, _writing)


@public(out=True)
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """The larger of each element and a bound.

    Example:
        >>> rushlight.clamp_min(rushlight.tensor([-2, 3]), 0)
        tensor([0, 3])
    """
    _check_bounds(input, min, None)
    return clamp_op(input, min, None)  # type: ignore[no-any-return]


@public(out=True)
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """The smaller of each element and a bound.

    Example:
        >>> rushlight.clamp_max(rushlight.tensor([-2, 3]), 0)
        tensor([-2,  0])
    """
    _check_bounds(input, None, max)
    return clamp_op(input, None, max)  # type: ignore[no-any-return]


# -- lerp, addcmul, addcdiv -------------------------------------------------------------------

lerp_op = operator(
    "lerp(Tensor x, Tensor y, Tensor weight) -> Tensor", kind="elementwise", promotes="default"
)
lerp_op.vjp(
    x=lambda g, weight: g * conj(1 - weight),
    y=lambda g, weight: g * conj(weight),
    weight=lambda g, x, y: g * conj(y - x),
)


@lerp_op.decomposition
def _(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    near = operators["abs"](weight) < 0.5
    start, step = where_op(near, x, y), where_op(near, weight, weight - 1)
    return start + step * (y - x)  # type: ignore[no-any-return]


# A number as the weight is not rounded to the operands' dtype first.
lerp_by_op = operator(
    "lerp_by(Tensor x, Tensor y, *, Scalar weight) -> Tensor",
    kind="elementwise", promotes="default",
)  # fmt: skip
lerp_by_op.vjp(x=lambda g, weight: g * conj(1 - weight), y=lambda g, weight: g * conj(weight))


@lerp_by_op.decomposition
def _(x: Tensor, y: Tensor, *, weight: Any) -> Any:
    step = operators["sub"](y, x)
    if abs(weight) < 0.5:
        return operators["add"](x, operators["mul"](step, weight))
    return operators["add"](y, operators["mul"](step, weight - 1))


@public(out=True, op=lerp_op)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Linear interpolation, `input + weight * (end - input)`.

    Args:
        input: Value at weight 0.
        end: Value at weight 1.
        weight: A number, or a tensor.
    Raises:
        RuntimeError: The dtypes differ.
    Example:
        >>> rushlight.lerp(rushlight.tensor([0.0, 2.0]), rushlight.tensor([1.0, 4.0]), 0.5)
        tensor([0.5000, 3.0000])
    """
    require_tensor("lerp", "input", input)
    require_tensor("lerp", "end", end)
    require_operand("lerp", "weight", weight)
    for name, other in (("end", end), ("weight", weight)):
        if isinstance(other, Tensor) and other.dtype is not input.dtype:
            raise error(
                RuntimeError,
                "lerp",
                f"expected dtype {input.dtype.name} for `{name}` but got dtype {other.dtype.name}",
                fix=f"convert `{name}` to {input.dtype}",
            )
    if not input.dtype.is_inexact:
        raise error(
            NotImplementedError, "lerp", f'"lerp_cpu" not implemented for {input.dtype}',
            fix="convert the operands to a floating-point dtype",
        )  # fmt: skip
    if isinstance(weight, complex) and not is_complex(input):
        raise error(
            RuntimeError, "lerp", "value cannot be converted to type float without overflow",
            given=f"weight={weight}, input of {input.dtype}",
        )  # fmt: skip
    if isinstance(weight, Tensor):
        return lerp_op(input, end, weight)  # type: ignore[no-any-return]
    return lerp_by_op(input, end, weight=weight)  # type: ignore[no-any-return]


def lerp_(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """In-place version of `lerp`."""
    if weight.__class__ is float and inplace_elementwise(
        lerp_by_op, input, (end,), {"weight": weight}
    ):
        return input
    return assign("lerp_", input, lerp(input, end, weight))


method("lerp_", lerp_)


addcmul_op = operator(
    "addcmul(Tensor x, Tensor a, Tensor b, *, Scalar value=1) -> Tensor",
    kind="elementwise", promotes="default",
)  # fmt: skip
addcdiv_op = operator(
    "addcdiv(Tensor x, Tensor a, Tensor b, *, Scalar value=1) -> Tensor",
    kind="elementwise", promotes="default",
)  # fmt: skip
addcmul_op.vjp(
    x=lambda g: g,
    a=lambda g, b, value: g * conj(b * value),
    b=lambda g, a, value: g * conj(a * value),
)
addcdiv_op.vjp(
    x=lambda g: g,
    a=lambda g, b, value: g * conj(value / b),
    b=lambda g, a, b, value: -g * conj(value * a / (b * b)),
)


@addcmul_op.decomposition
def _(x: Tensor, a: Tensor, b: Tensor, *, value: Any) -> Tensor:
    return x + a * b * value  # type: ignore[no-any-return]


@addcdiv_op.decomposition
def _(x: Tensor, a: Tensor, b: Tensor, *, value: Any) -> Tensor:
    return x + a / b * value  # type: ignore[no-any-return]


def _check_value(who: str, operands: tuple[Any, ...], value: Any) -> None:
    if isinstance(value, (float, complex)) and all(is_integral(x) for x in operands):
        raise error(
            RuntimeError,
            who,
            "For integral input tensors, argument value must not be a floating point number",
            given=f"value={value}",
        )


@public(out=True, op=addcmul_op)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`input + value * tensor1 * tensor2`.

    Args:
        input: Added to the product.
        tensor1: A factor.
        tensor2: A factor.
        value: A number, a factor.
    Example:
        >>> one = rushlight.tensor([1.0, 2.0])
        >>> rushlight.addcmul(one, one, one, value=10)
        tensor([11., 42.])
    """
    operands = (input, tensor1, tensor2)
    for name, operand in zip(("input", "tensor1", "tensor2"), operands, strict=True):
        require_tensor("addcmul", name, operand)
    _check_value("addcmul", operands, value)
    return addcmul_op(input, tensor1, tensor2, value=value)  # type: ignore[no-any-return]


def addcmul_(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """In-place version of `addcmul`."""
    if inplace_elementwise(addcmul_op, input, (tensor1, tensor2), {"value": value}):
        return input
    return assign("addcmul_", input, addcmul(input, tensor1, tensor2, value=value))


method("addcmul_", addcmul_)


@public(out=True, op=addcdiv_op)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`input + value * tensor1 / tensor2`.

    Args:
        input: Added to the quotient.
        tensor1: Dividend.
        tensor2: Divisor.
        value: A number, a factor.
    Raises:
        RuntimeError: All operands are integers.
    Example:
        >>> one = rushlight.tensor([1.0, 2.0])
        >>> rushlight.addcdiv(one, one, one, value=10)
        tensor([11., 12.])
    """
    operands = (input, tensor1, tensor2)
    for name, operand in zip(("input", "tensor1", "tensor2"), operands, strict=True):
        require_tensor("addcdiv", name, operand)
    if is_integral(tensor1) and is_integral(tensor2):
        raise error(
            RuntimeError,
            "addcdiv",
            "Integer division with addcdiv is no longer supported",
            given=f"tensor1 of {tensor1.dtype}, tensor2 of {tensor2.dtype}",
            fix="input + value * div(tensor1, tensor2, rounding_mode='trunc'), or convert them",
        )
    return addcdiv_op(input, tensor1, tensor2, value=value)  # type: ignore[no-any-return]


def addcdiv_(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """In-place version of `addcdiv`."""
    if inplace_elementwise(addcdiv_op, input, (tensor1, tensor2), {"value": value}):
        return input
    return assign("addcdiv_", input, addcdiv(input, tensor1, tensor2, value=value))


method("addcdiv_", addcdiv_)
