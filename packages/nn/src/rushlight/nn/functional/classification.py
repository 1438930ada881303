"""Losses of classifiers: negative log likelihood and cross entropy over classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import reduce_loss, resolve_reduction, shape_of
from .linear import linear

if TYPE_CHECKING:
    from ..modules.loss import LinearCrossEntropyOptions


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of classes.

    Args:
        input: Log probabilities of shape `(C,)`, `(N, C)` or `(N, C, d1, ...)`.
        target: Classes as int64 (or uint8) of shape `()`, `(N,)` or `(N, d1, ...)`.
        weight: Factor per class; the mean is then the weighted one.
        size_average: Deprecated, see `reduction`.
        ignore_index: Targets of this value count nowhere.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: The shapes do not fit each other, or `reduction` is unknown.
        RuntimeError: `target` or `weight` has the wrong dtype or size.
        IndexError: A target is out of range.

    Example:
        >>> log_probs = rushlight.tensor([[-1.0, -2.0], [-3.0, -4.0]])
        >>> rushlight.nn.functional.nll_loss(log_probs, rushlight.tensor([0, 1]))
        tensor(2.5000)
    """
    reduction = resolve_reduction("nll_loss", reduction, size_average, reduce)
    _check_class_targets("nll_loss", input, target, weight)
    return _nll(input, target, weight, ignore_index, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy between `softmax(input)` and classes or class probabilities.

    Args:
        input: Logits of shape `(C,)`, `(N, C)` or `(N, C, d1, ...)`.
        target: Classes as in `nll_loss`, or probabilities of `input`'s shape and a floating dtype.
        weight: Factor per class.
        size_average: Deprecated, see `reduction`.
        ignore_index: Class targets of this value count nowhere.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        label_smoothing: Share of the uniform distribution mixed into the target.

    Raises:
        ValueError: The shapes do not fit each other, or `reduction` is unknown.
        RuntimeError: A dtype or size does not fit, or `label_smoothing` is not between 0 and 1.
        IndexError: A target is out of range.

    References:
        Szegedy et al. (2016), Rethinking the Inception architecture (label smoothing).

    Example:
        >>> rushlight.nn.functional.cross_entropy(rushlight.zeros(1, 4), rushlight.tensor([2]))
        tensor(1.3863)
    """
    who = "cross_entropy"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise error(
            RuntimeError,
            who,
            f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}",
        )
    class_dim = 0 if input.ndim == 1 else 1
    if target.shape == input.shape:
        _check_probability_targets(input, target, weight, ignore_index)
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_class_targets(who, input, target, weight)
    if weight is None and label_smoothing == 0.0 and input.ndim == 2:
        return ops.cross_entropy(
            input, _as_int64(target), reduction=reduction, ignore_index=ignore_index
        )
    log_probs = rushlight.log_softmax(input, class_dim)
    loss = _nll(log_probs, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return loss
    smooth = _uniform_loss(log_probs, target, weight, ignore_index, reduction)
    return (1 - label_smoothing) * loss + label_smoothing / input.shape[class_dim] * smooth


def _as_int64(target: Tensor) -> Tensor:
    return target if target.dtype == rushlight.int64 else target.to(rushlight.int64)


def _nll(
    log_probs: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    """The operator, which knows batches only; a single sample is a batch of one."""
    target = _as_int64(target)
    single = log_probs.ndim <= 1
    batch = log_probs.reshape(1, -1) if single else log_probs
    targets = target.reshape(1) if single else target
    settings = {"reduction": reduction, "ignore_index": ignore_index}
    loss: Tensor = ops.nll_loss(batch, targets, weight, **settings)[0]
    return loss.reshape(target.shape) if reduction == "none" else loss


def _uniform_loss(
    log_probs: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    """The loss against equal probabilities (times their number), which smoothing mixes in."""
    class_dim = 0 if log_probs.ndim == 1 else 1
    target = _as_int64(target)
    ignored = target == ignore_index
    if weight is None:
        loss = -log_probs.sum(class_dim)
    else:
        loss = -(log_probs * _along_classes(weight, log_probs)).sum(class_dim)
    loss = loss.masked_fill(ignored, 0.0)
    if reduction != "mean":
        return reduce_loss(loss, reduction)
    if weight is None:
        return loss.sum() / (~ignored).sum()
    weights = weight[target.masked_fill(ignored, 0)].masked_fill(ignored, 0.0)
    return loss.sum() / weights.sum()


def _along_classes(weight: Tensor, like: Tensor) -> Tensor:
    return weight.reshape((-1,) + (1,) * (like.ndim - 2)) if like.ndim > 1 else weight


def _soft_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    class_dim = 0 if input.ndim == 1 else 1
    classes = input.shape[class_dim]
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = rushlight.log_softmax(input, class_dim) * target
    if weight is not None:
        terms = terms * _along_classes(weight, input)
    if reduction == "none":
        return -terms.sum(class_dim)
    if reduction == "sum":
        return -terms.sum()
    # An empty batch divides zero by zero, as the mean over classes does.
    return -terms.sum() / (input.numel() // classes) if classes else -terms.sum()


def _check_class_targets(who: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    given = f"input of shape {shape_of(input)}, target of shape {shape_of(target)}"
    if input.ndim == 0:
        raise error(ValueError, who, "Expected input with at least 1 dimension", given=given)
    batch = tuple(input.shape[:1]) if input.ndim > 1 else ()
    if tuple(target.shape[: len(batch)]) != batch:
        raise error(
            ValueError, who, "Expected input batch_size to match target batch_size", given=given
        )
    expected = batch + tuple(input.shape[2:])
    if tuple(target.shape) != expected:
        raise error(
            # torch leaves the spatial sizes to a kernel, which raises another type.
            RuntimeError,
            who,
            f"Expected target size {expected}",
            given=given,
            expected="target of input's shape without the class dimension",
        )
    if target.dtype not in (rushlight.int64, rushlight.uint8):
        raise error(
            RuntimeError,
            who,
            f"expected target of dtype int64 (class numbers), not {target.dtype}",
            given=given,
            fix="convert it with .to(rushlight.int64), or give class probabilities "
            "(cross_entropy only) in input's shape",
        )
    _check_class_weight(who, input, weight)


def _check_class_weight(who: str, input: Tensor, weight: Tensor | None) -> None:
    classes = input.shape[0 if input.ndim == 1 else 1]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise error(
            RuntimeError,
            who,
            f"weight tensor should be defined either for all {classes} classes or no classes",
            given=f"weight of shape {shape_of(weight)}",
        )
    if weight is not None and weight.dtype != input.dtype:
        raise error(
            RuntimeError,
            who,
            "weight and input must have the same dtype",
            given=f"input of dtype {input.dtype}, weight of dtype {weight.dtype}",
        )


def _check_probability_targets(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> None:
    who = "cross_entropy"
    if not target.dtype.is_floating_point:
        raise error(
            RuntimeError,
            who,
            f"Expected floating point type for target with class probabilities, got {target.dtype}",
            fix="give class numbers without the class dimension, or floating probabilities",
        )
    if ignore_index >= 0:
        raise error(RuntimeError, who, "ignore_index is not supported for floating point target")
    _check_class_weight(who, input, weight) if weight is not None else None


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)` in one step.

    Args:
        input: Samples of shape `(N, in_features)` or `(in_features,)`.
        linear_weight: Weight of shape `(C, in_features)`, or `(C, d1, ..., in_features)` for
            several classifications of each sample.
        target: Classes or class probabilities, as in `cross_entropy`.
        linear_bias: Bias of shape `(C,)` or `(C, d1, ...)`.
        weight: Factor per class.
        reduction: `"mean"`, `"sum"` or `"none"`.
        ignore_index: Class targets of this value count nowhere; -100 unless given.
        label_smoothing: Share of the uniform distribution mixed into the target.
        options: Works through the batch in pieces, so that the logits never exist at once;
            they are computed again for the gradient.

    Raises:
        RuntimeError: The shapes do not fit each other, or `ignore_index` is given together with
            class probabilities.

    Example:
        >>> rushlight.nn.functional.linear_cross_entropy(
        ...     rushlight.ones(1, 3), rushlight.zeros(4, 3), rushlight.tensor([2])
        ... )
        tensor(1.3863)
    """
    logits_shape = _check_linear_classifier(input, linear_weight, linear_bias)
    if tuple(target.shape) == logits_shape and ignore_index is not None:
        raise error(
            RuntimeError,
            "linear_cross_entropy",
            "ignore_index cannot be specified when target contains probabilities",
            given=f"ignore_index={ignore_index}, target of shape {shape_of(target)}",
        )
    ignored = -100 if ignore_index is None else ignore_index
    if options is not None:
        if _can_chunk(linear_weight, target, reduction, label_smoothing):
            return _chunked_cross_entropy(
                input, linear_weight, target, linear_bias, weight, reduction, ignored, options
            )
        warnings.warn(
            "linear_cross_entropy: `options` is ignored; working in pieces needs int64 class "
            "targets, label_smoothing=0 and a two-dimensional linear_weight.",
            stacklevel=2,
        )
    rows = linear_weight.reshape(-1, linear_weight.shape[-1])
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    return cross_entropy(
        linear(input, rows, bias).reshape(logits_shape),
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=ignored,
        label_smoothing=label_smoothing,
    )


def _check_linear_classifier(
    input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None
) -> tuple[int, ...]:
    """The shape of the logits."""
    who = "linear_cross_entropy"
    given = f"input {shape_of(input)}, linear_weight {shape_of(linear_weight)}"
    if input.ndim not in (1, 2):
        raise error(
            RuntimeError,
            who,
            f"expected input with dimensionality 1 or 2, got {input.ndim}",
            given=given,
        )
    if linear_weight.ndim < 2:
        raise error(
            RuntimeError,
            who,
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}",
            given=given,
        )
    if input.shape[-1] != linear_weight.shape[-1]:
        raise error(
            RuntimeError,
            who,
            "expected equal input and linear_weight last dimensions (in_features)",
            given=given,
        )
    outputs = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outputs:
        raise error(
            RuntimeError,
            who,
            f"expected linear_bias shape {outputs}, got {shape_of(linear_bias)}",
            given=given,
        )
    if len(outputs) > 1 and input.ndim == 1:
        raise error(
            RuntimeError,
            who,
            "K-dimensional loss defined by linear_weight requires batched input",
            given=given,
            fix="use input.unsqueeze(0)",
        )
    return (*input.shape[:-1], *outputs)


def _can_chunk(
    linear_weight: Tensor, target: Tensor, reduction: str, label_smoothing: float
) -> bool:
    return (
        linear_weight.ndim == 2
        and target.dtype == rushlight.int64
        and label_smoothing == 0.0
        and reduction in ("mean", "sum", "none")
    )


def _chunked_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int,
    options: LinearCrossEntropyOptions,
) -> Tensor:
    rows = input if input.ndim == 2 else input.unsqueeze(0)
    classes = target if input.ndim == 2 else target.unsqueeze(0)
    kept = classes != ignore_index
    known = classes.masked_fill(~kept, 0)
    factors = kept.to(rows.dtype) if weight is None else weight[known].masked_fill(~kept, 0)
    size = _chunk_size(rows.shape[0], linear_weight.shape[0], linear_weight.shape[1], options)
    losses: Tensor = _ChunkedLoss.apply(rows, linear_weight, linear_bias, known, factors, size)
    if reduction == "none":
        return losses if input.ndim == 2 else losses.squeeze(0)
    return losses.sum() / factors.sum() if reduction == "mean" else losses.sum()


def _chunk_size(rows: int, classes: int, features: int, options: LinearCrossEntropyOptions) -> int:
    """Rows per piece: as asked for, or such that a piece's logits take no more than the input."""
    method = options.chunking_method
    if method is None:
        return options.batch_chunk_size or max(rows, 1)
    if options.batch_chunk_size is not None and method == "auto":
        return options.batch_chunk_size
    parts = 2 if method == "auto" else int(method.partition(":")[2] or 1)
    aspect = max(math.ceil(classes / max(features, 1)), 1)
    wanted = max(math.ceil(rows / aspect), 1)
    return max((1 << (wanted - 1).bit_length()) // parts, 1)


class _ChunkedLoss(rushlight.autograd.Function):
    """Loss per row of a linear classifier; both directions go through the rows piece by piece."""

    @staticmethod
    def forward(ctx, rows, weight, bias, classes, factors, size):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(rows, weight, bias, classes, factors)
        ctx.size = size
        losses = [
            -(log_probs.gather(1, classes[part].unsqueeze(1)).squeeze(1)) * factors[part]
            for part, log_probs in _ChunkedLoss._pieces(rows, weight, bias, size)
        ]
        return rushlight.cat(losses) if losses else rows.new_zeros((0,))

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        rows, weight, bias, classes, factors = ctx.saved_tensors
        row_gradients = []
        weight_gradient = rushlight.zeros_like(weight)
        bias_gradient = None if bias is None else rushlight.zeros_like(bias)
        for part, log_probs in _ChunkedLoss._pieces(rows, weight, bias, ctx.size):
            # The derivative of the loss by the logits: probabilities minus the one-hot target.
            scale = (g[part] * factors[part]).unsqueeze(1)
            slope = log_probs.exp() * scale
            slope = slope.scatter_add(1, classes[part].unsqueeze(1), -scale)
            row_gradients.append(slope @ weight)
            weight_gradient += slope.t() @ rows[part]
            if bias_gradient is not None:
                bias_gradient += slope.sum(0)
        row_gradient = rushlight.cat(row_gradients) if row_gradients else rows.new_zeros(rows.shape)
        return row_gradient, weight_gradient, bias_gradient, None, None, None

    @staticmethod
    def _pieces(
        rows: Tensor, weight: Tensor, bias: Tensor | None, size: int
    ) -> Iterator[tuple[slice, Tensor]]:
        for start in range(0, rows.shape[0], size):
            part = slice(start, start + size)
            yield part, rushlight.log_softmax(linear(rows[part], weight, bias), 1)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy with logits, averaged over the last dimension.

    Args:
        input: Logits of shape `(*, C)`.
        target: Zeros and ones of the same shape.
        weight: Factor per class.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `reduction` is unknown.

    Example:
        >>> zeros = rushlight.zeros(1, 2)
        >>> rushlight.nn.functional.multilabel_soft_margin_loss(zeros, zeros)
        tensor(0.6931)
    """
    reduction = resolve_reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
    loss = -(target * ops.logsigmoid(input) + (1 - target) * ops.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduce_loss(loss.sum(-1) / input.shape[-1], reduction)
