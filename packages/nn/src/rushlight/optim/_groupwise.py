"""What the optimisers that update group by group share: their step, their checks, their scalars.

An update formula is written once and for two kinds of scalars. Usually step counts, learning rates
and betas are Python numbers. With `differentiable=True` (so that gradients reach them) and
`capturable=True` (so that nothing waits for the device) they are tensors of no dimensions, and the
same expressions compute with those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim.optimizer import Optimizer, ParamGroup

# A Python number, or a tensor of no dimensions that stands for one.
Scalar: TypeAlias = Any
# The options of a group by name, their tensors turned into scalars of the kind the group wants.
Options: TypeAlias = SimpleNamespace


class GroupwiseOptimizer(Optimizer):
    """An optimiser whose step is one independent update of every parameter group."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters once.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What `closure` returned, or None without one.
        """
        loss = None
        if closure is not None:
            with rushlight.enable_grad():
                loss = closure()
        with rushlight.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                self._update_group(group)
        return loss

    def _update_group(self, group: ParamGroup) -> None:
        raise NotImplementedError

    def _gradients(self, group: ParamGroup) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters that have a gradient, and the gradients."""
        params, grads = [], []
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None:
                params.append(parameter)
                grads.append(gradient)
        return params, grads

    def _states(self, params: Sequence[Tensor], *keys: str) -> list[list[Tensor]]:
        """One list over the parameters for each state tensor of that name."""
        states = [self.state[parameter] for parameter in params]
        return [[state[key] for state in states] for key in keys]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, default in self.defaults.items():
                group.setdefault(key, default)
            for parameter in group["params"]:
                own = self.state.get(parameter)
                # Checkpoints of old versions have a number here.
                if own and "step" in own and not isinstance(own["step"], Tensor):
                    own["step"] = rushlight.tensor(float(own["step"]), dtype=scalar_dtype())


class FormulaOptimizer(GroupwiseOptimizer):
    """An optimiser that is a formula for one parameter and a step count.

    A subclass names the state a parameter starts with and defines `_update`.
    """

    # State that starts at zero and has the parameter's shape.
    _moments: tuple[str, ...] = ()
    # State of no dimensions, which a recorded step needs beside the parameter.
    _counters: tuple[str, ...] = ("step",)

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """The state before the first step."""
        state = {"step": new_step(p, group)}
        state.update((name, rushlight.zeros_like(p)) for name in self._moments)
        return state

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        """Updates a parameter and its state in place with its gradient, in step number `t`."""
        raise NotImplementedError

    def _update_at_once(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        states: list[dict[str, Tensor]],
        steps: list[float],
        options: Options,
    ) -> bool:
        """Updates all parameters in one kernel, if there is one for this optimiser."""
        return False

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        states = [self.state[p] for p in params]
        for p, state in zip(params, states, strict=True):
            if not state:
                state.update(self._new_state(p, group))
        if group.get("capturable"):
            counters = ([state[name] for state in states] for name in self._counters)
            check_capturable(type(self).__name__, params, *counters)
        options = scalar_options(group, self.defaults)
        update, keep, maximize = self._update, options.keep_tensors, options.maximize
        steps = [count(state["step"], keep) for state in states]
        if at_once(options) and self._update_at_once(params, grads, states, steps, options):
            return
        for p, g, t, state in zip(params, grads, steps, states, strict=True):
            update(p, -g if maximize else g, t, state, options)


# Scalars -----------------------------------------------------------------------------------


def scalar_dtype() -> rushlight.dtype:
    """The dtype of step counts: single precision unless the program computes in double."""
    if rushlight.get_default_dtype() == rushlight.float64:
        return rushlight.float64
    return rushlight.float32


def new_step(parameter: Tensor, group: ParamGroup) -> Tensor:
    """A step count at zero: on the host, or beside the parameter if it must not be waited for."""
    if group.get("capturable") or group.get("fused"):
        dtype = rushlight.float32 if group.get("fused") else scalar_dtype()
        return rushlight.zeros((), dtype=dtype, device=parameter.device)
    return rushlight.tensor(0.0, dtype=scalar_dtype())


def keeps_tensors(group: ParamGroup) -> bool:
    """Whether scalars of this group stay tensors in the update formula."""
    return bool(group.get("differentiable") or group.get("capturable"))


def as_scalar(value: Scalar, keep_tensor: bool) -> Scalar:
    """The Python number in a tensor, unless tensors are to be kept."""
    if isinstance(value, Tensor):
        return value.squeeze() if keep_tensor else value.item()
    return value


def scalar_options(group: ParamGroup, names: Iterable[str]) -> Options:
    """The named options, and as `keep_tensors` whether scalars among them are left as tensors."""
    keep = keeps_tensors(group)
    options = Options(keep_tensors=keep)
    found = options.__dict__
    for name in names:
        value = group[name]
        if isinstance(value, (tuple, list)):
            value = [as_scalar(item, keep) for item in value]
        elif isinstance(value, Tensor):
            value = as_scalar(value, keep)
        found[name] = value
    return options


def at_once(options: Options) -> bool:
    """Whether one kernel may update the whole group: scalars are numbers, and `fused` allows it."""
    return not options.keep_tensors and getattr(options, "fused", None) is not False


def count(step: Tensor, keep_tensor: bool) -> Scalar:
    """Counts one step and returns the new count."""
    step.add_(1)
    if keep_tensor:
        return step.clone()  # the history of this update must not see the next count
    return step.item()


def add_scaled(x: Tensor, y: Tensor, scale: Scalar) -> None:
    """`x += scale * y` in place."""
    if isinstance(scale, Tensor):
        x.addcmul_(y, scale)
    else:
        x.add_(y, alpha=scale)


def add_quotient(x: Tensor, y: Tensor, z: Tensor, scale: Scalar) -> None:
    """`x += scale * y / z` in place."""
    if isinstance(scale, Tensor):
        x.addcdiv_(y * scale, z)
    else:
        x.addcdiv_(y, z, value=scale)


def mean_of(x: Tensor, y: Tensor, weight: Scalar) -> None:
    """`x += weight * (y - x)` in place: one step of an exponential moving average."""
    x.lerp_(y, weight)


def mean_of_square(x: Tensor, y: Tensor, decay: Scalar) -> None:
    """`x = decay * x + (1 - decay) * y * y` in place."""
    x.mul_(decay)
    if isinstance(decay, Tensor):
        x.addcmul_(y * (1 - decay), y)
    else:
        x.addcmul_(y, y, value=1 - decay)


def with_penalty(g: Tensor, p: Tensor, weight_decay: Scalar) -> Tensor:
    """The gradient with that of the L2 penalty added."""
    if isinstance(weight_decay, Tensor):
        return g.addcmul(p.clone(), weight_decay)  # remembers p, which is about to change
    return g.add(p, alpha=weight_decay) if weight_decay != 0 else g


def decayed(p: Tensor, g: Tensor, options: Options) -> Tensor:
    """The gradient after weight decay, which if decoupled shrinks the parameter at once."""
    weight_decay = options.weight_decay
    if not options.decoupled_weight_decay:
        return with_penalty(g, p, weight_decay)
    if isinstance(weight_decay, Tensor) or weight_decay != 0:
        p.mul_(1 - options.lr * weight_decay)
    return g


def as_real(x: Tensor) -> Tensor:
    """A complex tensor seen as pairs of reals, which optimisers treat as two parameters each."""
    return rushlight.view_as_real(x) if x.is_complex() else x


def settled(x: Tensor, differentiable: bool) -> Tensor:
    """`x` for a place that remembers it for its derivative, while `x` itself changes every step."""
    return x.clone() if differentiable else x


# Checks ------------------------------------------------------------------------------------


# How messages name an option where its own name would say too little.
_NAMES_IN_MESSAGES = {"lr": "learning rate", "eps": "epsilon value"}


def check_hyperparameters(who: str, **options: Any) -> None:
    """Refuses options out of range: `betas` outside of [0, 1), everything else below zero."""
    for name, value in options.items():
        if name == "betas":
            _check_betas(who, value)
            continue
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise error(
                ValueError, who, "Tensor lr must be 1-element", given=f"shape {tuple(value.shape)}"
            )
        if not value >= 0.0:  # NaN neither
            what = _NAMES_IN_MESSAGES.get(name, f"{name} value")
            raise error(ValueError, who, f"Invalid {what}: {value}", expected=f"{name} >= 0")


def _check_betas(who: str, betas: Sequence[Scalar]) -> None:
    """Decay rates of moving averages lie in [0, 1)."""
    for index in (0, 1):
        beta = betas[index]
        if not 0.0 <= beta < 1.0:
            raise error(
                ValueError,
                who,
                f"Invalid beta parameter at index {index}: {beta}",
                expected=f"0 <= betas[{index}] < 1",
            )


def check_conditions(who: str, *conditions: tuple[bool, str, object]) -> None:
    """Refuses the first option whose condition, `(met, its text, the value)`, is not met."""
    for met, condition, value in conditions:
        if not met:
            raise error(ValueError, who, f"{condition} but is: {value}")


def check_real(who: str, params: Sequence[Tensor]) -> None:
    """Refuses complex parameters."""
    for p in params:
        if p.is_complex():
            raise error(
                RuntimeError,
                who,
                f"{who} does not support complex parameters",
                given=f"a parameter of shape {tuple(p.shape)} and dtype {p.dtype}",
            )


def check_implementation(who: str, group: ParamGroup) -> None:
    """`fused`, `foreach` and `differentiable` exclude each other as in torch."""
    if not group.get("fused"):
        return
    if group.get("differentiable"):
        raise error(RuntimeError, who, "`fused` does not support `differentiable`")
    if group.get("foreach"):
        raise error(
            RuntimeError, who, "`fused` and `foreach` cannot be `True` together.", fix="choose one"
        )


def check_capturable(who: str, params: Sequence[Tensor], *states: Sequence[Tensor]) -> None:
    """A step can be recorded for replay only where device and host are two things."""
    for parameter, *own in zip(params, *states, strict=True):
        device = parameter.device
        if device.type == "cpu" or any(state.device != device for state in own):
            raise error(
                AssertionError,
                who,
                "capturable=True needs parameters and their state on one accelerator",
                given=f"a parameter on {device}",
                fix="use capturable=False",
            )
