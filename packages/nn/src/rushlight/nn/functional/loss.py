"""Losses of regression and of likelihoods, element by element."""

from __future__ import annotations

import math
import warnings

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import (
    reduce_loss,
    resolve_reduction,
    shape_of,
    warn_if_sizes_differ,
)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute differences.

    Args:
        input: Predictions.
        target: Wanted values, usually of the same shape.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`. Here and in the losses below.
        weight: Factors of the elements; the mean is then the weighted one.

    Raises:
        ValueError: `reduction` is unknown, or `weight` has another shape than `input`.
        RuntimeError: The shapes do not broadcast.

    Example:
        >>> rushlight.nn.functional.l1_loss(rushlight.tensor([1.0, 3.0]), rushlight.zeros(2))
        tensor(2.)
    """
    reduction = resolve_reduction("l1_loss", reduction, size_average, reduce)
    warn_if_sizes_differ(input, target)
    return _weighted("l1_loss", (input - target).abs(), input, weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared differences; arguments as in `l1_loss`.

    Example:
        >>> rushlight.nn.functional.mse_loss(rushlight.tensor([1.0, 3.0]), rushlight.zeros(2))
        tensor(5.)
    """
    reduction = resolve_reduction("mse_loss", reduction, size_average, reduce)
    warn_if_sizes_differ(input, target)
    return _weighted("mse_loss", (input - target).square(), input, weight, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Squared up to a difference of `delta` (halved), linear from there on.

    Args:
        input: Predictions.
        target: Wanted values.
        reduction: `"mean"`, `"sum"` or `"none"`.
        delta: Where the two parts meet, positive.
        weight: Factors of the elements; the mean is then the weighted one.

    Raises:
        RuntimeError: `delta` is not positive.
        ValueError: `reduction` is unknown, or `weight` has another shape than `input`.

    References:
        Huber (1964), Robust estimation of a location parameter.

    Example:
        >>> rushlight.nn.functional.huber_loss(rushlight.tensor([1.0, 3.0]), rushlight.zeros(2))
        tensor(1.5000)
    """
    reduction = resolve_reduction("huber_loss", reduction)
    if not isinstance(delta, (int, float)):
        raise error(
            TypeError, "huber_loss", f"delta must be a float or int, got {type(delta).__name__}"
        )
    if not delta > 0:
        raise error(
            RuntimeError,
            "huber_loss",
            "does not support non-positive values for delta",
            given=f"delta={delta}",
        )
    warn_if_sizes_differ(input, target)
    size = (input - target).abs()
    loss = rushlight.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))
    return _weighted("huber_loss", loss, input, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """`huber_loss` divided by `beta`, its `delta`; `l1_loss` where `beta` is zero.

    Raises:
        RuntimeError: `beta` is negative.

    Example:
        >>> rushlight.nn.functional.smooth_l1_loss(
        ...     rushlight.tensor([1.0, 3.0]), rushlight.zeros(2), beta=2.0
        ... )
        tensor(1.1250)
    """
    reduction = resolve_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise error(
            RuntimeError,
            "smooth_l1_loss",
            "does not support negative values for beta",
            given=f"beta={beta}",
        )
    warn_if_sizes_differ(input, target)
    size = (input - target).abs()
    if beta == 0:
        return reduce_loss(size, reduction)
    loss = rushlight.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)
    return reduce_loss(loss, reduction)


def _weighted(
    who: str, loss: Tensor, input: Tensor, weight: Tensor | None, reduction: str
) -> Tensor:
    if weight is None:
        return reduce_loss(loss, reduction)
    if weight.shape != input.shape:
        raise error(
            ValueError,
            who,
            "Weights and input must have the same size",
            given=f"input of shape {shape_of(input)}, weight of shape {shape_of(weight)}",
        )
    if reduction == "mean":
        return (loss * weight).sum() / weight.sum()
    return reduce_loss(loss * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence of the distribution `exp(input)` from `target`, by element.

    Args:
        input: Log probabilities.
        target: Probabilities, or their logarithms.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"batchmean"` (sum by the first dimension's size, the mathematical value),
            `"mean"`, `"sum"` or `"none"`.
        log_target: `target` holds logarithms.

    Raises:
        ValueError: `reduction` is unknown.

    Example:
        >>> p = rushlight.tensor([[0.5, 0.5]])
        >>> rushlight.nn.functional.kl_div(p.log(), p, reduction="batchmean")
        tensor(0.)
    """
    if size_average is not None or reduce is not None or reduction != "batchmean":
        reduction = resolve_reduction("kl_div", reduction, size_average, reduce)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size. 'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.",
            stacklevel=2,
        )
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = rushlight.xlogy(target, target) - target * input
    if reduction == "batchmean":
        # For a zero-dim input the first dimension counts as one.
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return reduce_loss(loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of counts under Poisson distributions.

    Args:
        input: Expected counts, or their logarithms.
        target: Counts.
        log_input: `input` holds logarithms.
        full: Adds Stirling's approximation of the constant term, for counts above one.
        size_average: Deprecated, see `reduction`.
        eps: Added before taking a logarithm.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `reduction` is unknown.

    Example:
        >>> rushlight.nn.functional.poisson_nll_loss(rushlight.zeros(2), rushlight.ones(2))
        tensor(1.)
    """
    reduction = resolve_reduction("poisson_nll_loss", reduction, size_average, reduce)
    if log_input:
        loss = input.exp() - target * input
    else:
        loss = input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood under normal distributions.

    Args:
        input: Means.
        target: Samples.
        var: Variances: a number, or a tensor of `input`'s shape, where the last dimension may be
            missing, or one dimension may be 1 (the same variance all along it).
        full: Adds the constant term.
        eps: Variances are taken to be at least this, without changing the gradient.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: `var` is negative or of the wrong shape, or `reduction` is unknown.

    Example:
        >>> zeros = rushlight.zeros(2)
        >>> rushlight.nn.functional.gaussian_nll_loss(zeros, zeros + 2.0, 1.0)
        tensor(2.)
    """
    who = "gaussian_nll_loss"
    if isinstance(var, Tensor):
        variance = var
    elif var < 0:
        raise error(ValueError, who, "var has negative entry/entries", given=f"var={var}")
    else:
        variance = rushlight.full_like(input, var)
    if variance.shape != input.shape:
        if tuple(variance.shape) == tuple(input.shape[:-1]):
            variance = variance.unsqueeze(-1)
        elif not _repeats_along_one_dim(variance, input):
            raise error(
                ValueError,
                who,
                "var is of incorrect size",
                given=f"input of shape {shape_of(input)}, var of shape {shape_of(variance)}",
            )
    reduction = resolve_reduction(who, reduction)
    if bool((variance < 0).any()):
        raise error(ValueError, who, "var has negative entry/entries")
    # The floor is applied beside the graph: gradients pass as if there were none.
    plain = variance.detach()
    floored = variance + (plain.clamp_min(eps) - plain)
    loss = 0.5 * (floored.log() + (input - target) ** 2 / floored)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)


def _repeats_along_one_dim(x: Tensor, like: Tensor) -> bool:
    """Whether the shapes are equal up to one dimension, of which `x` has a single element."""
    if x.ndim != like.ndim:
        return False
    return [n for n, m in zip(x.shape, like.shape) if n != m] == [1]


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross entropy between probabilities.

    Args:
        input: Probabilities.
        target: Wanted probabilities, of the same shape.
        weight: Factors that broadcast to `input`.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: The shapes differ, or `reduction` is unknown.
        RuntimeError: An element of `input` is not between 0 and 1.

    Example:
        >>> half = rushlight.full((2,), 0.5)
        >>> rushlight.nn.functional.binary_cross_entropy(half, rushlight.ones(2))
        tensor(0.6931)
    """
    who = "binary_cross_entropy"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    if target.shape != input.shape:
        raise error(
            ValueError,
            who,
            "target and input sizes differ",
            given=f"input of shape {shape_of(input)}, target of shape {shape_of(target)}",
            fix="make them the same, for example with unsqueeze",
        )
    if bool(((input < 0) | (input > 1)).any()):
        raise error(
            RuntimeError,
            who,
            "all elements of input should be between 0 and 1",
            fix="apply sigmoid first, or use binary_cross_entropy_with_logits",
        )
    loss = _bce_terms(input, target)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


class _BinaryCrossEntropy(rushlight.autograd.Function):
    """The elementwise loss, with torch's guards: logarithms at least -100, slopes below 1e12.

    A composite would divide zero by zero where a probability is exactly 0 or 1.
    """

    @staticmethod
    def forward(input: Tensor, target: Tensor) -> Tensor:
        yes = input.log().clamp_min(-100)
        no = rushlight.log1p(-input).clamp_min(-100)
        return (target - 1) * no - target * yes

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        input, target = ctx.saved_tensors
        slope = (input - target) / ((1 - input) * input).clamp_min(1e-12)
        odds = rushlight.log1p(-input).clamp_min(-100) - input.log().clamp_min(-100)
        return g * slope, g * odds


def _bce_terms(input: Tensor, target: Tensor) -> Tensor:
    result: Tensor = _BinaryCrossEntropy.apply(input, target)
    return result


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy between `sigmoid(input)` and probabilities, exact for large logits.

    Args:
        input: Logits.
        target: Wanted probabilities, of the same shape.
        weight: Factors that broadcast to `input`.
        size_average: Deprecated, see `reduction`.
        reduce: Deprecated, see `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        pos_weight: Factors of the positive terms, which broadcast to `target`.

    Raises:
        ValueError: The shapes differ, or `reduction` is unknown.

    Example:
        >>> zeros = rushlight.zeros(2)
        >>> rushlight.nn.functional.binary_cross_entropy_with_logits(zeros, zeros)
        tensor(0.6931)
    """
    who = "binary_cross_entropy_with_logits"
    reduction = resolve_reduction(who, reduction, size_average, reduce)
    if target.shape != input.shape:
        raise error(
            ValueError,
            who,
            "Target size must be the same as input size",
            given=f"input of shape {shape_of(input)}, target of shape {shape_of(target)}",
        )
    log_yes: Tensor = ops.logsigmoid(input)
    if pos_weight is None:
        loss = (1 - target) * input - log_yes
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_yes
    return reduce_loss(loss if weight is None else loss * weight, reduction)
