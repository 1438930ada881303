"""Splitting a kernel's work among Python threads, with BLAS held to one thread each.

NumPy releases the interpreter lock inside its loops, so two Python threads do run side by side; a
split costs 30-60 microseconds, so kernels ask for one only when there is work for a few times that.
Passes must take tens of microseconds (hence the size of `BLOCK`): between them the threads wait
for each other's hold of the lock.
While several threads call matmul, the threads of BLAS itself would only queue behind each other,
and after their work they wait busily for more, which takes a core from whoever comes next. So
inside a split BLAS is limited to one thread, where its library lets us, even if only one computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

#: What a thread must get for a split to pay, in elements: of passes through memory, and of work in
#: which the threads pass the interpreter's lock more often.
PASSES, BLOCKS = 2.5e5, 7e5
# Work, in elements passed through a ufunc, below which BLAS would not use threads either.
_SMALL = 9e3


def _default_threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """The worker threads; started at the first split, forgotten in a forked child.

    They wait at one queue: an executor's futures would cost 60 microseconds more per split.
    """

    def __init__(self) -> None:
        self.threads = _default_threads()
        self.tasks: queue.SimpleQueue[Callable[[], None] | None] | None = None
        self.workers = 0
        self.others: list[Callable[[int], None]] = []
        self.lock = threading.Lock()

    def get(self) -> queue.SimpleQueue[Callable[[], None] | None]:
        with self.lock:
            if self.tasks is None:
                self.tasks = queue.SimpleQueue()
                self.workers = max(1, self.threads - 1)
                for number in range(self.workers):
                    threading.Thread(
                        target=_work,
                        args=(self.tasks,),
                        name=f"rushlight-cpu_{number}",
                        daemon=True,
                    ).start()
            return self.tasks

    def resize(self, threads: int) -> None:
        with self.lock:
            if self.tasks is not None:
                # Behind the tasks that wait: those are done first.
                for _ in range(self.workers):
                    self.tasks.put(None)
                self.tasks = None
            self.threads = threads

    def forget(self) -> None:
        # Threads do not survive a fork, and the lock may have been held by one of them.
        self.tasks = None
        self.lock = threading.Lock()


def _work(tasks: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    """A worker's life."""
    _inside.split = True  # what a task splits further runs in its own thread
    while (task := tasks.get()) is not None:
        task()
        del task  # keeps no array alive while waiting


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
    _pool.resize(threads)


def split(
    size: int,
    work: float,
    task: Callable[[int, int], T],
    *,
    enough: float = 2e6,
) -> list[T]:
    """Calls `task(start, stop)` on consecutive parts of `range(size)`, side by side.

    Args:
        size: How many units there are, such as images or rows.
        work: What the whole takes, in elements passed through a ufunc.
        task: Leaf work; results come back in order of the parts.
        enough: Least work a thread must get for a split to pay.
    """
    inside = getattr(_inside, "split", False)
    parts = 1 if inside else min(_pool.threads, size, max(1, int(work / enough)))
    if parts <= 1:
        if inside or work < _SMALL:
            return [task(0, size)]
        with _blas:
            return [task(0, size)]
    bounds = [size * part // parts for part in range(parts + 1)]
    answers: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()

    def leaf(number: int) -> None:
        try:
            answers.put((number, task(bounds[number], bounds[number + 1]), None))
        except BaseException as raised:
            answers.put((number, None, raised))

    found: list[Any] = [None] * parts
    failures: list[BaseException] = []
    with _blas:
        tasks = _pool.get()
        for number in range(1, parts):
            tasks.put(functools.partial(leaf, number))
        _inside.split = True
        try:
            leaf(0)
        finally:
            _inside.split = False
        # Parts write into the caller's arrays: none may still run when an error leaves here.
        for _ in range(parts):
            number, value, failure = answers.get()
            found[number] = value
            if failure is not None:
                failures.append(failure)
    if failures:
        raise failures[0]
    return found


# Most parts of a fixed split, and the elements that all their results may take together.
_PARTS, _ROOM = 8, 2**22


def fixed_split(
    size: int,
    work: float,
    task: Callable[[int, int], T],
    *,
    length: int = 0,
    least: int = 1,
    enough: float = 2e6,
) -> list[T]:
    """Calls `task(start, stop)` on parts of `range(size)` whose cuts do not depend on the threads.

    So sums of the results, and products whose shapes follow the cuts, are the same, to the bit,
    for any number of threads.

    Args:
        size: How many units there are, such as images or rows.
        work: What the whole takes, in elements passed through a ufunc.
        task: Leaf work; results come back in order of the parts.
        length: How many elements one result has.
        least: How many units more than two parts should have each.
        enough: Least work of a part.
    """
    most = min(size, _PARTS, int(work / enough))
    most = min(most, max(2, min(_ROOM // max(1, length), size // max(1, least))))
    # A power of two, so that two or four threads get the same.
    parts = 1 << (max(1, most).bit_length() - 1)
    bounds = [size * part // parts for part in range(parts + 1)]

    def some(start: int, stop: int) -> list[T]:
        return [task(bounds[number], bounds[number + 1]) for number in range(start, stop)]

    found = split(parts, work, some, enough=enough)
    return [result for results in found for result in results]


class _Blas:
    """Holds the OpenBLAS that NumPy uses to one thread, if it is one whose switch we know."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.saved = 0
        self.get, self.set = _find_switch()

    def __enter__(self) -> None:
        # The switch is process-wide: the first user sets it, the last restores it.
        with self.lock:
            if self.users == 0:
                self.saved = self.get()
                self.set(1)
            self.users += 1

    def __exit__(self, *raised: object) -> None:
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
#: `with ONE_BLAS_THREAD:` is for calls of BLAS that are not split.
ONE_BLAS_THREAD = _blas


def _after_fork() -> None:
    _pool.forget()
    _blas.lock = threading.Lock()
    if _blas.users:
        _blas.users = 0
        _blas.set(_blas.saved)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
