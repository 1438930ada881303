"""Storage: the memory that a tensor and its views share, with its version counter."""

from __future__ import annotations

from typing import Any

from ._device import device
from .backend import DeviceRuntime, loaded


class Storage:
    """Memory on one device.

    Made when it is first needed (for a view, an in-place write, a saved result): until then a
    fresh tensor is version 0 of memory that nothing else shares.

    Attributes:
        version: Counts in-place writes; checked when a saved tensor is used.
        rewrites: Counts the writes that changed the base's history in autograd; a view made
            before such a write finds its history anew.
    """

    __slots__ = ("_buffer", "native", "rewrites", "runtime", "version")

    def __init__(self, runtime: DeviceRuntime, native: Any, buffer: Any = None) -> None:
        self.runtime = runtime
        self.native = native
        self._buffer = buffer
        self.version = 0
        self.rewrites = 0

    @property
    def buffer(self) -> Any:
        """The device's buffer; found when the first view asks."""
        if self._buffer is None:
            self._buffer = self.runtime.buffer_of(self.native)
        return self._buffer

    @property
    def device(self) -> device:
        """Where the memory lies."""
        for backend in loaded().values():
            index = backend.index_of(self.runtime)
            if index is not None:
                return device(backend.name, index if backend.manifest.indexed else None)
        return device("meta")

    def nbytes(self) -> int:
        """Size in bytes."""
        return 0 if self.runtime is None else self.runtime.nbytes_of(self.buffer)

    def size(self) -> int:
        """Size in bytes, as of an untyped storage."""
        return self.nbytes()

    def __len__(self) -> int:
        return self.nbytes()

    def data_ptr(self) -> int:
        """The same integer for the same memory."""
        return 0 if self.runtime is None else self.runtime.address_of(self.buffer)
