"""Losses that ask for a margin: between classes, pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._loss_base import _Loss, _WeightedLoss
from ._loss_regression import check_margin
from .distance import PairwiseDistance


class HingeEmbeddingLoss(_Loss):
    """A distance x where the target is 1, and max(0, margin - x) where it is -1.

    Args:
        margin: How far apart different things should be.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["margin", "reduction"]

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Hinge between every right class and every wrong one, with several right ones per sample.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; `target` lists the right classes, up to the first -1."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * input)), with targets 1 and -1.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of each class, averaged over the classes.

    Args:
        weight: A factor per class.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """1 - cos where the target is 1, and max(0, cos - margin) where it is -1.

    Args:
        margin: From -1 to 1.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["margin", "reduction"]

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MarginRankingLoss(_Loss):
    """max(0, -target * (input1 - input2) + margin).

    Args:
        margin: How far apart the two should be.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["margin", "reduction"]

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MultiMarginLoss(_WeightedLoss):
    """The hinge of each wrong class: max(0, margin - x[right] + x[wrong]) ** p, averaged.

    Args:
        p: 1 or 2.
        margin: How far the right class should be ahead.
        weight: A factor per class.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["p", "margin", "reduction"]

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise error(
                ValueError, "MultiMarginLoss", "only p == 1 and p == 2 supported", given=f"{p=}"
            )
        if weight is not None and weight.dim() != 1:
            raise error(
                ValueError,
                "MultiMarginLoss",
                f"expected weight to be None or 1D tensor, got {weight.dim()}D instead",
            )
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class TripletMarginLoss(_Loss):
    """max(0, |anchor - positive| - |anchor - negative| + margin).

    Args:
        margin: How much farther the negative should be; positive.
        p: Which norm.
        eps: Keeps gradients finite.
        swap: Take the distance of positive and negative where that is smaller.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    References:
        Balntas et al. (2016), Learning local feature descriptors with triplets.
    """

    __constants__ = ["margin", "p", "eps", "swap", "reduction"]

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_margin("TripletMarginLoss", margin)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` with any distance.

    Args:
        distance_function: Two tensors to their distances; None for the Euclidean one.
        margin: How much farther the negative should be; positive.
        swap: Take the distance of positive and negative where that is smaller.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["margin", "swap", "reduction"]

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        check_margin("TripletMarginWithDistanceLoss", margin)
        self.distance_function: Callable[[Tensor, Tensor], Tensor] = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
