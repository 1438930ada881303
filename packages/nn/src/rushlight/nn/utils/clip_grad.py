"""Gradient clipping, by norm and by value."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error


def _tensors(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if not isinstance(parameters, (Tensor, list, tuple)):
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.",
                stacklevel=3,
            )
    return [p.grad for p in _tensors(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors together.

    Args:
        tensors: One or several.
        norm_type: p of the p-norm; may be infinite.
        error_if_nonfinite: Raise if the norm is infinite or not a number.
        foreach: Accepted for compatibility.
    Raises:
        RuntimeError: See `error_if_nonfinite`.
    Example:
        >>> rushlight.nn.utils.get_total_norm([rushlight.tensor([3.0]), rushlight.tensor([4.0])])
        tensor(5.)
    """
    listed = _tensors(tensors)
    if not listed:
        return rushlight.tensor(0.0)
    norms = [rushlight.linalg.vector_norm(tensor, float(norm_type)) for tensor in listed]
    device = norms[0].device
    total = rushlight.linalg.vector_norm(
        rushlight.stack([norm.to(device) for norm in norms]), float(norm_type)
    )
    if error_if_nonfinite and not bool(rushlight.isfinite(total)):
        raise error(
            RuntimeError,
            "get_total_norm",
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped",
            given=f"a norm of {total.item()}",
            fix="look for overflow, or pass error_if_nonfinite=False to clip by it all the same",
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scales gradients, in place, so that their known norm becomes at most `max_norm`.

    Args:
        parameters: Whose gradients.
        max_norm: The greatest norm.
        total_norm: The norm there is.
        foreach: Accepted for compatibility.
    """
    gradients = _gradients(parameters)
    # Clamped instead of compared: a comparison would wait for the device.
    factor = rushlight.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    with rushlight.no_grad():
        for gradient in gradients:
            gradient.mul_(factor.to(gradient.device))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales gradients, in place, so that their common norm is at most `max_norm`.

    Args:
        parameters: Whose gradients.
        max_norm: The greatest norm.
        norm_type: p of the p-norm; may be infinite.
        error_if_nonfinite: Raise if the norm is infinite or not a number.
        foreach: Accepted for compatibility.
    Returns:
        The norm before.
    Example:
        >>> p = rushlight.nn.Parameter(rushlight.zeros(2))
        >>> p.grad = rushlight.tensor([3.0, 4.0])
        >>> rushlight.nn.utils.clip_grad_norm_([p], max_norm=1.0)
        tensor(5.)
        >>> p.grad
        tensor([0.6000, 0.8000])
    """
    # A generator can be walked only once, and both steps below need it.
    listed = _tensors(parameters)
    if not listed and not isinstance(parameters, (list, tuple)):
        _gradients(iter(listed))  # warns
    gradients = _gradients(listed)
    with rushlight.no_grad():
        total = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
        clip_grads_with_norm_(listed, max_norm, total, foreach)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """Deprecated name of `clip_grad_norm_`."""
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limits each element of gradients to [-clip_value, clip_value], in place.

    Args:
        parameters: Whose gradients.
        clip_value: The greatest magnitude.
        foreach: Accepted for compatibility.
    """
    limit = float(clip_value)
    with rushlight.no_grad():
        for gradient in _gradients(_tensors(parameters)):
            gradient.clamp_(min=-limit, max=limit)
