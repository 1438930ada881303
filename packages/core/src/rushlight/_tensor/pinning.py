"""Pinned tensors: host memory that an accelerator reads by itself, and copies that use it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .._device import device as Device
from .._errors import OutOfMemoryError, error
from ..backend import Kind, kind_of
from ..backend._accelerators import accelerator_type, no_accelerator, place_of, runtime_at
from ..backend._duties import has_duty

if TYPE_CHECKING:
    from .tensor import Tensor

HostArray = np.ndarray[Any, Any]
#: Pinned arrays that are alive, by `id`.
_pinned: dict[int, weakref.ref[HostArray]] = {}


def _owner(array: Any) -> Any:
    """The array at the end of a chain of views."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def is_pinned_array(array: Any) -> bool:
    """Whether an array is a view of memory that a device pinned."""
    if not _pinned or not isinstance(array, np.ndarray):
        return False
    owner = _owner(array)
    found = _pinned.get(id(owner))
    return found is not None and found() is owner


def pinned_copy(x: Tensor, device: Any = None) -> Tensor:
    """A copy of a tensor in host memory that a device reads by itself; recorded.

    Where the device has no such memory, and where `x` lies in it, `x` itself.

    Raises:
        RuntimeError: `x` is not in host memory, or there is no accelerator.
    """
    from .tensor import contiguous_strides, fresh

    if not x.is_cpu:
        raise error(
            RuntimeError,
            "pin_memory",
            f"cannot pin '{x.dtype}': only dense CPU tensors can be pinned",
            given=f"x on {x.device}",
            fix="call cpu() first",
        )
    if device is None and accelerator_type() is None:
        raise no_accelerator()
    runtime = runtime_at(place_of(device))
    if not has_duty(runtime, "pinned memory") or x.is_pinned():
        return x
    memory = runtime.pinned(max(x.nbytes, 1))
    owner = _owner(memory)
    key = id(owner)
    _pinned[key] = weakref.ref(owner, lambda gone: _pinned.pop(key, None) and None)
    kind = kind_of(Device("cpu"), x.dtype)
    shape = tuple(x.shape)
    array = memory[: x.nbytes].view(x.dtype.numpy).reshape(shape)
    made = fresh(kind, array)
    assert contiguous_strides(shape) == made.stride()
    return made.copy_(x)


def uploaded(kind: Kind, array: HostArray, *, late: bool = False) -> Any:
    """A native array of a host array's values.

    Args:
        kind: Where it goes.
        array: The values.
        late: The copy may be made when the device gets to it, from pinned memory.
    Raises:
        OutOfMemoryError: The device has not enough memory.
    """
    runtime: Any = kind.runtime
    try:
        if late and is_pinned_array(array) and array.flags.c_contiguous and array.size:
            if has_duty(runtime, "late copies"):
                return runtime.from_host_async(array)
        return runtime.from_host(array)
    except MemoryError as raised:
        raise error(
            OutOfMemoryError,
            f"device '{kind.device}'",
            f"out of memory for {array.nbytes} bytes from the host"
            + (f": {raised}" if str(raised) else ""),
            fix="use smaller batches, or delete tensors that are not needed any more",
        ) from raised


def carried(x: Tensor, kind: Kind, *, late: bool = False) -> Any:
    """A native array on another device with the values of a tensor."""
    from .tensor import native_of

    here, there = x._k.runtime, kind.runtime
    if x._k.backend is kind.backend and has_duty(there, "peer copy"):
        return there.copy_from_peer(native_of(x), here)  # type: ignore[attr-defined]
    return uploaded(kind, here.to_host(native_of(x)), late=late)
