"""Adamax: Adam with the infinity norm in place of the second moment."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Scalar,
    add_quotient,
    as_real,
    as_scalar,
    check_betas,
    check_capturable,
    check_lr,
    check_not_negative,
    count,
    keeps_tensors,
    mean_of,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adamax(GroupwiseOptimizer):
    """Adamax: `p - lr / (1 - b1 ** t) * m / u` with `u = max(b2 * u, |g| + eps)`.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the running mean and of the running maximum.
        eps: Added to the gradient's magnitude, so that `u` is not zero.
        weight_decay: Factor of the L2 penalty.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.

    Raises:
        ValueError: An option is out of range.

    References:
        Kingma, Ba (2015), Adam: A method for stochastic optimization, section 7.1.

    Example:
        >>> w = rushlight.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.Adamax([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([ 0.9000, -1.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr("Adamax", lr)
        check_not_negative("Adamax", "epsilon value", eps, "eps")
        check_betas("Adamax", betas)
        check_not_negative("Adamax", "weight_decay value", weight_decay, "weight_decay")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
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
                state["exp_avg"] = rushlight.zeros_like(p)
                state["exp_inf"] = rushlight.zeros_like(p)
        means, maxima, steps = self._states(params, "exp_avg", "exp_inf", "step")
        if group["capturable"]:
            check_capturable("Adamax", params, steps)
        keep = keeps_tensors(group)
        beta1, beta2 = group["betas"]
        _adamax_update(
            params,
            grads,
            means,
            maxima,
            steps,
            lr=as_scalar(group["lr"], keep),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            keep_tensors=keep,
            differentiable=group["differentiable"],
        )


def _adamax_update(
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    maxima: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Scalar,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    keep_tensors: bool,
    differentiable: bool,
) -> None:
    """Updates all parameters of a group and their states in place."""
    for index, p in enumerate(params):
        g = -grads[index] if maximize else grads[index]
        t = count(steps[index], keep_tensors)
        if weight_decay != 0:
            g = g.add(p, alpha=weight_decay)
        p, g, m, u = as_real(p), as_real(g), as_real(means[index]), as_real(maxima[index])
        mean_of(m, g, 1 - beta1)
        u.copy_(rushlight.maximum(u * beta2, g.abs().add_(eps)))
        scale = -(lr / (1 - beta1**t))
        add_quotient(p, settled(m, differentiable), settled(u, differentiable), scale)
