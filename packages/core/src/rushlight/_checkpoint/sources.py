"""Sources: files as numbered bytes, read into memory we own or mapped."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from .._errors import error

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Source:
    """A checkpoint being read.

    Attributes:
        name: Path, or a word for the file object, for messages.
        file: Seekable binary file.
        size: Its length in bytes, counted from where it stood when it was handed in.
    """

    def __init__(self, name: str, file: IO[bytes], mapped: mmap.mmap | None) -> None:
        self.name = name
        self.file = file
        self._start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)
        self._mapped = mapped

    @property
    def mapped(self) -> bool:
        """Whether `array` returns the file's own pages."""
        return self._mapped is not None

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset` on."""
        self.file.seek(self._start + offset)
        return self.file.read(count)

    def array(self, offset: int, count: int) -> Bytes:
        """Exactly `count` bytes from `offset` on, as an array of uint8 that may be written to."""
        if self._mapped is not None:
            mapped = np.frombuffer(self._mapped, np.uint8, count, offset)
            if mapped.ctypes.data % 16 == 0:
                return mapped
            return mapped.copy()  # kernels may rely on elements being aligned
        self.file.seek(self._start + offset)
        return read_exactly(self.file, count, self.name)


def read_exactly(file: IO[bytes], count: int, name: str) -> Bytes:
    """`count` bytes of an open file; the caller has checked that the file holds as many."""
    buffer = np.empty(count, np.uint8)
    view = buffer.data
    filled = 0
    while filled < count:
        # A bound per read keeps files that decompress or checksum from making a second copy.
        piece = file.read(min(count - filled, 1 << 24))
        if not piece:
            raise damaged(name, f"the file ends {count - filled} bytes early")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    return buffer


@contextmanager
def opened(f: str | os.PathLike[str] | IO[bytes], mapped: bool) -> Iterator[Source]:
    """Opens a path, or takes a file object as it stands; maps it into memory if asked to."""
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as disk:
            memory = None
            if mapped and os.fstat(disk.fileno()).st_size:
                # Private pages: writing to a loaded tensor never changes the file.
                memory = mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_COPY)
            yield Source(repr(os.fspath(f)), disk, memory)
        return
    if mapped:
        raise error(
            ValueError,
            "load",
            "only a file given by its path can be mapped",
            given=f"mmap=True and a {type(f).__name__}",
            fix="pass the path, or leave mmap out",
        )
    if not hasattr(f, "read"):
        raise error(
            TypeError,
            "load",
            f"can't read from a {type(f).__name__}",
            expected="a path or a file object opened for reading bytes",
        )
    file = f if _seekable(f) else io.BytesIO(f.read())
    yield Source(f"<{type(f).__name__}>", file, None)


def _seekable(file: Any) -> bool:
    return hasattr(file, "seek") and hasattr(file, "tell") and getattr(file, "seekable", bool)()


def damaged(name: str, what: str, *, expected: str | None = None) -> RuntimeError:
    """The error for a file that does not hold what its format promises."""
    return error(
        RuntimeError,
        "load",
        f"{name} is damaged or was not written completely: {what}",
        expected=expected,
        fix="copy or download the file again, or save it again",
    )
