"""Dropout of elements and of whole channels, plain and self-normalising."""

from __future__ import annotations

import math
import warnings

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import pointwise, shape_of

# The value that selu tends to at minus infinity, negated: scale * alpha of
# Klambauer et al. (2017), Self-normalizing neural networks.
_SELU_SATURATION = 1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes elements with probability `p` and scales the others by `1 / (1 - p)`.

    Args:
        input: Floating point tensor of any shape.
        p: Probability of zeroing an element.
        training: Does nothing when False.
        inplace: Writes the result over `input`.

    Raises:
        ValueError: `p` is not between 0 and 1.

    References:
        Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from
        overfitting.

    Example:
        >>> rushlight.nn.functional.dropout(rushlight.ones(2), training=False)
        tensor([1., 1.])
    """
    _check_probability("dropout", p)
    return pointwise("dropout", ops.dropout, input, p, training, inplace=inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of `(N, C, L)` or `(C, L)` with probability `p`.

    Raises:
        ValueError: `p` is not between 0 and 1.
        RuntimeError: The input has neither two nor three dimensions.

    Example:
        >>> rushlight.nn.functional.dropout1d(rushlight.ones(1, 2), p=1.0)
        tensor([[0., 0.]])
    """
    _check_probability("dropout1d", p)
    if input.ndim not in (2, 3):
        raise error(
            RuntimeError,
            "dropout1d",
            f"Expected 2D or 3D input, but received a {input.ndim}D input",
            given=f"input of shape {shape_of(input)}",
        )
    return _drop_channels("dropout1d", input, p, training, inplace, input.ndim == 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of `(N, C, H, W)` with probability `p`.

    Note:
        A three-dimensional input is taken for `(N, C, L)`, as in torch.

    Raises:
        ValueError: `p` is not between 0 and 1.

    References:
        Tompson et al. (2014), Efficient object localization using convolutional networks.

    Example:
        >>> rushlight.nn.functional.dropout2d(rushlight.ones(1, 1, 1, 2), p=1.0)
        tensor([[[[0., 0.]]]])
    """
    _check_probability("dropout2d", p)
    if input.ndim not in (3, 4):
        _warn_about_dimensions("dropout2d", input, "3-D or 4-D")
    elif input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D "
            "dropout behavior is desired - input is interpreted as shape (N, C, L), where C is "
            "the channel dim. Use dropout1d for that, or add a batch dimension.",
            UserWarning,
            stacklevel=2,
        )
    return _drop_channels("dropout2d", input, p, training, inplace, True)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of `(N, C, D, H, W)` or `(C, D, H, W)` with probability `p`.

    Raises:
        ValueError: `p` is not between 0 and 1.

    Example:
        >>> rushlight.nn.functional.dropout3d(rushlight.ones(1, 1, 1, 2), p=1.0)
        tensor([[[[0., 0.]]]])
    """
    _check_probability("dropout3d", p)
    if input.ndim not in (4, 5):
        _warn_about_dimensions("dropout3d", input, "4-D or 5-D")
    return _drop_channels("dropout3d", input, p, training, inplace, input.ndim == 5)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean and variance of a self-normalising (`selu`) network.

    Raises:
        ValueError: `p` is not between 0 and 1.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.

    Example:
        >>> rushlight.nn.functional.alpha_dropout(rushlight.ones(2))
        tensor([1., 1.])
    """
    _check_probability("alpha_dropout", p)

    def drop(x: Tensor) -> Tensor:
        return _alpha_drop(x, tuple(x.shape), p)

    if _is_idle(input, p, training):
        return input
    return pointwise("alpha_dropout", drop, input, inplace=inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels.

    Raises:
        ValueError: `p` is not between 0 and 1.
        RuntimeError: The input has fewer than two dimensions.

    Example:
        >>> rushlight.nn.functional.feature_alpha_dropout(rushlight.ones(1, 2))
        tensor([[1., 1.]])
    """
    _check_probability("feature_alpha_dropout", p)

    def drop(x: Tensor) -> Tensor:
        return _alpha_drop(x, _channel_shape("feature_alpha_dropout", x), p)

    if _is_idle(input, p, training):
        return input
    return pointwise("feature_alpha_dropout", drop, input, inplace=inplace)


def _drop_channels(
    who: str, input: Tensor, p: float, training: bool, inplace: bool, batched: bool
) -> Tensor:
    if _is_idle(input, p, training):
        return input

    def drop(x: Tensor) -> Tensor:
        x = x if batched else x.unsqueeze(0)
        shape = _channel_shape(who, x)
        keep = rushlight.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - p)
        # With p = 1 nothing is kept: avoid 0 / 0.
        out = x * (keep / (1 - p) if p < 1 else keep)
        return out if batched else out.squeeze(0)

    return pointwise(who, drop, input, inplace=inplace)


def _alpha_drop(input: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    if p == 1:
        return input * rushlight.zeros(shape, dtype=input.dtype, device=input.device)
    keep = rushlight.empty(shape, dtype=input.dtype, device=input.device).bernoulli_(1 - p)
    # Dropped elements take selu's saturation value; scale and shift restore the moments.
    scale = 1.0 / math.sqrt((_SELU_SATURATION**2 * p + 1) * (1 - p))
    shift = (keep - 1) * (_SELU_SATURATION * scale) + _SELU_SATURATION * scale * p
    return input * (keep * scale) + shift


def _is_idle(input: Tensor, p: float, training: bool) -> bool:
    return p == 0 or not training or input.numel() == 0


def _channel_shape(who: str, input: Tensor) -> tuple[int, ...]:
    if input.ndim < 2:
        raise error(
            RuntimeError,
            who,
            "Feature dropout requires at least 2 dimensions in the input",
            given=f"input of shape {shape_of(input)}",
        )
    return (*input.shape[:2],) + (1,) * (input.ndim - 2)


def _check_probability(who: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise error(ValueError, who, f"dropout probability has to be between 0 and 1, but got {p}")


def _warn_about_dimensions(who: str, input: Tensor, usual: str) -> None:
    warnings.warn(
        f"{who}: Received a {input.ndim}-D input to {who}, which is deprecated and will result "
        f"in an error in a future release. Please provide a {usual} input.",
        UserWarning,
        stacklevel=3,
    )
