"""One thread per worker: several workers that each use all cores get in each other's way."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

import rushlight

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# NumPy's own copy of OpenBLAS has a prefix and, with 64-bit integers, a suffix.
_SETTERS = (
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "scipy_openblas_set_num_threads64_",
)
_environment_lock = threading.Lock()


@contextlib.contextmanager
def one_thread_environment() -> Iterator[None]:
    """While this lasts, processes start with one thread per numerical library.

    Libraries read these variables when they are loaded, so this serves workers that start afresh;
    what the user has set is left alone.
    """
    with _environment_lock:
        added = [name for name in _VARIABLES if name not in os.environ]
        os.environ.update(dict.fromkeys(added, "1"))
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)


def use_one_thread() -> None:
    """Limits this process to one thread; serves forked workers, whose libraries are loaded."""
    set_num_threads = getattr(rushlight, "set_num_threads", None)
    if set_num_threads is not None:
        set_num_threads(1)
    for path in _loaded_openblas():
        with contextlib.suppress(OSError):
            _limit(ctypes.CDLL(path))


def _limit(library: ctypes.CDLL) -> None:
    for name in _SETTERS:
        setter = getattr(library, name, None)
        if setter is not None:
            setter.argtypes, setter.restype = [ctypes.c_int], None
            setter(1)


def _loaded_openblas() -> set[str]:
    """Paths of the OpenBLAS libraries in this process, where the system tells."""
    if not sys.platform.startswith("linux"):
        return set()
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    except OSError:
        return set()
    return {path for path in paths if path.startswith("/")}
