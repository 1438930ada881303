"""Tables of roots of one, computed in double precision on the host and kept for a device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from ..._dtypes import DType
from .array import DeviceArray

#: A power of a root is the product of one of a coarse table and one of a fine table of this length.
SPLIT = 1024
#: Bytes that the tables of a device and type may take together.
MOST = 64 << 20


class Roots:
    """Tables for one device and type of numbers, of which those unused for longest go.

    Args:
        device: The launcher.
        dtype: The complex type.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self._tables: OrderedDict[Hashable, DeviceArray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def kept(self, key: Hashable, make: Callable[[], np.ndarray[Any, Any]]) -> DeviceArray:
        """The table under a key, made by `make` as complex128 where it is new."""
        with self._lock:
            found = self._tables.get(key)
            if found is not None:
                self._tables.move_to_end(key)
                return found
            table: DeviceArray = self.device.from_host(
                np.atleast_1d(make()).astype(self.dtype.numpy)
            )
            self._tables[key] = table
            self._bytes += table.nbytes
            while self._bytes > MOST and len(self._tables) > 1:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
            return table

    def all(self, n: int) -> DeviceArray:
        """All powers of the n-th root."""
        return self.kept(n, lambda: powers(np.arange(n), n))

    def split(self, n: int) -> tuple[DeviceArray, DeviceArray]:
        """The powers 0, 1024, 2048, ... of the n-th root, and the powers up to 1024."""
        coarse = self.kept(("coarse", n), lambda: powers(np.arange(0, n, SPLIT), n))
        return coarse, self.kept(("fine", n), lambda: powers(np.arange(min(n, SPLIT)), n))


def powers(numbers: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """Powers of exp(-2 pi i / n), right to a unit in the last place of float64 or so.

    An angle is taken from the nearest quarter of a turn, where no digits are lost.
    """
    quarters = (4 * numbers + n // 2) // n
    angle = (np.pi / 2 / n) * (4 * numbers - quarters * n)
    turned: np.ndarray[Any, Any] = np.cos(angle) - 1j * np.sin(angle)
    turned *= np.array([1, -1j, -1, 1j])[quarters % 4]
    return turned
