"""Norms and distances, and the logarithm of a sum of exponentials."""

from __future__ import annotations

import math
from typing import Any

from .._dispatch import Spec
from .._dtypes import DType
from .._errors import error
from .._operator import operator, operators
from .._tensor.tensor import Tensor
from ._public import PUBLIC, public
from .creation import cast_op
from .reduction import (
    EVERY_DIM,
    check_tensor,
    dims_or_all,
    reduced_shape,
    restored,
    sum_op,
)
from .views import check_dim, check_dims

logsumexp_op = operator("logsumexp(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")


# -- logsumexp ------------------------------------------------------------------------------


@logsumexp_op.meta
def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype)


@logsumexp_op.decomposition
def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    for d in dim:
        if x.shape[d] == 0:
            return sum_op(x.exp(), dim=dim, keepdim=keepdim).log()  # type: ignore[no-any-return]
    real = x.real if x.is_complex() else x
    top = operators["amax"](real.detach(), dim=dim, keepdim=True)
    # Rows whose maximum is infinite are not shifted: inf - inf would make them NaN.
    top = top.masked_fill(top.abs() == math.inf, 0)
    out = sum_op((x - top).exp(), dim=dim, keepdim=True).log() + top
    return out.reshape(reduced_shape(tuple(x.shape), dim, keepdim))  # type: ignore[no-any-return]


@logsumexp_op.vjp
def _(g: Tensor, *, x: Tensor, out: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    shape = tuple(x.shape)
    share = (x - restored(out, shape, dim, keepdim)).exp()
    # A row of -inf has the sum 0; its elements have no part in it.
    share = share.masked_fill(share != share, 0) if not x.is_complex() else share.conj()
    return restored(g, shape, dim, keepdim) * share


@public(out=True, op=logsumexp_op)
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Logarithm of the sum of exponentials over dimensions, without overflow.

    Args:
        input: Tensor; integers are computed in the default dtype.
        dim: Dimension or dimensions.
        keepdim: Keeps them with size 1.
    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.logsumexp(rushlight.tensor([1000.0, 1000.0]), dim=0)
        tensor(1000.6931)
    """
    check_tensor("logsumexp", input)
    if dim is None:
        raise error(TypeError, "logsumexp", "argument 'dim' must be tuple of ints, not NoneType")
    dims = dims_or_all("logsumexp", dim, input.ndim)
    return logsumexp_op(_as_float(input), dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


def _as_float(x: Tensor) -> Tensor:
    if x.dtype.is_inexact:
        return x
    from .._config import settings

    return cast_op(x, dtype=settings.default_dtype)  # type: ignore[no-any-return]


# -- norms ----------------------------------------------------------------------------------


def p_norm(x: Tensor, p: float, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """The p-norm of vectors, with subgradient 0 where the norm is 0.

    Args:
        x: Floating or complex tensor.
        p: Any number, infinity too.
        dim: Dimensions that hold one vector.
        keepdim: Keeps them with size 1.
    """
    if p == 0:
        return sum_op((x != 0).to(x.dtype.to_real()), dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    size = x.abs()
    if p == math.inf:
        return operators["amax"](size, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    if p == -math.inf:
        return operators["amin"](size, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    if p == 1:
        return sum_op(size, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    power = size * size if p == 2 else size**p
    total = sum_op(power, dim=dim, keepdim=keepdim)
    # The root's slope at 0 is infinite: there the constant 0 takes its place.
    none = total == 0
    root = total.masked_fill(none, 1)
    root = root.sqrt() if p == 2 else root ** (1.0 / p)
    return root.masked_fill(none, math.inf if p < 0 else 0)  # type: ignore[no-any-return]


@public()
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Norm of vectors or matrices; `rushlight.linalg.norm` says more clearly which.

    Args:
        input: Floating or complex tensor.
        p: A number, "fro" or "nuc".
        dim: Dimensions of one vector; of one matrix for "nuc".
        keepdim: Keeps these dimensions with size 1.
        dtype: Converts to this dtype first.
        out: Receives the result.
    Raises:
        RuntimeError: The dtype is not floating or complex, or `p` and `dim` do not fit.
    Example:
        >>> rushlight.norm(rushlight.tensor([3.0, 4.0]))
        tensor(5.)
    """
    result = _norm(input, p, dim, keepdim, dtype)
    if out is None:
        return result
    from ._public import into

    return into("norm", result, out)  # type: ignore[no-any-return]


def _norm(input: Tensor, p: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Tensor:
    check_tensor("norm", input)
    x = input if dtype is None else input.to(dtype)
    if not x.dtype.is_inexact:
        raise error(
            RuntimeError,
            "norm",
            f"expected a floating point or complex tensor as input. Got {x.dtype.name}",
        )
    if p == "nuc":
        dims = (0, 1) if dim is None else check_dims("norm", dim, x.ndim)
        if len(dims) != 2 or x.ndim < 2:
            raise error(RuntimeError, "norm", "the nuclear norm needs a matrix: two dimensions",
                given=f"x of shape {tuple(x.shape)}, dim={dim}")  # fmt: skip
        nuclear: Tensor = PUBLIC["linalg"]["matrix_norm"](x, "nuc", dims, bool(keepdim))
        return nuclear
    if isinstance(p, str) and p != "fro":
        raise error(
            RuntimeError, "norm", f"only 'fro', 'nuc' and numbers are norms, not {p!r}"
        )
    order = 2.0 if p is None or p == "fro" else float(p)
    dims = dims_or_all("norm", dim, x.ndim)
    return p_norm(x, order, dims, bool(keepdim))


@public()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference of two tensors.

    Example:
        >>> rushlight.dist(rushlight.tensor([1.0, 1.0]), rushlight.tensor([4.0, 5.0]))
        tensor(5.)
    """
    check_tensor("dist", input)
    difference = _as_float(input - other)
    return p_norm(difference, float(p), EVERY_DIM[difference.ndim], False)


@public(out=True, inplace=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The tensor with slices along a dimension scaled down to a p-norm of at most `maxnorm`.

    Raises:
        RuntimeError: `p` is not positive, `maxnorm` is negative, or there is only one dimension.
    Example:
        >>> rushlight.renorm(rushlight.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1)
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """
    check_tensor("renorm", input)
    if not input.dtype.is_inexact:
        raise error(RuntimeError, "renorm", f"not implemented for {input.dtype.name}")
    if isinstance(p, complex) or isinstance(maxnorm, complex):
        raise error(RuntimeError, "renorm", "norm and maxnorm must be real-valued")
    if not p > 0:
        raise error(RuntimeError, "renorm", f"non-positive norm not supported: p is {p}")
    if not maxnorm >= 0:
        raise error(RuntimeError, "renorm", f"expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise error(
            RuntimeError,
            "renorm",
            f"input needs at least 2 dimensions, got {input.ndim} dimensions",
        )
    place = check_dim("renorm", dim, input.ndim)
    others = tuple(d for d in range(input.ndim) if d != place)
    length = p_norm(input, float(p), others, True)
    # 1e-7 keeps the quotient below the bound after rounding, as torch does.
    scale = operators["where"](
        length > maxnorm, maxnorm / (length + 1e-7), length.detach() * 0 + 1
    )
    return input * scale
