"""Tensors from Python data and from host arrays, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _dtypes
from .._config import settings
from .._device import device as Device
from .._dtypes import DType, from_numpy_dtype
from .._errors import error
from .._modes import STATE
from ..backend import kind_of
from .pinning import uploaded
from .tensor import Tensor, fresh, meta_tensor, native_of, storage_of

HostArray = np.ndarray[Any, Any]


def placed(device: Any) -> Device:
    """The device a factory makes its tensor on."""
    if device is not None:
        return device if device.__class__ is Device else Device(device)
    return STATE.get().device or settings.default_device or Device("cpu")


def from_host(array: HostArray, where: Device, *, copy: bool = True) -> Tensor:
    """A tensor of a host array's values on a device.

    Args:
        array: The values; their dtype is the tensor's.
        where: The device.
        copy: Without it, a device in host memory uses the array's own memory.
    """
    kind = kind_of(where, from_numpy_dtype(array.dtype))
    if kind.is_meta:
        return meta_tensor(kind, array.shape, None)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    assert kind.backend is not None
    if not copy and kind.backend.manifest.host_memory:
        made = fresh(kind, array)
        storage_of(made)  # the array may have any strides, unlike a kernel's result
        return made
    return fresh(kind, uploaded(kind, array))


def to_host(x: Tensor) -> HostArray:
    """A host array of a tensor's values, which shares memory where the device allows it."""
    return x._k.runtime.to_host(native_of(x))


def _numbers(data: Any, dtype: DType | None) -> HostArray:
    """A host array of nested Python numbers, in the dtype torch would infer."""
    data = _without_tensors(data)
    if dtype is None:
        array = _gathered(data)
        if array.size == 0 and not isinstance(data, (np.ndarray, np.generic)):
            return array.astype(settings.default_dtype.numpy)
        if isinstance(data, (np.ndarray, np.generic)) or _holds_numpy(data):
            return array
        if array.dtype.kind == "f":
            return array.astype(settings.default_dtype.numpy)
        if array.dtype.kind == "c":
            return array.astype(settings.default_complex.numpy)
        if array.dtype.kind == "u":
            raise error(
                RuntimeError, "tensor", "Overflow when unpacking long", given=str(data)[:60]
            )
        return array
    array = _gathered(data)
    if array.dtype.kind == "c" and not dtype.is_complex:
        raise error(
            TypeError, "tensor", f"can't convert complex numbers to {dtype}", given=str(data)[:60]
        )
    return convert(array, dtype)


def _gathered(data: Any) -> HostArray:
    """A host array of nested numbers in NumPy's dtype."""
    try:
        array = np.array(data)
    except ValueError as raised:  # sequences of unequal length
        raise _bad_data(data) from raised
    if array.dtype.kind in "OUSMm":
        raise _bad_data(data)
    return array


def convert(array: HostArray, dtype: DType) -> HostArray:
    """A host array in another dtype, rounding once and without warnings."""
    if array.dtype == dtype.numpy:
        return array
    if dtype is _dtypes.bool_:
        return np.not_equal(array, 0)
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and not dtype.is_complex:
            array = array.real
        return array.astype(dtype.numpy)


def _holds_numpy(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic))


def _without_tensors(data: Any) -> Any:
    """Nested sequences with tensors replaced by their values."""
    if isinstance(data, Tensor):
        return to_host(data.detach())
    if isinstance(data, (list, tuple)):
        if any(isinstance(item, (list, tuple, Tensor)) for item in data):
            return [_without_tensors(item) for item in data]
        return list(data)
    return data


def _bad_data(data: Any) -> Exception:
    if isinstance(data, (list, tuple)):
        lengths = {len(item) for item in data if hasattr(item, "__len__")}
        if len(lengths) > 1:
            return error(
                ValueError,
                "tensor",
                f"expected sequences of equal length, got lengths {sorted(lengths)}",
                given=str(data)[:60],
            )
    return error(
        TypeError,
        "tensor",
        f"can't make a tensor of {type(data).__name__}: {str(data)[:60]}",
        expected="numbers, nested sequences of numbers, or arrays",
    )


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Makes a tensor with a copy of data.

    Args:
        data: A number, nested sequences of numbers, a NumPy array, or a tensor.
        dtype: By default what the data suggest; Python floats give the default dtype.
        device: By default the current default device.
        requires_grad: Starts recording on the tensor.
        pin_memory: The tensor lies in host memory that the accelerator reads by itself.
    Raises:
        ValueError: Sequences of unequal length.
        TypeError: Something that is not a number.
    Example:
        >>> rushlight.tensor([[1.0, 2.0], [3.0, 4.0]])
        tensor([[1., 2.],
                [3., 4.]])
    """
    if data.__class__ is float and dtype is None:  # the commonest number, straight on
        kind = kind_of(placed(device), settings.default_dtype)
        if not kind.is_meta:
            made = fresh(kind, kind.runtime.from_host(np.array(data, kind.host)))
            return made.requires_grad_(True) if requires_grad else made
    if isinstance(data, Tensor):
        made = data.detach().clone()
        if dtype is not None or device is not None:
            made = made.to(device=device, dtype=dtype)
    else:
        made = from_host(np.array(_numbers(data, dtype)), placed(device), copy=False)
    if pin_memory:
        made = made.pin_memory()
    return made.requires_grad_(True) if requires_grad else made


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of data, without a copy where the data allow it.

    Example:
        >>> import numpy
        >>> rushlight.as_tensor(numpy.array([1, 2]))
        tensor([1, 2])
    """
    if isinstance(data, Tensor):
        return data.to(device=device or data.device, dtype=dtype or data.dtype)
    if isinstance(data, np.ndarray):
        array = data if dtype is None else convert(data, dtype)
        return from_host(array, placed(device), copy=any(s < 0 for s in array.strides))
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: HostArray) -> Tensor:
    """A tensor that shares the memory of a NumPy array.

    Raises:
        TypeError: Not an array, or a dtype that tensors do not have.
        ValueError: Negative strides.
    Example:
        >>> import numpy
        >>> rushlight.from_numpy(numpy.zeros(2))
        tensor([0., 0.], dtype=rushlight.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise error(
            TypeError,
            "from_numpy",
            f"expected numpy.ndarray, got {type(ndarray).__name__}",
            fix="use rushlight.as_tensor(...) for other data",
        )
    if any(step < 0 for step in ndarray.strides):
        raise error(
            ValueError,
            "from_numpy",
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported",
            fix="make a copy of the array with array.copy()",
        )
    return from_host(ndarray, Device("cpu"), copy=False)


def legacy_tensor(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """`Tensor(2, 3)`, `Tensor([1, 2])`, `Tensor()`: the default dtype, on the CPU or `device=`."""
    device = kwargs.pop("device", None)
    if kwargs:
        raise error(
            TypeError, "Tensor", f"unexpected keyword arguments {sorted(kwargs)}",
            fix="use rushlight.tensor(data, dtype=...)",
        )  # fmt: skip
    dtype = settings.default_dtype
    if len(args) == 1 and isinstance(args[0], Tensor):
        made = args[0].detach()
    elif len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        if data.__class__.__name__ == "Size":
            made = from_host(np.zeros(tuple(data), dtype.numpy), placed(device), copy=False)
        else:
            made = tensor(data, dtype=dtype, device=device)
    else:
        made = from_host(np.zeros(args or (0,), dtype.numpy), placed(device), copy=False)
    return made if cls is Tensor else made.as_subclass(cls)
