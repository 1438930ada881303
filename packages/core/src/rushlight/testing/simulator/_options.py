"""What can be chosen about the simulated devices, and the faults they can be given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..._dtypes import ALL, DType
from ..._errors import error

VARIABLE = "RUSHLIGHT_SIMULATOR"


@dataclass(frozen=True)
class Options:
    """What a simulated device is like.

    Attributes:
        memory: Bytes that tensors can take on one device.
        queue: Launches that can wait; with so many the device runs them.
        latency: Seconds each launch takes longer.
        strict: Fresh and freed memory is filled with NaN patterns, and reading memory that
            nothing wrote, or that was freed, is an error; so is using memory on one stream while
            another may use it.
        composites: The device has kernels of composites too, not only of primitives.
        without: Names of dtypes the device does not have, such as ("float64", "complex128").
        count: Number of devices.
    """

    memory: int = 512 << 20
    queue: int = 64
    latency: float = 0.0
    strict: bool = False
    composites: bool = True
    without: tuple[str, ...] = ()
    count: int = 2

    def __post_init__(self) -> None:
        unknown = sorted(set(self.without) - {dtype.name for dtype in ALL})
        if unknown or self.memory < 0 or self.queue < 1 or self.count < 1:
            raise error(
                ValueError,
                "simulator",
                f"there are no dtypes {unknown}" if unknown else "a number is out of range",
                given=str(self),
                expected="names of dtypes, memory >= 0, queue >= 1, count >= 1",
            )

    def dtypes(self) -> frozenset[DType]:
        """The dtypes of the device."""
        return frozenset(dtype for dtype in ALL if dtype.name not in self.without)


def from_environment() -> Options:
    """Options as the environment says, as in `RUSHLIGHT_SIMULATOR=strict=1,without=float64`.

    Several dtypes are joined by a plus sign.
    """
    options = Options()
    for part in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, text = part.strip().partition("=")
        if name not in {f.name for f in fields(Options)}:
            raise error(
                ValueError,
                VARIABLE,
                f"there is no option {name!r}",
                given=os.environ[VARIABLE],
                expected=", ".join(f.name for f in fields(Options)),
            )
        known = getattr(options, name)
        value: Any = tuple(filter(None, text.split("+")))
        if not isinstance(known, tuple):
            value = text in ("1", "true", "") if isinstance(known, bool) else type(known)(text)
        options = replace(options, **{name: value})
    return options


@dataclass
class Fault:
    """Something that goes wrong on a device.

    Attributes:
        kind: "kernel" (a launch fails), "memory" (an allocation fails) or "lost" (the device is
            gone, with what lay in its memory, until it is reset).
        operator: Name of the operator whose launches count; None for all.
        after: How many such launches or allocations succeed before.
        message: What the driver says.
        times: How often it happened.
    """

    kind: str
    operator: str | None = None
    after: int = 0
    message: str = "injected fault"
    times: int = 0

    def strikes(self, event: str, operator: str | None) -> bool:
        """Whether it happens now; the first time only."""
        launch = self.kind in ("kernel", "lost")
        if self.times or launch != (event == "launch") or self.operator not in (None, operator):
            return False
        self.after -= 1
        if self.after >= 0:
            return False
        self.times += 1
        return True


@dataclass
class Faults:
    """The faults that a device has still to come."""

    waiting: list[Fault] = field(default_factory=list)

    @contextmanager
    def added(self, fault: Fault) -> Iterator[Fault]:
        """Has one more fault for a time."""
        self.waiting.append(fault)
        try:
            yield fault
        finally:
            self.waiting.remove(fault)

    def struck(self, event: str, operator: str | None = None) -> Fault | None:
        """The fault that happens at an event, "launch" or "allocate", if any."""
        return next((fault for fault in self.waiting if fault.strikes(event, operator)), None)
