"""What losses share: the reduction, and weights."""

from __future__ import annotations

import warnings

from rushlight import Tensor

from .module import Module


def _legacy_reduction(size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that two deprecated arguments mean."""
    average = size_average is None or size_average
    chosen = "none" if reduce is not None and not reduce else "mean" if average else "sum"
    warnings.warn(
        "size_average and reduce args will be deprecated, please use "
        f"reduction='{chosen}' instead.",
        stacklevel=4,
    )
    return chosen


class _Loss(Module):
    """A loss whose elements are averaged ("mean"), added ("sum"), or kept ("none")."""

    __constants__ = ["reduction"]
    reduction: str

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = _legacy_reduction(size_average, reduce)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss with weights of classes or elements."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
