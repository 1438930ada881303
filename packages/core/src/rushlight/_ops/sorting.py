"""Sorting, the largest k, the k-th smallest, distinct elements, and searching in sorted tensors."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, int32, int64
from .._errors import error
from .._operator import Operator, operator
from .._promotion import result_type
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import batch_size, front_or_expanded, over_dim
from ._geometry import check_tensor
from ._indexed import spread_zero
from ._public import into, public
from ._results import exactly_into, result_type_named
from .creation import cast_op, full
from .reduction import has_values, reduced_shape
from .views import check_dim

_AT = "Tensor x, *, int dim"
sort_op = operator(
    f"sort({_AT}, bool descending=False, bool stable=False) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
argsort_op = operator(
    f"argsort({_AT}, bool descending=False, bool stable=False) -> Tensor", differentiable=False
)
topk_op = operator(
    "topk(Tensor x, *, int k, int dim, bool largest=True, bool sorted=True) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
kthvalue_op = operator(
    "kthvalue(Tensor x, *, int k, int dim, bool keepdim=False) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
unique_op = operator(
    "unique(Tensor x, *, int? dim=None, bool return_inverse=False, bool return_counts=False)"
    " -> (Tensor, Tensor, Tensor)",
    differentiable=False,
)
unique_consecutive_op = operator(
    "unique_consecutive(Tensor x, *, int? dim=None, bool return_inverse=False,"
    " bool return_counts=False) -> (Tensor, Tensor, Tensor)",
    differentiable=False,
)
searchsorted_op = operator(
    "searchsorted(Tensor ordered, Tensor values, *, bool right=False, bool out_int32=False)"
    " -> Tensor",
    differentiable=False,
)


# -- selecting operators --------------------------------------------------------------------


def put_back(g: Tensor, shape: tuple[int, ...], indices: Tensor, dim: int, dropped: bool) -> Tensor:
    """The gradient of elements that were picked at `indices` along `dim`: zero elsewhere.

    `dropped` says that the dimension was reduced away.
    """
    if not shape:
        return g.reshape(())
    if dropped:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    zeros = spread_zero(shape, g)
    return operators["scatter"](zeros, indices, g, dim=dim, reduce="sum", include_self=True)  # type: ignore[no-any-return]


def picked_along(x: Tensor, indices: Tensor, dim: int, dropped: bool) -> Tensor:
    """Elements at `indices` along `dim`."""
    if x.ndim == 0:
        return x.reshape(tuple(indices.shape))
    if dropped:
        return x.gather(dim, indices.unsqueeze(dim)).squeeze(dim)
    return x.gather(dim, indices)


def selecting(op: Operator) -> None:
    """Derivatives and batching of an operator that returns elements and their positions."""
    reduces = any(p.name == "keepdim" for p in op.schema.attributes)

    def put(g: Any, shape: tuple[int, ...], indices: Tensor, dim: int, dropped: bool) -> Any:
        return None if g[0] is None else put_back(g[0], shape, indices, dim, dropped)

    if reduces:
        op.vjp(lambda g, out1, x_shape, dim, keepdim: put(g, x_shape, out1, dim, not keepdim))
    else:
        op.vjp(lambda g, out1, x_shape, dim: put(g, x_shape, out1, dim, False))

    @op.jvp
    def _(primals: Any, tangents: Any, outs: Any, *, dim: int, **rest: Any) -> Any:
        dropped = reduces and not rest["keepdim"]
        return picked_along(tangents[0], outs[1], dim, dropped), None

    op.batching(over_dim(op))


def _length(shape: tuple[int, ...], dim: int, k: int) -> tuple[int, ...]:
    return (*shape[:dim], k, *shape[dim + 1 :]) if shape else ()


selecting(sort_op)
selecting(topk_op)
selecting(kthvalue_op)


@sort_op.meta
def _(x: Tensor, *, dim: int, descending: bool = False, stable: bool = False) -> Any:
    return Spec(x.shape, x.dtype), Spec(x.shape, int64)


@argsort_op.meta
def _(x: Tensor, *, dim: int, descending: bool = False, stable: bool = False) -> Spec:
    return Spec(x.shape, int64)


@topk_op.meta
def _(x: Tensor, *, k: int, dim: int, largest: bool = True, sorted: bool = True) -> Any:
    shape = _length(tuple(x.shape), dim, k)
    return Spec(shape, x.dtype), Spec(shape, int64)


@kthvalue_op.meta
def _(x: Tensor, *, k: int, dim: int, keepdim: bool = False) -> Any:
    shape = reduced_shape(x.shape, (dim,), keepdim)
    return Spec(shape, x.dtype), Spec(shape, int64)


argsort_op.batching(over_dim(argsort_op))


def _check_order(who: str, x: Tensor) -> None:
    check_tensor(who, x)
    if x.dtype.is_complex:
        raise error(RuntimeError, who, "sort(): complex numbers have no order", given=f"{x.dtype}")


def sort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = False,
    *,
    out: Any = None,
) -> Any:
    """The elements in order along a dimension, and their positions; NaN counts as the largest.

    Args:
        input: Real tensor.
        dim: Dimension to sort along.
        descending: Largest first.
        stable: Equal elements keep their order (they always do here).
    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.sort(rushlight.tensor([3, 1, 2])).indices
        tensor([1, 2, 0])
    """
    _check_order("sort", input)
    place = check_dim("sort", dim, input.ndim)
    found = sort_op(input, dim=place, descending=bool(descending), stable=bool(stable))
    result = result_type_named("sort", ("values", "indices"))(*found)
    return result if out is None else into("sort", result, out)


def argsort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    out: Any = None,
) -> Tensor:
    """The positions that put the elements in order along a dimension.

    Example:
        >>> rushlight.argsort(rushlight.tensor([3, 1, 2]))
        tensor([1, 2, 0])
    """
    _check_order("argsort", input)
    place = check_dim("argsort", dim, input.ndim)
    result: Tensor = argsort_op(input, dim=place, descending=bool(descending), stable=bool(stable))
    return result if out is None else into("argsort", result, out)


public(op=sort_op)(sort)
public(op=argsort_op)(argsort)


@public(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements in ascending order along the first dimension.

    Example:
        >>> rushlight.msort(rushlight.tensor([[3, 1], [2, 4]]))
        tensor([[2, 1],
                [3, 4]])
    """
    _check_order("msort", input)
    return sort_op(input, dim=0)[0]  # type: ignore[no-any-return]


@public(out=True, op=topk_op)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) elements along a dimension, and their positions.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: `k` is larger than the dimension.
    Example:
        >>> rushlight.topk(rushlight.tensor([3, 1, 2]), 2).values
        tensor([3, 2])
    """
    _check_order("topk", input)
    place = check_dim("topk", dim, input.ndim)
    k = k.__index__()
    size = input.shape[place] if input.ndim else 1
    if not 0 <= k <= size:
        raise error(
            RuntimeError,
            "topk",
            f"selected index k out of range: k is {k} and dimension {place} has size {size}",
            given=f"x of shape {tuple(input.shape)}",
            expected=f"0 <= k <= {size}",
        )
    found = topk_op(input, k=k, dim=place, largest=bool(largest), sorted=bool(sorted))
    return result_type_named("topk", ("values", "indices"))(*found)


@public(op=kthvalue_op)
def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The k-th smallest element along a dimension, counting from 1, and its position.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: `k` is not between 1 and the dimension's size.
    Example:
        >>> rushlight.kthvalue(rushlight.tensor([3, 1, 2]), 2).values
        tensor(2)
    """
    _check_order("kthvalue", input)
    place = check_dim("kthvalue", dim, input.ndim)
    size = input.shape[place] if input.ndim else 1
    if input.ndim and size == 0:
        raise error(
            IndexError,
            "kthvalue",
            f"Expected reduction dim {place} to have non-zero size",
            given=f"x of shape {tuple(input.shape)}",
        )
    if not 1 <= k <= size:
        raise error(
            RuntimeError,
            "kthvalue",
            f"selected number k out of range for dimension {place}: k is {k}",
            given=f"x of shape {tuple(input.shape)}",
            expected=f"1 <= k <= {size}",
        )
    found = kthvalue_op(input, k=int(k), dim=place, keepdim=bool(keepdim))
    result = result_type_named("kthvalue", ("values", "indices"))(*found)
    return result if out is None else exactly_into("kthvalue", result, out, input)


# -- distinct elements ----------------------------------------------------------------------


def _distinct(op: Operator, x: Tensor, dim: int | None, inverse: bool, counts: bool) -> Any:
    check_tensor(op.name, x)
    if dim is not None:
        dim = check_dim(op.name, dim, x.ndim)
        if x.ndim == 0:
            dim = None
        elif x.numel() == 0 and x.shape[dim] != 0:
            raise error(
                RuntimeError,
                op.name,
                "There are 0 sized dimensions, and they aren't selected, so unique cannot be "
                "applied",
                given=f"x of shape {tuple(x.shape)}, dim={dim}",
            )
    values, where, many = op(x, dim=dim, return_inverse=inverse, return_counts=counts)
    parts = [values, *([where] if inverse else []), *([many] if counts else [])]
    return parts[0] if len(parts) == 1 else tuple(parts)


@public(op=unique_op)
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order, or the distinct slices along a dimension.

    Args:
        input: Tensor.
        sorted: Ignored: the result is always sorted.
        return_inverse: Also returns where each element went.
        return_counts: Also returns how often each occurs.
        dim: Dimension whose slices are compared; elements by default.
    Example:
        >>> rushlight.unique(rushlight.tensor([3, 1, 3]), return_counts=True)
        (tensor([1, 3]), tensor([1, 2]))
    """
    if isinstance(input, Tensor) and input.dtype.is_complex:
        raise error(RuntimeError, "unique", "complex numbers have no order", given=f"{input.dtype}")
    return _distinct(unique_op, input, dim, bool(return_inverse), bool(return_counts))


@public(op=unique_consecutive_op)
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices) without immediate repetitions.

    Example:
        >>> rushlight.unique_consecutive(rushlight.tensor([1, 1, 2, 1]))
        tensor([1, 2, 1])
    """
    return _distinct(unique_consecutive_op, input, dim, bool(return_inverse), bool(return_counts))


# -- searching ------------------------------------------------------------------------------


@searchsorted_op.meta
def _(ordered: Tensor, values: Tensor, *, right: bool = False, out_int32: bool = False) -> Spec:
    return Spec(values.shape, int32 if out_int32 else int64)


@searchsorted_op.batching
def _(inputs: Any, bdims: Any, **attributes: Any) -> Any:
    ordered, values = inputs
    size = batch_size(inputs, bdims)
    if bdims[0] is None and ordered.ndim == 1:
        return searchsorted_op(ordered, values, **attributes), bdims[1]
    inner = ordered.ndim - (bdims[0] is not None)
    ordered = front_or_expanded(ordered, bdims[0], size)
    values = front_or_expanded(values, bdims[1], size)
    if inner == 1:
        # One sorted row for values of any shape: they become one row too.
        flat = values.reshape(size, -1)
        return searchsorted_op(ordered, flat, **attributes).reshape(tuple(values.shape)), 0
    return searchsorted_op(ordered, values, **attributes), 0


def _check_search(who: str, ordered: Tensor, values: Tensor, side: str | None, right: bool) -> bool:
    if ordered.device != values.device:
        raise error(
            RuntimeError,
            who,
            "Expected all tensors to be on the same device",
            given=f"{ordered.device} and {values.device}",
        )
    if ordered.ndim == 0:
        raise error(
            RuntimeError, who, "boundaries tensor should have positive dimension, but got 0"
        )
    if ordered.ndim != 1 and (
        ordered.ndim != values.ndim or ordered.shape[:-1] != values.shape[:-1]
    ):
        raise error(
            RuntimeError,
            who,
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            "tensor and input value tensor must match",
            given=f"shapes {tuple(ordered.shape)} and {tuple(values.shape)}",
        )
    if ordered.dtype is not values.dtype:
        raise error(
            RuntimeError,
            who,
            "boundary tensor and input value tensor should have same dtype, but got boundary "
            f"tensor dtype {ordered.dtype.name} and input value tensor dtype {values.dtype.name}",
        )
    if ordered.dtype.is_complex or ordered.dtype is bool_:
        raise error(RuntimeError, who, f"not implemented for {ordered.dtype.name}")
    if side is None:
        return bool(right)
    if side not in ("left", "right"):
        raise error(RuntimeError, who, f"side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise error(
            RuntimeError, who, "side and right can't be set to opposites, got side of left while "
            "right was True",
        )  # fmt: skip
    return side == "right"


@public(out=True, op=searchsorted_op)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where values would have to be inserted in sorted rows to keep them sorted.

    Args:
        sorted_sequence: Rows in ascending order along the last dimension.
        input: Values, or a number.
        out_int32: Returns int32 instead of int64.
        right: The last such place instead of the first.
        side: "left" or "right", the same said otherwise.
        sorter: Positions that put `sorted_sequence` in order, if it is not.
    Raises:
        RuntimeError: Shapes, dtypes or options do not fit together.
    Example:
        >>> rushlight.searchsorted(rushlight.tensor([1, 3, 5]), rushlight.tensor([3, 4]))
        tensor([1, 2])
    """
    check_tensor("searchsorted", sorted_sequence)
    values = _as_values(input, sorted_sequence)
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape:
            raise error(
                RuntimeError,
                "searchsorted",
                "boundary and sorter must have the same size",
                given=f"shapes {tuple(sorted_sequence.shape)} and {tuple(sorter.shape)}",
            )
        if sorter.dtype is not int64:
            raise error(
                RuntimeError, "searchsorted", "sorter must be a tensor of long dtype but got dtype "
                f"{sorter.dtype.name}",
            )  # fmt: skip
        size = sorted_sequence.shape[-1]
        known = has_values(sorter) and sorter.numel()
        if known and not 0 <= int(sorter.min()) <= int(sorter.max()) < size:
            raise error(RuntimeError, "searchsorted", "sorter index out of range")
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    right = _check_search("searchsorted", sorted_sequence, values, side, right)
    return searchsorted_op(  # type: ignore[no-any-return]
        sorted_sequence, values, right=right, out_int32=bool(out_int32)
    )


def _as_values(input: Any, ordered: Tensor) -> Tensor:
    """A tensor of the values to search; a number takes the dtype of what it is sought in."""
    if isinstance(input, Tensor):
        return input
    dtype = result_type(ordered, input)
    if dtype is not ordered.dtype and ordered.ndim > 0:
        dtype = ordered.dtype
    return full((), input, dtype=dtype, device=ordered.device)


@public(out=True, methods=False)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket between sorted boundaries that each value falls into.

    Raises:
        RuntimeError: `boundaries` is not one-dimensional.
    Example:
        >>> rushlight.bucketize(rushlight.tensor([3, 6]), rushlight.tensor([1, 3, 5]))
        tensor([1, 3])
    """
    check_tensor("bucketize", boundaries)
    if boundaries.ndim != 1:
        raise error(
            RuntimeError,
            "bucketize",
            f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})",
        )
    values = _as_values(input, boundaries)
    right = _check_search("bucketize", boundaries, values, None, right)
    return searchsorted_op(boundaries, values, right=right, out_int32=bool(out_int32))  # type: ignore[no-any-return]


@public(out=True, methods=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among the test elements.

    Args:
        elements: Tensor or number.
        test_elements: Tensor or number.
        assume_unique: Promises that neither has repetitions; changes nothing here.
        invert: Whether each element is *not* among them.
    Raises:
        ValueError: Both are numbers.
    Example:
        >>> rushlight.isin(rushlight.tensor([1, 2, 3]), rushlight.tensor([2, 4]))
        tensor([False,  True, False])
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise error(
            ValueError, "isin", "at least one of elements and test_elements must be a Tensor",
        )  # fmt: skip
    device = elements.device if isinstance(elements, Tensor) else test_elements.device
    dtype = result_type(elements, test_elements)
    x, tests = (
        y.to(dtype) if isinstance(y, Tensor) else full((), y, dtype=dtype, device=device)
        for y in (elements, test_elements)
    )
    if dtype.is_complex:
        raise error(RuntimeError, "isin", f"unsupported input type {dtype.name}")
    if tests.numel() == 0:
        found = full(tuple(x.shape), False, dtype=bool_, device=device)
    else:
        # cast: a search needs an order, which bool has only as a number
        if dtype is bool_:
            x, tests = cast_op(x, dtype=int32), cast_op(tests, dtype=int32)
        ordered = tests.reshape(-1).sort()[0]
        place = searchsorted_op(ordered, x).clamp(max=ordered.shape[0] - 1)
        found = ordered.take(place) == x
    return ~found if invert else found
