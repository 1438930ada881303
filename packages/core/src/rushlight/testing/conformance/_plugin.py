"""The suite's side of pytest: options, and the worker process that the tests of a session share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ._case import BREAKING, Case
from ._catalogue import catalogue
from ._expected import expected_of
from ._workers import Worker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the suite."""
    group = parser.getgroup("rushlight conformance")
    try:
        group.addoption("--device", default="cpu", help="device that is tested (cpu)")
    except ValueError:
        pass  # a conftest.py has the option already, and it means the same
    group.addoption("--conformance-level", type=int, default=3, choices=(1, 2, 3))
    group.addoption("--conformance-timeout", type=float, default=120.0, metavar="SECONDS")
    group.addoption("--conformance-import", action="append", default=[], metavar="MODULE")


class Session:
    """Asks cases in a worker process, and remembers which stage is broken.

    Args:
        config: pytest's.
    """

    def __init__(self, config: Any) -> None:
        device = str(config.getoption("--device"))
        self.expected = expected_of(device.partition(":")[0])
        self.complaints = [*self.expected.problems]
        self.complaints += self.expected.unmatched([case.id for case in catalogue()])
        self.broken: tuple[str, int] | None = None
        self.worker = Worker(
            device,
            config.getoption("--conformance-import"),
            config.getoption("--conformance-timeout"),
        )

    def ask(self, case: Case) -> None:
        """Asks one case; ends as a test does."""
        assert not self.complaints, "\n".join(self.complaints)
        place = (case.stage, case.step)
        if self.broken is not None and place != self.broken:
            pytest.skip(f"not run: stage {self.broken[0]} is broken")
        result = self.expected.judge(self.worker.ask(case))
        if result.outcome in BREAKING:
            self.broken = self.broken or place
        if result.outcome == "expected":
            pytest.xfail(result.reason)
        if result.outcome in ("skipped", "blocked"):
            pytest.skip(result.reason)
        if result.outcome != "passed":
            text = f"{result.outcome}: {result.reason}\n{result.details}"
            pytest.fail(text, pytrace=False)


@pytest.fixture(scope="session")
def conformance(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The session's asker."""
    session = Session(request.config)
    yield session
    session.worker.close()
