"""Adadelta: steps whose size follows the size of earlier steps, with no unit left over."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error
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
    mean_of_square,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adadelta(GroupwiseOptimizer):
    """Adadelta: `p - lr * d` with `d = sqrt(u + eps) / sqrt(v + eps) * g`.

    `v` and `u` are the running mean squares of the gradients `g` and of the steps `d`.

    Args:
        params: Parameters or parameter groups.
        lr: Factor of the step; the paper has 1.
        rho: Decay rate of the running mean squares.
        eps: Added under the roots.
        weight_decay: Factor of the L2 penalty.
        foreach: Accepted for compatibility; the result is the same.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.

    Raises:
        ValueError: An option is out of range.

    References:
        Zeiler (2012), ADADELTA: An adaptive learning rate method.

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.Adadelta([w])
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> bool(w < 1)
        True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("Adadelta", lr)
        if not 0.0 <= rho <= 1.0:
            raise error(
                ValueError, "Adadelta", f"Invalid rho value: {rho}", expected="0 <= rho <= 1"
            )
        check_not_negative("Adadelta", "epsilon value", eps, "eps")
        check_not_negative("Adadelta", "weight_decay value", weight_decay, "weight_decay")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        for p in params:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = new_step(p, group)
                state["square_avg"] = rushlight.zeros_like(p)
                state["acc_delta"] = rushlight.zeros_like(p)
        steps, squares, step_squares = self._states(params, "step", "square_avg", "acc_delta")
        if group["capturable"]:
            check_capturable("Adadelta", params, steps)
        keep = keeps_tensors(group)
        _adadelta_update(
            params,
            grads,
            squares,
            step_squares,
            steps,
            lr=as_scalar(group["lr"], keep),
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            keep_tensors=keep,
            differentiable=group["differentiable"],
        )


def _adadelta_update(
    params: list[Tensor],
    grads: list[Tensor],
    squares: list[Tensor],
    step_squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Scalar,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    keep_tensors: bool,
    differentiable: bool,
) -> None:
    """Updates all parameters of a group and their states in place."""
    for index, p in enumerate(params):
        g = -grads[index] if maximize else grads[index]
        count(steps[index], keep_tensors)
        if weight_decay != 0:
            g = g.add(p, alpha=weight_decay)
        p, g, v = as_real(p), as_real(g), as_real(squares[index])
        u = as_real(step_squares[index])
        mean_of_square(v, g, rho)
        step = settled(u.add(eps).sqrt_(), differentiable)
        step = step.div_(v.add(eps).sqrt_())
        step = step * g if differentiable else step.mul_(g)
        mean_of_square(u, step, rho)
        add_scaled(p, step, -lr)
