"""`unravel_index`: coordinates of elements from their places in a flat tensor."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import error
from .._tensor.tensor import Tensor
from ._public import public


@public(methods=False)
def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Coordinates in a tensor of a shape, from places in its flattened form.

    Args:
        indices: Integer tensor of places; negative ones count from the end.
        shape: The shape.
    Returns:
        One tensor per dimension, of the shape of `indices`.
    Raises:
        TypeError: `indices` is not an integer tensor.
        ValueError: `shape` has a negative size.
    Example:
        >>> rushlight.unravel_index(rushlight.tensor([4, 1]), (3, 2))
        (tensor([2, 0]), tensor([0, 1]))
    """
    if not isinstance(indices, Tensor) or indices.dtype.is_inexact or indices.dtype.name == "bool":
        given = str(getattr(indices, "dtype", type(indices).__name__))
        raise error(
            TypeError, "unravel_index", "expected 'indices' to be an integer tensor", given=given
        )
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise error(
            ValueError,
            "unravel_index",
            "'shape' cannot have negative values",
            given=f"shape={sizes}",
        )
    coordinates = []
    rest = indices
    for n in reversed(sizes):
        coordinates.append(rest % n if n else rest * 0)
        rest = rest.div(n, rounding_mode="floor") if n else rest
    return tuple(reversed(coordinates))
