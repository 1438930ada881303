"""What a backend may offer beyond its duties, and what the core does where it does not.

`DeviceRuntime`, `Manifest` and `Backend` in `_protocol` are all that a backend owes.  The names
below are reserved for what some devices can do besides: a runtime that has one of them means what
is written here, and a runtime that has none of them is complete.

| Duty         | Names on the runtime          | Who uses it           | Where it is absent        |
|--------------|-------------------------------|-----------------------|---------------------------|
| description  | `describe`                    | reports, names and    | the device's label only   |
|              |                               | properties of devices |                           |
| dtypes       | `dtypes`                      | new tensors, reports, | all of the manifest's     |
|              |                               | skips of tests        |                           |
| binding      | `bind`                        | every kernel          | kernels are called as     |
|              |                               |                       | they were registered      |
| streams      | `stream`, `use_stream`,       | `rushlight.Stream`    | one queue: all streams    |
|              | `stream_done`                 |                       | are the default one       |
| events       | `record_event`, `wait_event`, | `rushlight.Event`,    | `synchronize` and the     |
|              | `event_done`,                 | waiting among streams | host's clock              |
|              | `synchronize_event`, `elapsed`|                       |                           |
| stream memory| `record_stream`               | `Tensor.record_stream`| nothing is done           |
| pinned memory| `pinned`                      | `Tensor.pin_memory`   | there is none             |
| late copies  | `from_host_async`             | `non_blocking=True`   | `from_host`               |
| peer copy    | `copy_from_peer`              | `Tensor.to`           | data go through the host  |
| statistics   | `memory_stats`, `empty_cache` | `memory_allocated` ...| no figures, no cache      |
| peaks        | `reset_peak`                  | `reset_peak_memory_...| peaks are since the start |
| free memory  | `memory_info`                 | `mem_get_info`        | an error that says so     |
| autocast     | `autocast_operators`          | `rushlight.autocast`  | the core's own lists      |
| profiler     | `profile`                     | `rushlight.profiler`  | host times only           |
| compile      | `compile_graph`               | reserved              | one kernel call for each  |
|              |                               |                       | operator                  |

Protocol 1.0 uses `describe` and `bind`; 1.1 all but `dtypes` and `compile_graph`; 1.2
all but `compile_graph`, which is kept for `rushlight.compile` (up to 1.1 it was named `compile`,
which kernel launchers have too).  The core may start to use another in any minor version of the
protocol; it never requires one within a major version.

A call that needs more memory than there is raises `rushlight.OutOfMemoryError`, which stands in
`rushlight.backend` too; a plain `MemoryError` of a kernel or of `allocate` is told as one.
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
        """Facts for reports and properties, where they are known.

        "name" (as the vendor writes it) and "memory" (bytes) are shown everywhere; "major" and
        "minor" (of what the vendor calls capability) and "multi_processor_count" have meaning to
        programs; others are passed on as they are.
        """
        ...

    # dtypes

    def dtypes(self) -> frozenset[DType]:
        """Dtypes that tensors can have on this device, where devices of the type differ.

        Those that the manifest leaves out are not looked at.
        """
        ...

    # binding

    def bind(
        self, name: str, kernel: Callable[..., Any], dtype: DType
    ) -> Callable[..., Any] | None:
        """The kernel as the core is to call it for operator `name` and operands of `dtype`.

        None where this device had better compose the operator of others (protocol 1.2).
        """
        ...

    # streams: queues that run beside each other.  A stream is whatever `stream` returns, opaque to
    # the core; None is the default one.

    def stream(self, priority: int = 0) -> Any:
        """A new queue; lower numbers go first."""
        ...

    def use_stream(self, stream: Any) -> AbstractContextManager[None]:
        """Sends the calls of a block, in this thread, to a queue.

        The core leaves one block of a device before it enters the next in the same thread.
        """
        ...

    def stream_done(self, stream: Any) -> bool:
        """Whether all that was put into a queue has run."""
        ...

    # events: marks in a queue

    def record_event(self, stream: Any = None) -> Any:
        """A mark after all that is in the queue now."""
        ...

    def wait_event(self, event: Any, stream: Any = None) -> None:
        """What is put into a queue from now on runs after a mark, which may be another queue's."""
        ...

    def event_done(self, event: Any) -> bool:
        """Whether all before a mark has run."""
        ...

    def synchronize_event(self, event: Any) -> None:
        """Waits, on the host, until all before a mark has run; raises as `synchronize` does."""
        ...

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two marks, which it waits for."""
        ...

    # stream memory

    def record_stream(self, buffer: Any, stream: Any) -> None:
        """A buffer is used by a queue that is not the one it was allocated for.

        When it is freed, its memory is kept until what the queue holds by then has run.
        """
        ...

    # pinned memory

    def pinned(self, nbytes: int) -> np.ndarray[Any, Any]:
        """Page-locked host memory, as an array of bytes, which the device reads by itself.

        It lives as long as the array or a view of it, and may be used again after that.
        """
        ...

    # late copies

    def from_host_async(self, array: np.ndarray[Any, Any]) -> Any:
        """As `from_host`, of contiguous pinned memory, and it need not wait for the copy.

        The copy takes its place in the current queue; the runtime holds the array until then.
        """
        ...

    # peer copy

    def copy_from_peer(self, native: Any, peer: Any) -> Any:
        """A native array here with the values of one of the runtime `peer` of the same backend."""
        ...

    # statistics

    def memory_stats(self) -> Mapping[str, int]:
        """Bytes by name: "allocated", "peak" (of allocated), "reserved" (from the system).

        Other names are passed on as they are; "allocations" and "frees" count, if they are there.
        """
        ...

    def empty_cache(self) -> None:
        """Gives back memory that is kept for later and not in use."""
        ...

    # peaks

    def reset_peak(self) -> None:
        """From now on "peak" in `memory_stats` counts from what is allocated now."""
        ...

    # free memory

    def memory_info(self) -> tuple[int, int]:
        """Bytes that are free, and bytes in all, for all programs together."""
        ...

    # autocast

    def autocast_operators(self) -> tuple[frozenset[str], frozenset[str]]:
        """Operators to compute in 16 bits, and those to compute in float32."""
        ...

    # profiler

    def profile(
        self, listener: Callable[[str, float, float], None]
    ) -> AbstractContextManager[None]:
        """Tells name, start and duration of each kernel of a block, at its end at the latest.

        Both are microseconds; starts count as `time.perf_counter` does, as well as the device's
        clock allows.
        """
        ...

    # compile

    def compile_graph(self, graph: Any) -> Callable[..., Any]:
        """A callable of native arrays for a captured program."""
        ...


#: Optional duties by name, with the attributes that a runtime has for each.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "description": ("describe",),
    "dtypes": ("dtypes",),
    "binding": ("bind",),
    "streams": ("stream", "use_stream", "stream_done"),
    "events": ("record_event", "wait_event", "event_done", "synchronize_event", "elapsed"),
    "stream memory": ("record_stream",),
    "pinned memory": ("pinned",),
    "late copies": ("from_host_async",),
    "peer copy": ("copy_from_peer",),
    "statistics": ("memory_stats", "empty_cache"),
    "peaks": ("reset_peak",),
    "free memory": ("memory_info",),
    "autocast": ("autocast_operators",),
    "profiler": ("profile",),
    "compile": ("compile_graph",),
}


def optional_duties(runtime: Any) -> list[str]:
    """The optional duties that a runtime takes on.

    Example:
        >>> from rushlight.backend import ArrayDevice, optional_duties
        >>> optional_duties(ArrayDevice())
        []
    """
    return [duty for duty in OPTIONAL if has_duty(runtime, duty)]


def has_duty(runtime: Any, duty: str) -> bool:
    """Whether a runtime takes on an optional duty, which needs all of its names."""
    return all(callable(getattr(runtime, name, None)) for name in OPTIONAL[duty])
