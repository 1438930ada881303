"""Connectionist temporal classification: the likelihood of labels under all alignments."""

from __future__ import annotations

from collections.abc import Sequence

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import resolve_reduction, shape_of

_IMPOSSIBLE = -float("inf")


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Negative log likelihood of label sequences that are not aligned with the inputs.

    Args:
        log_probs: Log probabilities (`log_softmax`) of shape `(T, N, C)` or `(T, C)`.
        targets: Labels of shape `(N, S)`, or all sequences one after the other, `(sum,)`.
        input_lengths: Number of used time steps for each sequence.
        target_lengths: Number of used labels for each sequence.
        blank: The class of the blank.
        reduction: `"mean"` (each loss by its number of labels, then the mean over the batch),
            `"sum"` or `"none"`.
        zero_infinity: Takes infinite losses (targets too long for the input) and their gradients
            to be zero.

    Raises:
        ValueError: `reduction` is unknown.
        RuntimeError: A shape, dtype, length or label does not fit.

    Note:
        As in torch the gradient is that by the logits under a `log_softmax`: with log
        probabilities from elsewhere it is not the derivative.

    References:
        Graves et al. (2006), Connectionist temporal classification, section 4.1.

    Example:
        >>> log_probs = rushlight.full((2, 1, 2), 0.5).log()
        >>> one = rushlight.tensor([1])
        >>> rushlight.nn.functional.ctc_loss(
        ...     log_probs, one.reshape(1, 1), rushlight.tensor([2]), one
        ... )
        tensor(0.2877)
    """
    reduction = resolve_reduction("ctc_loss", reduction)
    frames = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    device = log_probs.device
    times = _lengths(input_lengths, device)
    counts = _lengths(target_lengths, device)
    _check(log_probs, frames, targets, times, counts, blank)
    labels = _label_matrix(targets, counts, frames.shape[1], blank)
    loss: Tensor = _CTC.apply(frames, labels, times, counts, blank, zero_infinity)
    if zero_infinity:
        loss = rushlight.where(loss == float("inf"), rushlight.zeros_like(loss), loss)
    if reduction == "mean":
        return (loss / counts.clamp_min(1).to(loss.dtype)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss if log_probs.ndim == 3 else loss.squeeze(0)


class _CTC(rushlight.autograd.Function):
    """Forward and backward variables over the labels with blanks in between, all sequences at once.

    State `s` of the `2 S + 1` is a blank if even, label `s // 2` if odd.
    """

    @staticmethod
    def forward(ctx, frames, labels, times, counts, blank, zero_infinity):  # type: ignore[no-untyped-def]
        states, skips = _states(labels, blank)
        emitted = frames.gather(2, states.expand(frames.shape[0], *states.shape))
        alphas = _forward_variables(emitted, skips, counts)
        last = alphas.gather(0, (times - 1).clamp_min(0).reshape(1, -1, 1).expand_as(alphas[:1]))[0]
        # Without any time step only the empty sequence is possible.
        start = rushlight.full_like(last, _IMPOSSIBLE)
        start[:, 0] = 0.0
        last = rushlight.where((times == 0).unsqueeze(1), start, last)
        loss = -_final_states(last, counts)
        ctx.save_for_backward(frames, states, skips, emitted, alphas, loss, times, counts)
        ctx.zero_infinity = zero_infinity
        return loss

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        frames, states, skips, emitted, alphas, loss, times, counts = ctx.saved_tensors
        betas = _backward_variables(emitted, skips, times, counts)
        occupancy = (alphas + betas + loss.unsqueeze(1)).exp()
        index = states.expand(frames.shape[0], *states.shape)
        by_class = rushlight.zeros_like(frames).scatter_add(2, index, occupancy)
        steps = rushlight.arange(frames.shape[0], device=frames.device).unsqueeze(1)
        gradient = (frames.exp() - by_class) * g.unsqueeze(1)
        used = (steps < times).unsqueeze(2)
        if ctx.zero_infinity:
            used = used & (loss != float("inf")).unsqueeze(1)
        gradient = rushlight.where(used, gradient, rushlight.zeros_like(gradient))
        return gradient, None, None, None, None, None


def _states(labels: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """The class of every state, and whether the blank before it may be skipped."""
    batch, size = labels.shape
    states = labels.new_full((batch, 2 * size + 1), blank)
    states[:, 1::2] = labels
    skips = rushlight.zeros_like(states, dtype=rushlight.bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return states, skips


def _forward_variables(emitted: Tensor, skips: Tensor, counts: Tensor) -> Tensor:
    """Log probability of all paths that are in a state after a step, that step included."""
    alpha = rushlight.full_like(emitted[0], _IMPOSSIBLE)
    alpha[:, 0] = emitted[0, :, 0]
    if alpha.shape[1] > 1:
        first = emitted[0, :, 1]
        alpha[:, 1] = rushlight.where(counts > 0, first, rushlight.full_like(first, _IMPOSSIBLE))
    alphas = [alpha]
    for step in emitted[1:].unbind(0):
        skipped = _shifted(alpha, 2).masked_fill(~skips, _IMPOSSIBLE)
        arrived = rushlight.logaddexp(rushlight.logaddexp(alpha, _shifted(alpha, 1)), skipped)
        alpha = arrived + step
        alphas.append(alpha)
    return rushlight.stack(alphas)


def _backward_variables(emitted: Tensor, skips: Tensor, times: Tensor, counts: Tensor) -> Tensor:
    """Log probability of all paths from a state after a step to the end."""
    places = rushlight.arange(emitted.shape[2], device=emitted.device)
    ends = (places == 2 * counts.unsqueeze(1)) | (places == 2 * counts.unsqueeze(1) - 1)
    impossible = rushlight.full_like(emitted[0], _IMPOSSIBLE)
    final = impossible.masked_fill(ends, 0.0)
    # The skip into state s is a skip out of state s - 2.
    skips_out = _shifted(skips.to(emitted.dtype), -2, 0.0) > 0
    beta = impossible
    betas = []
    for step in range(emitted.shape[0] - 1, -1, -1):
        if step + 1 < emitted.shape[0]:
            onward = beta + emitted[step + 1]
            skipped = _shifted(onward, -2).masked_fill(~skips_out, _IMPOSSIBLE)
            beta = rushlight.logaddexp(rushlight.logaddexp(onward, _shifted(onward, -1)), skipped)
        beta = rushlight.where((times - 1 == step).unsqueeze(1), final, beta)
        betas.append(beta)
    return rushlight.stack(betas[::-1])


def _shifted(states: Tensor, by: int, value: float = _IMPOSSIBLE) -> Tensor:
    """Moves states to higher places (or lower, if negative); what moves in is `value`."""
    size = states.shape[1]
    amount = min(abs(by), size)
    filler = rushlight.full_like(states[:, :amount], value)
    if by > 0:
        return rushlight.cat([filler, states[:, : size - amount]], 1)
    return rushlight.cat([states[:, amount:], filler], 1)


def _final_states(last: Tensor, counts: Tensor) -> Tensor:
    """Log probability of ending in the last label or the blank after it."""
    blank = last.gather(1, 2 * counts.unsqueeze(1))
    label = last.gather(1, (2 * counts - 1).clamp_min(0).unsqueeze(1))
    label = label.masked_fill((counts == 0).unsqueeze(1), _IMPOSSIBLE)
    return rushlight.logaddexp(blank, label).squeeze(1)


def _lengths(lengths: Tensor | Sequence[int], device: rushlight.device) -> Tensor:
    if not isinstance(lengths, Tensor):
        lengths = rushlight.tensor(list(lengths), dtype=rushlight.int64)
    return lengths.to(device=device, dtype=rushlight.int64).reshape(-1)


def _label_matrix(targets: Tensor, counts: Tensor, batch: int, blank: int) -> Tensor:
    """Labels as a matrix `(N, S)`, from that form or from the concatenated one."""
    labels = targets.to(rushlight.int64)
    if labels.ndim == 2:
        width = int(counts.max()) if batch else 0
        labels = labels[:, :width]
        places = rushlight.arange(width, device=labels.device)
    else:
        width = int(counts.max()) if batch else 0
        places = rushlight.arange(width, device=labels.device)
        if labels.numel() == 0:
            return labels.new_full((batch, width), blank)
        starts = (counts.cumsum(0) - counts).unsqueeze(1)
        labels = labels[(starts + places).clamp_max(labels.numel() - 1)]
    # What follows the last label must not be out of range, nor change the states before it.
    return labels.masked_fill(places >= counts.unsqueeze(1), blank)


def _check(
    log_probs: Tensor,
    frames: Tensor,
    targets: Tensor,
    times: Tensor,
    counts: Tensor,
    blank: int,
) -> None:
    given = f"log_probs of shape {shape_of(log_probs)}, targets of shape {shape_of(targets)}"

    def refuse(what: str) -> Exception:
        return error(RuntimeError, "ctc_loss", what, given=given)

    if log_probs.ndim not in (2, 3):
        raise refuse("log_probs must have shape (T, N, C) or (T, C)")
    steps, batch, classes = frames.shape
    if not log_probs.dtype.is_floating_point:
        raise refuse(f"log_probs must be floating point, not {log_probs.dtype}")
    if steps == 0:
        raise refuse("log_probs must have at least one time step")
    if targets.dtype.is_floating_point or targets.dtype.is_complex:
        raise refuse(f"targets must hold integers, not {targets.dtype}")
    if not 0 <= blank < classes:
        raise refuse(f"blank={blank} must be in label range [0, {classes})")
    if times.shape[0] != batch or counts.shape[0] != batch:
        raise refuse("input_lengths and target_lengths must be of size batch_size")
    if batch == 0:
        return
    if bool((times > steps).any()) or bool((times < 0).any()):
        raise refuse(f"input_lengths must be between 0 and {steps}")
    if bool((counts < 0).any()):
        raise refuse("target_lengths must not be negative")
    room = targets.shape[1] if targets.ndim == 2 else targets.numel()
    needed = int(counts.max()) if targets.ndim == 2 else int(counts.sum())
    if targets.ndim not in (1, 2) or (targets.ndim == 2 and targets.shape[0] != batch):
        raise refuse("targets must be (N, S), or one-dimensional")
    if needed > room or (targets.ndim == 1 and needed != room):
        raise refuse(f"target_lengths ask for {needed} labels where targets hold {room}")
