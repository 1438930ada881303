"""`vmap` rules that many families share: batch dimension in front, dimensions moved up by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._operator import Operator
from .._registered import operators
from .._tensor.tensor import Tensor

Rule = Callable[..., Any]


def front(x: Tensor, bdim: int) -> Tensor:
    """A tensor with its batch dimension in front."""
    if bdim == 0:
        return x
    order = (bdim, *(d for d in range(x.ndim) if d != bdim))
    return operators["permute"](x, dims=order)  # type: ignore[no-any-return]


def front_or_expanded(x: Tensor, bdim: int | None, size: int) -> Tensor:
    """A tensor with its batch dimension in front; an unbatched one is repeated without a copy."""
    if bdim is not None:
        return front(x, bdim)
    return operators["expand"](x, size=(size, *x.shape))  # type: ignore[no-any-return]


def batch_size(inputs: tuple[Any, ...], bdims: tuple[Any, ...]) -> int:
    """Number of items in the batch."""
    return next(
        int(x.shape[d])
        for x, d in zip(inputs, bdims, strict=True)
        if x is not None and d is not None
    )


def over_dims(op: Operator) -> Rule:
    """Rule of an operator of one tensor with a tuple of dimensions as `dim`."""

    def rule(
        inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, dim: tuple[int, ...], **rest: Any
    ) -> Any:
        x = front(inputs[0], bdims[0])
        return op(x, dim=tuple(d + 1 for d in dim), **rest), 0

    return rule


def over_dim(op: Operator) -> Rule:
    """Rule of an operator of one tensor with one dimension as `dim`.

    Items without dimensions, where `dim` is 0 all the same, get one for the call.
    """

    def rule(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, dim: int, **rest: Any) -> Any:
        x = front(inputs[0], bdims[0])
        scalars = x.ndim == 1
        if scalars:
            x = operators["unsqueeze"](x, dim=1)
        out = op(x, dim=dim + 1, **rest)
        if not scalars:
            return out, 0
        if isinstance(out, tuple):
            return tuple(_one_dim(part) for part in out), 0
        return _one_dim(out), 0

    return rule


def _one_dim(x: Tensor) -> Tensor:
    return operators["squeeze"](x, dims=(1,)) if x.ndim == 2 else x


__all__ = ["batch_size", "front", "front_or_expanded", "over_dim", "over_dims"]
