"""Losses of predicted classes and probabilities."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._loss_base import _Loss, _WeightedLoss
from .linear import Linear


class NLLLoss(_WeightedLoss):
    """Minus the log probability of the right class.

    Args:
        weight: A factor per class.
        size_average: Deprecated.
        ignore_index: A target that counts as none.
        reduce: Deprecated.
        reduction: "mean" (weighted by the classes' factors), "sum" or "none".
    Example:
        >>> log_probabilities = rushlight.tensor([[-1.0, -2.0]])
        >>> rushlight.nn.NLLLoss()(log_probabilities, rushlight.tensor([1]))
        tensor(2.)
    """

    __constants__ = ["ignore_index", "reduction"]

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class NLLLoss2d(NLLLoss):
    """Deprecated name of `NLLLoss`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        warnings.warn(
            "NLLLoss2d has been deprecated; use NLLLoss instead", FutureWarning, stacklevel=2
        )
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class BCELoss(_WeightedLoss):
    """Binary cross entropy of probabilities.

    Args:
        weight: A factor per element.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of sigmoid(input), computed without overflow.

    Args:
        weight: A factor per element.
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
        pos_weight: A factor for the positive part of each class.
    Example:
        >>> rushlight.nn.BCEWithLogitsLoss()(rushlight.zeros(3), rushlight.ones(3))
        tensor(0.6931)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class CrossEntropyLoss(_WeightedLoss):
    """`NLLLoss` of the log softmax of the input; the target may hold probabilities instead.

    Args:
        weight: A factor per class.
        size_average: Deprecated.
        ignore_index: A target that counts as none.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
        label_smoothing: Share of the target that is spread over all classes, from 0 to 1.
    Example:
        >>> loss = rushlight.nn.CrossEntropyLoss()
        >>> loss(rushlight.zeros(3, 5), rushlight.tensor([1, 0, 4]))
        tensor(1.6094)
    """

    __constants__ = ["ignore_index", "reduction", "label_smoothing"]

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


@dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` works through its batch in pieces.

    Args:
        allow_retain_graph: Keep what a second backward needs.
        batch_chunk_size: Rows per piece; None for all at once.
        chunking_method: "auto", "aspect_ratio", "aspect_ratio:N" or None.
        acc_policy: "auto", "accurate", "balanced" or "compact".
        acc_dtype: Dtype of sums; None to choose it.
    Raises:
        ValueError: A value is none of these.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    # `Any`: a `rushlight.dtype`, whose class the annotation could name only as a value.
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        size, method, floating = self.batch_chunk_size, self.chunking_method, self._floating()
        checks = {
            "acc_policy": self.acc_policy in ("auto", "accurate", "balanced", "compact"),
            "chunking_method": method in (None, "auto") or self._is_aspect_ratio(str(method)),
            "batch_chunk_size": size is None or (isinstance(size, int) and size > 0),
            "acc_dtype": self.acc_dtype is None or self.acc_dtype in floating,
        }
        for name, good in checks.items():
            if not good:
                raise error(
                    ValueError,
                    "LinearCrossEntropyOptions",
                    f"invalid {name}: {getattr(self, name)!r}",
                )

    @staticmethod
    def _is_aspect_ratio(method: str) -> bool:
        name, colon, factor = method.partition(":")
        return name == "aspect_ratio" and (not colon or (factor.isdigit() and int(factor) > 0))

    @staticmethod
    def _floating() -> tuple[Any, ...]:
        return rushlight.float16, rushlight.bfloat16, rushlight.float32, rushlight.float64


class LinearCrossEntropyLoss(_WeightedLoss):
    """`CrossEntropyLoss` of a linear map of the input.

    Args:
        in_features: Size of the last dimension of the input.
        num_classes: Number of classes.
        out_features: Sizes of further dimensions, each of which has a target of its own.
        bias: Whether the map has a bias.
        device: Where its parameters are made.
        dtype: Their dtype; None for the default one.
        reduction: "mean", "sum" or "none".
        weight: A factor per class.
        ignore_index: A target that counts as none.
        label_smoothing: Share of the target that is spread over all classes, from 0 to 1.
        options: How to work in pieces; None for all at once.
    """

    __constants__ = ["ignore_index", "reduction", "label_smoothing"]

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        who = "LinearCrossEntropyLoss"
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise error(
                RuntimeError,
                who,
                f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}",
            )
        if not 0 <= label_smoothing <= 1:
            raise error(
                RuntimeError,
                who,
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}",
            )
        super().__init__(weight, reduction=reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        linear = self.linear
        shape = (self.num_classes, *self.out_features)
        return F.linear_cross_entropy(
            input,
            linear.weight.reshape((*shape, linear.in_features)),
            target,
            linear_bias=None if linear.bias is None else linear.bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )


class CTCLoss(_Loss):
    """Connectionist temporal classification: minus the log probability of all right alignments.

    Args:
        blank: Number of the class that stands for no symbol.
        reduction: "mean" (each divided by its target's length first), "sum" or "none".
        zero_infinity: Replace infinite losses, of targets that do not fit, and their gradients by
            zeros.
    References:
        Graves et al. (2006), Connectionist temporal classification.
    """

    __constants__ = ["blank", "reduction"]

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | tuple[int, ...],
        target_lengths: Tensor | tuple[int, ...],
    ) -> Tensor:
        """The loss.

        Args:
            log_probs: Of shape (T, N, C) or (T, C).
            targets: Of shape (N, S), or all targets in a line.
            input_lengths: Lengths of the inputs.
            target_lengths: Lengths of the targets.
        """
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )
