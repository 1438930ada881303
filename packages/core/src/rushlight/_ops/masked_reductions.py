"""Reductions and normalizations over the elements that a mask admits: `rushlight.masked`.

Elements where the mask is false count as the reduction's identity, so a slice without any element
gives that identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._config import settings
from .._dtypes import DType, bool_, int64
from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._matrices import choose, holds_anywhere, real
from ._public import PUBLIC, public
from .creation import cast_op, full
from .extremes import highest, lowest
from .reduction import dims_or_all, reduced_shape
from .vector_norms import vector_norm
from .views import check_dim

_SMALL = ("bool", "uint8", "int8", "int16", "int32")


def _public(function: Any) -> Any:
    return public(namespace="masked", methods=False)(function)


# -- masks, dims, identities --------------------------------------------------------------------


def _mask_for(who: str, input: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mask as bool in the shape of the tensor.

    Raises:
        IndexError: It has more dimensions than the tensor.
    """
    if mask is None:
        return None
    check_tensor(who, mask, "mask")
    if mask.ndim > input.ndim:
        raise error(
            IndexError,
            who,
            "expected broadcastable mask (got mask dimensionality higher than of the input)",
            given=f"mask of shape {tuple(mask.shape)}, input of shape {tuple(input.shape)}",
        )
    if mask.dtype is not bool_:
        mask = cast_op(mask, dtype=bool_)
    return mask if mask.shape == input.shape else mask.expand(*input.shape)


def _filled(who: str, x: Tensor, mask: Tensor | None, value: Any) -> Tensor:
    """The tensor with `value` where the mask is false."""
    found = _mask_for(who, x, mask)
    return x if found is None else choose(found, x, value)


def _in(x: Tensor, dtype: DType | None) -> Tensor:
    return x if dtype is None or x.dtype is dtype else cast_op(x, dtype=dtype)


def _accumulated(x: Tensor, dtype: DType | None) -> Tensor:
    """A tensor in the dtype that it is added up in."""
    return _in(x, int64 if dtype is None and x.dtype.name in _SMALL else dtype)


def _inexact(x: Tensor, dtype: DType | None) -> Tensor:
    """A tensor in a dtype that has fractions."""
    if dtype is None and not x.dtype.is_inexact:
        dtype = settings.default_dtype
    return _in(x, dtype)


def _counts(who: str, x: Tensor, dims: tuple[int, ...], mask: Tensor | None, like: Tensor) -> Any:
    """How many elements of each slice the mask admits, with the slices' dimensions kept."""
    found = _mask_for(who, x, mask)
    if found is None:
        count = math.prod(x.shape[d] for d in dims)
        shape = reduced_shape(tuple(x.shape), dims, True)
        return full(shape, count, dtype=like.dtype.to_real(), device=x.device)
    total = operators["sum"](cast_op(found, dtype=int64), dim=dims, keepdim=True)
    return cast_op(total, dtype=like.dtype.to_real())


def _squeezed(x: Tensor, dims: tuple[int, ...], keepdim: Any) -> Tensor:
    return x if keepdim or not dims else operators["squeeze"](x, dims=dims)


# -- reductions ---------------------------------------------------------------------------------


_SUM_ARGUMENTS = """

    Args:
        input: Tensor.
        dim: Dimensions to sum over, all by default.
        keepdim: Keeps them with size 1.
        dtype: Converts to this dtype first.
        mask: True where an element counts; broadcasts to the input.
    Example:
        >>> x = rushlight.tensor([1, 2, 3])
        >>> rushlight.masked.sum(x, 0, mask=rushlight.tensor([True, False, True]))
        tensor(4)
    """


def _identity_of(identity: Any, x: Tensor) -> Any:
    return identity(x.dtype) if callable(identity) else identity


def _over_dims(name: str, identity: Any, prepare: Callable[..., Tensor], doc: str) -> None:
    """A reduction of any dimensions in which masked-out elements count as its identity."""

    def reduction(
        input: Tensor,
        dim: Any = None,
        *,
        keepdim: bool | None = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        dims = dims_or_all(who, dim, input.ndim)
        x = prepare(input, dtype)
        x = _filled(who, x, mask, _identity_of(identity, x))
        return operators[name](x, dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]

    who = f"masked.{name}"
    _publish(reduction, name, doc)


def _place_of(name: str, identity: Any, doc: str) -> None:
    """`argmax` and `argmin`."""

    def search(
        input: Tensor,
        dim: int | None = None,
        *,
        keepdim: bool | None = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = _in(input, dtype)
        found = getattr(_filled(who, x, mask, identity(x.dtype)), name)(dim, bool(keepdim))
        return _in(found, x.dtype)  # torch's too is of the input's dtype

    who = f"masked.{name}"
    _publish(search, name, doc)


def _publish(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    _public(function)


_over_dims("sum", 0, _accumulated, "The sum of the elements that the mask admits." + _SUM_ARGUMENTS)
_over_dims(
    "prod", 1, _accumulated, "The product of the elements that the mask admits; see `masked.sum`."
)
_over_dims(
    "amax", lowest, _in, "The largest of the elements that the mask admits; see `masked.sum`."
)
_over_dims(
    "amin", highest, _in, "The smallest of the elements that the mask admits; see `masked.sum`."
)
_place_of("argmax", lowest, "Where the largest element is that the mask admits; see `masked.sum`.")
_place_of(
    "argmin", highest, "Where the smallest element is that the mask admits; see `masked.sum`."
)


@_public
def mean(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of the elements that the mask admits, NaN if there are none; see `masked.sum`."""
    who = "masked.mean"
    x = _in(input, dtype)
    if not x.dtype.is_inexact and (mask is None or x.dtype is not bool_):
        raise error(
            RuntimeError if mask is None else TypeError,
            who,
            "expects a floating point or complex tensor, or a dtype to convert to",
            given=f"input of {input.dtype}",
            fix="pass dtype=rushlight.float32",
        )
    dims = dims_or_all(who, dim, x.ndim)
    total = operators["sum"](_filled(who, x, mask, 0), dim=dims, keepdim=True)
    return _squeezed(total / _counts(who, input, dims, mask, total), dims, keepdim)


@_public
def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The lower median of the elements that the mask admits; see `masked.sum`.

    Raises:
        ValueError: The input has a NaN where the mask admits it.
    """
    who = "masked.median"
    x = _in(input, dtype)
    place = check_dim(who, dim, x.ndim)
    if not x.dtype.is_floating_point:
        x = cast_op(x, dtype=settings.default_dtype)
    filled = _filled(who, x, mask, math.nan)
    if mask is not None and holds_anywhere(x.isnan()):
        raise error(
            ValueError, who, "masked median expects no NaN in the elements that are not masked out"
        )
    return filled.nanmedian(place, keepdim=bool(keepdim)).values  # type: ignore[no-any-return]


@_public
def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Any = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The norm of the elements that the mask admits; see `masked.sum`, `linalg.vector_norm`."""
    who = "masked.norm"
    order = 2.0 if ord is None else float(ord)
    dims = dims_or_all(who, dim, input.ndim)
    x = _filled(who, _in(input, dtype), mask, math.inf if order == -math.inf else 0)
    return vector_norm(x, order, dims or None, bool(keepdim))


def _variance(
    who: str,
    input: Tensor,
    dim: Any,
    unbiased: bool | None,
    correction: float | None,
    keepdim: bool | None,
    dtype: DType | None,
    mask: Tensor | None,
) -> Tensor:
    if unbiased is not None and correction is not None:
        raise error(
            AssertionError, who, "Only one of unbiased and correction may be given",
            given=f"unbiased={unbiased}, correction={correction}",
        )  # fmt: skip
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    x = _inexact(input, dtype)
    dims = dims_or_all(who, dim, x.ndim)
    count = _counts(who, input, dims, mask, x)
    total = operators["sum"](_filled(who, x, mask, 0), dim=dims, keepdim=True)
    apart = _filled(who, x - total / count, mask, 0)
    squares = apart * apart if not apart.dtype.is_complex else real(apart * apart.conj())
    spread = operators["sum"](squares, dim=dims, keepdim=True)
    found = _squeezed(spread / (count - correction).clamp(min=0), dims, keepdim)
    return _in(found, x.dtype)


@_public
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the elements that the mask admits; see `masked.sum`.

    Args:
        input: Tensor.
        dim: Dimensions to reduce, all by default.
        unbiased: Divides by one less than the number of elements (the default).
        correction: By how much less, in place of `unbiased`.
        keepdim: Keeps the dimensions with size 1.
        dtype: Converts to this dtype first.
        mask: True where an element counts; broadcasts to the input.
    """
    return _variance("masked.var", input, dim, unbiased, correction, keepdim, dtype, mask)


@_public
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: int | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation of the elements that the mask admits; see `masked.var`."""
    spread = _variance("masked.std", input, dim, unbiased, correction, keepdim, dtype, mask)
    return spread.sqrt()


@_public
def logsumexp(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """log of the sum of exp of the elements that the mask admits; see `masked.sum`."""
    dims = dims_or_all("masked.logsumexp", dim, input.ndim)
    x = _in(input, dtype)
    filled = _filled("masked.logsumexp", x, mask, lowest(x.dtype))
    return _in(filled.logsumexp(dims, keepdim=bool(keepdim)), x.dtype)


@_public
def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: DType | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """log(exp(input) + exp(other)) of the elements that the masks admit."""
    x, y = _in(input, dtype), _in(other, dtype)
    x = _filled("masked.logaddexp", x, input_mask, -math.inf)
    return x.logaddexp(_filled("masked.logaddexp", y, other_mask, -math.inf))


# -- along one dimension ------------------------------------------------------------------------


def _along_dim(name: str, identity: Any, doc: str) -> None:
    """A function along a dimension for which masked-out elements count as the identity."""

    def function(
        input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
    ) -> Tensor:
        place = check_dim(who, dim, input.ndim)
        x = _in(input, dtype)
        filled = _filled(who, x, mask, _identity_of(identity, x))
        return _in(PUBLIC[""][name](filled, place), x.dtype)

    who = f"masked.{name}"
    _publish(function, name, doc)


_along_dim("cumsum", 0, "Running sums in which masked-out elements count as 0.")
_along_dim("cumprod", 1, "Running products in which masked-out elements count as 1.")
_along_dim(
    "softmax", lowest,
    "softmax over the elements that the mask admits; the others get 0 (all get NaN if none is).",
)  # fmt: skip
_along_dim("log_softmax", lowest, "log of `masked.softmax`.")


@_public
def softmin(
    input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """softmax of the negative: the smallest element weighs most."""
    place = check_dim("masked.softmin", dim, input.ndim)
    x = _in(input, dtype)
    return (-_filled("masked.softmin", x, mask, highest(x.dtype))).softmax(place)


@_public
def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The elements that the mask admits, divided by their norm; the others get 0.

    Args:
        input: Tensor.
        ord: Order of the norm.
        dim: The dimension along which it is taken.
        eps: Least divisor.
        dtype: Converts to this dtype first.
        mask: True where an element counts; broadcasts to the input.
    """
    who = "masked.normalize"
    place = check_dim(who, dim, input.ndim)
    x = _in(input, dtype)
    size = norm(x, ord, place, keepdim=True, mask=mask)
    return _filled(who, x, mask, 0) / size.clamp(min=eps)  # type: ignore[no-any-return]
