"""Memory of large results, kept for the next result of about the same size.

Fresh memory is slow: the first touch of each page traps into the system's kernel, and what was
freed is often given back at once.  So large results are views of buffers that the pool keeps.
A buffer is an array of bytes; every view of an array refers to the array that owns the memory, so
a buffer is free again when nobody but the pool refers to it.  That needs no finaliser and no weak
reference, but the interpreter's reference counts, hence its lock: without it (free-threaded
builds) results are NumPy's own.

Buffers begin at multiples of 64 bytes: NumPy aligns to 16, which halves the speed of vector loops.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import numpy as np

from rushlight_cpu.kernels._common import Array, prod

#: From how many bytes on results come from the pool: below, NumPy's own memory is as fast.
LEAST = 2**20
#: Sizes from the first on are rounded to multiples of a huge page, smaller ones to the last.
_HUGE, _PAGE, _STEP = 2**22, 2**21, 2**18
_ALIGNMENT = 64
#: Before a new buffer is made, idle ones may take so many bytes, or this part of the most that was
#: in use: the others may be of sizes that do not come back, as after a model's initialisation. A
#: size that comes back so often, without more in use than ever, was dropped wrongly, and more of it
#: may lie from then on, as long as no more is held than the peak of what was in use and this
#: margin: a program that repeats itself soon finds its memory again.
_SLACK, _SHARE, _OFTEN = 2**23, 1 / 16, 8


def _rounded(nbytes: int) -> int:
    unit = _PAGE if nbytes >= _HUGE else _STEP
    return -(-nbytes // unit) * unit


def _default_limit() -> int:
    """An eighth of the machine's memory may lie idle."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8
    except (AttributeError, ValueError, OSError):
        return 2**29


class _Buffer:
    """Bytes, and when they were last handed out."""

    __slots__ = ("bytes", "offset", "size", "used")

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes: Array | None = np.empty(size + _ALIGNMENT, np.uint8)
        self.offset = -self.bytes.ctypes.data % _ALIGNMENT
        self.used = 0

    def references(self) -> int:
        """How often the bytes are referred to, the pool's own references included."""
        return sys.getrefcount(self.bytes)


#: What `references` says of a buffer that nobody uses.
_IDLE = _Buffer(_ALIGNMENT).references()


class Pool:
    """Buffers by size, handed out as arrays.

    Attributes:
        limit: How many bytes may lie idle.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = _default_limit() if limit is None else limit
        self.lock = threading.RLock()
        self._sizes: dict[int, list[_Buffer]] = {}
        self._clock = 0
        self._peak = 0
        self._regretted = 0
        self._dropped: dict[int, int] = {}
        self._came_back: dict[int, int] = {}
        self._reused = self._fresh = 0

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array of arbitrary numbers, in C order."""
        kind = np.dtype(dtype)
        nbytes = kind.itemsize * (shape if isinstance(shape, int) else prod(shape))
        if nbytes < LEAST or not _COUNTED:
            return np.empty(shape, kind)
        size = _rounded(nbytes)
        with self.lock:
            found = self._idle_one(size) or self._new(size)
            self._clock += 1
            found.used = self._clock
            made: Array = np.ndarray(shape, kind, found.bytes, found.offset)
        return made

    def _idle_one(self, size: int) -> _Buffer | None:
        """The free buffer of a size that was used last: it may still lie in the cache."""
        best = None
        for buffer in self._sizes.get(size, ()):
            if buffer.references() == _IDLE and (best is None or buffer.used > best.used):
                best = buffer
        self._reused += best is not None
        return best

    def _new(self, size: int) -> _Buffer:
        idle, busy = self._census()
        if busy + size > self._peak:
            self._peak = busy + size
            self._dropped.clear()
        if self._dropped.get(size):
            self._dropped[size] -= 1
            self._came_back[size] = self._came_back.get(size, 0) + 1
            if self._came_back[size] > _OFTEN:
                self._regretted += size
        margin = max(_SLACK, int(_SHARE * self._peak))
        room = min(self._regretted, self._peak - busy - size)
        self._drop(idle, min(self.limit, margin + room))
        self._fresh += 1
        try:
            made = _Buffer(size)
        except MemoryError:
            self._drop(self._census()[0], 0)
            made = _Buffer(size)
        self._sizes.setdefault(size, []).append(made)
        return made

    def _census(self) -> tuple[list[_Buffer], int]:
        """The idle buffers, and how many bytes the others have."""
        idle, busy = [], 0
        for buffers in self._sizes.values():
            for buffer in buffers:
                if buffer.references() == _IDLE:
                    idle.append(buffer)
                else:
                    busy += buffer.size
        return idle, busy

    def _drop(self, idle: list[_Buffer], allowed: int) -> None:
        """Frees those idle buffers that were used longest ago until at most `allowed` bytes lie."""
        total = sum(buffer.size for buffer in idle)
        for buffer in sorted(idle, key=lambda b: b.used):
            if total <= allowed:
                return
            total -= buffer.size
            self._sizes[buffer.size].remove(buffer)
            self._dropped[buffer.size] = self._dropped.get(buffer.size, 0) + 1
            buffer.bytes = None

    def set_limit(self, nbytes: int) -> None:
        """Keeps at most so many bytes idle."""
        with self.lock:
            self.limit = nbytes
            self._drop(self._census()[0], nbytes)

    def empty_cache(self) -> None:
        """Frees all that is idle."""
        with self.lock:
            self._drop(self._census()[0], 0)

    def stats(self) -> dict[str, int]:
        """Bytes in use now and at most, bytes held, bytes idle, and how buffers were found.

        The peak is looked at when a buffer is made and when somebody asks: in between, no more can
        have been in use than was held.
        """
        with self.lock:
            idle, busy = self._census()
            self._peak = max(self._peak, busy)
            lying = sum(buffer.size for buffer in idle)
            return {
                "allocated": busy, "peak": self._peak, "reserved": busy + lying, "idle": lying,
                "reused": self._reused, "fresh": self._fresh,
            }  # fmt: skip

    def reset_peak(self) -> None:
        """Counts the peak from what is in use now."""
        with self.lock:
            self._peak = self._census()[1]


#: Whether the interpreter's reference counts can be trusted.
_COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()
POOL = Pool()
empty = POOL.empty


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of zeros, in C order."""
    if prod(shape) * np.dtype(dtype).itemsize < LEAST:
        return np.zeros(shape, dtype)  # faster than to fill
    made = POOL.empty(shape, dtype)
    made.fill(0)
    return made


def rooms(dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    """Scratch arrays of arbitrary numbers, each beginning at a multiple of 64 bytes."""
    kind = np.dtype(dtype)
    sizes = [-(-kind.itemsize * prod(shape) // _ALIGNMENT) * _ALIGNMENT for shape in shapes]
    held = POOL.empty(sum(sizes) + _ALIGNMENT, np.uint8)
    at, made = -held.ctypes.data % _ALIGNMENT, []
    for shape, size in zip(shapes, sizes, strict=True):
        made.append(np.ndarray(shape, kind, held, at))
        at += size
    return made


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    POOL.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
