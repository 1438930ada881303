"""Negative log likelihood, and cross entropy fused with its log-softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight._errors import error
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, zeros
from rushlight_cpu.kernels.softmax import row_sums


def _kept(who: str, target: Array, classes: int, ignore_index: int) -> Array | None:
    """Which targets count, None for all; the others may hold anything, these must be classes."""
    if target.size == 0:
        return None
    kept = None
    if ((target < 0) | (target >= classes)).any():
        kept = target != ignore_index
        wrong = target[kept & ((target < 0) | (target >= classes))]
        if wrong.size:
            raise error(
                IndexError,
                who,
                f"Target {wrong.flat[0]} is out of bounds.",
                given=f"target of shape {target.shape}, {classes} classes",
                expected=f"0 <= target < {classes}, or ignore_index={ignore_index}",
            )
    elif 0 <= ignore_index < classes:
        kept = target != ignore_index
    return None if kept is None or kept.all() else kept


def _picked(shape: tuple[int, ...], target: Array, kept: Array | None) -> tuple[Array, Array]:
    """Flat positions of the targets in (N, C, *size), and the targets with ignored ones as 0."""
    batch, classes, pixels = shape[0], shape[1], prod(shape[2:])
    # Positions would overflow the small integers that targets may be.
    safe = (target if kept is None else np.where(kept, target, 0)).astype(np.int64, copy=False)
    base = np.arange(batch)[:, None] * (classes * pixels) + np.arange(pixels)
    return (base.reshape(target.shape) + safe * pixels), safe


@reduced_precision()
def nll_loss(
    log_probs: Array,
    target: Array,
    weight: Array | None,
    *,
    reduction: str,
    ignore_index: int,
) -> tuple[Array, Array]:
    """Loss of `log_probs` (N, C, *size) for `target` (N, *size), and the sum of the weights.

    The total weight is 0 for the reduction "none".
    """
    shape = log_probs.shape
    kept = _kept("nll_loss", target, shape[1], ignore_index)
    where, safe = _picked(shape, target, kept)
    dtype = log_probs.dtype
    loss: Array = -np.take(log_probs.reshape(-1), where) if where.size else np.empty(where.shape)
    loss = loss.astype(dtype, copy=False)
    weights = None if weight is None else np.take(weight.astype(dtype, copy=False), safe)
    if weights is not None:
        loss *= weights
    if kept is not None:
        loss = np.where(kept, loss, dtype.type(0))
    if reduction == "none":
        return loss, np.zeros((), dtype)
    total = _total_weight(weights, kept, loss.size, dtype)
    summed = loss.sum(dtype=dtype)
    return np.asarray(summed / total if reduction == "mean" else summed), np.asarray(total)


def _total_weight(
    weights: Array | None, kept: Array | None, count: int, dtype: np.dtype[Any]
) -> Any:
    if weights is None:
        return dtype.type(count if kept is None else np.count_nonzero(kept))
    return weights.sum(dtype=dtype) if kept is None else weights[kept].sum(dtype=dtype)


@reduced_precision()
def nll_loss_backward(
    g: Array,
    target: Array,
    weight: Array | None,
    total_weight: Array,
    *,
    shape: tuple[int, ...],
    reduction: str,
    ignore_index: int,
) -> Array:
    """Gradient of `nll_loss` towards its log probabilities, of the given shape (N, C, *size)."""
    out: Array = zeros(shape, g.dtype)
    if target.size == 0:
        return out
    kept = _kept("nll_loss", target, shape[1], ignore_index)
    where, safe = _picked(shape, target, kept)
    value = -g / total_weight if reduction == "mean" else -g
    spread = np.broadcast_to(value, target.shape)
    if weight is not None:
        spread = spread * np.take(weight, safe)
    if kept is None:
        out.reshape(-1)[where] = spread
    else:
        out.reshape(-1)[where[kept]] = spread[kept]
    return out


def _as_rows(x: Array) -> Array:
    """Logits (N, C, *) as one row of classes per target."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@reduced_precision(keep=(1,))
def cross_entropy(
    x: Array, target: Array, *, ignore_index: int, reduction: str
) -> tuple[Array, Array]:
    """Cross entropy of logits `x` (N, C, *) for classes `target` (N, *); and their log-sum-exp."""
    lse: Array
    if x.ndim > 2:
        loss, lse = cross_entropy(
            _as_rows(x), target.reshape(-1), ignore_index=ignore_index, reduction=reduction
        )
        shape = target.shape
        return (loss.reshape(shape) if reduction == "none" else loss), lse.reshape(shape)
    rows, classes = x.shape
    kept = _kept("cross_entropy", target, classes, ignore_index)
    lse = np.empty(rows, x.dtype)

    def part(start: int, stop: int) -> None:
        step = max(1, BLOCK // max(1, classes))
        room = empty((min(step, rows), classes), x.dtype)
        for at in range(start, stop, step):
            some = slice(at, min(at + step, stop))
            block = x[some]
            shifted = room[: len(block)]
            top = block.max(axis=1, keepdims=True)
            np.exp(np.subtract(block, top, out=shifted), out=shifted)
            lse[some] = np.log(row_sums(shifted)) + top[:, 0]

    if x.size:
        _parallel.split(rows, 4.0 * x.size, part)
    safe = target if kept is None else np.where(kept, target, 0)
    loss = lse - x[np.arange(rows), safe] if x.size else np.zeros(rows, x.dtype)
    if kept is not None:
        loss = np.where(kept, loss, x.dtype.type(0))
    if reduction == "none":
        return loss, lse
    total = loss.sum(dtype=x.dtype)
    if reduction == "mean":
        total = total / x.dtype.type(rows if kept is None else np.count_nonzero(kept))
    return np.asarray(total), lse


@reduced_precision()
def cross_entropy_backward(
    g: Array, x: Array, target: Array, lse: Array, *, ignore_index: int, reduction: str
) -> Array:
    """Gradient of `cross_entropy` towards its logits: softmax minus the one-hot target."""
    if x.ndim > 2:
        flat = cross_entropy_backward(
            g.reshape(-1) if reduction == "none" else g, _as_rows(x), target.reshape(-1),
            lse.reshape(-1), ignore_index=ignore_index, reduction=reduction,
        )  # fmt: skip
        rows_last = flat.reshape(x.shape[0], *x.shape[2:], x.shape[1])
        return np.ascontiguousarray(np.moveaxis(rows_last, -1, 1))
    rows, classes = x.shape
    out: Array = empty(x.shape, x.dtype)
    if x.size == 0:
        return out
    kept = _kept("cross_entropy", target, classes, ignore_index)
    counted = rows if kept is None else int(np.count_nonzero(kept))
    slope = (g / np.asarray(counted, g.dtype)) if reduction == "mean" else g
    factors = np.broadcast_to(slope, (rows,)).astype(x.dtype, copy=False)
    if kept is not None:
        factors = np.where(kept, factors, x.dtype.type(0))

    def part(start: int, stop: int) -> None:
        step = max(1, BLOCK // classes)
        for at in range(start, stop, step):
            some = slice(at, min(at + step, stop))
            block = out[some]
            np.exp(np.subtract(x[some], lse[some, None], out=block), out=block)
            block *= factors[some, None]

    _parallel.split(rows, 4.0 * x.size, part)
    if kept is None:
        out[np.arange(rows), target] -= factors
    else:
        # Rows that do not count stay exactly zero, whatever their logits are.
        out[~kept] = 0
        counted_rows = np.flatnonzero(kept)
        out[counted_rows, target[counted_rows]] -= factors[counted_rows]
    return out


KERNELS: dict[str, Kernel] = {
    "nll_loss": nll_loss,
    "nll_loss_backward": nll_loss_backward,
    "cross_entropy": cross_entropy,
    "cross_entropy_backward": cross_entropy_backward,
}
