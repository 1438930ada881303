"""Advanced indexing: `index` and `index_put` with index tensors, and their public functions."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, int32, int64, uint8
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._indexed import Call, Shape, batch_size, fronted, indexed_write, spread_zero
from .gathering import nonzero_columns

index_op = operator("index(Tensor x, Tensor[] indices, *, int[] dims) -> Tensor")
index_put_op = operator(
    "index_put(Tensor x, Tensor values, Tensor[] indices, *, int[] dims, bool accumulate=False)"
    " -> Tensor"
)


# -- layout ---------------------------------------------------------------------------------


def adjacent(dims: Shape) -> bool:
    """Whether indexed dimensions follow each other; then the result has them in their place."""
    return dims[-1] - dims[0] == len(dims) - 1


def index_shape(indices: tuple[Tensor, ...]) -> Shape:
    """The shape that index tensors broadcast to.

    Raises:
        IndexError: They do not.
    """
    first = tuple(indices[0].shape)
    for index in indices:
        if index.shape != first:
            break
    else:
        return first
    try:
        return broadcast_shapes("index", *[tuple(index.shape) for index in indices])
    except RuntimeError as raised:
        shapes = ", ".join(str(list(index.shape)) for index in indices)
        raise error(
            IndexError,
            "index",
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + shapes,
        ) from raised


def result_shape(shape: Shape, indices: tuple[Tensor, ...], dims: Shape) -> Shape:
    """The shape of what indices select: their own in place of the indexed dimensions."""
    found = index_shape(indices)
    rest = [n for d, n in enumerate(shape) if d not in dims]
    first = dims[0] if adjacent(dims) else 0
    return (*rest[:first], *found, *rest[first:])


@index_op.meta
def _(x: Tensor, *indices: Tensor, dims: Shape) -> Spec:
    return Spec(result_shape(tuple(x.shape), indices, dims), x.dtype)


@index_put_op.meta
def _(x: Tensor, values: Tensor, *indices: Tensor, dims: Shape, accumulate: bool = False) -> Spec:
    check_values(tuple(values.shape), result_shape(tuple(x.shape), indices, dims))
    return Spec(x.shape, x.dtype)


def check_values(shape: Shape, wanted: Shape) -> None:
    """Raises unless values broadcast to what an index selects."""
    if len(shape) <= len(wanted):
        for n, m in zip(reversed(shape), reversed(wanted), strict=False):
            if n not in (1, m):
                break
        else:
            return
    raise error(
        RuntimeError,
        "index_put",
        f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing "
        f"result of shape {list(wanted)}",
    )


# -- derivatives ----------------------------------------------------------------------------


@index_op.vjp
def _(g: Tensor, *, indices: Any, x_shape: Shape, dims: Shape) -> tuple[Any, ...]:
    whole = index_put_op(spread_zero(x_shape, g), g, *indices, dims=dims, accumulate=True)
    return (whole, *[None] * len(indices))


@index_put_op.vjp
def _(
    g: Tensor, *, indices: Any, dims: Shape, accumulate: bool, needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    g_x = g_values = None
    if needs[0]:
        g_x = g
        if not accumulate:
            g_x = index_put_op(g, spread_zero((), g), *indices, dims=dims, accumulate=False)
    if needs[1]:
        g_values = index_op(g, *indices, dims=dims)
    return (g_x, g_values, *[None] * len(indices))


index_op.jvp("linear")
index_put_op.jvp("linear")


# -- batches --------------------------------------------------------------------------------


def _aligned(indices: Any, bdims: Any, extra: bool) -> list[Tensor]:
    """Index tensors with the batch in front of equally many dimensions.

    With `extra`, also one that counts the items, to go with the batch dimension of x.
    """
    ndim = max(i.ndim - (d is not None) for i, d in zip(indices, bdims, strict=True))
    aligned: list[Tensor] = []
    for index, bdim in zip(indices, bdims, strict=True):
        if bdim is not None:
            index = fronted(index, bdim, 0)
            size = index.shape[0]
            missing = (1,) * (ndim + 1 - index.ndim)
            index = index.reshape(size, *missing, *index.shape[1:])
        aligned.append(index)
    if extra:
        first = aligned[0]
        size = next(i.shape[d] for i, d in zip(indices, bdims, strict=True) if d is not None)
        items = operators["arange"](start=0, step=1, length=size, dtype=int64, device=first.device)
        aligned.insert(0, items.reshape(size, *(1,) * ndim))
    return aligned


def _moved(x: Tensor, start: int, count: int, to: int) -> Tensor:
    """A run of dimensions moved to another place among the others."""
    run = list(range(start, start + count))
    others = [d for d in range(x.ndim) if d not in run]
    order = (*others[:to], *run, *others[to:])
    if order == tuple(range(x.ndim)):
        return x
    return operators["permute"](x, dims=order)  # type: ignore[no-any-return]


@index_op.batching
def _(inputs: Any, bdims: Any, *, dims: Shape) -> Any:
    x, indices = inputs[0], inputs[1:]
    if all(d is None for d in bdims[1:]):
        x = fronted(x, bdims[0], 0)
        shifted = tuple(d + 1 for d in dims)
        out = index_op(x, *indices, dims=shifted)
        return out, 0 if adjacent(dims) else len(index_shape(indices))
    if bdims[0] is None:
        aligned = _aligned(indices, bdims[1:], False)
        return index_op(x, *aligned, dims=dims), dims[0] if adjacent(dims) else 0
    aligned = _aligned(indices, bdims[1:], True)
    shifted = (0, *(d + 1 for d in dims))
    out = index_op(fronted(x, bdims[0], 0), *aligned, dims=shifted)
    if adjacent(dims) and dims[0]:
        # The batch dimension took the index dimensions to the front with it.
        out = _moved(out, 1, aligned[0].ndim - 1, 1 + dims[0])
    return out, 0


@index_put_op.batching
def _(inputs: Any, bdims: Any, *, dims: Shape, accumulate: bool) -> Any:
    size = batch_size(inputs, bdims)
    x, values, indices = fronted(inputs[0], bdims[0], size), inputs[1], inputs[2:]
    some = [d is not None for d in bdims[2:]]
    count = max(i.ndim - b for i, b in zip(indices, some, strict=True))
    # All values with all dimensions of the result, the batch in front.
    values = fronted(values, bdims[1], 0) if bdims[1] is not None else values
    lead = values.shape[:1] if bdims[1] is not None else (1,)
    items = values.shape[1:] if bdims[1] is not None else values.shape
    ndim = x.ndim - 1 - len(dims) + count
    values = values.reshape(*lead, *(1,) * (ndim - len(items)), *items)
    if any(some):
        aligned = _aligned(indices, bdims[2:], True)
        shifted = (0, *(d + 1 for d in dims))
        if adjacent(dims) and dims[0]:
            values = _moved(values, 1 + dims[0], count, 1)
    else:
        aligned = list(indices)
        shifted = tuple(d + 1 for d in dims)
        if not adjacent(dims):
            values = _moved(values, 0, 1, count)
    return index_put_op(x, values, *aligned, dims=shifted, accumulate=accumulate), 0


# -- index tensors --------------------------------------------------------------------------


def index_tensors(
    who: str, shape: Shape, given: list[tuple[int, Tensor]], *, place: int = 0
) -> tuple[list[Tensor], list[int]]:
    """Index tensors in int64 and the dimensions they stand for; masks become positions.

    Args:
        who: For errors.
        shape: Of the tensor to index.
        given: Pairs of a dimension and an index tensor; a mask covers as many dimensions as it has.
        place: For errors: the dimensions before the index.
    Raises:
        IndexError: A dtype is not an index's, or a mask has another shape than its dimensions.
    """
    indices: list[Tensor] = []
    dims: list[int] = []
    for dim, index in given:
        dtype = index.dtype
        if dtype is int64:
            indices.append(index)
            dims.append(dim)
        elif dtype is int32:
            indices.append(operators["cast"](index, dtype=int64))
            dims.append(dim)
        elif dtype is bool_ or dtype is uint8:
            check_mask(who, shape, dim, index)
            indices.extend(nonzero_columns(index))
            dims.extend(range(dim, dim + index.ndim))
        else:
            raise error(
                IndexError,
                who,
                "tensors used as indices must be long, int, byte or bool tensors",
                given=f"an index of {dtype}",
                fix="convert it, for example index.to(rushlight.int64)",
            )
    return indices, dims


def check_mask(who: str, shape: Shape, dim: int, mask: Tensor) -> None:
    """Raises unless a mask has the shape of the dimensions it stands for."""
    if tuple(mask.shape) != tuple(shape[dim : dim + mask.ndim]):
        for d, n in enumerate(mask.shape):
            if dim + d >= len(shape) or n != shape[dim + d]:
                raise error(
                    IndexError,
                    who,
                    f"The shape of the mask {list(mask.shape)} at index {d} does not match the "
                    f"shape of the indexed tensor {list(shape)} at index {dim + d}",
                )
    if mask.dtype is uint8:
        import warnings

        warnings.warn(
            "indexing with dtype uint8 is deprecated, use a dtype bool instead",
            UserWarning,
            stacklevel=5,
        )


def brought_together(
    x: Tensor, indices: list[Tensor], dims: list[int]
) -> tuple[tuple[Tensor, ...], Shape]:
    """Indices on the device of x; checks that they broadcast and that dimensions exist."""
    device = x._k.device
    moved = tuple([i if i._k.device == device else beside(x, i) for i in indices])
    if len(moved) > 1:
        index_shape(moved)
    return moved, tuple(dims)


def beside(x: Tensor, index: Tensor) -> Tensor:
    """An index on the device of x: one in host memory may serve any device.

    Raises:
        RuntimeError: The index lies on another device.
    """
    kind, device = index._k, x._k.device
    if kind.device == device:
        return index
    if not (kind.is_meta or x._k.is_meta):
        assert kind.backend is not None
        if not kind.backend.manifest.host_memory:
            raise error(
                RuntimeError,
                "index",
                "indices should be either on the host or on the same device as the indexed tensor "
                f"({device})",
                given=f"an index on {kind.device}",
                fix=f"move it with index.to('{device}')",
            )
    return operators["transfer"](index, device=device)  # type: ignore[no-any-return]


# -- functions ------------------------------------------------------------------------------


def put_call(
    who: str, x: Tensor, indices: Any, values: Tensor, accumulate: bool, dims: Any = None
) -> Call:
    """The call that writes values at index tensors."""
    if values.dtype is not x.dtype:
        raise error(
            RuntimeError,
            who,
            "Index put requires the source and destination dtypes match",
            given=f"{x.dtype} for the destination and {values.dtype} for the source",
            fix=f"convert it, for example values.to({x.dtype})",
        )
    wanted = result_shape(tuple(x.shape), indices, dims)
    check_values(tuple(values.shape), wanted)
    if values._k.device != x._k.device and not values.ndim:
        values = operators["transfer"](values, device=x._k.device)
    attributes = {"dims": dims, "accumulate": bool(accumulate)}
    return Call(index_put_op, (x, values, *indices), attributes)


@indexed_write()
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Call:
    """A copy of the input with values written at index tensors, `copy[indices] = values`.

    Args:
        input: The tensor to copy.
        indices: Tuple of index tensors, of dtype int64, int32, uint8 or bool; None takes a
            dimension whole.
        values: Broadcastable to the shape of `input[indices]`.
        accumulate: Adds to what is there; equal indices add up.
    Raises:
        IndexError: An index lies outside, or has no dtype of an index.
    Example:
        >>> x, i = rushlight.zeros(3), rushlight.tensor([0, 0])
        >>> rushlight.index_put(x, (i,), rushlight.tensor(1.0), accumulate=True)
        tensor([2., 0., 0.])
    """
    who = "index_put"
    check_tensor(who, input)
    check_tensor(who, values, "values")
    if not isinstance(indices, (tuple, list)):
        raise error(
            TypeError,
            who,
            f"argument 'indices' must be tuple of Tensors, not {type(indices).__name__}",
        )
    given: list[tuple[int, Tensor]] = []
    dim = 0
    for index in indices:
        if index is None:
            dim += 1
            continue
        check_tensor(who, index, "indices")
        given.append((dim, index))
        dim += index.ndim if index.dtype in (bool_, uint8) else 1
    if dim > input.ndim:
        raise error(
            IndexError,
            who,
            f"too many indices for tensor of dimension {input.ndim} (got {dim})",
        )
    found, dims = index_tensors(who, tuple(input.shape), given)
    if not found:
        whole = operators["expand"](values, size=tuple(input.shape))
        return Call(operators["where"], (_true(input), whole, input), {})
    together, places = brought_together(input, found, dims)
    return put_call(who, input, together, values, accumulate, places)


def _true(x: Tensor) -> Tensor:
    return operators["full"].function((), True, dtype=bool_, device=x.device)  # type: ignore[no-any-return]
