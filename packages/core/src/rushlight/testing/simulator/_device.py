"""A simulated device: its duties towards the core, and the queue of launches behind them."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np

from ..._dtypes import DType, from_numpy_dtype
from ..._errors import Explained, OutOfMemoryError, error
from ..._tensor.tensor import contiguous_strides
from ...backend import refill
from ._array import SimArray
from ._hardware import HostArray, Launch, execute, host_view
from ._memory import Buffer, Memory
from ._options import Faults, Options

_PACKAGE = __name__.partition(".")[0]
#: Where the addresses of device 0 begin, and how far apart those of two devices are: none is an
#: address of the host.
_BASE = 1 << 60


class SimDevice:
    """One simulated device.

    Launches wait in a queue, in order, and run when somebody reads, when the queue is full, or
    when memory gets scarce.  A launch that fails is reported at the next such point; its results
    can't be read, and the device goes on.

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
        self._queue: list[Launch] = []
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
            self._check_present()
            self.synchronize()
            self._check_readable(native)
            return host_view(self.memory, native).copy()

    def copy(self, target: SimArray, source: SimArray) -> None:
        """See `DeviceRuntime.copy`."""
        if not _broadcasts(source.shape, target.shape):
            raise ValueError(f"{source.shape} does not broadcast to {target.shape}")
        self._check_own(target)
        self._enqueue(Launch("copy", None, (source,), {}, (target,), _line()))

    # -- launches ------------------------------------------------------------------------

    def bind(self, name: str, kernel: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
        """A kernel loaded on this device: a call puts a launch into the queue.

        Without `out` the kernel's results depend on data, so the device must catch up first.
        """

        def launch(*operands: SimArray | None, out: Any = None, **attributes: Any) -> Any:
            several = isinstance(out, tuple)
            outputs = out if several else () if out is None else (out,)
            record = Launch(name, kernel, operands, attributes, outputs, _line(), several)
            if out is None:
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
            self._queue.append(launch)
            if len(self._queue) >= self.options.queue:
                self._drain()

    def _computed(self, launch: Launch) -> Any:
        """Results of a kernel that finds their shapes itself."""
        with self._lock:
            self.synchronize()
            for x in launch.operands:
                if x is not None:
                    self._check_own(x)
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
            self._check_present()
            failed, self._failed = self._failed, None
            if failed is not None:
                raise failed

    def _drain(self) -> None:
        """Runs what waits; keeps the first failure for the next synchronisation.

        It does not raise, because the call that filled the queue has nothing to do with it.
        """
        waiting, self._queue = self._queue, []
        for launch in waiting:
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
        execute(self.memory, launch)
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
            self._queue.clear()
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
