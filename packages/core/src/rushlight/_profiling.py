"""What `rushlight.profiler` measures with: a listener below autograd that times operator calls.

It takes the place of a capture's recorder, so nothing is paid where no profiler runs.  Forward,
backward and optimiser steps come by, with what a decomposition calls nested in it.  Kernels of
devices whose runtime has the duty "profiler" are told by the device itself.
"""

from __future__ import annotations

import functools
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ._detour import calling_module
from ._dispatch import execute_kernel
from ._modes import STATE
from ._tensor.tensor import Tensor, storage_of
from ._writes import move_data
from .backend import Kind, loaded
from .backend._duties import has_duty

if TYPE_CHECKING:
    from ._operator import Operator


class FunctionEvent:
    """One call, block or kernel.

    Attributes:
        name: The operator, the label of a `record_function` block, or the device's kernel.
        start, duration: In microseconds; of a kernel by the device's clock.
        kind: "operator", "block" or "kernel".
        children: Calls and blocks within it.
        nbytes: Bytes of the results, on the host and on devices.
        input_shapes, stack, module_path: As far as they were asked for.
    """

    __slots__ = (
        "children", "device_type", "duration", "input_shapes", "kind", "module_path", "name",
        "nbytes", "stack", "start", "thread",
    )  # fmt: skip

    def __init__(self, name: str, kind: str, start: float, duration: float = 0.0) -> None:
        self.name, self.kind, self.start, self.duration = name, kind, start, duration
        self.children: list[FunctionEvent] = []
        self.nbytes = [0, 0]
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.module_path = ""
        self.device_type = "cpu"
        self.thread = 0

    @property
    def self_duration(self) -> float:
        """Without what is nested in it."""
        return max(self.duration - sum(child.duration for child in self.children), 0.0)

    def __repr__(self) -> str:
        return f"<FunctionEvent {self.name} {self.duration:.3f}us>"


class Listener:
    """Listens to the calls of a thread, between `start` and `stop`.

    Args:
        shapes: Keeps the operands' shapes.
        memory: Counts the bytes of results.
        stack: Keeps the line of the program.
        modules: Keeps the path of the module.
    """

    def __init__(
        self, *, shapes: bool = False, memory: bool = False, stack: bool = False,
        modules: bool = False,
    ) -> None:  # fmt: skip
        self.shapes, self.memory, self.stack, self.modules = shapes, memory, stack, modules
        self.events: list[FunctionEvent] = []
        self._open: list[FunctionEvent] = []
        self._devices = ExitStack()
        self._token: Any = None

    def start(self) -> None:
        """Begins to listen, in this thread and to all devices in use."""
        self._devices = ExitStack()
        for backend in loaded().values():
            for index in range(backend.count()):
                runtime = backend.opened(index)
                if runtime is not None and has_duty(runtime, "profiler"):
                    hear = functools.partial(self._kernel, backend.name)
                    self._devices.enter_context(runtime.profile(hear))
        self._token = STATE.set(STATE.get().but(recorder=self))

    def stop(self) -> None:
        """Ends; devices that are asynchronous tell what they have still to tell."""
        STATE.reset(self._token)
        self._devices.close()

    def _kernel(self, device_type: str, name: str, start: float, duration: float) -> None:
        event = FunctionEvent(name, "kernel", start, duration)
        event.device_type = device_type
        self.events.append(event)

    def begin(self, name: str, kind: str) -> FunctionEvent:
        """Opens an event within the one that is open."""
        event = FunctionEvent(name, kind, 0.0)
        if self._open:
            self._open[-1].children.append(event)
        self.events.append(event)
        self._open.append(event)
        if self.modules:
            event.module_path = calling_module()
        if self.stack:
            event.stack = [_line()]
        event.start = time.perf_counter() * 1e6
        return event

    def end(self, event: FunctionEvent) -> None:
        """Closes an event, and what was left open in it."""
        now = time.perf_counter() * 1e6
        while self._open:
            last = self._open.pop()
            last.duration = now - last.start
            if last is event:
                break

    # -- what dispatch tells a recorder ----------------------------------------------------

    def execute(
        self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind
    ) -> Any:
        """A call."""
        event = self.begin(op.name, "operator")
        try:
            results = execute_kernel(op, inputs, attributes, kind)
        finally:
            self.end(event)
        if self.shapes:
            event.input_shapes = [[] if x is None else list(x.shape) for x in inputs]
        if self.memory and not kind.is_meta:
            outs = results if isinstance(results, tuple) else (results,)
            place = 0 if kind.device.type == "cpu" else 1
            event.nbytes[place] = sum(out.nbytes for out in outs if out is not None)
        return results

    def write(self, x: Tensor, value: Tensor) -> None:
        """An in-place write."""
        event = self.begin("copy_", "operator")
        try:
            move_data(x, value)
        finally:
            self.end(event)
        if self.shapes:
            event.input_shapes = [list(x.shape), list(value.shape)]
        storage_of(x).version += 1

    def view(self, op: Operator, x: Tensor, attributes: dict[str, Any], out: Tensor) -> None:
        """A view: no data, no time worth telling."""

    def alias(self, x: Tensor, out: Tensor) -> None:
        """The same memory under another tensor."""

    def read(self, x: Tensor, who: str) -> None:
        """Data leaving for Python."""

    def reserve(self, generator: Any, blocks: int) -> Any:
        """A random draw."""
        return generator.take(blocks)


def _line() -> str:
    """The innermost line outside this library."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != "rushlight":
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}({frame.f_lineno}): {frame.f_code.co_name}"


class record_function:
    """Gives a block, or the calls of a function, a name in what a profiler shows.

    Args:
        name: The label.
        args: Text that is shown beside it, in traces.
    Example:
        >>> with rushlight.profiler.profile() as prof:
        ...     with rushlight.profiler.record_function("my block"):
        ...         x = rushlight.ones(2) + 1
        >>> [event.key for event in prof.key_averages() if " " in event.key]
        ['my block']
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._events: list[tuple[Listener, FunctionEvent] | None] = []

    def __enter__(self) -> record_function:
        listener = STATE.get().recorder
        if isinstance(listener, Listener):
            self._events.append((listener, listener.begin(self.name, "block")))
        else:
            self._events.append(None)
        return self

    def __exit__(self, *raised: object) -> None:
        opened = self._events.pop()
        if opened is not None:
            opened[0].end(opened[1])

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return wrapped
