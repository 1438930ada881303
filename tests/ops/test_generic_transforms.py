"""Every operator under `vmap` and captured."""

from typing import Any

import pytest

from rushlight.testing.suite import calls


@pytest.mark.parametrize("call", calls("vmap"), ids=str)
def test_vmap(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("capture"), ids=str)
def test_capture(call: Any, device: str) -> None:
    call(device)
