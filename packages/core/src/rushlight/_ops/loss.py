"""Losses over classes: negative log likelihood, and cross entropy in one pass."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bfloat16, float16, float32, int64, uint8
from .._errors import error
from .._operator import operator
from .._tensor.tensor import Tensor
from ._precision import widened
from ._public import export

nll_loss_op = operator(
    "nll_loss(Tensor x, Tensor target, Tensor? weight, *, str reduction, int ignore_index) -> "
    "(Tensor, Tensor)",
    constant_outputs=(1,),
)
nll_loss_backward_op = operator(
    "nll_loss_backward(Tensor g, Tensor target, Tensor? weight, Tensor total_weight, *, "
    "int[] shape, str reduction, int ignore_index) -> Tensor"
)
cross_entropy_op = operator(
    "cross_entropy(Tensor x, Tensor target, *, int ignore_index, str reduction) -> (Tensor, Tensor)"
)
cross_entropy_backward_op = operator(
    "cross_entropy_backward(Tensor g, Tensor x, Tensor target, Tensor lse, *, int ignore_index, "
    "str reduction) -> Tensor"
)


# -- shapes ---------------------------------------------------------------------------------


def _check(who: str, x: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    given = f"input of shape {tuple(x.shape)}, target of shape {tuple(target.shape)}"
    if reduction not in ("none", "mean", "sum"):
        raise error(ValueError, who, f"{reduction} is not a valid value for reduction")
    if not x.dtype.is_floating_point:
        raise error(NotImplementedError, who, f"not implemented for {x.dtype}", given=given)
    if target.dtype is not int64 and target.dtype is not uint8:
        raise error(
            RuntimeError, who, f"expected scalar type Long or Byte but found {target.dtype}",
            given=given, fix="convert the target with .to(rushlight.int64)",
        )  # fmt: skip
    if x.ndim < 2 or (x.shape[0], *x.shape[2:]) != tuple(target.shape):
        raise error(
            RuntimeError,
            who,
            "expected an input (N, C, *size) and a target (N, *size)",
            given=given,
        )
    if weight is not None and tuple(weight.shape) != (x.shape[1],):
        raise error(
            RuntimeError,
            who,
            f"weight tensor should be defined either for all {x.shape[1]} classes or no classes",
            given=f"weight of shape {tuple(weight.shape)}",
        )


@nll_loss_op.meta
def _(
    x: Tensor, target: Tensor, weight: Any, *, reduction: str, ignore_index: int
) -> tuple[Spec, Spec]:
    _check("nll_loss", x, target, weight, reduction)
    return Spec(target.shape if reduction == "none" else (), x.dtype), Spec((), x.dtype)


@nll_loss_backward_op.meta
def _(
    g: Tensor, target: Tensor, weight: Any, total_weight: Tensor, *, shape: Any, reduction: str,
    ignore_index: int,
) -> Spec:  # fmt: skip
    return Spec(shape, g.dtype)


@cross_entropy_op.meta
def _(x: Tensor, target: Tensor, *, ignore_index: int, reduction: str) -> tuple[Spec, Spec]:
    _check("cross_entropy", x, target, None, reduction)
    wide = float32 if x.dtype is float16 or x.dtype is bfloat16 else x.dtype
    return Spec(target.shape if reduction == "none" else (), x.dtype), Spec(target.shape, wide)


@cross_entropy_backward_op.meta
def _(
    g: Tensor, x: Tensor, target: Tensor, lse: Tensor, *, ignore_index: int, reduction: str
) -> Spec:
    return Spec(x.shape, x.dtype)


# -- negative log likelihood ----------------------------------------------------------------


def _kept(target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Where a target counts, and the targets with class 0 where they do not."""
    target = target.to(int64)
    ignored = target == ignore_index
    return ~ignored, target.masked_fill(ignored, 0)


def _per_target(
    target: Tensor, weight: Tensor | None, kept: Tensor, safe: Tensor, like: Tensor
) -> Tensor:
    """The weight of each target, 0 where it is ignored."""
    if weight is None:
        return kept.to(like.dtype)
    weights = weight.to(like.dtype).index_select(0, safe.reshape(-1)).reshape(tuple(target.shape))
    return weights.masked_fill(~kept, 0)


@nll_loss_op.decomposition
def _(
    x: Tensor, target: Tensor, weight: Any, *, reduction: str, ignore_index: int
) -> tuple[Tensor, Tensor]:
    wide = widened(x)
    kept, safe = _kept(target, ignore_index)
    weights = _per_target(target, weight, kept, safe, wide)
    picked = wide.gather(1, safe.unsqueeze(1)).squeeze(1)
    # A class of probability zero that does not count would give 0 * inf.
    loss = -picked.masked_fill(~kept, 0) * weights
    if reduction == "none":
        return loss.to(x.dtype), x.new_zeros(())
    total = weights.sum()
    loss = loss.sum()
    if reduction == "mean":
        loss = loss / total
    return loss.to(x.dtype), total.to(x.dtype)


@nll_loss_backward_op.decomposition
def _(
    g: Tensor, target: Tensor, weight: Any, total_weight: Tensor, *, shape: Any, reduction: str,
    ignore_index: int,
) -> Tensor:  # fmt: skip
    kept, safe = _kept(target, ignore_index)
    slope = -g / total_weight if reduction == "mean" else -g
    slope = slope * _per_target(target, weight, kept, safe, g)
    return _scattered(slope, safe, shape)


def _scattered(values: Tensor, classes: Tensor, shape: Any) -> Tensor:
    """Zeros of a shape with `values` at the classes, along dimension 1."""
    zeros = values.new_zeros(tuple(shape))
    return zeros.scatter_add(1, classes.unsqueeze(1), values.unsqueeze(1))


@nll_loss_op.vjp
def _(
    g: Any, *, target: Tensor, weight: Any, out1: Tensor, x_shape: Any, reduction: str,
    ignore_index: int,
) -> Any:  # fmt: skip
    found = nll_loss_backward_op(
        g[0], target, weight, out1, shape=x_shape, reduction=reduction, ignore_index=ignore_index
    )
    return {"x": found}


# -- cross entropy --------------------------------------------------------------------------


@cross_entropy_op.decomposition
def _(x: Tensor, target: Tensor, *, ignore_index: int, reduction: str) -> tuple[Tensor, Tensor]:
    wide = widened(x)
    kept, safe = _kept(target, ignore_index)
    lse = wide.logsumexp(1)
    picked = wide.gather(1, safe.unsqueeze(1)).squeeze(1)
    loss = (lse - picked).masked_fill(~kept, 0)
    if reduction != "none":
        loss = loss.sum()
    if reduction == "mean":
        loss = loss / kept.sum().to(loss.dtype)
    return loss.to(x.dtype), lse


@cross_entropy_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, target: Tensor, lse: Tensor, *, ignore_index: int, reduction: str
) -> Tensor:
    kept, safe = _kept(target, ignore_index)
    counts = kept.to(lse.dtype)
    slope = widened(g) / counts.sum() if reduction == "mean" else widened(g)
    slope = (slope * counts).unsqueeze(1)
    soft = (widened(x) - lse.unsqueeze(1)).exp()
    found = soft * slope - _scattered(slope.squeeze(1), safe, x.shape)
    return found.to(x.dtype)


@cross_entropy_op.vjp
def _(g: Any, *, x: Tensor, target: Tensor, out1: Tensor, ignore_index: int, reduction: str) -> Any:
    dx = None
    if g[0] is not None:
        dx = cross_entropy_backward_op(
            g[0], x, target, out1, ignore_index=ignore_index, reduction=reduction
        )
    if g[1] is not None:
        soft = (widened(x) - out1.unsqueeze(1)).exp() * g[1].unsqueeze(1)
        dx = soft if dx is None else dx + soft
    return {"x": dx}


def _cross_entropy(
    x: Tensor, target: Tensor, *, reduction: str = "mean", ignore_index: int = -100
) -> Tensor:
    """Cross entropy of logits (N, C) for classes (N,)."""
    return cross_entropy_op.entry(x, target, ignore_index=ignore_index, reduction=reduction)[0]  # type: ignore[no-any-return]


export("nll_loss", nll_loss_op, "ops")
export("cross_entropy", _cross_entropy, "ops")
