"""L-BFGS: a quasi-Newton method that remembers the last few steps instead of a Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim._groupwise import as_real, as_scalar, check_hyperparameters
from rushlight.optim._line_search import Point, strong_wolfe
from rushlight.optim.optimizer import Optimizer, ParamGroup, ParamsT

# Curvature pairs below this would make the approximate Hessian indefinite.
_SMALLEST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    """L-BFGS, with a line search for the strong Wolfe conditions on request.

    One `step` runs up to `max_iter` iterations and evaluates the model several times, so it needs
    a closure. All parameters form one vector: there is one parameter group only.

    Args:
        params: Parameters.
        lr: Length of a step, or where the line search starts.
        max_iter: Iterations per `step`.
        max_eval: Evaluations of the closure per `step`; None for `1.25 * max_iter`.
        tolerance_grad: Stops when no entry of the gradient is larger.
        tolerance_change: Stops when parameters or loss change less.
        history_size: How many past steps are remembered.
        line_search_fn: "strong_wolfe" or None.

    Raises:
        ValueError: There is more than one parameter group, or `lr` is negative.

    References:
        Liu, Nocedal (1989), On the limited memory BFGS method for large scale optimization.

    Example:
        >>> w = rushlight.tensor([3.0, -2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((w - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> float(optimizer.step(closure))
        13.0
        >>> [round(x, 4) for x in w.tolist()]
        [1.0, 1.0]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_hyperparameters("LBFGS", lr=lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise error(
                ValueError,
                "LBFGS",
                "LBFGS doesn't support per-parameter options (parameter groups)",
                given=f"{len(self.param_groups)} groups",
            )

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Runs up to `max_iter` iterations.

        Args:
            closure: Clears the gradients, computes the loss, calls `backward`, returns the loss.

        Returns:
            The loss before the first iteration.

        Raises:
            RuntimeError: `line_search_fn` is unknown.
        """
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise error(
                RuntimeError,
                "LBFGS.step",
                "only 'strong_wolfe' is supported",
                given=f"line_search_fn={group['line_search_fn']!r}",
            )
        with rushlight.no_grad():
            return self._iterate(closure, group)

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    def _iterate(self, closure: Callable[[], Any], group: ParamGroup) -> Any:
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        lr = as_scalar(group["lr"], False)
        tolerance = group["tolerance_change"]

        first_loss = _evaluate(closure)
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        gradient = self._flat_gradient()
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss

        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, gradient, group["history_size"])
            state["d"] = direction
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            step = lr
            if state["n_iter"] == 1:
                step = min(1.0, 1.0 / float(gradient.abs().sum())) * lr
            slope = float(gradient.dot(direction))
            state["t"] = step
            if slope > -tolerance:
                break
            last = iteration == group["max_iter"]
            if group["line_search_fn"] is not None:
                start = Point(0.0, loss, gradient, slope)
                point, used = self._search(closure, start, step, direction, tolerance)
                step, loss, gradient = point.step, point.loss, point.gradient
                self._move(direction, step)
            else:
                used = 0
                self._move(direction, step)
                if not last:
                    loss = float(_evaluate(closure))
                    gradient = self._flat_gradient()
                    used = 1
            state["t"] = step
            evaluations += used
            state["func_evals"] += used
            if (
                last
                or evaluations >= group["max_eval"]
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(direction * step) <= tolerance
                or abs(loss - state["prev_loss"]) < tolerance
            ):
                break
        return first_loss

    def _search(
        self,
        closure: Callable[[], Any],
        start: Point,
        step: float,
        direction: Tensor,
        tolerance: float,
    ) -> tuple[Point, int]:
        """Searches along `direction` and leaves the parameters where they were."""
        origin = [p.clone() for p in self._params]

        def evaluate(length: float) -> Point:
            self._move(direction, length)
            loss = float(_evaluate(closure))
            gradient = self._flat_gradient()
            for p, saved in zip(self._params, origin, strict=True):
                p.copy_(saved)
            return Point(length, loss, gradient, float(gradient.dot(direction)))

        return strong_wolfe(evaluate, start, step, _largest(direction), tolerance)

    def _flat_gradient(self) -> Tensor:
        """All gradients as one vector; a missing one counts as zero."""
        pieces = []
        for p in self._params:
            gradient = rushlight.zeros_like(p) if p.grad is None else p.grad
            pieces.append(as_real(gradient).reshape(-1))
        return rushlight.cat(pieces)

    def _move(self, direction: Tensor, step: float) -> None:
        """Adds `step * direction` to the parameters."""
        offset = 0
        for p in self._params:
            p = as_real(p)
            size = p.numel()
            p.add_(direction[offset : offset + size].view(p.shape), alpha=step)
            offset += size


def _evaluate(closure: Callable[[], Any]) -> Any:
    with rushlight.enable_grad():
        return closure()


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _direction(state: dict[str, Any], gradient: Tensor, history_size: int) -> Tensor:
    """Minus the gradient times the approximate inverse Hessian, which is updated first."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -gradient
    changes, moves, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    change = gradient - state["prev_flat_grad"]
    move = state["d"] * state["t"]
    curvature = float(change.dot(move))
    if curvature > _SMALLEST_CURVATURE:
        if len(changes) == history_size:
            for history in (changes, moves, inverses):
                del history[0]
        changes.append(change)
        moves.append(move)
        inverses.append(1.0 / curvature)
        state["H_diag"] = curvature / float(change.dot(change))
    return _two_loop_recursion(state, gradient, history_size)


def _two_loop_recursion(state: dict[str, Any], gradient: Tensor, history_size: int) -> Tensor:
    """Algorithm 7.4 of Nocedal and Wright (2006), Numerical optimization."""
    changes, moves, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    weights = state.setdefault("al", [None] * history_size)
    direction = -gradient
    for i in reversed(range(len(changes))):
        weights[i] = float(moves[i].dot(direction)) * float(inverses[i])
        direction.add_(changes[i], alpha=-weights[i])
    direction.mul_(float(state["H_diag"]))
    for i, (change, move) in enumerate(zip(changes, moves, strict=True)):
        correction = float(change.dot(direction)) * float(inverses[i])
        direction.add_(move, alpha=weights[i] - correction)
    return direction
