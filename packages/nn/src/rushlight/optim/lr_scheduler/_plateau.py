"""Lower the learning rate when a metric stops improving."""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsFloat

from rushlight._errors import error
from rushlight.optim.lr_scheduler._base import (
    LRScheduler,
    Rate,
    check_optimizer,
    set_option,
    warn_of_epoch,
)
from rushlight.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a metric has not improved for `patience` epochs.

    Args:
        optimizer: The optimiser.
        mode: "min" if a smaller metric is better, "max" if a larger.
        factor: The factor, below 1.
        patience: Epochs without improvement that are tolerated.
        threshold: How much better than the best a metric must be to count.
        threshold_mode: "rel": the threshold is a share of the best; "abs": it is a difference.
        cooldown: Epochs after a reduction in which bad ones are not counted.
        min_lr: Smallest rate, or one for each parameter group.
        eps: Smallest change of the rate that is made.

    Raises:
        ValueError: An option is out of range.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.ReduceLROnPlateau(
        ...     optimizer, factor=0.5, patience=1
        ... )
        >>> for loss in [1.0, 1.0, 1.0]:
        ...     scheduler.step(loss)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        who = "ReduceLROnPlateau"
        if factor >= 1.0:
            raise error(ValueError, who, "Factor should be < 1.0.", given=f"factor={factor}")
        check_optimizer(who, optimizer)
        count = len(optimizer.param_groups)
        if isinstance(min_lr, (list, tuple)) and len(min_lr) != count:
            raise error(ValueError, who, f"expected {count} min_lrs, got {len(min_lr)}")
        if mode not in ("min", "max"):
            raise error(ValueError, who, f"mode {mode} is unknown!", expected='"min" or "max"')
        if threshold_mode not in ("rel", "abs"):
            raise error(
                ValueError,
                who,
                f"threshold mode {threshold_mode} is unknown!",
                expected='"rel" or "abs"',
            )
        self.factor = factor
        self.optimizer = optimizer
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * count
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = self._current_rates()
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self._reset()

    def _reset(self) -> None:
        """Forgets the best metric and all counts."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Takes the metric of an epoch and lowers the rates if it is time.

        Args:
            metrics: The metric: a number or a tensor of one element.
            epoch: Deprecated: the number of the epoch.
        """
        current = float(metrics)
        if epoch is None:
            epoch = self.last_epoch + 1
        else:
            warn_of_epoch()
        self.last_epoch = epoch
        if self.is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current_rates()

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):  # groups were added since
            if self.default_min_lr is None:
                raise error(
                    RuntimeError,
                    "ReduceLROnPlateau",
                    "the number of parameter groups changed and min_lr was a list",
                    given=f"{len(self.min_lrs)} min_lrs for {len(groups)} groups",
                    fix="set min_lrs of the scheduler to a list of the new length",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, smallest in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, smallest)
            if old - new > self.eps:
                set_option(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was so recent that bad epochs do not count."""
        return self.cooldown_counter > 0

    def is_better(self, a: float, best: float) -> bool:
        """Whether metric `a` improves on `best` by more than the threshold."""
        threshold = self.threshold if self.mode == "max" else -self.threshold
        # A product, not `best + threshold * best`: the first best is infinite.
        bar = best * (1.0 + threshold) if self.threshold_mode == "rel" else best + threshold
        return a > bar if self.mode == "max" else a < bar

    def get_lr(self) -> list[Rate]:
        """Not defined: the rates depend on a metric."""
        raise NotImplementedError("ReduceLROnPlateau has no get_lr(); use get_last_lr()")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state."""
        self.__dict__.update(state_dict)
