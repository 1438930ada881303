"""Adagrad: steps that shrink with the sum of all squared gradients so far."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Scalar,
    add_quotient,
    as_real,
    as_scalar,
    check_implementation,
    check_lr,
    check_not_negative,
    count,
    keeps_tensors,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adagrad(GroupwiseOptimizer):
    """Adagrad: `p - lr_t * g / (sqrt(s) + eps)` with the sum `s` of the squared gradients.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        lr_decay: The rate at step `t` is `lr / (1 + (t - 1) * lr_decay)`.
        weight_decay: Factor of the L2 penalty.
        initial_accumulator_value: Where the sum starts.
        eps: Added to the denominator.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.
        fused: Accepted for compatibility; the result is the same.

    Raises:
        ValueError: An option is out of range.

    References:
        Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning and
        stochastic optimization.

    Example:
        >>> w = rushlight.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.Adagrad([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([ 0.9000, -1.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr("Adagrad", lr)
        check_not_negative("Adagrad", "lr_decay value", lr_decay, "lr_decay")
        check_not_negative("Adagrad", "weight_decay value", weight_decay, "weight_decay")
        check_not_negative(
            "Adagrad",
            "initial_accumulator_value value",
            initial_accumulator_value,
            "initial_accumulator_value",
        )
        check_not_negative("Adagrad", "epsilon value", eps, "eps")
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_implementation("Adagrad", defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Adds a parameter group; unlike elsewhere its state exists from the start."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        start = group["initial_accumulator_value"]
        for p in group["params"]:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = new_step(p, group)
                value = complex(start, start) if p.is_complex() else start
                state["sum"] = rushlight.full_like(p, value, requires_grad=False)

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        steps, sums = self._states(params, "step", "sum")
        keep = keeps_tensors(group)
        _adagrad_update(
            params,
            grads,
            sums,
            steps,
            lr=as_scalar(group["lr"], keep),
            lr_decay=group["lr_decay"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            keep_tensors=keep,
            differentiable=group["differentiable"],
        )


def _adagrad_update(
    params: list[Tensor],
    grads: list[Tensor],
    sums: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Scalar,
    lr_decay: float,
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
        rate = lr / (1 + (t - 1) * lr_decay)
        p, g, total = as_real(p), as_real(g), as_real(sums[index])
        total.addcmul_(g, g, value=1)
        root = settled(total, differentiable).sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        add_quotient(p, g, root, -rate)
