"""Tables of windows: for convolution and pooling, which element of a plane each tap looks at.

A plane is the spatial dimensions of one channel. A table has a row for each tap of the window and
a column for each position; it holds the flat place in the other plane, or -1 for none. Kernels so
need no arithmetic of strides, paddings and dilations, for any number of dimensions. The transposed
table, from inputs to the outputs whose windows cover them, makes gradients sums in a fixed order.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .array import DeviceArray

Sizes = tuple[int, ...]
Table = np.ndarray[Any, np.dtype[np.int64]]
#: Bytes of tables that are kept for the next call.
KEPT = 1 << 26


def strided(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Table:
    """The table (taps, out) of one dimension: what windows at regular steps look at.

    Example:
        >>> from rushlight.backend.codegen.windows import strided
        >>> strided(3, 3, 2, 1, 1, 1).tolist()
        [[-1, 0, 1], [0, 1, 2]]
    """
    place = np.arange(out) * stride - padding + np.arange(kernel)[:, None] * dilation
    return np.where((place >= 0) & (place < n), place, -1)


def strided_back(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Table:
    """The table (taps, n) of one dimension: which window sees an element with each tap."""
    steps = np.arange(n) + padding - np.arange(kernel)[:, None] * dilation
    place = steps // stride
    return np.where((steps >= 0) & (steps % stride == 0) & (place < out), place, -1)


def adaptive(n: int, out: int) -> Table:
    """The table (taps, out) of one dimension: windows that divide it, neighbours overlapping."""
    start = np.arange(out) * n // max(out, 1)
    stop = -(-(np.arange(out) + 1) * n // max(out, 1))
    place = start + np.arange(max((stop - start).max(initial=0), 1))[:, None]
    return np.where(place < stop, place, -1)


def turned(table: Table, n: int) -> Table:
    """The transposed table (most windows over an element, n)."""
    covering: list[list[int]] = [[] for _ in range(n)]
    for window in range(table.shape[1]):
        for place in table[:, window]:
            if place >= 0:
                covering[place].append(window)
    most = max(map(len, covering), default=0)
    out = np.full((max(most, 1), n), -1)
    for element, windows in enumerate(covering):
        out[: len(windows), element] = windows
    return out


def joined(tables: Sequence[Table], sizes: Sizes) -> Table:
    """The table of several dimensions, of flat places in planes of these sizes."""
    whole = np.zeros((1, 1), np.int64)
    for table, n in zip(tables, sizes, strict=True):
        pairs = whole[:, None, :, None] * n + table[None, :, None, :]
        none = (whole < 0)[:, None, :, None] | (table < 0)[None, :, None, :]
        pairs = np.where(none, -1, pairs)
        whole = pairs.reshape(whole.shape[0] * table.shape[0], whole.shape[1] * table.shape[1])
    return whole


def run_lengths(table: Table) -> Table:
    """For each place of a table: how many columns, from there on, go on by one or are all -1.

    Example:
        >>> import numpy as np
        >>> from rushlight.backend.codegen.windows import run_lengths
        >>> run_lengths(np.array([[-1, -1, 4, 5, 6, 9]])).tolist()
        [[2, 1, 3, 2, 1, 1]]
    """
    here, after = table[:, :-1], table[:, 1:]
    goes_on = np.where(here >= 0, after == here + 1, after < 0)
    columns = np.arange(table.shape[1])
    ends = np.broadcast_to(columns, table.shape).copy()
    ends[:, :-1][goes_on] = table.shape[1]
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return last - columns + 1


class Tables:
    """Tables on a device, made once for each geometry and kept while there is room."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._kept: dict[Any, DeviceArray] = {}
        self._bytes = 0
        #: Run lengths by a table's id, with the table, so that no other gets its id.
        self._runs: dict[int, tuple[DeviceArray, DeviceArray]] = {}

    def get(
        self, key: Any, make: Callable[[], np.ndarray[Any, Any]], kind: Any = np.int32
    ) -> DeviceArray:
        """The table of a geometry.

        Args:
            key: What it depends on.
            make: Computes it on the host.
            kind: NumPy's dtype of its numbers.
        """
        found = self._kept.get(key)
        if found is None:
            found = self.device.from_host(make().astype(kind))
            if self._bytes + found.nbytes > KEPT:
                self._kept.clear()
                self._runs.clear()
                self._bytes = 0
            self._bytes += found.nbytes
            self._kept[key] = found
        return found

    def runs(self, table: DeviceArray) -> DeviceArray:
        """The run lengths of a kept table, which are kept as long."""
        found = self._runs.get(id(table))
        if found is None:
            host = run_lengths(self.device.to_host(table)).astype(np.int32)
            found = self._runs[id(table)] = table, self.device.from_host(host)
        return found[1]

    def windows(self, size: Sizes, out: Sizes, *window: Sizes) -> DeviceArray:
        """The table of windows; `window` is kernel, stride, padding and dilation."""
        return self.get((size, out, *window), lambda: joined(
            [strided(*numbers) for numbers in zip(size, out, *window, strict=True)], size
        ))  # fmt: skip

    def windows_back(self, size: Sizes, out: Sizes, *window: Sizes) -> DeviceArray:
        """The transposed table."""
        return self.get(("back", size, out, *window), lambda: joined(
            [strided_back(*numbers) for numbers in zip(size, out, *window, strict=True)], out
        ))  # fmt: skip


_OF_DEVICES: weakref.WeakKeyDictionary[Any, Tables] = weakref.WeakKeyDictionary()


def tables_of(device: Any) -> Tables:
    """The tables of a device, which its kernels share."""
    found = _OF_DEVICES.get(device)
    if found is None:
        found = _OF_DEVICES[device] = Tables(device)
    return found
