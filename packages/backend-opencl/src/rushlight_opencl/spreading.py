"""One processor for each worker thread of a driver.

PoCL wakes all its workers at once for every kernel, and for kernels of a millisecond or two Linux
often leaves two of them on one processor: the kernel takes twice as long. Workers that may run on
one processor each can't meet. Work-groups are handed out one after another, so a worker whose
processor is busy with something else simply takes fewer.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


def own_threads() -> frozenset[int]:
    """This process's threads, where the system tells them."""
    if sys.platform != "linux":
        return frozenset()
    return frozenset(int(entry.name) for entry in _THREADS.iterdir())


def spread(workers: frozenset[int]) -> None:
    """Gives each of a driver's worker threads a processor of its own.

    Only where there are as many as processors that this process may use: fewer would crowd upon
    the first ones, together with those of other processes. `POCL_AFFINITY`, by which PoCL does
    this itself (on any processors) or not, is obeyed.

    Args:
        workers: The threads.
    """
    if sys.platform != "linux" or "POCL_AFFINITY" in os.environ:
        return
    processors = os.sched_getaffinity(0)
    if len(workers) == len(processors):
        for worker, processor in zip(sorted(workers), sorted(processors), strict=True):
            with suppress(OSError):  # where it is forbidden, the system's choice stays
                os.sched_setaffinity(worker, {processor})
