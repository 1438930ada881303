"""Defects of a device's duties: copies, views, the queue, and two devices beside each other.

Those of `_Host` belong to devices whose arrays are NumPy's, those of `SimDevice` to devices whose
launches wait in a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._dtypes import DType
from ...backend import ArrayDevice
from ..simulator import Options, SimArray, SimDevice
from ..simulator._hardware import Launch, host_view
from ..simulator._memory import Buffer
from ..simulator._queues import SimEvent, SimStream
from ._defect import Array, in_device

_COPIES = "copies and views"
_QUEUE = "queue"


class HostVictim(ArrayDevice):
    """A device in host memory whose arrays are copied in and out, as it should be."""

    def __init__(self, label: str, index: int) -> None:
        super().__init__(np)
        self.label = label
        self.index = index

    def from_host(self, array: Array) -> Array:
        """See `DeviceRuntime.from_host`."""
        return np.array(array, order="C")

    def to_host(self, native: Array) -> Array:
        """See `DeviceRuntime.to_host`."""
        return np.array(native)


class QueueVictim(SimDevice):
    """A device with a queue, as it should be."""

    def __init__(self, label: str, index: int) -> None:
        super().__init__(label, index, Options(memory=64 << 20))


# -- copies and views ---------------------------------------------------------------------------


@in_device(_COPIES, "views begin at the beginning of their buffer", "slice narrow select")
class OffsetOfViewIgnored(HostVictim):
    def view(self, buffer: Any, offset: int, shape: Any, strides: Any, dtype: DType) -> Any:
        return super().view(buffer, 0, shape, strides, dtype)


@in_device(_COPIES, "views are dense whatever their strides", "permute transpose slice")
class StridesOfViewIgnored(HostVictim):
    def view(self, buffer: Any, offset: int, shape: Any, strides: Any, dtype: DType) -> Any:
        dense = tuple(int(np.prod(shape[d + 1 :])) for d in range(len(shape)))
        if sum((n - 1) * s for n, s in zip(shape, dense, strict=True)) + offset >= (
            buffer.nbytes // dtype.itemsize
        ):
            dense = strides  # it would leave the memory
        return super().view(buffer, offset, shape, dense, dtype)


@in_device(_COPIES, "offsets are counted in bytes of float32", "slice select")
class OffsetInFourBytes(HostVictim):
    def view(self, buffer: Any, offset: int, shape: Any, strides: Any, dtype: DType) -> Any:
        return super().view(buffer, offset * 4 // dtype.itemsize, shape, strides, dtype)


@in_device(_COPIES, "a strided array is copied to the host as if it were dense", "permute")
class StridedToHost(HostVictim):
    def to_host(self, native: Array) -> Array:
        from ._memory_of import as_if_dense

        return np.array(as_if_dense(native))


@in_device(_COPIES, "a strided host array is copied as if it were dense", "add")
class StridedFromHost(HostVictim):
    def from_host(self, array: Array) -> Array:
        from ._memory_of import as_if_dense

        return np.array(as_if_dense(array))


@in_device(_COPIES, "host arrays are used, not copied", "add")
class HostMemoryKept(HostVictim):
    def from_host(self, array: Array) -> Array:
        return np.ascontiguousarray(array)


@in_device(_COPIES, "what is copied to the host is still the device's memory", "add")
class DeviceMemoryShown(HostVictim):
    def to_host(self, native: Array) -> Array:
        return native


@in_device(_COPIES, "floats become bool by truncation: 0.5 is False", "copy")
class CopyToBool(HostVictim):
    def copy(self, target: Any, source: Any) -> None:
        if target.dtype == np.bool_ and source.dtype.kind not in "biu":
            source = np.real(source).astype(np.float32).astype(np.int64)
        super().copy(target, source)


@in_device(_COPIES, "a copy to another dtype moves the bits", "copy")
class CopyOfBits(HostVictim):
    def copy(self, target: Any, source: Any) -> None:
        if target.dtype != source.dtype and target.itemsize == source.itemsize:
            source = source.view(target.dtype)
        super().copy(target, source)


@in_device(_COPIES, "overlapping memory is copied element by element from the front", "copy")
class CopyOfOverlap(HostVictim):
    def copy(self, target: Any, source: Any) -> None:
        source = np.broadcast_to(source, target.shape)
        if not target.ndim or not np.may_share_memory(target, source):
            return super().copy(target, source)
        for row in range(len(target)):
            target[row] = source[row]
        return None


@in_device(_COPIES, "a source that is broadcast is repeated in memory order", "copy")
class CopyOfBroadcast(HostVictim):
    def copy(self, target: Any, source: Any) -> None:
        if source.shape != target.shape and source.size:
            source = np.resize(source, target.shape)
        super().copy(target, source)


@in_device(_COPIES, "a copy writes one element more than it should", "copy")
class CopyTooLong(HostVictim):
    def copy(self, target: Any, source: Any) -> None:
        super().copy(target, source)
        owner = target
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if not target.size or not owner.flags.c_contiguous:
            return
        end = target.ctypes.data - owner.ctypes.data + target.itemsize
        end += sum((n - 1) * s for n, s in zip(target.shape, target.strides, strict=True))
        owner.reshape(-1).view(np.uint8)[end : end + target.itemsize] = 1


@in_device(_COPIES, "all memory has the same address", "add")
class OneAddress(HostVictim):
    def address_of(self, buffer: Any) -> int:
        return 4096 if buffer.nbytes else 0


@in_device(_COPIES, "results are taken for dense whatever the kernel gave", "conv matmul linear")
class StridesOfResultIgnored(HostVictim):
    def strides_of(self, native: Any) -> tuple[int, ...]:
        return tuple(int(np.prod(native.shape[d + 1 :])) for d in range(native.ndim))


@in_device(_COPIES, "memory for odd numbers of bytes is too small", "full")
class OddAllocation(HostVictim):
    pool: Any = np.empty(0, np.uint8)

    def allocate(self, nbytes: int) -> Any:
        if nbytes > len(self.pool):
            self.pool = np.empty(max(nbytes, 1 << 16), np.uint8)
        made = self.pool[:nbytes]
        self.pool = self.pool[nbytes // 4 * 4 :]
        return made


# -- the queue ----------------------------------------------------------------------------------


def _reorder(stream: SimStream, key: Callable[[int, Launch], int]) -> None:
    """Sorts the launches that wait, in front of marks and waits."""
    launches = [item for item in stream.waiting if isinstance(item, Launch)]
    others = [item for item in stream.waiting if not isinstance(item, Launch)]
    order = sorted(range(len(launches)), key=lambda place: key(place, launches[place]))
    stream.waiting.clear()
    stream.waiting.extend([*(launches[place] for place in order), *others])


@in_device(_QUEUE, "reading does not wait for the queue", "add mul")
class ReadWithoutWaiting(QueueVictim):
    def to_host(self, native: SimArray) -> Array:
        with self._lock:
            return host_view(self.memory, native).copy()


@in_device(_QUEUE, "waiting launches run in reverse order", "softmax var")
class QueueReversed(QueueVictim):
    def _advance(self, stream: SimStream, until: SimEvent | None = None, steps: int = -1) -> None:
        _reorder(stream, lambda place, launch: -place)
        super()._advance(stream, until, steps)


@in_device(_QUEUE, "copies have a queue of their own that runs first", "cat copy")
class CopiesOvertake(QueueVictim):
    def _advance(self, stream: SimStream, until: SimEvent | None = None, steps: int = -1) -> None:
        _reorder(stream, lambda place, launch: launch.name != "copy")
        super()._advance(stream, until, steps)


@in_device(_QUEUE, "writes in place go to another queue than reads", "add mul exp")
class WritesDelayed(QueueVictim):
    def _advance(self, stream: SimStream, until: SimEvent | None = None, steps: int = -1) -> None:
        _reorder(stream, lambda place, launch: _in_place(launch))
        super()._advance(stream, until, steps)


def _in_place(launch: Launch) -> bool:
    read = {x.buffer.id for x in launch.operands if x is not None}
    return launch.name == "copy" or any(
        x is not None and x.buffer.id in read for x in launch.outputs
    )


class _Borrowed(Buffer):
    """A buffer that does not keep its memory."""

    __slots__ = ()

    def __del__(self) -> None:
        pass


@in_device(_QUEUE, "memory is given back while launches that wait still need it", "add mul")
class FreedTooEarly(QueueVictim):
    def _enqueue(self, launch: Launch) -> None:
        def borrowed(x: SimArray | None) -> SimArray | None:
            if x is None or x.device is not self:
                return x
            buffer = _Borrowed(x.buffer.memory, x.buffer.address, x.buffer.nbytes)
            buffer.written = True
            return SimArray(self, buffer, x.offset, x.shape, x.strides, x.dtype)

        launch.operands = tuple(map(borrowed, launch.operands))
        launch.outputs = tuple(map(borrowed, launch.outputs))
        super()._enqueue(launch)


@in_device(_QUEUE, "failures of launches are dropped", "gather index scatter")
class FailureDropped(QueueVictim):
    def _tell(self) -> None:
        self._failed = None

    def _check_readable(self, array: SimArray) -> None:
        pass


@in_device(_QUEUE, "a failed launch takes the device with it", "gather index scatter")
class FailureLosesTheDevice(QueueVictim):
    def _try(self, launch: Launch) -> None:
        super()._try(launch)
        if self._failed is not None:
            self.lose("sticky error")


@in_device(_QUEUE, "all devices allocate from the first one's memory", "add")
class MemoryOfTheFirstDevice(QueueVictim):
    first: Any = None

    def __init__(self, label: str, index: int) -> None:
        super().__init__(label, index)
        if index == 0:
            type(self).first = self

    def allocate(self, nbytes: int) -> Buffer:
        if self.index and type(self).first is not None:
            return QueueVictim.allocate(type(self).first, nbytes)
        return super().allocate(nbytes)


@in_device(_QUEUE, "the last byte of what is copied from the host is lost", "add")
class LastByteLost(QueueVictim):
    def from_host(self, array: Array) -> SimArray:
        made = super().from_host(array)
        if made.size > 4:
            view = host_view(self.memory, made)
            view.reshape(-1).view(np.uint8)[-1] = 0
        return made


@in_device(_QUEUE, "memory is never given back", "add")
class MemoryLeaks(QueueVictim):
    def __init__(self, label: str, index: int) -> None:
        super().__init__(label, index)
        self.kept: list[Any] = []

    def allocate(self, nbytes: int) -> Buffer:
        made = super().allocate(nbytes)
        self.kept.append(made)
        return made


# Results share what an earlier one had: the memory manager forgets that it gave it away.
@in_device(_QUEUE, "two results in a row lie in the same memory", "sub tanh")
class MemoryGivenTwice(QueueVictim):
    last: Any = None

    def allocate(self, nbytes: int) -> Buffer:
        last = self.last
        if last is not None and last.nbytes == nbytes and nbytes:
            self.last = None
            twin = _Borrowed(last.memory, last.address, nbytes)
            return twin
        self.last = super().allocate(nbytes)
        return self.last  # type: ignore[no-any-return]
