"""Softmax and its logarithm, with backward operators of their own."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import DType
from .._errors import error
from .._operator import Operator, operator
from .._tensor.tensor import PLAIN, Tensor
from ._batching import batch_size, front_or_expanded
from ._public import export, public
from .reduction import direct_along
from .views import check_dim

softmax_op = operator("softmax(Tensor x, *, int dim) -> Tensor")
log_softmax_op = operator("log_softmax(Tensor x, *, int dim) -> Tensor")
softmax_backward_op = operator("softmax_backward(Tensor g, Tensor out, *, int dim) -> Tensor")
log_softmax_backward_op = operator(
    "log_softmax_backward(Tensor g, Tensor out, *, int dim) -> Tensor"
)


def _same_spec(x: Tensor, *others: Tensor, dim: int) -> Spec:
    if not x.dtype.is_floating_point:
        raise _not_floating("softmax", x)
    check_dim("softmax", dim, x.ndim)
    return Spec(x.shape, x.dtype)


def _not_floating(who: str, x: Tensor) -> Exception:
    return error(
        NotImplementedError,
        who,
        f"not implemented for {x.dtype}",
        given=f"input of {x.dtype}",
        expected="a real floating dtype",
        fix="pass dtype=rushlight.float32",
    )


def _shifted(x: Tensor, dim: int) -> Tensor:
    """`x` without its maximum, which leaves softmax unchanged and keeps exp() from overflowing."""
    return x - x.amax(dim, keepdim=True)


def _empty(x: Tensor) -> bool:
    return 0 in x.shape


@softmax_op.decomposition
def _(x: Tensor, *, dim: int) -> Tensor:
    if _empty(x):
        return x.clone()
    powers = _shifted(x, dim).exp()
    return powers / powers.sum(dim, keepdim=True)


@log_softmax_op.decomposition
def _(x: Tensor, *, dim: int) -> Tensor:
    if _empty(x):
        return x.clone()
    shifted = _shifted(x, dim)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


@softmax_backward_op.decomposition
def _(g: Tensor, out: Tensor, *, dim: int) -> Tensor:
    product = g * out
    return product - out * product.sum(dim, keepdim=True)


@log_softmax_backward_op.decomposition
def _(g: Tensor, out: Tensor, *, dim: int) -> Tensor:
    return g - out.exp() * g.sum(dim, keepdim=True)


# The backward operators have no vjp rule: recorded, they run as their decompositions.
softmax_op.vjp(x=lambda g, out, dim: softmax_backward_op(g, out, dim=dim))
log_softmax_op.vjp(x=lambda g, out, dim: log_softmax_backward_op(g, out, dim=dim))


@softmax_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dim: int) -> Tensor:
    # The Jacobian is symmetric, so forward is backward.
    return softmax_backward_op(tangents[0], out, dim=dim)  # type: ignore[no-any-return]


@log_softmax_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dim: int) -> Tensor:
    t = tangents[0]
    return t - (out.exp() * t).sum(dim, keepdim=True)  # type: ignore[no-any-return]


def _batched_along(op: Operator) -> None:
    """The batching rule of an operator along `dim` whose operands have one shape."""

    def rule(inputs: tuple[Any, ...], dims: tuple[Any, ...], *, dim: int) -> tuple[Any, int]:
        size = batch_size(inputs, dims)
        moved = [front_or_expanded(x, d, size) for x, d in zip(inputs, dims, strict=True)]
        if moved[0].ndim == 1:  # items of no dimensions: a row of its own for each
            return op(*(x.unsqueeze(1) for x in moved), dim=1).squeeze(1), 0
        return op(*moved, dim=dim + 1), 0

    op.batching(rule)


for _op in (softmax_op, log_softmax_op, softmax_backward_op, log_softmax_backward_op):
    _op.meta(_same_spec)
    _batched_along(_op)


def _prepared(who: str, input: Tensor, dtype: DType | None) -> Tensor:
    if not isinstance(input, Tensor):
        raise error(TypeError, who, f"argument 'input' must be Tensor, not {type(input).__name__}")
    if dtype is not None and dtype is not input.dtype:
        input = input.to(dtype)
    if not input.dtype.is_floating_point:
        raise _not_floating(who, input)
    return input


def _direct(op: Operator, x: Any, dim: Any) -> Tensor | None:
    if x.__class__ in PLAIN and x._k.dtype.is_floating_point:
        return direct_along(op, x, dim, reduces=False)
    return None


@public(out=True, op=softmax_op)
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Rescales `input` along `dim` to positive values that sum to one.

    Args:
        input: Real tensor of any shape.
        dim: Dimension to normalise.
        dtype: Dtype to compute in and to return.
    Raises:
        IndexError: `dim` is out of range.
        NotImplementedError: `input` is not of a floating dtype, and no `dtype` is given.
    References:
        Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.
    Example:
        >>> rushlight.softmax(rushlight.tensor([0.0, 0.0]), dim=0)
        tensor([0.5000, 0.5000])
    """
    if dtype is None:
        direct = _direct(softmax_op, input, dim)
        if direct is not None:
            return direct
    x = _prepared("softmax", input, dtype)
    return softmax_op.entry(x, dim=check_dim("softmax", dim, x.ndim))  # type: ignore[no-any-return]


@public(out=True, op=log_softmax_op)
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """Logarithm of the softmax along `dim`, computed without going through small numbers.

    Args:
        input: Real tensor of any shape.
        dim: Dimension to normalise.
        dtype: Dtype to compute in and to return.
    Raises:
        IndexError: `dim` is out of range.
        NotImplementedError: `input` is not of a floating dtype, and no `dtype` is given.
    Example:
        >>> rushlight.log_softmax(rushlight.tensor([0.0, 0.0]), dim=0)
        tensor([-0.6931, -0.6931])
    """
    if dtype is None:
        direct = _direct(log_softmax_op, input, dim)
        if direct is not None:
            return direct
    x = _prepared("log_softmax", input, dtype)
    dim = check_dim("log_softmax", dim, x.ndim)
    return log_softmax_op.entry(x, dim=dim)  # type: ignore[no-any-return]


def _special(function: Any) -> Any:
    """The form of `rushlight.special`, where the dtype is given by keyword."""

    def special(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
        return function(input, dim, dtype)  # type: ignore[no-any-return]

    special.__name__ = special.__qualname__ = function.__name__
    special.__doc__ = function.__doc__
    return special


for _function in (softmax, log_softmax):
    export(_function.__name__, _special(_function), "special")
