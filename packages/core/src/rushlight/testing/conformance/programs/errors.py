"""Errors: bad calls raise what they should, change nothing, and the device stays usable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight as rl

from ...._dtypes import ALL
from ...._registered import operators
from ....backend import backend_for
from ....backend._registry import dtypes_of, normalized
from .._asking import backend_of
from .._case import Skip
from ._table import program

_INDEX = (IndexError, RuntimeError)


def refused(
    device: str, call: Callable[[], Any], kinds: type[Exception] | tuple[type[Exception], ...]
) -> str:
    """Asserts that a call raises, at the latest when its result is read; the message.

    The device computes as before afterwards.
    """
    try:
        result = call()
        if isinstance(result, rl.Tensor):
            result.tolist()
    except kinds as raised:
        message = str(raised)
    except Exception as raised:
        raise AssertionError(f"{type(raised).__name__} was raised: {raised}") from raised
    else:
        raise AssertionError(f"nothing was raised, and the result is {result!r}")
    assert message, "the exception says nothing"
    assert (rl.ones(3, device=device) + 1).tolist() == [2, 2, 2], "the device is not usable"
    return message


def _x(device: str) -> rl.Tensor:
    return rl.arange(12, device=device).to(rl.float32).reshape(3, 4)


def _i(device: str, *numbers: int) -> rl.Tensor:
    return rl.tensor(numbers, device=device)


_OUT_OF_RANGE: dict[str, Callable[[str], Any]] = {
    "gather": lambda d: _x(d).gather(1, _i(d, 0, 4).reshape(1, 2)),
    "gather-negative": lambda d: _x(d).gather(1, _i(d, 0, -1).reshape(1, 2)),
    "index_select": lambda d: _x(d).index_select(0, _i(d, 0, 3)),
    "index": lambda d: _x(d)[_i(d, 0, 3)],
    "index-negative": lambda d: _x(d)[_i(d, 0, -4)],
    "take": lambda d: _x(d).take(_i(d, 12)),
    "embedding": lambda d: operators["embedding"](
        _x(d), _i(d, 1, 3), padding_idx=None, scale_grad_by_freq=False
    ),
    "scatter": lambda d: _x(d).scatter(1, _i(d, 4).reshape(1, 1), _x(d)),
    "index_add": lambda d: _x(d).index_add(0, _i(d, 3), _x(d)[:1]),
    "index_copy": lambda d: _x(d).index_copy(0, _i(d, 3), _x(d)[:1]),
    "index_put": lambda d: _x(d).index_put((_i(d, 3),), rl.zeros((), device=d)),
}

_SHAPES: dict[str, Callable[[str], Any]] = {
    "add": lambda d: _x(d) + rl.ones(3, device=d),
    "mm": lambda d: _x(d).mm(_x(d)),
    "matmul": lambda d: _x(d) @ rl.ones(5, device=d),
    "cat": lambda d: rl.cat([_x(d), rl.ones(3, 5, device=d)]),
    "view": lambda d: _x(d).view(5, 2),
    "expand": lambda d: _x(d).expand(3, 5),
    "copy_": lambda d: _x(d).copy_(rl.ones(5, device=d)),
    "reshape": lambda d: _x(d).reshape(7),
    "where": lambda d: rl.where(_x(d) > 0, _x(d), rl.ones(5, device=d)),
}


@program("errors", level=2, over=_OUT_OF_RANGE)
def out_of_range(device: str, call: Callable[[str], Any]) -> None:
    """An index out of range is an IndexError or RuntimeError, not a read of other memory."""
    try:
        refused(device, lambda: call(device), _INDEX)
    except AssertionError as raised:
        cause = raised.__cause__
        if isinstance(cause, NotImplementedError):
            raise cause from None
        raise


@program("errors", level=2, over=_SHAPES)
def shapes_do_not_fit(device: str, call: Callable[[str], Any]) -> None:
    """Shapes that do not fit each other are a RuntimeError."""
    refused(device, lambda: call(device), RuntimeError)


@program("errors", level=2)
def dim_is_out_of_range(device: str) -> None:
    """A dim beyond the dimensions is an IndexError."""
    refused(device, lambda: _x(device).sum(2), IndexError)
    refused(device, lambda: _x(device).transpose(0, 5), IndexError)


@program("errors", level=2)
def writes_that_do_not_fit_change_nothing(device: str) -> None:
    """A refused in-place call leaves its operand as it was."""
    x = _i(device, 1, 2, 3)
    refused(device, lambda: x.add_(rl.tensor(1.5, device=device)), RuntimeError)
    refused(device, lambda: x.add_(rl.ones(2, 3, dtype=rl.int64, device=device)), RuntimeError)
    assert x.tolist() == [1, 2, 3]
    leaf = rl.ones(2, device=device, requires_grad=True)
    refused(device, lambda: leaf.add_(1), RuntimeError)
    assert leaf.detach().tolist() == [1, 1]


@program("errors", level=2)
def mixing_dtypes(device: str) -> None:
    """A matrix product of two dtypes is refused."""
    refused(device, lambda: _x(device).mm(_i(device, 1, 2, 3, 4).reshape(4, 1)), RuntimeError)


@program("errors", level=2)
def mixing_devices(device: str) -> None:
    """Tensors of two devices are refused; the message names both."""
    other = "sim" if backend_of(device).name == "cpu" else "cpu"
    _needs(other)
    message = refused(device, lambda: _x(device) + rl.ones(3, 4, device=other), RuntimeError)
    assert str(normalized(device)) in message and other in message, message
    refused(device, lambda: rl.cat([_x(device), rl.ones(3, 4, device=other)]), RuntimeError)


def _needs(device: str) -> None:
    try:
        backend_for(device)
    except RuntimeError as raised:
        raise Skip(f"there is no device {device}") from raised


@program("errors", level=2)
def there_is_no_such_device(device: str) -> None:
    """A device number that does not exist is a RuntimeError."""
    kind = backend_of(device).name
    refused(device, lambda: rl.ones(1, device=f"{kind}:{99_999}"), RuntimeError)


@program("errors", level=2)
def dtypes_that_are_absent(device: str) -> None:
    """A dtype that the manifest leaves out is a TypeError, before anything is computed."""
    absent = [d for d in ALL if d not in dtypes_of(device)]
    if not absent:
        raise Skip("the device has all dtypes")
    x = _x(device)
    for dtype in absent:
        refused(device, lambda dtype=dtype: x.to(dtype), TypeError)  # type: ignore[misc]
        refused(
            device,
            lambda dtype=dtype: rl.ones(2, dtype=dtype, device=device),  # type: ignore[misc]
            TypeError,
        )


@program("errors", level=2)
def saved_tensors_are_guarded(device: str) -> None:
    """A write to what a derivative needs is noticed by backward."""
    x = rl.ones(3, device=device, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    y.mul_(2)
    refused(device, z.backward, RuntimeError)
