"""Averaged SGD: the mean of the iterates converges faster than the iterates."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Scalar,
    add_scaled,
    as_real,
    as_scalar,
    check_capturable,
    check_lr,
    check_not_negative,
    count,
    keeps_tensors,
    new_step,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class ASGD(GroupwiseOptimizer):
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
        check_lr("ASGD", lr)
        check_not_negative("ASGD", "weight_decay value", weight_decay, "weight_decay")
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

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        for p in params:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = new_step(p, group)
                state["eta"] = new_step(p, group).fill_(as_scalar(group["lr"], False))
                state["mu"] = new_step(p, group).fill_(1.0)
                state["ax"] = rushlight.zeros_like(p)
        steps, rates, weights, averages = self._states(params, "step", "eta", "mu", "ax")
        if group["capturable"]:
            check_capturable("ASGD", params, steps, rates, weights)
        keep = keeps_tensors(group)
        _asgd_update(
            params,
            grads,
            averages,
            weights,
            rates,
            steps,
            lr=as_scalar(group["lr"], keep),
            lambd=group["lambd"],
            alpha=group["alpha"],
            t0=group["t0"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            keep_tensors=keep,
        )


def _asgd_update(
    params: list[Tensor],
    grads: list[Tensor],
    averages: list[Tensor],
    weights: list[Tensor],
    rates: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Scalar,
    lambd: float,
    alpha: float,
    t0: float,
    weight_decay: float,
    maximize: bool,
    keep_tensors: bool,
) -> None:
    """Updates all parameters of a group and their states in place."""
    for index, p in enumerate(params):
        g = -grads[index] if maximize else grads[index]
        t = count(steps[index], keep_tensors)
        if weight_decay != 0:
            g = g.add(p, alpha=weight_decay)
        p, g, average = as_real(p), as_real(g), as_real(averages[index])
        rate = as_scalar(rates[index], keep_tensors)
        weight = as_scalar(weights[index], keep_tensors)
        if keep_tensors:  # both are overwritten below
            rate, weight = rate.clone(), weight.clone()
        p.mul_(1 - lambd * rate)
        add_scaled(p, g, -rate)
        if keep_tensors or weight != 1:
            average.add_(p.sub(average).mul_(weight))
        else:
            average.copy_(p)
        _set(rates[index], lr / (1 + lambd * lr * t) ** alpha)
        _set(weights[index], 1 / (t - t0).clamp(min=1.0) if keep_tensors else 1 / max(1, t - t0))


def _set(x: Tensor, value: Scalar) -> None:
    """Overwrites a tensor of no dimensions."""
    if isinstance(value, Tensor):
        x.copy_(value)
    else:
        x.fill_(value)
