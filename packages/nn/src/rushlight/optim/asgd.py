"""Averaged SGD: the mean of the iterates converges faster than the iterates."""

from __future__ import annotations

from rushlight import Tensor
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_scaled,
    as_real,
    as_scalar,
    check_hyperparameters,
    new_step,
    with_penalty,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class ASGD(FormulaOptimizer):
    """Averaged stochastic gradient descent.

    The parameter moves by `p = (1 - lambd * eta) * p - eta * g` with a decaying rate `eta`; from
    step `t0` on `state[p]["ax"]` is the mean of the parameters since then.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate of the first step.
        lambd: Factor of the decay, of the parameter and of the rate.
        alpha: Power of the rate's decay.
        t0: Step at which averaging starts.
        weight_decay: Factor of the L2 penalty.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.

    Raises:
        ValueError: An option is out of range.

    References:
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging. Bottou
        (2010), Large-scale machine learning with stochastic gradient descent (the rate).

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.ASGD([w], lr=0.1, lambd=0.0)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8000])
    """

    _moments = ("ax",)
    _counters = ("step", "eta", "mu")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hyperparameters("ASGD", lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        state = super()._new_state(p, group)
        state["eta"] = new_step(p, group).fill_(as_scalar(group["lr"], False))
        state["mu"] = new_step(p, group).fill_(1.0)
        return state

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        lr, lambd, keep = options.lr, options.lambd, options.keep_tensors
        p, g = as_real(p), as_real(with_penalty(g, p, options.weight_decay))
        average = as_real(state["ax"])
        rate, weight = as_scalar(state["eta"], keep), as_scalar(state["mu"], keep)
        if keep:  # both are overwritten below
            rate, weight = rate.clone(), weight.clone()
        p.mul_(1 - lambd * rate)
        add_scaled(p, g, -rate)
        if keep or weight != 1:
            average.add_(p.sub(average).mul_(weight))
        else:
            average.copy_(p)
        _set(state["eta"], lr / (1 + lambd * lr * t) ** options.alpha)
        late = t - options.t0
        _set(state["mu"], 1 / late.clamp(min=1.0) if keep else 1 / max(1, late))


def _set(x: Tensor, value: Scalar) -> None:
    """Overwrites a tensor of no dimensions."""
    if isinstance(value, Tensor):
        x.copy_(value)
    else:
        x.fill_(value)
