"""Splitting a kernel's work among Python threads, with BLAS held to one thread each.

NumPy releases the interpreter lock inside its loops, so two Python threads do run side by side; a
split costs 50-80 microseconds, so kernels ask for one only when there is work for a millisecond.
Passes must take tens of microseconds (hence the size of `BLOCK`): between them the threads wait
for each other's hold of the lock.
While several threads call matmul, the threads of BLAS itself would only queue behind each other:
inside a split BLAS is limited to one thread, where its library lets us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def _default_threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """The worker threads; started at the first split, forgotten in a forked child."""

    def __init__(self) -> None:
        self.threads = _default_threads()
        self.executor: ThreadPoolExecutor | None = None
        self.others: list[Callable[[int], None]] = []
        self.lock = threading.Lock()

    def get(self) -> ThreadPoolExecutor:
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(
                    max(1, self.threads - 1), thread_name_prefix="rushlight-cpu"
                )
            return self.executor

    def forget(self) -> None:
        # Threads do not survive a fork, and the lock may have been held by one of them.
        self.executor = None
        self.lock = threading.Lock()


_pool = _Pool()
_inside = threading.local()


def thread_count() -> int:
    """How many threads a split may use, the caller included."""
    return _pool.threads


def share_threads(resize: Callable[[int], None]) -> None:
    """Gives another pool this one's number of threads, now and whenever it changes."""
    if resize not in _pool.others:
        _pool.others.append(resize)
    resize(_pool.threads)


def set_thread_count(threads: int) -> None:
    """Sets how many threads a split may use; 1 turns splitting off."""
    for resize in _pool.others:
        resize(threads)
    with _pool.lock:
        if _pool.executor is not None:
            _pool.executor.shutdown(wait=False)
            _pool.executor = None
        _pool.threads = threads


def split(size: int, work: float, task: Callable[[int, int], T], *, enough: float = 2e6) -> list[T]:
    """Calls `task(start, stop)` on consecutive parts of `range(size)`, side by side.

    Args:
        size: How many units there are, such as images or rows.
        work: What the whole takes, in elements passed through a ufunc.
        task: Leaf work; results come back in order of the parts.
        enough: Least work a thread must get for a split to pay.
    """
    parts = min(_pool.threads, size, max(1, int(work / enough)))
    if parts <= 1 or getattr(_inside, "split", False):
        return [task(0, size)]
    bounds = [size * part // parts for part in range(parts + 1)]
    with _one_blas_thread():
        executor = _pool.get()
        others = [
            executor.submit(_leaf, task, start, stop)
            for start, stop in zip(bounds[1:-1], bounds[2:], strict=True)
        ]
        try:
            first = _leaf(task, 0, bounds[1])
        finally:
            # Parts write into the caller's arrays: none may still run when an error leaves here.
            for other in others:
                other.exception()
        return [first, *(other.result() for other in others)]


def _leaf(task: Callable[[int, int], T], start: int, stop: int) -> T:
    _inside.split = True
    try:
        return task(start, stop)
    finally:
        _inside.split = False


class _Blas:
    """The thread switch of the OpenBLAS that NumPy uses, if it has one we know."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.saved = 0
        self.get, self.set = _find_switch()

    def enter(self) -> None:
        # The switch is process-wide: the first user sets it, the last restores it.
        with self.lock:
            if self.users == 0:
                self.saved = self.get()
                self.set(1)
            self.users += 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.set(self.saved)


def _find_switch() -> tuple[Callable[[], int], Callable[[int], None]]:
    with contextlib.suppress(OSError, AttributeError):
        # Looking a symbol up in NumPy's extension also searches the libraries it is linked to.
        core: Any = getattr(np, "_core", None) or np.core  # NumPy 2, NumPy 1
        library = ctypes.CDLL(core._multiarray_umath.__file__)
        for name in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
            get: Any = getattr(library, name.format("get_num_threads"), None)
            put: Any = getattr(library, name.format("set_num_threads"), None)
            if get is not None and put is not None:
                get.argtypes, get.restype = [], ctypes.c_int
                put.argtypes, put.restype = [ctypes.c_int], None
                return get, put
    return (lambda: 0), (lambda threads: None)


_blas = _Blas()


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


def _after_fork() -> None:
    _pool.forget()
    _blas.lock = threading.Lock()
    if _blas.users:
        _blas.users = 0
        _blas.set(_blas.saved)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
