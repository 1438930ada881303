"""The suite as tests: `pytest --pyargs rushlight.testing.conformance --device NAME`."""

from __future__ import annotations

from typing import Any

from rushlight.testing.conformance import cases


def pytest_generate_tests(metafunc: Any) -> None:
    """One test for each case of the level."""
    level = metafunc.config.getoption("--conformance-level")
    metafunc.parametrize("case", cases(level=level), ids=lambda case: case.id)


def test_case(case: Any, conformance: Any) -> None:
    """What the suite asks is so."""
    conformance.ask(case)
