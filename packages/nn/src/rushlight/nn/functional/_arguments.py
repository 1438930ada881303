"""How `nn.functional` reads its arguments: tuples of sizes, reductions, `out=` and `inplace=`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

Ints = int | Sequence[int]
OptionalInts = int | None | Sequence[int | None]


def int_tuple(value: Ints, length: int, who: str, name: str) -> tuple[int, ...]:
    """`value` as a tuple of `length` ints; a single int (or a tuple of one) is repeated."""
    items = tuple(value) if isinstance(value, Sequence) else (value,)
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        raise error(
            TypeError,
            who,
            f"{name} must hold ints",
            given=f"{name}={value!r}",
            expected=f"an int or {length} of them",
        )
    if len(items) == 1:
        return items * length
    if len(items) != length:
        raise error(
            RuntimeError,
            who,
            f"{name} has {len(items)} elements for {length} spatial dimension(s)",
            given=f"{name}={tuple(items)}",
            expected=f"an int or {length} of them",
        )
    return items


def stride_tuple(stride: Ints | None, kernel: tuple[int, ...], who: str) -> tuple[int, ...]:
    """The stride of a pooling window, which is the window itself unless given."""
    if stride is None or (isinstance(stride, Sequence) and len(stride) == 0):
        return kernel
    return int_tuple(stride, len(kernel), who, "stride")


def check_positive(who: str, **values: tuple[int, ...]) -> None:
    """Refuses windows that are empty or stand still."""
    for name, value in values.items():
        if any(item <= 0 for item in value):
            raise error(
                RuntimeError,
                who,
                f"non-positive {name} is not supported; {name} must be greater than zero",
                given=f"{name}={value}",
                expected=f"every element of {name} >= 1",
            )


def resolve_reduction(
    who: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """The reduction asked for, which the deprecated `size_average` and `reduce` override."""
    if size_average is not None or reduce is not None:
        average = size_average is None or size_average
        old = "none" if reduce is not None and not reduce else "mean" if average else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{old}' "
            "instead.",
            UserWarning,
            stacklevel=3,
        )
        return old
    if reduction not in ("none", "mean", "sum"):
        raise error(
            ValueError,
            who,
            f"{reduction} is not a valid value for reduction",
            expected="'none', 'mean' or 'sum'",
        )
    return reduction


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """`loss` itself, its mean or its sum."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss


def warn_if_sizes_differ(input: Tensor, target: Tensor) -> None:
    """Warns that an elementwise loss is about to broadcast, which is seldom meant."""
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({tuple(target.shape)}) that is different to the input size "
            f"({tuple(input.shape)}). This will likely lead to incorrect results due to "
            "broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=3,
        )


def write_out(result: Tensor, out: Tensor | None, who: str) -> Tensor:
    """`result`, or `out` filled with it."""
    if out is None:
        return result
    if not rushlight.can_cast(result.dtype, out.dtype):
        raise error(
            RuntimeError,
            who,
            f"result type {result.dtype} can't be cast to the desired output type {out.dtype}",
            fix=f"pass out= with dtype {result.dtype}",
        )
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def pointwise(
    who: str, function: Callable[..., Tensor], input: Tensor, *args: Any, inplace: bool = False
) -> Tensor:
    """`function(input, *args)`, written over `input` on request.

    `Any`: the arguments are whatever the activation takes (floats, bools, tensors).
    """
    if not inplace:
        return function(input, *args)
    # A derivative rule may keep its input, and that input is about to be overwritten.
    recording = rushlight.is_grad_enabled() and input.requires_grad
    result = function(input.clone() if recording else input, *args)
    if not rushlight.can_cast(result.dtype, input.dtype):
        raise error(
            RuntimeError,
            who,
            f"result type {result.dtype} can't be cast to the desired output type {input.dtype}",
            given=f"input of dtype {input.dtype}, inplace=True",
            fix=f"convert the input to {result.dtype} first, or use inplace=False",
        )
    return input.copy_(result)


def shape_of(tensor: Tensor) -> str:
    """A tensor's shape as error messages print it."""
    return str(tuple(tensor.shape))
