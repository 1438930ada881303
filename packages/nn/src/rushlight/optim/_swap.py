"""Lends an optimiser other parameters and another state for the length of a `with` block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim.optimizer import Optimizer, ParamGroup

_WHO = "swap_in_optimizer_params_and_state"


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer,
    swapin_parameters: dict[str, Tensor],
    swapin_optim_state: dict[str, Any],
) -> Iterator[None]:
    """Replaces parameters and state of an optimiser within a `with` block.

    `optimizer.step()` then acts on the given tensors, in place; what the block puts into the
    optimiser otherwise is forgotten at its end.

    Args:
        optimizer: An optimiser that has taken a step, so that its state exists.
        swapin_parameters: Tensors in the order of the optimiser's own parameters.
        swapin_optim_state: A dict of the form that `optimizer.state_dict()` has.

    Raises:
        RuntimeError: The optimiser has no state yet, or groups or parameters differ in number.

    Example:
        >>> w = rushlight.zeros(1, requires_grad=True)
        >>> optimizer = rushlight.optim.SGD([w], lr=1.0, momentum=0.9)
        >>> w.grad = rushlight.ones(1)
        >>> optimizer.step()
        >>> other = rushlight.zeros(1, requires_grad=True)
        >>> other.grad = rushlight.ones(1)
        >>> with rushlight.optim.swap_in_optimizer_params_and_state(
        ...     optimizer, {"w": other}, optimizer.state_dict()
        ... ):
        ...     optimizer.step()
        >>> w.item(), round(other.item(), 4)
        (-1.0, -1.9)
    """
    if not optimizer.state:
        raise error(
            RuntimeError, _WHO, "the optimizer has no state yet", fix="call optimizer.step() first"
        )
    groups, owners = _groups(optimizer, swapin_parameters, swapin_optim_state)
    state: defaultdict[Any, Any] = defaultdict(dict)
    for key, value in swapin_optim_state.get("state", {}).items():
        state[owners.get(key, key)] = dict(value) if isinstance(value, dict) else value
    live = optimizer.param_groups, optimizer.state
    optimizer.param_groups, optimizer.state = groups, state
    try:
        yield
    finally:
        optimizer.param_groups, optimizer.state = live


def _groups(
    optimizer: Optimizer, parameters: dict[str, Tensor], saved: dict[str, Any]
) -> tuple[list[ParamGroup], dict[int, Tensor]]:
    """The parameter groups in force within the block, and whom each number stands for."""
    saved_groups = saved.get("param_groups")
    if not isinstance(saved_groups, list):
        raise error(
            RuntimeError,
            _WHO,
            "swapin_optim_state['param_groups'] must be a list of param-group dicts",
            given=f"{type(saved_groups).__name__}",
        )
    if len(saved_groups) != len(optimizer.param_groups):
        raise error(
            RuntimeError,
            _WHO,
            "swapin_optim_state has a different number of parameter groups than the optimizer",
            given=f"{len(saved_groups)} groups for {len(optimizer.param_groups)}",
        )
    numbers = list(chain.from_iterable(group["params"] for group in saved_groups))
    own = sum(len(group["params"]) for group in optimizer.param_groups)
    if len(parameters) < len(numbers) or len(numbers) != own:
        raise error(
            RuntimeError,
            _WHO,
            "the parameters do not match the parameter groups",
            given=f"{len(parameters)} tensors and {len(numbers)} numbers for {own} parameters",
        )
    owners = dict(zip(numbers, parameters.values(), strict=False))
    groups = [
        {**group, "params": [owners[number] for number in group["params"]]}
        for group in saved_groups
    ]
    return groups, owners
