"""Normalisation: over the batch, instances, layers, groups and neighbouring channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import shape_of, write_out


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel by the statistics of the batch, or by running ones.

    Args:
        input: Tensor of shape `(N, C, *)`.
        running_mean: Mean used in evaluation; updated in place when `training`.
        running_var: Variance used in evaluation; updated in place when `training`.
        weight: Scale per channel.
        bias: Shift per channel.
        training: Uses the batch's own statistics.
        momentum: Share of the new statistics in the running ones.
        eps: Added to the variance.

    Raises:
        ValueError: `training` with a single value per channel, or `eps` is too small.
        RuntimeError: A parameter has the wrong size, or statistics are missing in evaluation.

    References:
        Ioffe, Szegedy (2015), Batch normalization.

    Example:
        >>> rushlight.nn.functional.batch_norm(
        ...     rushlight.tensor([[0.0], [2.0]]), None, None, training=True
        ... ).round()
        tensor([[-1.],
                [ 1.]])
    """
    if eps < 0 or (training and eps == 0):
        least = "positive during training" if training else "non-negative"
        raise error(ValueError, "batch_norm", f"eps must be {least}, but got {eps}")
    if training:
        _check_more_than_one_value("batch_norm", input)
    elif running_mean is None or running_var is None:
        raise error(
            RuntimeError,
            "batch_norm",
            "running_mean and running_var must be defined in evaluation mode",
            fix="pass both, or training=True",
        )
    _check_channel_parameters(
        "batch_norm",
        input,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    return ops.batch_norm(
        input,
        weight,
        bias,
        running_mean,
        running_var,
        training=training,
        momentum=momentum,
        eps=eps,
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each sample by its own statistics, or by running ones.

    Args:
        input: Tensor of shape `(N, C, *)`.
        running_mean: Running mean; updated in place when `use_input_stats`.
        running_var: Running variance; updated in place when `use_input_stats`.
        weight: Scale per channel.
        bias: Shift per channel.
        use_input_stats: Uses each sample's own statistics.
        momentum: Share of the new statistics in the running ones.
        eps: Added to the variance.

    Raises:
        ValueError: `use_input_stats` with a single spatial element.
        RuntimeError: A parameter has the wrong size, or statistics are missing.

    References:
        Ulyanov, Vedaldi, Lempitsky (2016), Instance normalization.

    Example:
        >>> rushlight.nn.functional.instance_norm(rushlight.tensor([[[0.0, 2.0]]])).round()
        tensor([[[-1.,  1.]]])
    """
    stats = {"running_mean": running_mean, "running_var": running_var}
    if input.ndim < 2:
        raise error(
            RuntimeError,
            "instance_norm",
            "input needs a batch and a channel dimension",
            given=f"input of shape {shape_of(input)}",
        )
    if use_input_stats:
        if math.prod(input.shape[2:]) == 1:
            raise error(
                ValueError,
                "instance_norm",
                "Expected more than 1 spatial element when training",
                given=f"input of shape {shape_of(input)}",
            )
    elif running_mean is None or running_var is None:
        raise error(
            RuntimeError,
            "instance_norm",
            "Expected running_mean and running_var to be defined when use_input_stats=False",
        )
    _check_channel_parameters("instance_norm", input, weight=weight, bias=bias, **stats)
    batch, channels = input.shape[:2]
    # All samples' channels side by side are the channels of one big sample.
    copies = {
        name: None if stat is None else stat.detach().repeat(batch) for name, stat in stats.items()
    }
    out = ops.batch_norm(
        input.reshape((1, batch * channels, *input.shape[2:])),
        None if weight is None else weight.repeat(batch),
        None if bias is None else bias.repeat(batch),
        copies["running_mean"],
        copies["running_var"],
        training=use_input_stats,
        momentum=momentum,
        eps=eps,
    )
    if use_input_stats:
        with rushlight.no_grad():
            for name, stat in stats.items():
                copy = copies[name]
                if stat is not None and copy is not None:
                    stat.copy_(copy.reshape(batch, channels).mean(0))
    return out.reshape(input.shape)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over the last dimensions to mean zero and variance one.

    Args:
        input: Tensor of shape `(*, *normalized_shape)`.
        normalized_shape: The sizes of the dimensions to normalise over.
        weight: Scale of shape `normalized_shape`.
        bias: Shift of shape `normalized_shape`.
        eps: Added to the variance.

    Raises:
        RuntimeError: The shapes do not fit each other.

    References:
        Ba, Kiros, Hinton (2016), Layer normalization.

    Example:
        >>> rushlight.nn.functional.layer_norm(rushlight.tensor([0.0, 2.0]), (2,)).round()
        tensor([-1.,  1.])
    """
    count = _check_normalized_shape("layer_norm", input, normalized_shape, weight, bias)
    out: Tensor = ops.native_layer_norm(input, weight, bias, normalized_ndim=count, eps=eps)[0]
    return out


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divides by the root mean square over the last dimensions.

    Args:
        input: Tensor of shape `(*, *normalized_shape)`.
        normalized_shape: The sizes of the dimensions to normalise over.
        weight: Scale of shape `normalized_shape`.
        eps: Added to the mean square; the dtype's machine epsilon unless given.

    Raises:
        RuntimeError: The shapes do not fit each other.

    References:
        Zhang, Sennrich (2019), Root mean square layer normalization.

    Example:
        >>> rushlight.nn.functional.rms_norm(rushlight.tensor([3.0, -3.0]), (2,))
        tensor([ 1., -1.])
    """
    count = _check_normalized_shape("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = rushlight.finfo(input.dtype).eps
    return ops.native_rms_norm(input, weight, normalized_ndim=count, eps=eps)[0]


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over groups of channels of each sample.

    Args:
        input: Tensor of shape `(N, C, *)`.
        num_groups: Number of groups; it divides `C`.
        weight: Scale per channel.
        bias: Shift per channel.
        eps: Added to the variance.

    Raises:
        RuntimeError: `num_groups` does not divide `C`, or a parameter has the wrong size.
        ValueError: There is one value per group only.

    References:
        Wu, He (2018), Group normalization.

    Example:
        >>> rushlight.nn.functional.group_norm(rushlight.tensor([[0.0, 2.0]]), 1).round()
        tensor([[-1.,  1.]])
    """
    given = f"input of shape {shape_of(input)}, num_groups={num_groups}"
    if input.ndim < 2:
        raise error(
            RuntimeError,
            "group_norm",
            "Expected at least 2 dimensions for input tensor",
            given=given,
        )
    if num_groups <= 0 or input.shape[1] % num_groups:
        raise error(
            RuntimeError,
            "group_norm",
            "Expected number of channels in input to be divisible by num_groups",
            given=given,
        )
    if math.prod(input.shape) // num_groups == 1:
        raise error(
            ValueError,
            "group_norm",
            "Expected more than 1 value per channel when training",
            given=given,
        )
    _check_channel_parameters("group_norm", input, weight=weight, bias=bias)
    out: Tensor = ops.native_group_norm(input, weight, bias, groups=num_groups, eps=eps)[0]
    return out


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divides by a power of the mean square over neighbouring channels.

    Args:
        input: Tensor of shape `(N, C, *)` with at least three dimensions.
        size: Number of neighbouring channels.
        alpha: Factor of the mean square.
        beta: Exponent.
        k: Added to the scaled mean square.

    Raises:
        ValueError: The input has fewer than three dimensions.

    References:
        Krizhevsky, Sutskever, Hinton (2012), ImageNet classification with deep convolutional
        neural networks.

    Example:
        >>> rushlight.nn.functional.local_response_norm(rushlight.ones(1, 1, 1), 1, 3.0, 0.5)
        tensor([[[0.5000]]])
    """
    if input.ndim < 3:
        raise error(
            ValueError,
            "local_response_norm",
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)",
            given=f"input of shape {shape_of(input)}",
        )
    if input.numel() == 0:
        return input
    batch, channels = input.shape[:2]
    squares = (input * input).reshape(batch, 1, channels, -1)
    padded = rushlight.constant_pad_nd(squares, [0, 0, size // 2, (size - 1) // 2], 0)
    means: Tensor = ops.avg_pool(
        padded,
        kernel_size=(size, 1),
        stride=(1, 1),
        padding=(0, 0),
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    )
    return input / (means.reshape(input.shape) * alpha + k).pow(beta)


def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int | Sequence[int] = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """Divides vectors along `dim` by their `p`-norm.

    Args:
        input: Tensor of any shape.
        p: Order of the norm.
        dim: Dimension (or dimensions) of the vectors.
        eps: The norm is taken to be at least this.
        out: Tensor that receives the result; it is then not differentiable.

    Example:
        >>> rushlight.nn.functional.normalize(rushlight.tensor([3.0, 4.0]), dim=0)
        tensor([0.6000, 0.8000])
    """
    norm = rushlight.norm(input, p, dim, keepdim=True)
    return write_out(input / norm.clamp_min(eps).expand_as(input), out, "normalize")


def _check_more_than_one_value(who: str, input: Tensor) -> None:
    if input.ndim >= 2 and math.prod(input.shape) == input.shape[1]:
        raise error(
            ValueError,
            who,
            "Expected more than 1 value per channel when training",
            given=f"input of shape {shape_of(input)}",
            fix="use a larger batch, or evaluation mode",
        )


def _check_channel_parameters(who: str, input: Tensor, **parameters: Tensor | None) -> None:
    channels = input.shape[1] if input.ndim > 1 else 0
    for name, value in parameters.items():
        if value is not None and value.numel() != channels:
            raise error(
                RuntimeError,
                who,
                f"{name} should contain {channels} elements, not {value.numel()}",
                given=f"input of shape {shape_of(input)}, {name} of shape {shape_of(value)}",
            )


def _check_normalized_shape(
    who: str,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
) -> int:
    """The number of dimensions to normalise over."""
    shape = tuple(normalized_shape)
    if not shape:
        raise error(RuntimeError, who, "Expected normalized_shape to be at least 1-dimensional")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != shape:
            raise error(
                RuntimeError,
                who,
                f"Expected {name} to be of same shape as normalized_shape",
                given=f"{name} of shape {shape_of(value)}, normalized_shape={shape}",
            )
    if tuple(input.shape[-len(shape) :]) != shape:
        raise error(
            RuntimeError,
            who,
            f"Given normalized_shape={shape}, expected input with shape (*, {str(shape)[1:]}",
            given=f"input of shape {shape_of(input)}",
        )
    return len(shape)
