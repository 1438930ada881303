"""Entries: which memory to write, once each, and how every tensor is found in it again.

Tensors that share memory are grouped. A group whose members lie within one dense tensor is
written as that tensor, any other as the stretch of memory it covers. A tensor alone is written
dense, whatever lies between its elements: a small view never drags a large storage along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import api
from .classes import kind_of
from .container import METADATA, Entry
from .notes import DTYPES, contiguous_strides
from .sources import Bytes
from .structure import dtype_name

AnyTensor = Any
Spec = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Member:
    """A tensor to save: its number, its name, and the bytes of its storage it touches."""

    number: int
    name: str
    tensor: AnyTensor
    dtype: str
    begin: int
    end: int

    @property
    def geometry(self) -> tuple[Any, ...]:
        return self.dtype, tuple(self.tensor.shape), tuple(self.tensor.stride()), self.begin


class Plan:
    """What to write for a list of tensors and arrays.

    Attributes:
        entries: The arrays of the safetensors file.
        specs: One table per tensor, in the order given; what is usual is left out of it.
    """

    def __init__(self, leaves: list[tuple[str, Any]]) -> None:
        self.entries: dict[str, Entry] = {}
        self.specs: list[Spec] = [{} for _ in leaves]
        groups: dict[tuple[str, int], list[_Member]] = {}
        for number, (name, leaf) in enumerate(leaves):
            if isinstance(leaf, np.ndarray):
                self._add_array(number, name, leaf)
            elif leaf.device.type == "meta":
                self._add_meta(number, leaf)
            else:
                member = _member(number, name, leaf)
                # Without elements nothing is shared, and all such storages may have one address.
                address = leaf.untyped_storage().data_ptr() if leaf.numel() else -1 - number
                groups.setdefault((str(leaf.device), address), []).append(member)
        for group in groups.values():
            for cluster in _clusters(group):
                self._add_cluster(cluster)

    def _add_array(self, number: int, name: str, array: np.ndarray[Any, Any]) -> None:
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        data = np.ascontiguousarray(native).reshape(-1).view(np.uint8)
        self._add_entry(number, name, array.dtype.name, array.shape, data)
        self.specs[number]["kind"] = "numpy"

    def _add_meta(self, number: int, tensor: AnyTensor) -> None:
        self.specs[number].update(
            dtype=dtype_name(tensor.dtype),
            shape=list(tensor.shape),
            stride=list(tensor.stride()),
            **_traits(tensor),
        )

    def _add_cluster(self, members: list[_Member]) -> None:
        """Writes members that overlap in memory, or a single one."""
        begin, end = members[0].begin, max(member.end for member in members)
        whole = next((m for m in members if _fills(m, begin, end)), None)
        if whole is not None:
            entry = self._add_tensor(whole)
        elif len({member.geometry for member in members}) == 1 and not _repeats(members[0]):
            self._add_alone(members)
            return
        else:
            entry = self._add_stretch(members, begin, end)
        for member in members:
            spec = self.specs[member.number]
            spec.update(entry=entry, **_traits(member.tensor))
            if member is not whole:
                spec.update(
                    dtype=member.dtype,
                    shape=list(member.tensor.shape),
                    stride=list(member.tensor.stride()),
                    offset=(member.begin - begin) // DTYPES[member.dtype][0],
                )

    def _add_alone(self, members: list[_Member]) -> None:
        """Writes one tensor densely; if only its order in memory is unusual, that is noted."""
        tensor = members[0].tensor
        entry = self._add_tensor(members[0])
        order = _memory_order(tuple(tensor.shape), tuple(tensor.stride()))
        for member in members:
            spec = self.specs[member.number]
            spec.update(entry=entry, **_traits(member.tensor))
            if member is not members[0]:
                spec.update(dtype=member.dtype, shape=list(tensor.shape))
            if order is not None:
                spec["order"] = order

    def _add_tensor(self, member: _Member) -> str:
        tensor = member.tensor
        data = _bytes_of(tensor.detach().cpu().contiguous())
        return self._add_entry(member.number, member.name, member.dtype, tuple(tensor.shape), data)

    def _add_stretch(self, members: list[_Member], begin: int, end: int) -> str:
        """Writes the memory from `begin` to `end` as a flat array of the narrowest dtype."""
        # Every begin and end is a multiple of its own element's size, so of the narrowest too.
        narrow = min(members, key=lambda member: DTYPES[member.dtype][0])
        size = DTYPES[narrow.dtype][0]
        count = (end - begin) // size
        flat = narrow.tensor.detach().as_strided((count,), (1,), begin // size)
        data = _bytes_of(flat.cpu().contiguous())
        name = members[0].name + ".storage" if len(members) > 1 else members[0].name
        return self._add_entry(narrow.number, name, narrow.dtype, (count,), data)

    def _add_entry(
        self, number: int, name: str, dtype: str, shape: tuple[int, ...], data: Bytes
    ) -> str:
        """Adds an entry under a free name; complex numbers become pairs, with a note."""
        code = DTYPES[dtype][1]
        if dtype.startswith("complex"):
            self.specs[number].update(dtype=dtype, shape=list(shape))
            code, shape = ("F32" if dtype == "complex64" else "F64"), (*shape, 2)
        clean = (name or "tensor").encode("utf-8", "backslashreplace").decode()
        candidate, copies = clean, 1
        while candidate in self.entries or candidate == METADATA:
            copies += 1
            candidate = f"{clean}#{copies}"
        self.entries[candidate] = Entry(code, shape, data)
        self.specs[number]["entry"] = candidate
        return candidate


def _traits(tensor: AnyTensor) -> Spec:
    """What a tensor is beside its data, where it is out of the ordinary."""
    traits: Spec = {}
    if tensor.device.type not in ("cpu", "meta"):
        traits["device"] = str(tensor.device)
    if tensor.requires_grad:
        traits["requires_grad"] = True
    kind = kind_of(tensor)
    if kind != "tensor":
        traits["kind"] = kind
    return traits


def _member(number: int, name: str, tensor: AnyTensor) -> _Member:
    dtype = dtype_name(tensor.dtype)
    size = DTYPES[dtype][0]
    first = tensor.storage_offset()
    if tensor.numel() == 0:
        return _Member(number, name, tensor, dtype, first * size, first * size)
    last = first + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride()))
    return _Member(number, name, tensor, dtype, first * size, (last + 1) * size)


def _clusters(group: list[_Member]) -> Iterator[list[_Member]]:
    """Splits tensors of one storage into sets whose stretches of memory overlap."""
    cluster: list[_Member] = []
    end = -1
    for member in sorted(group, key=lambda m: (m.begin, -m.end, m.number)):
        if cluster and member.begin >= end:
            yield cluster
            cluster = []
            end = -1
        cluster.append(member)
        end = max(end, member.end)
    yield cluster


def _fills(member: _Member, begin: int, end: int) -> bool:
    """Whether a tensor is dense, row-major, and all of a stretch."""
    size: int = member.tensor.numel() * DTYPES[member.dtype][0]
    dense: bool = member.tensor.is_contiguous()
    return dense and (member.begin, member.end) == (begin, end) and end - begin == size


def _repeats(member: _Member) -> bool:
    """Whether elements of a tensor share memory with each other, as after `expand`."""
    size: int = member.tensor.numel() * DTYPES[member.dtype][0]
    return size > member.end - member.begin


def _memory_order(shape: tuple[int, ...], stride: tuple[int, ...]) -> list[int] | None:
    """The dims from outermost to innermost in memory if the tensor is dense in another order."""
    order = sorted(range(len(shape)), key=lambda dim: (-stride[dim], dim))
    permuted = tuple(shape[dim] for dim in order)
    expected = contiguous_strides(permuted)
    dense = all(shape[dim] == 1 or stride[dim] == expected[i] for i, dim in enumerate(order))
    return order if dense and 0 not in shape and order != list(range(len(shape))) else None


def _bytes_of(tensor: AnyTensor) -> Bytes:
    """The memory of a contiguous host tensor."""
    rushlight = api()
    # As bytes, because a dtype may have no form in plain NumPy.
    flat: Bytes = tensor.reshape(-1).view(rushlight.uint8).numpy()
    return flat
