"""Reading by index: gather, index_select, take, masks, and the places of what is not zero."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, int64, uint8
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._registered import operators
from .._tensor.construction import tensor
from .._tensor.tensor import Tensor, contiguous_strides
from ._geometry import check_tensor
from ._indexed import (
    at_least_rows,
    batch_size,
    check_index_dtype,
    flat_items,
    fronted,
    spread_zero,
    with_exact_out,
)
from ._public import export, method, public
from .views import check_dim

gather_op = operator("gather(Tensor x, Tensor index, *, int dim) -> Tensor")
index_select_op = operator("index_select(Tensor x, Tensor index, *, int dim) -> Tensor")
take_op = operator("take(Tensor x, Tensor index) -> Tensor")
masked_select_op = operator("masked_select(Tensor x, Tensor mask) -> Tensor")
nonzero_op = operator("nonzero(Tensor x) -> Tensor", differentiable=False)


# -- gather ---------------------------------------------------------------------------------


def check_gather_shapes(
    who: str, x: Tensor, index: Tensor, dim: int, *, expected: str = "input"
) -> None:
    """Raises unless an index has as many dimensions as a tensor, and none larger but at dim."""
    size, shape = tuple(index.shape), tuple(x.shape)
    if len(size) == len(shape):
        for d, n in enumerate(size):
            if n > shape[d] and d != dim:
                raise error(
                    RuntimeError,
                    who,
                    f"Size does not match at dimension {d} expected index {list(size)} to be no "
                    f"larger than {expected} {list(shape)} apart from dimension {dim}",
                )
    elif max(len(size), 1) != max(len(shape), 1):
        raise error(
            RuntimeError,
            who,
            "Index tensor must have the same number of dimensions as input tensor",
            given=f"index of shape {size}, {expected} of shape {shape}",
        )


@gather_op.meta
def _(x: Tensor, index: Tensor, *, dim: int) -> Spec:
    if index.numel():
        check_gather_shapes("gather", x, index, dim)
    return Spec(index.shape, x.dtype)


gather_op.vjp(x=lambda g, index, x_shape, dim: scattered(g, index, x_shape, dim))
gather_op.jvp("linear")


def scattered(g: Tensor, index: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """Values added up at the places they were gathered from."""
    into = spread_zero(shape, g)
    return operators["scatter"](into, index, g, dim=dim, reduce="sum")  # type: ignore[no-any-return]


@gather_op.batching
def _(inputs: Any, bdims: Any, *, dim: int) -> Any:
    size = batch_size(inputs, bdims)
    x, index = (fronted(v, d, size) for v, d in zip(inputs, bdims, strict=True))
    out = gather_op(at_least_rows(x), at_least_rows(index), dim=dim + 1)
    return (operators["squeeze"](out, dims=(1,)) if index.ndim == 1 else out), 0


@with_exact_out(op=gather_op)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Values along a dimension, each at the position that the index names.

    Args:
        input: The tensor to read.
        dim: The dimension that the index counts along.
        index: Of as many dimensions as `input`; the result has its shape.
        sparse_grad: Accepted for compatibility: gradients are dense.
    Raises:
        RuntimeError: The index has another number of dimensions, or lies outside.
    Example:
        >>> rushlight.gather(rushlight.tensor([[1, 2], [3, 4]]), 1, rushlight.tensor([[0], [1]]))
        tensor([[1],
                [4]])
    """
    check_tensor("gather", input)
    dim = check_dim("gather", dim, input.ndim)
    index = check_index_dtype("gather", index)
    if index.numel():
        check_gather_shapes("gather", input, index, dim)
    return gather_op.entry(input, index, dim=dim)  # type: ignore[no-any-return]


@public(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Values along a dimension, with index and input broadcast against each other.

    Args:
        input: The tensor to read.
        indices: Positions along `dim`; int64.
        dim: None reads from the flattened input.
    Example:
        >>> x = rushlight.tensor([[3, 1, 2]])
        >>> rushlight.take_along_dim(x, rushlight.argsort(x, dim=1), dim=1)
        tensor([[1, 2, 3]])
    """
    who = "take_along_dim"
    for name, x in (("input", input), ("indices", indices)):
        check_tensor(who, x, name)
    if indices.dtype is not int64:
        raise error(
            RuntimeError,
            who,
            "dtype of indices should be Long",
            given=f"indices of {indices.dtype}",
            fix="convert them, for example indices.to(rushlight.int64)",
        )
    if dim is None:
        input, indices, dim = input.reshape(-1), indices.reshape(-1), 0
    if input.ndim != indices.ndim:
        raise error(
            RuntimeError,
            who,
            f"input and indices should have the same number of dimensions, but got {input.ndim} "
            f"dimensions for input, and {indices.ndim} dimensions for indices",
        )
    dim = check_dim(who, dim, input.ndim)
    if not input.ndim:
        input, indices = input.reshape(1), indices.reshape(1)
        return take_along_dim(input, indices, 0).reshape(())
    without = [(*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, indices)]
    shape = list(broadcast_shapes(who, *without))
    wanted = []
    for x in (input, indices):
        shape[dim] = x.shape[dim]
        size = tuple(shape)
        wanted.append(x if tuple(x.shape) == size else operators["expand"](x, size=size))
    # Unlike for gather, negative positions count from the end.
    wanted[1] = operators["where"](wanted[1] < 0, wanted[1] + input.shape[dim], wanted[1])
    return gather_op.entry(*wanted, dim=dim)  # type: ignore[no-any-return]


# -- index_select ---------------------------------------------------------------------------


@index_select_op.meta
def _(x: Tensor, index: Tensor, *, dim: int) -> Spec:
    if not x.ndim:
        return Spec((), x.dtype)
    return Spec((*x.shape[:dim], index.numel(), *x.shape[dim + 1 :]), x.dtype)


index_select_op.vjp(
    x=lambda g, index, x_shape, dim: operators["index_add"](
        spread_zero(x_shape, g), index, g, dim=dim, alpha=1
    )
)
index_select_op.jvp("linear")


@index_select_op.batching
def _(inputs: Any, bdims: Any, *, dim: int) -> Any:
    (x, index), (_, index_bdim) = inputs, bdims
    if index_bdim is not None:
        scalar = x.ndim == (bdims[0] is not None)
        if index.ndim == 1 and not scalar:
            index = operators["unsqueeze"](index, dim=1)
        if scalar:
            return fronted(x, bdims[0], batch_size(inputs, bdims)), 0
        rule: Any = operators["index"].batching_rule
        return rule((x, index), bdims, dims=(dim,))
    x = fronted(x, bdims[0], 0)
    out = index_select_op(at_least_rows(x), index, dim=dim + 1)
    return (operators["squeeze"](out, dims=(1,)) if x.ndim == 1 else out), 0


def check_index_vector(who: str, x: Tensor, index: Tensor, kind: type[Exception]) -> None:
    """Raises unless an index has at most one dimension, and one element for a 0-d tensor."""
    if index.ndim > 1:
        raise error(
            kind,
            who,
            "Index is supposed to be a vector",
            given=f"index of shape {tuple(index.shape)}",
        )
    if not x.ndim and index.numel() != 1:
        raise error(
            kind,
            who,
            "Index to scalar can have only 1 value",
            given=f"index with {index.numel()} elements",
        )


@with_exact_out(op=index_select_op)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices of a tensor along a dimension, as a new tensor.

    Args:
        input: The tensor to read.
        dim: The dimension to select along.
        index: Vector of int64 or int32.
    Raises:
        IndexError: The index is not a vector, or lies outside.
    Example:
        >>> rushlight.index_select(rushlight.tensor([5, 6, 7]), 0, rushlight.tensor([2, 0]))
        tensor([7, 5])
    """
    check_tensor("index_select", input)
    dim = check_dim("index_select", dim, input.ndim)
    index = check_index_dtype("index_select", index)
    check_index_vector("index_select", input, index, IndexError)
    return index_select_op.entry(input, index, dim=dim)  # type: ignore[no-any-return]


# -- take -----------------------------------------------------------------------------------


@take_op.meta
def _(x: Tensor, index: Tensor) -> Spec:
    if not x.numel() and index.numel():
        raise error(IndexError, "take", "cannot do a non-empty take from an empty tensor.")
    return Spec(index.shape, x.dtype)


take_op.vjp(
    x=lambda g, index, x_shape: operators["put"](spread_zero(x_shape, g), index, g, accumulate=True)
)
take_op.jvp("linear")


@take_op.batching
def _(inputs: Any, bdims: Any) -> Any:
    (x, index), (x_bdim, index_bdim) = inputs, bdims
    x = x.reshape(-1) if x_bdim is None else flat_items(fronted(x, x_bdim, 0))
    rule: Any = operators["index"].batching_rule
    return rule((x, index), (None if x_bdim is None else 0, index_bdim), dims=(0,))


@with_exact_out(op=take_op)
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened input at the positions that the index names.

    Raises:
        IndexError: A position lies outside, or the input is empty.
    Example:
        >>> rushlight.take(rushlight.tensor([[4, 3], [6, 7]]), rushlight.tensor([0, 2]))
        tensor([4, 6])
    """
    check_tensor("take", input)
    check_tensor("take", index, "index")
    if index.dtype is not int64:
        raise error(
            RuntimeError, "take", f"Expected a long tensor for index, but got {index.dtype}"
        )
    if not input.numel() and index.numel():
        raise error(IndexError, "take", "tried to take from an empty tensor")
    return take_op.entry(input, index)  # type: ignore[no-any-return]


# -- masks ----------------------------------------------------------------------------------


def as_mask(who: str, mask: Any) -> Tensor:
    """A mask as bool.

    Raises:
        RuntimeError: Its dtype is neither bool nor uint8.
    """
    check_tensor(who, mask, "mask")
    if mask.dtype is bool_:
        return mask  # type: ignore[no-any-return]
    if mask.dtype is uint8 and who == "masked_select":
        return operators["cast"](mask, dtype=bool_)  # type: ignore[no-any-return]
    raise error(
        RuntimeError,
        who,
        f"expected BoolTensor for mask, but got {mask.dtype}",
        fix="convert it, for example mask.to(rushlight.bool)",
    )


masked_select_op.vjp(x=lambda g, mask, x_shape: _unmasked(g, mask, x_shape))
masked_select_op.jvp("linear")


def _unmasked(g: Tensor, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    whole = broadcast_shapes("masked_select", tuple(shape), tuple(mask.shape))
    return operators["masked_scatter"](spread_zero(whole, g), mask, g)  # type: ignore[no-any-return]


@with_exact_out(op=masked_select_op)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where a mask is true, as a vector; mask and input broadcast.

    Example:
        >>> x = rushlight.tensor([1, 5, 2])
        >>> rushlight.masked_select(x, x > 1)
        tensor([5, 2])
    """
    check_tensor("masked_select", input)
    mask = as_mask("masked_select", mask)
    broadcast_shapes("masked_select", tuple(input.shape), tuple(mask.shape))
    return masked_select_op.entry(input, mask)  # type: ignore[no-any-return]


# -- nonzero --------------------------------------------------------------------------------


def _nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero.

    Args:
        input: Any tensor.
        as_tuple: Returns one vector per dimension, ready to index with, instead of a matrix with
            one row per position.
    Example:
        >>> rushlight.nonzero(rushlight.tensor([0, 3, 4]))
        tensor([[1],
                [2]])
    """
    check_tensor("nonzero", input)
    if as_tuple:
        return nonzero_columns(input if input.ndim else operators["unsqueeze"](input, dim=0))
    return nonzero_op.entry(input)


nonzero = public(name="nonzero", out=True, op=nonzero_op)(_nonzero)


def nonzero_columns(x: Tensor) -> tuple[Tensor, ...]:
    """The positions of what is not zero, one vector per dimension."""
    found = nonzero_op.entry(x)
    select = operators["select"]
    return tuple([select(found, dim=1, index=d) for d in range(x.ndim)])


def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that are not zero, one row per position.

    Example:
        >>> rushlight.argwhere(rushlight.tensor([0, 3, 4]))
        tensor([[1],
                [2]])
    """
    check_tensor("argwhere", input)
    return nonzero_op.entry(input)  # type: ignore[no-any-return]


export("argwhere", argwhere)
method("argwhere", argwhere)


@public(out=True)
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` with a fixed number of rows: cut off, or filled up.

    Args:
        input: Any tensor.
        size: Number of rows.
        fill_value: What fills rows for which there is no position.
    Example:
        >>> rushlight.nonzero_static(rushlight.tensor([0, 3]), size=2)
        tensor([[ 1],
                [-1]])
    """
    check_tensor("nonzero_static", input)
    if size < 0:
        raise error(
            RuntimeError, "nonzero_static", "size must be non-negative", given=f"size={size}"
        )
    place = input.device
    whole = operators["full"].function

    def scalar(value: int) -> Any:
        return whole((), value, dtype=int64, device=place)

    count = input.numel()
    if not count or not input.ndim or not size:
        filled = whole((size, input.ndim), fill_value, dtype=int64, device=place)
        return filled  # type: ignore[no-any-return]
    # Shapes do not depend on the values, so this runs inside vmap and captures: the r-th element
    # that is not zero goes to row r, all that do not fit or are zero to one row too many.
    hit = input.reshape(-1) != 0
    rank = operators["cumsum"](hit.to(int64), dim=0) - 1
    lost = operators["logical_not"](operators["logical_and"](hit, rank < size))
    row = operators["masked_fill"](rank, lost, scalar(size))
    positions = operators["arange"](start=0, step=1, length=count, dtype=int64, device=place)
    blank = whole((size + 1,), -1, dtype=int64, device=place)
    found = operators["scatter"](blank, row, positions, dim=0, reduce=None, include_self=True)
    found = operators["slice"](found, dim=0, start=0, length=size, step=1).reshape(size, 1)
    shape = tuple(input.shape)
    steps = tensor(contiguous_strides(shape), device=place)
    columns = (found // steps) % tensor(shape, device=place)
    return operators["masked_fill"](columns, found < 0, scalar(fill_value))  # type: ignore[no-any-return]
