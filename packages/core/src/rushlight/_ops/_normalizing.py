"""What layer, RMS, group and batch norm share: statistics, gradients of rows, checks."""

from __future__ import annotations

from math import prod
from typing import Any

from .._dispatch import Spec
from .._dtypes import DType
from .._errors import error
from .._tensor.tensor import Tensor
from ._precision import widened

Needs = tuple[bool, ...]
Gradients = tuple[Tensor | None, ...]


def parameter_dtype(x: Tensor, weight: Tensor | None) -> DType:
    """The dtype that the public functions return statistics in."""
    return x.dtype if weight is None else weight.dtype


def moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, centred values and biased variance over dimensions, which are kept."""
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(dims, keepdim=True)


def scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Any) -> Tensor:
    """x * weight + bias with the parameters seen in a shape."""
    if weight is not None:
        x = x * widened(weight).reshape(shape)
    if bias is not None:
        x = x + widened(bias).reshape(shape)
    return x


def row_gradient(gw: Tensor, hat: Tensor, rstd: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Gradient of hat = (x - mean) * rstd where both statistics follow x."""
    return rstd * (gw - gw.mean(dims, keepdim=True) - hat * (gw * hat).mean(dims, keepdim=True))


def count_of_each(x_shape: tuple[int, ...], stat: Tensor) -> int:
    """Elements behind each statistic."""
    return prod(x_shape) // max(stat.numel(), 1)


def plus(dx: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if dx is None else dx if more is None else dx + more


def check_float(who: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise error(
            NotImplementedError, who, f"not implemented for {x.dtype}", given=f"x of {x.dtype}",
            expected="a real floating dtype",
        )  # fmt: skip


def backward_spec(x: Tensor, shape: tuple[int, ...], needs: Needs) -> tuple[Any, ...]:
    specs = (Spec(x.shape, x.dtype), *(Spec(shape, x.dtype) for _ in needs[1:]))
    return tuple(spec if need else None for spec, need in zip(specs, needs, strict=True))


def given_shapes(x: Tensor, **others: Any) -> str:
    shapes = ", ".join(
        f"{name} {tuple(value.shape) if isinstance(value, Tensor) else value}"
        for name, value in others.items()
        if value is not None
    )
    return f"input of shape {tuple(x.shape)}, {shapes}"


def check_channels(who: str, x: Tensor, **parameters: Any) -> None:
    channels = x.shape[1] if x.ndim > 1 else 0
    for name, value in parameters.items():
        if value is not None and value.numel() != channels:
            raise error(
                RuntimeError,
                who,
                f"{name} should contain {channels} elements not {value.numel()}",
                given=given_shapes(x, **parameters),
            )
