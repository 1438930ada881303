"""Devices that are not the host: which there are, which is meant, and what they tell of memory."""

from __future__ import annotations

import os
from typing import Any

from .._config import settings
from .._device import device as Device
from .._errors import error
from .._modes import STATE
from ._current import current_index
from ._duties import has_duty
from ._protocol import Backend, DeviceRuntime
from ._registry import backend_for, entry_points, normalized

#: Names the device type to use where several are installed.
VARIABLE = "RUSHLIGHT_ACCELERATOR"
_found: list[str] = []


def usable(kind: str) -> Backend | None:
    """The backend of a device type if it can be loaded and has a device, else None."""
    try:
        backend = backend_for(kind)
        return backend if backend.count() > 0 else None
    except Exception:  # whoever asks for the device is told; who asks whether there is one, no
        return None


def accelerator_type() -> str | None:
    """The device type that is meant where none is named, None if there is only the host.

    The first of: what the environment variable says, the type of the default device, installed
    types in alphabetical order.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted:
        return wanted if usable(wanted) else None
    default = STATE.get().device or settings.default_device
    candidates = [] if default is None or default.type == "meta" else [default.type]
    for kind in candidates + (_found or sorted(entry_points())):
        backend = usable(kind)
        if backend is not None and not backend.manifest.host_memory:
            if kind not in candidates:
                _found[:] = [kind]
            return str(kind)
    return None


def place_of(given: Any, kind: str | None = None, *, host_too: bool = False) -> Device:
    """The device that is meant, with its index.

    Args:
        given: A device, its text, an index, or None for the current device.
        kind: The device type of an index and of None; by default the current accelerator.
        host_too: Without an accelerator, None means the host; else that is an error.
    Raises:
        RuntimeError: No such device, or no accelerator.
        ValueError: A device of another type than `kind`.
    """
    if isinstance(given, int) or given is None:
        chosen = kind or accelerator_type()
        if chosen is None:
            if host_too and given is None:
                return Device("cpu")
            raise no_accelerator()
        index = given if given is not None and given >= 0 else current_index(chosen)
        return normalized(Device(chosen, index if backend_for(chosen).manifest.indexed else None))
    made = normalized(given)
    if kind is not None and made.type != kind:
        raise error(
            ValueError, kind, f"Expected a {kind} device, but got: {made}",
            fix=f"use '{kind}', or rushlight.{made.type}",
        )  # fmt: skip
    return made


def no_accelerator() -> Exception:
    """The error for asking after an accelerator where there is none."""
    return error(
        RuntimeError,
        "accelerator",
        "Cannot access accelerator device when none is available",
        fix="ask rushlight.accelerator.is_available() first; python -m rushlight tells what is "
        f"installed, {VARIABLE} chooses among several",
    )


def runtime_at(place: Device) -> Any:
    """The runtime of a device; None for the meta device."""
    return None if place.type == "meta" else backend_for(place.type).runtime(place.index or 0)


# -- what a device tells of its memory ---------------------------------------------------------


def statistics(runtime: DeviceRuntime) -> dict[str, int]:
    """Bytes by name as torch has them; empty where the device keeps no account."""
    if not has_duty(runtime, "statistics"):
        return {}
    told = dict(runtime.memory_stats())  # type: ignore[attr-defined]
    found: dict[str, int] = {}
    for name, current, peak in (
        ("allocated_bytes", "allocated", "peak"),
        ("reserved_bytes", "reserved", "peak_reserved"),
    ):
        now = told.pop(current, 0)
        found[f"{name}.all.current"] = now
        found[f"{name}.all.peak"] = max(told.pop(peak, now), now)
    return {**found, **told}


def free_and_total(runtime: DeviceRuntime, place: Device) -> tuple[int, int]:
    """Bytes that are free and in all.

    Raises:
        RuntimeError: The device does not say.
    """
    if not has_duty(runtime, "free memory"):
        raise error(
            RuntimeError,
            f"device '{place}'",
            "its backend does not tell how much memory is free",
            fix="ask memory_allocated(), which counts what tensors take",
        )
    free, total = runtime.memory_info()  # type: ignore[attr-defined]
    return int(free), int(total)


def reset_peak(runtime: DeviceRuntime, place: Device) -> None:
    """Lets peaks count from now.

    Raises:
        RuntimeError: The device can't.
    """
    if has_duty(runtime, "peaks"):
        runtime.reset_peak()  # type: ignore[attr-defined]
    elif has_duty(runtime, "statistics"):
        raise error(
            RuntimeError,
            f"device '{place}'",
            "its backend can't start the peak of memory anew",
            fix="compare memory_allocated() before and after instead",
        )


def empty_caches(kind: str) -> None:
    """Gives back what the devices of a type keep and do not use."""
    backend = backend_for(kind)
    for index in range(backend.count()):
        runtime = backend.opened(index)
        if runtime is not None and has_duty(runtime, "statistics"):
            runtime.empty_cache()  # type: ignore[attr-defined]
