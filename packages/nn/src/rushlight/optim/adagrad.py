"""Adagrad: steps that shrink with the sum of all squared gradients so far."""

from __future__ import annotations

import rushlight
from rushlight import Tensor, ops
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_quotient,
    as_real,
    check_hyperparameters,
    check_implementation,
    settled,
    with_penalty,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adagrad(FormulaOptimizer):
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
        fused: False updates tensor by tensor; else one kernel updates all where the device has it.

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
        check_hyperparameters(
            "Adagrad",
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
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
        for p in group["params"]:
            state = self.state[p]
            if not state:
                state.update(self._new_state(p, group))

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        start = group["initial_accumulator_value"]
        value = complex(start, start) if p.is_complex() else start
        total = rushlight.full_like(p, value, requires_grad=False)
        return {**super()._new_state(p, group), "sum": total}

    def _update_at_once(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        states: list[dict[str, Tensor]],
        steps: list[float],
        options: Options,
    ) -> bool:
        return ops.step_in_place(
            ops.fused_adagrad,
            [*params, *grads, *(state["sum"] for state in states)],
            len(params),
            steps=tuple(steps),
            lr=options.lr,
            lr_decay=options.lr_decay,
            eps=options.eps,
            weight_decay=options.weight_decay,
            maximize=options.maximize,
        )

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        differentiable = options.differentiable
        g = with_penalty(g, p, options.weight_decay)
        rate = options.lr / (1 + (t - 1) * options.lr_decay)
        p, g, total = as_real(p), as_real(g), as_real(state["sum"])
        total.addcmul_(g, g, value=1)
        root = settled(total, differentiable).sqrt()
        root = root.add(options.eps) if differentiable else root.add_(options.eps)
        add_quotient(p, g, root, -rate)
