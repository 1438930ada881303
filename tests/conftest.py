"""What all tests share: the device they run on and how hypothesis searches."""

import os

import pytest
from hypothesis import settings

# No deadline: a time limit per example fails on busy machines, not on slow code.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device the tests compute on (cpu)")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The device type given by --device."""
    return str(request.config.getoption("--device"))
