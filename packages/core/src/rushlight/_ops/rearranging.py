"""Elements in other places: diagonals, triangles, windows, flips, rolls and repetitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._dispatch import Spec
from .._dtypes import int64
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.construction import from_host
from .._tensor.tensor import Tensor
from ._batching import front
from ._geometry import check_dim, check_dims, named_sizes, shape_of, sizes_of
from ._public import export, method, public
from .joining import pad_op
from .views import diagonal_op, expand_op, reshape, shifted, unfold_op, unsqueeze_op

flip_op = operator("flip(Tensor x, *, int[] dims) -> Tensor")
roll_op = operator("roll(Tensor x, *, int[] shifts, int[] dims) -> Tensor")
tril_op = operator("tril(Tensor x, *, int diagonal=0) -> Tensor")
triu_op = operator("triu(Tensor x, *, int diagonal=0) -> Tensor")

for _op in (flip_op, roll_op, tril_op, triu_op):
    _op.meta(lambda x, **attributes: Spec(x.shape, x.dtype))
    _op.jvp("linear")

flip_op.vjp(x=lambda g, dims: flip_op(g, dims=dims))
roll_op.vjp(x=lambda g, shifts, dims: roll_op(g, shifts=tuple([-n for n in shifts]), dims=dims))
tril_op.vjp(x=lambda g, diagonal: tril_op(g, diagonal=diagonal))
triu_op.vjp(x=lambda g, diagonal: triu_op(g, diagonal=diagonal))
shifted(tril_op)
shifted(triu_op)


@flip_op.batching
def _(inputs: Any, bdims: Any, *, dims: tuple[int, ...]) -> Any:
    return flip_op(front(inputs[0], bdims[0]), dims=tuple([d + 1 for d in dims])), 0


@roll_op.batching
def _(inputs: Any, bdims: Any, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    dims = tuple([d + 1 for d in dims])
    return roll_op(front(inputs[0], bdims[0]), shifts=shifts, dims=dims), 0


# -- diagonals ------------------------------------------------------------------------------


def _two_dims(who: str, x: Tensor, dim1: int, dim2: int) -> tuple[int, int]:
    ndim = len(shape_of(x))
    a, b = check_dim(who, dim1, ndim), check_dim(who, dim2, ndim)
    if a == b:
        raise error(RuntimeError, who, f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return a, b


@public()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of a diagonal, as the last dimension.

    Args:
        input: The tensor.
        offset: Which diagonal: above the main one if positive, below if negative.
        dim1: Dimension of the rows.
        dim2: Dimension of the columns.
    Raises:
        IndexError: There is no such dimension.
        RuntimeError: Both are the same.
    Example:
        >>> rushlight.diagonal(rushlight.tensor([[1, 2], [3, 4]]))
        tensor([1, 4])
    """
    a, b = _two_dims("diagonal", input, dim1, dim2)
    return diagonal_op.entry(input, offset=offset, dim1=a, dim2=b)  # type: ignore[no-any-return]


@public()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices whose diagonals are the rows of a tensor, zero elsewhere.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: Both are the same.
    Example:
        >>> rushlight.diag_embed(rushlight.tensor([1, 2]))
        tensor([[1, 0],
                [0, 2]])
    """
    shape = shape_of(input)
    ndim = len(shape) + 1
    a, b = check_dim("diag_embed", dim1, ndim), check_dim("diag_embed", dim2, ndim)
    if a == b:
        raise error(
            RuntimeError, "diag_embed", f"diagonal dimensions cannot be identical {dim1}, {dim2}"
        )
    if not shape:
        raise error(
            IndexError, "diag_embed", "Dimension out of range: a 0-d tensor has no diagonal"
        )
    size = shape[-1] + abs(offset)
    # A row of a diagonal matrix is its element, and a full row of zeros later the next one: pad
    # each element to size + 1 and read the whole in rows of size.
    x = unsqueeze_op(input, dim=ndim - 1)
    none = ((0, 0),) * (ndim - 1)
    x = pad_op(x, pad=(*none, (0, size)), value=0)
    x = reshape(x, *shape[:-1], shape[-1] * (size + 1))
    lead = max(offset, 0) + max(-offset, 0) * size
    total = size * size
    x = pad_op(x, pad=(*none[:-1], (lead, total - lead - shape[-1] * (size + 1))), value=0)
    x = reshape(x, *shape[:-1], size, size)
    order = list(range(ndim - 2))
    for place, d in sorted(((a, ndim - 2), (b, ndim - 1))):
        order.insert(place, d)
    return operators["permute"](x, dims=tuple(order))  # type: ignore[no-any-return]


@public(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or a matrix with a vector on its diagonal.

    Raises:
        RuntimeError: Neither a vector nor a matrix.
    Example:
        >>> rushlight.diag(rushlight.tensor([[1, 2], [3, 4]]))
        tensor([1, 4])
    """
    ndim = len(shape_of(input))
    if ndim not in (1, 2):
        raise error(
            RuntimeError, "diag", f"Supports 1D or 2D tensors. Got {ndim}D",
            given=f"x of shape {tuple(shape_of(input))}",
        )  # fmt: skip
    if ndim == 1:
        return diag_embed(input, diagonal)
    return operators["clone"](diagonal_op(input, offset=diagonal, dim1=0, dim2=1))  # type: ignore[no-any-return]


@public()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of a tensor on its diagonal.

    Example:
        >>> rushlight.diagflat(rushlight.tensor([[1], [2]]))
        tensor([[1, 0],
                [0, 2]])
    """
    return diag_embed(reshape(input, input.numel()), offset)


@public(out=True)
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of a tensor with `src` on a diagonal.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: `src` has another shape than the diagonal.
    Example:
        >>> rushlight.diagonal_scatter(rushlight.zeros(2, 2), rushlight.ones(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    part = diagonal(input, offset, dim1, dim2)
    if tuple(part.shape) != tuple(src.shape):
        raise error(
            RuntimeError,
            "diagonal_scatter",
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(part.shape)}",
        )
    rule: Any = diagonal_op.scatter_rule
    a, b = _two_dims("diagonal_scatter", input, dim1, dim2)
    return rule(input, src, offset=offset, dim1=a, dim2=b)  # type: ignore[no-any-return]


@public()
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    Raises:
        RuntimeError: Not a matrix.
    Example:
        >>> rushlight.trace(rushlight.tensor([[1, 2], [3, 4]]))
        tensor(5)
    """
    if input.ndim != 2:
        raise error(
            RuntimeError, "trace", "expected a matrix", given=f"x of {input.ndim} dimensions"
        )
    return diagonal_op(input, offset=0, dim1=0, dim2=1).sum()  # type: ignore[no-any-return]


# -- triangles ------------------------------------------------------------------------------


def _triangle(name: str, op: Any, where: str) -> None:
    def triangle(input: Tensor, diagonal: int = 0) -> Tensor:
        if len(shape_of(input)) < 2:
            raise error(
                RuntimeError, name, f"{name}: input tensor must have at least 2 dimensions",
                given=f"x of shape {tuple(shape_of(input))}",
            )  # fmt: skip
        return op(input, diagonal=int(diagonal))  # type: ignore[no-any-return]

    triangle.__name__ = triangle.__qualname__ = name
    triangle.__doc__ = f"""The elements {where} a diagonal, zeros elsewhere.

    Args:
        input: Matrix or batch of matrices.
        diagonal: Which diagonal: above the main one if positive, below if negative.
    Raises:
        RuntimeError: Fewer than two dimensions.
    Example:
        >>> rushlight.{name}(rushlight.tensor([[1, 2], [3, 4]]))[0, 0]
        tensor(1)
    """
    public(out=True, inplace=True, op=op)(triangle)


_triangle("tril", tril_op, "on and below")
_triangle("triu", triu_op, "on and above")


# -- windows --------------------------------------------------------------------------------


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of a dimension, each laid along a new last dimension.

    Args:
        dimension: The dimension.
        size: Length of a window.
        step: Distance from one window to the next.
    Raises:
        IndexError: There is no such dimension.
        RuntimeError: A window is longer than the dimension, or `step` is not positive.
    Example:
        >>> rushlight.arange(4).unfold(0, 2, 1)
        tensor([[0, 1],
                [1, 2],
                [2, 3]])
    """
    shape = shape_of(self)
    dim = check_dim("unfold", dimension, len(shape))
    longest = shape[dim] if shape else 1
    if size < 0:
        raise error(RuntimeError, "unfold", f"size is {size} but must be >= 0")
    if size > longest:
        raise error(
            RuntimeError, "unfold", f"maximum size for tensor at dimension {dim} is {longest} but "
            f"size is {size}",
        )  # fmt: skip
    if step <= 0:
        raise error(RuntimeError, "unfold", f"step is {step} but must be > 0")
    return unfold_op.entry(self, dim=dim, size=size, step=step)  # type: ignore[no-any-return]


method("unfold", unfold)


# -- flips and rolls ------------------------------------------------------------------------


@public()
def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A copy with the order along dimensions reversed.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: One appears twice.
    Example:
        >>> rushlight.flip(rushlight.tensor([1, 2, 3]), (0,))
        tensor([3, 2, 1])
    """
    if dims is not None or not order:
        order = named_sizes("flip", order, dims, "dims")
    return flip_op(input, dims=check_dims("flip", sizes_of(order), len(shape_of(input))))  # type: ignore[no-any-return]


def _flip_one(name: str, least: int, dim: int, which: str) -> None:
    def flipped(input: Tensor) -> Tensor:
        if input.ndim < least:
            raise error(RuntimeError, name, f"Input must be >= {least}-d.", given=f"{input.ndim}-d")
        return flip_op(input, dims=(dim,))  # type: ignore[no-any-return]

    flipped.__name__ = flipped.__qualname__ = name
    flipped.__doc__ = f"""A copy with the {which} in reverse order.

    Raises:
        RuntimeError: Too few dimensions.
    """
    export(name, flipped)
    method(name, flipped)


_flip_one("fliplr", 2, 1, "columns")
_flip_one("flipud", 1, 0, "rows")


@public()
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """A copy with elements moved along dimensions; those that leave at the end come in in front.

    Args:
        input: The tensor.
        shifts: How far, one number per dimension.
        dims: The dimensions; None rolls all elements in row-major order.
    Raises:
        RuntimeError: Not one shift per dimension.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.roll(rushlight.tensor([1, 2, 3]), 1)
        tensor([3, 1, 2])
    """
    moves = (shifts,) if isinstance(shifts, int) else sizes_of((tuple(shifts),))
    places = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not moves:
        raise error(RuntimeError, "roll", "`shifts` required")
    if not places and len(moves) == 1:
        shape = tuple(shape_of(input))
        flat = roll_op(reshape(input, input.numel()), shifts=moves, dims=(0,))
        return reshape(flat, shape)
    if len(moves) != len(places):
        raise error(
            RuntimeError,
            "roll",
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(places)}",
        )
    ndim = len(shape_of(input))
    if not ndim:
        raise error(
            IndexError, "roll", f"Dimension specified as {places[0]} but tensor has no dimensions"
        )
    where = tuple([check_dim("roll", d, ndim) for d in places])
    return roll_op(input, shifts=moves, dims=where)  # type: ignore[no-any-return]


@public()
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """A copy turned by 90 degrees `k` times in the plane of two dimensions.

    Raises:
        RuntimeError: Not two different dimensions.
    Example:
        >>> rushlight.rot90(rushlight.tensor([[1, 2], [3, 4]]))
        tensor([[2, 4],
                [1, 3]])
    """
    plane = tuple(dims)
    if len(plane) != 2:
        raise error(
            RuntimeError, "rot90", f"expected total rotation dims == 2, but got dims = {len(plane)}"
        )
    if input.ndim < 2:
        raise error(
            RuntimeError, "rot90", f"expected total dims >= 2, but got total dims = {input.ndim}"
        )
    if plane[0] == plane[1] or abs(plane[0] - plane[1]) == input.ndim:
        raise error(
            RuntimeError,
            "rot90",
            "expected rotation dims to be different, but got dim0 = "
            f"{plane[0]} and dim1 = {plane[1]}",
        )
    for number, d in enumerate(plane):
        if not -input.ndim <= d < input.ndim:
            raise error(
                RuntimeError, "rot90", f"Rotation dim{number} out of range, dim{number} = {d}"
            )
    a, b = (d % input.ndim for d in plane)
    turns = k % 4
    if turns == 0:
        return operators["clone"](input)  # type: ignore[no-any-return]
    if turns == 2:
        return flip_op(input, dims=(a, b))  # type: ignore[no-any-return]
    turned = flip_op(input, dims=(b,) if turns == 1 else (a,))
    return operators["clone"](turned.transpose(a, b))  # type: ignore[no-any-return]


# -- repetitions ----------------------------------------------------------------------------


def repeat(self: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """Copies of the tensor, as many along dimension i as the i-th number says.

    Raises:
        RuntimeError: Fewer numbers than dimensions, or a negative one.
    Example:
        >>> rushlight.tensor([1, 2]).repeat(2, 2)
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    if repeats is not None:
        times = named_sizes("repeat", times, repeats, "repeats")
    counts = sizes_of(times)
    shape = tuple(shape_of(self))
    if len(counts) < len(shape):
        raise error(
            RuntimeError,
            "repeat",
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor",
            given=f"repeats {list(counts)}, x of shape {shape}",
        )
    if any(n < 0 for n in counts):
        raise error(
            RuntimeError,
            "repeat",
            f"Trying to create tensor with negative dimension: {list(counts)}",
        )
    shape = (1,) * (len(counts) - len(shape)) + shape
    # Each dimension becomes (copies, size): expanded without a copy, then joined with one.
    spread = [m for n in shape for m in (1, n)]
    wanted = tuple([m for r, n in zip(counts, shape, strict=True) for m in (r, n)])
    x = operators["clone"](expand_op(reshape(self, spread), size=wanted))
    return reshape(x, tuple([r * n for r, n in zip(counts, shape, strict=True)]))


method("repeat", repeat)


@public()
def tile(input: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """Copies of a tensor, as `repeat` but for missing numbers, which count as 1.

    Example:
        >>> rushlight.tile(rushlight.tensor([1, 2]), (2,))
        tensor([1, 2, 1, 2])
    """
    if dims is not None or not counts:
        counts = named_sizes("tile", counts, dims, "dims")
    counts = sizes_of(counts)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@public()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated, the repetitions side by side.

    Args:
        input: The tensor; with nothing else, the repetitions of 0, 1, 2, ...
        repeats: How often: one number, or a tensor with one per index of the dimension.
        dim: The dimension; None takes all elements in row-major order.
        output_size: Size of the result along `dim`, which spares reading `repeats`.
    Raises:
        RuntimeError: `repeats` does not fit the dimension, or is negative.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.repeat_interleave(rushlight.tensor([1, 2]), 2)
        tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return _numbers_repeated(input)
    if dim is None:
        input, dim = reshape(input, input.numel()), 0
    place = check_dim("repeat_interleave", dim, len(shape_of(input)))
    if not input.ndim:
        input = reshape(input, 1)
    n = input.shape[place]
    if not isinstance(repeats, Tensor):
        if isinstance(repeats, int):
            return _evenly(input, repeats, place)
        raise error(
            TypeError,
            "repeat_interleave",
            f"argument 'repeats' must be int or Tensor, not {type(repeats).__name__}",
        )
    if repeats.dtype.name not in ("int32", "int64"):
        raise error(
            RuntimeError, "repeat_interleave", "repeats has to be Long or Int tensor",
            given=f"{repeats.dtype}",
        )  # fmt: skip
    if repeats.ndim == 0 or (repeats.ndim == 1 and repeats.shape[0] == 1):
        return _evenly(input, int(repeats), place)
    if repeats.ndim != 1:
        raise error(
            RuntimeError, "repeat_interleave", "repeats must be 0-dim or 1-dim tensor",
            given=f"{repeats.ndim} dimensions",
        )  # fmt: skip
    if repeats.shape[0] != n:
        raise error(
            RuntimeError,
            "repeat_interleave",
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{repeats.shape[0]} and input.size({dim}) = {n}",
        )
    places = _numbers_repeated(repeats, output_size)
    return operators["index_select"](input, places, dim=place)  # type: ignore[no-any-return]


def _check_repeats(smallest: int) -> None:
    if smallest < 0:
        raise error(RuntimeError, "repeat_interleave", "repeats can not be negative")


def _evenly(x: Tensor, count: int, dim: int) -> Tensor:
    """Every index of a dimension repeated as often."""
    _check_repeats(count)
    shape = tuple(x.shape)
    wide = (*shape[: dim + 1], count, *shape[dim + 1 :])
    spread = expand_op(unsqueeze_op(x, dim=dim + 1), size=wide)
    made = (*shape[:dim], shape[dim] * count, *shape[dim + 1 :])
    return reshape(operators["clone"](spread), made)


def _numbers_repeated(repeats: Tensor, output_size: int | None = None) -> Tensor:
    """0 repeated `repeats[0]` times, 1 `repeats[1]` times, ..."""
    if repeats.ndim != 1:
        raise error(
            RuntimeError, "repeat_interleave", "repeat_interleave only accept 1D vector as repeat"
        )
    if repeats.dtype.name not in ("int32", "int64"):
        raise error(
            RuntimeError, "repeat_interleave", "repeats has to be Long or Int tensor",
            given=f"{repeats.dtype}",
        )  # fmt: skip
    counts = np.array(repeats.tolist(), np.int64)
    _check_repeats(int(counts.min(initial=0)))
    places = np.repeat(np.arange(len(counts)), counts)
    if output_size is not None and output_size != len(places):
        raise error(
            RuntimeError,
            "repeat_interleave",
            f"allocated size does not match required size: output_size {output_size}, sum of "
            f"repeats {len(places)}",
        )
    made = from_host(places, repeats.device, copy=False)
    return made if repeats.dtype is int64 else made.to(repeats.dtype)
