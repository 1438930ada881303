"""What the examples in docstrings find ready: `rushlight`, `nn`, `np`, and a fixed seed."""

from typing import Any

import numpy
import pytest


@pytest.fixture(autouse=True)
def _examples(doctest_namespace: dict[str, Any]) -> None:
    import rushlight
    from rushlight import nn

    rushlight.manual_seed(0)
    doctest_namespace.update(rushlight=rushlight, nn=nn, np=numpy)
