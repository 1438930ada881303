"""Native files: safetensors whose metadata say how the saved object was nested."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import Explained, error
from .container import NAMES, Placed
from .container import read as read_container
from .notes import DTYPES, StorageNote, TensorNote, contiguous_strides, problem
from .sources import Bytes, Source, damaged
from .structure import decode

KEY = "rushlight"
VERSION = 1

Spec = dict[str, Any]


def read(source: Source) -> Any:
    """The saved object with notes in place of tensors; of other programs' files, a dict."""
    placed, metadata = read_container(source)
    notes = _Notes(source, placed)
    if KEY not in metadata:
        return {name: notes.note({"entry": name}) for name in placed}
    try:
        return _decoded(source, json.loads(metadata[KEY]), notes)
    except Explained:
        raise
    except RecursionError:
        reason = "it is nested too deeply"
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as found:
        reason = f"{type(found).__name__}: {found}"
    raise damaged(source.name, f"its description of the saved object is not valid ({reason})")


def _decoded(source: Source, told: Any, notes: _Notes) -> Any:
    if told["version"] > VERSION:
        raise error(
            ValueError,
            "load",
            f"{source.name} was written by a newer Rushlight",
            given=f"format version {told['version']}",
            expected=f"at most {VERSION}",
            fix="upgrade Rushlight",
        )
    leaves = [notes.note(spec) for spec in told["tensors"]]
    for leaf in leaves:
        wrong = problem(leaf)
        if wrong is not None:
            raise damaged(source.name, f"a tensor is described wrongly: {wrong}")

    def leaf_of(tag: str, number: int) -> TensorNote:
        if type(number) is not int or not 0 <= number < len(leaves):
            raise ValueError(f"there is no {tag} {number}")
        if (tag == "array") != (leaves[number].kind == "numpy"):
            raise ValueError(f"{tag} {number} is of another kind")
        return leaves[number]

    return decode(told["tree"], leaf_of)


class _Notes:
    """Makes notes of specs; tensors of one entry get one storage, and so share memory."""

    def __init__(self, source: Source, placed: dict[str, Placed]) -> None:
        self._source = source
        self._placed = placed
        self._storages: dict[tuple[Any, ...], StorageNote] = {}

    def note(self, spec: Spec) -> TensorNote:
        """The note for a spec of `entries.Plan`."""
        requires_grad, kind = spec.get("requires_grad", False), spec.get("kind", "tensor")
        if type(requires_grad) is not bool or type(kind) is not str:
            raise ValueError(f"requires_grad={requires_grad!r}, kind={kind!r}")
        if "entry" not in spec:
            shape, stride = tuple(spec["shape"]), tuple(spec["stride"])
            return TensorNote(None, spec["dtype"], shape, stride, 0, requires_grad, kind)
        entry = self._placed[spec["entry"]]
        dtype = spec.get("dtype", NAMES[entry.code])
        shape = tuple(spec.get("shape", entry.shape))
        order = spec.get("order")
        stride = tuple(spec.get("stride", contiguous_strides(shape)))
        if order is not None:
            stride = _ordered_strides(shape, order)
        storage = self._storage(spec["entry"], spec.get("device", "cpu"), dtype, shape, order)
        offset = spec.get("offset", 0)
        return TensorNote(storage, dtype, shape, stride, offset, requires_grad, kind)

    def _storage(
        self, name: str, device: str, dtype: str, shape: tuple[int, ...], order: list[int] | None
    ) -> StorageNote:
        if type(device) is not str:
            raise ValueError(f"device={device!r}")
        key = (name, device, None if order is None else (*order, dtype, *shape))
        if key not in self._storages:
            placed = self._placed[name]
            nbytes = placed.end - placed.begin
            read = _reader(self._source, placed)
            if order is not None:
                read = _reordered(read, DTYPES[dtype][0], shape, order, nbytes)
            self._storages[key] = StorageNote(nbytes, device, read)
        return self._storages[key]


def _reader(source: Source, placed: Placed) -> Callable[[], Bytes]:
    def read() -> Bytes:
        data = source.array(placed.begin, placed.end - placed.begin)
        if placed.code == "BOOL" and data.size and data.max() > 1:
            raise damaged(source.name, "a bool in it is neither 0 nor 1")
        return data

    return read


def _ordered_strides(shape: tuple[int, ...], order: list[int]) -> tuple[int, ...]:
    """Strides of a dense tensor whose dims lie in memory in the given order."""
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"order {order} of a tensor of shape {shape}")
    packed = contiguous_strides(tuple(shape[dim] for dim in order))
    return tuple(packed[order.index(dim)] for dim in range(len(shape)))


def _reordered(
    read: Callable[[], Bytes], itemsize: int, shape: tuple[int, ...], order: list[int], nbytes: int
) -> Callable[[], Bytes]:
    """Reads row-major bytes into the order in memory that the tensor had."""
    if int(np.prod(shape, dtype=object)) * itemsize != nbytes:
        raise ValueError(f"shape {shape} of an entry of {nbytes} bytes")

    def reordered() -> Bytes:
        elements = read().view(f"V{itemsize}").reshape(shape)
        return np.ascontiguousarray(elements.transpose(order)).reshape(-1).view(np.uint8)

    return reordered
