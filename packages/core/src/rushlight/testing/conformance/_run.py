"""Running the suite: step by step, and no further than a broken step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import groupby

from ._asking import ask
from ._case import BREAKING, STAGES, Case, Result
from ._catalogue import catalogue
from ._scorecard import Scorecard

Listener = Callable[[Result], None]


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
        operators: Only cases of these operators; with it, programs are left out.
        keyword: Only cases whose id contains it.
        level: From 1, the shortest, to 3, everything.
    Raises:
        ValueError: There is no such stage.
    """
    unknown = sorted(set(stages or ()) - set(STAGES))
    if unknown:
        raise ValueError(f"there is no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
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
    listener: Listener | None = None,
) -> Scorecard:
    """Asks the suite of a device.

    Args:
        device: A device label, such as "sim".
        stages, operators, keyword, level: Which cases; see `cases`.
        stop_at_first_failure: Ends the run there.
        keep_going: Does not stop at a broken stage.
        isolate: Asks in worker processes, so that a crash costs one case.
        listener: Told every result as it comes.
    Returns:
        The results; cases that were not asked are "not run".
    """
    card = Scorecard(device, level)
    chosen = cases(stages=stages, operators=operators, keyword=keyword, level=level)
    broken = ""
    for (stage, _), step in groupby(chosen, key=lambda case: (case.stage, case.step)):
        group = list(step)
        if broken:
            card.results += [Result(case, "not run", broken) for case in group]
            continue
        for result in _asked(group, device, stop_at_first_failure):
            card.results.append(result)
            if listener is not None and result.outcome != "not run":
                listener(result)
            if result.outcome in BREAKING and (stop_at_first_failure or not keep_going):
                broken = f"stage {stage} is broken"
    return card


def _asked(group: list[Case], device: str, stop: bool) -> Iterator[Result]:
    stopped = False
    for case in group:
        if stopped:
            yield Result(case, "not run", "the run ended at the first failure")
            continue
        result = ask(case, device)
        stopped = stop and result.outcome in BREAKING
        yield result
