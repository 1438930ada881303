"""NAdam: Adam with Nesterov's look-ahead in its first moment."""

from __future__ import annotations

from rushlight import Tensor
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_quotient,
    as_real,
    as_scalar,
    check_hyperparameters,
    decayed,
    mean_of,
    mean_of_square,
    new_step,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT

# The momentum schedule of the paper: mu_t = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)).
_SCHEDULE_BASE = 0.96


class NAdam(FormulaOptimizer):
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

    _moments = ("exp_avg", "exp_avg_sq")
    _counters = ("step", "mu_product")

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
        check_hyperparameters("NAdam", lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        check_hyperparameters("NAdam", momentum_decay=momentum_decay)
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

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        return {**super()._new_state(p, group), "mu_product": new_step(p, group).fill_(1.0)}

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        differentiable, keep = options.differentiable, options.keep_tensors
        p, g = as_real(p), as_real(decayed(p, g, options))
        m, v = as_real(state["exp_avg"]), as_real(state["exp_avg_sq"])
        beta1, beta2 = options.betas
        mu = beta1 * (1.0 - 0.5 * _SCHEDULE_BASE ** (t * options.momentum_decay))
        mu_next = beta1 * (1.0 - 0.5 * _SCHEDULE_BASE ** ((t + 1) * options.momentum_decay))
        product = as_scalar(settled(state["mu_product"].mul_(mu), keep), keep)
        mean_of(m, g, 1 - beta1)
        mean_of_square(v, g, beta2)
        root = settled(v, differentiable).div(1 - beta2**t).sqrt()
        root = root.add(options.eps) if differentiable else root.add_(options.eps)
        add_quotient(p, g, root, -(options.lr * (1.0 - mu) / (1.0 - product)))
        scale = -(options.lr * mu_next / (1.0 - product * mu_next))
        add_quotient(p, settled(m, differentiable), root, scale)
