"""Layouts and memory formats: names that torch programs pass around."""

from __future__ import annotations

from collections.abc import Iterable


class layout:
    """How a tensor's elements are laid out; rushlight has `strided` only."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"rushlight.{self.name}"


class memory_format:
    """Order of dimensions in memory."""

    def __init__(self, name: str, order: tuple[int, ...] | None = None) -> None:
        self.name = name
        self.order = order

    def matches(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
        """Whether a geometry has this order."""
        if self.order is None:
            return True
        if len(shape) != len(self.order):
            return False
        step = 1
        for dim in self.order:
            if shape[dim] != 1 and strides[dim] != step:
                return False
            step *= max(shape[dim], 1)
        return True

    def strides(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Strides of a dense tensor in this order; None where it does not apply."""
        if self.order is None or len(shape) != len(self.order):
            return None
        return dense_strides(shape, self.order)

    def __repr__(self) -> str:
        return f"rushlight.{self.name}"

    def __reduce__(self) -> str:
        return self.name


def dense_strides(shape: tuple[int, ...], order: Iterable[int]) -> tuple[int, ...]:
    """Strides of a tensor without gaps whose dimensions follow each other in memory in `order`,
    the one with the smallest steps first."""
    result = [0] * len(shape)
    step = 1
    for dim in order:
        result[dim] = step
        step *= max(shape[dim], 1)
    return tuple(result)


strided = layout("strided")
# Programs name these to ask about them; no tensor here has one.
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
sparse_csc = layout("sparse_csc")
sparse_bsr = layout("sparse_bsr")
sparse_bsc = layout("sparse_bsc")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
#: Innermost dimension first: channels, then width, height, batch.
channels_last = memory_format("channels_last", (1, 3, 2, 0))
channels_last_3d = memory_format("channels_last_3d", (1, 4, 3, 2, 0))
