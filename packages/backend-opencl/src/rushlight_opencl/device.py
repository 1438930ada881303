"""`OpenCLDevice`: the runtime of one device, and the launcher of the core's kernels."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import pyopencl as cl

from rushlight._dtypes import ALL, DType, complex128, float64, from_numpy_dtype, int32, int64
from rushlight._errors import error
from rushlight.backend.codegen import (
    PADDING,
    DeviceArray,
    Made,
    Movement,
    is_dense,
    kernel_number,
    note_bounds,
    row_major,
)

from .dialect import opencl_c
from .faults import Faults
from .memory import Memory
from .platforms import found_devices, has_double, info
from .programs import build, launcher

_DTYPES = frozenset(ALL)
_DOUBLE = frozenset((float64, complex128))
_INDICES = (int64, int32)
# Up to so many indices from the host are looked through, which takes 0.05 ms at most.
_FEW = 1 << 16
_CLANG_VENDORS = ("portable computing language", "intel(r) opencl")
_alive: weakref.WeakSet[OpenCLDevice] = weakref.WeakSet()


class OpenCLDevice:
    """One device: a context, a queue that runs in order, memory, compiled programs.

    Everything is asynchronous; only `to_host` and `synchronize` wait.
    """

    infers_shapes = True
    array_type = DeviceArray

    def __init__(self, index: int) -> None:
        devices = found_devices()
        if not 0 <= index < len(devices):
            raise error(
                RuntimeError,
                f"device 'opencl:{index}'",
                "there is no such device",
                given=f"{len(devices)} OpenCL devices were found",
                fix="install a driver, for example: pip install rushlight-opencl[pocl]",
            )
        self.index = index
        self.label = f"opencl:{index}"
        self.cl_device = device = devices[index]
        self.context = cl.Context([device])
        self.queue = cl.CommandQueue(self.context)
        self.lock: Any = threading.RLock()
        self.double = has_double(device)
        is_cpu = bool(device.type & cl.device_type.CPU)
        self.flavour = os.environ.get("RUSHLIGHT_OPENCL_FLAVOUR") or ("cpu" if is_cpu else "gpu")
        platform = device.platform.name.lower()
        self.dialect = opencl_c(is_cpu and any(v in platform for v in _CLANG_VENDORS))
        #: Work-items that keep the device busy.
        self.parallelism = device.max_compute_units * (8 if is_cpu else 256)
        self.group_limit = min(device.max_work_group_size, device.max_work_item_sizes[0])
        self.flat_group = 1024 if is_cpu else 256
        self.memory = Memory(self.queue, self.label, device.max_mem_alloc_size)
        self.faults = Faults(self)
        self.movement = Movement(self)
        self._compiled: dict[str, dict[str, Any]] = {}
        self._bound: dict[tuple[Any, DType], Callable[..., Any] | None] = {}
        _alive.add(self)

    def __repr__(self) -> str:
        return self.label

    # -- duties ------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Any:
        """See `DeviceRuntime.allocate`."""
        with self.lock:
            return self.memory.allocate(nbytes + PADDING)

    def view(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> DeviceArray:
        """See `DeviceRuntime.view`."""
        size = 1
        for n in shape:
            size *= n
        return DeviceArray(
            self, buffer, offset, shape, strides, dtype, size, is_dense(shape, strides)
        )

    def buffer_of(self, native: DeviceArray) -> Any:
        """See `DeviceRuntime.buffer_of`."""
        return native.settled().buffer

    def shape_of(self, native: DeviceArray) -> tuple[int, ...]:
        """See `DeviceRuntime.shape_of`."""
        return native.shape

    def strides_of(self, native: DeviceArray) -> tuple[int, ...]:
        """See `DeviceRuntime.strides_of`."""
        return native.strides

    def nbytes_of(self, buffer: Any) -> int:
        """See `DeviceRuntime.nbytes_of`."""
        return int(buffer.size) - PADDING

    def address_of(self, buffer: Any) -> int:
        """See `DeviceRuntime.address_of`."""
        return int(buffer.int_ptr)

    def wrap(self, result: Any, dtype: DType) -> DeviceArray:
        """See `DeviceRuntime.wrap`."""
        return self.from_host(np.asarray(result, dtype.numpy))

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """See `DeviceRuntime.copy`."""
        if target.size:
            self.movement.copy(target, source)

    def from_host(self, array: np.ndarray[Any, Any]) -> DeviceArray:
        """See `DeviceRuntime.from_host`."""
        dtype = from_numpy_dtype(array.dtype)
        shape = array.shape
        if not shape and not dtype.is_complex:
            return DeviceArray(self, None, 0, (), (), dtype, 1, True, kernel_number(array, dtype))
        out = self.empty(shape, dtype)
        if out.size:
            self._send(out, np.ascontiguousarray(array))
            if dtype in _INDICES and out.size <= _FEW:
                note_bounds(out, int(array.min()), int(array.max()))
        return out

    def _send(self, out: DeviceArray, host: np.ndarray[Any, Any]) -> None:
        flat = host.reshape(-1).view(np.uint8)
        with self.lock:
            cl.enqueue_copy(self.queue, out.buffer, flat, is_blocking=True)

    def to_host(self, native: DeviceArray) -> np.ndarray[Any, Any]:
        """See `DeviceRuntime.to_host`."""
        if native.buffer is None:
            self.check_faults()
            return np.array(native.value).astype(native.dtype.numpy)
        host = np.empty(native.shape, native.dtype.numpy)
        if native.size:
            dense = native if native.dense else self.dense(native)
            flat = host.reshape(-1).view(np.uint8)
            start = dense.offset * native.dtype.itemsize
            with self.lock:
                cl.enqueue_copy(self.queue, flat, dense.buffer, src_offset=start, is_blocking=True)
        self.check_faults()
        return host

    def synchronize(self) -> None:
        """See `DeviceRuntime.synchronize`."""
        with self.lock:
            self.queue.finish()
        self.check_faults()

    # -- optional duties -----------------------------------------------------------------------

    def bind(
        self, name: str, kernel: Callable[..., Any], dtype: DType
    ) -> Callable[..., Any] | None:
        """See `OptionalDuties.bind`."""
        return kernel.make(self, dtype) if isinstance(kernel, Made) else kernel

    def dtypes(self) -> frozenset[DType]:
        """See `OptionalDuties.dtypes`."""
        return _DTYPES if self.double else _DTYPES - _DOUBLE

    def describe(self) -> Mapping[str, str | int | float]:
        """See `OptionalDuties.describe`."""
        facts = info(self.index)
        return {
            "name": facts.name, "platform": facts.platform, "kind": facts.kind,
            "memory": facts.memory, "largest buffer": facts.largest,
            "compute units": facts.units, "float64": str(facts.float64),
            "kernels": self.flavour,
        }  # fmt: skip

    def memory_stats(self) -> Mapping[str, int]:
        """See `OptionalDuties.memory_stats`."""
        return self.memory.stats()

    def empty_cache(self) -> None:
        """See `OptionalDuties.empty_cache`."""
        self.memory.empty_cache()

    # -- launcher --------------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: DType) -> DeviceArray:
        """A dense array of unwritten memory."""
        size = 1
        for n in shape:
            size *= n
        with self.lock:
            buffer = self.memory.allocate(size * dtype.itemsize + PADDING)
        return DeviceArray(self, buffer, 0, shape, row_major(shape), dtype, size, True)

    def empty_like(self, x: DeviceArray, dtype: DType) -> DeviceArray:
        """Unwritten memory with the geometry of a packed array."""
        size = x.size
        with self.lock:
            buffer = self.memory.allocate(size * dtype.itemsize + PADDING)
        return DeviceArray(self, buffer, 0, x.shape, x.strides, dtype, size, x.dense)

    def dense(self, x: DeviceArray) -> DeviceArray:
        """A dense copy."""
        return self.movement.cast(x, x.dtype)

    def settle(self, x: DeviceArray) -> None:
        """Gives memory to a number, without waiting for what runs before."""
        host = np.array(x.value).astype(x.dtype.numpy)
        x.buffer = self.allocate(x.dtype.itemsize)
        x.value = None
        with self.lock:
            cl.enqueue_fill_buffer(self.queue, x.buffer, host, 0, host.nbytes)
        if x.dtype in _INDICES:
            note_bounds(x, int(host), int(host))

    def compile(self, source: str, signatures: Mapping[str, str]) -> dict[str, Any]:
        """Builds a program, or finds it."""
        found = self._compiled.get(source)
        if found is None:
            with self.lock:
                kernels = build(self, source, signatures, ("-w",))
                found = {name: launcher(self, kernel) for name, kernel in kernels.items()}
                self._compiled[source] = found
        return found

    def kernels_of(self, name: str, dtype: DType) -> Callable[..., Any]:
        """The kernel of another operator, for kernels that use it."""
        from . import backend

        key = backend.find_kernel(name, dtype), dtype
        if key not in self._bound:  # a kernel that is made anew prints its text anew
            self._bound[key] = None if key[0] is None else self.bind(name, key[0], dtype)
        bound = self._bound[key]
        if bound is None:
            raise NotImplementedError(f"{name} for {dtype.name}")
        return bound

    def fault(self, operator: str, message: str, kind: type[Exception]) -> tuple[Any, int]:
        """See `rushlight.backend.codegen.Launcher.fault`."""
        with self.lock:
            return self.faults.slot(operator, message, kind)

    def check_faults(self) -> None:
        """See `rushlight.backend.codegen.Launcher.check_faults`."""
        if self.faults.pending:
            with self.lock:
                self.faults.check()

    def launched(self, suspect: bool) -> None:
        """See `rushlight.backend.codegen.Launcher.launched`."""
        if suspect or Faults.immediate:
            with self.lock:
                self.faults.check(late=False)


class _Forked:
    """Stands for the lock of a device in a child process, where drivers hang."""

    def __enter__(self) -> NoReturn:
        raise error(
            RuntimeError,
            "device 'opencl'",
            "an OpenCL device can't be used in a process that was forked from one that used it",
            fix="start processes with multiprocessing's 'spawn' or 'forkserver' method",
        )

    def __exit__(self, *raised: object) -> None:
        """Never reached."""


def _after_fork() -> None:
    for device in _alive:
        device.lock = _Forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
