"""RAdam: Adam that waits with its adaptive step until the second moment can be trusted."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_scaled,
    as_real,
    check_hyperparameters,
    decayed,
    mean_of,
    mean_of_square,
    settled,
)
from rushlight.optim.optimizer import ParamsT

# The variance of the adaptive rate is finite from 4 degrees of freedom; the authors' code, and
# torch, are a little more careful.
_DEGREES_NEEDED = 5.0


class RAdam(FormulaOptimizer):
    """RAdam: Adam with the variance of its adaptive learning rate rectified.

    In the first steps, when the running mean square rests on too few gradients, it is plain
    momentum; then Adam's step times a factor that grows to one.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Factor of the L2 penalty.
        decoupled_weight_decay: Shrinks the parameter itself by `lr * weight_decay`.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        differentiable: Lets gradients flow through the step.

    Raises:
        ValueError: An option is out of range.

    References:
        Liu et al. (2020), On the variance of the adaptive learning rate and beyond.

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.RAdam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8000])
    """

    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameters("RAdam", lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        differentiable = options.differentiable
        p, g = as_real(p), as_real(decayed(p, g, options))
        m, v = as_real(state["exp_avg"]), as_real(state["exp_avg_sq"])
        beta1, beta2 = options.betas
        mean_of(m, g, 1 - beta1)
        mean_of_square(v, g, beta2)
        m = settled(m, differentiable)
        scale = -(options.lr / (1 - beta1**t))
        correction2 = 1 - beta2**t
        rectifier = _rectifier(beta2, t, correction2)
        if isinstance(rectifier, Tensor):
            root = settled(v, differentiable).sqrt().add(options.eps)
            adaptive = rectifier * correction2**0.5 / root
            add_scaled(p, m * rushlight.where(rectifier > 0, adaptive, 1.0), scale)
        elif rectifier > 0:
            p.addcdiv_(m, v.sqrt().add_(options.eps), value=scale * correction2**0.5 * rectifier)
        else:
            p.add_(m, alpha=scale)


def _rectifier(beta2: float, t: Scalar, correction2: Scalar) -> Scalar:
    """The factor r_t of the paper; zero while there are too few degrees of freedom."""
    limit = 2 / (1 - beta2) - 1
    degrees = limit - 2 * t * beta2**t / correction2
    ratio = (degrees - 4) * (degrees - 2) * limit / ((limit - 4) * (limit - 2) * degrees)
    if isinstance(degrees, Tensor):
        known = degrees > _DEGREES_NEEDED
        # The inner choice keeps the root's derivative finite where the outer one discards it.
        return rushlight.where(known, rushlight.where(known, ratio, 1.0).sqrt(), 0.0)
    return ratio**0.5 if degrees > _DEGREES_NEEDED else 0.0
