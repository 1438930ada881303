"""Adaptive softmax: an output layer for many classes of uneven frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class _ASMoutput(NamedTuple):
    """Log probability of every target, and the loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log softmax over clusters of classes: frequent ones at once, rare ones by two steps.

    Args:
        in_features: Number of features of the input.
        n_classes: Number of classes, sorted from the most to the least frequent.
        cutoffs: Where the clusters begin; classes below the first are the head's own.
        div_value: Factor by which each cluster's projection is narrower than the one before.
        head_bias: Has a bias in the head.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Raises:
        ValueError: `cutoffs` is empty, or not increasing between 1 and `n_classes - 1`.

    References:
        Grave et al. (2017), Efficient softmax approximation for GPUs.

    Example:
        >>> model = rushlight.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10])
        >>> output, loss = model(rushlight.ones(3, 8), rushlight.tensor([1, 7, 15]))
        >>> output.shape, loss.shape
        (rushlight.Size([3]), rushlight.Size([]))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()
        ends = list(cutoffs)
        if not ends or (
            ends != sorted(set(ends))
            or ends[0] <= 0
            or ends[-1] > n_classes - 1
            or any(int(end) != end for end in ends)
        ):
            raise error(
                ValueError,
                "AdaptiveLogSoftmaxWithLoss",
                "cutoffs should be a sequence of unique, positive integers sorted in an "
                "increasing order, where each value is between 1 and n_classes-1",
                given=f"cutoffs={ends}, n_classes={n_classes}",
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*ends, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, size, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cast(Sequential, cluster):
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """Log probabilities of the targets, and the mean of their negatives.

        Args:
            input_: `(N, in_features)` or `(in_features,)`.
            target_: Classes, `(N,)` or `()`.

        Returns:
            A named tuple of `output` (as `target_`) and `loss` (a scalar).

        Raises:
            RuntimeError: The shapes do not fit each other, or a target is out of range.
        """
        self._check(input_, target_)
        batched = target_.ndim > 0
        rows = input_ if batched else input_.unsqueeze(0)
        target = target_ if batched else target_.unsqueeze(0)
        head = F.log_softmax(self.head(rows), 1)
        # In the head a class of cluster i stands behind the shortlist, at the cluster's place.
        place = target
        for i in range(self.n_clusters):
            place = place.masked_fill(self._in_cluster(target, i), self.shortlist_size + i)
        output = head.gather(1, place.unsqueeze(1)).squeeze(1)
        for i, cluster in enumerate(self.tail):
            members = self._in_cluster(target, i).nonzero().squeeze(1)
            if members.numel() == 0:
                continue
            log_probs = F.log_softmax(cluster(rows.index_select(0, members)), 1)
            relative = target.index_select(0, members) - self.cutoffs[i]
            within = log_probs.gather(1, relative.unsqueeze(1)).squeeze(1)
            output = output.index_add(0, members, within)
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log probabilities of all classes, `(N, n_classes)`, for `(N, in_features)`."""
        return self._all_log_probs(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of every row; computes only the clusters that matter.

        Equivalent to `self.log_prob(input).argmax(1)`, but cheaper.
        """
        rows = input if input.ndim == 2 else input.unsqueeze(0)
        head: Tensor = self.head(rows)
        best = head.argmax(1)
        rare = best >= self.shortlist_size
        if bool(rare.any()):
            # torch decides by the head whether a row needs the clusters.
            members = rare.nonzero().squeeze(1)
            log_probs = self._all_log_probs(
                rows.index_select(0, members), head.index_select(0, members)
            )
            best = best.index_copy(0, members, log_probs.argmax(1))
        return best if input.ndim == 2 else best.squeeze(0)

    def _all_log_probs(self, rows: Tensor, head: Tensor) -> Tensor:
        head = F.log_softmax(head, -1)
        parts = [head[..., : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            place = self.shortlist_size + i
            within = F.log_softmax(cluster(rows), -1)
            parts.append(within + head[..., place : place + 1])
        return rushlight.cat(parts, -1)

    def _in_cluster(self, target: Tensor, i: int) -> Tensor:
        return (target >= self.cutoffs[i]) & (target < self.cutoffs[i + 1])

    def _check(self, input: Tensor, target: Tensor) -> None:
        given = f"input of shape {tuple(input.shape)}, target of shape {tuple(target.shape)}"
        fits = (input.ndim, target.ndim) in ((2, 1), (1, 0))
        if not fits or tuple(input.shape[:-1]) != tuple(target.shape):
            raise error(
                RuntimeError,
                "AdaptiveLogSoftmaxWithLoss",
                "Input and target should have the same size in the batch dimension",
                given=given,
                expected="input (N, in_features) and target (N,), or (in_features,) and ()",
            )
        if bool(((target < 0) | (target >= self.n_classes)).any()):
            raise error(
                RuntimeError,
                "AdaptiveLogSoftmaxWithLoss",
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{int(target.min())}, {int(target.max())}] were found",
                given=given,
            )
