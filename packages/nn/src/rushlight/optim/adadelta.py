"""Adadelta: steps whose size follows the size of earlier steps, with no unit left over."""

from __future__ import annotations

from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_scaled,
    as_real,
    check_hyperparameters,
    mean_of_square,
    settled,
    with_penalty,
)
from rushlight.optim.optimizer import ParamsT


class Adadelta(FormulaOptimizer):
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

    _moments = ("square_avg", "acc_delta")

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
        check_hyperparameters("Adadelta", lr=lr)
        if not 0.0 <= rho <= 1.0:
            raise error(
                ValueError, "Adadelta", f"Invalid rho value: {rho}", expected="0 <= rho <= 1"
            )
        check_hyperparameters("Adadelta", eps=eps, weight_decay=weight_decay)
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

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        differentiable = options.differentiable
        p, g = as_real(p), as_real(with_penalty(g, p, options.weight_decay))
        v, u = as_real(state["square_avg"]), as_real(state["acc_delta"])
        mean_of_square(v, g, options.rho)
        step = settled(u.add(options.eps).sqrt_(), differentiable)
        step = step.div_(v.add(options.eps).sqrt_())
        step = step * g if differentiable else step.mul_(g)
        mean_of_square(u, step, options.rho)
        add_scaled(p, step, -options.lr)
