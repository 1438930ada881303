"""Queues of a simulated device: streams, events, and who may touch memory when.

Each stream is a queue of its own.  What orders the work of two of them is told by clocks: the clock
of a stream says up to which launch of every other stream its next launch is known to wait.  In
strict mode every access to memory is compared with the earlier ones of other streams, so a missing
wait is an error at the call, whatever the order in which the launches happen to run.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from itertools import count

from ..._errors import error
from ._array import SimArray
from ._hardware import Launch

_numbers = count(1)
Clock = dict[int, int]


class SimStream:
    """A queue of a simulated device.

    Attributes:
        number: 0 for the default one.
        priority: Lower numbers go first.
        waiting: Launches, marks, and marks to wait for, in order.
        clock: By number of a stream, how many of its launches come before the next one of this.
    """

    def __init__(self, priority: int = 0, *, default: bool = False) -> None:
        self.number = 0 if default else next(_numbers)
        self.priority = priority
        self.waiting: deque[Launch | SimEvent | Wait] = deque()
        self.clock: Clock = {self.number: 0}

    def __repr__(self) -> str:
        return f"stream {self.number}" if self.number else "the default stream"


@dataclass(eq=False)
class SimEvent:
    """A mark in a queue: done when the queue has come to it."""

    stream: SimStream
    clock: Clock
    done: bool = False
    at: float = 0.0

    def pass_by(self) -> None:
        """The queue has come here."""
        self.done, self.at = True, time.perf_counter()


@dataclass(eq=False)
class Wait:
    """A place in a queue that is not passed before a mark, mostly another queue's."""

    event: SimEvent


@dataclass(slots=True)
class Access:
    """One launch's use of a part of a buffer."""

    stream: SimStream
    number: int
    low: int
    high: int
    writes: bool
    by: str


def joined(clock: Clock, other: Clock) -> None:
    """Lets a clock wait for all that another waits for."""
    for stream, number in other.items():
        if clock.get(stream, 0) < number:
            clock[stream] = number


def note_accesses(launch: Launch, stream: SimStream, host: Clock) -> None:
    """Compares a launch with earlier ones of other streams, and remembers what it touches.

    Args:
        launch: About to be put into a queue.
        stream: That queue.
        host: What the host has waited for, which comes before all it launches now.
    Raises:
        RuntimeError: Another stream may be using the memory at the same time.
    """
    joined(stream.clock, host)
    touched = [(x, False) for x in launch.operands if x is not None]
    touched += [(x, True) for x in launch.outputs if x is not None]
    for array, writes in touched:
        check_ordered(array, writes, stream, launch.name)
    number = stream.clock[stream.number] = stream.clock[stream.number] + 1
    by = f"{launch.name} launched at {launch.line}"  # not the launch, which holds memory
    for array, writes in touched:
        low, high = array.extent()
        accesses = array.buffer.accesses
        # A later access of the same stream to the same place stands for the earlier one.
        accesses[:] = [
            a for a in accesses
            if a.stream is not stream or a.writes > writes or (a.low < low or a.high > high)
        ]  # fmt: skip
        accesses.append(Access(stream, number, low, high, writes, by))


def check_ordered(array: SimArray, writes: bool, stream: SimStream, who: str) -> None:
    """Raises if another stream may be using the memory of an array."""
    low, high = array.extent()
    for other in array.buffer.accesses:
        if other.stream is stream or not (writes or other.writes):
            continue
        if other.high <= low or high <= other.low:
            continue
        if stream.clock.get(other.stream.number, 0) < other.number:
            raise error(
                RuntimeError,
                who,
                f"memory is {'written' if writes else 'read'} on {stream} while {other.stream} may "
                f"still be {'writing' if other.writes else 'reading'} it",
                given=f"{array!r}, used by {other.by}",
                expected=f"{stream} waits for {other.stream}",
                fix="call wait_stream or wait_event between the two, or synchronize",
            )
