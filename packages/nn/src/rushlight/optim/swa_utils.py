"""Averages of a model's weights over training, and the schedule that goes with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal, TypeAlias

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.nn import Module
from rushlight.nn.modules.batchnorm import _BatchNorm
from rushlight.optim.lr_scheduler import LRScheduler
from rushlight.optim.lr_scheduler._base import Rate, check_optimizer, per_group
from rushlight.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

# The average, the model's own value and how many models were averaged -> the new average.
AverageFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor | int], Tensor]
# The same for all averages at once, in place.
MultiAverageFunction: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def _check_decay(who: str, decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise error(ValueError, who, f"Invalid decay value {decay}", expected="a decay in [0, 1]")


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverageFunction:
    """An exponential moving average of many tensors: `ema = decay * ema + (1 - decay) * current`.

    Raises:
        ValueError: `decay` is not in [0, 1].
    """
    _check_decay("get_ema_multi_avg_fn", decay)

    @rushlight.no_grad()
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(value.to(average.dtype), 1 - decay)
            else:
                average.copy_(average * decay + value * (1 - decay))

    return update


def get_swa_multi_avg_fn() -> MultiAverageFunction:
    """The plain mean of many tensors, updated by one more value of each."""

    @rushlight.no_grad()
    def update(
        averages: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int
    ) -> None:
        count = int(num_averaged) + 1
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(value.to(average.dtype), 1 / count)
            else:
                average.add_((value - average) // count)

    return update


def get_ema_avg_fn(decay: float = 0.999) -> AverageFunction:
    """An exponential moving average of one tensor: `decay * ema + (1 - decay) * current`.

    Raises:
        ValueError: `decay` is not in [0, 1].
    """
    _check_decay("get_ema_avg_fn", decay)

    @rushlight.no_grad()
    def update(average: Tensor, current: Tensor, _: Tensor | int) -> Tensor:
        return decay * average + (1 - decay) * current

    return update


def get_swa_avg_fn() -> AverageFunction:
    """The plain mean of one tensor, updated by one more value."""

    @rushlight.no_grad()
    def update(average: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        return average + (current - average) / (num_averaged + 1)

    return update


class AveragedModel(Module):
    """A copy of a model whose weights are an average of the model's during training.

    Call `update_parameters(model)` after a step or an epoch; use the averaged model like the model.

    Args:
        model: The model; it is copied.
        device: Where the copy lives; None for the same place.
        avg_fn: Averages one tensor; the plain mean by default.
        multi_avg_fn: Averages all tensors at once, in place.
        use_buffers: Averages the buffers too, instead of copying them.

    Raises:
        ValueError: Both averaging functions are given.

    References:
        Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization.

    Example:
        >>> model = rushlight.nn.Linear(1, 1, bias=False)
        >>> averaged = rushlight.optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 2.0):
        ...     _ = rushlight.nn.init.constant_(model.weight, value)
        ...     averaged.update_parameters(model)
        >>> averaged.module.weight.item()
        1.5
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: int | rushlight.device | None = None,
        avg_fn: AverageFunction | None = None,
        multi_avg_fn: MultiAverageFunction | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise error(
                ValueError,
                "AveragedModel",
                "Only one of avg_fn and multi_avg_fn should be provided",
            )
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer(
            "n_averaged", rushlight.tensor(0, dtype=rushlight.int64, device=device)
        )
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the model's present weights into the average."""
        averages, current = self._averaged_tensors(self.module), self._averaged_tensors(model)
        current = [
            value.detach().to(average.device)
            for average, value in zip(averages, current, strict=True)
        ]
        with rushlight.no_grad():
            self._average(averages, current)
            if not self.use_buffers:  # they follow the model
                for own, value in zip(self.module.buffers(), model.buffers(), strict=True):
                    own.copy_(value.detach().to(own.device))
            self.n_averaged += 1

    def _averaged_tensors(self, model: Module) -> list[Tensor]:
        buffers = model.buffers() if self.use_buffers else ()
        return [tensor.detach() for tensor in itertools.chain(model.parameters(), buffers)]

    def _average(self, averages: list[Tensor], current: list[Tensor]) -> None:
        if self.n_averaged == 0:
            for average, value in zip(averages, current, strict=True):
                average.copy_(value)
        elif self.avg_fn is None:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            update(averages, current, self.n_averaged)
        else:
            for average, value in zip(averages, current, strict=True):
                count = self.n_averaged.to(average.device)
                average.copy_(self.avg_fn(average, value, count))


def update_bn(
    loader: Iterable[Any],
    model: Module,
    device: int | rushlight.device | None = None,
) -> None:
    """Computes the statistics of the batch normalisations anew, in one pass over the data.

    Averaged weights need it, because the statistics were those of other weights.

    Args:
        loader: Batches; of a list or tuple the first entry is the input.
        model: The model.
        device: Where inputs are moved to.
    """
    momenta: dict[_BatchNorm, float | None] = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # a plain mean over all batches
    try:
        with rushlight.no_grad():
            for batch in loader:
                given = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(given if device is None else given.to(device))
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Moves the rate to a constant one, at which weights are then averaged.

    Args:
        optimizer: The optimiser.
        swa_lr: The constant rate, or one for each parameter group.
        anneal_epochs: Epochs on the way there.
        anneal_strategy: "cos" or "linear".
        last_epoch: Number of the last epoch; -1 to start.

    Raises:
        ValueError: An option is out of range.

    Example:
        >>> optimizer = rushlight.optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        >>> scheduler = rushlight.optim.swa_utils.SWALR(
        ...     optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear"
        ... )
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SWALR", optimizer)
        rates = per_group("SWALR", "swa_lr", swa_lr, optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise error(
                ValueError,
                "SWALR",
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}",
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise error(
                ValueError,
                "SWALR",
                f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}",
            )
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates for `self.last_epoch`."""
        self._warn_if_called_by_user()
        before = self._share(self.last_epoch - 1)
        now = self._share(self.last_epoch)
        rates: list[Rate] = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target  # from here on the rate stays
            if before < 1:  # where the way began, from how far it has led
                start = (group["lr"] - before * target) / (1 - before)
            rates.append(start + now * (target - start))
        return rates

    def _share(self, epoch: int) -> float:
        """The share of the way to the constant rate after so many epochs."""
        share = max(0.0, min(1.0, epoch / max(1, self.anneal_epochs)))
        if self.anneal_epochs == 0:
            share = 1.0 if epoch >= 0 else 0.0
        if self._anneal_strategy == "cos":
            return (1 - math.cos(math.pi * share)) / 2
        return share
