"""Rushlight's own tests of every operator that has a kernel here."""

from typing import Any

import pytest
from rushlight_template import backend

from rushlight.testing.suite import calls


def within_limits(call: Any) -> bool:
    """Whether the dtypes of a call are the device's."""
    wanted = {call.arguments[0], call.sample.case.attributes.get("dtype", call.arguments[0])}
    return wanted <= backend.manifest.dtypes


@pytest.mark.parametrize("check", ["value", "meta", "decomposition"])
@pytest.mark.parametrize("name", backend.kernel_names())
def test_kernel(name: str, check: str) -> None:
    for call in calls(check):
        if call.sample.group.name == name and within_limits(call):
            call("template")
