"""Notes: what a checkpoint says about its tensors, before any memory is taken for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .sources import Bytes

# name: (bytes per element, code in safetensors files). Complex numbers are written as pairs.
DTYPES: dict[str, tuple[int, str]] = {
    "bool": (1, "BOOL"),
    "uint8": (1, "U8"),
    "uint16": (2, "U16"),
    "uint32": (4, "U32"),
    "uint64": (8, "U64"),
    "int8": (1, "I8"),
    "int16": (2, "I16"),
    "int32": (4, "I32"),
    "int64": (8, "I64"),
    "float16": (2, "F16"),
    "bfloat16": (2, "BF16"),
    "float32": (4, "F32"),
    "float64": (8, "F64"),
    "complex64": (8, "C64"),
    "complex128": (16, "F64"),
}


@dataclass(frozen=True, eq=False)
class StorageNote:
    """Memory that one or more tensors lie in.

    Attributes:
        nbytes: Length in bytes, checked against the file.
        location: Device it was saved from, such as "cpu".
        read: Fetches the bytes.
    """

    nbytes: int
    location: str
    read: Callable[[], Bytes]


@dataclass(frozen=True, eq=False)
class TensorNote:
    """A tensor: where in a storage it lies. Without a storage it has no data (device "meta").

    Attributes:
        offset, stride: In elements of `dtype`.
        kind: Name of a registered class such as "parameter", "tensor", or "numpy" for an array.
    """

    storage: StorageNote | None
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0
    requires_grad: bool = False
    kind: str = "tensor"


def problem(note: TensorNote) -> str | None:
    """What is wrong with a note that can't be built safely, or None."""
    if note.dtype not in DTYPES:
        return f"its dtype {note.dtype!r} is not supported"
    if len(note.shape) != len(note.stride):
        return f"size {note.shape} and stride {note.stride} differ in length"
    numbers = (*note.shape, *note.stride, note.offset)
    if not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        return f"size {note.shape}, stride {note.stride}, offset {note.offset} are not all valid"
    if note.requires_grad and not note.dtype.startswith(("float", "bfloat", "complex")):
        return f"it is of dtype {note.dtype} and requires grad"
    if note.storage is None or 0 in note.shape:
        return None
    last = note.offset + sum((n - 1) * step for n, step in zip(note.shape, note.stride))
    needed = (last + 1) * DTYPES[note.dtype][0]
    if needed > note.storage.nbytes:
        return f"it reaches to byte {needed} of a storage of {note.storage.nbytes} bytes"
    return None


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a dense row-major tensor, as torch counts them (a length of 0 counts as 1)."""
    strides = [1] * len(shape)
    for dim in range(len(shape) - 2, -1, -1):
        strides[dim] = strides[dim + 1] * max(shape[dim + 1], 1)
    return tuple(strides)
