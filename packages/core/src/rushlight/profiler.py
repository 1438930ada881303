"""`rushlight.profiler`: where the time of a program goes, as `torch.profiler`.

Times are those of operator calls on the host; where a device's backend tells them, its kernels
stand beside them with the device's own times.  An asynchronous device that does not tell shows as
the time it takes to launch.
"""

from __future__ import annotations

import enum
import json
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from ._errors import error
from ._profiling import FunctionEvent, Listener
from ._profiling import record_function as record_function
from .backend._tables import bytes_text, table


class ProfilerActivity(enum.Enum):
    """What to look at: calls on the host, and kernels of accelerators."""

    CPU = 0
    ACCELERATOR = 1


class ProfilerAction(enum.Enum):
    """What a profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """All activities."""
    return set(ProfilerActivity)


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:  # fmt: skip
    """Which steps to record: cycles of waiting, warming up and recording.

    Args:
        wait, warmup, active: Steps of each part of a cycle.
        repeat: How many cycles; 0 means without end.
        skip_first: Steps before the first cycle.
        skip_first_wait: Leaves out the waiting of the first cycle, if not 0.
    Raises:
        ValueError: A negative number, or `active` is 0.
    Example:
        >>> steps = rushlight.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
        >>> [steps(n).name for n in range(5)]
        ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    numbers = (wait, warmup, active, repeat, skip_first)
    if min(numbers) < 0 or active == 0:
        raise error(
            ValueError, "schedule", "Invalid profiler schedule arguments",
            given=f"wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, "
            f"skip_first={skip_first}",
            expected="numbers from 0 up, and active of at least 1",
        )  # fmt: skip

    def action(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        cycle = wait + warmup + active
        if repeat and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class FunctionEventAvg:
    """All events of one key together; times in microseconds.

    Attributes:
        key: Name of the operator, block or kernel.
        count: How many calls.
        cpu_time_total, self_cpu_time_total: With and without what is nested in them.
        device_time_total: By the device's clock; 0 where its backend does not tell.
        cpu_memory_usage, device_memory_usage: Bytes of results, nested ones too.
        self_cpu_memory_usage, self_device_memory_usage: The same without nested ones.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = self.device_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.module_path = ""

    @property
    def cpu_time(self) -> float:
        """Microseconds per call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """Microseconds per call, by the device's clock."""
        return self.device_time_total / self.count if self.count else 0.0

    @property
    def self_device_time_total(self) -> float:
        """As `device_time_total`: kernels do not nest."""
        return self.device_time_total

    def add(self, event: FunctionEvent) -> None:
        """Counts an event in."""
        if event.kind == "kernel":
            self.device_time_total += event.duration
            return
        self.count += 1
        self.cpu_time_total += event.duration
        self.self_cpu_time_total += event.self_duration
        own, nested = event.nbytes, [sum(c.nbytes[i] for c in event.children) for i in (0, 1)]
        self.cpu_memory_usage += max(own[0], nested[0])
        self.device_memory_usage += max(own[1], nested[1])
        if not event.children:
            self.self_cpu_memory_usage += own[0]
            self.self_device_memory_usage += own[1]

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total:.3f}us "
            f"cpu_time={self.cpu_time:.3f}us count={self.count}>"
        )


class EventList(list[Any]):
    """Averages or events, with a table of them."""

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all together."""
        return float(sum(event.self_cpu_time_total for event in self))

    def total_average(self) -> FunctionEventAvg:
        """All rows in one."""
        total = FunctionEventAvg("Total")
        for row in self:
            for name in vars(total):
                if name in ("count",) or "time" in name or "usage" in name:
                    setattr(total, name, getattr(total, name) + getattr(row, name))
        return total

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_name_column_width: int = 55,
        header: str | None = None, **ignored: Any,
    ) -> str:  # fmt: skip
        """The rows for people.

        Args:
            sort_by: A figure such as "self_cpu_time_total", the largest first; by default the
                order of the first calls.
            row_limit: At most so many rows; -1 for all.
            max_name_column_width: Longer names are cut.
            header: A line above.
            **ignored: Other arguments of torch's, which change looks only.
        Raises:
            AttributeError: There is no such figure.
        """
        rows = list(self)
        if sort_by is not None:
            if sort_by not in _SORTABLE:
                raise error(
                    AttributeError, "table", f"there is no figure '{sort_by}' to sort by",
                    expected=", ".join(_SORTABLE),
                )  # fmt: skip
            rows.sort(key=lambda row: -getattr(row, sort_by))
        total = self.self_cpu_time_total or 1.0
        columns: list[tuple[str, Callable[[FunctionEventAvg], str]]] = [
            ("Name", lambda r: r.key[:max_name_column_width]),
            ("Self CPU %", lambda r: f"{100 * r.self_cpu_time_total / total:.2f}%"),
            ("Self CPU", lambda r: _time(r.self_cpu_time_total)),
            ("CPU total %", lambda r: f"{100 * r.cpu_time_total / total:.2f}%"),
            ("CPU total", lambda r: _time(r.cpu_time_total)),
            ("CPU time avg", lambda r: _time(r.cpu_time)),
        ]
        if any(row.device_time_total for row in rows):
            columns += [
                ("Device total", lambda r: _time(r.device_time_total)),
                ("Device time avg", lambda r: _time(r.device_time)),
            ]
        if any(row.cpu_memory_usage for row in rows):
            columns.append(("CPU Mem", lambda r: bytes_text(r.cpu_memory_usage)))
        if any(row.device_memory_usage for row in rows):
            columns.append(("Device Mem", lambda r: bytes_text(r.device_memory_usage)))
        columns.append(("# of Calls", lambda r: str(r.count)))
        if any(row.input_shapes for row in rows):
            columns.append(("Input Shapes", lambda r: str(r.input_shapes)))
        if any(row.module_path for row in rows):
            columns.append(("Module", lambda r: r.module_path))
        shown = rows if row_limit < 0 else rows[:row_limit]
        cells = [[show(row) for _, show in columns] for row in shown]
        names = [name for name, _ in columns]
        right = ",".join(n for n in names if n not in ("Name", "Input Shapes", "Module"))
        text = table(names, cells, right=right)
        last = f"Self CPU time total: {_time(self.self_cpu_time_total)}"
        return "\n".join(filter(None, [header, text, last]))

    def __str__(self) -> str:
        return self.table()


_SORTABLE = (
    "cpu_time", "cpu_time_total", "self_cpu_time_total", "device_time", "device_time_total",
    "self_device_time_total", "cpu_memory_usage", "self_cpu_memory_usage", "device_memory_usage",
    "self_device_memory_usage", "count",
)  # fmt: skip


def _time(us: float) -> str:
    """Microseconds in the unit that fits."""
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


class profile:
    """Records the operator calls of a block, in this thread.

    Args:
        activities: Which `ProfilerActivity` to show; all by default.
        schedule: Which steps to record, see `schedule`; `step` is called after each.
        on_trace_ready: Called with the profiler at the end of a recording.
        record_shapes: Keeps operands' shapes.
        profile_memory: Counts the bytes of results.
        with_stack: Keeps the line of the program that called.
        with_modules: Keeps the path of the module that called.
        **ignored: Other arguments of torch's, which have nothing to change here.
    Example:
        >>> with rushlight.profiler.profile(record_shapes=True) as prof:
        ...     x = rushlight.ones(2, 3) + 1
        >>> rows = prof.key_averages(group_by_input_shape=True)
        >>> [(row.key, row.count) for row in rows if row.key == "add"]
        [('add', 1)]
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        **ignored: Any,
    ) -> None:
        self.activities = set(ProfilerActivity) if activities is None else set(activities)
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self._options = {
            "shapes": record_shapes, "memory": profile_memory, "stack": with_stack,
            "modules": with_modules,
        }  # fmt: skip
        self._listener: Listener | None = None
        self._events: list[FunctionEvent] = []
        self._step: Any = None

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def start(self) -> None:
        """Begins, as entering the block does."""
        self._begin()

    def stop(self) -> None:
        """Ends, as leaving the block does."""
        self._finish(save=True)

    def _begin(self) -> None:
        records = self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if records and self._listener is None:
            self._listener = Listener(**self._options)
            self._listener.start()
        if records and self.schedule is not None:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _finish(self, *, save: bool) -> None:
        if self._step is not None:
            self._step.__exit__()
            self._step = None
        if save and self._listener is not None:
            self._listener.stop()
            self._events, self._listener = self._listener.events, None
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def step(self) -> None:
        """Says that a step of the program is over."""
        self._finish(save=self._action() is ProfilerAction.RECORD_AND_SAVE)
        self.step_num += 1
        self._begin()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    # -- what was found --------------------------------------------------------------------

    def events(self) -> EventList:
        """The events of the last recording, in the order in which they began."""
        shown = [
            e for e in self._events
            if (ProfilerActivity.ACCELERATOR if e.kind == "kernel" else ProfilerActivity.CPU)
            in self.activities
        ]  # fmt: skip
        return EventList(sorted(shown, key=lambda e: e.start))

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """The events of each name together.

        Args:
            group_by_input_shape: Calls with other shapes are other rows.
            group_by_stack_n: If not 0, calls of other lines and modules are other rows.
        """
        rows: dict[Any, FunctionEventAvg] = {}
        by_name: dict[str, FunctionEventAvg] = {}
        kernels = []
        for event in self.events():
            if event.kind == "kernel":
                kernels.append(event)
                continue
            shapes = event.input_shapes if group_by_input_shape else []
            where = (event.stack, event.module_path) if group_by_stack_n else None
            key = (event.name, str(shapes), str(where))
            row = rows.get(key)
            if row is None:
                row = rows[key] = FunctionEventAvg(event.name)
                row.input_shapes = shapes
                if group_by_stack_n:
                    row.stack, row.module_path = event.stack, event.module_path
            row.add(event)
            by_name.setdefault(event.name, row)
        for kernel in kernels:  # of the operator of that name, else a row of its own
            row = by_name.get(kernel.name)
            if row is None:
                row = by_name[kernel.name] = rows[kernel.name] = FunctionEventAvg(kernel.name)
            row.add(kernel)
        return EventList(rows.values())

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events as JSON that chrome://tracing and Perfetto read."""
        found = []
        for event in self.events():
            extra: dict[str, Any] = {}
            if event.input_shapes:
                extra["Input Dims"] = event.input_shapes
            if event.stack:
                extra["Call stack"] = event.stack
            if event.module_path:
                extra["Module"] = event.module_path
            if any(event.nbytes):
                extra["Bytes"] = sum(event.nbytes)
            found.append({
                "ph": "X", "cat": {"operator": "cpu_op", "block": "user_annotation"}.get(
                    event.kind, event.kind),
                "name": event.name, "pid": event.device_type if event.kind == "kernel" else
                os.getpid(), "tid": 0, "ts": event.start, "dur": event.duration, "args": extra,
            })  # fmt: skip
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": found, "displayTimeUnit": "ms"}, file)


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """For `on_trace_ready`: writes each recording to a file in a folder.

    Args:
        dir_name: The folder, made if need be.
        worker_name: Beginning of the files' names; by default the host's name and the process.
        use_gzip: Compresses the files.
    """

    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        path = os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json")
        prof.export_chrome_trace(path)
        if use_gzip:
            import gzip

            with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as packed:
                packed.writelines(plain)
            os.remove(path)

    return handler


__all__ = [
    "EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity",
    "profile", "record_function", "schedule", "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip
