"""A simulated device, `device="sim"`: what a device that is not the host demands of the core.

Its memory is not the host's, its kernels run later than they are called, in order, into memory that
was allocated before from what the meta functions say, and it can be short of memory, lack dtypes or
fail.  It computes with the array family's kernels, so its results are the CPU's: what differs is
wrong in the core.  It is also a template for the backend of a real device: `_device` has all of a
device's duties, and only `_hardware` knows that there is no hardware.

    RUSHLIGHT_SIMULATOR=strict=1,without=float64+complex128 pytest --device=sim
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..._errors import error
from ..._registered import operators
from ...backend import Backend, Manifest, hookimpl
from ...backend._protocol import KernelEntry
from ...backend.arrays import array_kernels
from ._array import SimArray as SimArray
from ._device import SimDevice as SimDevice
from ._options import Fault as Fault
from ._options import Options as Options
from ._options import from_environment


class Simulator(Backend):
    """A backend of simulated devices.

    Args:
        name: The device type.
        options: What the devices are like.

    Example:
        >>> import rushlight.backend
        >>> from rushlight.testing.simulator import Options, Simulator
        >>> rushlight.backend.register(Simulator("tiny", Options(memory=1024)))
        >>> rushlight.ones(2, device="tiny").device
        device(type='tiny', index=0)
    """

    def __init__(self, name: str, options: Options) -> None:
        self.options = options
        super().__init__(
            name,
            device=lambda index: SimDevice(name, index, self.options),
            manifest=Manifest(
                dtypes=options.dtypes(),
                host_memory=False,
                indexed=True,
                notes="a simulation, for tests"
                + (f"; no {', '.join(options.without)}" if options.without else ""),
            ),
            kernels=_instructions(options),
            count=lambda: self.options.count,
        )

    def device(self, index: int = 0) -> SimDevice:
        """One of the devices."""
        found: Any = self.runtime(index)
        return found  # type: ignore[no-any-return]

    def configure(self, **changes: Any) -> None:
        """Changes options; those of memory and dtypes only before the first tensor.

        Raises:
            RuntimeError: The devices are in use.
        """
        fixed = sorted({"memory", "without", "composites"} & changes.keys())
        if fixed and self._runtimes:
            raise error(
                RuntimeError,
                "simulator.configure",
                f"{', '.join(fixed)} can't be changed any more: the device is in use",
                fix="register a Simulator with these options under another name",
            )
        self.options = replace(self.options, **changes)
        if fixed:
            again = Simulator(self.name, self.options)
            self.manifest, self._kernels = again.manifest, again._kernels
        for device in self._runtimes.values():
            device.options = self.options  # type: ignore[attr-defined]

    def fault(
        self, kind: str, operator: str | None = None, *, index: int = 0, after: int = 0,
        message: str = "injected fault",
    ) -> AbstractContextManager[Fault]:  # fmt: skip
        """Makes something go wrong once, within a `with` block.

        Args:
            kind: "kernel", "memory" or "lost"; see `Fault`.
            operator: The operator whose launch fails; any by default.
            index: Which device.
            after: How many launches, or allocations, succeed before.
            message: What the driver says.
        """
        if kind not in ("kernel", "memory", "lost"):
            raise error(
                ValueError, "simulator.fault", f"there is no fault {kind!r}",
                expected="'kernel', 'memory' or 'lost'",
            )  # fmt: skip
        return self.device(index).faults.added(Fault(kind, operator, after, message))


def _instructions(options: Options) -> Mapping[str, KernelEntry]:
    """The array family's kernels; without composites only those that have no decomposition."""
    kernels = array_kernels(np)
    if options.composites:
        return kernels
    return {
        name: kernel
        for name, kernel in kernels.items()
        if name in operators and operators[name].decomposition_rule is None
    }


backend = Simulator("sim", from_environment())


def configure(**options: Any) -> None:
    """Changes what the devices of type "sim" are like; see `Options`.

    Example:
        >>> from rushlight.testing import simulator
        >>> simulator.configure(strict=True)
        >>> simulator.configure(strict=False)
    """
    unknown = sorted(options.keys() - {f.name for f in fields(Options)})
    if unknown:
        raise error(
            TypeError, "simulator.configure", f"there are no options {unknown}",
            expected=", ".join(f.name for f in fields(Options)),
        )  # fmt: skip
    backend.configure(**options)


@hookimpl
def rushlight_backend() -> Backend:
    """The backend, for the plugin manager."""
    return backend
