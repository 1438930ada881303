"""`SimArray`: what the core holds of a tensor on a simulated device; it has no data to look at."""

from __future__ import annotations

from typing import Any, NoReturn

from ..._dtypes import DType
from ..._errors import error
from ._memory import Buffer


class SimArray:
    """A strided array in device memory.

    Attributes:
        buffer: The memory it lies in.
        offset: Byte of the buffer at which the first element lies.
        shape, strides: Sizes, and steps in elements.
        dtype: Type of the elements.
        device: The device.
    """

    __slots__ = ("buffer", "device", "dtype", "offset", "shape", "strides")

    def __init__(
        self,
        device: Any,
        buffer: Buffer,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> None:
        self.device = device
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    def extent(self) -> tuple[int, int]:
        """First byte and the byte after the last, within the buffer."""
        if not self.size:
            return self.offset, self.offset
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        size = self.dtype.itemsize
        low = self.offset + size * sum(step for step in steps if step < 0)
        return low, self.offset + size * (1 + sum(step for step in steps if step > 0))

    def __repr__(self) -> str:
        return (
            f"<{self.dtype.name} of shape {self.shape} in buffer {self.buffer.id} of {self.device}>"
        )

    # NumPy would otherwise wrap the object in an array of objects, and go on.
    def __array__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise error(
            TypeError,
            "simulator",
            "device memory can't be read by the host",
            given=repr(self),
            fix="copy it with the runtime's to_host",
        )

    __array_ufunc__ = None
