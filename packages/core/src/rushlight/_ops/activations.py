"""Activation functions: the non-linearities between the layers of a network."""

from __future__ import annotations

import math
from typing import Any

from .._dtypes import Category
from .._errors import error
from .._operator import Operator, binary, operator, unary
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export, public
from .elementwise import choose, kept, masked, public_unary, require_tensor, scalar_like

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
# The tanh form of Hendrycks and Gimpel (2016), Gaussian error linear units.
_TANH_SLOPE = math.sqrt(2 / math.pi)
_TANH_CUBE = 0.044715
# Klambauer et al. (2017), Self-normalizing neural networks.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _activation(schema: str) -> Operator:
    """An elementwise operator of one tensor and numbers."""
    return operator(schema, kind="elementwise", promotes="default")


def _refuses_bool(op: Operator) -> None:
    def check(x: Any) -> None:
        if isinstance(x, Tensor) and x.dtype.category is Category.BOOL:
            raise error(
                RuntimeError, op.name, "Boolean inputs not supported",
                fix="convert it to a numeric dtype",
            )  # fmt: skip

    op.check(check)


def _wants_floats(who: str, input: Any) -> None:
    """Raises for tensors that an exponential would not leave in their dtype."""
    require_tensor(who, "input", input)
    if not input.dtype.is_inexact:
        raise error(
            NotImplementedError, who, f'"{who}_cpu" not implemented for {input.dtype}',
            fix="convert it to a floating-point dtype",
        )  # fmt: skip


# -- rectifiers -------------------------------------------------------------------------------

relu_op = unary("relu", promotes="default")
relu_backward = binary("relu_backward")
relu_op.vjp(x=lambda g, out: relu_backward(g, out))
relu_backward.vjp(x=lambda g, y: relu_backward(g, y), y=lambda g: g * 0)
_refuses_bool(relu_op)


@relu_op.decomposition
def _(x: Tensor) -> Tensor:
    return operators["maximum"](x, scalar_like(x, 0))  # type: ignore[no-any-return]


@relu_backward.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    return kept(x, y > 0)


export("relu", public_unary(relu_op, "Each element, or 0 if it is negative."), "ops")

leaky_relu_op = _activation("leaky_relu(Tensor x, *, float negative_slope) -> Tensor")
leaky_relu_op.vjp(
    x=lambda g, x, negative_slope: choose(x > 0, g, g * negative_slope),
)


@leaky_relu_op.decomposition
def _(x: Tensor, *, negative_slope: float) -> Tensor:
    return choose(x > 0, x, x * negative_slope)  # type: ignore[no-any-return]


@public(namespace="ops", methods=False, op=leaky_relu_op)
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Multiplies negative elements by a slope."""
    _wants_floats("leaky_relu", input)
    return leaky_relu_op(input, negative_slope=negative_slope)  # type: ignore[no-any-return]


prelu_op = binary("prelu_kernel")
prelu_op.vjp(
    x=lambda g, x, y: choose(x > 0, g, g * y),
    y=lambda g, x: masked(g * x, x > 0),
)


@prelu_op.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    return choose(x > 0, x, x * y)  # type: ignore[no-any-return]


@public()
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Multiplies negative elements by a learnt slope, one in all or one per channel.

    Args:
        input: Tensor of shape `(N, C, *)`.
        weight: Scalar, or vector of one or `C` slopes.
    Raises:
        RuntimeError: `weight` has more than one dimension or the wrong number of slopes.
    Example:
        >>> rushlight.prelu(rushlight.tensor([-4.0, 2.0]), rushlight.tensor(0.25))
        tensor([-1.,  2.])
    """
    require_tensor("prelu", "input", input)
    require_tensor("prelu", "weight", weight)
    given = f"input of shape {tuple(input.shape)}, weight of shape {tuple(weight.shape)}"
    if weight.ndim > 1:
        raise error(
            RuntimeError, "prelu",
            f"Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}",
            given=given,
        )  # fmt: skip
    if weight.numel() != 1:
        if input.ndim == 0:
            raise error(
                RuntimeError, "prelu", "Not allow zero-dim input tensor.", given=given,
                expected="one slope",
            )  # fmt: skip
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise error(
                RuntimeError, "prelu",
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}.",
                given=given, expected=f"one slope, or {channels}",
            )  # fmt: skip
    if weight.dtype is not input.dtype:
        raise error(
            RuntimeError, "prelu",
            f"Type promoting not supported. Got {input.dtype.name} and {weight.dtype.name}",
            given=given,
        )  # fmt: skip
    channels_at = 1 if input.ndim > 1 else 0
    if input.ndim:
        weight = weight.reshape([-1 if d == channels_at else 1 for d in range(input.ndim)])
    else:
        weight = weight.reshape(())
    return prelu_op(input, weight)  # type: ignore[no-any-return]


export("prelu", prelu, "ops")


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Any = None,
) -> Tensor:
    """Multiplies negative elements by a slope drawn between two numbers.

    Args:
        input: Real tensor.
        lower: Lower end of the slopes.
        upper: Upper end of the slopes.
        training: Draws a slope per element; otherwise all slopes are the interval's middle.
        generator: Draws the slopes.
    Raises:
        RuntimeError: `lower` exceeds `upper`.
    Example:
        >>> rushlight.rrelu(rushlight.tensor([-24.0, 2.0]), 0.25, 0.25)
        tensor([-6.,  2.])
    """
    _wants_floats("rrelu", input)
    if lower > upper:
        raise error(
            RuntimeError, "rrelu", "Lower bound should be less than or equal to the upper bound",
            given=f"lower={lower}, upper={upper}",
        )  # fmt: skip
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    slopes: Any = operators["full"].function(
        tuple(input.shape), 0, dtype=input.dtype, device=input.device
    )
    return prelu_op(input, slopes.uniform_(lower, upper, generator=generator))  # type: ignore[no-any-return]


public(methods=False, inplace=True)(rrelu)
export("rrelu", rrelu, "ops")

threshold_op = _activation("threshold(Tensor x, *, Scalar threshold, Scalar value) -> Tensor")
threshold_op.vjp(x=lambda g, x, threshold: masked(g, x <= threshold))


@threshold_op.decomposition
def _(x: Tensor, *, threshold: Any, value: Any) -> Tensor:
    return choose(x <= threshold, value, x)  # type: ignore[no-any-return]


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """Replaces elements that do not exceed a threshold by a number.

    Args:
        input: Real tensor.
        threshold: What elements must exceed.
        value: Replaces those that do not.
    Example:
        >>> rushlight.threshold(rushlight.tensor([0.5, 2.0]), 1.0, 20.0)
        tensor([20.,  2.])
    """
    require_tensor("threshold", "input", input)
    return threshold_op(input, threshold=threshold, value=value)  # type: ignore[no-any-return]


export("threshold", public(methods=False, inplace=True, out=True)(threshold), "ops")

# -- exponential units ------------------------------------------------------------------------

elu_op = _activation("elu(Tensor x, *, float alpha, float scale, float input_scale) -> Tensor")


def _elu_rule(g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    # The clamp keeps exp() finite where it is not wanted, for derivatives of higher order.
    below = (x.clamp(max=0) * input_scale).exp() * (alpha * scale * input_scale)
    return choose(x > 0, g * scale, g * below)


elu_op.vjp(x=_elu_rule)


@elu_op.decomposition
def _(x: Tensor, *, alpha: float, scale: float, input_scale: float) -> Tensor:
    return choose(x > 0, x * scale, (x * input_scale).expm1() * (alpha * scale))  # type: ignore[no-any-return]


@public(namespace="ops", methods=False, op=elu_op)
def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Replaces negative elements `x` by `alpha * (exp(x) - 1)`."""
    _wants_floats("elu", input)
    return elu_op(input, alpha=alpha, scale=1.0, input_scale=1.0)  # type: ignore[no-any-return]


@public(methods=False, inplace=True)
def selu(input: Tensor) -> Tensor:
    """Applies the self-normalising exponential unit, a scaled `elu` with fixed constants.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.
    Example:
        >>> rushlight.selu(rushlight.tensor([-1.0, 2.0]))
        tensor([-1.1113,  2.1014])
    """
    _wants_floats("selu", input)
    return elu_op(input, alpha=_SELU_ALPHA, scale=_SELU_SCALE, input_scale=1.0)  # type: ignore[no-any-return]


@public(methods=False, inplace=True)
def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Replaces negative elements `x` by `alpha * (exp(x / alpha) - 1)`.

    Raises:
        RuntimeError: `alpha` is zero.
    Example:
        >>> rushlight.celu(rushlight.tensor([-1.0, 2.0]), alpha=2.0)
        tensor([-0.7869,  2.0000])
    """
    _wants_floats("celu", input)
    if alpha == 0:
        raise error(
            RuntimeError, "celu", "ZeroDivisionError: alpha cannot be 0 for CELU",
            fix="use relu, the limit for alpha -> 0",
        )  # fmt: skip
    return elu_op(input, alpha=alpha, scale=1.0, input_scale=1 / alpha)  # type: ignore[no-any-return]


for _function in (selu, celu):
    export(_function.__name__, _function, "ops")

# -- sigmoids ---------------------------------------------------------------------------------

silu_op = unary("silu", promotes="default")
silu_backward = binary("silu_backward")
mish_op = unary("mish", promotes="default")
logsigmoid_op = unary("logsigmoid", promotes="default")
softplus_op = _activation("softplus(Tensor x, *, float beta, float threshold) -> Tensor")

silu_op.vjp(x=lambda g, x: _silu_rule(g, x))
silu_backward.vjp(x=lambda g, y: silu_backward(g, y), y=lambda g, x, y: _silu_twice(g * x, y))


def _silu_twice(g: Any, x: Any) -> Any:
    """g times the second derivative."""
    unit = x.sigmoid()
    return g * (unit * (1 - unit) * (2 + x * (1 - 2 * unit)))


def _silu_rule(g: Any, x: Any) -> Any:
    if x._k.is_complex:
        unit = operators["conj"](x.sigmoid())
        return g * unit * (1 + operators["conj"](x) * (1 - unit))
    return silu_backward(g, x)


@silu_op.decomposition
def _(x: Tensor) -> Tensor:
    return x * x.sigmoid()


@silu_backward.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    unit = y.sigmoid()
    return x * (unit * (1 + y * (1 - unit)))


def _mish_rule(g: Any, x: Any) -> Any:
    gate = softplus(x).tanh()
    return g * (gate + x * x.sigmoid() * (1 - gate * gate))


mish_op.vjp(x=_mish_rule)
logsigmoid_op.vjp(x=lambda g, x: g * (-x).sigmoid())
softplus_op.vjp(
    x=lambda g, x, beta, threshold: choose(
        x * beta > threshold, g, g * (x * beta).clamp(max=threshold).sigmoid()
    )
)


@mish_op.decomposition
def _(x: Tensor) -> Tensor:
    return x * softplus(x).tanh()


@logsigmoid_op.decomposition
def _(x: Tensor) -> Tensor:
    return x.clamp(max=0) - (-x.abs()).exp().log1p()


@softplus_op.decomposition
def _(x: Tensor, *, beta: float, threshold: float) -> Tensor:
    scaled = x * beta
    return choose(scaled > threshold, x, scaled.exp().log1p() / beta)  # type: ignore[no-any-return]


def _public_activation(op: Operator, doc: str) -> None:
    """Exports an operator of one tensor for `nn.functional`."""

    def function(input: Tensor) -> Tensor:
        _wants_floats(op.name, input)
        return op.entry(input)  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = doc
    op.public = function
    export(op.name, function, "ops")


_public_activation(silu_op, "Multiplies each element by its logistic function.")
_public_activation(mish_op, "Multiplies each element by `tanh(softplus(x))`.")
_public_activation(logsigmoid_op, "Logarithm of the logistic function.")


@public(namespace="ops", methods=False, op=softplus_op)
def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """A smooth `relu`: `log(1 + exp(beta * x)) / beta`; beyond the threshold, `x`."""
    _wants_floats("softplus", input)
    return softplus_op(input, beta=beta, threshold=threshold)  # type: ignore[no-any-return]


# -- gelu -------------------------------------------------------------------------------------

gelu_op = _activation("gelu(Tensor x, *, str approximate) -> Tensor")
gelu_backward = operator(
    "gelu_backward(Tensor g, Tensor x, *, str approximate) -> Tensor",
    kind="elementwise", promotes="default",
)  # fmt: skip
gelu_op.vjp(x=lambda g, x, approximate: gelu_backward(g, x, approximate=approximate))


def _tanh_gate(x: Any) -> Any:
    return ((x + x * x * x * _TANH_CUBE) * _TANH_SLOPE).tanh()


@gelu_op.decomposition
def _(x: Tensor, *, approximate: str) -> Any:
    if approximate == "tanh":
        return x * (_tanh_gate(x) + 1) * 0.5
    return x * (operators["erf"](x * _ROOT_HALF) + 1) * 0.5


@gelu_backward.decomposition
def _(g: Tensor, x: Tensor, *, approximate: str) -> Any:
    if approximate == "tanh":
        gate = _tanh_gate(x)
        slope = (x * x * (3 * _TANH_CUBE) + 1) * _TANH_SLOPE
        return g * ((gate + 1 + x * (1 - gate * gate) * slope) * 0.5)
    probability = (operators["erf"](x * _ROOT_HALF) + 1) * 0.5
    return g * (probability + x * operators["exp"](x * x * -0.5) * _DENSITY)


@public(namespace="ops", methods=False, op=gelu_op)
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Multiplies each element by the normal distribution's cumulative probability of it.

    Args:
        input: Real tensor.
        approximate: "none", or "tanh" for the usual approximation.
    Raises:
        RuntimeError: `approximate` is something else.
    """
    _wants_floats("gelu", input)
    if approximate not in ("none", "tanh"):
        raise error(
            RuntimeError, "gelu", "approximate argument must be either none or tanh",
            given=f"approximate={approximate!r}",
        )  # fmt: skip
    return gelu_op(input, approximate=approximate)  # type: ignore[no-any-return]


# -- pieces of straight lines -----------------------------------------------------------------

hardtanh_op = _activation("hardtanh(Tensor x, *, Scalar low, Scalar high) -> Tensor")
hardsigmoid_op = unary("hardsigmoid", promotes="default")
hardswish_op = unary("hardswish", promotes="default")
hardshrink_op = _activation("hardshrink(Tensor x, *, float lambd) -> Tensor")
softshrink_op = _activation("softshrink(Tensor x, *, float lambd) -> Tensor")

# The corners belong to the flat parts, unlike those of clamp.
hardtanh_op.vjp(x=lambda g, x, low, high: masked(g, (x <= low) | (x >= high)))
hardsigmoid_op.vjp(x=lambda g, x: kept(g * (1 / 6), (x > -3) & (x < 3)))
hardswish_op.vjp(x=lambda g, x: masked(choose(x < 3, g * (x * (1 / 3) + 0.5), g), x <= -3))
hardshrink_op.vjp(x=lambda g, x, lambd: masked(g, (x >= -lambd) & (x <= lambd)))
softshrink_op.vjp(x=lambda g, x, lambd: masked(g, (x >= -lambd) & (x <= lambd)))


@hardtanh_op.decomposition
def _(x: Tensor, *, low: Any, high: Any) -> Any:
    return operators["clamp"](x, low, high)


@hardsigmoid_op.decomposition
def _(x: Tensor) -> Any:
    return operators["clamp"](x + 3, 0, 6) * (1 / 6)


@hardswish_op.decomposition
def _(x: Tensor) -> Any:
    return x * operators["clamp"](x + 3, 0, 6) * (1 / 6)


@hardshrink_op.decomposition
def _(x: Tensor, *, lambd: float) -> Any:
    return choose((x >= -lambd) & (x <= lambd), 0, x)


@softshrink_op.decomposition
def _(x: Tensor, *, lambd: float) -> Any:
    # NaN stays: it is on neither side, and NaN times 0 is NaN.
    return choose(x > lambd, x - lambd, choose(x < -lambd, x + lambd, x * 0))


_public_activation(hardsigmoid_op, "Approximates the logistic function by straight lines.")
_public_activation(hardswish_op, "Multiplies each element by its `hardsigmoid`.")


@public(namespace="ops", methods=False, op=hardtanh_op)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Clamps elements to an interval."""
    require_tensor("hardtanh", "input", input)
    if input.dtype.category is Category.BOOL:
        raise error(RuntimeError, "hardtanh", "Bool inputs not supported for hardtanh")
    if not input.dtype.is_inexact:
        min_val, max_val = int(min_val), int(max_val)
    return hardtanh_op(input, low=min_val, high=max_val)  # type: ignore[no-any-return]


@public(namespace="ops", methods=False)
def relu6(input: Tensor) -> Tensor:
    """Clamps elements to the interval from 0 to 6."""
    return hardtanh(input, 0, 6)


@public(out=True, op=hardshrink_op)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Replaces elements of magnitude up to `lambd` by zero.

    Example:
        >>> rushlight.hardshrink(rushlight.tensor([0.25, -2.0]))
        tensor([ 0., -2.])
    """
    _wants_floats("hardshrink", input)
    return hardshrink_op(input, lambd=lambd)  # type: ignore[no-any-return]


export("hardshrink", hardshrink, "ops")


@public(namespace="ops", methods=False, op=softshrink_op)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Moves every element by `lambd` towards zero, and no further than zero."""
    _wants_floats("softshrink", input)
    if not lambd >= 0:
        raise error(
            RuntimeError, "softshrink",
            f"lambda must be greater or equal to 0, but found to be {lambd}.",
        )  # fmt: skip
    return softshrink_op(input, lambd=lambd)  # type: ignore[no-any-return]


# -- composites -------------------------------------------------------------------------------


@public(namespace="ops", methods=False)
def softsign(input: Tensor) -> Tensor:
    """Divides each element by one plus its magnitude."""
    require_tensor("softsign", "input", input)
    return input / (operators["abs"](input) + 1)  # type: ignore[no-any-return]


@public(namespace="ops", methods=False)
def tanhshrink(input: Tensor) -> Tensor:
    """Subtracts from each element its hyperbolic tangent."""
    require_tensor("tanhshrink", "input", input)
    return input - operators["tanh"](input)  # type: ignore[no-any-return]


@public(namespace="ops", methods=False)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Splits a tensor in two and multiplies the first half by the second's sigmoid.

    Raises:
        RuntimeError: The tensor is zero-dim, or its size along `dim` is odd.
        IndexError: There is no dimension `dim`.
    """
    from .views import check_dim

    require_tensor("glu", "input", input)
    if input.ndim == 0:
        raise error(RuntimeError, "glu", "glu does not support 0-dimensional tensors")
    dim = check_dim("glu", dim, input.ndim)
    size = input.shape[dim]
    if size % 2:
        raise error(
            RuntimeError, "glu",
            f"Halving dimension must be even, but dimension {dim} is size {size}",
            given=f"input of shape {tuple(input.shape)}",
        )  # fmt: skip
    value, gate = input.chunk(2, dim)
    return value * gate.sigmoid()
