"""Adafactor: second moments of a matrix kept as one row and one column."""

from __future__ import annotations

import math

import rushlight
from rushlight import Tensor
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    check_conditions,
    check_hyperparameters,
    check_real,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adafactor(FormulaOptimizer):
    """Adafactor: an adaptive method whose state grows with the sides of a matrix, not its area.

    The running mean square of the gradient is the outer product of its row and column means. The
    update is clipped to root mean square `d` and scaled by that of the parameter.

    Args:
        params: Parameters or parameter groups.
        lr: Largest relative step size, and the factor of the weight decay.
        beta2_decay: The decay rate at step `t` is `1 - t ** beta2_decay`.
        eps: Guards of the second moment (None: the dtype's epsilon) and of the parameter's scale.
        d: Root mean square to which an update is clipped.
        weight_decay: Factor of the decoupled decay.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.

    Raises:
        ValueError: An option is out of range.
        RuntimeError: From `step`, if a parameter is complex.

    References:
        Shazeer, Stern (2018), Adafactor: Adaptive learning rates with sublinear memory cost.

    Example:
        >>> w = rushlight.ones(4, 3, requires_grad=True)
        >>> optimizer = rushlight.optim.Adafactor([w])
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> {key: tuple(value.shape) for key, value in optimizer.state[w].items()}
        {'step': (), 'row_var': (4, 1), 'col_var': (1, 3)}
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_hyperparameters("Adafactor", lr=lr)
        check_conditions(
            "Adafactor",
            (beta2_decay <= 0.0, "beta2_decay should be <= 0", beta2_decay),
            (eps[0] is None or eps[0] >= 0.0, "epsilon1 should be >= 0", eps[0]),
            (eps[1] >= 0.0, "epsilon2 should be >= 0", eps[1]),
            (d >= 1.0, "Clipping threshold d should be >= 1", d),
            (weight_decay >= 0.0, "weight_decay should be >= 0", weight_decay),
        )
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        return {"step": rushlight.tensor(0.0), **_new_moments(p)}

    def _update_group(self, group: ParamGroup) -> None:
        check_real("Adafactor", self._gradients(group)[0])
        super()._update_group(group)

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        lr, weight_decay = options.lr, options.weight_decay
        eps1, eps2 = options.eps
        if eps1 is None:
            eps1 = rushlight.finfo(p.dtype).eps
        weight = t**options.beta2_decay
        rate = max(eps2, _rms(p)) * min(lr, 1 / math.sqrt(t))
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        update = _second_moment(g, state, weight, eps1).clamp_(min=eps1 * eps1).rsqrt_().mul_(g)
        p.add_(update, alpha=-rate / max(1.0, _rms(update) / options.d))


def _new_moments(p: Tensor) -> dict[str, Tensor]:
    """Zero second moments: a column of row means and a row of column means if that saves space."""
    if p.dim() < 2:
        return {"variance": rushlight.zeros_like(p)}
    shape = list(p.shape)
    rows, columns = [*shape[:-1], 1], [*shape[:-2], 1, shape[-1]]
    return {
        "row_var": rushlight.zeros(rows, dtype=p.dtype, device=p.device),
        "col_var": rushlight.zeros(columns, dtype=p.dtype, device=p.device),
    }


def _second_moment(g: Tensor, state: dict[str, Tensor], weight: float, eps1: float) -> Tensor:
    """Moves the state towards the gradient's squares and returns the estimate for every entry."""
    square = g * g
    if "variance" in state:
        return state["variance"].lerp_(square, weight).clone()
    row, column = state["row_var"], state["col_var"]
    row.lerp_(square.mean(dim=-1, keepdim=True), weight)
    column.lerp_(square.mean(dim=-2, keepdim=True), weight)
    return (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=eps1))


def _rms(x: Tensor) -> float:
    """Root mean square of all entries."""
    return float(x.norm(2).item()) / math.sqrt(x.numel()) if x.numel() else 0.0
