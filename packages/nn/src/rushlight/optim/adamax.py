"""Adamax: Adam with the infinity norm in place of the second moment."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_quotient,
    as_real,
    check_hyperparameters,
    mean_of,
    settled,
    with_penalty,
)
from rushlight.optim.optimizer import ParamsT


class Adamax(FormulaOptimizer):
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

    _moments = ("exp_avg", "exp_inf")

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
        check_hyperparameters("Adamax", lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
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

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        p, g = as_real(p), as_real(with_penalty(g, p, options.weight_decay))
        m, u = as_real(state["exp_avg"]), as_real(state["exp_inf"])
        beta1, beta2 = options.betas
        mean_of(m, g, 1 - beta1)
        u.copy_(rushlight.maximum(u * beta2, g.abs().add_(options.eps)))
        scale = -(options.lr / (1 - beta1**t))
        add_quotient(
            p, settled(m, options.differentiable), settled(u, options.differentiable), scale
        )
