"""Cutting a tensor into views along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_dim, shape_of
from ._public import export, method, public
from .views import slice_op


def _pieces(x: Tensor, dim: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Consecutive views of given lengths."""
    start = 0
    found = []
    for n in sizes:
        found.append(slice_op.entry(x, dim=dim, start=start, length=n, step=1))
        start += n
    return tuple(found)


def _length(who: str, x: Tensor, dim: int) -> tuple[int, int]:
    """(dimension counted from the front, its size)."""
    shape = shape_of(x)
    if not shape:
        raise error(
            RuntimeError, who, f"{who} expects at least a 1-dimensional tensor",
            given="a 0-d tensor",
        )  # fmt: skip
    dim = check_dim(who, dim, len(shape))
    return dim, shape[dim]


@public()
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of a tensor cut along a dimension, each of one size, or of given sizes.

    Args:
        tensor: The tensor.
        split_size_or_sections: Size of each piece (the last may be smaller), or all sizes.
        dim: The dimension.
    Raises:
        RuntimeError: The sizes do not add up.
    Example:
        >>> rushlight.split(rushlight.arange(5), 2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if not isinstance(split_size_or_sections, int):
        if isinstance(split_size_or_sections, float):
            raise error(TypeError, "split", "split_size must be int or a sequence, not float")
        if isinstance(split_size_or_sections, Tensor) and not split_size_or_sections.ndim:
            return split(tensor, int(split_size_or_sections), dim)
        return split_with_sizes(tensor, split_size_or_sections, dim)
    size = split_size_or_sections
    dim, n = _length("split", tensor, dim)
    if size < 0:
        raise error(
            RuntimeError, "split", f"split expects split_size be non-negative, but got split_size="
            f"{size}",
        )  # fmt: skip
    if size == 0:
        if n:
            raise error(
                RuntimeError,
                "split",
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}",
            )
        return _pieces(tensor, dim, (0,))
    sizes = [size] * (n // size)
    if n % size or not n:
        sizes.append(n % size)
    return _pieces(tensor, dim, sizes)


@public()
def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of given lengths along a dimension.

    Raises:
        RuntimeError: The sizes do not add up.
    Example:
        >>> rushlight.split_with_sizes(rushlight.arange(3), [1, 2])
        (tensor([0]), tensor([1, 2]))
    """
    sizes = [int(n) for n in split_sizes]
    if not shape_of(input):
        raise error(
            RuntimeError, "split_with_sizes", "split expects at least a 1-dimensional tensor"
        )
    dim, n = _length("split_with_sizes", input, dim)
    if any(size < 0 for size in sizes):
        raise error(
            RuntimeError,
            "split_with_sizes",
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={sizes}",
        )
    if sum(sizes) != n:
        raise error(
            RuntimeError,
            "split_with_sizes",
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={sizes}",
        )
    return _pieces(input, dim, sizes)


@public()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of a tensor cut along a dimension into at most `chunks` pieces of one size.

    Raises:
        RuntimeError: `chunks` is not positive.
    Example:
        >>> rushlight.chunk(rushlight.arange(5), 2)
        (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if not shape_of(input):
        raise error(RuntimeError, "chunk", "chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise error(
            RuntimeError, "chunk", f"chunk expects `chunks` to be greater than 0, got: {chunks}"
        )
    dim, n = _length("chunk", input, dim)
    size = -(-n // chunks)
    if size == 0:
        return _pieces(input, dim, [0] * chunks)
    return split(input, size, dim)


def _bounds(who: str, n: int, where: Any) -> list[int]:
    """Lengths of the pieces that `tensor_split` cuts."""
    if isinstance(where, int):
        if where <= 0:
            raise error(RuntimeError, who, f"number of sections must be larger than 0, got {where}")
        small, extra = divmod(n, where)
        return [small + 1] * extra + [small] * (where - extra)
    edges = [0, *[max(i + n, 0) if i < 0 else min(i, n) for i in where], n]
    return [b - a for a, b in zip(edges[:-1], edges[1:], strict=True)]


@public()
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of a tensor cut along a dimension into sections, or at given indices.

    Args:
        input: The tensor.
        indices_or_sections: Number of sections, whose sizes differ by one at most; or the indices
            at which to cut; or a tensor of either on the CPU.
        dim: The dimension.
    Raises:
        RuntimeError: No sections, or a tensor that is neither.
    Example:
        >>> rushlight.tensor_split(rushlight.arange(5), (1, 3))
        (tensor([0]), tensor([1, 2]), tensor([3, 4]))
    """
    if not shape_of(input):
        raise error(
            RuntimeError,
            "tensor_split",
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims",
        )
    dim, n = _length("tensor_split", input, dim)
    where = indices_or_sections
    if isinstance(where, Tensor):
        where = _host_indices(where)
    elif not isinstance(where, int):
        where = [int(i) for i in where]
    if not isinstance(where, int):
        return _between(input, dim, n, where)
    return _pieces(input, dim, _bounds("tensor_split", n, where))


def _host_indices(x: Tensor) -> Any:
    if x.device.type != "cpu":
        raise error(
            RuntimeError,
            "tensor_split",
            "tensor_split expected tensor_indices_or_sections to be on cpu, but it's on "
            f"{x.device}",
        )
    if x.dtype.name != "int64":
        raise error(
            RuntimeError,
            "tensor_split",
            "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
            f"{x.dtype.name}",
        )
    if x.ndim > 1:
        raise error(
            RuntimeError,
            "tensor_split",
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
            f"one-dimensional tensor, but got a tensor with {x.ndim} dims",
        )
    return x.tolist()


def _between(x: Tensor, dim: int, n: int, indices: Sequence[int]) -> tuple[Tensor, ...]:
    """Views between consecutive indices, empty where they do not rise."""
    edges = [0, *[max(i + n, 0) if i < 0 else min(i, n) for i in indices], n]
    return tuple(
        [
            slice_op.entry(x, dim=dim, start=a, length=max(b - a, 0), step=1)
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
    )


def _named_split(name: str, least: int) -> None:
    """`hsplit`, `vsplit` and `dsplit`, after the dimension that they cut."""

    def cut(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        ndim = len(shape_of(input))
        if ndim < least:
            raise error(
                RuntimeError, name, f"{name} requires a tensor with at least {least} "
                f"dimension{'s' if least > 1 else ''}, but got a tensor with {ndim} dimensions!",
            )  # fmt: skip
        dim = {"hsplit": 0 if ndim == 1 else 1, "vsplit": 0, "dsplit": 2}[name]
        n = shape_of(input)[dim]
        if isinstance(indices_or_sections, int) and (
            indices_or_sections == 0 or n % indices_or_sections
        ):
            raise error(
                RuntimeError, name, f"{name} attempted to split along dimension {dim}, but "
                f"the size of the dimension {n} is not divisible by the split_size "
                f"{indices_or_sections}!",
            )  # fmt: skip
        return tensor_split(input, indices_or_sections, dim)

    cut.__name__ = cut.__qualname__ = name
    cut.__doc__ = f"""Cuts a tensor of at least {least} dimensions as NumPy's `{name}` does.

    Args:
        input: The tensor.
        indices_or_sections: Number of sections, or the indices at which to cut.
    Raises:
        RuntimeError: Too few dimensions, or sections of unequal size.
    """
    export(name, cut)
    method(name, cut)


_named_split("hsplit", 1)
_named_split("vsplit", 2)
_named_split("dsplit", 3)


def _copies(x: Any) -> Any:
    return tuple([operators["clone"](piece) for piece in x])


@public()
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`; kept for programs that use the name."""
    return split(input, split_size, dim)


@public()
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes`; kept for programs that use the name."""
    return split_with_sizes(input, split_sizes, dim)


@public()
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`; kept for programs that use the name."""
    return chunk(input, chunks, dim)


def _with_outs(result: tuple[Tensor, ...], out: Any, who: str) -> Any:
    from ._public import into

    return result if out is None else into(who, result, tuple(out))


@public(methods=False)
def split_copy(input: Tensor, split_size: int, dim: int = 0, *, out: Any = None) -> Any:
    """Copies of what `split` gives."""
    return _with_outs(_copies(split(input, split_size, dim)), out, "split_copy")


@public(methods=False)
def split_with_sizes_copy(input: Tensor, split_sizes: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Copies of what `split_with_sizes` gives."""
    return _with_outs(
        _copies(split_with_sizes(input, split_sizes, dim)), out, "split_with_sizes_copy"
    )


@public(methods=False)
def unbind_copy(input: Tensor, dim: int = 0, *, out: Any = None) -> Any:
    """Copies of what `unbind` gives."""
    from .shaping import unbind

    return _with_outs(_copies(unbind(input, dim)), out, "unbind_copy")
