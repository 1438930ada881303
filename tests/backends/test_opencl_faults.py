"""Faults on OpenCL: raised at once where the host knows of them, otherwise at the next wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.nn import functional as F

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

TABLE = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    rl.ones(1, device="opencl").cpu()


def table() -> Any:
    return rl.tensor(TABLE, device="opencl")


def index(*numbers: Any) -> Any:
    return rl.tensor(list(numbers), device="opencl")


def computed(number: int) -> Any:
    """An index of which the host knows nothing."""
    return index(number - 1) + 1


KNOWN = {
    "gather": (lambda x: x.gather(0, index([5, 0, 0, 0])), RuntimeError, "gather: index 5 is out"),
    "take": (lambda x: x.take(index(99)), IndexError, "take: index 99 is out"),
    "embedding": (
        lambda x: F.embedding(index([9], [0]), x),
        IndexError,
        "embedding: index out of range in self: 9, in a table of 3 rows",
    ),
    "a part": (lambda x: x[index(0, 9)[1:].reshape(1, 1)], IndexError, "index: index 9 is out"),
    "int32": (lambda x: F.embedding(index(-1).int(), x), IndexError, "in self: -1"),
    "taken on the device": (lambda x: x[index(0, 7)[index(1)]], IndexError, "index 7 is out"),
    "target": (lambda x: F.cross_entropy(x, index(0, 4, -100)), IndexError, "Target 4 is out"),
    "scatter_": (lambda x: x.scatter_(0, index([5, 0, 0, 0]), x), RuntimeError, "index 5 is out"),
    "index_add_": (lambda x: x.index_add_(0, index(0, 3, 0), x), IndexError, "index 3 is out"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_an_index_from_the_host_fails_in_its_own_call(name: str) -> None:
    call, kind, message = KNOWN[name]
    x = table()
    with pytest.raises(kind, match=message) as raised:
        call(x)
    assert "immediate" not in str(raised.value)
    np.testing.assert_array_equal(x.cpu().numpy(), TABLE)


def test_an_index_from_the_device_fails_at_the_next_wait_and_names_its_line() -> None:
    x = table()
    bad = x[computed(9)]
    y = x * 2
    with pytest.raises(IndexError, match="index: index 9 is out of bounds") as raised:
        y.cpu()
    assert "test_opencl_faults.py:" in str(raised.value)
    assert "RUSHLIGHT_OPENCL_FAULTS=immediate" in str(raised.value)
    np.testing.assert_array_equal(y.cpu().numpy(), 2 * TABLE)  # told once
    del bad


def test_an_index_from_the_device_fails_at_once_if_that_is_wanted() -> None:
    x = table()
    rl.opencl.faults("immediate")
    try:
        with pytest.raises(IndexError, match="index 9 is out of bounds"):
            x[computed(9)]
        with pytest.raises(IndexError, match="index 3 is out of bounds"):
            x.index_fill_(0, computed(3), 0.0)
    finally:
        rl.opencl.faults("late")
    np.testing.assert_array_equal(x.cpu().numpy(), TABLE)


def test_an_index_that_was_overwritten_is_judged_by_what_it_is_now() -> None:
    where = index(9)
    where.zero_()
    assert table()[where].tolist() == [TABLE[0].tolist()]
    ignored = index(0, -100, 3)
    loss = F.cross_entropy(table(), ignored)
    assert abs(loss.item() - F.cross_entropy(table().cpu(), ignored.cpu()).item()) < 1e-6


def test_choices_of_when_faults_are_raised() -> None:
    with pytest.raises(ValueError, match="there is no choice 'soon'"):
        rl.opencl.faults("soon")
