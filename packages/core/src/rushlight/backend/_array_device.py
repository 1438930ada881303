"""`ArrayDevice`: all device duties for a NumPy-like module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .._dtypes import DType


class ArrayDevice:
    """Device duties by means of an array module with strided arrays.

    Native arrays are the module's own; a buffer is a flat array of bytes.

    Args:
        xp: The module, such as `numpy`.
    """

    infers_shapes = True

    def __init__(self, xp: Any = np) -> None:
        self.xp = xp
        self.array_type: type = xp.ndarray

    def allocate(self, nbytes: int) -> Any:
        """See `DeviceRuntime.allocate`."""
        return self.xp.empty(nbytes, self.xp.uint8)

    def view(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> Any:
        """See `DeviceRuntime.view`."""
        size = dtype.itemsize
        if 0 in shape:
            return self.xp.empty(shape, dtype.numpy)
        return self.xp.ndarray(
            shape, dtype.numpy, buffer, offset * size, [step * size for step in strides]
        )

    def buffer_of(self, native: Any) -> Any:
        """See `DeviceRuntime.buffer_of`."""
        size = native.itemsize
        if native.size == 0:
            return self.xp.empty(0, self.xp.uint8)
        if native.flags.c_contiguous:
            return native.reshape(-1).view(self.xp.uint8)
        span = 1 + sum(
            (n - 1) * (s // size) for n, s in zip(native.shape, native.strides, strict=True)
        )
        return as_strided(native, (span,), (size,)).view(self.xp.uint8)

    def shape_of(self, native: Any) -> tuple[int, ...]:
        """See `DeviceRuntime.shape_of`."""
        shape: tuple[int, ...] = native.shape
        return shape

    def strides_of(self, native: Any) -> tuple[int, ...]:
        """See `DeviceRuntime.strides_of`."""
        size = native.itemsize
        return tuple([step // size for step in native.strides])

    def nbytes_of(self, buffer: Any) -> int:
        """See `DeviceRuntime.nbytes_of`."""
        return int(buffer.nbytes)

    def address_of(self, buffer: Any) -> int:
        """See `DeviceRuntime.address_of`."""
        return int(buffer.ctypes.data) if buffer.nbytes else 0

    def wrap(self, result: Any, dtype: DType) -> Any:
        """See `DeviceRuntime.wrap`."""
        return self.xp.asarray(result, dtype.numpy)

    def copy(self, target: Any, source: Any) -> None:
        """See `DeviceRuntime.copy`."""
        if source.dtype.kind == "c" and target.dtype.kind != "c":
            source = source.real if target.dtype.kind != "b" else source != 0
        target[...] = source

    def from_host(self, array: np.ndarray[Any, Any]) -> Any:
        """See `DeviceRuntime.from_host`."""
        return self.xp.array(array)

    def to_host(self, native: Any) -> np.ndarray[Any, Any]:
        """See `DeviceRuntime.to_host`."""
        host: np.ndarray[Any, Any] = native
        return host

    def synchronize(self) -> None:
        """See `DeviceRuntime.synchronize`."""
