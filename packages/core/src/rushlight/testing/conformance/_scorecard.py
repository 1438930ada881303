"""The results of a run: counted by stage, and as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...backend._tables import table
from ._case import BAD, OUTCOMES, STAGES, Result


@dataclass
class Scorecard:
    """What came of all cases.

    Attributes:
        device: The device label.
        level: The level that was asked for.
        results: One for each case, in order.
        problems: What is wrong with the run itself, such as an entry of xfails.txt that matches
            nothing.
        facts: Versions and the like.
    """

    device: str
    level: int = 3
    results: list[Result] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing has to be mended, and nothing was left out."""
        outcomes = {result.outcome for result in self.results}
        return not (self.problems or outcomes & BAD or "not run" in outcomes)

    def bad(self) -> Iterator[Result]:
        """The results that have to be mended."""
        return (result for result in self.results if result.outcome in BAD)

    def counts(self) -> dict[str, Counter[str]]:
        """Numbers of outcomes by stage, for the stages that have cases."""
        found: dict[str, Counter[str]] = {}
        for result in self.results:
            found.setdefault(result.case.stage, Counter())[result.outcome] += 1
        return {stage: found[stage] for stage in STAGES if stage in found}

    def passed(self) -> tuple[int, int]:
        """How many cases passed, and of how many that apply to the device."""
        total: Counter[str] = sum(self.counts().values(), Counter())
        return total["passed"], sum(total.values()) - total["skipped"]

    def text(self) -> str:
        """The table by stage."""
        counts = self.counts()
        shown = [o for o in OUTCOMES if any(row[o] for row in counts.values())]
        rows = [[stage, *(row[o] or "" for o in shown)] for stage, row in counts.items()]
        return table(["stage", *shown], rows, right=",".join(shown))
