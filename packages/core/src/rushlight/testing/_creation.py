"""make_tensor: a tensor of random values for a test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._device import device as Device
from .._dtypes import DType, bool_
from .._errors import error
from .._layout import contiguous_format
from .._registered import operators
from .._tensor.construction import convert, from_host, placed
from .._tensor.tensor import Tensor

HostArray = np.ndarray[Any, Any]


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of values drawn uniformly from `[low, high)`.

    Without bounds, floats and complex parts lie in [-9, 9], signed integers too, unsigned ones in
    [0, 9], and bool is False or True. Bounds are moved into the dtype's range. The values come from
    NumPy's global random state, so `numpy.random.seed` repeats them on every device.

    Args:
        *shape: Sizes, or one sequence of sizes.
        dtype: The dtype of the tensor.
        device: Where it is made.
        low: Smallest value.
        high: Bound that is not reached.
        requires_grad: Whether autograd records what is done with it.
        noncontiguous: Leaves gaps between the elements in memory; not for fewer than two elements.
        exclude_zero: Replaces zeros by the smallest positive number of the dtype (integers: 1).
        memory_format: Order of the dimensions in memory; not together with `noncontiguous`.
    Raises:
        ValueError: The bounds are NaN, in the wrong order, or outside the dtype's range; both
            `noncontiguous` and `memory_format` are given; an integer tensor would require grad.
    Example:
        >>> x = rushlight.testing.make_tensor(2, 3, dtype=rushlight.int8, device="cpu", low=1)
        >>> x.shape, bool((x >= 1).all())
        (rushlight.Size([2, 3]), True)
    """
    size = _sizes(shape)
    if noncontiguous and memory_format is not None:
        raise error(
            ValueError,
            "make_tensor",
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive",
            given=f"noncontiguous={noncontiguous}, memory_format={memory_format}",
        )
    if requires_grad and not dtype.is_inexact:
        raise error(
            ValueError,
            "make_tensor",
            "`requires_grad=True` is not supported for boolean and integral dtypes",
            given=f"dtype={dtype}",
            expected="a floating-point or complex dtype",
        )
    bounds = _bounds(dtype, low, high)
    values = _drawn(size, dtype, *bounds)
    if exclude_zero:
        values = np.where(values == 0, _smallest(dtype), values)
    where = device if isinstance(device, Device) else placed(device)
    made = from_host(convert(np.asarray(values), dtype), where)
    if noncontiguous and made.numel() > 1:
        made = _with_gaps(made)
    elif memory_format is not None and memory_format is not contiguous_format:
        made = operators["clone"].public(made, memory_format=memory_format)
    return made.requires_grad_(True) if requires_grad else made


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and not isinstance(shape[0], int):
        return tuple(shape[0])
    return tuple(shape)


def _bounds(dtype: DType, low: float | None, high: float | None) -> tuple[float, float]:
    """The range to draw from, within what the dtype can hold."""
    if dtype is bool_:
        least, most, usual = 0.0, 2.0, (0.0, 2.0)
    elif dtype.is_inexact:
        most = float(_finfo(dtype).max)
        least, usual = -most, (-9.0, 9.0)
    else:
        info = np.iinfo(dtype.numpy)
        least, most = float(info.min), float(info.max) + 1
        usual = (-9.0 if dtype.is_signed else 0.0, 10.0)
    low = usual[0] if low is None else float(low)
    high = usual[1] if high is None else float(high)
    given = f"low={low}, high={high}, dtype={dtype}"
    if math.isnan(low) or math.isnan(high):
        raise error(ValueError, "make_tensor", "`low` and `high` cannot be NaN", given=given)
    if low > high or (low == high and not dtype.is_inexact):
        raise error(ValueError, "make_tensor", "`low` must be less than `high`", given=given)
    if low >= most or high < least:
        raise error(
            ValueError,
            "make_tensor",
            "the values are outside the dtype's range",
            given=given,
            expected=f"values from {least:g} to {most:g}",
        )
    return max(low, least), min(high, most)


def _finfo(dtype: DType) -> Any:
    from .._limits import finfo

    return finfo(dtype.to_real())


def _drawn(size: tuple[int, ...], dtype: DType, low: float, high: float) -> HostArray:
    if not dtype.is_inexact:
        first, last = math.ceil(low), math.ceil(high)
        wide = np.uint64 if last > 2**63 - 1 else np.int64
        return np.asarray(np.random.randint(first, last, size=size, dtype=wide))
    # Half the span first: the whole one may overflow.
    half = high / 2 - low / 2
    parts = [
        low + half * np.random.random_sample(size) * 2 for _ in range(2 if dtype.is_complex else 1)
    ]
    return np.asarray(parts[0] + 1j * parts[1] if dtype.is_complex else parts[0])


def _smallest(dtype: DType) -> float:
    """What stands in place of zero."""
    return float(_finfo(dtype).tiny) if dtype.is_inexact else 1


def _with_gaps(x: Tensor) -> Tensor:
    """The same values in every second place of a memory twice as large."""
    wide = operators["full"].function(
        (*x.shape[:-1], 2 * x.shape[-1]), 0, dtype=x.dtype, device=x.device
    )
    made: Tensor = operators["slice"](wide, dim=x.ndim - 1, start=0, length=x.shape[-1], step=2)
    made.copy_(x)
    return made.detach()
