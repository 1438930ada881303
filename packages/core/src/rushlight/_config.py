"""Process-wide settings that are not modes: default dtype and default device."""

from __future__ import annotations

from typing import Any

from . import _dtypes
from ._device import device as Device
from ._dtypes import DType
from ._errors import error


class _Settings:
    """The current values; one object, so that hot code reads an attribute."""

    __slots__ = ("default_complex", "default_device", "default_dtype")

    def __init__(self) -> None:
        self.default_dtype: DType = _dtypes.float32
        self.default_complex: DType = _dtypes.complex64
        self.default_device: Any = None


settings = _Settings()


def set_default_dtype(d: DType) -> None:
    """Sets the floating-point type of new tensors made from Python floats.

    Raises:
        TypeError: `d` is not a floating-point type.
    Example:
        >>> rushlight.set_default_dtype(rushlight.float64)
        >>> rushlight.tensor(1.5).dtype
        rushlight.float64
        >>> rushlight.set_default_dtype(rushlight.float32)
    """
    if not _dtypes.is_dtype(d) or not d.is_floating_point:
        raise error(
            TypeError,
            "set_default_dtype",
            "only floating-point types can be the default type",
            given=f"{d!r}",
            fix="use rushlight.float32 or another floating-point type",
        )
    settings.default_dtype = d
    settings.default_complex = d.to_complex()


def get_default_dtype() -> DType:
    """The floating-point type of new tensors made from Python floats.

    Example:
        >>> rushlight.get_default_dtype()
        rushlight.float32
    """
    return settings.default_dtype


def set_default_device(device: Any) -> None:
    """Sets the device of new tensors; None means the CPU.

    Example:
        >>> rushlight.set_default_device("meta")
        >>> rushlight.zeros(2).device
        device(type='meta')
        >>> rushlight.set_default_device(None)
    """
    settings.default_device = None if device is None else Device(device)


def get_default_device() -> Device:
    """The device of new tensors.

    Example:
        >>> rushlight.get_default_device()
        device(type='cpu')
    """
    return settings.default_device or Device("cpu")
