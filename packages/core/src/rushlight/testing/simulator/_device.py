"""A simulated device: its duties towards the core, and the queue of launches behind them."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

from ..._dtypes import DType, from_numpy_dtype
from ..._errors import Explained, OutOfMemoryError, error
from ..._registered import operators
from ..._tensor.tensor import contiguous_strides
from ...backend import refill
from ._array import SimArray
from ._hardware import HostArray, Launch, execute, host_view
from ._memory import Buffer, Memory
from ._options import Faults, Options
from ._queues import Clock, SimEvent, SimStream, Wait, check_ordered, joined, note_accesses

_PACKAGE = __name__.partition(".")[0]
#: Where the addresses of device 0 begin, and how far apart those of two devices are: none is an
#: address of the host.
_BASE = 1 << 60


class SimDevice:
    """One simulated device.

    Launches wait in queues, one for each stream, and run when somebody reads, when the queue is
    full, or when memory gets scarce.  A launch that fails is reported at the next such
    point; its results can't be read, and the device goes on.

    Args:
        name: Device type.
        index: Which device of the type.
        options: What it is like; may be replaced at any time.
    """

    infers_shapes = False
    array_type = SimArray

    def __init__(self, name: str, index: int, options: Options) -> None:
        self.label = f"{name}:{index}"
        self.index = index
        self.options = options
        self.memory = Memory(options.memory)
        self.faults = Faults()
        self.lost: str | None = None
        self.launches = 0
        self.uploads = self.peer_copies = 0
        self._streams = [SimStream(default=True)]
        self._host: Clock = {}
        self._current = threading.local()
        self._listeners: list[Callable[[str, float, float], None]] = []
        self._failed: Exception | None = None
        self._lock = RLock()

    def __repr__(self) -> str:
        return self.label

    # -- memory --------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Buffer:
        """See `DeviceRuntime.allocate`."""
        with self._lock:
            self._check_present()
            if self.faults.struck("allocate") is None:
                found = self._found(nbytes)
                if found is not None:
                    return found
            raise self._exhausted(nbytes)

    def _found(self, nbytes: int) -> Buffer | None:
        strict = self.options.strict
        found = self.memory.allocate(nbytes, poison=strict)
        if found is None:
            # Waiting launches and cycles of dead objects hold memory that nobody needs any more.
            self._drain()
            gc.collect()
            found = self.memory.allocate(nbytes, poison=strict)
        return found

    def _exhausted(self, nbytes: int) -> Exception:
        memory = self.memory
        return error(
            OutOfMemoryError,
            "allocate",
            f"device '{self.label}' is out of memory: tried to allocate {nbytes} bytes",
            given=f"{memory.in_use} of {memory.capacity} bytes in use, "
            f"largest gap {memory.largest_gap()} bytes",
            fix="use smaller batches, or delete tensors that are not needed any more",
        )

    def view(
        self,
        buffer: Buffer,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> SimArray:
        """See `DeviceRuntime.view`."""
        if buffer.memory is not self.memory:
            raise self._foreign(buffer)
        return SimArray(self, buffer, offset * dtype.itemsize, tuple(shape), tuple(strides), dtype)

    def buffer_of(self, native: SimArray) -> Buffer:
        """See `DeviceRuntime.buffer_of`."""
        self._check_own(native)
        if native.offset:
            raise error(
                RuntimeError,
                "simulator",
                "a kernel's result does not begin at the beginning of its buffer",
                given=repr(native),
            )
        return native.buffer

    def shape_of(self, native: SimArray) -> tuple[int, ...]:
        """See `DeviceRuntime.shape_of`."""
        return native.shape

    def strides_of(self, native: SimArray) -> tuple[int, ...]:
        """See `DeviceRuntime.strides_of`."""
        return native.strides

    def nbytes_of(self, buffer: Buffer) -> int:
        """See `DeviceRuntime.nbytes_of`."""
        return buffer.nbytes

    def address_of(self, buffer: Buffer) -> int:
        """See `DeviceRuntime.address_of`."""
        return (self.index + 1) * _BASE + buffer.address if buffer.nbytes else 0

    def wrap(self, result: Any, dtype: DType) -> SimArray:
        """See `DeviceRuntime.wrap`."""
        return self.from_host(np.asarray(result, dtype.numpy))

    # -- moving --------------------------------------------------------------------------

    def from_host(self, array: HostArray) -> SimArray:
        """See `DeviceRuntime.from_host`."""
        dtype = from_numpy_dtype(array.dtype)
        strides = contiguous_strides(array.shape)
        with self._lock:
            made = self.view(self.allocate(array.nbytes), 0, array.shape, strides, dtype)
            # No launch that waits can use this memory: it was free until now.
            host_view(self.memory, made)[...] = array
            made.buffer.written = True
        return made

    def to_host(self, native: SimArray) -> HostArray:
        """See `DeviceRuntime.to_host`."""
        self._check_own(native)
        with self._lock:
            return self._settled(native).copy()

    def _settled(self, native: SimArray) -> HostArray:
        """The memory of an array, after all that the current stream does to it."""
        self._check_own(native)
        stream = self.current_stream()
        if self.options.strict:
            joined(stream.clock, self._host)
            check_ordered(native, False, stream, "copy to the host")
        self._finish(self._record(stream))
        self._check_readable(native)
        return host_view(self.memory, native)

    def from_host_async(self, array: HostArray) -> SimArray:
        """See `OptionalDuties.from_host_async`."""
        dtype = from_numpy_dtype(array.dtype)
        made = self.view(
            self.allocate(array.nbytes), 0, array.shape, contiguous_strides(array.shape), dtype
        )
        self.uploads += 1
        self._enqueue(Launch("upload", None, (), {"array": array}, (made,), _line()))
        return made

    def copy_from_peer(self, native: SimArray, peer: SimDevice) -> SimArray:
        """See `OptionalDuties.copy_from_peer`."""
        with peer._lock:
            values = np.ascontiguousarray(peer._settled(native))
        self.peer_copies += 1
        return self.from_host(values)

    def pinned(self, nbytes: int) -> HostArray:
        """See `OptionalDuties.pinned`; all host memory is alike to a simulation."""
        return np.empty(nbytes, np.uint8)

    def copy(self, target: SimArray, source: SimArray) -> None:
        """See `DeviceRuntime.copy`."""
        if not _broadcasts(source.shape, target.shape):
            raise ValueError(f"{source.shape} does not broadcast to {target.shape}")
        self._check_own(target)
        self._enqueue(Launch("copy", None, (source,), {}, (target,), _line()))

    # -- launches ------------------------------------------------------------------------

    def bind(self, name: str, kernel: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
        """A kernel loaded on this device: a call puts a launch into the queue.

        Without `out` the shapes of its results depend on data, so the device must catch up first.
        """
        makes_own = operators[name].meta_rule is None

        def launch(*operands: SimArray | None, out: Any = None, **attributes: Any) -> Any:
            several = isinstance(out, tuple)
            outputs = out if several else () if out is None else (out,)
            record = Launch(name, kernel, operands, attributes, outputs, _line(), several)
            if out is None:
                if not makes_own:
                    raise error(
                        RuntimeError, name, "the core gave no memory for the result",
                        expected="out=, because `infers_shapes` is False",
                    )  # fmt: skip
                return self._computed(record)
            self._enqueue(record)
            return None

        return launch

    def _enqueue(self, launch: Launch) -> None:
        with self._lock:
            self._check_present()
            for array in (*launch.operands, *launch.outputs):
                if array is not None:
                    self._check_own(array)
            stream = self.current_stream()
            if self.options.strict:
                note_accesses(launch, stream, self._host)
            stream.waiting.append(launch)
            if len(stream.waiting) >= self.options.queue:
                self._advance(stream)

    def _computed(self, launch: Launch) -> Any:
        """Results of a kernel that finds their shapes itself."""
        with self._lock:
            stream = self.current_stream()
            for x in launch.operands:
                if x is not None:
                    self._check_own(x)
            if self.options.strict:
                note_accesses(launch, stream, self._host)
            self._finish(self._record(stream))
            for x in launch.operands:
                if x is not None:
                    self._check_readable(x)
            self._before(launch)
            views = [None if x is None else host_view(self.memory, x) for x in launch.operands]
            results = launch.kernel(*views, **launch.attributes)
            if isinstance(results, tuple):
                return tuple(None if r is None else self.from_host(np.asarray(r)) for r in results)
            return self.from_host(np.asarray(results))

    def synchronize(self) -> None:
        """See `DeviceRuntime.synchronize`."""
        with self._lock:
            self._check_present()
            self._drain()
            for stream in self._streams:
                joined(self._host, stream.clock)
            self._tell()

    def _tell(self) -> None:
        """Raises the first failure since the last synchronisation."""
        self._check_present()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _drain(self) -> None:
        """Runs all that waits, the latest streams first: nobody may rely on another order."""
        for stream in sorted(self._streams, key=lambda s: (s.priority, -s.number)):
            self._advance(stream)

    def _advance(self, stream: SimStream, until: SimEvent | None = None, steps: int = -1) -> None:
        """Runs what waits in a queue, up to a mark or for some steps.

        It keeps the first failure for the next synchronisation and does not raise: the call that
        filled the queue has nothing to do with it.
        """
        while stream.waiting and steps and not (until is not None and until.done):
            item = stream.waiting.popleft()
            steps -= 1
            if isinstance(item, SimEvent):
                item.pass_by()
            elif isinstance(item, Wait):
                self._advance(item.event.stream, item.event)
            else:
                self._try(item)

    def _try(self, launch: Launch) -> None:
        try:
            self._run(launch)
        except Exception as raised:
            told = raised if isinstance(raised, Explained) else _explained(launch, raised)
            if told is not raised or not hasattr(told, "__notes__"):
                told.add_note(f"launched on {self.label} at {launch.line}")
            self._failed = self._failed or told
            for output in launch.outputs:
                # A write that did not happen leaves its target as it was.
                if output is not None and not output.buffer.written:
                    output.buffer.error = told

    # -- streams and events --------------------------------------------------------------

    def current_stream(self) -> SimStream:
        """The stream that this thread's launches go into."""
        found: SimStream = getattr(self._current, "stream", self._streams[0])
        return found

    def stream(self, priority: int = 0) -> SimStream:
        """See `OptionalDuties.stream`."""
        made = SimStream(priority)
        with self._lock:
            self._streams.append(made)
        return made

    @contextmanager
    def use_stream(self, stream: SimStream | None) -> Iterator[None]:
        """See `OptionalDuties.use_stream`."""
        before = self.current_stream()
        self._current.stream = stream or self._streams[0]
        try:
            yield
        finally:
            self._current.stream = before

    def stream_done(self, stream: SimStream | None) -> bool:
        """See `OptionalDuties.stream_done`; to be asked is what lets time pass."""
        with self._lock:
            queue = stream or self._streams[0]
            self._advance(queue, steps=1)
            return not queue.waiting

    def _record(self, stream: SimStream) -> SimEvent:
        event = SimEvent(stream, dict(stream.clock))
        if stream.waiting:
            stream.waiting.append(event)
        else:
            event.pass_by()
        return event

    def _finish(self, event: SimEvent) -> None:
        """Waits for a mark on the host, which then knows of all before it."""
        self._check_present()
        self._advance(event.stream, event)
        joined(self._host, event.clock)
        self._tell()

    def record_event(self, stream: SimStream | None = None) -> SimEvent:
        """See `OptionalDuties.record_event`."""
        with self._lock:
            return self._record(stream or self._streams[0])

    def wait_event(self, event: SimEvent, stream: SimStream | None = None) -> None:
        """See `OptionalDuties.wait_event`."""
        with self._lock:
            queue = stream or self._streams[0]
            joined(queue.clock, event.clock)
            queue.waiting.append(Wait(event))

    def event_done(self, event: SimEvent) -> bool:
        """See `OptionalDuties.event_done`; to be asked is what lets time pass."""
        with self._lock:
            self._advance(event.stream, event, steps=1)
            return event.done

    def synchronize_event(self, event: SimEvent) -> None:
        """See `OptionalDuties.synchronize_event`."""
        with self._lock:
            self._finish(event)

    def elapsed(self, start: SimEvent, end: SimEvent) -> float:
        """See `OptionalDuties.elapsed`."""
        self.synchronize_event(start)
        self.synchronize_event(end)
        return (end.at - start.at) * 1000

    # -- what it tells -------------------------------------------------------------------

    def describe(self) -> dict[str, str | int | float]:
        """See `OptionalDuties.describe`."""
        return {"name": "simulated device", "memory": self.memory.capacity}

    def memory_stats(self) -> dict[str, int]:
        """See `OptionalDuties.memory_stats`."""
        with self._lock:
            memory = self.memory
            memory.collect(poison=self.options.strict)
            return {
                "allocated": memory.in_use,
                "peak": memory.peak,
                "reserved": memory.capacity,
                "allocations": memory.allocations,
            }

    def reset_peak(self) -> None:
        """See `OptionalDuties.reset_peak`."""
        self.memory_stats()
        self.memory.peak = self.memory.in_use

    def memory_info(self) -> tuple[int, int]:
        """See `OptionalDuties.memory_info`."""
        return self.memory.capacity - self.memory_stats()["allocated"], self.memory.capacity

    def empty_cache(self) -> None:
        """See `OptionalDuties.empty_cache`; what is free is free for all already."""
        self.memory_stats()

    @contextmanager
    def profile(self, listener: Callable[[str, float, float], None]) -> Iterator[None]:
        """See `OptionalDuties.profile`."""
        self._drain()  # what was launched before is not the block's
        self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._drain()
                self._listeners.remove(listener)

    # -- running -------------------------------------------------------------------------

    def _before(self, launch: Launch) -> None:
        """Latency and injected faults."""
        self.launches += 1
        if self.options.latency:
            time.sleep(self.options.latency)
        fault = self.faults.struck("launch", launch.name)
        if fault is not None:
            if fault.kind == "lost":
                self.lose(fault.message)
                self._check_present()
            raise error(
                RuntimeError,
                launch.name,
                f"launch failure on device '{self.label}': {fault.message}",
                given=", ".join(repr(x) for x in launch.operands),
            )

    def _run(self, launch: Launch) -> None:
        self._check_present()
        self._before(launch)
        for x in launch.operands:
            if x is not None:
                self._check_readable(x)
        for output in launch.outputs:
            if output is not None:
                self._check_held(output)
        begun = time.perf_counter()
        execute(self.memory, launch)
        for listener in self._listeners:
            listener(launch.name, begun * 1e6, (time.perf_counter() - begun) * 1e6)
        for output in launch.outputs:
            if output is not None:
                output.buffer.written = True
                output.buffer.error = None

    # -- checks --------------------------------------------------------------------------

    def _check_own(self, array: Any) -> None:
        if not isinstance(array, SimArray) or array.device is not self:
            raise self._foreign(array)

    def _foreign(self, thing: Any) -> Exception:
        return error(
            RuntimeError,
            "simulator",
            f"device '{self.label}' was given something of another device",
            given=repr(thing),
            expected=f"an array on {self.label}",
        )

    def _check_held(self, array: SimArray) -> None:
        if array.buffer.freed:
            raise error(
                RuntimeError,
                "simulator",
                f"memory of device '{self.label}' is used after it was freed",
                given=repr(array),
                fix="make the tensor anew: what lay on a device that was reset is gone",
            )

    def _check_readable(self, array: SimArray) -> None:
        self._check_held(array)
        buffer = array.buffer
        if buffer.error is not None:
            raise buffer.error
        if self.options.strict and not buffer.written and array.size:
            raise error(
                RuntimeError,
                "simulator",
                "memory is read that nothing has written",
                given=repr(array),
                fix="fill the tensor before it is read, or make it with zeros() instead of empty()",
            )

    def _check_present(self) -> None:
        if self.lost is not None:
            raise error(
                RuntimeError,
                f"device '{self.label}'",
                f"the device is lost: {self.lost}",
                fix="reset it, make the tensors anew, and go on from a checkpoint",
            )

    # -- loss ----------------------------------------------------------------------------

    def lose(self, message: str) -> None:
        """Loses the device: nothing works until `reset`."""
        self.lost = message

    def reset(self) -> None:
        """Brings a device back, empty: every tensor that lay there can't be used any more."""
        with self._lock:
            for stream in self._streams:
                stream.waiting.clear()
            self._failed = self.lost = None
            for held in gc.get_objects():
                if isinstance(held, SimArray) and held.device is self:
                    held.buffer.freed = True
            self.memory = Memory(self.options.memory)
        refill()  # the core keeps numbers in device memory


def _broadcasts(source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    if len(source) > len(target):
        return all(n == 1 for n in source[: -len(target) or None]) and _broadcasts(
            source[len(source) - len(target) :], target
        )
    pairs = zip(reversed(source), reversed(target), strict=False)
    return all(s in (1, t) for s, t in pairs)


def _explained(launch: Launch, raised: Exception) -> Exception:
    """A failure in the words of the core."""
    if isinstance(raised, MemoryError):
        raised = OutOfMemoryError(*raised.args)
    kinds = (
        ValueError, TypeError, IndexError, RuntimeError, OutOfMemoryError, NotImplementedError,
    )  # fmt: skip
    kind = next((kind for kind in kinds if type(raised) is kind), RuntimeError)
    made = error(
        kind,
        launch.name,
        f"{type(raised).__name__}: {raised}",
        given=", ".join(repr(x) for x in launch.operands),
    )
    made.__cause__ = raised
    return made


def _line() -> str:
    """The innermost line outside this library."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != _PACKAGE:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
