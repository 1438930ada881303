"""RMSprop, with its centered and momentum variants."""

from __future__ import annotations

import rushlight
from rushlight import Tensor, ops
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_quotient,
    add_scaled,
    as_real,
    check_hyperparameters,
    mean_of,
    mean_of_square,
    settled,
    with_penalty,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class RMSprop(FormulaOptimizer):
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

    _moments = ("square_avg",)

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
        check_hyperparameters(
            "RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha
        )
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

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        state = super()._new_state(p, group)
        if group["momentum"] > 0:
            state["momentum_buffer"] = rushlight.zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = rushlight.zeros_like(p)
        return state

    def _update_at_once(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        states: list[dict[str, Tensor]],
        steps: list[float],
        options: Options,
    ) -> bool:
        names = ["square_avg"]
        if options.centered:
            names.append("grad_avg")
        if options.momentum > 0:
            names.append("momentum_buffer")
        return ops.step_in_place(
            ops.fused_rmsprop,
            [*params, *grads, *(state[name] for name in names for state in states)],
            len(params),
            lr=options.lr,
            alpha=options.alpha,
            eps=options.eps,
            weight_decay=options.weight_decay,
            momentum=options.momentum,
            centered=options.centered,
            maximize=options.maximize,
        )

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        differentiable, alpha = options.differentiable, options.alpha
        p, g = as_real(p), as_real(with_penalty(g, p, options.weight_decay))
        v = as_real(state["square_avg"])
        mean_of_square(v, g, alpha)
        variance = settled(v, differentiable)
        if options.centered:
            m = as_real(state["grad_avg"])
            mean_of(m, g, 1 - alpha)
            m = settled(m, differentiable)
            variance = variance.addcmul(m, m, value=-1)
        root = variance.sqrt()
        root = root.add(options.eps) if differentiable else root.add_(options.eps)
        if options.momentum > 0:
            velocity = as_real(state["momentum_buffer"])
            velocity.mul_(options.momentum).addcdiv_(g, root)
            add_scaled(p, settled(velocity, differentiable), -options.lr)
        else:
            add_quotient(p, g, root, -options.lr)
