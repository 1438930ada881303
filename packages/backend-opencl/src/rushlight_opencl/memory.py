"""Device memory: a pool over pyopencl's, with figures."""

from __future__ import annotations

from typing import Any

import pyopencl as cl
from pyopencl.tools import ImmediateAllocator, MemoryPool


class Memory:
    """The memory of one device.

    A released block may be used again at once: the queue runs in order, so what still reads it
    runs before what will write it.
    """

    def __init__(self, queue: Any, label: str, limit: int) -> None:
        self.pool = MemoryPool(ImmediateAllocator(queue))
        self.label = label
        self.limit = limit
        self.peak = 0

    def allocate(self, nbytes: int) -> Any:
        """A block of at least `nbytes` bytes.

        Raises:
            MemoryError: There is no room.
        """
        try:
            return self.pool.allocate(nbytes)
        except (cl.MemoryError, cl.RuntimeError, cl.LogicError) as raised:
            self.pool.free_held()
            try:
                return self.pool.allocate(nbytes)
            except (cl.MemoryError, cl.RuntimeError, cl.LogicError):
                raise MemoryError(
                    f"device '{self.label}' has no memory for {nbytes} bytes: "
                    f"{self.pool.active_bytes} bytes are in use, "
                    f"{self.limit} is the largest block"
                ) from raised

    def stats(self) -> dict[str, int]:
        """Bytes in use, and bytes taken from the device."""
        active, managed = self.pool.active_bytes, self.pool.managed_bytes
        self.peak = max(self.peak, active)
        return {"allocated": active, "peak": self.peak, "reserved": managed}

    def empty_cache(self) -> None:
        """Gives back what is not in use."""
        self.pool.free_held()
