"""Running the suite: step by step, and no further than a broken step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Any

from ..._device import device as Device
from ..._errors import error
from ._asking import ask
from ._case import BREAKING, STAGES, Case, Result
from ._catalogue import catalogue
from ._expected import Expected, expected_of
from ._facts import facts_of
from ._scorecard import Scorecard
from ._workers import Workers

Listener = Callable[[Result], None]
#: An operator that took its process with it so often is not asked again.
_DEADLY = 3


def cases(
    *,
    stages: Collection[str] | None = None,
    operators: Collection[str] | None = None,
    keyword: str = "",
    level: int = 3,
) -> list[Case]:
    """The cases of a choice, in order.

    Args:
        stages: Names of stages; all by default.
        operators: Only cases of these operators; programs, which use many, are left out.
        keyword: Only cases whose id contains it.
        level: From 1, the shortest, to 3, everything.
    Raises:
        ValueError: There is no such stage.
    Example:
        >>> from rushlight.testing import conformance
        >>> [case.id for case in conformance.cases(keyword="clone-bool")]
        ['memory-clone-bool', ...]
    """
    unknown = sorted(set(stages or ()) - set(STAGES))
    if unknown:
        raise error(
            ValueError,
            "conformance",
            f"there is no stage {unknown[0]!r}",
            expected=", ".join(STAGES),
        )
    return [
        case
        for case in catalogue()
        if case.level <= level
        and (stages is None or case.stage in stages)
        and (operators is None or case.operator in operators)
        and keyword in case.id
    ]


def run(
    device: str,
    *,
    stages: Collection[str] | None = None,
    operators: Collection[str] | None = None,
    keyword: str = "",
    level: int = 3,
    stop_at_first_failure: bool = False,
    keep_going: bool = False,
    isolate: bool = False,
    jobs: int = 1,
    timeout: float = 120.0,
    modules: Sequence[str] = (),
    expected: Expected | None = None,
    listener: Listener | None = None,
) -> Scorecard:
    """Asks the suite of a device.

    Args:
        device: A device label, such as "sim".
        stages, operators, keyword, level: Which cases; see `cases`.
        stop_at_first_failure: Ends the run there.
        keep_going: Does not stop at a broken stage.
        isolate: Asks in worker processes, so that a crash or a hang costs one case.
        jobs: How many worker processes.
        timeout: Seconds that a case may take in a worker process.
        modules: Imported first in each worker process; they may register the backend.
        expected: Expected failures; those of the backend's package by default.
        listener: Told every result as it comes.
    Returns:
        The results; cases that were not asked are "not run".
    Example:
        >>> from rushlight.testing import conformance
        >>> card = conformance.run("cpu", operators=["softmax"], stages=["composites"])
        >>> card.ok
        True
    """
    if expected is None:
        expected = expected_of(Device(device).type)
    chosen = cases(stages=stages, operators=operators, keyword=keyword, level=level)
    card = Scorecard(device, level, problems=list(expected.problems))
    card.problems += expected.unmatched([case.id for case in catalogue()])
    workers = Workers(max(jobs, 1), device, modules, timeout) if isolate else None
    progress = _Progress(card, expected, stop_at_first_failure, keep_going, listener)
    try:
        for (stage, _), step in groupby(chosen, key=lambda case: (case.stage, case.step)):
            progress.take(stage, list(step), device, workers)
        card.facts = facts_of(device) if workers is None else workers.facts()
    finally:
        if workers is not None:
            workers.close()
    return card


class _Progress:
    """Adds the results of one step after the other to a scorecard."""

    def __init__(
        self,
        card: Scorecard,
        expected: Expected,
        stop: bool,
        keep_going: bool,
        listener: Listener | None,
    ) -> None:
        self.card, self.expected, self.stop = card, expected, stop
        self.keep_going, self.listener = keep_going, listener
        self.broken = ""
        self.deaths: Counter[str | None] = Counter()

    def hopeless(self, case: Case) -> str:
        """Why a case need not be asked, if it need not."""
        if case.operator is None or self.deaths[case.operator] < _DEADLY:
            return ""
        return f"{case.operator} crashed or hung {_DEADLY} times before"

    def take(self, stage: str, step: list[Case], device: str, workers: Any) -> None:
        """Asks the cases of a step, unless one before it is broken."""
        if self.broken:
            self.card.results += [Result(case, "not run", self.broken) for case in step]
            return
        found: dict[str, Result] = {}
        bad = False

        def tell(result: Result) -> bool:
            nonlocal bad
            found[result.case.id] = self.expected.judge(result)
            if self.listener is not None:
                self.listener(result)
            bad = bad or result.outcome in BREAKING
            self.deaths[result.case.operator] += result.outcome in ("crashed", "hung")
            return bad and self.stop

        if workers is None:
            for case in step:
                if tell(ask(case, device)):
                    break
        else:
            workers.ask(step, tell, self.hopeless)
        if bad and self.stop:
            self.broken = "the run ended at the first failure"
        elif bad and not self.keep_going:
            self.broken = f"stage {stage} is broken"
        self.card.results += [
            found.get(case.id) or Result(case, "not run", self.broken) for case in step
        ]
