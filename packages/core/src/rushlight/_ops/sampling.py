"""Random tensors: choices by weight and counts of rare events."""

from __future__ import annotations

import math
from typing import Any

from .._dtypes import float32, float64, int64
from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import public
from ._results import exactly_into
from .creation import cast_op, full
from .draws import draw
from .reduction import has_values


@public()
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """Positions drawn with the probabilities that each row's weights say.

    Args:
        input: Weights, a vector or rows of a matrix; they need not sum to one.
        num_samples: How many to draw from each row.
        replacement: Whether a position may be drawn again.
        generator: Source of randomness.
        out: Receives the result.
    Raises:
        RuntimeError: A weight is negative or not finite, a row's are all zero, or there are fewer
            positions than draws.
    References:
        Efraimidis and Spirakis (2006), Weighted random sampling with a reservoir.
        Information Processing Letters 97(5).
    Example:
        >>> rushlight.multinomial(rushlight.tensor([0.0, 1.0]), 1)
        tensor([1])
    """
    check_tensor("multinomial", input)
    _check_weights(input, num_samples, replacement)
    result = _chosen(input, num_samples, replacement, generator)
    return result if out is None else exactly_into("multinomial", result, out)


def _chosen(input: Tensor, num_samples: int, replacement: bool, generator: Any) -> Tensor:
    weights = input.detach()
    if weights.dtype.is_reduced:
        weights = cast_op(weights, dtype=float32)
    shape = tuple(weights.shape)
    if replacement:
        bounds = weights.cumsum(-1)
        places = draw(
            "multinomial", "random_uniform", (*shape[:-1], num_samples), weights.dtype,
            weights.device, generator,
        )  # fmt: skip
        total = bounds.narrow(-1, shape[-1] - 1, 1)
        found = operators["searchsorted"](bounds.contiguous(), places * total, right=True)
        # Rounding may bring a place to the very end, behind the last weight that is not zero.
        last = (weights > 0).to(int64).cumsum(-1).argmax(-1, keepdim=True)
        return operators["minimum"](found, last)  # type: ignore[no-any-return]
    waits = draw(
        "multinomial", "random_exponential", shape, weights.dtype, weights.device, generator
    )
    return (weights / waits).topk(num_samples, -1).indices  # type: ignore[no-any-return]


def _check_weights(x: Tensor, count: int, replacement: bool) -> None:
    problem = None
    if x.ndim not in (1, 2):
        problem = "prob_dist must be 1 or 2 dim"
    elif not x.dtype.is_floating_point:
        problem = f"multinomial only supports floating-point dtypes for input, got: {x.dtype.name}"
    elif count <= 0:
        problem = "cannot sample n_sample <= 0 samples"
    elif not replacement and count > x.shape[-1]:
        problem = "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    elif x.numel() and has_values(x):
        if not bool(((x >= 0) & (x < math.inf)).all()):
            problem = "probability tensor contains either `inf`, `nan` or element < 0"
        elif bool((x.sum(-1) <= 0).any()):
            problem = "invalid multinomial distribution (sum of probabilities <= 0)"
    if problem is not None:
        raise error(
            RuntimeError,
            "multinomial",
            problem,
            given=f"{x.dtype} of shape {tuple(x.shape)}, num_samples={count}",
        )


# Below this rate arrivals are counted one by one; above it a rejection method takes over.
_FEW = 10.0
_MOST_ARRIVALS = 60


@public()
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Numbers of events, Poisson distributed with the rates that the input has.

    Args:
        input: Rates, floating.
        generator: Source of randomness.
    Raises:
        RuntimeError: A rate is negative.
    References:
        Hoermann (1993), The transformed rejection method for generating Poisson random variables.
        Insurance: Mathematics and Economics 12.
    Example:
        >>> rushlight.poisson(rushlight.tensor([0.0, 0.0]))
        tensor([0., 0.])
    """
    check_tensor("poisson", input)
    if not input.dtype.is_floating_point:
        raise error(NotImplementedError, "poisson", f"not implemented for {input.dtype.name}")
    if input.numel() and not bool((input >= 0).all()):
        raise error(
            RuntimeError, "poisson", "invalid Poisson rate, expected rate to be non-negative"
        )
    rate = cast_op(input.detach(), dtype=float64).reshape(-1)
    few = rate < _FEW
    out = full((rate.shape[0],), 0, dtype=float64, device=rate.device)
    if bool(few.any()):
        out = operators["where"](few, _counted_arrivals(rate.clamp(max=_FEW), generator), out)
    if not bool(few.all()):
        out = operators["where"](few, out, _rejected_until_right(rate.clamp(min=_FEW), generator))
    return out.reshape(tuple(input.shape)).to(input.dtype)


def _counted_arrivals(rate: Tensor, generator: Any) -> Tensor:
    """Events within the time `rate`, one after the other; more than 60 have a chance of 1e-27."""
    shape = (rate.shape[0], _MOST_ARRIVALS)
    waits = draw("poisson", "random_exponential", shape, float64, rate.device, generator)
    return (waits.cumsum(1) <= rate.unsqueeze(1)).sum(1).to(float64)


def _rejected_until_right(rate: Tensor, generator: Any) -> Tensor:
    """Hoermann's PTRS for rates of at least 10: nine in ten proposals are accepted."""
    b = rate.sqrt() * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    log_rate = rate.log()
    out = full((rate.shape[0],), -1, dtype=float64, device=rate.device)
    while bool((out < 0).any()):
        shape = (2, rate.shape[0])
        both = draw("poisson", "random_uniform", shape, float64, rate.device, generator)
        u, v = both.select(0, 0) - 0.5, 1.0 - both.select(0, 1)
        us = 0.5 - u.abs()
        k = ((a * 2 / us + b) * u + rate + 0.43).floor()
        quick = (us >= 0.07) & (v <= v_r)
        exact = (v * inverse_alpha / (a / (us * us) + b)).log() <= (
            k * log_rate - rate - (k + 1).lgamma()
        )
        possible = (k >= 0) & ((us >= 0.013) | (v <= us))
        right = possible & (quick | exact) & (out < 0)
        out = operators["where"](right, k, out)
    return out
