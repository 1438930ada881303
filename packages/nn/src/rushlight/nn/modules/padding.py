"""Padding layers: constants, zeros, reflections, repetitions of the edge, and wrapping around."""

from __future__ import annotations

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._members import kind_of
from ._sizes import ntuple
from .module import Module

Padding = int | tuple[int, ...]


class _PadNd(Module):
    """Padding of the last dimensions; subclasses say how many, and with what."""

    __constants__ = ["padding"]
    _n: int
    _mode: str

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        # A pair for each dimension, the last one first.
        self.padding = ntuple(padding, 2 * self._n)

    def _check_input_dim(self, input: Tensor) -> None:
        n = self._n
        if input.dim() not in (n + 1, n + 2):
            raise error(
                ValueError,
                kind_of(self),
                f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)",
                given=f"input of shape {tuple(input.shape)}",
            )

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        self._check_input_dim(input)
        return F.pad(input, self.padding, self._mode)


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class _ConstantPadNd(_PadNd):
    __constants__ = ["padding", "value"]
    _mode = "constant"

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        """The padding and the value."""
        return f"padding={self.padding}, value={self.value}"


class CircularPad1d(_CircularPadNd):
    """Pads the last dimension with the other end.

    Args:
        padding: One width for all sides, or 2 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.CircularPad1d(1)(rushlight.randn(1, 2, 4)).shape
        rushlight.Size([1, 2, 6])
    """

    _n = 1


class CircularPad2d(_CircularPadNd):
    """Pads the last two dimensions with the other end.

    Args:
        padding: One width for all sides, or 4 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.CircularPad2d(1)(rushlight.randn(1, 2, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6])
    """

    _n = 2


class CircularPad3d(_CircularPadNd):
    """Pads the last three dimensions with the other end.

    Args:
        padding: One width for all sides, or 6 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.CircularPad3d(1)(rushlight.randn(1, 2, 4, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6, 6])
    """

    _n = 3


class ConstantPad1d(_ConstantPadNd):
    """Pads the last dimension with a constant.

    Args:
        padding: One width for all sides, or 2 widths: before and after, last dimension first.
        value: The constant.
    Example:
        >>> rushlight.nn.ConstantPad1d(1, 3.5)(rushlight.randn(1, 2, 4)).shape
        rushlight.Size([1, 2, 6])
    """

    _n = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads the last two dimensions with a constant.

    Args:
        padding: One width for all sides, or 4 widths: before and after, last dimension first.
        value: The constant.
    Example:
        >>> rushlight.nn.ConstantPad2d(1, 3.5)(rushlight.randn(1, 2, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6])
    """

    _n = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads the last three dimensions with a constant.

    Args:
        padding: One width for all sides, or 6 widths: before and after, last dimension first.
        value: The constant.
    Example:
        >>> rushlight.nn.ConstantPad3d(1, 3.5)(rushlight.randn(1, 2, 4, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6, 6])
    """

    _n = 3


class ReflectionPad1d(_ReflectionPadNd):
    """Pads the last dimension with a reflection at the edge, which is not repeated.

    Args:
        padding: One width for all sides, or 2 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReflectionPad1d(1)(rushlight.randn(1, 2, 4)).shape
        rushlight.Size([1, 2, 6])
    """

    _n = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads the last two dimensions with a reflection at the edge, which is not repeated.

    Args:
        padding: One width for all sides, or 4 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReflectionPad2d(1)(rushlight.randn(1, 2, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6])
    """

    _n = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads the last three dimensions with a reflection at the edge, which is not repeated.

    Args:
        padding: One width for all sides, or 6 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReflectionPad3d(1)(rushlight.randn(1, 2, 4, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6, 6])
    """

    _n = 3


class ReplicationPad1d(_ReplicationPadNd):
    """Pads the last dimension with copies of the edge.

    Args:
        padding: One width for all sides, or 2 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReplicationPad1d(1)(rushlight.randn(1, 2, 4)).shape
        rushlight.Size([1, 2, 6])
    """

    _n = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads the last two dimensions with copies of the edge.

    Args:
        padding: One width for all sides, or 4 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReplicationPad2d(1)(rushlight.randn(1, 2, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6])
    """

    _n = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads the last three dimensions with copies of the edge.

    Args:
        padding: One width for all sides, or 6 widths: before and after, last dimension first.
    Example:
        >>> rushlight.nn.ReplicationPad3d(1)(rushlight.randn(1, 2, 4, 4, 4)).shape
        rushlight.Size([1, 2, 6, 6, 6])
    """

    _n = 3


class ZeroPad1d(ConstantPad1d):
    """Pads the last dimension with zeros.

    Args:
        padding: One width for all sides, or 2 widths: before and after, last dimension first.
    """

    padding: tuple[int, ...]

    def __init__(self, padding: Padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Pads the last two dimensions with zeros.

    Args:
        padding: One width for all sides, or 4 widths: before and after, last dimension first.
    """

    padding: tuple[int, ...]

    def __init__(self, padding: Padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Pads the last three dimensions with zeros.

    Args:
        padding: One width for all sides, or 6 widths: before and after, last dimension first.
    """

    padding: tuple[int, ...]

    def __init__(self, padding: Padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"
