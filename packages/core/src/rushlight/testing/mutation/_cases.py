"""The suite as the harness asks it: named cases, of some operators or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from .. import suite


@dataclass(frozen=True)
class Case:
    """One question to a device; it raises if the answer is wrong."""

    name: str
    operator: str
    run: Callable[[str], object]


@cache
def _all() -> tuple[Case, ...]:
    return tuple(
        Case(f"{check}: {call}", call.sample.group.name, call)
        for check in suite.CHECKS
        for call in suite.calls(check)
    )


def every_case() -> Iterator[Case]:
    """The whole suite."""
    yield from _all()


def first_cases(operators: tuple[str, ...]) -> Iterator[Case]:
    """The cases of some operators."""
    wanted = frozenset(operators)
    yield from (case for case in _all() if case.operator in wanted)
