"""RMSprop, with its centered and momentum variants."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Scalar,
    add_quotient,
    add_scaled,
    as_real,
    as_scalar,
    check_capturable,
    check_lr,
    check_not_negative,
    count,
    keeps_tensors,
    mean_of,
    mean_of_square,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class RMSprop(GroupwiseOptimizer):
    """RMSprop: `p - lr * g / (sqrt(v) + eps)` with the running mean square `v` of the gradient.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        alpha: Decay rate of the running mean square.
        eps: Added to the denominator, outside of the root.
        weight_decay: Factor of the L2 penalty.
        momentum: Decay rate of a running sum of the scaled gradients.
        centered: Subtracts the square of the running mean, so that `v` estimates the variance.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.

    Raises:
        ValueError: An option is out of range.

    References:
        Hinton (2012), Neural networks for machine learning, lecture 6e. Graves (2013), Generating
        sequences with recurrent neural networks (centered).

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.RMSprop([w], lr=0.1, alpha=0.75)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("RMSprop", lr)
        check_not_negative("RMSprop", "epsilon value", eps, "eps")
        check_not_negative("RMSprop", "momentum value", momentum, "momentum")
        check_not_negative("RMSprop", "weight_decay value", weight_decay, "weight_decay")
        check_not_negative("RMSprop", "alpha value", alpha, "alpha")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        has_momentum, centered = group["momentum"] > 0, group["centered"]
        for p in params:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = new_step(p, group)
                state["square_avg"] = rushlight.zeros_like(p)
                if has_momentum:
                    state["momentum_buffer"] = rushlight.zeros_like(p)
                if centered:
                    state["grad_avg"] = rushlight.zeros_like(p)
        steps, squares = self._states(params, "step", "square_avg")
        if group["capturable"]:
            check_capturable("RMSprop", params, steps)
        keep = keeps_tensors(group)
        _rmsprop_update(
            params,
            grads,
            squares,
            self._states(params, "grad_avg")[0] if centered else None,
            self._states(params, "momentum_buffer")[0] if has_momentum else None,
            steps,
            lr=as_scalar(group["lr"], keep),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
            keep_tensors=keep,
            differentiable=group["differentiable"],
        )


def _rmsprop_update(
    params: list[Tensor],
    grads: list[Tensor],
    squares: list[Tensor],
    means: list[Tensor] | None,
    velocities: list[Tensor] | None,
    steps: list[Tensor],
    *,
    lr: Scalar,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
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
        mean_of_square(v, g, alpha)
        variance = settled(v, differentiable)
        if means is not None:
            m = as_real(means[index])
            mean_of(m, g, 1 - alpha)
            m = settled(m, differentiable)
            variance = variance.addcmul(m, m, value=-1)
        root = variance.sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        if velocities is None:
            add_quotient(p, g, root, -lr)
        else:
            velocity = as_real(velocities[index])
            velocity.mul_(momentum).addcdiv_(g, root)
            add_scaled(p, settled(velocity, differentiable), -lr)
