"""The suite as the harness asks it: all of the conformance suite, some operators' cases first."""

from __future__ import annotations

from collections.abc import Iterator

from ..conformance import Case
from ..conformance._catalogue import catalogue


def every_case() -> Iterator[Case]:
    """The whole suite."""
    yield from catalogue()


def first_cases(operators: tuple[str, ...]) -> Iterator[Case]:
    """The cases of some operators."""
    wanted = frozenset(operators)
    yield from (case for case in catalogue() if case.operator in wanted)
