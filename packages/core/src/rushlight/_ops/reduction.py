"""Reductions over dimensions."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._operator import operator
from .._tensor.tensor import Tensor
from .views import check_dims, expand_op, sum_to

sum_op = operator("sum(Tensor x, *, int[] dim, bool keepdim=False) -> Tensor")


def reduced_shape(shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after a reduction."""
    if keepdim:
        return tuple(1 if d in dim else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in dim)


@sum_op.meta
def _(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype)


def restored(g: Tensor, shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduction's gradient with the reduced dimensions back, of size 1."""
    if keepdim or not dim:
        return g
    size = tuple(1 if d in dim else n for d, n in enumerate(shape))
    return g.view(size)


def spread(g: Tensor, shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduction's gradient repeated over the reduced dimensions."""
    return expand_op(restored(g, shape, dim, keepdim), size=tuple(shape))  # type: ignore[no-any-return]


sum_op.vjp(x=lambda g, x_shape, dim, keepdim: spread(g, x_shape, dim, keepdim))
sum_op.jvp("linear")

sum_to_op = operator("sum_to(Tensor x) -> Tensor")
sum_to_op.function = sum_to
_ = check_dims
_any: Any = None
