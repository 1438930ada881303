"""Medians, modes and quantiles."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import float32, float64, int64
from .._errors import error
from .._operator import Operator, operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import public
from ._results import result_type_named
from .creation import full
from .extremes import check_not_empty
from .reduction import reduced_shape, sum_op
from .sorting import selecting
from .views import check_dim

_FORM = "(Tensor x, *, int dim, bool keepdim=False) -> (Tensor, Tensor)"
median_op = operator(f"median{_FORM}", constant_outputs=(1,))
nanmedian_op = operator(f"nanmedian{_FORM}", constant_outputs=(1,))
mode_op = operator(f"mode{_FORM}", constant_outputs=(1,))
# Of all elements; there the gradient is shared by equal ones, as in torch.
median_of_all_op = operator("median_of_all(Tensor x, *, bool omit_nan=False) -> Tensor")


def _reduced(x: Tensor, *, dim: int, keepdim: bool = False) -> Any:
    if x.ndim:
        check_not_empty("median", x, (dim,))
    shape = reduced_shape(x.shape, (dim,), keepdim)
    return Spec(shape, x.dtype), Spec(shape, int64)


for _op in (median_op, nanmedian_op, mode_op):
    _op.meta(_reduced)
    selecting(_op)


@median_of_all_op.decomposition
def _(x: Tensor, *, omit_nan: bool = False) -> Tensor:
    if not x.numel():
        fill = float("nan") if x.dtype.is_inexact else -(1 << (8 * x.itemsize - 1))
        return full((), fill, dtype=x.dtype, device=x.device)
    op = nanmedian_op if omit_nan else median_op
    return op(x.reshape(-1), dim=0)[0]  # type: ignore[no-any-return]


def _shared(x: Tensor, out: Tensor) -> Tensor:
    tied = ((x == out) | (x.isnan() & out.isnan())).to(x.dtype)
    return tied / sum_op(tied, dim=tuple(range(x.ndim)))  # type: ignore[no-any-return]


median_of_all_op.vjp(x=lambda g, x, out: g * _shared(x, out.detach()))


@median_of_all_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, omit_nan: bool = False) -> Tensor:
    return (tangents[0] * _shared(primals[0], out)).sum()  # type: ignore[no-any-return]


def _median(op: Operator, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    check_tensor(op.name, input)
    if input.dtype.is_complex or input.dtype.name == "bool":
        raise error(RuntimeError, op.name, f"not implemented for {input.dtype.name}")
    if dim is None:
        return median_of_all_op(input, omit_nan=op is nanmedian_op)
    return _along(op, input, dim, keepdim)


def _along(op: Operator, input: Tensor, dim: int, keepdim: bool) -> Any:
    place = check_dim(op.name, dim, input.ndim)
    if input.ndim:
        check_not_empty(op.name, input, (place,))
    found = op(input, dim=place, keepdim=bool(keepdim))
    return result_type_named(op.name, ("values", "indices"))(*found)


@public(out=True, op=median_op)
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two; along a dimension also its position.

    Raises:
        IndexError: There is no such dimension, or it has size 0.
    Example:
        >>> rushlight.median(rushlight.tensor([3, 1, 2, 4]))
        tensor(2)
    """
    return _median(median_op, input, dim, keepdim)


@public(out=True, op=nanmedian_op)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element of those that are not NaN.

    Example:
        >>> rushlight.nanmedian(rushlight.tensor([1.0, float("nan"), 2.0, 3.0]))
        tensor(2.)
    """
    return _median(nanmedian_op, input, dim, keepdim)


@public(out=True, op=mode_op)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along a dimension (the smallest of several), and its position.

    Example:
        >>> rushlight.mode(rushlight.tensor([1, 2, 2, 3])).values
        tensor(2)
    """
    check_tensor("mode", input)
    if input.dtype.is_complex:
        raise error(RuntimeError, "mode", f"not implemented for {input.dtype.name}")
    return _along(mode_op, input, dim, keepdim)


# -- quantiles ------------------------------------------------------------------------------

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _checked_q(who: str, input: Tensor, q: Any) -> Tensor:
    """The probabilities as a tensor."""
    check_tensor(who, input)
    if input.dtype not in (float32, float64):
        raise error(
            RuntimeError, who, "input tensor must be either float or double dtype",
            given=f"{input.dtype}",
        )  # fmt: skip
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise error(RuntimeError, who, f"q must be in the range [0, 1] but got {q}")
        return full((), q, dtype=input.dtype, device=input.device)
    if q.ndim > 1:
        raise error(RuntimeError, who, f"q must be a scalar or 1D tensor, but got {q.ndim}")
    if q.dtype is not input.dtype:
        raise error(RuntimeError, who, "q tensor must be same dtype as the input tensor",
            given=f"{q.dtype} and {input.dtype}")  # fmt: skip
    if q.device != input.device:
        raise error(RuntimeError, who, "q tensor must be on the same device as the input tensor")
    return q


def _quantile(
    who: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    chances = _checked_q(who, input, q)
    if interpolation not in INTERPOLATIONS:
        raise error(
            RuntimeError,
            who,
            "interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            f"{interpolation}",
        )
    place = None if dim is None else check_dim(who, dim, input.ndim)
    if input.numel() == 0 and (place is None or not input.ndim or input.shape[place] == 0):
        raise error(RuntimeError, who, "input tensor must be non-empty")
    if place is None:
        x = input.reshape(-1)
    elif input.ndim == 0:
        x = input.reshape(1)
    else:
        x = input.movedim(place, -1)
    ordered = x.sort()[0]
    last = ordered.shape[-1] - 1
    # One row of positions per probability; where rows have NaN they depend on the row.
    weights = chances.reshape(-1)
    if who == "nanquantile":
        numbers = ordered.isnan().logical_not().sum(-1, keepdim=True)
        ranks = weights * (numbers - 1).clamp(min=0)
    else:
        ranks = (weights * last).expand(*ordered.shape[:-1], weights.shape[0])
        ranks = ranks.masked_fill(ordered.isnan().any(-1, keepdim=True), last)
    values = _between(ordered, ranks, interpolation)
    return _arranged(values, chances, input, place, keepdim)


def _between(ordered: Tensor, ranks: Tensor, interpolation: str) -> Tensor:
    """Values at fractional positions along the last dimension."""
    exact, ranks = ranks, ranks.detach()
    if interpolation in ("lower", "higher", "nearest"):
        rounding = {"lower": "floor", "higher": "ceil", "nearest": "round"}[interpolation]
        return ordered.gather(-1, getattr(ranks, rounding)().to(int64))
    below = ranks.floor()
    low = ordered.gather(-1, below.to(int64))
    high = ordered.gather(-1, ranks.ceil().to(int64))
    share = 0.5 if interpolation == "midpoint" else exact - below
    if isinstance(share, float):
        return operators["lerp"](low, high, full((), share, dtype=low.dtype, device=low.device))  # type: ignore[no-any-return]
    return operators["lerp"](low, high, share)  # type: ignore[no-any-return]


def _arranged(
    values: Tensor, chances: Tensor, input: Tensor, place: int | None, keepdim: bool
) -> Tensor:
    """Quantiles, last, in torch's order: first, and the reduced dimensions kept or not."""
    if place is None or input.ndim == 0:
        kept = tuple([1] * input.ndim) if keepdim else ()
        out = values.reshape(*values.shape[-1:], *kept)
    else:
        out = values.movedim(-1, 0)
        if keepdim:
            out = out.unsqueeze(place + 1)
    return out if chances.ndim else out.squeeze(0)


@public(out=True)
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Quantiles along a dimension, or of all elements.

    Args:
        input: float32 or float64 tensor.
        q: Probability, or a vector of them, which becomes the first dimension of the result.
        dim: The dimension.
        keepdim: Keeps it with size 1.
        interpolation: Between two elements: "linear", "lower", "higher", "midpoint", "nearest".
    Raises:
        RuntimeError: An argument does not fit.
    Example:
        >>> rushlight.quantile(rushlight.tensor([0.0, 1.0, 2.0, 3.0]), 0.5)
        tensor(1.5000)
    """
    return _quantile("quantile", input, q, dim, bool(keepdim), interpolation)


@public(out=True)
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Quantiles of the elements that are not NaN.

    Example:
        >>> rushlight.nanquantile(rushlight.tensor([0.0, float("nan"), 1.0]), 0.5)
        tensor(0.5000)
    """
    return _quantile("nanquantile", input, q, dim, bool(keepdim), interpolation)
