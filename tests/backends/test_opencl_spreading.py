"""Workers of a driver get a processor each, or are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

spreading = pytest.importorskip("rushlight_opencl.spreading")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="threads are given processors on Linux"
)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Threads that wait, one for each processor of this process."""
    monkeypatch.delenv("POCL_AFFINITY", raising=False)
    before, done = spreading.own_threads(), threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    try:
        yield sorted(spreading.own_threads() - before)
    finally:
        done.set()
        for thread in threads:
            thread.join()


def processors(workers: list[int]) -> list[set[int]]:
    return [os.sched_getaffinity(worker) for worker in workers]


def test_each_worker_gets_a_processor(workers: list[int]) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    spreading.spread(frozenset(workers))
    assert processors(workers) == [{p} for p in allowed]
    assert sorted(os.sched_getaffinity(0)) == allowed


def test_fewer_workers_than_processors_are_left_alone(workers: list[int]) -> None:
    spreading.spread(frozenset(workers[1:]))
    assert processors(workers) == [os.sched_getaffinity(0)] * len(workers)


def test_the_users_wish_is_obeyed(workers: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCL_AFFINITY", "0")
    spreading.spread(frozenset(workers))
    assert processors(workers) == [os.sched_getaffinity(0)] * len(workers)


_OF_A_DEVICE = """
import os
from rushlight_opencl.platforms import found_devices
from rushlight_opencl.spreading import own_threads
mine = os.sched_getaffinity(0)
for device in found_devices():
    if device.platform.name.startswith("Portable") and device.max_compute_units == len(mine):
        places = [os.sched_getaffinity(thread) for thread in own_threads()]
        print(all({one} in places for one in mine))
"""


def test_pocls_workers_are_found() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "POCL_AFFINITY"}
    told = subprocess.run(
        [sys.executable, "-c", _OF_A_DEVICE],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if not told:
        pytest.skip("there is no PoCL with a worker for each processor")
    assert told == ["True"]
