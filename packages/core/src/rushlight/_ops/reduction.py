"""Sums, products and logical reductions over dimensions."""

from __future__ import annotations

from typing import Any

from .. import _dispatch
from .._dispatch import Spec
from .._dtypes import DType, bool_, int64, uint8
from .._errors import error
from .._failures import explained
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import Operator, operator
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, native_of, refreshed, storage_of
from .._views import placed_view
from ._batching import over_dims
from ._geometry import check_tensor
from ._public import public
from .creation import cast_op, full
from .views import check_dim, check_dims, expand_op, sum_to

sum_op = operator("sum(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
nansum_op = operator("nansum(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
prod_op = operator("prod(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
any_op = operator("any(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor", differentiable=False)
all_op = operator("all(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor", differentiable=False)
count_nonzero_op = operator(
    "count_nonzero(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor", differentiable=False
)

# `tuple(range(n))` for every number of dimensions a call is likely to have.
EVERY_DIM = tuple(tuple(range(n)) for n in range(65))


# -- what all reductions share --------------------------------------------------------------


def reduced_shape(shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after a reduction."""
    if keepdim:
        return tuple(1 if d in dim else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in dim)


def restored(g: Tensor, shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduction's gradient with the reduced dimensions back, of size 1."""
    if keepdim or not dim:
        return g
    size = tuple(1 if d in dim else n for d, n in enumerate(shape))
    return g.reshape(size)


def spread(g: Tensor, shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduction's gradient repeated over the reduced dimensions."""
    if not keepdim and len(dim) == len(shape):
        if g.__class__ is Tensor and STATE.get() is NO_GRAD:
            zeros = (0,) * len(shape)
            attributes = {"size": shape}
            storage_of(g)
            return placed_view(expand_op, g, attributes, g._k, shape, zeros, g._offset, False)
        return expand_op(g, size=tuple(shape))  # type: ignore[no-any-return]
    return expand_op(restored(g, shape, dim, keepdim), size=tuple(shape))  # type: ignore[no-any-return]


def has_values(x: Tensor) -> bool:
    """Whether the values can be looked at: not on the meta device, nor within a transform."""
    return not (x._k.is_meta or getattr(x, "is_level_tensor", False))


def dims_or_all(who: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions to reduce; None and an empty sequence mean all of them."""
    if dim is None:
        return EVERY_DIM[ndim]
    if not isinstance(dim, int) and hasattr(dim, "__len__") and len(dim) == 0:
        return EVERY_DIM[ndim]
    if isinstance(dim, (float, complex, str)):
        raise error(
            TypeError, who, f"argument 'dim' must be tuple of ints, not {type(dim).__name__}"
        )
    return check_dims(who, dim, ndim)


def accumulated(input: Tensor, dtype: DType | None) -> Tensor:
    """A tensor in the dtype that sums and products are taken in: integers and bool in int64."""
    if dtype is None:
        if input._k.dtype.is_inexact:
            return input
        dtype = int64
    return input if input._k.dtype is dtype else cast_op(input, dtype=dtype)


def same_dtype(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
    """Meta function of a reduction that keeps the dtype."""
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype)


# -- sum ------------------------------------------------------------------------------------

sum_op.meta(same_dtype)
sum_op.vjp(x=lambda g, x_shape, dim, keepdim: spread(g, x_shape, dim, keepdim))
sum_op.jvp("linear")
sum_op.batching(over_dims(sum_op))

sum_to_op = operator("sum_to(Tensor x) -> Tensor")
sum_to_op.function = sum_to

_new = object.__new__


def direct_along(op: Operator, x: Any, dim: Any, reduces: bool = True) -> Tensor | None:
    """A reduction over one dimension or all where nothing stands between the call and the kernel.

    None for everything else, errors among it.  An operator that does not reduce is one along a
    dimension, whose result has the operand's shape.
    """
    if x.__class__ not in PLAIN:
        return None
    kind = x._k
    kernel = kind.hot[op.index]
    if kernel is None or not kind.dtype.is_inexact:
        return None
    state = STATE.get()
    if state is GRAD:
        recorded = x._req if x._view is None else refreshed(x)
    elif state is NO_GRAD:
        recorded = False
    else:
        return None
    native = x._a
    if native is None:
        native = native_of(x)
    ndim = native.ndim
    place: Any
    if dim.__class__ is int and -ndim <= dim < ndim:
        place = (dim % ndim,) if reduces else dim % ndim
    elif dim is None and reduces:
        place = EVERY_DIM[ndim]
    else:
        return None
    try:
        result = kernel(native, dim=place, keepdim=False) if reduces else kernel(native, dim=place)
    except Exception as raised:
        attributes = {"dim": place, "keepdim": False} if reduces else {"dim": place}
        raise explained(op, (x,), attributes, raised) from raised
    if result.__class__ is not kind.array:
        result = kind.runtime.wrap(result, kind.dtype)
    out = _new(Tensor)
    out._k = kind
    out._a = result
    out._storage = out._view = out._shape = out._node = None
    out._req = False
    if recorded:
        attributes = {"dim": place, "keepdim": False} if reduces else {"dim": place}
        return _dispatch.record(op, (x,), attributes, out, (True,))  # type: ignore[no-any-return]
    return out


@public(out=True, op=sum_op)
def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum over dimensions, of all elements by default.

    Args:
        input: Tensor; integers and bool are added up as int64.
        dim: Dimension or dimensions to sum over.
        keepdim: Keeps these dimensions with size 1.
        dtype: Converts to this dtype before summing.
    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.sum(rushlight.tensor([[1, 2], [3, 4]]), dim=0)
        tensor([4, 6])
    """
    if dtype is None and keepdim is False:
        direct = direct_along(sum_op, input, dim)
        if direct is not None:
            return direct
    check_tensor("sum", input)
    dims = dims_or_all("sum", dim, input.ndim)
    return sum_op(accumulated(input, dtype), dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


@public(function=False)
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Sum over the dimensions along which `size` would be broadcast to the tensor's shape.

    Raises:
        RuntimeError: `size` does not broadcast to the tensor's shape.
    """
    wanted = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    lead = self.ndim - len(wanted)
    fits = lead >= 0
    for n, m in zip(wanted, self.shape[max(lead, 0) :], strict=False):
        fits = fits and n in (m, 1)
    if not fits:
        raise error(
            RuntimeError,
            "sum_to_size",
            f"size {list(wanted)} is not expandable to size {list(self.shape)}",
        )
    reduced = self.shape != tuple(wanted) or not wanted
    return sum_to(accumulated(self, None) if reduced else self, tuple(wanted))


@nansum_op.decomposition
def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    if x.dtype.is_inexact:
        x = x.masked_fill(x != x, 0)
    return sum_op(x, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]


nansum_op.meta(same_dtype)
nansum_op.vjp(
    x=lambda g, x, dim, keepdim: spread(g, tuple(x.shape), dim, keepdim).masked_fill(x != x, 0)
)


@public(out=True, op=nansum_op)
def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum in which NaN counts as zero.

    Example:
        >>> rushlight.nansum(rushlight.tensor([1.0, float("nan"), 2.0]))
        tensor(3.)
    """
    check_tensor("nansum", input)
    if input.dtype.is_complex:
        raise error(RuntimeError, "nansum", "nansum does not support complex inputs")
    dims = dims_or_all("nansum", dim, input.ndim)
    return nansum_op(accumulated(input, dtype), dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


# -- prod -----------------------------------------------------------------------------------


def _others_product(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """For each element the product of all others that it is reduced with; right at zeros too.

    The product from the left times the product from the right: dividing by the element would
    fail at 0.
    """
    kept = [d for d in range(x.ndim) if d not in dim]
    order = (*kept, *dim)
    moved = x.permute(order)
    rows = moved.reshape(*(x.shape[d] for d in kept), -1) if x.numel() else moved.flatten(len(kept))
    last = rows.ndim - 1
    ones = full(tuple(rows.shape[:-1]) + (1,), 1, dtype=x.dtype, device=x.device)

    def before(y: Tensor) -> Tensor:
        return operators["cat"](ones, y.cumprod(last).narrow(last, 0, y.shape[last] - 1), dim=last)  # type: ignore[no-any-return]

    others = before(rows) * before(rows.flip(last)).flip(last)
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return others.reshape(tuple(moved.shape)).permute(inverse)


def _prod_vjp(g: Tensor, x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if not dim:
        return g
    if not x.numel():
        return spread(g, tuple(x.shape), dim, keepdim) * x
    others = _others_product(x, dim)
    return restored(g, tuple(x.shape), dim, keepdim) * (others.conj() if x.is_complex() else others)


def _prod_jvp(
    primals: Any, tangents: Any, out: Tensor, *, dim: tuple[int, ...], keepdim: bool = False
) -> Tensor:
    x, t = primals[0], tangents[0]
    if not dim or not x.numel():
        return sum_op(t, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    return sum_op(t * _others_product(x, dim), dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]


prod_op.meta(same_dtype)
prod_op.vjp(x=_prod_vjp)
prod_op.jvp(_prod_jvp)
prod_op.batching(over_dims(prod_op))


@public(out=True, op=prod_op)
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Product over one dimension, or of all elements.

    Args:
        input: Tensor; integers and bool are multiplied as int64.
        dim: The dimension.
        keepdim: Keeps it with size 1.
        dtype: Converts to this dtype before multiplying.
    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.prod(rushlight.tensor([1, 2, 3, 4]))
        tensor(24)
    """
    check_tensor("prod", input)
    dims = EVERY_DIM[input.ndim]
    if dim is not None:
        place = check_dim("prod", dim, input.ndim)
        dims = (place,) if input.ndim else ()
    return prod_op(accumulated(input, dtype), dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


# -- any, all, count_nonzero ----------------------------------------------------------------


def _to_bool(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), bool_)


def _to_int64(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), int64)


any_op.meta(_to_bool)
all_op.meta(_to_bool)
count_nonzero_op.meta(_to_int64)
for _op in (any_op, all_op, count_nonzero_op):
    _op.batching(over_dims(_op))


def _logical(op: Operator, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    check_tensor(op.name, input)
    # Unlike for sums, an empty sequence of dimensions means none here.
    dims = EVERY_DIM[input.ndim] if dim is None else check_dims(op.name, dim, input.ndim)
    out: Tensor = op(input, dim=dims, keepdim=bool(keepdim))
    return cast_op(out, dtype=uint8) if input.dtype is uint8 else out


@public(out=True, op=any_op)
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not zero), over all or over some dimensions.

    Example:
        >>> rushlight.any(rushlight.tensor([[0, 1], [0, 0]]), dim=1)
        tensor([ True, False])
    """
    return _logical(any_op, input, dim, keepdim)


@public(out=True, op=all_op)
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not zero), over all or over some dimensions.

    Example:
        >>> rushlight.all(rushlight.tensor([[1, 1], [0, 1]]), dim=1)
        tensor([ True, False])
    """
    return _logical(all_op, input, dim, keepdim)


@public(op=count_nonzero_op)
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero, over all or over some dimensions.

    Example:
        >>> rushlight.count_nonzero(rushlight.tensor([0, 3, 0, 4]))
        tensor(2)
    """
    check_tensor("count_nonzero", input)
    dims = dims_or_all("count_nonzero", dim, input.ndim)
    return count_nonzero_op(input, dim=dims, keepdim=False)  # type: ignore[no-any-return]
