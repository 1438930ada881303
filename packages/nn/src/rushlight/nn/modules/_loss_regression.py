"""Losses of real-valued predictions."""

from __future__ import annotations

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._loss_base import _Loss


class L1Loss(_Loss):
    """|input - target|.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    Example:
        >>> rushlight.nn.L1Loss()(rushlight.tensor([1.0, 3.0]), rushlight.tensor([0.0, 0.0]))
        tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """(input - target) ** 2.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    Example:
        >>> rushlight.nn.MSELoss()(rushlight.tensor([1.0, 3.0]), rushlight.tensor([0.0, 0.0]))
        tensor(5.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """The absolute difference, rounded to a parabola below `beta`; its slope is one beyond.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
        beta: Where the parabola ends; not negative.
    References:
        Girshick (2015), Fast R-CNN.
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Half the squared difference, continued by straight lines beyond `delta`.

    Args:
        reduction: "mean", "sum" or "none".
        delta: Where the parabola ends; positive.
    Raises:
        TypeError: `delta` is no real number.
    References:
        Huber (1964), Robust estimation of a location parameter.
    """

    __constants__ = ["reduction", "delta"]

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if not isinstance(delta, (float, int)):
            raise error(
                TypeError,
                "HuberLoss",
                f"delta must be a float or int, got: {type(delta)}",
                given=f"delta={delta!r}",
            )
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of counts that follow a Poisson distribution.

    Args:
        log_input: Whether the input is the logarithm of the rate.
        full: Add Stirling's approximation of the term that depends on the target only.
        size_average: Deprecated.
        eps: Added to the rate inside the logarithm, if `log_input` is False.
        reduce: Deprecated.
        reduction: "mean", "sum" or "none".
    """

    __constants__ = ["log_input", "full", "eps", "reduction"]

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """Negative log likelihood of values with given mean and variance.

    Args:
        full: Add the constant term.
        eps: Least variance.
        reduction: "mean", "sum" or "none".
    References:
        Nix and Weigend (1994), Estimating the mean and variance of the target probability
        distribution.
    """

    __constants__ = ["full", "eps", "reduction"]

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """The loss."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence from `input` (log probabilities) to `target`.

    Args:
        size_average: Deprecated.
        reduce: Deprecated.
        reduction: "mean", "batchmean" (the mathematical one), "sum" or "none".
        log_target: Whether the target holds log probabilities.
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


def check_margin(who: str, margin: float) -> None:
    """Raises unless the margin of a triplet loss is positive."""
    if margin <= 0:
        raise error(ValueError, who, f"expected margin to be greater than 0, got {margin} instead")
