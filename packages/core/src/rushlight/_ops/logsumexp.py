"""The logarithm of a sum of exponentials, without overflow."""

from __future__ import annotations

import math
from typing import Any

from .._config import settings
from .._dispatch import Spec
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import export, public
from .creation import cast_op
from .reduction import dims_or_all, reduced_shape, restored, sum_op

logsumexp_op = operator("logsumexp(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")


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
    # Infinities of a row whose sum is infinite, or 0, have no share: NaN, as in torch.
    share = (x - restored(out, shape, dim, keepdim)).exp()
    return restored(g, shape, dim, keepdim) * (share.conj() if x.is_complex() else share)


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
        tensor(1000.6932)
    """
    check_tensor("logsumexp", input)
    if dim is None:
        raise error(TypeError, "logsumexp", "argument 'dim' must be tuple of ints, not NoneType")
    dims = dims_or_all("logsumexp", dim, input.ndim)
    return logsumexp_op(_as_float(input), dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


export("logsumexp", logsumexp, "special")


def _as_float(x: Tensor) -> Tensor:
    if x.dtype.is_inexact:
        return x
    return cast_op(x, dtype=settings.default_dtype)  # type: ignore[no-any-return]
