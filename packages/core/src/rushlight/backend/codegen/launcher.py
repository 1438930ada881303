"""What a backend gives to the kernel-language family: a dialect, memory, and launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import Dialect

#: A kernel that is ready: sizes (innermost first), work-group sizes or None for the launcher's
#: choice, then the arguments in the order of the signature. A buffer is passed as it is.
Launch = Callable[..., None]


class Launcher(Protocol):
    """The runtime of a device, as kernels see it.

    A kernel's signature is a string of words, one an argument: "p" for a buffer, else the type of
    a number (`i32`, `i64`, `f32`, ...).  Sizes need not be multiples of anything: where the
    language wants that, the launcher rounds up, so kernels check their bounds, except for the flat
    ones: every allocation has room for `PADDING` bytes more than was asked.
    """

    dialect: Dialect
    #: "cpu": a work-item does a long stretch by itself. "gpu": work-groups share local memory.
    flavour: str
    #: There is float64.
    double: bool

    def empty(self, shape: tuple[int, ...], dtype: DType) -> DeviceArray:
        """A dense array of unwritten memory."""
        ...

    def empty_like(self, x: DeviceArray, dtype: DType) -> DeviceArray:
        """Unwritten memory with the geometry of a packed array, beginning at its own start."""
        ...

    def compile(self, source: str, signatures: Mapping[str, str]) -> dict[str, Launch]:
        """Builds a program; its kernels by name."""
        ...

    def dense(self, x: DeviceArray) -> DeviceArray:
        """A dense copy."""
        ...

    def settle(self, x: DeviceArray) -> None:
        """Gives memory to an array that is a number on the host."""
        ...

    def fault(self, operator: str, message: str, kind: type[Exception]) -> tuple[Any, int]:
        """A place where one launch may report a fault: a buffer, and the slot in it.

        The kernel calls `report(faults, slot, value)`. At the next synchronisation the fault is
        raised as an exception of `kind`; in `message`, "{value}" is replaced by what was reported.
        """
        ...

    def check_faults(self) -> None:
        """Waits, and raises what a kernel has reported."""
        ...

    def launched(self, suspect: bool) -> None:
        """Called after the launch of a kernel that got a fault's place.

        Where the user has asked for that, and where it is suspect, the device waits and raises what
        the kernel has reported; otherwise it goes on, and raises it at the next synchronisation.

        Args:
            suspect: What is known of the indices says that one is out of bounds.
        """
        ...


#: Bytes that may be read and written beyond the end of every allocation.
PADDING = 1024
#: Elements that a flat kernel's size is rounded up to.
FLAT = 64
