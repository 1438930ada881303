"""Schedules that go up and down: cycles, one cycle, restarts."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, Literal, TypedDict

from rushlight._errors import error
from rushlight.optim.lr_scheduler._base import (
    LRScheduler,
    Rate,
    check_optimizer,
    copied,
    per_group,
    set_option,
)
from rushlight.optim.optimizer import Optimizer, ParamGroup


def _check_cycles_momentum(who: str, optimizer: Optimizer) -> bool:
    """Whether the optimiser's momentum is `betas[0]`; an error if it has none."""
    defaults = optimizer.defaults
    if "betas" in defaults:
        return True
    if "momentum" not in defaults:
        raise error(
            ValueError,
            who,
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled",
            given=f"{type(optimizer).__name__}",
            fix="use cycle_momentum=False",
        )
    return False


def _set_momentum(group: ParamGroup, value: Any, use_beta1: bool) -> None:
    if use_beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        set_option(group, "momentum", value)


class CyclicLR(LRScheduler):
    """Moves the rate up and down between two bounds, and the momentum down and up.

    Call `step` after every batch.

    Args:
        optimizer: The optimiser.
        base_lr: Lower bound, or one for each parameter group.
        max_lr: Upper bound, or one for each parameter group.
        step_size_up: Batches on the way up.
        step_size_down: Batches on the way down; None for as many as up.
        mode: "triangular": every cycle is alike; "triangular2": each is half as high as the last;
            "exp_range": the height falls by `gamma` with every batch.
        gamma: See `mode`.
        scale_fn: A height of your own, from 0 to 1; `mode` is then ignored.
        scale_mode: Whether `scale_fn` takes the number of the "cycle" or of the batch,
            "iterations".
        cycle_momentum: Moves the momentum too, against the rate.
        base_momentum: Lower bound of the momentum.
        max_momentum: Upper bound of the momentum.
        last_epoch: Number of the last batch; -1 to start.

    Raises:
        ValueError: `mode` is unknown, a list has a wrong length, or the optimiser has no momentum.

    References:
        Smith (2017), Cyclical learning rates for training neural networks.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], momentum=0.9)
        >>> scheduler = rushlight.optim.lr_scheduler.CyclicLR(
        ...     optimizer, base_lr=0.25, max_lr=0.75, step_size_up=2
        ... )
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        who = "CyclicLR"
        check_optimizer(who, optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise error(
                ValueError, who, "mode is invalid and scale_fn is None", given=f"mode={mode!r}"
            )
        base_lrs = per_group(who, "base_lr", base_lr, optimizer)
        self.max_lrs = per_group(who, "max_lr", max_lr, optimizer)
        base_momentums = per_group(who, "base_momentum", base_momentum, optimizer)
        max_momentums = per_group(who, "max_momentum", max_momentum, optimizer)
        use_beta1 = cycle_momentum and _check_cycles_momentum(who, optimizer)
        self.optimizer = optimizer

        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"

        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                set_option(group, "lr", rate)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = use_beta1
            self.base_momentums = base_momentums
            self.max_momentums = max_momentums
            for group, low, high in zip(
                optimizer.param_groups, base_momentums, max_momentums, strict=True
            ):
                if last_epoch == -1:
                    _set_momentum(group, high, use_beta1)
                group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, from 0 to 1."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        if self.mode == "triangular2":
            return float(1 / 2.0 ** (x - 1))
        return float(self.gamma**x)

    def get_lr(self) -> list[Rate]:
        """The rates for batch `self.last_epoch`; sets the momentum as well."""
        self._warn_if_called_by_user()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        position = 1.0 + self.last_epoch / self.total_size - cycle
        if position <= self.step_ratio:
            share = position / self.step_ratio
        else:
            share = (position - 1) / (self.step_ratio - 1)
        share *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                _set_momentum(group, high - (high - low) * share, self.use_beta1)
        return [
            low + (high - low) * share
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser; of a scale function, the attributes if it is an object."""
        state = super().state_dict()
        function = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None
        if function is not None and not isinstance(function, types.FunctionType):
            state["_scale_fn_custom"] = function.__dict__.copy()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a saved state; a scale function keeps what it is."""
        rest = {key: value for key, value in state_dict.items() if key != "_scale_fn_custom"}
        saved = state_dict["_scale_fn_custom"]
        self.__dict__.update(rest)
        if saved is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(saved)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Lets the rate fall along a cosine to `eta_min`, and begins anew, again and again.

    Args:
        optimizer: The optimiser.
        T_0: Epochs until the first restart.
        T_mult: Factor by which each run is longer than the one before.
        eta_min: The smallest rate.
        last_epoch: Number of the last epoch; -1 to start.

    Raises:
        ValueError: An option is out of range.

    References:
        Loshchilov, Hutter (2017), SGDR: Stochastic gradient descent with warm restarts.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        who = "CosineAnnealingWarmRestarts"
        if T_0 <= 0 or not isinstance(T_0, int):
            raise error(ValueError, who, f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise error(ValueError, who, f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise error(
                ValueError,
                who,
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}",
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at `self.T_cur` epochs of a run of `self.T_i`."""
        self._warn_if_called_by_user()
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Goes on by one epoch, or to the given one.

        Args:
            epoch: A point of time, which may be within an epoch: `epoch + batch / batches`.

        Raises:
            ValueError: `epoch` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise error(
                    ValueError,
                    "CosineAnnealingWarmRestarts.step",
                    f"Expected non-negative epoch, but got {epoch}",
                )
            self._locate(epoch)
        self.last_epoch = math.floor(epoch)
        with self._computing_rates():
            rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_option(group, "lr", rate)
        self._last_lr = self._current_rates()

    def _update_lr(self, epoch: int | None = None) -> None:
        """What a sequence of schedulers calls when this one takes over."""
        CosineAnnealingWarmRestarts.step(self, epoch)

    def _locate(self, epoch: float) -> None:
        """Finds the run that contains `epoch`."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            # The runs before number n last T_0 * (T_mult ** n - 1) / (T_mult - 1) epochs.
            run = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**run - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**run


class _Phase(TypedDict):
    """A stretch of the one cycle: where it ends, and between which options of a group it leads."""

    end_step: float
    start_lr: str
    end_lr: str
    start_momentum: str
    end_momentum: str


class OneCycleLR(LRScheduler):
    """One cycle for the whole training: up to `max_lr`, then down far below the start.

    Call `step` after every batch.

    Args:
        optimizer: The optimiser.
        max_lr: The largest rate, or one for each parameter group.
        total_steps: Batches of the whole training; or give the next two.
        epochs: Epochs of the training.
        steps_per_epoch: Batches of an epoch.
        pct_start: Share of the steps on the way up, from 0 to 1.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: Moves the momentum too, against the rate.
        base_momentum: Lower bound of the momentum.
        max_momentum: Upper bound of the momentum.
        div_factor: The first rate is `max_lr / div_factor`.
        final_div_factor: The last rate is the first one divided by this.
        three_phase: Comes back to the first rate as it went up, then falls on.
        last_epoch: Number of the last batch; -1 to start.

    Raises:
        ValueError: An option is out of range; or from `step`, after `total_steps` steps.

    References:
        Smith, Topin (2018), Super-convergence: Very fast training of neural networks using large
        learning rates.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], momentum=0.9)
        >>> scheduler = rushlight.optim.lr_scheduler.OneCycleLR(
        ...     optimizer, max_lr=1.0, total_steps=10, div_factor=4.0
        ... )
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        who = "OneCycleLR"
        check_optimizer(who, optimizer)
        self.optimizer = optimizer
        self.total_steps = _count_steps(total_steps, epochs, steps_per_epoch)
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise error(
                ValueError, who, f"Expected float between 0 and 1 pct_start, but got {pct_start}"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise error(
                ValueError,
                who,
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}",
            )
        max_lrs = per_group(who, "max_lr", max_lr, optimizer)
        max_momentums = per_group(who, "max_momentum", max_momentum, optimizer)
        base_momentums = per_group(who, "base_momentum", base_momentum, optimizer)
        use_beta1 = cycle_momentum and _check_cycles_momentum(who, optimizer)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy

        if last_epoch == -1:
            for group, largest in zip(optimizer.param_groups, max_lrs, strict=True):
                set_option(group, "initial_lr", largest / div_factor)
                group["max_lr"] = largest
                group["min_lr"] = copied(group["initial_lr"]) / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = use_beta1
            if last_epoch == -1:
                for group, low, high in zip(
                    optimizer.param_groups, base_momentums, max_momentums, strict=True
                ):
                    _set_momentum(group, high, use_beta1)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for batch `self.last_epoch`; sets the momentum as well."""
        self._warn_if_called_by_user()
        step = self.last_epoch
        if step > self.total_steps:
            raise error(
                ValueError,
                "OneCycleLR.step",
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}",
            )
        phase, share = self._find_phase(step)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                momentum = self._anneal(
                    group[phase["start_momentum"]], group[phase["end_momentum"]], share
                )
                _set_momentum(group, momentum, self.use_beta1)
        return rates

    def _find_phase(self, step: int) -> tuple[_Phase, float]:
        """The phase of a step, and which share of it has passed."""
        start = 0.0
        last = self._schedule_phases[-1]
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is last:
                break
            start = phase["end_step"]
        length = phase["end_step"] - start
        return phase, (step - start) / length if length else 1.0

    def _anneal(self, start: Any, end: Any, share: float) -> Any:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _count_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The length of the training, from whichever arguments were given."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise error(
            ValueError,
            "OneCycleLR",
            "You must define either total_steps OR (epochs AND steps_per_epoch)",
        )
    given = {"total_steps": total_steps}
    if total_steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    product = 1
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise error(
                ValueError, "OneCycleLR", f"Expected positive integer {name}, but got {value}"
            )
        product *= value
    return product


def _phases(total_steps: int, pct_start: float, three_phase: bool) -> list[_Phase]:
    def phase(end: float, rates: tuple[str, str], momentums: tuple[str, str]) -> _Phase:
        return {
            "end_step": end,
            "start_lr": rates[0],
            "end_lr": rates[1],
            "start_momentum": momentums[0],
            "end_momentum": momentums[1],
        }

    falling, rising = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
    peak = float(pct_start * total_steps)
    up = phase(peak - 1, ("initial_lr", "max_lr"), falling)
    if not three_phase:
        return [up, phase(total_steps - 1, ("max_lr", "min_lr"), rising)]
    return [
        up,
        phase(2 * peak - 2, ("max_lr", "initial_lr"), rising),
        phase(total_steps - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")),
    ]
