"""Arithmetic of shapes and strides: dimensions counted, sizes read, strides of another shape."""

from __future__ import annotations

from math import prod
from typing import Any

from .._errors import error
from .._size import Size
from .._tensor.tensor import Tensor, contiguous_strides

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]


def shape_of(x: Tensor) -> tuple[int, ...]:
    """The shape as a plain tuple, whose items are reached five times as fast as a `Size`'s."""
    shape = x._shape
    if shape is None:
        return x._a.shape  # type: ignore[no-any-return]
    return tuple(shape) if shape.__class__ is Size else shape


def check_tensor(who: str, x: Any, name: str = "input") -> None:
    """Raises unless an argument is a tensor.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(x, Tensor):
        raise error(TypeError, who, f"argument '{name}' must be Tensor, not {type(x).__name__}")


def check_dim(who: str, dim: int, ndim: int) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: There is no such dimension.
        TypeError: Not an int.
    """
    if dim.__class__ is int and 0 <= dim < ndim:
        return dim
    extent = max(ndim, 1)
    if not isinstance(dim, int):
        try:
            dim = dim.__index__()
        except AttributeError:
            raise error(TypeError, who, f"dim must be int, not {type(dim).__name__}") from None
    if not -extent <= dim < extent:
        raise error(
            IndexError,
            who,
            f"Dimension out of range (expected to be in range of [{-extent}, {extent - 1}], but "
            f"got {dim})",
            given=f"a tensor of {ndim} dimensions, dim={dim}",
        )
    return dim % extent


def check_dims(who: str, dims: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from the front; None means all of them.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: One appears twice.
    """
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    found = tuple([check_dim(who, dim, ndim) for dim in dims])
    if len(found) > 1 and len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise error(
            RuntimeError, who, f"dim {twice} appears multiple times in the list of dims",
            given=f"dim={tuple(dims)}",
        )  # fmt: skip
    return found if ndim else ()


def sizes_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given as one sequence or one by one.

    Raises:
        TypeError: A size is not an int.
    """
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__"):
        if not isinstance(size[0], Tensor) or size[0].ndim:
            size = tuple(size[0])
    for n in size:
        if n.__class__ is not int:
            return _as_ints(size)
    return size


def named_sizes(who: str, given: tuple[Any, ...], named: Any, name: str) -> tuple[Any, ...]:
    """Sizes given by position, or as one sequence by name.

    Raises:
        TypeError: Both or neither.
    """
    if (named is None) == (not given):
        what = f"{name} is missing" if named is None else f"got multiple values for {name}"
        raise error(TypeError, who, what, expected=f"{name} one by one, or as one sequence")
    return given if named is None else (named,)


def _as_ints(size: tuple[Any, ...]) -> tuple[int, ...]:
    found = []
    for n in size:
        try:
            found.append(n.__index__())
        except (AttributeError, TypeError):
            raise error(
                TypeError, "size", f"a size must be int, not {type(n).__name__}",
                given=repr(size), expected="one int per dimension",
            ) from None  # fmt: skip
    return tuple(found)


def infer_size(who: str, size: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape with its -1 replaced.

    Raises:
        RuntimeError: The shape does not have `count` elements.
    """
    known, unknown = 1, None
    for place, n in enumerate(size):
        if n == -1 and unknown is None:
            unknown = place
        elif n < 0:
            what = (
                "only one dimension can be inferred" if n == -1 else f"invalid shape dimension {n}"
            )
            raise error(RuntimeError, who, what, given=f"shape {list(size)}")
        else:
            known *= n
    if unknown is not None:
        if known == 0 and count == 0:
            raise error(
                RuntimeError,
                who,
                f"cannot reshape tensor of 0 elements into shape {list(size)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous",
            )
        if known == 0 or count % known:
            raise _bad_shape(who, size, count)
        return (*size[:unknown], count // known, *size[unknown + 1 :])
    if known != count:
        raise _bad_shape(who, size, count)
    return size


def _bad_shape(who: str, size: tuple[int, ...], count: int) -> Exception:
    return error(
        RuntimeError,
        who,
        f"shape '{list(size)}' is invalid for input of size {count}",
        fix="use a shape with as many elements, or -1 for one size to be found",
    )


def view_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], size: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides of the same memory seen in another shape, None where that needs a copy.

    Runs of dimensions that lie in memory without gaps are cut anew; each new dimension must fit
    into one run.
    """
    if 0 in shape:
        return contiguous_strides(size)
    runs: list[tuple[int, int]] = []  # (elements, innermost stride), outermost first
    for n, step in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * step:
            runs[-1] = (runs[-1][0] * n, step)
        else:
            runs.append((n, step))
    result = [1] * len(size)
    place = len(size) - 1
    for count, step in reversed(runs):
        while count > 1:
            if place < 0:
                return None
            n = size[place]
            if n != 1 and count % n:
                return None
            result[place] = step
            step *= n
            count //= n
            place -= 1
    while place >= 0:
        result[place] = result[place + 1] * size[place + 1] if place + 1 < len(size) else 1
        place -= 1
    return tuple(result)


class Reshapes(dict[Any, Any]):
    """Geometries of reshaped tensors by (shape, strides, size).

    A program asks for the same few again and again, and looking one up takes a fifth of finding
    it.  A value is the new shape, its strides (None where a copy is needed), and the attributes
    of the view.
    """

    def __missing__(self, key: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]) -> Any:
        if len(self) >= 4096:
            self.clear()
        shape, strides, size = key
        wanted = infer_size("reshape", size, prod(shape))
        found = self[key] = (wanted, view_strides(shape, strides, wanted), {"size": wanted})
        return found


RESHAPES = Reshapes()
__all__ = [
    "RESHAPES",
    "Geometry",
    "check_dim",
    "check_dims",
    "infer_size",
    "named_sizes",
    "shape_of",
    "sizes_of",
    "view_strides",
]
