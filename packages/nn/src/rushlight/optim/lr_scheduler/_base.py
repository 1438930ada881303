"""What all learning rate schedulers share: counting, writing the rates, state, warnings."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim.optimizer import Optimizer, ParamGroup

Rate: TypeAlias = float | Tensor
T = TypeVar("T")

_EPOCH_IS_DEPRECATED = (
    "The epoch parameter of scheduler.step() is deprecated: call scheduler.step() once per epoch. "
    "It takes the closed form of the schedule where there is one, which can differ from the sum "
    "of single steps"
)


def copied(value: T) -> T:
    """A learning rate that does not change when the group's own does."""
    return value.clone() if isinstance(value, Tensor) else value  # type: ignore[return-value]


def set_option(group: ParamGroup, key: str, value: Any) -> None:
    """Writes an option; a tensor stays the same tensor, because others may hold it."""
    if isinstance(group.get(key), Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def per_group(who: str, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A value per parameter group, out of one for all or a list with one for each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise error(
            ValueError,
            who,
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {count}.",
        )
    return list(value)


def check_optimizer(who: str, optimizer: Any) -> None:
    """Refuses what is no optimiser."""
    if not isinstance(optimizer, Optimizer):
        raise error(TypeError, who, f"{type(optimizer).__name__} is not an Optimizer")


def warn_of_epoch() -> None:
    """`step(epoch)` works but should not be used."""
    warnings.warn(_EPOCH_IS_DEPRECATED, UserWarning, stacklevel=4)


class LRScheduler:
    """Base class of the schedulers: sets every group's learning rate at each `step()`.

    A subclass defines `get_lr()`, the rates for `self.last_epoch`; it may start from the rates in
    force, `group["lr"]`, so that several schedulers can work on one optimiser.

    Args:
        optimizer: The optimiser whose rates are set.
        last_epoch: Number of the last epoch when training resumes; -1 to start.

    Raises:
        TypeError: `optimizer` is no optimiser.
        KeyError: Training resumes, but a group has no `"initial_lr"`.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> class HalvesEachEpoch(rushlight.optim.lr_scheduler.LRScheduler):
        ...     def get_lr(self):
        ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
        >>> scheduler = HalvesEachEpoch(optimizer)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise error(
                    KeyError,
                    type(self).__name__,
                    f"param 'initial_lr' is not specified in param_groups[{index}] when resuming "
                    "scheduler with last_epoch >= 0",
                    given=f"last_epoch={last_epoch}",
                    fix="load the optimizer's state_dict first, or start with last_epoch=-1",
                )
        self.base_lrs: list[Rate] = [
            copied(group["initial_lr"]) for group in optimizer.param_groups
        ]
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """Sets the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch and sets its rates.

        Args:
            epoch: Deprecated: goes to this epoch instead.
        """
        if self._step_count == 1:
            _warn_if_out_of_order(self.optimizer)
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._computing_rates():
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
                rates = closed_form()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            set_option(group, "lr", rate)
        self._last_lr: list[Rate] = self._current_rates()

    @contextmanager
    def _computing_rates(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`; called by `step`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[Rate]:
        """The rates that the last `step` set."""
        return self._last_lr

    def _current_rates(self) -> list[Rate]:
        """The rates in force, as copies."""
        return [copied(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[Rate]:
        """The rates in force times a factor."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _from_initial(self, factor: float) -> list[Rate]:
        """The initial rates times a factor."""
        return [base * factor for base in self.base_lrs]

    def _warn_if_called_by_user(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, "
                "please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state.

        Args:
            state_dict: What `state_dict()` returned. Load the optimiser's state as well: the rates
                in force are there.
        """
        self.__dict__.update(state_dict)


def _watch_steps(optimizer: Optimizer) -> None:
    """Notes what is needed to tell later whether `optimizer.step()` was called."""
    if not hasattr(optimizer, "_opt_called"):
        # A step() replaced on the instance cannot be watched: assume that it works.
        optimizer._opt_called = "step" in optimizer.__dict__
        optimizer._step_when_scheduled = optimizer.__dict__.get("step")  # type: ignore[attr-defined]


def _warn_if_out_of_order(optimizer: Optimizer) -> None:
    unchanged = getattr(optimizer, "_step_when_scheduled", None)
    if optimizer.__dict__.get("step") is not unchanged:
        warnings.warn(
            "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
            "initialization. Please, make sure to call `optimizer.step()` before "
            "`lr_scheduler.step()`",
            UserWarning,
            stacklevel=4,
        )
    elif not getattr(optimizer, "_opt_called", True):
        warnings.warn(
            "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the "
            "opposite order: `optimizer.step()` before `lr_scheduler.step()`; otherwise the first "
            "value of the learning rate schedule is skipped",
            UserWarning,
            stacklevel=4,
        )


def functions_per_group(
    who: str, given: Callable[[int], float] | Sequence[Callable[[int], float]], count: int
) -> list[Callable[[int], float]]:
    """One function for each parameter group."""
    if not isinstance(given, (list, tuple)):
        return [given] * count  # type: ignore[list-item]
    if len(given) != count:
        raise error(ValueError, who, f"Expected {count} lr_lambdas, but got {len(given)}")
    return list(given)


def function_states(functions: Sequence[Callable[..., Any]]) -> list[dict[str, Any] | None]:
    """The attributes of callable objects; plain functions cannot be saved and leave None."""
    return [
        None if isinstance(function, types.FunctionType) else function.__dict__.copy()
        for function in functions
    ]


def restore_functions(
    functions: Sequence[Callable[..., Any]], states: Sequence[dict[str, Any] | None]
) -> None:
    """Gives callable objects their saved attributes."""
    for function, state in zip(functions, states, strict=True):
        if state is not None:
            function.__dict__.update(state)
