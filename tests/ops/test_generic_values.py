"""Results of every operator: values, dtypes, shapes, on every layout, without side effects."""

from typing import Any

import pytest

from rushlight.testing.suite import calls


@pytest.mark.parametrize("call", calls("value"), ids=str)
def test_value(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("meta"), ids=str)
def test_meta(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("decomposition"), ids=str)
def test_decomposition(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("view"), ids=str)
def test_view(call: Any, device: str) -> None:
    call(device)
