"""`rushlight.accelerator`: the device that is at hand, whatever its type, as `torch.accelerator`.

Which type it is where several are installed: the one that the environment variable
`RUSHLIGHT_ACCELERATOR` names, else that of the default device, else the first by name.  Functions
take a device of that type, its index, or None for the current one.
"""

from __future__ import annotations

from typing import Any

from ._device import device as Device
from ._errors import error
from ._streams import Stream
from ._streams import current_stream as _current_stream
from ._streams import set_stream as _set_stream
from .backend._accelerators import (
    accelerator_type,
    empty_caches,
    free_and_total,
    no_accelerator,
    place_of,
    runtime_at,
    statistics,
    usable,
)
from .backend._accelerators import reset_peak as _reset_peak
from .backend._current import current_index
from .backend._kind import set_current_index


def _type() -> str:
    kind = accelerator_type()
    if kind is None:
        raise no_accelerator()
    return kind


def _place(device: Any) -> Device:
    return place_of(device, _type())


def is_available() -> bool:
    """Whether there is an accelerator that can be used.

    Example:
        >>> rushlight.accelerator.is_available() in (True, False)
        True
    """
    return accelerator_type() is not None


def current_accelerator(check_available: bool = False) -> Device | None:
    """The accelerator's device type as a device without index, None if there is none.

    Args:
        check_available: Accepted; an accelerator that can't be used is none.
    """
    kind = accelerator_type()
    return None if kind is None else Device(kind)


def device_count() -> int:
    """How many devices the accelerator has; 0 without one."""
    kind = accelerator_type()
    backend = None if kind is None else usable(kind)
    return 0 if backend is None else backend.count()


def current_device_index() -> int:
    """Index of the device that a label without index means, in this thread.

    Raises:
        RuntimeError: There is no accelerator; so do all functions below.
    """
    return current_index(_type())


def set_device_index(device: Any) -> None:
    """Chooses the device that a label without index means, in this thread."""
    place = _place(device)
    set_current_index(place.type, place.index or 0)


current_device_idx, set_device_idx = current_device_index, set_device_index


class device_index:
    """In this block another device is the current one.

    Args:
        device: Its index; None changes nothing.
    """

    def __init__(self, device: int | None) -> None:
        if device is not None and not isinstance(device, int):
            raise error(
                TypeError, "device_index", "expects an index or None", given=repr(device),
            )  # fmt: skip
        self.idx = device
        self.prev_idx = -1

    def __enter__(self) -> None:
        if self.idx is not None:
            self.prev_idx = set_current_index(_type(), self.idx)

    def __exit__(self, *raised: object) -> None:
        if self.idx is not None:
            set_current_index(_type(), self.prev_idx)


def synchronize(device: Any = None) -> None:
    """Waits until a device has computed all it was given.

    Raises:
        RuntimeError: Something of it failed.
    """
    runtime_at(_place(device)).synchronize()


def current_stream(device: Any = None) -> Stream:
    """The stream that this thread's work on a device goes into."""
    return _current_stream(_place(device))


def set_stream(stream: Stream) -> None:
    """Makes a stream the current one, and its device the current device, in this thread."""
    _place(stream.device)
    _set_stream(stream)


def get_device_capability(device: Any = None) -> dict[str, Any]:
    """What a device can do: "supported_dtypes", a set."""
    from .backend._registry import dtypes_of

    return {"supported_dtypes": set(dtypes_of(_place(device)))}


# -- memory -------------------------------------------------------------------------------------


def empty_cache() -> None:
    """Gives back the memory that the devices keep for later."""
    empty_caches(_type())


def empty_host_cache() -> None:
    """Does nothing: the host memory that devices read by themselves is not kept for later."""
    _type()


def memory_stats(device_index: Any = None) -> dict[str, int]:
    """Bytes by name, such as "allocated_bytes.all.current"; empty if there is no account."""
    return statistics(runtime_at(_place(device_index)))


def memory_allocated(device_index: Any = None) -> int:
    """Bytes that tensors take."""
    return memory_stats(device_index).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device_index: Any = None) -> int:
    """The most bytes that tensors took, since the start or `reset_peak_memory_stats`."""
    return memory_stats(device_index).get("allocated_bytes.all.peak", 0)


def memory_reserved(device_index: Any = None) -> int:
    """Bytes that the backend has taken from the device."""
    return memory_stats(device_index).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device_index: Any = None) -> int:
    """The most bytes that the backend had taken from the device."""
    return memory_stats(device_index).get("reserved_bytes.all.peak", 0)


def reset_peak_memory_stats(device_index: Any = None) -> None:
    """Lets the figures of "peak" count from what is allocated now."""
    place = _place(device_index)
    _reset_peak(runtime_at(place), place)


def reset_accumulated_memory_stats(device_index: Any = None) -> None:
    """Does nothing: no figure is a sum over time."""
    _place(device_index)


def get_memory_info(device_index: Any = None) -> tuple[int, int]:
    """Bytes that are free on a device, and bytes in all."""
    place = _place(device_index)
    return free_and_total(runtime_at(place), place)


__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream",
    "device_count", "device_index", "empty_cache", "empty_host_cache", "get_device_capability",
    "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved",
    "memory_allocated", "memory_reserved", "memory_stats", "reset_accumulated_memory_stats",
    "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip
