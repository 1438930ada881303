"""Losses with a margin, and losses that compare embeddings."""

from __future__ import annotations

from collections.abc import Callable

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import reduce_loss, resolve_reduction, shape_of
from .distance import pairwise_distance


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Distances of similar pairs, and what dissimilar pairs lack to `margin`.

    Args:
        input: Distances.
        target: 1 for similar, -1 for dissimilar.
        margin: Distance that dissimilar pairs should have.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Example:
        >>> rushlight.nn.functional.hinge_embedding_loss(
        ...     rushlight.tensor([0.5, 0.5]), rushlight.tensor([1, -1])
        ... )
        tensor(0.5000)
    """
    reduction = resolve_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    zeros = rushlight.zeros_like(input)
    lacking = rushlight.where(target != 1, (margin - input).clamp_min(0), zeros)
    return reduce_loss(rushlight.where(target != -1, input, zeros) + lacking, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """One minus the cosine of similar pairs, and the cosine above `margin` of dissimilar ones.

    Args:
        input1: Vectors `(N, D)` or a vector `(D,)`.
        input2: Vectors of the same shape.
        target: 1 or -1 for each pair.
        margin: Cosine that dissimilar pairs may have.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        RuntimeError: The shapes do not fit each other.

    Example:
        >>> x = rushlight.tensor([[1.0, 0.0]])
        >>> rushlight.nn.functional.cosine_embedding_loss(x, x, rushlight.tensor([-1]))
        tensor(1.)
    """
    who = "cosine_embedding_loss"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    given = f"inputs {shape_of(input1)} and {shape_of(input2)}, target {shape_of(target)}"
    if target.ndim > 1:
        raise error(RuntimeError, who, "0D or 1D target tensor expected", given=given)
    if input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        raise error(
            RuntimeError,
            who,
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors",
            given=given,
        )
    # torch's definition, kept to the digit: a small term in the squared norms, no floor.
    tiny = 1e-12
    product = (input1 * input2).sum(-1)
    squares1 = (input1 * input1).sum(-1) + tiny
    squares2 = (input2 * input2).sum(-1) + tiny
    cosine = product / (squares1 * squares2).sqrt()
    zeros = rushlight.zeros_like(cosine)
    similar = rushlight.where(target == 1, 1 - cosine, zeros)
    dissimilar = rushlight.where(target == -1, (cosine - margin).clamp_min(0), zeros)
    return reduce_loss(similar + dissimilar, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """What `input1` lacks to exceed `input2` by `margin`, or the reverse where `target` is -1.

    Raises:
        RuntimeError: The numbers of dimensions differ.
        ValueError: `reduction` is unknown.

    Example:
        >>> one = rushlight.ones(1)
        >>> rushlight.nn.functional.margin_ranking_loss(one, one, one, margin=0.5)
        tensor(0.5000)
    """
    who = "margin_ranking_loss"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise error(
            RuntimeError,
            who,
            "All input tensors should have same dimension",
            given=f"inputs {shape_of(input1)} and {shape_of(input2)}, target {shape_of(target)}",
        )
    return reduce_loss((margin - target * (input1 - input2)).clamp_min(0), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Logistic loss, `log(1 + exp(-target * input))`, of targets 1 and -1.

    Example:
        >>> rushlight.nn.functional.soft_margin_loss(rushlight.zeros(2), rushlight.ones(2))
        tensor(0.6931)
    """
    reduction = resolve_reduction("soft_margin_loss", reduction, size_average, reduce)
    return reduce_loss(rushlight.log1p((-target * input).exp()), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """What the target class lacks to exceed the others by `margin`, to the power `p`.

    Args:
        input: Scores of shape `(N, C)` or `(C,)`.
        target: Classes as int64.
        p: 1 or 2.
        margin: Wanted distance of the scores.
        weight: Factor per class.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `p`, `weight`'s dimensions or `reduction` is not supported.
        RuntimeError: The shapes or dtypes do not fit each other.

    Example:
        >>> scores = rushlight.tensor([[1.0, 0.5]])
        >>> rushlight.nn.functional.multi_margin_loss(scores, rushlight.tensor([0]))
        tensor(0.2500)
    """
    who = "multi_margin_loss"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    _check_multi_margin(input, target, p, weight)
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    index = target.reshape(-1, 1)
    classes = rows.shape[1]
    lacking = (margin - rows.gather(1, index) + rows).clamp_min(0)
    if p == 2:
        lacking = lacking * lacking
    if weight is not None:
        lacking = lacking * weight[index]
    # The target does not compete with itself.
    lacking = lacking.scatter(1, index, 0.0)
    loss = lacking.sum(1) / classes
    return reduce_loss(loss if input.ndim == 2 else loss.reshape(target.shape), reduction)


def _check_multi_margin(input: Tensor, target: Tensor, p: int, weight: Tensor | None) -> None:
    who = "multi_margin_loss"
    given = f"input of shape {shape_of(input)}, target of shape {shape_of(target)}"
    if p not in (1, 2):
        raise error(ValueError, who, f"only p == 1 and p == 2 supported, not {p}")
    if weight is not None and weight.ndim != 1:
        raise error(
            ValueError,
            who,
            "weight must be one-dimensional",
            given=f"weight of shape {shape_of(weight)}",
        )
    _check_scores(who, input)
    rows = input.shape[0] if input.ndim == 2 else 1
    if target.ndim > 1 or target.numel() != rows:
        raise error(
            RuntimeError,
            who,
            f"target tensor should be 1-D with size equal to the batch, [{rows}]",
            given=given,
        )
    if target.dtype != rushlight.int64:
        raise error(RuntimeError, who, f"expected target of dtype int64 but found {target.dtype}")
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None and weight.shape[0] != classes:
        raise error(
            RuntimeError,
            who,
            f"inconsistent weight size, expected {classes} but got {shape_of(weight)}",
        )


def _check_scores(who: str, input: Tensor) -> None:
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise error(
            RuntimeError,
            who,
            "Expected non-empty vector or matrix with optional 0-dim batch size",
            given=f"input of shape {shape_of(input)}",
        )


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """What each target class lacks to exceed each other class by one.

    Args:
        input: Scores of shape `(N, C)` or `(C,)`.
        target: Classes as int64 in the same shape; each row ends at the first -1.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `reduction` is unknown.
        RuntimeError: The shapes do not fit each other, or a target is out of range.

    Example:
        >>> scores, labels = rushlight.tensor([1.0, 0.5]), rushlight.tensor([0, -1])
        >>> rushlight.nn.functional.multilabel_margin_loss(scores, labels)
        tensor(0.2500)
    """
    who = "multilabel_margin_loss"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    _check_scores(who, input)
    given = f"input of shape {shape_of(input)}, target of shape {shape_of(target)}"
    # A scalar counts as a vector of one.
    if (input.ndim == 2 or target.ndim > 1 or input.numel() != target.numel()) and (
        input.shape != target.shape
    ):
        raise error(RuntimeError, who, "inconsistent target size", given=given)
    if target.dtype != rushlight.int64:
        raise error(RuntimeError, who, f"expected target of dtype int64 but found {target.dtype}")
    scores = input if input.ndim == 2 else input.reshape(1, -1)
    labels = target if input.ndim == 2 else target.reshape(1, -1)
    classes = scores.shape[1]
    if bool(((labels < -1) | (labels >= classes)).any()):
        raise error(RuntimeError, who, f"target is out of range [-1, {classes})", given=given)
    listed = (labels >= 0).to(rushlight.int64).cumprod(1)
    index = labels.clamp_min(0)
    is_target = rushlight.zeros_like(labels).scatter_add(1, index, listed) > 0
    wanted = scores.gather(1, index)
    # (N, targets, classes): each listed target against each class that is none.
    lacking = (1 - wanted.unsqueeze(2) + scores.unsqueeze(1)).clamp_min(0)
    counts = listed.unsqueeze(2).to(rushlight.bool) & ~is_target.unsqueeze(1)
    loss = rushlight.where(counts, lacking, rushlight.zeros_like(lacking)).sum((1, 2)) / classes
    return reduce_loss(loss if input.ndim == 2 else loss.squeeze(0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How far the positive is from being closer to the anchor than the negative, by `margin`.

    Args:
        anchor: Vectors `(N, D)` or a vector `(D,)`.
        positive: Vectors that should lie near.
        negative: Vectors that should lie far.
        margin: Wanted difference of the distances, positive.
        p: Order of the norm.
        eps: Added to every difference, as in `pairwise_distance`.
        swap: Uses the distance from positive to negative where it is the smaller one.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `margin` is not positive, or `reduction` is unknown.
        RuntimeError: The shapes do not fit each other.

    References:
        Balntas et al. (2016), Learning local feature descriptors with triplets and shallow
        convolutional neural networks.

    Example:
        >>> a, n = rushlight.zeros(1, 1), rushlight.ones(1, 1)
        >>> rushlight.nn.functional.triplet_margin_loss(a, a, n, margin=3.0).round()
        tensor(2.)
    """
    reduction = resolve_reduction("triplet_margin_loss", reduction, size_average, reduce)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return _triplet(
        "triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance.

    Args:
        anchor: Vectors.
        positive: Vectors that should lie near.
        negative: Vectors that should lie far.
        distance_function: Takes two tensors; `pairwise_distance` unless given.
        margin: Wanted difference of the distances, positive.
        swap: Uses the distance from positive to negative where it is the smaller one.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `margin` is not positive, or `reduction` is unknown.
        RuntimeError: The shapes do not fit each other.

    Example:
        >>> a, n = rushlight.zeros(1, 1), rushlight.ones(1, 1)
        >>> rushlight.nn.functional.triplet_margin_with_distance_loss(
        ...     a, a, n, distance_function=lambda x, y: (x - y).abs().sum(-1), margin=3.0
        ... )
        tensor(2.)
    """
    who = "triplet_margin_with_distance_loss"
    reduction = resolve_reduction(who, reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(who, anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    who: str,
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    if margin <= 0:
        raise error(ValueError, who, f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise error(
            RuntimeError,
            who,
            "The anchor, positive, and negative tensors are expected to have the same number of "
            "dimensions",
            given=f"anchor {shape_of(anchor)}, positive {shape_of(positive)}, "
            f"negative {shape_of(negative)}",
        )
    near = distance(anchor, positive)
    far = distance(anchor, negative)
    if swap:
        far = rushlight.minimum(far, distance(positive, negative))
    return reduce_loss((margin + near - far).clamp_min(0), reduction)
