"""The device: its memory, its copies, its dtypes."""

from typing import Any

import numpy as np
import numpy as xp  # put your module here; `xp` is the device, `np` the host

import rushlight
from rushlight.backend import ArrayDevice

# This device has neither 16-bit floats nor complex numbers. What is not listed is refused with an
# error that lists what there is. Rushlight itself wants bool, int64 and one floating dtype.
DTYPES = frozenset(
    (rushlight.bool, rushlight.uint8, rushlight.int32, rushlight.int64)
    + (rushlight.float32, rushlight.float64)
)


class TemplateDevice(ArrayDevice):
    """One device. `ArrayDevice` does what any NumPy-like module can; copies are the device's own.

    Override the other duties of `rushlight.backend.DeviceRuntime` as the module wants it:
    `allocate`, `view`, `buffer_of`, `strides_of`, `address_of`, `copy`.
    """

    def __init__(self, index: int) -> None:
        super().__init__(xp)
        self.index = index

    def from_host(self, array: np.ndarray[Any, Any]) -> Any:
        """Copies a host array to the device; the caller may change it right afterwards."""
        return xp.array(array)

    def to_host(self, native: Any) -> np.ndarray[Any, Any]:
        """Copies to the host, after everything that was asked of the device is done."""
        self.synchronize()
        return np.array(native)

    def synchronize(self) -> None:
        """Waits for the device. NumPy's functions return when they are done."""
