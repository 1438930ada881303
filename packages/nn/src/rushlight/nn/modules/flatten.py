"""Shape layers: `Flatten` joins dimensions, `Unflatten` splits one."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor
from rushlight._errors import error

from .module import Module


class Flatten(Module):
    """Joins a range of dimensions to one.

    Args:
        start_dim: First dimension of the range.
        end_dim: Last dimension of the range.
    Example:
        >>> rushlight.nn.Flatten()(rushlight.randn(32, 1, 5, 5)).shape
        rushlight.Size([32, 25])
    """

    __constants__ = ["start_dim", "end_dim"]

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """The flattened input."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The range."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits a dimension into several.

    Args:
        dim: The dimension.
        unflattened_size: The sizes to split it into; one of them may be -1.
    Raises:
        TypeError: A size is no integer.
    Example:
        >>> rushlight.nn.Unflatten(1, (2, 5, 5))(rushlight.randn(4, 50)).shape
        rushlight.Size([4, 2, 5, 5])
    """

    __constants__ = ["dim", "unflattened_size"]

    # `Any` in the sizes: they are checked here.
    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise error(
                TypeError,
                "Unflatten",
                "unflattened_size must be a tuple of ints, but found type "
                f"{type(unflattened_size).__name__}",
            )
        for position, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise error(
                    TypeError,
                    "Unflatten",
                    "unflattened_size must be tuple of ints, but found element of type "
                    f"{type(size).__name__} at pos {position}",
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """The input in its new shape."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
