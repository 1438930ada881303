"""Activations: elementwise non-linearities, gates and softmaxes."""

from __future__ import annotations

import warnings

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import pointwise, shape_of, write_out


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Replaces negative elements by zero.

    Args:
        input: Real tensor of any shape.
        inplace: Writes the result over `input`.

    Example:
        >>> rushlight.nn.functional.relu(rushlight.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return pointwise("relu", ops.relu, input, inplace=inplace)


def relu_(input: Tensor) -> Tensor:
    """In-place version of `relu`."""
    return relu(input, inplace=True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Clamps elements to the interval from 0 to 6.

    Example:
        >>> rushlight.nn.functional.relu6(rushlight.tensor([-1.0, 2.0, 9.0]))
        tensor([0., 2., 6.])
    """
    return pointwise("relu6", ops.relu6, input, inplace=inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Replaces negative elements `x` by `alpha * (exp(x) - 1)`.

    References:
        Clevert, Unterthiner, Hochreiter (2015), Fast and accurate deep network learning by
        exponential linear units.

    Example:
        >>> rushlight.nn.functional.elu(rushlight.tensor([-1.0, 2.0]))
        tensor([-0.6321,  2.0000])
    """
    return pointwise("elu", ops.elu, input, alpha, inplace=inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of `elu`."""
    return elu(input, alpha, inplace=True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Applies the self-normalising exponential unit, a scaled `elu` with fixed constants.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.

    Example:
        >>> rushlight.nn.functional.selu(rushlight.tensor([-1.0, 2.0]))
        tensor([-1.1113,  2.1014])
    """
    return pointwise("selu", ops.selu, input, inplace=inplace)


def selu_(input: Tensor) -> Tensor:
    """In-place version of `selu`."""
    return selu(input, inplace=True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Replaces negative elements `x` by `alpha * (exp(x / alpha) - 1)`.

    Raises:
        RuntimeError: `alpha` is zero.

    References:
        Barron (2017), Continuously differentiable exponential linear units.

    Example:
        >>> rushlight.nn.functional.celu(rushlight.tensor([-1.0, 2.0]), alpha=2.0)
        tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise error(RuntimeError, "celu", "alpha cannot be 0", fix="use relu for alpha -> 0")
    return pointwise("celu", ops.celu, input, alpha, inplace=inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of `celu`."""
    return celu(input, alpha, inplace=True)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Multiplies negative elements by `negative_slope`.

    Example:
        >>> rushlight.nn.functional.leaky_relu(rushlight.tensor([-1.0, 2.0]))
        tensor([-0.0100,  2.0000])
    """
    return pointwise("leaky_relu", ops.leaky_relu, input, negative_slope, inplace=inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place version of `leaky_relu`."""
    return leaky_relu(input, negative_slope, inplace=True)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Multiplies negative elements by a learnt slope, one in all or one per channel.

    Args:
        input: Tensor of shape `(N, C, *)`; a vector counts as a batch of one channel.
        weight: Scalar, or vector of one or `C` slopes.

    Raises:
        RuntimeError: `weight` has more than one dimension or the wrong number of slopes.

    References:
        He et al. (2015), Delving deep into rectifiers.

    Example:
        >>> rushlight.nn.functional.prelu(rushlight.tensor([-4.0, 2.0]), rushlight.tensor(0.25))
        tensor([-1.,  2.])
    """
    given = f"input of shape {shape_of(input)}, weight of shape {shape_of(weight)}"
    if weight.ndim > 1:
        raise error(
            RuntimeError,
            "prelu",
            f"Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}",
            given=given,
        )
    if weight.numel() != 1:
        if input.ndim == 0:
            raise error(RuntimeError, "prelu", "a zero-dim input takes a single slope", given=given)
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise error(
                RuntimeError,
                "prelu",
                "number of slopes and of input channels differ",
                given=given,
                expected=f"one slope, or {channels}",
            )
    return ops.prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Multiplies negative elements by a slope drawn between `lower` and `upper`.

    Args:
        input: Real tensor of any shape.
        lower: Lower end of the slopes.
        upper: Upper end of the slopes.
        training: Draws a slope per element; otherwise all slopes are the interval's middle.
        inplace: Writes the result over `input`.

    Raises:
        RuntimeError: `lower` exceeds `upper`.

    References:
        Xu et al. (2015), Empirical evaluation of rectified activations.

    Example:
        >>> rushlight.nn.functional.rrelu(rushlight.tensor([-24.0, 2.0]), 0.25, 0.25)
        tensor([-6.,  2.])
    """
    if lower > upper:
        raise error(
            RuntimeError,
            "rrelu",
            "Lower bound should be less than or equal to the upper bound",
            given=f"lower={lower}, upper={upper}",
        )
    return pointwise("rrelu", ops.rrelu, input, lower, upper, training, inplace=inplace)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """In-place version of `rrelu`."""
    return rrelu(input, lower, upper, training, inplace=True)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Replaces elements that do not exceed `threshold` by `value`.

    Example:
        >>> rushlight.nn.functional.threshold(rushlight.tensor([0.5, 2.0]), 1.0, 20.0)
        tensor([20.,  2.])
    """
    return pointwise("threshold", ops.threshold, input, threshold, value, inplace=inplace)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place version of `threshold`."""
    result = ops.threshold(input.clone(), threshold, value)
    return input.copy_(result)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Clamps elements to the interval from `min_val` to `max_val`.

    Raises:
        ValueError: `min_val` exceeds `max_val`.

    Example:
        >>> rushlight.nn.functional.hardtanh(rushlight.tensor([-2.0, 0.5]))
        tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise error(
            ValueError,
            "hardtanh",
            "min_val cannot be greater than max_val",
            given=f"min_val={min_val}, max_val={max_val}",
        )
    return pointwise("hardtanh", ops.hardtanh, input, min_val, max_val, inplace=inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place version of `hardtanh`."""
    return hardtanh(input, min_val, max_val, inplace=True)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Approximates the logistic function by `clamp(x / 6 + 1 / 2, 0, 1)`.

    Example:
        >>> rushlight.nn.functional.hardsigmoid(rushlight.tensor([-4.0, 0.0]))
        tensor([0.0000, 0.5000])
    """
    return pointwise("hardsigmoid", ops.hardsigmoid, input, inplace=inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiplies each element by its `hardsigmoid`.

    References:
        Howard et al. (2019), Searching for MobileNetV3.

    Example:
        >>> rushlight.nn.functional.hardswish(rushlight.tensor([-4.0, 3.0]))
        tensor([-0.,  3.])
    """
    return pointwise("hardswish", ops.hardswish, input, inplace=inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiplies each element by its logistic function; also known as swish.

    Example:
        >>> rushlight.nn.functional.silu(rushlight.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7311])
    """
    return pointwise("silu", ops.silu, input, inplace=inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiplies each element by `tanh(softplus(x))`.

    References:
        Misra (2019), Mish: a self regularized non-monotonic activation function.

    Example:
        >>> rushlight.nn.functional.mish(rushlight.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8651])
    """
    return pointwise("mish", ops.mish, input, inplace=inplace)


def gelu(input: Tensor, *, approximate: str = "none", out: Tensor | None = None) -> Tensor:
    """Multiplies each element by the normal distribution's cumulative probability of it.

    Args:
        input: Real tensor of any shape.
        approximate: `"none"`, or `"tanh"` for the usual approximation.
        out: Tensor that receives the result.

    Raises:
        RuntimeError: `approximate` is something else.

    References:
        Hendrycks, Gimpel (2016), Gaussian error linear units.

    Example:
        >>> rushlight.nn.functional.gelu(rushlight.tensor([0.0, 1.0]))
        tensor([0.0000, 0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise error(
            RuntimeError,
            "gelu",
            "approximate argument must be either none or tanh",
            given=f"approximate={approximate!r}",
        )
    return write_out(ops.gelu(input, approximate=approximate), out, "gelu")


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Splits `input` in two along `dim` and multiplies the first half by the second's sigmoid.

    Raises:
        RuntimeError: `input` is zero-dim, or its size along `dim` is odd.
        IndexError: `dim` is out of range.

    References:
        Dauphin et al. (2016), Language modeling with gated convolutional networks.

    Example:
        >>> rushlight.nn.functional.glu(rushlight.tensor([4.0, 0.0]))
        tensor([2.])
    """
    if input.ndim == 0:
        raise error(RuntimeError, "glu", "does not support 0-dimensional tensors")
    if -input.ndim <= dim < input.ndim and input.shape[dim] % 2:
        raise error(
            RuntimeError,
            "glu",
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}",
            given=f"input of shape {shape_of(input)}",
        )
    return ops.glu(input, dim)


def logsigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Logarithm of the logistic function, exact for large magnitudes too.

    Example:
        >>> rushlight.nn.functional.logsigmoid(rushlight.tensor([0.0, -100.0]))
        tensor([  -0.6931, -100.0000])
    """
    return write_out(ops.logsigmoid(input), out, "logsigmoid")


def softplus(
    input: Tensor, beta: float = 1, threshold: float = 20, *, out: Tensor | None = None
) -> Tensor:
    """A smooth `relu`: `log(1 + exp(beta * x)) / beta`.

    Args:
        input: Real tensor of any shape.
        beta: Sharpness of the bend.
        threshold: Elements with `beta * x` above it are returned as they are.
        out: Tensor that receives the result.

    Example:
        >>> rushlight.nn.functional.softplus(rushlight.tensor([0.0, 30.0]))
        tensor([ 0.6931, 30.0000])
    """
    return write_out(ops.softplus(input, beta, threshold), out, "softplus")


def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """Replaces elements of magnitude up to `lambd` by zero.

    Example:
        >>> rushlight.nn.functional.hardshrink(rushlight.tensor([0.25, -2.0]))
        tensor([ 0., -2.])
    """
    return write_out(ops.hardshrink(input, lambd), out, "hardshrink")


def softshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """Moves every element by `lambd` towards zero, and no further than zero.

    Raises:
        RuntimeError: `lambd` is negative.

    Example:
        >>> rushlight.nn.functional.softshrink(rushlight.tensor([0.25, -2.0]))
        tensor([ 0.0000, -1.5000])
    """
    if not lambd >= 0:
        raise error(
            RuntimeError,
            "softshrink",
            f"lambda must be in range [0, inf) of the input dtype, but found {lambd}",
        )
    return write_out(ops.softshrink(input, lambd), out, "softshrink")


def softsign(input: Tensor) -> Tensor:
    """Divides each element by one plus its magnitude.

    Example:
        >>> rushlight.nn.functional.softsign(rushlight.tensor([-1.0, 3.0]))
        tensor([-0.5000,  0.7500])
    """
    return ops.softsign(input)


def tanhshrink(input: Tensor) -> Tensor:
    """Subtracts from each element its hyperbolic tangent.

    Example:
        >>> rushlight.nn.functional.tanhshrink(rushlight.tensor([0.0, 1.0]))
        tensor([0.0000, 0.2384])
    """
    return ops.tanhshrink(input)


def sigmoid(input: Tensor) -> Tensor:
    """The logistic function, `1 / (1 + exp(-x))`.

    Example:
        >>> rushlight.nn.functional.sigmoid(rushlight.tensor([0.0, 1.0]))
        tensor([0.5000, 0.7311])
    """
    return rushlight.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent.

    Example:
        >>> rushlight.nn.functional.tanh(rushlight.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7616])
    """
    return rushlight.tanh(input)


def softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: rushlight.dtype | None = None,
) -> Tensor:
    """Rescales `input` along `dim` to positive values that sum to one.

    Args:
        input: Tensor of any shape.
        dim: Dimension to normalise. Leaving it out is deprecated: it is then guessed.
        dtype: Computes and returns in this dtype; guards low precision against overflow.

    Raises:
        IndexError: `dim` is out of range.

    Example:
        >>> rushlight.nn.functional.softmax(rushlight.tensor([0.0, 0.0]), dim=0)
        tensor([0.5000, 0.5000])
    """
    if dim is None:
        dim = _guessed_dim("softmax", input.ndim, _stacklevel)
    return rushlight.softmax(input, dim, dtype=dtype)


def softmin(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: rushlight.dtype | None = None,
) -> Tensor:
    """The `softmax` of `-input`.

    Example:
        >>> rushlight.nn.functional.softmin(rushlight.tensor([1.0, 2.0]), dim=0)
        tensor([0.7311, 0.2689])
    """
    if dim is None:
        dim = _guessed_dim("softmin", input.ndim, _stacklevel)
    return rushlight.softmax(-input, dim, dtype=dtype)


def log_softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: rushlight.dtype | None = None,
) -> Tensor:
    """Logarithm of `softmax`, more exact than the two steps.

    Args:
        input: Tensor of any shape.
        dim: Dimension to normalise. Leaving it out is deprecated: it is then guessed.
        dtype: Computes and returns in this dtype; guards low precision against overflow.

    Example:
        >>> rushlight.nn.functional.log_softmax(rushlight.tensor([0.0, 0.0]), dim=0)
        tensor([-0.6931, -0.6931])
    """
    if dim is None:
        dim = _guessed_dim("log_softmax", input.ndim, _stacklevel)
    return rushlight.log_softmax(input, dim, dtype=dtype)


def _guessed_dim(who: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {who} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Draws samples from the Gumbel-softmax distribution: a differentiable categorical draw.

    Args:
        logits: Unnormalised log probabilities.
        tau: Temperature; towards zero the samples become one-hot.
        hard: Returns one-hot samples that have the gradients of the soft ones.
        eps: Has no effect; kept for compatibility.
        dim: Dimension of the categories.

    References:
        Jang, Gu, Poole (2016), Categorical reparameterization with Gumbel-softmax.

    Example:
        >>> sample = rushlight.nn.functional.gumbel_softmax(rushlight.zeros(4, 3), hard=True)
        >>> sample.sum(-1)
        tensor([1., 1., 1., 1.])
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    # The negative logarithm of an exponential variate has the Gumbel distribution.
    noise = -rushlight.empty_like(logits).exponential_().log()
    soft = rushlight.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = rushlight.zeros_like(logits).scatter(dim, index, 1.0)
    # The value is exactly one_hot, the gradient that of soft.
    return one_hot - soft.detach() + soft
