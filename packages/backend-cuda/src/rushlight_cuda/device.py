"""The CUDA device: memory of CuPy's pool, copies, streams, events and pinned host memory.

CuPy has one current device and, for each device, one current stream in a thread. Every duty makes
its own device current for as long as it lasts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from rushlight._dtypes import DType
from rushlight._errors import error
from rushlight.backend import ArrayDevice, Backend, Manifest, OutOfMemoryError
from rushlight.backend.arrays import ACCEPTS_OUT, array_kernels

from .driver import cuda_version
from .numpy_like import NumpyLike

HostArray = np.ndarray[Any, Any]


class CudaDevice(ArrayDevice):
    """One card.

    Args:
        cupy: The module CuPy.
        index: CUDA's number of the card.
        name: The device type, for messages.
    """

    def __init__(self, cupy: Any, index: int, name: str = "cuda") -> None:
        super().__init__(cupy)
        self.index = index
        self.label = f"{name}:{index}"
        self.device = cupy.cuda.Device(index)
        self._alone = cupy.cuda.runtime.getDeviceCount() == 1
        self._pool = cupy.get_default_memory_pool()
        self._peak = 0
        # Threads may share a device, and both lists are made anew when they are tidied.
        self._lock = Lock()
        # Host arrays that are being read, with the event after the copy.
        self._reading: list[tuple[Any, HostArray]] = []
        # Memory that another stream uses: the stream, and the event at which it may go.
        self._lent: list[list[Any]] = []

    def __repr__(self) -> str:
        return self.label

    def describe(self) -> dict[str, str | int | float]:
        """See `OptionalDuties.describe`."""
        runtime = self.xp.cuda.runtime
        found = runtime.getDeviceProperties(self.index)
        name = found["name"]
        return {
            "name": name.decode() if isinstance(name, bytes) else str(name),
            "memory": int(found["totalGlobalMem"]),
            "major": int(found["major"]),
            "minor": int(found["minor"]),
            "multi_processor_count": int(found["multiProcessorCount"]),
            "driver": f"CUDA {cuda_version(runtime.driverGetVersion())}",
            "kernels": f"CuPy {self.xp.__version__}",
        }

    def bind(self, name: str, kernel: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
        """See `OptionalDuties.bind`: with this device current, and told when memory runs out."""
        alone, device = self._alone, self.device

        def bound(*operands: Any, **attributes: Any) -> Any:
            try:
                if alone:
                    return kernel(*operands, **attributes)
                with device:
                    return kernel(*operands, **attributes)
            except self.xp.cuda.memory.OutOfMemoryError as raised:
                raise self._exhausted(name, raised) from raised

        return bound

    # -- memory ----------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Any:
        """See `DeviceRuntime.allocate`."""
        self._tidy()
        with self.device, self._telling("allocate"):
            return self.xp.empty(nbytes, np.uint8)

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
        with self.device:
            if 0 in shape:
                return self.xp.empty(shape, dtype.numpy)
            return self.xp.ndarray(
                shape, dtype.numpy, buffer.data + offset * size, [step * size for step in strides]
            )

    def buffer_of(self, native: Any) -> Any:
        """See `DeviceRuntime.buffer_of`."""
        with self.device:
            if native.size == 0:
                return self.xp.empty(0, np.uint8)
            steps = zip(native.shape, native.strides, strict=True)
            span = native.itemsize + sum((n - 1) * step for n, step in steps)
            return self.xp.ndarray((span,), np.uint8, native.data)

    def address_of(self, buffer: Any) -> int:
        """See `DeviceRuntime.address_of`."""
        return int(buffer.data.ptr) if buffer.nbytes else 0

    def wrap(self, result: Any, dtype: DType) -> Any:
        """See `DeviceRuntime.wrap`."""
        with self.device:
            return super().wrap(result, dtype)

    def memory_stats(self) -> dict[str, int]:
        """See `OptionalDuties.memory_stats`.

        CuPy's pool does not count the peak of what was allocated. "peak" is the most that the pool
        ever had from the driver, which is that peak and what the pool could not use again.
        """
        with self.device:
            reserved = int(self._pool.total_bytes())
            self._peak = max(self._peak, reserved)
            return {
                "allocated": int(self._pool.used_bytes()),
                "peak": self._peak,
                "reserved": reserved,
            }

    def reset_peak(self) -> None:
        """See `OptionalDuties.reset_peak`."""
        self._peak = 0  # the next figures begin with what is reserved then

    def empty_cache(self) -> None:
        """See `OptionalDuties.empty_cache`."""
        self._tidy()
        self.memory_stats()  # what is reserved now, before it shrinks, may be the peak
        with self.device:
            self._pool.free_all_blocks()

    def memory_info(self) -> tuple[int, int]:
        """See `OptionalDuties.memory_info`."""
        with self.device:
            free, total = self.xp.cuda.runtime.memGetInfo()
            return int(free), int(total)

    @contextmanager
    def _telling(self, who: str) -> Iterator[None]:
        """Tells that memory ran out in a block."""
        try:
            yield
        except self.xp.cuda.memory.OutOfMemoryError as raised:
            raise self._exhausted(who, raised) from raised

    def _exhausted(self, who: str, raised: Exception) -> Exception:
        stats, (free, total) = self.memory_stats(), self.memory_info()
        return error(
            OutOfMemoryError,
            who,
            f"device '{self.label}' is out of memory: {raised}",
            given=f"{_mib(stats['allocated'])} in use of {_mib(stats['reserved'])} in the pool; "
            f"{_mib(free)} of the card's {_mib(total)} are free",
            fix="use smaller batches, delete tensors that are not needed any more, or call "
            "rushlight.cuda.empty_cache() if other programs use the card",
        )

    # -- moving ----------------------------------------------------------------------------------

    def copy(self, target: Any, source: Any) -> None:
        """See `DeviceRuntime.copy`."""
        with self.device, self._telling("copy"):
            super().copy(target, source)

    def from_host(self, array: HostArray) -> Any:
        """See `DeviceRuntime.from_host`."""
        with self.device, self._telling("copy to the device"):
            # CuPy stages the copy, so the caller may change the array at once.
            return self.xp.array(array)

    def from_host_async(self, array: HostArray) -> Any:
        """See `OptionalDuties.from_host_async`."""
        self._tidy()
        with self.device, self._telling("copy to the device"):
            stream = self.xp.cuda.get_current_stream()
            made = self.xp.empty(array.shape, array.dtype)
            if array.nbytes:
                made.data.copy_from_host_async(array.ctypes.data, array.nbytes, stream)
                with self._lock:
                    self._reading.append((stream.record(), array))
            return made

    def to_host(self, native: Any) -> HostArray:
        """See `DeviceRuntime.to_host`."""
        with self.device, self._telling("copy to the host"):
            host: HostArray = native.get()  # on the current stream, and waits for it
            return host

    def copy_from_peer(self, native: Any, peer: Any) -> Any:
        """See `OptionalDuties.copy_from_peer`."""
        with peer.device, peer._telling("copy to another device"):
            source = self.xp.ascontiguousarray(native)
            theirs = self.xp.cuda.get_current_stream()
            ready = theirs.record(self._mark())
        with self.device, self._telling("copy from another device"):
            made = self.xp.empty(native.shape, native.dtype)
            stream = self.xp.cuda.get_current_stream()
            stream.wait_event(ready)
            if made.nbytes:
                made.data.copy_from_device_async(source.data, made.nbytes, stream)
            done = stream.record(self._mark())
        with peer.device:
            # The source may go when this returns; what takes its memory comes after the copy.
            theirs.wait_event(done)
        return made

    def pinned(self, nbytes: int) -> HostArray:
        """See `OptionalDuties.pinned`."""
        with self.device:
            # The array keeps the memory; CuPy's pool of pinned memory has it back afterwards.
            memory = self.xp.cuda.alloc_pinned_memory(nbytes)
            return np.frombuffer(memory, np.uint8, nbytes)

    # -- streams and events ----------------------------------------------------------------------

    def synchronize(self) -> None:
        """See `DeviceRuntime.synchronize`."""
        self.device.synchronize()
        self._tidy()

    def stream(self, priority: int = 0) -> Any:
        """See `OptionalDuties.stream`; as in torch, it does not wait for the default stream."""
        with self.device:
            return self.xp.cuda.Stream(non_blocking=True, priority=priority)

    @contextmanager
    def use_stream(self, stream: Any) -> Iterator[None]:
        """See `OptionalDuties.use_stream`."""
        with self.device, self._queue(stream):
            yield

    def stream_done(self, stream: Any) -> bool:
        """See `OptionalDuties.stream_done`."""
        with self.device:
            return bool(self._queue(stream).done)

    def record_event(self, stream: Any = None) -> Any:
        """See `OptionalDuties.record_event`."""
        with self.device:
            return self._queue(stream).record(self.xp.cuda.Event())

    def wait_event(self, event: Any, stream: Any = None) -> None:
        """See `OptionalDuties.wait_event`."""
        with self.device:
            self._queue(stream).wait_event(event)

    def event_done(self, event: Any) -> bool:
        """See `OptionalDuties.event_done`."""
        return bool(event.done)

    def synchronize_event(self, event: Any) -> None:
        """See `OptionalDuties.synchronize_event`."""
        event.synchronize()

    def elapsed(self, start: Any, end: Any) -> float:
        """See `OptionalDuties.elapsed`."""
        end.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, end))

    def record_stream(self, buffer: Any, stream: Any) -> None:
        """See `OptionalDuties.record_stream`."""
        self._tidy()
        with self._lock:
            self._lent.append([buffer.data.mem, self._queue(stream), None])

    def _queue(self, stream: Any) -> Any:
        return self.xp.cuda.Stream.null if stream is None else stream

    def _mark(self) -> Any:
        """An event that nobody takes the time from."""
        return self.xp.cuda.Event(disable_timing=True)

    def _tidy(self) -> None:
        """Lets go of what asynchronous copies and other streams have finished with."""
        if not self._reading and not self._lent:
            return
        with self._lock:
            self._reading = [entry for entry in self._reading if not entry[0].done]
            self._lent = [entry for entry in self._lent if self._is_needed(entry)]

    def _is_needed(self, entry: list[Any]) -> bool:
        memory, stream, event = entry
        if event is not None:
            return not event.done
        # The entry, this function's name for it and the argument of getrefcount: nobody else's.
        if sys.getrefcount(memory) <= 3:
            with self.device:
                entry[2] = stream.record(self._mark())
        return True


def _mib(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):,.1f} MiB"


def make_backend(cupy: Any, cupyx: Any, name: str = "cuda") -> Backend:
    """The backend: the array family's kernels on CuPy.

    Args:
        cupy, cupyx: The modules; the tests have NumPy stand in for them.
        name: The device type.
    """
    runtime = cupy.cuda.runtime
    return Backend(
        name,
        device=lambda index: CudaDevice(cupy, index, name),
        api=(1, 0),
        manifest=Manifest(
            notes=f"CuPy {cupy.__version__}, driver for CUDA "
            f"{cuda_version(runtime.driverGetVersion())}"
        ),
        kernels=array_kernels(NumpyLike(cupy, cupyx)),
        accepts_out=ACCEPTS_OUT,
        count=runtime.getDeviceCount,
    )
