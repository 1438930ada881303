"""The module of a device type, such as `rushlight.sim`: PyTorch's names for one type of device.

It is made from the type's name alone, so a program may ask `rushlight.TYPE.is_available()` where
the backend is not installed.  Which names are device types: those of installed backends, and those
that the metadata of `rushlight-core` name a distribution for (its extras).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import ModuleType, SimpleNamespace
from typing import Any

from . import accelerator as _any
from ._autocast import autocast
from ._device import device as Device
from ._dtypes import bfloat16
from ._errors import OutOfMemoryError, error
from ._generator import checked_seed, fresh_seed, generator_of
from ._streams import Event, Stream, current_stream, default_stream, set_stream
from .backend import backend_for, loaded
from .backend._accelerators import (
    empty_caches,
    free_and_total,
    place_of,
    reset_peak,
    runtime_at,
    statistics,
    usable,
)
from .backend._current import current_index
from .backend._kind import set_current_index
from .backend._registry import entry_points
from .backend._tables import bytes_text, table

_modules: dict[str, DeviceModule] = {}


class DeviceProperties(SimpleNamespace):
    """What a device says of itself: `name`, `total_memory`, and whatever its backend tells."""


class DeviceModule(ModuleType):
    """PyTorch's names for the devices of one type.

    `device` arguments are a device of the type, its index, or None for the current one.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"rushlight.{kind}", f"Devices of type '{kind}'.")
        self._kind = kind
        self.OutOfMemoryError = OutOfMemoryError
        self.device = _bound(_Chosen, kind, "device")
        self.device_of = _bound(_ChosenOf, kind, "device_of")
        self.Stream = _bound_stream(kind)
        self.Event = _bound_event(kind)
        self.amp = SimpleNamespace(autocast=_bound_autocast(kind))

    def _place(self, device: Any) -> Device:
        return place_of(device, self._kind)

    def _runtime(self, device: Any) -> Any:
        return runtime_at(self._place(device))

    # -- which devices there are ---------------------------------------------------------

    def is_available(self) -> bool:
        """Whether there is a device of the type that can be used; never raises."""
        return usable(self._kind) is not None

    def device_count(self) -> int:
        """How many devices of the type there are; 0 if none can be used."""
        backend = usable(self._kind)
        return 0 if backend is None else backend.count()

    def init(self) -> None:
        """Loads the backend, which is otherwise loaded when it is first needed.

        Raises:
            RuntimeError: It can't be; so do all functions that need a device.
        """
        backend_for(self._kind)

    def is_initialized(self) -> bool:
        """Whether the backend is loaded."""
        return self._kind in loaded()

    def current_device(self) -> int:
        """Index of the device that the type's name alone means, in this thread."""
        return self._place(None).index or 0

    def set_device(self, device: Any) -> None:
        """Chooses the device that the type's name alone means, in this thread."""
        set_current_index(self._kind, self._place(device).index or 0)

    def synchronize(self, device: Any = None) -> None:
        """Waits until a device has computed all it was given."""
        self._runtime(device).synchronize()

    def get_device_properties(self, device: Any = None) -> DeviceProperties:
        """What a device says of itself."""
        place = self._place(device)
        describe = getattr(runtime_at(place), "describe", None)
        told = dict(describe()) if callable(describe) else {}
        told["total_memory"] = told.pop("memory", 0)
        return DeviceProperties(**{"name": str(place), "major": 0, "minor": 0, **told})

    def get_device_name(self, device: Any = None) -> str:
        """A device's name, as its vendor writes it."""
        return str(self.get_device_properties(device).name)

    def get_device_capability(self, device: Any = None) -> tuple[int, int]:
        """The two numbers of what the vendor calls capability; (0, 0) where there are none."""
        found = self.get_device_properties(device)
        return int(found.major), int(found.minor)

    def can_device_access_peer(self, device: Any, peer_device: Any) -> bool:
        """Whether data go from one device to the other without the host."""
        from .backend._duties import has_duty

        here, there = self._runtime(device), self._runtime(peer_device)
        return here is not there and has_duty(here, "peer copy")

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        """Whether tensors can be bfloat16."""
        from .backend._registry import dtypes_of

        return usable(self._kind) is not None and bfloat16 in dtypes_of(self._place(None))

    # -- streams -------------------------------------------------------------------------

    def current_stream(self, device: Any = None) -> Stream:
        """The stream that this thread's work on a device goes into."""
        return current_stream(self._place(device))

    def default_stream(self, device: Any = None) -> Stream:
        """The stream that takes what no other does."""
        return default_stream(self._place(device))

    def set_stream(self, stream: Stream | None) -> None:
        """Makes a stream the current one, in this thread; None changes nothing."""
        if stream is not None:
            set_stream(stream)

    def stream(self, stream: Stream | None) -> StreamContext:
        """In a `with` block, makes a stream the current one; None changes nothing."""
        return StreamContext(stream)

    # -- memory --------------------------------------------------------------------------

    def memory_stats(self, device: Any = None) -> dict[str, int]:
        """Bytes by name, such as "allocated_bytes.all.current"; empty if there is no account."""
        return statistics(self._runtime(device)) if self.is_available() else {}

    def memory_allocated(self, device: Any = None) -> int:
        """Bytes that tensors take."""
        return self.memory_stats(device).get("allocated_bytes.all.current", 0)

    def max_memory_allocated(self, device: Any = None) -> int:
        """The most bytes that tensors took, since the start or `reset_peak_memory_stats`."""
        return self.memory_stats(device).get("allocated_bytes.all.peak", 0)

    def memory_reserved(self, device: Any = None) -> int:
        """Bytes that the backend has taken from the device."""
        return self.memory_stats(device).get("reserved_bytes.all.current", 0)

    def max_memory_reserved(self, device: Any = None) -> int:
        """The most bytes that the backend had taken from the device."""
        return self.memory_stats(device).get("reserved_bytes.all.peak", 0)

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Lets the figures of "peak" count from what is allocated now."""
        place = self._place(device)
        reset_peak(runtime_at(place), place)

    reset_max_memory_allocated = reset_peak_memory_stats

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Bytes that are free on a device, and bytes in all."""
        place = self._place(device)
        return free_and_total(runtime_at(place), place)

    def memory_summary(self, device: Any = None, abbreviated: bool = False) -> str:
        """The figures of `memory_stats` for people."""
        place = self._place(device)
        found = self.memory_stats(place)
        if not found:
            return f"device '{place}' keeps no account of its memory"
        rows = [(name, bytes_text(n) if "bytes" in name else str(n)) for name, n in found.items()]
        return f"Memory of {place}\n" + table(("figure", "value"), rows, right="value")

    def empty_cache(self) -> None:
        """Gives back the memory that the devices keep for later."""
        if self.is_initialized():
            empty_caches(self._kind)

    def ipc_collect(self) -> None:
        """Does nothing: device memory is not shared between processes."""

    # -- random numbers ------------------------------------------------------------------

    def _places(self) -> list[Device]:
        backend = backend_for(self._kind)
        if not backend.manifest.indexed:
            return [Device(self._kind)]
        return [Device(self._kind, index) for index in range(backend.count())]

    def manual_seed(self, seed: int) -> None:
        """Seeds the current device; nothing happens where there is none."""
        number = checked_seed("manual_seed", int(seed))
        if self.is_available():
            generator_of(self._place(None)).manual_seed(number)

    def manual_seed_all(self, seed: int) -> None:
        """Seeds all devices of the type; nothing happens where there is none."""
        number = checked_seed("manual_seed_all", int(seed))
        for place in self._places() if self.is_available() else ():
            generator_of(place).manual_seed(number)

    def seed(self) -> None:
        """Seeds the current device from the operating system."""
        self.manual_seed(fresh_seed())

    def seed_all(self) -> None:
        """Seeds all devices of the type from the operating system, alike."""
        self.manual_seed_all(fresh_seed())

    def initial_seed(self) -> int:
        """The seed of the current device."""
        return generator_of(self._place(None)).initial_seed()

    def get_rng_state(self, device: Any = None) -> Any:
        """The state of a device's generator, a uint8 tensor on the CPU."""
        return generator_of(self._place(device)).get_state()

    def set_rng_state(self, new_state: Any, device: Any = None) -> None:
        """Puts a device's generator back to where `get_rng_state` was called."""
        generator_of(self._place(device)).set_state(new_state)

    def get_rng_state_all(self) -> list[Any]:
        """The states of all devices of the type."""
        return [self.get_rng_state(place) for place in self._places()]

    def set_rng_state_all(self, new_states: Iterable[Any]) -> None:
        """Puts all devices' generators back, in order."""
        for place, state in zip(self._places(), new_states, strict=False):
            self.set_rng_state(state, place)

    @property
    def default_generators(self) -> tuple[Any, ...]:
        """The generators that random functions use, one for each device."""
        return tuple(generator_of(place) for place in self._places())

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            # What a backend's package offers by itself, such as a list of all platforms.
            extra = getattr(usable(self._kind), "namespace", None)
            if extra is not None and name in extra:
                return extra[name]
        raise AttributeError(f"module 'rushlight.{self._kind}' has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        own = {n for n in (*dir(type(self)), *self.__dict__) if not n.startswith("_")}
        return sorted(own - set(dir(ModuleType)))

    def __reduce__(self) -> tuple[Any, ...]:
        return device_module, (self._kind,)


class StreamContext:
    """A block in which a stream is the current one."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *raised: object) -> None:
        if self.stream is not None:
            self.stream.__exit__(*raised)


class _Chosen:
    """A block in which a device is the current one of its type; None and -1 change nothing."""

    kind = ""

    def __init__(self, device: Any) -> None:
        if device is None or (isinstance(device, int) and device < 0):
            self.idx = -1
        else:
            self.idx = place_of(device, self.kind).index or 0
        self.prev_idx = -1

    def __enter__(self) -> None:
        if self.idx >= 0:
            self.prev_idx = set_current_index(self.kind, self.idx)

    def __exit__(self, *raised: object) -> None:
        if self.idx >= 0:
            set_current_index(self.kind, self.prev_idx)


class _ChosenOf(_Chosen):
    """A block in which the device of a tensor is the current one, if it is of the type."""

    def __init__(self, obj: Any) -> None:
        place = obj.device
        super().__init__(place.index if place.type == self.kind else None)


def _bound(base: type, kind: str, name: str) -> type:
    made = type(name, (base,), {"kind": kind, "__doc__": base.__doc__})
    made.__module__ = f"rushlight.{kind}"
    return made


def _bound_stream(kind: str) -> type:
    def __init__(self: Any, device: Any = None, priority: int = 0) -> None:
        Stream.__init__(self, place_of(device, kind), priority)

    made = _bound(Stream, kind, "Stream")
    made.__init__ = __init__  # type: ignore[misc]
    return made


def _bound_event(kind: str) -> type:
    def __init__(
        self: Any, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        Event.__init__(
            self, place_of(None, kind), enable_timing=enable_timing, blocking=blocking,
            interprocess=interprocess,
        )  # fmt: skip

    made = _bound(Event, kind, "Event")
    made.__init__ = __init__  # type: ignore[misc]
    return made


def _bound_autocast(kind: str) -> Callable[..., autocast]:
    def bound(
        enabled: bool = True, dtype: Any = None, cache_enabled: bool | None = None
    ) -> autocast:
        return autocast(kind, dtype, enabled, cache_enabled)

    bound.__name__ = "autocast"
    return bound


def device_module(kind: str) -> DeviceModule:
    """The module of a device type, whether its backend is installed or not."""
    found = _modules.get(kind)
    if found is None:
        found = _modules.setdefault(kind, DeviceModule(kind))
        sys.modules.setdefault(found.__name__, found)
    return found


def is_device_type(name: str) -> bool:
    """Whether a name is that of a device type: of a backend, or of an extra of rushlight-core."""
    if name == "cpu" or name in loaded() or name in entry_points(testing=True):
        return True
    from importlib import metadata

    try:
        needed = metadata.requires("rushlight-core") or []
    except metadata.PackageNotFoundError:
        return False
    return any(line.replace("'", '"').endswith(f'extra == "{name}"')
               and line.startswith(f"rushlight-{name}") for line in needed)  # fmt: skip


def get_device_module(device: Any = None) -> DeviceModule:
    """The module of a device's type.

    Args:
        device: A device or its text; by default the current accelerator, or the CPU.
    Raises:
        RuntimeError: No backend or extra has the type.
    Example:
        >>> rushlight.get_device_module("sim").device_count()
        2
    """
    if device is None:
        place = _any.current_accelerator() or Device("cpu")
    else:
        place = device if isinstance(device, Device) else Device(device)
    if not is_device_type(place.type):
        raise error(
            RuntimeError,
            "get_device_module",
            f"there is no device type '{place.type}'",
            expected="one of " + ", ".join(sorted({*loaded(), *entry_points()})),
        )
    return device_module(place.type)


__all__ = ["current_index", "device_module", "get_device_module", "is_device_type"]
