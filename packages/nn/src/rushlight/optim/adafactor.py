"""Adafactor: second moments of a matrix kept as one row and one column."""

from __future__ import annotations

import math

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim._groupwise import GroupwiseOptimizer, Scalar, as_scalar, check_lr, count
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adafactor(GroupwiseOptimizer):
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
        check_lr("Adafactor", lr)
        for valid, condition, given in (
            (beta2_decay <= 0.0, "beta2_decay should be <= 0", beta2_decay),
            (eps[0] is None or eps[0] >= 0.0, "epsilon1 should be >= 0", eps[0]),
            (eps[1] >= 0.0, "epsilon2 should be >= 0", eps[1]),
            (d >= 1.0, "Clipping threshold d should be >= 1", d),
            (weight_decay >= 0.0, "weight_decay should be >= 0", weight_decay),
        ):
            if not valid:
                raise error(ValueError, "Adafactor", f"{condition} but is: {given}")
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

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        for p in params:
            if p.is_complex():
                raise error(
                    RuntimeError,
                    "Adafactor",
                    "Adafactor does not support complex parameters",
                    given=f"a parameter of shape {tuple(p.shape)} and dtype {p.dtype}",
                )
        for p in params:
            state = self.state[p]
            if len(state) == 0:
                state["step"] = rushlight.tensor(0.0)
                state.update(_new_moments(p))
        _adafactor_update(
            params,
            grads,
            [self.state[p].get("row_var") for p in params],
            [self.state[p].get("col_var") for p in params],
            [self.state[p].get("variance") for p in params],
            [self.state[p]["step"] for p in params],
            lr=as_scalar(group["lr"], False),
            beta2_decay=group["beta2_decay"],
            eps=group["eps"],
            d=group["d"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )


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


def _adafactor_update(
    params: list[Tensor],
    grads: list[Tensor],
    rows: list[Tensor | None],
    columns: list[Tensor | None],
    variances: list[Tensor | None],
    steps: list[Tensor],
    *,
    lr: Scalar,
    beta2_decay: float,
    eps: tuple[float | None, float],
    d: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Updates all parameters of a group and their states in place."""
    for index, p in enumerate(params):
        g = -grads[index] if maximize else grads[index]
        eps1 = rushlight.finfo(p.dtype).eps if eps[0] is None else eps[0]
        t = count(steps[index], keep_tensor=False)
        weight = t**beta2_decay
        relative_step = min(lr, 1 / math.sqrt(t))
        rate = max(eps[1], _rms(p)) * relative_step
        if weight_decay != 0:
            p.mul_(1 - lr * weight_decay)
        moment = _second_moment(g, rows[index], columns[index], variances[index], weight, eps1)
        update = moment.clamp_(min=eps1 * eps1).rsqrt_().mul_(g)
        p.add_(update, alpha=-rate / max(1.0, _rms(update) / d))


def _second_moment(
    g: Tensor,
    row: Tensor | None,
    column: Tensor | None,
    variance: Tensor | None,
    weight: float,
    eps1: float,
) -> Tensor:
    """Moves the state towards the gradient's squares and returns the estimate for every entry."""
    square = g * g
    if row is None or column is None:
        assert variance is not None
        variance.lerp_(square, weight)
        return variance.clone()
    row.lerp_(square.mean(dim=-1, keepdim=True), weight)
    column.lerp_(square.mean(dim=-2, keepdim=True), weight)
    return (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=eps1))


def _rms(x: Tensor) -> float:
    """Root mean square of all entries."""
    return float(x.norm(2).item()) / math.sqrt(x.numel()) if x.numel() else 0.0
