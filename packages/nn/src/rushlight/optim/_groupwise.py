"""What the optimisers that update group by group share: their step, their checks, their scalars.

An update formula is written once and for two kinds of scalars. Usually step counts, learning rates
and betas are Python numbers. With `differentiable=True` (so that gradients reach them) and
`capturable=True` (so that nothing waits for the device) they are tensors of no dimensions, and the
same expressions compute with those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim.optimizer import Optimizer, ParamGroup

# A Python number, or a tensor of no dimensions that stands for one.
Scalar: TypeAlias = Any


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


def as_real(x: Tensor) -> Tensor:
    """A complex tensor seen as pairs of reals, which optimisers treat as two parameters each."""
    return rushlight.view_as_real(x) if x.is_complex() else x


def settled(x: Tensor, differentiable: bool) -> Tensor:
    """`x` for a place that remembers it for its derivative, while `x` itself changes every step."""
    return x.clone() if differentiable else x


# Checks ------------------------------------------------------------------------------------


def check_lr(who: str, lr: Scalar) -> None:
    """A learning rate is not negative, and a tensor of one element if it is a tensor."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise error(
            ValueError, who, "Tensor lr must be 1-element", given=f"shape {tuple(lr.shape)}"
        )
    check_not_negative(who, "learning rate", lr, argument="lr")


def check_not_negative(who: str, what: str, value: Scalar, argument: str | None = None) -> None:
    """Refuses negative numbers and NaN."""
    if not value >= 0.0:
        raise error(
            ValueError, who, f"Invalid {what}: {value}", expected=f"{argument or what} >= 0"
        )


def check_betas(who: str, betas: Sequence[Scalar]) -> None:
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
