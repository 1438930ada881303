"""`DeviceArray`: the native array of the kernel-language family, a buffer with its geometry."""

from __future__ import annotations

from typing import Any, NoReturn

from ..._dtypes import DType
from ..._errors import error


class DeviceArray:
    """A strided array in device memory.

    Attributes:
        device: The runtime it belongs to, which is also what launches kernels.
        buffer: The memory, in the launcher's terms; None for a number that is still on the host.
        offset: Place of the first element, in elements.
        shape, strides: Sizes, and steps in elements.
        dtype: Type of the elements.
        size: Number of elements.
        dense: Elements follow each other in row-major order.
        value: The number, while there is no buffer. Kernels take it as an argument; `settled`
            gives it memory.
    """

    __slots__ = (
        "buffer",
        "dense",
        "device",
        "dtype",
        "offset",
        "shape",
        "size",
        "strides",
        "value",
    )

    def __init__(
        self,
        device: Any,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
        size: int,
        dense: bool,
        value: Any = None,
    ) -> None:
        self.device = device
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.size = size
        self.dense = dense
        self.value = value

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    def settled(self) -> DeviceArray:
        """The array itself, with memory."""
        if self.buffer is None:
            self.device.settle(self)
        return self

    def geometry(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> DeviceArray:
        """Another view of the same memory; `offset` is added to the array's own."""
        self.settled()
        size = 1
        for n in shape:
            size *= n
        return DeviceArray(
            self.device, self.buffer, self.offset + offset, shape, strides, self.dtype, size,
            is_dense(shape, strides),
        )  # fmt: skip

    def reshaped(self, shape: tuple[int, ...]) -> DeviceArray:
        """A dense array under another shape, a copy of one that is not dense."""
        x = self if self.dense else self.device.dense(self)
        return x.geometry(shape, row_major(shape), 0)

    def __repr__(self) -> str:
        return f"<{self.dtype.name} of shape {self.shape} on {self.device!r}>"

    # NumPy would otherwise wrap the object in an array of objects, and go on.
    def __array__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise error(
            TypeError,
            "device array",
            "device memory can't be read by the host",
            given=repr(self),
            fix="copy it with the runtime's to_host",
        )

    __array_ufunc__ = None


def note_bounds(x: DeviceArray, low: int, high: int) -> None:
    """Notes on an array's memory that whole numbers from `low` to `high` have been put there.

    What is noted costs nothing to look at, unlike the numbers: it tells a bad index before any
    kernel has run.  It may be out of date, so it is a reason to look closer, and no more.
    """
    try:
        x.buffer.bounds = (low, high)
    except AttributeError:  # the launcher's buffers take no notes
        pass


def keep_bounds(out: DeviceArray, x: DeviceArray) -> None:
    """Notes for numbers that were taken from `x` what is noted there."""
    noted = getattr(x.buffer, "bounds", None)
    if noted is not None:
        out.buffer.bounds = noted


def beyond(x: DeviceArray, low: int, high: int, ignored: int | None = None) -> bool:
    """What is noted of an array's numbers goes below `low` or above `high`."""
    noted = getattr(x.buffer, "bounds", None)
    if noted is None:
        return False
    return bool((noted[0] < low and noted[0] != ignored) or noted[1] > high)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a dense array.

    Example:
        >>> from rushlight.backend.codegen import row_major
        >>> row_major((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(strides[::-1])


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements follow each other in row-major order."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if s != step:
                return n == 0 or 0 in shape
            step *= n
    return True


def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes broadcast to.

    Raises:
        ValueError: They do not fit; the core finds the words.
    """
    rank = max(map(len, shapes))
    out = []
    for d in range(-rank, 0):
        size = 1
        for shape in shapes:
            n = shape[d] if len(shape) >= -d else 1
            if n != 1:
                if size not in (1, n):
                    raise ValueError(f"shapes {shapes} do not broadcast")
                size = n
        out.append(size)
    return tuple(out)


def broadcast_strides(x: DeviceArray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an array that is broadcast to a shape."""
    missing = len(shape) - len(x.shape)
    return (0,) * missing + tuple(
        [0 if n == 1 else s for n, s in zip(x.shape, x.strides, strict=True)]
    )


def coalesced(
    shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> tuple[list[int], list[list[int]]]:
    """The fewest dimensions that the same walk through memory has, innermost first.

    Args:
        shape: Sizes, outermost first.
        strides: For each operand its steps.

    Returns:
        Sizes, and steps per operand.
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d in range(len(shape) - 1, -1, -1):
        n = shape[d]
        if n == 1:
            continue
        if sizes and all(
            operand[d] == mine[-1] * sizes[-1] for operand, mine in zip(strides, steps, strict=True)
        ):
            sizes[-1] *= n
            continue
        sizes.append(n)
        for operand, mine in zip(strides, steps, strict=True):
            mine.append(operand[d])
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, steps
