"""Muon: momentum whose matrix is orthogonalised before the step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Scalar,
    check_conditions,
    check_hyperparameters,
    check_real,
    scalar_options,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT

# More Newton-Schulz steps than this are a mistake: five bring every singular value near one.
_MOST_STEPS = 100
_RATE_RULES = ("original", "match_rms_adamw")
# Root mean square of a typical AdamW update (Liu et al., section 2.2).
_ADAMW_RMS = 0.2


class Muon(GroupwiseOptimizer):
    """Muon: steps along the nearest orthogonal matrix to the momentum.

    For the weight matrices of hidden layers. Biases, embeddings and other parameters that are not
    matrices belong to another optimiser, such as `AdamW`.

    Args:
        params: Matrices, or parameter groups of matrices.
        lr: Learning rate.
        weight_decay: Factor of the decoupled decay.
        momentum: Decay rate of the momentum.
        nesterov: Looks ahead along the momentum.
        ns_coefficients: Coefficients `(a, b, c)` of the polynomial `a x + b x^3 + c x^5` that the
            iteration applies to the singular values.
        eps: Smallest norm the momentum is divided by.
        ns_steps: Number of iterations.
        adjust_lr_fn: How the rate follows the shape: "original" (also None) or "match_rms_adamw",
            with which rates tuned for AdamW can be kept.

    Raises:
        ValueError: An option is out of range, or a parameter is no matrix.
        RuntimeError: From `step`, if a parameter is complex.

    References:
        Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks. Liu et al.
        (2025), Muon is scalable for LLM training.

    Example:
        >>> w = rushlight.eye(2, requires_grad=True)
        >>> optimizer = rushlight.optim.Muon([w], lr=0.1, weight_decay=0.0)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> bool((w.diagonal() < 1).all())
        True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_hyperparameters("Muon", lr=lr)
        check_conditions(
            "Muon",
            (momentum >= 0.0, "momentum should be >= 0", momentum),
            (weight_decay >= 0.0, "weight_decay should be >= 0", weight_decay),
            (ns_steps < _MOST_STEPS, f"ns_steps should be less than {_MOST_STEPS}", ns_steps),
            (len(ns_coefficients) == 3, "ns_coefficients should be 3 values", ns_coefficients),
        )
        if adjust_lr_fn is not None and adjust_lr_fn not in _RATE_RULES:
            raise error(
                ValueError,
                "Muon",
                f"Adjust learning rate function {adjust_lr_fn} is not supported",
                expected=f"one of {', '.join(_RATE_RULES)}, or None",
            )
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check_parameters(self, given: object) -> tuple[list[Tensor], list[str]]:
        parameters, names = super()._check_parameters(given)
        for parameter in parameters:
            if parameter.dim() != 2:
                raise error(
                    ValueError,
                    "Muon",
                    "Muon only supports 2D parameters",
                    given=f"a parameter of shape {tuple(parameter.shape)}",
                    fix="give it to another optimizer, such as AdamW",
                )
        return parameters, names

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        check_real("Muon", params)
        options = scalar_options(group, self.defaults)
        lr, momentum = options.lr, options.momentum
        for p, g in zip(params, grads, strict=True):
            state = self.state[p]
            if not state:
                state["momentum_buffer"] = rushlight.zeros_like(p)
            buffer = state["momentum_buffer"]
            buffer.lerp_(g, 1 - momentum)
            direction = g.lerp(buffer, momentum) if options.nesterov else buffer
            update = _orthogonalized(
                direction, options.ns_coefficients, options.ns_steps, options.eps
            )
            p.mul_(1 - lr * options.weight_decay)
            p.add_(update, alpha=-_adjusted_rate(lr, options.adjust_lr_fn, p))


def _orthogonalized(x: Tensor, coefficients: Sequence[float], steps: int, eps: float) -> Tensor:
    """Brings all singular values of a matrix near one, by Newton-Schulz iterations in bfloat16."""
    a, b, c = coefficients
    tall = x.size(0) > x.size(1)
    x = x.bfloat16()
    if tall:  # the Gram matrix of the shorter side is smaller
        x = x.T
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        polynomial = rushlight.addmm(gram, gram, gram, beta=b, alpha=c)
        x = rushlight.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x


def _adjusted_rate(lr: Scalar, rule: str | None, p: Tensor) -> Scalar:
    """The learning rate for a matrix of this shape."""
    rows, columns = p.shape
    if rule == "match_rms_adamw":
        return lr * _ADAMW_RMS * math.sqrt(max(rows, columns))
    return lr * math.sqrt(max(1, rows / columns))
