"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from rushlight._errors import error
from rushlight.optim.lr_scheduler._base import LRScheduler, copied, set_option
from rushlight.optim.lr_scheduler._plateau import ReduceLROnPlateau
from rushlight.optim.optimizer import Optimizer


def _check_parts(who: str, schedulers: Sequence[Any], optimizer: Optimizer | None) -> Optimizer:
    """All parts drive one optimiser, and none of them needs a metric."""
    if len(schedulers) < 1:
        raise error(ValueError, who, f"{who} expects at least one scheduler, but got no scheduler.")
    for index, scheduler in enumerate(schedulers):
        if not hasattr(scheduler, "optimizer"):
            raise error(
                TypeError,
                who,
                f"{who} at index {index} should have `optimizer` as its attribute.",
                given=f"an object of type {type(scheduler).__name__}",
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            raise error(
                ValueError,
                who,
                f"{who} does not support `ReduceLROnPlateau`, whose step() needs a metric",
                given=f"one at index {index}",
            )
        optimizer = optimizer or scheduler.optimizer
        if scheduler.optimizer is not optimizer:
            raise error(
                ValueError,
                who,
                f"{who} expects all schedulers to belong to the same optimizer",
                given=f"scheduler {type(scheduler).__name__} at index {index} has another one",
            )
    assert optimizer is not None
    return optimizer


class _ComposedLR(LRScheduler):
    """Saves and loads the parts with the whole."""

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, with the states of the parts."""
        state = {
            key: value
            for key, value in self.__dict__.items()
            if key not in ("optimizer", "_schedulers")
        }
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state, parts included."""
        rest = {key: value for key, value in state_dict.items() if key != "_schedulers"}
        self.__dict__.update(rest)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_ComposedLR):
    """Runs schedulers one after the other.

    Args:
        optimizer: The optimiser of all of them.
        schedulers: The schedulers in order.
        milestones: The epochs at which the next one takes over; one fewer than schedulers.
        last_epoch: Number of the last epoch; -1 to start.

    Raises:
        ValueError: Schedulers are missing, belong to different optimisers or need a metric, or the
            number of milestones is wrong.

    Example:
        >>> schedulers = rushlight.optim.lr_scheduler
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> warm_up = schedulers.ConstantLR(optimizer, factor=0.5, total_iters=1)
        >>> decay = schedulers.ExponentialLR(optimizer, gamma=0.9)
        >>> scheduler = schedulers.SequentialLR(optimizer, [warm_up, decay], milestones=[1])
        >>> rates = []
        >>> for epoch in range(3):
        ...     rates += scheduler.get_last_lr()
        ...     optimizer.step()
        ...     scheduler.step()
        >>> rates
        [0.5, 1.0, 0.9]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        _check_parts("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise error(
                ValueError,
                "SequentialLR",
                "the number of schedulers must be one more than the number of milestones",
                given=f"{len(schedulers)} schedulers and {len(milestones)} milestones",
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Every part has set its first rates when it was made. Undo that and begin with the first.
        for group in optimizer.param_groups:
            set_option(group, "lr", copied(group["initial_lr"]))
        for scheduler in schedulers:
            _rewind(scheduler)
        schedulers[0]._initial_step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch, with the scheduler in charge of it."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _initial_step(self) -> None:
        """As a part of another sequence: the first part begins."""
        self._schedulers[0]._initial_step()
        self._last_lr = self._schedulers[0].get_last_lr()


def _rewind(scheduler: LRScheduler) -> None:
    """Takes back the step that a scheduler makes when it is built, parts included."""
    for part in getattr(scheduler, "_schedulers", ()):
        _rewind(part)
    if hasattr(scheduler, "last_epoch"):
        scheduler.last_epoch -= 1


class ChainedScheduler(_ComposedLR):
    """Steps several schedulers at once; their factors multiply.

    Args:
        schedulers: The schedulers, which must compute from the rate in force.
        optimizer: Their optimiser; found in the first of them if None.

    Raises:
        ValueError: Schedulers are missing, belong to different optimisers or need a metric.

    Example:
        >>> schedulers = rushlight.optim.lr_scheduler
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> parts = [
        ...     schedulers.ConstantLR(optimizer, factor=0.5),
        ...     schedulers.ExponentialLR(optimizer, gamma=0.5),
        ... ]
        >>> scheduler = schedulers.ChainedScheduler(parts)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self.optimizer = _check_parts("ChainedScheduler", schedulers, optimizer)
        self._schedulers = schedulers
        self._last_lr = self._current_rates()

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch with every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current_rates()

    def _initial_step(self) -> None:
        """As a part of a sequence: every part begins."""
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._current_rates()
