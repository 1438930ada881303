"""`rushlight.Stream` and `rushlight.Event`: queues of a device that run beside each other, and
marks in them.

Both stand for the optional duties "streams" and "events" of a runtime.  On a device without them
there is one queue: each stream is the default one, and an event is the host's clock after the
device has caught up.
"""

from __future__ import annotations

import time
from itertools import count
from typing import Any

from ._device import device as Device
from ._errors import error
from .backend._accelerators import place_of, runtime_at
from .backend._current import chosen
from .backend._duties import has_duty
from .backend._kind import set_current_index

_numbers = count(1)


class Stream:
    """A queue of a device's work, run in the order in which it was put there.

    In a `with` block, or after `set_stream`, what a thread computes on the device goes into the
    queue; the device's default stream takes the rest.  Work of two streams runs in any order, so
    one that needs what another computes must wait for it.

    Args:
        device: The device; by default the current accelerator.
        priority: Lower numbers go first.
    Example:
        >>> from rushlight.testing import simulator
        >>> side = rushlight.Stream("sim")
        >>> with side:
        ...     x = rushlight.ones(2, device="sim") + 1
        >>> rushlight.sim.current_stream().wait_stream(side)
        >>> x.tolist()
        [2.0, 2.0]
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = place_of(device, host_too=True)
        self.priority = priority
        self.stream_id = 0
        self._native: Any = None
        self._runtime = runtime_at(self.device)
        if has_duty(self._runtime, "streams"):
            self.stream_id = next(_numbers)
            self._native = self._runtime.stream(priority)

    @classmethod
    def _default(cls, place: Device) -> Stream:
        made = cls.__new__(cls)
        made.device, made.priority, made.stream_id = place, 0, 0
        made._native, made._runtime = None, runtime_at(place)
        return made

    @property
    def device_type(self) -> str:
        """The device's type."""
        return self.device.type

    @property
    def device_index(self) -> int:
        """The device's index, -1 where there is only one."""
        return -1 if self.device.index is None else self.device.index

    @property
    def native_handle(self) -> Any:
        """What the backend's runtime takes for the stream; None is the default one."""
        return self._native

    def query(self) -> bool:
        """Whether all that was put into the stream has run."""
        if has_duty(self._runtime, "streams"):
            return bool(self._runtime.stream_done(self._native))
        self.synchronize()
        return True

    def synchronize(self) -> None:
        """Waits until all that was put into the stream has run.

        Raises:
            RuntimeError: Something of it failed.
        """
        if has_duty(self._runtime, "events"):
            self._runtime.synchronize_event(self._runtime.record_event(self._native))
        elif self._runtime is not None:
            self._runtime.synchronize()

    def record_event(self, event: Event | None = None) -> Event:
        """Marks in an event how far the stream has got.

        Args:
            event: By default a new one.
        Returns:
            The event.
        """
        event = Event(self.device) if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Makes what is put into this stream from now on wait for an event."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Makes what is put into this stream from now on wait for all that is in another now."""
        if stream != self:
            self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        before = None
        if self.device.index is not None:
            before = set_current_index(self.device.type, self.device.index)
        chosen.before.append((before, current_stream(self.device)))
        set_stream(self)
        return self

    def __exit__(self, *raised: object) -> None:
        index, stream = chosen.before.pop()
        set_stream(stream, move=False)
        if index is not None:
            set_current_index(self.device.type, index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.stream_id) == (
            other.device,
            other.stream_id,
        )

    def __hash__(self) -> int:
        return hash((self.device, self.stream_id))

    def __repr__(self) -> str:
        return (
            f"rushlight.Stream device_type={self.device_type}, device_index={self.device_index}, "
            f"stream_id={self.stream_id}"
        )


class Event:
    """A mark in a stream, to wait for and to measure time with.

    Args:
        device: The device; by default the current accelerator.
        enable_timing: `elapsed_time` may be asked.
        blocking: Accepted; waiting never spins.
        interprocess: Only False: events stay in their process.
    Raises:
        ValueError: `interprocess`.
    Example:
        >>> from rushlight.testing import simulator
        >>> start, end = (rushlight.Event("sim", enable_timing=True) for _ in range(2))
        >>> start.record()
        >>> x = rushlight.ones(2, device="sim") + 1
        >>> end.record()
        >>> start.elapsed_time(end) >= 0
        True
    """

    def __init__(
        self,
        device: Any = None,
        *,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
    ) -> None:
        if interprocess:
            raise error(
                ValueError, "Event", "events can't be shared between processes",
                given="interprocess=True", fix="wait in the process that computes",
            )  # fmt: skip
        self.device = place_of(device, host_too=True)
        self.enable_timing = enable_timing
        self.event_id = 0
        self._runtime: Any = None
        self._native: Any = None
        self._clock = 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Marks how far a stream has got; an earlier mark is forgotten.

        Args:
            stream: By default the current one of the event's device.
        Raises:
            RuntimeError: The stream is another device's.
        """
        stream = current_stream(self.device) if stream is None else stream
        if not self.event_id and stream.device.type == self.device.type:
            self.device = stream.device
        if stream.device != self.device:
            raise error(
                RuntimeError,
                "Event.record",
                "the stream's device is not the event's",
                given=f"a stream of {stream.device}, an event of {self.device}",
                fix=f"make the event with rushlight.Event('{stream.device}')",
            )
        runtime = stream._runtime
        if has_duty(runtime, "events"):
            self._native = runtime.record_event(stream._native)
        else:
            if runtime is not None:
                runtime.synchronize()
            self._clock = time.perf_counter()
        self._runtime, self.event_id = runtime, next(_numbers)

    def query(self) -> bool:
        """Whether all before the mark has run; True without a mark."""
        return self._native is None or bool(self._runtime.event_done(self._native))

    def synchronize(self) -> None:
        """Waits until all before the mark has run; does not wait without a mark.

        Raises:
            RuntimeError: Something of it failed.
        """
        if self._native is not None:
            self._runtime.synchronize_event(self._native)

    def wait(self, stream: Stream | None = None) -> None:
        """Makes what is put into a stream from now on wait for the mark.

        Args:
            stream: By default the current one of the event's device.
        """
        if self._native is None:
            return
        stream = current_stream(self.device) if stream is None else stream
        if stream._runtime is self._runtime:
            self._runtime.wait_event(self._native, stream._native)
        else:
            self.synchronize()  # a queue of another device knows nothing of this mark

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to another, which it waits for.

        Raises:
            ValueError: An event was made without `enable_timing`, or has no mark.
            RuntimeError: The events are of two devices.
        """
        both = (self, end_event)
        if not all(event.enable_timing for event in both):
            raise error(
                ValueError,
                "elapsed_time",
                "Both events must be created with argument 'enable_timing=True'",
                fix="use rushlight.Event(device, enable_timing=True)",
            )
        if not all(event.event_id for event in both):
            raise error(
                ValueError,
                "elapsed_time",
                "Both events must be recorded before calculating elapsed time",
                fix="call record() on both first",
            )
        if self.device != end_event.device:
            raise error(
                RuntimeError, "elapsed_time", "the events are of two devices",
                given=f"{self.device} and {end_event.device}",
            )  # fmt: skip
        if self._native is None:
            return (end_event._clock - self._clock) * 1000
        return float(self._runtime.elapsed(self._native, end_event._native))

    def __repr__(self) -> str:
        index = -1 if self.device.index is None else self.device.index
        return (
            f"rushlight.Event device_type={self.device.type}, device_index={index}, "
            f"event_id={self.event_id}"
        )


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's work on a device goes into."""
    place = place_of(device, host_too=True)
    found: Stream | None = chosen.streams.get((place.type, place.index or 0))
    return found or Stream._default(place)


def default_stream(device: Any = None) -> Stream:
    """The stream of a device that takes what no other does."""
    return Stream._default(place_of(device, host_too=True))


def set_stream(stream: Stream, *, move: bool = True) -> None:
    """Makes a stream the current one of its device, in this thread.

    Args:
        stream: The stream.
        move: Its device becomes the current one of its type, too.
    """
    place = stream.device
    key = (place.type, place.index or 0)
    if move and place.index is not None:
        set_current_index(place.type, place.index)
    block = chosen.blocks.pop(key, None)
    if block is not None:
        block.__exit__(None, None, None)
    if stream._native is None:
        chosen.streams.pop(key, None)
        return
    block = stream._runtime.use_stream(stream._native)
    block.__enter__()
    chosen.blocks[key], chosen.streams[key] = block, stream
