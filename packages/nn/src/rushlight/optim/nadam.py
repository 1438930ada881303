"""NAdam: Adam with Nesterov's look-ahead in its first moment."""

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
    mean_of_square,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT

# The momentum schedule of the paper: mu_t = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)).
_SCHEDULE_BASE = 0.96


class NAdam(GroupwiseOptimizer):
    """NAdam: Adam whose first moment looks one step ahead, with a momentum that warms up.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Factor of the L2 penalty.
        momentum_decay: How fast the momentum approaches `betas[0]`.
        decoupled_weight_decay: Shrinks the parameter itself by `lr * weight_decay`.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        differentiable: Lets gradients flow through the step.

    Raises:
        ValueError: An option is out of range.

    References:
        Dozat (2016), Incorporating Nesterov momentum into Adam.

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.NAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> bool(w < 1)
        True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("NAdam", lr)
        check_not_negative("NAdam", "epsilon value", eps, "eps")
        check_betas("NAdam", betas)
        check_not_negative("NAdam", "weight_decay value", weight_decay, "weight_decay")
        check_not_negative("NAdam", "momentum_decay value", momentum_decay, "momentum_decay")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        for p in params:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = new_step(p, group)
                state["mu_product"] = new_step(p, group).fill_(1.0)
                state["exp_avg"] = rushlight.zeros_like(p)
                state["exp_avg_sq"] = rushlight.zeros_like(p)
        steps, products, means, squares = self._states(
            params, "step", "mu_product", "exp_avg", "exp_avg_sq"
        )
        if group["capturable"]:
            check_capturable("NAdam", params, steps, products)
        keep = keeps_tensors(group)
        beta1, beta2 = group["betas"]
        _nadam_update(
            params,
            grads,
            means,
            squares,
            products,
            steps,
            lr=as_scalar(group["lr"], keep),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum_decay=group["momentum_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            keep_tensors=keep,
            differentiable=group["differentiable"],
        )


def _nadam_update(
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    products: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Scalar,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    momentum_decay: float,
    decoupled: bool,
    maximize: bool,
    keep_tensors: bool,
    differentiable: bool,
) -> None:
    """Updates all parameters of a group and their states in place."""
    for index, p in enumerate(params):
        g = -grads[index] if maximize else grads[index]
        t = count(steps[index], keep_tensors)
        if weight_decay != 0 and decoupled:
            p.mul_(1 - lr * weight_decay)
        elif weight_decay != 0:
            g = g.add(p, alpha=weight_decay)
        p, g, m, v = as_real(p), as_real(g), as_real(means[index]), as_real(squares[index])
        mu = beta1 * (1.0 - 0.5 * _SCHEDULE_BASE ** (t * momentum_decay))
        mu_next = beta1 * (1.0 - 0.5 * _SCHEDULE_BASE ** ((t + 1) * momentum_decay))
        products[index].mul_(mu)
        product = as_scalar(settled(products[index], keep_tensors), keep_tensors)
        mean_of(m, g, 1 - beta1)
        mean_of_square(v, g, beta2)
        root = settled(v, differentiable).div(1 - beta2**t).sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        add_quotient(p, g, root, -(lr * (1.0 - mu) / (1.0 - product)))
        scale = -(lr * mu_next / (1.0 - product * mu_next))
        add_quotient(p, settled(m, differentiable), root, scale)
