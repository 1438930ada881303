"""pytest's way to the conformance suite: `pytest --pyargs rushlight.testing.conformance`.

pytest imports this in every project whose environment has Rushlight, so it is a package of its own
that imports nothing else: options and fixtures come only where the suite is asked for.
"""

from typing import Any

import pytest

SUITE = "rushlight.testing.conformance"


@pytest.hookimpl(trylast=True)  # after conftest files, which may have an option of the same name
def pytest_load_initial_conftests(early_config: Any, args: list[str]) -> None:
    """Adds the suite's plugin, if the command line names the suite."""
    if any(arg.startswith(SUITE) for arg in args):
        early_config.pluginmanager.import_plugin(f"{SUITE}._plugin")
