"""Every operator's in-place form and `out=`."""

from typing import Any

import pytest

from rushlight.testing.suite import calls


@pytest.mark.parametrize("call", calls("inplace"), ids=str)
def test_inplace(call: Any, device: str) -> None:
    call(device)


@pytest.mark.parametrize("call", calls("out"), ids=str)
def test_out(call: Any, device: str) -> None:
    call(device)
