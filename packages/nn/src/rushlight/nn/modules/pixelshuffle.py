"""Channels to pixels and back."""

from __future__ import annotations

from rushlight import Tensor

from .. import functional as F
from .module import Module


class PixelShuffle(Module):
    """Rearranges (*, C r r, H, W) to (*, C, H r, W r).

    Args:
        upscale_factor: r.
    References:
        Shi et al. (2016), Real-time single image and video super-resolution.
    Example:
        >>> rushlight.nn.PixelShuffle(3)(rushlight.randn(1, 9, 4, 4)).shape
        rushlight.Size([1, 1, 12, 12])
    """

    __constants__ = ["upscale_factor"]

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The rearranged input."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Rearranges (*, C, H r, W r) to (*, C r r, H, W).

    Args:
        downscale_factor: r.
    Example:
        >>> rushlight.nn.PixelUnshuffle(3)(rushlight.randn(1, 1, 12, 12)).shape
        rushlight.Size([1, 9, 4, 4])
    """

    __constants__ = ["downscale_factor"]

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The rearranged input."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"
