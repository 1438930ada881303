"""Schedules that are one formula of the epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from rushlight._errors import error
from rushlight.optim.lr_scheduler._base import (
    LRScheduler,
    Rate,
    check_optimizer,
    function_states,
    functions_per_group,
    restore_functions,
)
from rushlight.optim.optimizer import Optimizer


class _FunctionLR(LRScheduler):
    """A schedule given by functions of the epoch."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        who = type(self).__name__
        check_optimizer(who, optimizer)
        self.optimizer = optimizer
        self.lr_lambdas = functions_per_group(who, lr_lambda, len(optimizer.param_groups))
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser; of the functions, the attributes of callable objects."""
        state = super().state_dict()
        del state["lr_lambdas"]
        state["lr_lambdas"] = function_states(self.lr_lambdas)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state; functions keep what they are."""
        rest = {key: value for key, value in state_dict.items() if key != "lr_lambdas"}
        self.__dict__.update(rest)
        restore_functions(self.lr_lambdas, state_dict["lr_lambdas"])


class LambdaLR(_FunctionLR):
    """Multiplies the initial rate by a function of the epoch.

    Args:
        optimizer: The optimiser.
        lr_lambda: The function, or one for each parameter group.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.LambdaLR(
        ...     optimizer, lambda epoch: 1 / (1 + epoch)
        ... )
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class MultiplicativeLR(_FunctionLR):
    """Multiplies the rate by a function of the epoch, from the second epoch on.

    Args:
        optimizer: The optimiser.
        lr_lambda: The function, or one for each parameter group.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self._is_initial:
            return self._current_rates()
        return [
            group["lr"] * function(self.last_epoch)
            for group, function in zip(self.optimizer.param_groups, self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """Multiplies the rate by `gamma` every `step_size` epochs.

    Args:
        optimizer: The optimiser.
        step_size: Epochs from one change to the next.
        gamma: The factor.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._current_rates()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Rate]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return self._from_initial(factor)


class MultiStepLR(LRScheduler):
    """Multiplies the rate by `gamma` at each of the given epochs.

    Args:
        optimizer: The optimiser.
        milestones: The epochs; one that occurs twice counts twice.
        gamma: The factor.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.MultiStepLR(optimizer, [1, 30], gamma=0.5)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self.last_epoch not in self.milestones:
            return self._current_rates()
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[Rate]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return self._from_initial(self.gamma**passed)


class ConstantLR(LRScheduler):
    """Multiplies the rate by a factor for the first epochs.

    Args:
        optimizer: The optimiser.
        factor: The factor, from 0 to 1.
        total_iters: Epochs until the initial rate returns.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if factor > 1.0 or factor < 0:
            raise error(
                ValueError,
                "ConstantLR",
                "Constant multiplicative factor expected to be between 0 and 1.",
                given=f"factor={factor}",
            )
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._current_rates()
        return self._scaled(1.0 / self.factor)

    def _get_closed_form_lr(self) -> list[Rate]:
        factor = self.factor if self.last_epoch < self.total_iters else 1.0
        return self._from_initial(factor)


class LinearLR(LRScheduler):
    """Changes the factor of the rate linearly over the first epochs, as in a warm-up.

    Args:
        optimizer: The optimiser.
        start_factor: Factor in the first epoch, above 0 and at most 1.
        end_factor: Factor from epoch `total_iters` on, from 0 to 1.
        total_iters: Epochs of the change.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if start_factor > 1.0 or start_factor <= 0:
            raise error(
                ValueError,
                "LinearLR",
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1.",
                given=f"start_factor={start_factor}",
            )
        if end_factor > 1.0 or end_factor < 0:
            raise error(
                ValueError,
                "LinearLR",
                "Ending multiplicative factor expected to be between 0 and 1.",
                given=f"end_factor={end_factor}",
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current_rates()
        change = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        return self._scaled(1.0 + change / before)

    def _get_closed_form_lr(self) -> list[Rate]:
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * share
        return self._from_initial(factor)


class ExponentialLR(LRScheduler):
    """Multiplies the rate by `gamma` every epoch.

    Args:
        optimizer: The optimiser.
        gamma: The factor.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self._is_initial:
            return self._current_rates()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Rate]:
        return self._from_initial(self.gamma**self.last_epoch)


class PolynomialLR(LRScheduler):
    """Lets the rate fall to zero as a power of the epochs that are left.

    Args:
        optimizer: The optimiser.
        total_iters: Epochs until the rate is zero.
        power: The power.
        last_epoch: Number of the last epoch; -1 to start.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current_rates()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((now / before) ** self.power)

    def _get_closed_form_lr(self) -> list[Rate]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return self._from_initial(left**self.power)


class CosineAnnealingLR(LRScheduler):
    """Moves the rate along a cosine, from the initial one to `eta_min` and back.

    Args:
        optimizer: The optimiser.
        T_max: Epochs from the largest to the smallest rate.
        eta_min: The smallest rate.
        last_epoch: Number of the last epoch; -1 to start.

    References:
        Loshchilov, Hutter (2017), SGDR: Stochastic gradient descent with warm restarts; here
        without the restarts.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`, from those in force."""
        self._warn_if_called_by_user()
        if self._is_initial:
            return self._current_rates()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The rate in force is eta_min, from which no ratio leads up again.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                group["lr"] + (base - self.eta_min) * rise
                for base, group in zip(self.base_lrs, groups, strict=True)
            ]
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def _get_closed_form_lr(self) -> list[Rate]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]
