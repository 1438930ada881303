"""Planting defects one at a time and asking the suite: in this process, or in child processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from queue import Empty, Queue

from ._cases import Case, every_case, first_cases
from ._defect import DEFECTS, Defect
from ._victim import planted


@dataclass(frozen=True)
class Verdict:
    """What became of a defect.

    Attributes:
        defect: Its name.
        killed: Whether a case failed.
        case: The case that failed first; "" if none did.
        message: The first line of its failure.
        asked: How many cases were run.
        seconds: How long that took.
    """

    defect: str
    killed: bool
    case: str = ""
    message: str = ""
    asked: int = 0
    seconds: float = 0.0


def judged(defect: Defect, *, whole: bool = True) -> Verdict:
    """Plants a defect and runs the suite until a case fails.

    Args:
        defect: What is wrong.
        whole: Whether the whole suite decides; else only the operator's own cases are tried.
    """
    start = time.perf_counter()
    asked = 0
    device = planted(defect)
    cases = [first_cases(defect.operators)]
    if whole:
        cases.append(every_case())
    seen: set[str] = set()
    for case in (case for part in cases for case in part):
        if case.name in seen:
            continue
        seen.add(case.name)
        asked += 1
        told = failure_of(case, device)
        if told is not None:
            return Verdict(defect.name, True, case.name, told, asked, time.perf_counter() - start)
    return Verdict(defect.name, False, asked=asked, seconds=time.perf_counter() - start)


def failure_of(case: Case, device: str) -> str | None:
    """The first line of a case's failure; None if it passes."""
    try:
        case.run(device)
    except Exception as raised:
        lines = str(raised).splitlines() or [""]
        return f"{type(raised).__name__}: {lines[0]}"[:160]
    return None


def control(*, queue: bool, cases: Iterable[Case] | None = None) -> list[tuple[str, str]]:
    """The cases that fail on a sound device, each with its message; there should be none."""
    device = planted(None, queue=queue)
    asked = every_case() if cases is None else cases
    told = [(case.name, failure_of(case, device)) for case in asked]
    return [(name, message) for name, message in told if message is not None]


# -- several processes --------------------------------------------------------------------------


def survey(
    defects: list[Defect], jobs: int, progress: Callable[[Verdict], None] = lambda verdict: None
) -> list[Verdict]:
    """Judges defects in child processes; one that dies has killed the defect it was at."""
    waiting: Queue[Defect] = Queue()
    for defect in defects:
        waiting.put(defect)
    found: dict[str, Verdict] = {}

    def work() -> None:
        for verdict in _from_children(waiting):
            found[verdict.defect] = verdict
            progress(verdict)

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work) for _ in range(jobs)]:
            future.result()
    return [found[defect.name] for defect in defects]


def _from_children(waiting: Queue[Defect]) -> Iterator[Verdict]:
    child: subprocess.Popen[str] | None = None
    try:
        while True:
            try:
                defect = waiting.get_nowait()
            except Empty:
                return
            if child is None:
                child = _child()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(defect.name + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if line:
                yield Verdict(**json.loads(line))
            else:
                yield Verdict(defect.name, True, "-", f"the process died: {child.wait()}")
                child = None
    finally:
        if child is not None:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


def _child() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rushlight.testing.mutation", "--serve"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> None:
    """A child's life: a name comes in, a verdict goes out."""
    for line in sys.stdin:
        print(json.dumps(asdict(judged(DEFECTS[line.strip()]))), flush=True)
