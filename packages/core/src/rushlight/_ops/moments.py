"""Means, variances, standard deviations, covariances."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import DType
from .._errors import error
from .._operator import Operator, operator
from .._tensor.tensor import Tensor
from ._batching import over_dims
from ._geometry import check_tensor
from ._public import PUBLIC, into, public
from .creation import cast_op
from .reduction import (
    dims_or_all,
    direct_along,
    has_values,
    reduced_shape,
    restored,
    same_dtype,
    spread,
    sum_op,
)

mean_op = operator("mean(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")
var_op = operator("var(Tensor x, *, int[] dim, float correction=1, bool keepdim=False) -> Tensor")
std_op = operator("std(Tensor x, *, int[] dim, float correction=1, bool keepdim=False) -> Tensor")


def count_of(shape: tuple[int, ...], dim: tuple[int, ...]) -> int:
    """How many elements each result is made of."""
    count = 1
    for d in dim:
        count *= shape[d]
    return count


# -- mean -----------------------------------------------------------------------------------

mean_op.meta(same_dtype)
mean_op.jvp("linear")
mean_op.batching(over_dims(mean_op))


@mean_op.decomposition
def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    return _divided(sum_op(x, dim=dim, keepdim=keepdim), count_of(x.shape, dim))


def _divided(x: Tensor, count: float) -> Tensor:
    """x / count; dividing a tensor by the number 0 gives NaN or infinity, not an exception."""
    return x / float(count)


mean_op.vjp(
    x=lambda g, x_shape, dim, keepdim: spread(
        _divided(g, count_of(x_shape, dim)), x_shape, dim, keepdim
    )
)


def inferred(who: str, input: Tensor, dtype: DType | None) -> Tensor:
    """A tensor in the dtype of its mean.

    Raises:
        RuntimeError: That is neither floating nor complex.
    """
    check_tensor(who, input)
    chosen = input.dtype if dtype is None else dtype
    if not chosen.is_inexact:
        what = "could not infer output dtype. Input dtype" if dtype is None else "Optional dtype"
        raise error(
            RuntimeError,
            who,
            f"{what} must be either a floating point or complex dtype. Got: {chosen.name}",
            fix="convert the input, or give dtype=rushlight.float32",
        )
    return input if input.dtype is chosen else cast_op(input, dtype=chosen)


@public(out=True, op=mean_op)
def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Mean over dimensions, of all elements by default.

    Args:
        input: Floating or complex tensor.
        dim: Dimension or dimensions to reduce.
        keepdim: Keeps these dimensions with size 1.
        dtype: Converts to this dtype first.
    Raises:
        RuntimeError: The dtype is neither floating nor complex.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.mean(rushlight.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
        tensor([2., 3.])
    """
    if dtype is None and keepdim is False:
        direct = direct_along(mean_op, input, dim)
        if direct is not None:
            return direct
    x = inferred("mean", input, dtype)
    return mean_op(x, dim=dims_or_all("mean", dim, x.ndim), keepdim=bool(keepdim))  # type: ignore[no-any-return]


@public(out=True)
def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Mean over dimensions of the elements that are not NaN.

    Example:
        >>> rushlight.nanmean(rushlight.tensor([1.0, float("nan"), 3.0]))
        tensor(2.)
    """
    check_tensor("nanmean", input)
    if not input.dtype.is_inexact:
        raise error(
            RuntimeError,
            "nanmean",
            f"expected input to have floating point or complex dtype but got {input.dtype.name}",
        )
    dims = dims_or_all("nanmean", dim, input.ndim)
    numbers = input.isnan().logical_not()
    count = sum_op(cast_op(numbers, dtype=input.dtype.to_real()), dim=dims, keepdim=bool(keepdim))
    total = input.nansum(dims or None, bool(keepdim), dtype=dtype)
    return total / count  # type: ignore[no-any-return]


# -- var, std -------------------------------------------------------------------------------


def _real_dtype(
    x: Tensor, *, dim: tuple[int, ...], correction: float = 1, keepdim: bool = False
) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype.to_real())


var_op.meta(_real_dtype)
std_op.meta(_real_dtype)


@var_op.decomposition
def _(x: Tensor, *, dim: tuple[int, ...], correction: float = 1, keepdim: bool = False) -> Tensor:
    centred = x - mean_op(x, dim=dim, keepdim=True)
    if x.is_complex():
        squares = centred.real * centred.real + centred.imag * centred.imag
    else:
        squares = centred * centred
    freedom = max(count_of(x.shape, dim) - correction, 0)
    return _divided(sum_op(squares, dim=dim, keepdim=keepdim), freedom)


@std_op.decomposition
def _(x: Tensor, *, dim: tuple[int, ...], correction: float = 1, keepdim: bool = False) -> Tensor:
    return var_op(x, dim=dim, correction=correction, keepdim=keepdim).sqrt()  # type: ignore[no-any-return]


def _var_vjp(
    g: Tensor, x: Tensor, dim: tuple[int, ...], correction: float, keepdim: bool
) -> Tensor:
    freedom = max(count_of(x.shape, dim) - correction, 0)
    scaled = restored(_divided(g * 2.0, freedom), tuple(x.shape), dim, keepdim)
    return scaled * (x - mean_op(x, dim=dim, keepdim=True))  # type: ignore[no-any-return]


def _std_vjp(
    g: Tensor, x: Tensor, out: Tensor, dim: tuple[int, ...], correction: float, keepdim: bool
) -> Tensor:
    # Where all elements are equal the slope is infinite; 0 is what leaves them equal.
    half = (g / (out * 2.0)).masked_fill(out == 0, 0)
    return _var_vjp(half, x, dim, correction, keepdim)


var_op.vjp(x=_var_vjp)
std_op.vjp(x=_std_vjp)


@std_op.jvp
def _(
    primals: Any, tangents: Any, out: Tensor, *, dim: Any, correction: float, keepdim: bool = False
) -> Tensor:
    x, t = primals[0], tangents[0]
    centred = x - mean_op(x, dim=dim, keepdim=True)
    product = (centred.conj() * t).real if x.is_complex() else centred * t
    freedom = max(count_of(x.shape, dim) - correction, 0)
    slope = _divided(sum_op(product, dim=dim, keepdim=keepdim), freedom)
    return (slope / out).masked_fill(out == 0, 0)


def _spread_arguments(
    who: str, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> tuple[Tensor, dict[str, Any]]:
    """Input and attributes of a call in any of torch's forms."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if not isinstance(input, Tensor) or not input.dtype.is_inexact:
        check_tensor(who, input)
        raise error(
            RuntimeError,
            who,
            f"{who} only support floating point and complex dtypes",
            given=f"{input.dtype}",
        )
    if unbiased is not None and correction is not None:
        raise error(
            TypeError, who, "received an invalid combination of arguments: unbiased and correction"
        )
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    dims = dims_or_all(who, dim, input.ndim)
    if count_of(input.shape, dims) - correction <= 0:
        import warnings

        warnings.warn(
            f"{who}(): degrees of freedom is <= 0. Correction should be strictly less than the "
            "reduction factor (input numel divided by output numel).",
            UserWarning,
            stacklevel=3,
        )
    return input, {"dim": dims, "correction": correction, "keepdim": bool(keepdim)}


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Variance over dimensions.

    Args:
        input: Floating or complex tensor.
        dim: Dimension or dimensions to reduce; all by default.
        unbiased: False is `correction=0`.
        keepdim: Keeps these dimensions with size 1.
        correction: What is subtracted from the number of elements before dividing.
    Raises:
        RuntimeError: The dtype is neither floating nor complex.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.var(rushlight.tensor([1.0, 2.0, 3.0]))
        tensor(1.)
    """
    x, attributes = _spread_arguments("var", input, dim, unbiased, keepdim, correction)
    result: Tensor = var_op(x, **attributes)
    return result if out is None else into("var", result, out)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Standard deviation over dimensions: the square root of `var`, with its arguments.

    Example:
        >>> rushlight.std(rushlight.tensor([1.0, 2.0, 3.0]))
        tensor(1.)
    """
    x, attributes = _spread_arguments("std", input, dim, unbiased, keepdim, correction)
    result: Tensor = std_op(x, **attributes)
    return result if out is None else into("std", result, out)


public(op=var_op)(var)
public(op=std_op)(std)


def _with_mean(op: Operator, x: Tensor, attributes: dict[str, Any]) -> tuple[Tensor, Tensor]:
    average = mean_op(x, dim=attributes["dim"], keepdim=attributes["keepdim"])
    return op(x, **attributes), average


@public(methods=False)
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean over dimensions; arguments as of `var`.

    Example:
        >>> rushlight.var_mean(rushlight.tensor([1.0, 2.0, 3.0]))
        (tensor(1.), tensor(2.))
    """
    arguments = _spread_arguments("var_mean", input, dim, unbiased, keepdim, correction)
    return _with_mean(var_op, *arguments)


@public(methods=False)
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over dimensions; arguments as of `var`.

    Example:
        >>> rushlight.std_mean(rushlight.tensor([1.0, 2.0, 3.0]))
        (tensor(1.), tensor(2.))
    """
    arguments = _spread_arguments("std_mean", input, dim, unbiased, keepdim, correction)
    return _with_mean(std_op, *arguments)


# -- cov, corrcoef --------------------------------------------------------------------------


def _checked_weights(who: str, name: str, weights: Tensor, count: int, whole: bool) -> None:
    problem = None
    if weights.ndim > 1:
        problem = f"expected {name} to have one or fewer dimensions but got {weights.ndim}"
    elif whole and weights.dtype.is_inexact:
        problem = f"expected {name} to have integral dtype but got {weights.dtype.name}"
    elif not whole and not weights.dtype.is_floating_point:
        problem = f"expected {name} to have floating point dtype but got {weights.dtype.name}"
    elif weights.numel() != count:
        problem = f"expected {name} to have the same numel as there are observations in the input"
    elif weights.numel() and has_values(weights) and bool((weights < 0).any()):
        problem = f"{name} cannot be negative"
    if problem is not None:
        raise error(RuntimeError, who, problem, given=f"{name} of shape {tuple(weights.shape)}")


def _check_observations(who: str, input: Tensor) -> None:
    check_tensor(who, input)
    if input.ndim > 2:
        raise error(
            RuntimeError,
            who,
            f"expected input to have two or fewer dimensions but got an input with {input.ndim} "
            "dimensions",
        )


@public()
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """Covariance matrix of variables in rows and observations in columns.

    Args:
        input: Matrix, or a vector of observations of one variable.
        correction: What is subtracted from the number of observations.
        fweights: How often each observation counts; integers.
        aweights: How much each observation counts.
    Raises:
        RuntimeError: The input has more than two dimensions, or the weights do not fit.
    Example:
        >>> rushlight.cov(rushlight.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    _check_observations("cov", input)
    if input.dtype.name == "bool":
        raise error(RuntimeError, "cov", "bool dtype is not supported for input")
    x = input if input.ndim == 2 else input.reshape(1, -1)
    count = x.shape[1]
    weights: Any = None
    if fweights is not None:
        _checked_weights("cov", "fweights", fweights, count, True)
        weights = fweights.reshape(-1)
    if aweights is not None:
        _checked_weights("cov", "aweights", aweights, count, False)
        flat = aweights.reshape(-1)
        weights = flat if weights is None else weights * flat
    total: Any = count if weights is None else weights.sum()
    if weights is not None and has_values(weights) and count and float(total) == 0:
        raise error(RuntimeError, "cov", "weights sum to zero, so they do not normalize")
    if weights is None:
        average = x.sum(1, keepdim=True) / count
        freedom: Any = max(count - correction, 0)
    else:
        average = (x * weights).sum(1, keepdim=True) / total
        lost = total if aweights is None else (weights * aweights.reshape(-1)).sum()
        freedom = (
            (total - correction * lost / total) if aweights is not None else total - correction
        )
        freedom = freedom.clamp(min=0)
    if not isinstance(freedom, Tensor) and freedom <= 0:
        import warnings

        warnings.warn("cov(): degrees of freedom is <= 0", UserWarning, stacklevel=2)
    centred = x - average
    weighted = centred if weights is None else centred * weights
    product = centred @ (weighted.conj() if weighted.is_complex() else weighted).transpose(0, 1)
    out = product / (freedom if isinstance(freedom, Tensor) else float(freedom))
    return out if input.ndim == 2 and out.numel() != 1 else out.squeeze()


@public()
def corrcoef(input: Tensor) -> Tensor:
    """Correlation coefficients of variables in rows and observations in columns.

    Raises:
        RuntimeError: The input has more than two dimensions.
    Example:
        >>> rushlight.corrcoef(rushlight.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    _check_observations("corrcoef", input)
    c = cov(input)
    if c.ndim == 0:
        return c / c
    diagonal = c.diagonal()
    deviation = (diagonal.real if c.is_complex() else diagonal).sqrt()
    c = c / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if not c.is_complex():
        return c.clamp(-1, 1)
    return PUBLIC[""]["complex"](c.real.clamp(-1, 1), c.imag.clamp(-1, 1))  # type: ignore[no-any-return]
