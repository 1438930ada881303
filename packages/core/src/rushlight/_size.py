"""Size: the tuple of lengths that `Tensor.shape` is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, SupportsIndex, overload

from ._errors import error

_item: Any = tuple.__getitem__


class Size(tuple[int, ...]):
    """The lengths of a tensor's dimensions.

    A tuple of ints in every respect, with a `numel` of its own; slices, sums and repetitions of
    sizes are sizes again.

    Args:
        sizes: One int per dimension; a scalar's size is empty.

    Raises:
        TypeError: A length is not an int.

    Example:
        >>> size = rushlight.Size([2, 3, 4])
        >>> size.numel(), size[1:]
        (24, rushlight.Size([3, 4]))
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[SupportsIndex] = ()) -> Size:
        made = tuple.__new__(cls, sizes)
        # Nearly always ints already, and sizes are made on hot paths: look first, convert after.
        for length in made:
            if type(length) is not int:
                return tuple.__new__(cls, _as_ints(made))
        return made

    def numel(self) -> int:
        """Number of elements of a tensor of this size: the product of the lengths."""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice[Any, Any, Any]) -> Size: ...
    def __getitem__(self, index: SupportsIndex | slice[Any, Any, Any]) -> int | Size:
        found = _item(self, index)
        return tuple.__new__(Size, found) if index.__class__ is slice else found

    def __add__(self, other: tuple[Any, ...]) -> Size:
        if not isinstance(other, tuple):
            raise error(
                TypeError,
                "Size",
                "can only add a tuple to a Size",
                given=f"{self!r} + {type(other).__name__}",
                fix="convert it first: size + tuple(other)",
            )
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: tuple[Any, ...]) -> Size:
        if not isinstance(other, tuple):
            return NotImplemented
        return Size(tuple.__add__(other, self))

    def __mul__(self, count: SupportsIndex) -> Size:
        return tuple.__new__(Size, tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"rushlight.Size([{', '.join(map(repr, self))}])"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)


def _as_ints(sizes: tuple[Any, ...]) -> list[int]:
    """The lengths as plain ints, or the error that names the one that has none."""
    lengths: list[int] = []
    for position, length in enumerate(sizes):
        try:
            lengths.append(length.__index__())
        except (AttributeError, TypeError, ValueError, RuntimeError):
            raise error(
                TypeError,
                "Size",
                f"length {position} is not an int",
                given=f"{type(length).__name__}: {length!r}",
                expected="one int per dimension",
                fix="convert it with int(...)",
            ) from None
    return lengths
