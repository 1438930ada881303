"""Building: notes become tensors, once all of them were found to make sense.

Each storage is read once, moved to its device, and all tensors on it are made as views of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import error
from . import api
from .classes import CLASSES
from .notes import StorageNote, TensorNote
from .sources import Bytes
from .structure import numpy_dtype

AnyTensor = Any
MapLocation = Any  # None, a device, its name, a table of names, or a function


class Builder:
    """Replaces the notes in a loaded structure by tensors.

    Args:
        file: Name of the file, for messages.
        map_location: As for `rushlight.load`.
    """

    def __init__(self, file: str, map_location: MapLocation) -> None:
        self._file = file
        self._map_location = _checked(map_location)
        # A note is kept with what was made of it: ids of freed notes could come again.
        self._bases: dict[int, tuple[StorageNote, AnyTensor]] = {}
        self._made: dict[int, tuple[Any, Any]] = {}

    def build(self, value: Any) -> Any:
        """The value with tensors for notes; lists and dicts are filled in place."""
        if isinstance(value, TensorNote):
            return self._once(value, self._tensor)
        if isinstance(value, tuple) and type(value) is tuple:
            return self._once(value, lambda items: tuple(map(self.build, items)))
        if isinstance(value, list) and id(value) not in self._made:
            self._made[id(value)] = (value, value)
            value[:] = map(self.build, value)
        elif isinstance(value, dict) and id(value) not in self._made:
            self._made[id(value)] = (value, value)
            for key, item in value.items():
                value[key] = self.build(item)
        return value

    def _once(self, note: Any, make: Callable[[Any], Any]) -> Any:
        if id(note) not in self._made:
            self._made[id(note)] = (note, make(note))
        return self._made[id(note)][1]

    def _tensor(self, note: TensorNote) -> Any:
        rushlight = api()
        dtype = getattr(rushlight, note.dtype)
        if note.storage is None:
            made = rushlight.empty_strided(note.shape, note.stride, dtype=dtype, device="meta")
        elif note.kind == "numpy":
            return note.storage.read().view(numpy_dtype(note.dtype)).reshape(note.shape)
        else:
            made = self._on(self._base(note.storage), note, dtype)
        if note.kind != "tensor" and note.kind in CLASSES:
            return CLASSES[note.kind](made, note.requires_grad)
        return made.requires_grad_() if note.requires_grad else made

    def _on(self, base: AnyTensor, note: TensorNote, dtype: Any) -> AnyTensor:
        """A tensor on the memory of `base`, a flat tensor of bytes."""
        if base.device.type == "meta" or 0 in note.shape:
            rushlight = api()
            return rushlight.empty_strided(note.shape, note.stride, dtype=dtype, device=base.device)
        # Detached, it is no view to autograd: writing to it never reaches for the bytes' history.
        whole = base.narrow(0, 0, base.numel() // dtype.itemsize * dtype.itemsize)
        return whole.view(dtype).as_strided(note.shape, note.stride, note.offset).detach()

    def _base(self, note: StorageNote) -> AnyTensor:
        if id(note) not in self._bases:
            self._bases[id(note)] = (note, self._placed(note))
        return self._bases[id(note)][1]

    def _placed(self, note: StorageNote) -> AnyTensor:
        """The bytes of a storage as a tensor on the device `map_location` sends it to."""
        rushlight = api()
        asked = self._map_location
        if isinstance(asked, Mapping):
            asked = asked.get(note.location)
        elif callable(asked):
            host = _as_tensor(note.read())
            answer = asked(host.untyped_storage(), note.location)
            if answer is not None:
                return host.to(getattr(answer, "device", answer))
            asked = None
        if asked is None:
            return self._on_saved_device(note)
        device = rushlight.device(asked)
        if device.type == "meta":
            return rushlight.empty(note.nbytes, dtype=rushlight.uint8, device=device)
        return _as_tensor(note.read()).to(device)

    def _on_saved_device(self, note: StorageNote) -> AnyTensor:
        """On the device it was saved from, or with a warning on the host if there is none."""
        host = _as_tensor(note.read())
        if note.location == "cpu":
            return host
        try:
            return host.to(note.location)
        except Exception as reason:  # whatever a backend or its driver raises where it is absent
            warnings.warn(
                f"load: {self._file} holds tensors from device {note.location!r}, which can't be "
                f"used here ({str(reason).splitlines()[0]}); they are loaded to the CPU. "
                "Pass map_location to say where they belong.",
                UserWarning,
                stacklevel=2,
            )
            return host


def _as_tensor(data: Bytes) -> AnyTensor:
    rushlight = api()
    return rushlight.from_numpy(data)


def _checked(map_location: MapLocation) -> MapLocation:
    """The argument, if it is of a kind `load` takes; raised before anything is read."""
    rushlight = api()
    if map_location is None or callable(map_location):
        return map_location
    if isinstance(map_location, Mapping):
        return map_location
    if isinstance(map_location, str | rushlight.device):
        return rushlight.device(map_location)
    raise error(
        TypeError,
        "load",
        f"map_location can't be a {type(map_location).__name__}",
        expected="a device, its name, a dict from saved to new device names, or a function of a "
        "storage and its saved location",
    )
