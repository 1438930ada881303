"""Planting defects one at a time and asking the suite: in this process, or in child processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from queue import Empty, Queue
from typing import Any

from ..conformance import Case, Skip
from ..conformance._asking import told
from ._cases import every_case, first_cases
from ._defect import DEFECTS, Defect
from ._victim import planted

#: The kernels that each case of the suite calls on a sound device.
Traces = Mapping[str, frozenset[str]]


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


@dataclass(frozen=True)
class Control:
    """What the suite says of a sound device.

    Attributes:
        failing: The cases that fail, with their messages; there should be none.
        traces: The kernels that each case calls.
        asked: How many cases were run.
    """

    failing: dict[str, str]
    traces: dict[str, frozenset[str]]
    asked: int


def judged(defect: Defect, traces: Traces | None = None, *, whole: bool = True) -> Verdict:
    """Plants a defect and runs the suite until a case fails.

    The operators' own cases come first, because they find most defects; whether one survives is
    decided by the whole suite.

    Args:
        defect: What is wrong.
        traces: Of a sound device; a case that calls none of the spoilt kernels is then left out,
            since it would run as it does there.
        whole: Whether the whole suite decides; else only the operators' own cases are asked.
    """
    start = time.perf_counter()
    device = planted(defect)
    seen: set[str] = set()
    parts = [first_cases(defect.operators), *([every_case()] if whole else [])]
    for case in (case for part in parts for case in part):
        if case.id in seen or not _reaches(case, defect, traces):
            continue
        seen.add(case.id)
        failure = failure_of(case, device)
        if failure is not None:
            seconds = time.perf_counter() - start
            return Verdict(defect.name, True, case.id, failure, len(seen), seconds)
    return Verdict(defect.name, False, "", "", len(seen), time.perf_counter() - start)


def _reaches(case: Case, defect: Defect, traces: Traces | None) -> bool:
    if traces is None or defect.spoil is None or case.id not in traces:
        return True
    return not traces[case.id].isdisjoint(defect.operators)


def failure_of(case: Case, device: str) -> str | None:
    """The first line of a case's failure; None if it passes or does not apply."""
    try:
        case.call(device)
    except Skip:
        return None
    except Exception as raised:
        return told(raised).splitlines()[0][:160]
    return None


def control(*, queue: bool = False, cases: Iterable[Case] | None = None) -> Control:
    """Runs the suite on a sound device.

    Args:
        queue: Whether it has a queue.
        cases: The cases; the whole suite by default.
    """
    called: set[str] = set()
    device = planted(None, queue=queue, called=called)
    failing: dict[str, str] = {}
    traces: dict[str, frozenset[str]] = {}
    for case in every_case() if cases is None else cases:
        called.clear()
        failure = failure_of(case, device)
        traces[case.id] = frozenset(called)
        if failure is not None:
            failing[case.id] = failure
    return Control(failing, traces, len(traces))


# -- several processes --------------------------------------------------------------------------


def survey(
    defects: list[Defect],
    jobs: int,
    progress: Callable[[Verdict], None] = lambda verdict: None,
) -> tuple[dict[str, Control], list[Verdict]]:
    """Judges defects in child processes; a child that dies has killed the defect it was at.

    Args:
        defects: What is planted, one at a time.
        jobs: How many processes.
        progress: Told each verdict.
    Returns:
        What sound devices did, by kind ("array", "queue"), and the verdicts.
    """
    with ThreadPoolExecutor(jobs) as pool:
        controls = dict(zip(("array", "queue"), pool.map(_control, (False, True)), strict=True))
        traces = {name: sorted(kernels) for name, kernels in controls["array"].traces.items()}
        waiting: Queue[Defect] = Queue()
        for defect in defects:
            waiting.put(defect)
        found: dict[str, Verdict] = {}

        def work() -> None:
            for verdict in _from_children(waiting, json.dumps(traces)):
                found[verdict.defect] = verdict
                progress(verdict)

        for future in [pool.submit(work) for _ in range(jobs)]:
            future.result()
    return controls, [found[defect.name] for defect in defects]


def _control(queue: bool) -> Control:
    child = _child()
    told, _ = child.communicate(json.dumps({"control": queue}) + "\n")
    if child.returncode:
        raise RuntimeError(f"the process of a sound device died: {child.returncode}")
    found = json.loads(told)
    traces = {name: frozenset(kernels) for name, kernels in found["traces"].items()}
    return Control(found["failing"], traces, found["asked"])


def _from_children(waiting: Queue[Defect], traces: str) -> Iterator[Verdict]:
    child: subprocess.Popen[str] | None = None
    try:
        while True:
            try:
                defect = waiting.get_nowait()
            except Empty:
                return
            if child is None:
                child = _child()
                _send(child, traces)
            _send(child, json.dumps(defect.name))
            assert child.stdout is not None
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


def _send(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _child() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rushlight.testing.mutation", "--serve"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> None:
    """A child's life: traces come in, then names, each answered by a verdict."""
    traces: Traces | None = None
    for line in sys.stdin:
        asked: Any = json.loads(line)
        if isinstance(asked, str):
            print(json.dumps(asdict(judged(DEFECTS[asked], traces))), flush=True)
        elif "control" in asked:
            made = control(queue=asked["control"])
            shown = {name: sorted(kernels) for name, kernels in made.traces.items()}
            told = {"failing": made.failing, "traces": shown, "asked": made.asked}
            print(json.dumps(told), flush=True)
        else:
            traces = {name: frozenset(kernels) for name, kernels in asked.items()}
