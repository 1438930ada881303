"""Normalization of each sample: `LayerNorm`, `RMSNorm`, `GroupNorm`, `LocalResponseNorm`."""

from __future__ import annotations

import numbers
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


def _parameter(module: Module, name: str, shape: Any, wanted: bool, place: dict[str, Any]) -> None:
    parameter = Parameter(rushlight.empty(shape, **place)) if wanted else None
    module.register_parameter(name, parameter)


def _shape_of(normalized_shape: Any) -> tuple[int, ...]:
    if isinstance(normalized_shape, numbers.Integral):
        return (int(normalized_shape),)
    return tuple(normalized_shape)


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of the squares of `size` neighbouring channels) ** beta.

    Args:
        size: Number of channels in the window.
        alpha: Weight of the squares.
        beta: Exponent.
        k: Added to the squares.
    References:
        Krizhevsky et al. (2012), ImageNet classification with deep convolutional neural networks.
    """

    __constants__ = ["size", "alpha", "beta", "k"]

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LayerNorm(Module):
    """Normalizes the last dimensions to mean 0 and variance 1, then scales and shifts each element.

    Args:
        normalized_shape: Sizes of those dimensions; a number means the last one.
        eps: Added to the variance.
        elementwise_affine: Whether to learn a scale and a shift.
        bias: Whether there is a shift.
        device: Where the parameters are made.
        dtype: Their dtype; None for the default one.
    Attributes:
        weight: The scale, of shape `normalized_shape`, at first 1; or None.
        bias: The shift, of shape `normalized_shape`, at first 0; or None.
    References:
        Ba et al. (2016), Layer normalization.
    Example:
        >>> rushlight.nn.LayerNorm(10)(rushlight.randn(20, 5, 10)).shape
        rushlight.Size([20, 5, 10])
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        place = {"device": device, "dtype": dtype}
        shape = self.normalized_shape
        _parameter(self, "weight", shape, elementwise_affine, place)
        _parameter(self, "bias", shape, elementwise_affine and bias, place)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the scale to 1 and the shift to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """Normalizes groups of channels of each sample, then scales and shifts each channel.

    Args:
        num_groups: Number of groups; divides `num_channels`.
        num_channels: Number of channels (dimension 1).
        eps: Added to the variance.
        affine: Whether to learn a scale and a shift.
        device: Where the parameters are made.
        dtype: Their dtype; None for the default one.
        bias: Whether there is a shift.
    Attributes:
        weight: The scale, of shape (num_channels,), at first 1; or None.
        bias: The shift, of shape (num_channels,), at first 0; or None.
    References:
        Wu and He (2018), Group normalization.
    Example:
        >>> rushlight.nn.GroupNorm(3, 6)(rushlight.randn(20, 6, 10, 10)).shape
        rushlight.Size([20, 6, 10, 10])
    """

    __constants__ = ["num_groups", "num_channels", "eps", "affine"]
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups <= 0:
            raise error(
                ValueError, "GroupNorm", "num_groups must be positive", given=f"{num_groups=}"
            )
        if num_channels % num_groups != 0:
            raise error(
                ValueError,
                "GroupNorm",
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        place = {"device": device, "dtype": dtype}
        _parameter(self, "weight", num_channels, affine, place)
        _parameter(self, "bias", num_channels, affine and bias, place)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the scale to 1 and the shift to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divides the last dimensions by their root mean square, then scales each element.

    Args:
        normalized_shape: Sizes of those dimensions; a number means the last one.
        eps: Added to the mean square; None for the dtype's smallest difference from 1.
        elementwise_affine: Whether to learn a scale.
        device: Where the parameter is made.
        dtype: Its dtype; None for the default one.
    Attributes:
        weight: The scale, of shape `normalized_shape`, at first 1; or None.
    References:
        Zhang and Sennrich (2019), Root mean square layer normalization.
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]
    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        place = {"device": device, "dtype": dtype}
        _parameter(self, "weight", self.normalized_shape, elementwise_affine, place)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the scale to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
