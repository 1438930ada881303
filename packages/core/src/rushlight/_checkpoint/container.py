"""Containers: safetensors files, as their specification lays them out.

Eight bytes with the header's length, the header in JSON, then the data of all entries without
gaps. We read and write it ourselves: data go straight between file and tensor, a damaged file
gets an error that says how, and the library's low-level interface differs between releases.

References:
    https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import IO, Any

from .._errors import error
from .notes import DTYPES
from .sources import Bytes, Source, damaged

METADATA = "__metadata__"
# The limit of the reference implementation; it also bounds what a reader parses on trust.
MAX_HEADER = 100_000_000
_ITEMSIZE = {code: DTYPES[name][0] for name, (_, code) in DTYPES.items() if name != "complex128"}
NAMES = {code: name for name, (_, code) in DTYPES.items() if name != "complex128"}


@dataclass(frozen=True)
class Entry:
    """One named array to write: `data` are its bytes in row-major order."""

    code: str
    shape: tuple[int, ...]
    data: Bytes


@dataclass(frozen=True)
class Placed:
    """One named array of a file: `begin` and `end` count bytes from the file's start."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write(file: IO[bytes], entries: dict[str, Entry], metadata: dict[str, str]) -> None:
    """Writes a safetensors file; widest elements first, so that each entry is aligned."""
    ordered = sorted(entries.items(), key=lambda item: (-_ITEMSIZE[item[1].code], item[0]))
    header: dict[str, Any] = {METADATA: metadata} if metadata else {}
    position = 0
    for name, entry in ordered:
        end = position + entry.data.nbytes
        header[name] = {
            "dtype": entry.code,
            "shape": list(entry.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise error(
            ValueError,
            "save",
            f"names and structure take {len(text)} bytes, the format allows {MAX_HEADER}",
            fix="keep large lists of numbers in tensors",
        )
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for _, entry in ordered:
        file.write(entry.data.data)


def looks_like(source: Source) -> bool:
    """Whether a file begins as a safetensors file does."""
    start = source.read(0, 9)
    return len(start) == 9 and start[8:] == b"{"


def read(source: Source) -> tuple[dict[str, Placed], dict[str, str]]:
    """The entries and the metadata of a file, all sizes checked against the file's."""
    length = int.from_bytes(source.read(0, 8), "little")
    if length > min(MAX_HEADER, source.size - 8):
        raise damaged(
            source.name,
            f"its header claims {length} bytes",
            expected=f"at most {min(MAX_HEADER, source.size - 8)}",
        )
    try:
        header = json.loads(source.read(8, length).decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as reason:
        raise damaged(source.name, f"its header is not valid JSON ({reason})") from None
    if not isinstance(header, dict):
        raise damaged(source.name, "its header is not a JSON object")
    metadata = header.pop(METADATA, {})
    if not _is_text_table(metadata):
        raise damaged(source.name, f"{METADATA} is not a table of strings")
    entries = {name: _placed(source.name, name, told, 8 + length) for name, told in header.items()}
    _check_coverage(source, entries, 8 + length)
    return entries, metadata


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _is_text_table(table: Any) -> bool:
    return isinstance(table, dict) and all(isinstance(value, str) for value in table.values())


def _placed(file: str, name: str, told: Any, start: int) -> Placed:
    """One entry of the header, if it makes sense by itself."""
    try:
        code, shape, (begin, end) = told["dtype"], told["shape"], told["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise damaged(file, f"entry {name!r} lacks dtype, shape or data_offsets") from None
    numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
    if not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise damaged(file, f"entry {name!r} has shape {shape} and offsets {begin}, {end}")
    if code not in _ITEMSIZE:
        raise error(
            ValueError,
            "load",
            f"entry {name!r} of {file} has the unsupported dtype {code!r}",
            expected="one of " + ", ".join(_ITEMSIZE),
            fix="convert it with the program that wrote the file",
        )
    if end - begin != math.prod(shape) * _ITEMSIZE[code]:
        raise damaged(
            file,
            f"entry {name!r} of dtype {code} and shape {shape} takes {end - begin} bytes",
            expected=f"{math.prod(shape) * _ITEMSIZE[code]} bytes",
        )
    return Placed(code, tuple(shape), start + begin, start + end)


def _check_coverage(source: Source, entries: dict[str, Placed], position: int) -> None:
    """Entries must follow each other without gap or overlap up to the end of the file."""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            raise damaged(
                source.name,
                f"entry {name!r} begins at byte {entry.begin}",
                expected=f"byte {position}, where the one before ends",
            )
        position = entry.end
    if position != source.size:
        raise damaged(
            source.name,
            f"it is {source.size} bytes long",
            expected=f"{position} bytes, by its header",
        )
