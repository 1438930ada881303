"""What a backend may offer beyond its duties, and what the core does where it does not.

`DeviceRuntime`, `Manifest` and `Backend` in `_protocol` are all that a backend owes.  The names
below are reserved for what some devices can do besides: a runtime that has one of them means what
is written here, and a runtime that has none of them is complete.

| Duty         | Name on the runtime           | Where it is absent                                |
|--------------|-------------------------------|---------------------------------------------------|
| description  | `describe()`                  | reports show the device's label only              |
| binding      | `bind(name, kernel, dtype)`   | kernels are called as they were registered        |
| streams      | `stream`, `use_stream`        | all calls run in the order they are made          |
| events       | `record_event`, `elapsed`     | `synchronize()` and the host's clock              |
| pinned memory| `pinned(nbytes)`              | `pin_memory=True` has no effect                   |
| peer copy    | `copy_from_peer`              | data go through host memory                       |
| statistics   | `memory_stats`, `empty_cache` | there are no figures; nothing is cached           |
| autocast     | `autocast_operators()`        | the core's own lists hold                         |
| profiler     | `profile(listener)`           | calls are timed on the host, asynchronous ones    |
|              |                               | by when they were launched                        |
| compile      | `compile(graph)`              | a program runs as one kernel call per operator    |

Protocol 1.0 uses `describe` (`python -m rushlight`) and `bind` (every kernel).  The core may start
to use another in any minor version of the protocol; it never requires one within a major version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from .._dtypes import DType


class OptionalDuties(Protocol):
    """The optional duties of a runtime; each group stands or falls by itself."""

    # description

    def describe(self) -> Mapping[str, str | int | float]:
        """Facts for reports; "name" (as the vendor writes it) and "memory" (bytes) where known."""
        ...

    # binding

    def bind(self, name: str, kernel: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
        """The kernel as the core is to call it for operator `name` and operands of `dtype`."""
        ...

    # streams: queues that run beside each other

    def stream(self, priority: int = 0) -> Any:
        """A new queue; lower numbers go first."""
        ...

    def use_stream(self, stream: Any) -> AbstractContextManager[None]:
        """Sends the calls of a block to a queue; None means the default one."""
        ...

    # events: marks in a queue

    def record_event(self, stream: Any = None) -> Any:
        """A mark after all that is in the queue now."""
        ...

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two marks, which it waits for."""
        ...

    # pinned memory

    def pinned(self, nbytes: int) -> np.ndarray[Any, Any]:
        """Page-locked host memory, as bytes, which the device reads by itself."""
        ...

    # peer copy

    def copy_from_peer(self, native: Any, peer: Any) -> Any:
        """A native array here with the values of one of the runtime `peer` of the same backend."""
        ...

    # statistics

    def memory_stats(self) -> Mapping[str, int]:
        """Bytes by name: "allocated", "peak", "reserved"."""
        ...

    def empty_cache(self) -> None:
        """Gives back memory that is kept for later and not in use."""
        ...

    # autocast

    def autocast_operators(self) -> tuple[frozenset[str], frozenset[str]]:
        """Operators to compute in 16 bits, and those to compute in float32."""
        ...

    # profiler

    def profile(
        self, listener: Callable[[str, float, float], None]
    ) -> AbstractContextManager[None]:
        """Tells name, start and duration (microseconds) of each kernel of a block."""
        ...

    # compile

    def compile(self, graph: Any) -> Callable[..., Any]:
        """A callable of native arrays for a captured program."""
        ...


#: Optional duties by name, with the attributes that a runtime has for each.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "description": ("describe",),
    "binding": ("bind",),
    "streams": ("stream", "use_stream"),
    "events": ("record_event", "elapsed"),
    "pinned memory": ("pinned",),
    "peer copy": ("copy_from_peer",),
    "statistics": ("memory_stats", "empty_cache"),
    "autocast": ("autocast_operators",),
    "profiler": ("profile",),
    "compile": ("compile",),
}


def optional_duties(runtime: Any) -> list[str]:
    """The optional duties that a runtime takes on.

    Example:
        >>> from rushlight.backend import ArrayDevice, optional_duties
        >>> optional_duties(ArrayDevice())
        []
    """
    return [
        duty
        for duty, names in OPTIONAL.items()
        if all(callable(getattr(runtime, name, None)) for name in names)
    ]
