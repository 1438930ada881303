"""Sliding blocks: `Unfold` takes them out of an image, `Fold` adds them up to one."""

from __future__ import annotations

from rushlight import Tensor

from .. import functional as F
from .module import Module

Size = int | tuple[int, ...]


class Fold(Module):
    """Adds columns of blocks up to an image; what `Unfold` does, transposed.

    Args:
        output_size: Height and width of the image.
        kernel_size: Height and width of a block.
        dilation: Distance between elements of a block.
        padding: Zeros on both sides of the image.
        stride: Distance between blocks.
    Example:
        >>> fold = rushlight.nn.Fold(output_size=(4, 5), kernel_size=(2, 2))
        >>> fold(rushlight.randn(1, 3 * 2 * 2, 12)).shape
        rushlight.Size([1, 3, 4, 5])
    """

    __constants__ = ["output_size", "kernel_size", "dilation", "padding", "stride"]

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """The image."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )


class Unfold(Module):
    """Takes sliding blocks out of an image, one column each.

    Args:
        kernel_size: Height and width of a block.
        dilation: Distance between elements of a block.
        padding: Zeros on both sides of the image.
        stride: Distance between blocks.
    Example:
        >>> rushlight.nn.Unfold(kernel_size=(2, 3))(rushlight.randn(2, 5, 3, 4)).shape
        rushlight.Size([2, 30, 4])
    """

    __constants__ = ["kernel_size", "dilation", "padding", "stride"]

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """The columns."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )
