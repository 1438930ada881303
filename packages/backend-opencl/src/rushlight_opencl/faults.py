"""Faults that kernels report, raised at the next synchronisation as ordinary exceptions."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import numpy as np
import pyopencl as cl

from rushlight._errors import error

_SLOTS = 256
_OURS = ("rushlight", "rushlight_opencl", "contextlib", "functools")


class Pending(NamedTuple):
    """A launch that may have reported."""

    operator: str
    message: str
    kind: type[Exception]
    line: str


class Faults:
    """Slots in device memory, one for each launch that may fail, since the last check.

    Attributes:
        immediate: Each such launch is waited for; of all devices.
    """

    immediate = False

    def __init__(self, device: Any) -> None:
        self.device = device
        self.buffer: Any = None
        self.pending: list[Pending] = []

    def slot(self, operator: str, message: str, kind: type[Exception]) -> tuple[Any, int]:
        """A buffer and the slot in it for one launch."""
        if len(self.pending) == _SLOTS:
            self.check()
        if self.buffer is None:
            self.buffer = self.device.allocate(16 * _SLOTS)
            self._clear()
        self.pending.append(Pending(operator, message, kind, launching_line()))
        return self.buffer, len(self.pending) - 1

    def _clear(self) -> None:
        cl.enqueue_copy(self.device.queue, self.buffer, np.zeros(2 * _SLOTS, np.int64))

    def check(self, late: bool = True) -> None:
        """Waits, and raises the first fault that was reported; `late`: perhaps by another call."""
        if not self.pending:
            return
        found = np.empty((len(self.pending), 2), np.int64)
        cl.enqueue_copy(self.device.queue, found, self.buffer)
        pending, self.pending = self.pending, []
        for slot, entry in enumerate(pending):
            if found[slot, 0]:
                self._clear()
                raise error(
                    entry.kind,
                    entry.operator,
                    entry.message.replace("{value}", str(int(found[slot, 1]))),
                    given=f"the call at {entry.line}",
                    fix="correct what is given there; with RUSHLIGHT_OPENCL_FAULTS=immediate such "
                    "an error is raised where it happens"
                    if late
                    else None,
                )


def faults(when: str) -> None:
    """Chooses when faults of kernels are raised, such as an index out of bounds.

    Args:
        when: "late": when a later call waits for the device, unless what is known on the host shows
            them at once. "immediate": in the call that caused them, which waits for that.
    Raises:
        ValueError: It is neither.
    """
    if when not in ("late", "immediate"):
        raise error(
            ValueError,
            "rushlight.opencl.faults",
            f"there is no choice {when!r}",
            expected="'late' or 'immediate'",
        )
    Faults.immediate = when == "immediate"


faults(os.environ.get("RUSHLIGHT_OPENCL_FAULTS", "late"))


def launching_line() -> str:
    """The innermost line outside this library."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _OURS:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
