"""`cupy.cuda`: devices, memory, streams and events that write down what they are told."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"error {status}")
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class Driver:
    """What the machine is like; tests change it."""

    def __init__(self) -> None:
        self.devices = 2
        self.driver = 13000
        self.failure: int | None = None
        self.memory = 1 << 40
        self.current = 0
        self.live = 0
        self.reserved = 0
        self.log: list[str] = []


machine = Driver()


def _count() -> int:
    if machine.failure is not None:
        raise CUDARuntimeError(machine.failure)
    return machine.devices


def _properties(index: int) -> dict[str, Any]:
    return {
        "name": f"Stand-in {index}".encode(), "totalGlobalMem": 1 << 34, "major": 9, "minor": 0,
        "multiProcessorCount": 132,
    }  # fmt: skip


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=_count,
    getDevice=lambda: machine.current,
    driverGetVersion=lambda: machine.driver,
    runtimeGetVersion=lambda: 13020,
    getDeviceProperties=_properties,
    memGetInfo=lambda: (machine.memory - machine.reserved, machine.memory),
)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


class Memory:
    """Bytes of one device, counted while they live."""

    def __init__(self, data: np.ndarray[Any, Any], counted: bool = False) -> None:
        self.bytes = data
        self.ptr = data.ctypes.data
        self.device_id = machine.current
        self.counted = data.nbytes if counted else 0
        if self.counted and machine.live + self.counted > machine.memory:
            self.counted = 0
            raise OutOfMemoryError(f"Out of memory allocating {data.nbytes} bytes")
        machine.live += self.counted
        machine.reserved = max(machine.reserved, machine.live)

    def __del__(self) -> None:
        machine.live -= self.counted


class MemoryPointer:
    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.offset = mem, offset
        self.ptr = mem.ptr + offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.offset + offset)

    def copy_from_host_async(self, source: int, nbytes: int, stream: Any = None) -> None:
        machine.log.append(f"copy {nbytes} bytes from the host on {stream}")
        ctypes.memmove(self.ptr, source, nbytes)

    def copy_from_device_async(self, source: MemoryPointer, nbytes: int, stream: Any) -> None:
        machine.log.append(
            f"copy {nbytes} bytes from {source.mem.device_id} to {self.mem.device_id} on {stream}"
        )
        ctypes.memmove(self.ptr, source.ptr, nbytes)


class Device:
    def __init__(self, index: int) -> None:
        self.id = index
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(machine.current)
        machine.current = self.id
        return self

    def __exit__(self, *raised: object) -> None:
        machine.current = self._before.pop()

    def synchronize(self) -> None:
        machine.log.append(f"synchronize device {self.id}")


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        self.timed = not disable_timing
        self.done = True
        self.stream: Any = None

    def synchronize(self) -> None:
        machine.log.append("synchronize event")


class Stream:
    null: Stream
    current: list[Stream] = []

    def __init__(self, non_blocking: bool = False, priority: int | None = None) -> None:
        self.non_blocking, self.priority = non_blocking, priority
        self.done = True

    def __repr__(self) -> str:
        return "the default stream" if self is Stream.null else "a stream"

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *raised: object) -> None:
        Stream.current.pop()

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.stream = self
        machine.log.append(f"record on {self}")
        return event

    def wait_event(self, event: Event) -> None:
        machine.log.append(f"{self} waits for {event.stream}")


Stream.null = Stream()


def get_current_stream() -> Stream:
    return Stream.current[-1] if Stream.current else Stream.null


def get_elapsed_time(start: Event, end: Event) -> float:
    assert start.timed
    assert end.timed
    return 1.5


def alloc_pinned_memory(nbytes: int) -> Any:
    machine.log.append(f"pin {nbytes} bytes")
    return memoryview(bytearray(nbytes))


class Pool:
    def used_bytes(self) -> int:
        return machine.live

    def total_bytes(self) -> int:
        return machine.reserved

    def free_all_blocks(self) -> None:
        machine.log.append("free all blocks")
        machine.reserved = machine.live


pool = Pool()
