"""Writing by index: index_add, index_copy, index_fill, index_reduce, put, masks, diagonals."""

from __future__ import annotations

from typing import Any

from .. import _writes
from .._dispatch import Spec
from .._dtypes import bool_, int64
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes, number_tensor
from .._registered import operators
from .._tensor.tensor import Tensor, strides_of
from ._geometry import check_tensor
from ._indexed import (
    Call,
    at_least_rows,
    batch_size,
    cast_number,
    check_index_dtype,
    check_same_dtype,
    flat_items,
    fronted,
    indexed_write,
    number_of,
    rows,
    spread_zero,
)
from ._public import method
from .elementwise import times_conj
from .gathering import as_mask, check_index_vector, index_select_op
from .scatter import check_reduction, fold_call
from .views import check_dim

index_add_op = operator(
    "index_add(Tensor x, Tensor index, Tensor src, *, int dim, Scalar alpha=1) -> Tensor"
)
index_copy_op = operator("index_copy(Tensor x, Tensor index, Tensor src, *, int dim) -> Tensor")
index_fill_op = operator("index_fill(Tensor x, Tensor index, *, int dim, Scalar value) -> Tensor")
put_op = operator("put(Tensor x, Tensor index, Tensor src, *, bool accumulate=False) -> Tensor")
masked_fill_op = operator("masked_fill(Tensor x, Tensor mask, Tensor value) -> Tensor")
masked_scatter_op = operator("masked_scatter(Tensor x, Tensor mask, Tensor source) -> Tensor")


# -- rows -----------------------------------------------------------------------------------


def _same_as_first(x: Tensor, *others: Tensor, **attributes: Any) -> Spec:
    return Spec(x.shape, x.dtype)


for _op in (index_add_op, index_copy_op, index_fill_op, put_op):
    _op.meta(_same_as_first)
for _op in (index_add_op, index_copy_op, put_op, masked_fill_op, masked_scatter_op):
    _op.jvp("linear")


@index_fill_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dim: int, value: Any) -> Tensor:
    return index_fill_op(tangents[0], primals[1], dim=dim, value=0)  # type: ignore[no-any-return]


index_add_op.vjp(
    x=lambda g: g,
    src=lambda g, index, src_shape, dim, alpha: times_conj(
        _selected(g, index, src_shape, dim), alpha
    ),
)
index_copy_op.vjp(
    x=lambda g, index, dim: index_fill_op(g, index, dim=dim, value=0),
    src=lambda g, index, src_shape, dim: _selected(g, index, src_shape, dim),
)
index_fill_op.vjp(x=lambda g, index, dim: index_fill_op(g, index, dim=dim, value=0))


def _selected(g: Tensor, index: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """The rows of a gradient, in the shape of the source they came from."""
    found = index_select_op(g, index, dim=dim)
    return found if found.shape == shape else found.reshape(shape)  # type: ignore[no-any-return]


def _rows_batching(op: Any) -> Any:
    """The batching rule of a write of rows: by rows again, or element by element where the index
    differs from item to item."""

    def rule(inputs: Any, bdims: Any, *, dim: int, **attributes: Any) -> Any:
        size = batch_size(inputs, bdims)
        x = fronted(inputs[0], bdims[0], size)
        index = inputs[1]
        whole = at_least_rows(x)
        srcs = [fronted(v, d, size) for v, d in zip(inputs[2:], bdims[2:], strict=True)]
        srcs = [at_least_rows(src) for src in srcs]
        if bdims[1] is None:
            out = op(whole, index, *srcs, dim=dim + 1, **attributes)
        else:
            index = at_least_rows(fronted(index, bdims[1], size))
            if srcs:
                values = srcs[0] * attributes.get("alpha", 1)
            else:
                values = number_tensor(x._k, attributes["value"])
            put: Any = operators["index_put"]
            out, _ = put.batching_rule(
                (whole, values, index),
                (0, 0 if srcs else None, 0),
                dims=(dim,),
                accumulate=op is index_add_op,
            )
        return (operators["squeeze"](out, dims=(1,)) if x.ndim == 1 else out), 0

    return rule


for _op in (index_add_op, index_copy_op, index_fill_op):
    _op.batching(_rows_batching(_op))


def _check_rows(who: str, x: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """Raises unless a source has one row per index, and rows of x's size."""
    check_same_dtype(who, x, source, "source")
    count = rows(source, dim) if source.ndim > dim or not source.ndim else None
    if x.ndim != source.ndim and x.ndim and source.ndim:
        raise error(
            RuntimeError if who != "index_copy" else IndexError,
            who,
            "When source and destination are not scalars, their dimensionality must match",
            given=f"source of {source.ndim} dimensions, self of {x.ndim}",
        )
    if count != index.numel():
        raise error(
            IndexError if who == "index_copy" else RuntimeError,
            who,
            f"Number of indices ({index.numel()}) should be equal to source.size(dim): ({count}), "
            f"for dim: {dim}",
        )
    ours, theirs = ([*v.shape[:dim], *v.shape[dim + 1 :]] for v in (x, source))
    if ours != theirs:
        raise error(
            RuntimeError,
            who,
            "source and self must have the same size apart from the indexed dimension",
            given=f"source of shape {tuple(source.shape)}, self of shape {tuple(x.shape)}, "
            f"dim={dim}",
        )


@indexed_write(out=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Call:
    """A copy of the input with slices of the source added at the indices.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Vector of int64 or int32; equal indices add up.
        source: One slice along `dim` per index.
        alpha: Factor of the source.
    Example:
        >>> x, i = rushlight.zeros(3), rushlight.tensor([0, 0])
        >>> rushlight.index_add(x, 0, i, rushlight.tensor([1.0, 2.0]))
        tensor([3., 0., 0.])
    """
    check_tensor("index_add", input)
    check_tensor("index_add", source, "source")
    dim = check_dim("index_add", dim, input.ndim)
    index = check_index_dtype("index_add", index)
    check_index_vector("index_add", input, index, IndexError)
    _check_rows("index_add", input, dim, index, source)
    if isinstance(alpha, (float, complex)) and not input.dtype.is_inexact:
        raise error(
            RuntimeError,
            "index_add",
            "For integral input tensors, argument alpha must not be a floating point number",
            given=f"alpha={alpha}",
        )
    return Call(index_add_op, (input, index, source), {"dim": dim, "alpha": alpha})


@indexed_write(out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Call:
    """A copy of the input with slices replaced by those of the source.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Vector of int64.
        source: One slice along `dim` per index.
    Example:
        >>> x, i = rushlight.zeros(3), rushlight.tensor([2])
        >>> rushlight.index_copy(x, 0, i, rushlight.tensor([5.0]))
        tensor([0., 0., 5.])
    """
    check_tensor("index_copy", input)
    check_tensor("index_copy", source, "source")
    dim = check_dim("index_copy", dim, input.ndim)
    if isinstance(index, Tensor) and index.dtype is not int64:
        raise error(
            RuntimeError,
            "index_copy",
            f"Expected a long tensor for index, but got {index.dtype}",
        )
    index = check_index_dtype("index_copy", index)
    check_index_vector("index_copy", input, index, IndexError)
    _check_rows("index_copy", input, dim, index, source)
    return Call(index_copy_op, (input, index, source), {"dim": dim})


@indexed_write()
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Call:
    """A copy of the input with slices filled with a value.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Vector of int64.
        value: A number, or a 0-d tensor.
    Example:
        >>> rushlight.index_fill(rushlight.zeros(3), 0, rushlight.tensor([0, 2]), 7)
        tensor([7., 0., 7.])
    """
    who = "index_fill"
    check_tensor(who, input)
    dim = check_dim(who, dim, input.ndim)
    check_tensor(who, index, "index")
    if index.dtype is not int64:
        raise error(
            IndexError, who, "Expected dtype int64 for index", given=f"index of {index.dtype}"
        )
    if index.ndim > 1:
        raise error(
            IndexError, who, "Index has to be a vector/scalar", given=f"{index.ndim} dimensions"
        )
    if not isinstance(value, Tensor):
        number = cast_number(input.dtype, number_of(who, input, value))
        return Call(index_fill_op, (input, index), {"dim": dim, "value": number})
    if value.ndim:
        raise error(
            RuntimeError,
            who,
            "Only supports 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s).",
        )
    if value.dtype.is_complex and not input.dtype.is_complex:
        raise error(
            RuntimeError,
            who,
            "Converting complex Scalar to non-complex type is not supported",
            given=f"value of {value.dtype}, input of {input.dtype}",
        )
    value = operators["to_kind"].function(value, input._k)
    # As a mask, so that a place which the index names twice counts once in the derivative.
    count = rows(input, dim)
    mask = operators["full"].function((count,), False, dtype=bool_, device=input.device)
    mask = index_fill_op(mask, index, dim=0, value=True)
    mask = mask.reshape(count, *(1,) * (input.ndim - 1 - dim)) if input.ndim else mask.reshape(())
    return Call(masked_fill_op, (input, mask, value), {})


@indexed_write(out=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Call:
    """A copy of the input with slices of the source folded in at the indices.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Vector of int64 or int32.
        source: One slice along `dim` per index.
        reduce: "prod", "mean", "amax" or "amin".
        include_self: Whether the input's own values take part where the index points.
    Example:
        >>> x, i = rushlight.ones(2), rushlight.tensor([0, 0])
        >>> rushlight.index_reduce(x, 0, i, rushlight.tensor([3.0, 4.0]), "prod")
        tensor([12.,  1.])
    """
    who = "index_reduce"
    check_reduction(who, reduce, ("prod", "mean", "amax", "amin"))
    check_tensor(who, input)
    check_tensor(who, source, "source")
    dim = check_dim(who, dim, input.ndim)
    index = check_index_dtype(who, index)
    check_index_vector(who, input, index, IndexError)
    _check_rows(who, input, dim, index, source)
    if not source.ndim:
        return fold_call(input, index.reshape(()), source, dim, reduce, include_self)
    along = [1] * source.ndim
    along[dim] = index.numel()
    wide = operators["expand"](index.reshape(tuple(along)), size=tuple(source.shape))
    return fold_call(input, wide, source, dim, reduce, include_self)


# -- put ------------------------------------------------------------------------------------


def _put_x(g: Tensor, index: Tensor, accumulate: bool) -> Tensor:
    if accumulate:
        return g
    zero = spread_zero(index.shape, g)
    return put_op(g, index, zero, accumulate=False)  # type: ignore[no-any-return]


put_op.vjp(
    x=_put_x,
    src=lambda g, index, src_shape: operators["take"](g, index).reshape(src_shape),
)


@put_op.batching
def _(inputs: Any, bdims: Any, *, accumulate: bool) -> Any:
    size = batch_size(inputs, bdims)
    x, index, src = (fronted(v, d, size) for v, d in zip(inputs, bdims, strict=True))
    flat, index, src = flat_items(x), flat_items(index), flat_items(src)
    put: Any = operators["index_put"]
    out, _ = put.batching_rule((flat, src, index), (0, 0, 0), dims=(0,), accumulate=accumulate)
    return out.reshape(tuple(x.shape)), 0


@indexed_write()
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Call:
    """A copy of the input with elements replaced, positions counting through the flattened input.

    Args:
        input: The tensor to copy.
        index: Positions, int64; negative ones count from the end.
        source: As many values.
        accumulate: Adds to what is there.
    Example:
        >>> x, i = rushlight.zeros(2, 2), rushlight.tensor([1, 2])
        >>> rushlight.put(x, i, rushlight.tensor([5.0, 6.0]))
        tensor([[0., 5.],
                [6., 0.]])
    """
    for name, x in (("input", input), ("index", index), ("source", source)):
        check_tensor("put", x, name)
    check_same_dtype("put", input, source, "source")
    if index.dtype is not int64:
        raise error(RuntimeError, "put", f"Expected a long tensor for index, but got {index.dtype}")
    if index.numel() != source.numel():
        raise error(
            RuntimeError,
            "put",
            "Expected source and index to have the same number of elements, but got source.numel() "
            f"= {source.numel()}, index.numel() = {index.numel()}",
        )
    if index.numel() and not input.numel():
        raise error(IndexError, "put", "cannot put elements into an empty tensor")
    return Call(put_op, (input, index, source), {"accumulate": bool(accumulate)})


# -- masks ----------------------------------------------------------------------------------


@masked_fill_op.meta
def _(x: Tensor, mask: Tensor, value: Tensor) -> Spec:
    shapes = (tuple(x.shape), tuple(mask.shape), tuple(value.shape))
    return Spec(broadcast_shapes("masked_fill", *shapes), x.dtype)


masked_fill_op.vjp(
    x=lambda g, mask: _masked_out(g, mask),
    value=lambda g, mask: _masked_out(g, operators["logical_not"](mask)),
)
masked_fill_op.batching("elementwise")


def _masked_out(g: Tensor, mask: Tensor) -> Tensor:
    return masked_fill_op(g, mask, number_tensor(g._k, 0))  # type: ignore[no-any-return]


@indexed_write()
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Call:
    """A copy of the input with a value where a mask is true.

    Args:
        input: The tensor to copy.
        mask: Bool, broadcastable with `input`.
        value: A number, or a 0-d tensor.
    Example:
        >>> x = rushlight.tensor([1.0, -2.0, 3.0])
        >>> rushlight.masked_fill(x, x < 0, 0)
        tensor([1., 0., 3.])
    """
    who = "masked_fill"
    check_tensor(who, input)
    mask = as_mask(who, mask)
    if isinstance(value, Tensor):
        if value.ndim:
            raise error(
                RuntimeError,
                who,
                "only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)",
            )
        if value.dtype.category > input.dtype.category:
            raise error(
                RuntimeError,
                who,
                f"value cannot be converted to type {input.dtype.name} without overflow",
                given=f"value of {value.dtype}",
            )
        value = operators["to_kind"].function(value, input._k)
    else:
        if not isinstance(value, (bool, int, float, complex)):
            raise error(
                TypeError, who, f"value must be Number or Tensor, not {type(value).__name__}"
            )
        number = number_of(who, input, value)
        value = number_tensor(input._k, number)
    if mask.shape != input.shape:
        broadcast_shapes(who, tuple(input.shape), tuple(mask.shape))
    return Call(masked_fill_op, (input, mask, value), {})


@masked_scatter_op.meta
def _(x: Tensor, mask: Tensor, source: Tensor) -> Spec:
    return Spec(broadcast_shapes("masked_scatter", tuple(x.shape), tuple(mask.shape)), x.dtype)


masked_scatter_op.vjp(
    x=lambda g, mask: _masked_out(g, mask),
    source=lambda g, mask, source_shape: _unscattered(g, mask, source_shape),
)


def _unscattered(g: Tensor, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A gradient where the mask is true, then zeros for the values of the source left over."""
    found = operators["masked_select"](g, mask)
    count = 1
    for n in shape:
        count *= n
    if count > found.numel():
        rest = spread_zero((count - found.numel(),), g)
        found = operators["cat"](found, rest, dim=0)
    return found.reshape(shape)  # type: ignore[no-any-return]


@indexed_write()
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Call:
    """A copy of the input with the source's elements, in order, where a mask is true.

    Args:
        input: The tensor to copy.
        mask: Bool, broadcastable with `input`.
        source: At least as many elements as the mask has ones.
    Example:
        >>> x, m = rushlight.zeros(3), rushlight.tensor([True, False, True])
        >>> rushlight.masked_scatter(x, m, rushlight.tensor([8.0, 9.0]))
        tensor([8., 0., 9.])
    """
    who = "masked_scatter"
    for name, x in (("input", input), ("source", source)):
        check_tensor(who, x, name)
    mask = as_mask(who, mask)
    if source.dtype is not input.dtype:
        raise error(
            RuntimeError,
            who,
            f"expected self and source to have same dtypes but got {input.dtype} and "
            f"{source.dtype}",
        )
    broadcast_shapes(who, tuple(input.shape), tuple(mask.shape))
    return Call(masked_scatter_op, (input, mask, source), {})


# -- diagonals ------------------------------------------------------------------------------


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Fills the main diagonal in place; of more than two dimensions, all must be of one size.

    Args:
        self: The tensor to write.
        fill_value: A number.
        wrap: For a tall matrix, begins again after each square block and a row in between.
    Example:
        >>> rushlight.zeros(2, 2).fill_diagonal_(5)
        tensor([[5., 0.],
                [0., 5.]])
    """
    who = "fill_diagonal_"
    if self.ndim < 2:
        raise error(RuntimeError, who, "dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise error(
            RuntimeError, who, "all dimensions of input must be of equal length",
            given=f"shape {tuple(self.shape)}",
        )  # fmt: skip
    number = number_of(who, self, fill_value)
    value = number_tensor(self._k, number)
    strides = strides_of(self)
    length = min(self.shape)
    offset = self.storage_offset()
    step = sum(strides)
    main = self.as_strided((length,), (step,), offset)
    _writes.write(main, value)
    height, width = self.shape[0], self.shape[1]
    if wrap and self.ndim == 2 and height > width + 1:
        # One row stays free between the blocks.
        block = strides[0] * (width + 1)
        left = (height - (width + 1)) * width
        count = left // (width + 1) + (1 if left % (width + 1) else 0)
        rest = self.as_strided((count,), (step,), offset + block)
        _writes.write(rest, value)
    return self


method("fill_diagonal_", fill_diagonal_)
