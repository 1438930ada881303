"""Resilient backpropagation: steps of their own size per weight, ruled by the gradient's sign."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    as_real,
    as_scalar,
    check_hyperparameters,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Rprop(FormulaOptimizer):
    """Rprop: a weight's step grows while its gradient keeps its sign, and shrinks when it flips.

    Meant for whole-batch gradients. When the sign flips, the weight rests for one step.

    Args:
        params: Parameters or parameter groups.
        lr: Initial size of the steps.
        etas: Factors of shrinking and of growth.
        step_sizes: Smallest and largest step.
        capturable: Keeps step counts on the device, for recorded steps.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        differentiable: Lets gradients flow through the step.

    Raises:
        ValueError: `lr` is negative, or not `0 < etas[0] < 1 < etas[1]`.

    References:
        Riedmiller, Braun (1993), A direct adaptive method for faster backpropagation learning: the
        RPROP algorithm; in the variant without weight backtracking (Igel, Huesken 2000).

    Example:
        >>> w = rushlight.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.Rprop([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([ 0.9000, -1.9000])
    """

    _moments = ("prev",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameters("Rprop", lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise error(
                ValueError,
                "Rprop",
                f"Invalid eta values: {etas[0]}, {etas[1]}",
                expected="0 < etas[0] < 1 < etas[1]",
            )
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        lr = as_scalar(group["lr"], False)
        start = complex(lr, lr) if p.is_complex() else lr
        size = rushlight.full_like(p, start, requires_grad=False)
        return {**super()._new_state(p, group), "step_size": size}

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        shrink, grow = options.etas
        smallest, largest = options.step_sizes
        p, g = as_real(p), as_real(g)
        before, size = as_real(state["prev"]), as_real(state["step_size"])
        agreement = g * settled(before, options.differentiable)
        flipped = agreement < 0
        factor = rushlight.ones_like(g).masked_fill_(agreement > 0, grow)
        factor.masked_fill_(flipped, shrink)
        size.mul_(factor).clamp_(smallest, largest)
        g = g.masked_fill(flipped, 0.0)
        p.addcmul_(g.sign(), settled(size, options.differentiable), value=-1)
        before.copy_(g)
