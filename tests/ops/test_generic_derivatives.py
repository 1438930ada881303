"""Every operator's derivatives: reverse and forward, first and second order."""

from typing import Any

import pytest

from rushlight.testing.suite import calls


@pytest.mark.parametrize("call", calls("gradient"), ids=str)
def test_gradient(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("gradient_dtype"), ids=str)
def test_gradient_dtype(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("second_gradient"), ids=str)
def test_second_gradient(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("jvp"), ids=str)
def test_jvp(call: Any, device: str) -> None:
    call(device)
