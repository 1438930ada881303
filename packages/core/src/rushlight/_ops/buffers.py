"""Tensors over the data of others: arrays, buffers, sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._dtypes import DType
from .._errors import error
from .._layout import strided
from .._registered import operators
from .._tensor.construction import from_host, placed, tensor
from .._tensor.tensor import Tensor
from ._making import finished, kind_like
from ._public import public


@public(function=False)
def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = strided,
    pin_memory: bool = False,
) -> Tensor:
    """`rushlight.tensor` of data, with this tensor's dtype and device."""
    kind = kind_like(self, dtype, device)
    return tensor(data, dtype=kind.dtype, device=kind.device, requires_grad=requires_grad)


@public(methods=False)
def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of a tensor, an array, a buffer, a number or nested sequences.

    Args:
        obj: The data.
        dtype: Another dtype.
        device: Another device.
        copy: True always copies, False never, None where it must.
        requires_grad: Starts recording on the tensor.
    Raises:
        ValueError: `copy=False`, and the data can't be used as they are.
    Example:
        >>> rushlight.asarray([1, 2])
        tensor([1, 2])
    """
    if isinstance(obj, Tensor):
        made = _as_asked(obj, dtype, device, copy)
        if not requires_grad and made.requires_grad:
            made = made.detach()
        return made.requires_grad_(True) if requires_grad and made.is_leaf else made
    shared: Any = None
    if isinstance(obj, np.ndarray):
        shared = obj
    elif hasattr(obj, "__dlpack__"):
        shared = np.from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)) or hasattr(obj, "__buffer__"):
        shared = np.frombuffer(obj, np.float32 if dtype is None else dtype.numpy)
    if shared is None:
        if copy is False:
            raise error(
                ValueError, "asarray", "can't alias arbitrary sequence into a tensor",
                given=type(obj).__name__, fix="leave copy= out",
            )  # fmt: skip
        return finished(tensor(obj, dtype=dtype, device=device), requires_grad)
    made = _as_asked(from_host(shared, placed(None), copy=False), dtype, device, copy)
    return finished(made, requires_grad)


def _as_asked(x: Tensor, dtype: DType | None, device: Any, copy: bool | None) -> Tensor:
    kind = kind_like(x, dtype, device)
    if kind is not x._k:
        if copy is False:
            raise error(
                ValueError, "asarray", f"can't alias {x.dtype} on {x.device} as {kind.dtype} on "
                f"{kind.device}", fix="leave copy= out",
            )  # fmt: skip
        return operators["to_kind"].function(x, kind)  # type: ignore[no-any-return]
    return operators["clone"](x) if copy else x


@public(methods=False)
def frombuffer(
    buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-d tensor over the memory of an object with the buffer protocol, without a copy.

    Args:
        buffer: The object.
        dtype: How to read the bytes.
        count: Number of elements, -1 for all.
        offset: Bytes to skip.
        requires_grad: Starts recording on the tensor.
    Raises:
        ValueError: The buffer is too small.
    Example:
        >>> rushlight.frombuffer(bytearray([1, 2, 3]), dtype=rushlight.uint8)
        tensor([1, 2, 3], dtype=rushlight.uint8)
    """
    size = memoryview(buffer).nbytes
    if size == 0 or count == 0:
        raise error(
            ValueError, "frombuffer", f"both buffer length ({size}) and count ({count}) must not "
            "be 0",
        )  # fmt: skip
    if not 0 <= offset < size:
        raise error(
            ValueError, "frombuffer", f"offset ({offset} bytes) must be non-negative and no "
            f"greater than buffer length ({size} bytes) minus 1",
        )  # fmt: skip
    left = size - offset
    if count < 0 and left % dtype.itemsize:
        raise error(
            ValueError, "frombuffer", f"buffer length ({left} bytes) after offset ({offset} bytes) "
            f"must be a multiple of element size ({dtype.itemsize})",
        )  # fmt: skip
    if count > 0 and count * dtype.itemsize > left:
        raise error(
            ValueError, "frombuffer", f"requested buffer length ({count} * {dtype.itemsize} bytes) "
            f"after offset ({offset} bytes) must not be greater than actual buffer length ({size} "
            "bytes)",
        )  # fmt: skip
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    return finished(from_host(array, placed("cpu"), copy=False), requires_grad)
