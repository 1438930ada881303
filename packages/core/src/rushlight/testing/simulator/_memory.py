"""The memory of a simulated device: an address space of its own, given out first fit.

Host code never sees it: only the hardware (`_hardware`) makes host views, and only while it runs a
launch or a copy.
"""

from __future__ import annotations

from bisect import bisect
from collections import deque
from itertools import count
from typing import Any

import numpy as np

_ids = count(1)
#: Every piece of memory starts at a multiple of so many bytes, as drivers promise.
ALIGNMENT = 256
#: What fresh and freed memory holds in strict mode: a NaN in every floating-point type.
POISON = 0xFF


class Buffer:
    """A piece of device memory, freed when nothing refers to it any more.

    Attributes:
        id: A number that no other buffer ever has.
        address, nbytes: Where it lies, and how much was asked for.
        written: Whether anything was ever written into it.
        freed: Whether the memory was taken back while somebody still held the buffer.
        error: What the launch that should have filled it failed with.
        accesses: What launches did with it, as far as others may have to wait (strict mode).
    """

    __slots__ = ("accesses", "address", "error", "freed", "id", "memory", "nbytes", "written")

    def __init__(self, memory: Memory, address: int, nbytes: int) -> None:
        self.id = next(_ids)
        self.memory = memory
        self.address = address
        self.nbytes = nbytes
        self.written = self.freed = False
        self.error: Exception | None = None
        self.accesses: list[Any] = []

    def __del__(self) -> None:
        # It may run at any point of any thread, so nothing is touched here but a deque.
        memory = getattr(self, "memory", None)
        if memory is not None and not self.freed:
            memory.returned.append((self.address, self.nbytes))

    def __repr__(self) -> str:
        return f"<buffer {self.id}: {self.nbytes} bytes at {self.address:#x}>"


class Memory:
    """The address space of one device.

    Args:
        capacity: Bytes in all.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # The host gives zeroed pages only when they are touched, so a large capacity costs nothing.
        self.cells = np.zeros(capacity, np.uint8)
        self.free: list[tuple[int, int]] = [(0, capacity)] if capacity else []
        self.returned: deque[tuple[int, int]] = deque()
        self.in_use = self.peak = self.allocations = 0

    def allocate(self, nbytes: int, *, poison: bool) -> Buffer | None:
        """A buffer, None if no gap is large enough."""
        self.collect(poison=poison)
        size = _rounded(nbytes)
        for place, (start, length) in enumerate(self.free):
            if length >= size:
                if length == size:
                    del self.free[place]
                else:
                    self.free[place] = (start + size, length - size)
                self.in_use += size
                self.peak = max(self.peak, self.in_use)
                self.allocations += 1
                if poison:
                    self.cells[start : start + size] = POISON
                return Buffer(self, start, nbytes)
        return None

    def collect(self, *, poison: bool) -> None:
        """Takes back the memory of buffers that are gone."""
        while self.returned:
            start, nbytes = self.returned.popleft()
            size = _rounded(nbytes)
            self.in_use -= size
            if poison:
                self.cells[start : start + size] = POISON
            self._give_back(start, size)

    def _give_back(self, start: int, size: int) -> None:
        """Adds a gap, joined with its neighbours."""
        place = bisect(self.free, (start, size))
        if place < len(self.free) and self.free[place][0] == start + size:
            size += self.free.pop(place)[1]
        if place and sum(self.free[place - 1]) == start:
            start, before = self.free.pop(place - 1)
            size, place = size + before, place - 1
        self.free.insert(place, (start, size))

    def largest_gap(self) -> int:
        """Bytes of the largest allocation that would succeed."""
        return max((length for _, length in self.free), default=0)


def _rounded(nbytes: int) -> int:
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
