"""The backend that gets a defect: the host's kernels under a device type of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from ..._dtypes import DType
from ...backend import Backend, Manifest, backend_for, register
from ._defect import Defect, Kernel
from ._devices import HostVictim, QueueVictim

_numbers = count()


class Victim(Backend):
    """A backend of two devices that computes with the host's kernels, all but those spoilt.

    Args:
        name: The device type.
        make: Makes the runtime of a device by its label and index.
        queue: Whether that is one with a queue.
        defect: What is wrong with the kernels, if anything is.
        called: Gets the name of each kernel that is called, if given.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[str, int], Any],
        *,
        queue: bool = False,
        defect: Defect | None = None,
        called: set[str] | None = None,
    ) -> None:
        self._called = called
        self._sound = backend_for("cpu")
        self._defect = defect if defect is not None and defect.spoil is not None else None
        self._spoilt: dict[tuple[str, str], Kernel] = {}
        super().__init__(
            name,
            device=lambda index: make(name, index),
            manifest=Manifest(notes=defect.description if defect else "nothing is wrong"),
            # A device whose results are allocated beforehand gets `out=` in any case.
            accepts_out=frozenset() if queue else frozenset(self._sound.accepts_out),
            count=lambda: 2,
        )

    def kernel_names(self) -> list[str]:
        """Names of all operators with a kernel."""
        return self._sound.kernel_names()

    def find_kernel(self, name: str, dtype: DType) -> Kernel | None:
        """The kernel of an operator, spoilt if it is one of the defect's."""
        kernel = self._sound.find_kernel(name, dtype)
        defect = self._defect
        if kernel is not None and self._called is not None:
            return _noted(kernel, name, self._called)
        if kernel is None or defect is None or name not in defect.operators:
            return kernel
        key = name, dtype.name
        if key not in self._spoilt:
            assert defect.spoil is not None
            self._spoilt[key] = defect.spoil(kernel, dtype)
        return self._spoilt[key]


def _noted(kernel: Kernel, name: str, called: set[str]) -> Kernel:
    def noted(*operands: Any, **attributes: Any) -> Any:
        called.add(name)
        return kernel(*operands, **attributes)

    return noted


def planted(defect: Defect | None, *, queue: bool = False, called: set[str] | None = None) -> str:
    """Registers a backend with a defect in this process.

    Args:
        defect: What is wrong with it; None for a sound one.
        queue: Whether a sound device, or one with a spoilt kernel, has a queue.
        called: Gets the names of the kernels that a sound device calls.
    Returns:
        Its device type.
    """
    name = f"mutant{next(_numbers)}"
    make: Any = QueueVictim if queue else HostVictim
    if defect is not None and defect.runtime is not None:
        make = defect.runtime
        queue = issubclass(make, QueueVictim)
    register(Victim(name, make, queue=queue, defect=defect, called=called))
    return name
