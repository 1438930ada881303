"""The loopback devices: the CPU's results under another name, and a guard that notices misuse."""

from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import nn
from rushlight._registered import operators
from rushlight.backend import kind_of
from rushlight.testing.loopback import (
    BrokenContract,
    LoopbackArray,
    backend,
    check_attributes,
    check_operands,
    check_results,
)


def kernel(name: str, dtype: Any = rushlight.float32, index: int = 0) -> Any:
    """A kernel as the core calls it."""
    kind = kind_of(rushlight.device("loopback", index), dtype)
    return kind.t[operators[name].index]


def native(values: Any, index: int = 0, dtype: Any = np.float32) -> Any:
    return backend.runtime(index).from_host(np.array(values, dtype))


def test_a_network_trains_as_on_the_cpu() -> None:
    losses = []
    for device in ("cpu", "loopback:1"):
        rushlight.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device)
        optimizer = rushlight.optim.Adam(model.parameters(), lr=0.1)
        x = rushlight.linspace(-1, 1, 12).reshape(4, 3).to(device)
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), rushlight.tensor([0, 1, 0, 1]).to(device))
            loss.backward()
            optimizer.step()
        assert str(loss.device) == device
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_results_know_their_device() -> None:
    x = rushlight.ones(2, 3, device="loopback:1")
    for made in (x + 1, x.t()[1:], x.sum(), rushlight.full((2,), 1.0, device="loopback:1")):
        array = made.detach().clone()._a
        assert isinstance(array, LoopbackArray)
        assert array.device == 1


@pytest.mark.parametrize(
    ("operands", "words"),
    [
        ((np.ones(2, np.float32), native([1.0])), "given ndarray of"),
        ((native([1.0], 1), native([1.0])), "loopback:0 was given LoopbackArray of 1"),
        ((native([1.0]), native([1.0], dtype=np.float64)), "not promoted"),
        ((native([1], dtype=np.int64),) * 2, "its kernel for float32 got int64"),
        ((native([1.0]),), "1 operands, its schema has 2"),
    ],
)
def test_guard_refuses_operands_that_break_the_contract(operands: Any, words: str) -> None:
    with pytest.raises(BrokenContract, match=words):
        kernel("add")(*operands)


def test_guard_refuses_integers_where_promotion_makes_floats() -> None:
    with pytest.raises(BrokenContract, match="promotion makes them floats"):
        check_operands(
            backend.runtime(0),  # type: ignore[arg-type]
            operators["exp"],
            (native([1], dtype=np.int64),),
            rushlight.int64,
        )


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"dim": (-1,), "keepdim": False}, "not normalised"),
        ({"dim": [0], "keepdim": False}, r"schema says int\[\]"),
        ({"dim": (0,), "keepdim": 1}, "schema says bool"),
        ({"dim": (0,)}, "its schema has"),
    ],
)
def test_guard_refuses_attributes_that_are_not_normalised(attributes: Any, words: str) -> None:
    with pytest.raises(BrokenContract, match=words):
        check_attributes(operators["sum"], attributes)


def test_guard_notices_a_kernel_that_contradicts_its_meta_function() -> None:
    told = operators["exp"].meta_rule(rushlight.ones(2, device="meta"))
    check_results(operators["exp"], np.ones(2, np.float32), told)
    with pytest.raises(BrokenContract, match="its meta function says"):
        check_results(operators["exp"], np.ones(2, np.float64), told)


def test_host_arrays_stay_the_hosts() -> None:
    x = rushlight.ones(3, device="loopback")
    with pytest.raises(TypeError, match="cpu\\(\\)"):
        x.numpy()
    host = x.cpu()
    host.zero_()
    assert x.tolist() == [1, 1, 1]
