"""Largest and smallest elements, and where they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._dispatch import Spec
from .._dtypes import Category, DType, int64
from .._errors import error
from .._operator import Operator, operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import over_dim, over_dims
from ._geometry import check_tensor
from ._public import into, public
from ._results import exactly_into, result_type_named
from .reduction import EVERY_DIM, dims_or_all, reduced_shape, restored, sum_op
from .views import check_dim

amax_op = operator("amax(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
amin_op = operator("amin(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
argmax_op = operator(
    "argmax(Tensor x, *, int? dim, bool keepdim=False) -> Tensor", differentiable=False
)
argmin_op = operator(
    "argmin(Tensor x, *, int? dim, bool keepdim=False) -> Tensor", differentiable=False
)


def check_not_empty(who: str, x: Tensor, dim: tuple[int, ...]) -> None:
    """Raises if a reduction without identity has no elements to work on.

    Raises:
        IndexError: A reduced dimension has size 0.
    """
    for d in dim:
        if x.shape[d] == 0:
            raise error(
                IndexError,
                who,
                f"Expected reduction dim {d} to have non-zero size",
                given=f"x of shape {tuple(x.shape)}",
            )


def _check_real(who: str, x: Tensor) -> None:
    if x.dtype.is_complex:
        raise error(RuntimeError, who, f"not implemented for {x.dtype.name}: no order")


# -- amax, amin -----------------------------------------------------------------------------


def _share(x: Tensor, out: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """Each element's part in the extreme: tied elements share it, as in torch."""
    tied = (x == restored(out, tuple(x.shape), dim, keepdim)).to(x.dtype)
    return tied / sum_op(tied, dim=dim, keepdim=True)  # type: ignore[no-any-return]


def _rules(op: Operator) -> None:
    @op.meta
    def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
        check_not_empty(op.name, x, dim)
        return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype)

    @op.vjp
    def _(g: Tensor, *, x: Tensor, out: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        return restored(g, tuple(x.shape), dim, keepdim) * _share(x, out.detach(), dim, keepdim)

    @op.jvp
    def _(
        primals: Any, tangents: Any, out: Tensor, *, dim: tuple[int, ...], keepdim: bool = False
    ) -> Tensor:
        share = _share(primals[0], out, dim, keepdim)
        return sum_op(tangents[0] * share, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]

    op.batching(over_dims(op))


_rules(amax_op)
_rules(amin_op)


def _amax_or_amin(op: Operator, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(op.name, input)
    _check_real(op.name, input)
    dims = dims_or_all(op.name, dim, input.ndim)
    check_not_empty(op.name, input, dims)
    return op(input, dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


def lowest(dtype: DType) -> Any:
    """The identity of the maximum."""
    if dtype.is_inexact:
        return -math.inf
    return -(1 << (8 * dtype.itemsize - 1)) if dtype.is_signed else 0


def highest(dtype: DType) -> Any:
    """The identity of the minimum."""
    if dtype.is_inexact:
        return math.inf
    if dtype.category is Category.BOOL:
        return True
    return (1 << (8 * dtype.itemsize - dtype.is_signed)) - 1


@public(out=True, op=amax_op)
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest element over dimensions; NaN wins, and equal elements share the gradient.

    Raises:
        IndexError: There is no such dimension, or it has size 0.
    Example:
        >>> rushlight.amax(rushlight.tensor([[1, 5], [7, 3]]), dim=1)
        tensor([5, 7])
    """
    return _amax_or_amin(amax_op, input, dim, keepdim)


@public(out=True, op=amin_op)
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest element over dimensions; NaN wins, and equal elements share the gradient.

    Raises:
        IndexError: There is no such dimension, or it has size 0.
    Example:
        >>> rushlight.amin(rushlight.tensor([[1, 5], [7, 3]]), dim=1)
        tensor([1, 3])
    """
    return _amax_or_amin(amin_op, input, dim, keepdim)


@public()
def aminmax(
    input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None
) -> Any:
    """The smallest and the largest element, as `(min, max)`.

    Raises:
        RuntimeError: There are no elements.
    Example:
        >>> rushlight.aminmax(rushlight.tensor([3, 1, 2])).max
        tensor(3)
    """
    check_tensor("aminmax", input)
    _check_real("aminmax", input)
    if dim is None:
        _check_some("aminmax", input)
        dims = EVERY_DIM[input.ndim]
    else:
        place = check_dim("aminmax", dim, input.ndim)
        dims = (place,) if input.ndim else ()
        check_not_empty("aminmax", input, dims)
    keep = bool(keepdim)
    result = result_type_named("aminmax", ("min", "max"))(
        amin_op(input, dim=dims, keepdim=keep), amax_op(input, dim=dims, keepdim=keep)
    )
    return result if out is None else exactly_into("aminmax", result, out)


# -- argmax, argmin -------------------------------------------------------------------------


def _position_rules(op: Operator) -> None:
    @op.meta
    def _(x: Tensor, *, dim: int | None, keepdim: bool = False) -> Spec:
        if dim is not None and x.ndim:
            check_not_empty(op.name, x, (dim,))
        dims = EVERY_DIM[x.ndim] if dim is None else (dim,)
        return Spec(reduced_shape(x.shape, dims, keepdim), int64)

    shifted = over_dim(op)

    @op.batching
    def _(inputs: Any, bdims: Any, *, dim: int | None, keepdim: bool = False) -> Any:
        if dim is not None:
            return shifted(inputs, bdims, dim=dim, keepdim=keepdim)
        x = inputs[0].movedim(bdims[0], 0)
        out = op(x.reshape(x.shape[0], -1), dim=1, keepdim=False)
        return (out.reshape(-1, *[1] * (x.ndim - 1)) if keepdim else out), 0


_position_rules(argmax_op)
_position_rules(argmin_op)


def _position(op: Operator, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_tensor(op.name, input)
    _check_real(op.name, input)
    if dim is None:
        if input.numel() == 0:
            raise error(
                IndexError,
                op.name,
                "Expected reduction dim to be specified for input.numel() == 0",
                given=f"x of shape {tuple(input.shape)}",
                fix="specify the reduction dim with the 'dim' argument",
            )
    else:
        dim = check_dim(op.name, dim, input.ndim)
        if input.ndim:
            check_not_empty(op.name, input, (dim,))
    return op(input, dim=dim, keepdim=bool(keepdim))  # type: ignore[no-any-return]


@public(out=True, op=argmax_op)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position of the largest element, in the flattened tensor or along a dimension.

    Raises:
        IndexError: There is no such dimension, or no element.
    Example:
        >>> rushlight.argmax(rushlight.tensor([1, 5, 3]))
        tensor(1)
    """
    return _position(argmax_op, input, dim, keepdim)


@public(out=True, op=argmin_op)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position of the smallest element, in the flattened tensor or along a dimension.

    Raises:
        IndexError: There is no such dimension, or no element.
    Example:
        >>> rushlight.argmin(rushlight.tensor([1, 5, 3]))
        tensor(0)
    """
    return _position(argmin_op, input, dim, keepdim)


# -- max, min -------------------------------------------------------------------------------


def _check_some(who: str, x: Tensor) -> None:
    if x.numel() == 0:
        raise error(
            RuntimeError,
            who,
            f"{who}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument",
            given=f"x of shape {tuple(x.shape)}",
        )


def picked(x: Tensor, indices: Tensor, dim: int, keepdim: bool) -> Tensor:
    """The elements of a tensor at the positions that a reduction along `dim` found."""
    if x.ndim == 0:
        return x.clone()
    if keepdim:
        return operators["gather"](x, indices, dim=dim)  # type: ignore[no-any-return]
    values = operators["gather"](x, operators["unsqueeze"](indices, dim=dim), dim=dim)
    return operators["squeeze"](values, dims=(dim,))  # type: ignore[no-any-return]


def _extreme(who: str, fold: Operator, where: Operator, of_two: str) -> Callable[..., Any]:
    """`max` or `min` in its three forms: of all elements, along a dimension, of two tensors."""
    results = result_type_named(who, ("values", "indices"))

    def extreme(
        input: Tensor,
        dim: Any = None,
        keepdim: bool = False,
        *,
        other: Any = None,
        out: Any = None,
    ) -> Any:
        check_tensor(who, input)
        if other is None and isinstance(dim, Tensor):
            other, dim = dim, None
        if other is not None:
            check_tensor(who, other, "other")
            result: Any = operators[of_two](input, other)
        elif dim is None:
            _check_real(who, input)
            _check_some(who, input)
            result = fold(input, dim=EVERY_DIM[input.ndim], keepdim=False)
        else:
            _check_real(who, input)
            place = check_dim(who, dim, input.ndim)
            if input.ndim:
                check_not_empty(who, input, (place,))
            indices = where(input, dim=place, keepdim=bool(keepdim))
            result = results(picked(input, indices, place, bool(keepdim)), indices)
        return result if out is None else into(who, result, out)

    extreme.__name__ = extreme.__qualname__ = who
    extreme.__module__ = "rushlight"
    return extreme


max = _extreme("max", amax_op, argmax_op, "maximum")
max.__doc__ = """The largest element; along a dimension `(values, indices)`; of two tensors, each.

    Args:
        input: Real tensor.
        dim: Dimension to look along; or a tensor, for the element-wise maximum.
        keepdim: Keeps the dimension with size 1.
    Raises:
        IndexError: There is no such dimension, or it has size 0.
        RuntimeError: There are no elements.
    Example:
        >>> rushlight.max(rushlight.tensor([[1, 5], [7, 3]]), 1).indices
        tensor([1, 0])
    """
min = _extreme("min", amin_op, argmin_op, "minimum")
min.__doc__ = """The smallest element; along a dimension `(values, indices)`; of two tensors, each.

    Args:
        input: Real tensor.
        dim: Dimension to look along; or a tensor, for the element-wise minimum.
        keepdim: Keeps the dimension with size 1.
    Raises:
        IndexError: There is no such dimension, or it has size 0.
        RuntimeError: There are no elements.
    Example:
        >>> rushlight.min(rushlight.tensor([[1, 5], [7, 3]]), 1).values
        tensor([1, 3])
    """
public()(max)
public()(min)
