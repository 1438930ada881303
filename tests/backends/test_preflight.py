"""`rushlight.preflight`: native, decomposed, missing, before anything lies on the device."""

import itertools
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import nn, preflight
from rushlight.backend import ArrayDevice, Backend, Manifest, fallback, ledger, register
from rushlight.backend.arrays import array_kernels
from rushlight.testing.simulator import Options, Simulator

_numbers = itertools.count()


class Untouchable(ArrayDevice):
    """A device that must not be used."""

    def allocate(self, nbytes: int) -> Any:
        raise AssertionError("memory was allocated")

    def from_host(self, array: Any) -> Any:
        raise AssertionError("memory was allocated")


def made(*lacking: str, without: tuple[Any, ...] = (), runtime: Any = Untouchable) -> str:
    """A device type of its own."""
    dtypes = Manifest().dtypes - set(without)
    backend = Backend(
        f"pre{next(_numbers)}",
        device=lambda index: runtime(np),
        manifest=Manifest(dtypes=dtypes, indexed=False),
        kernels={n: k for n, k in array_kernels(np).items() if n not in lacking},
    )
    register(backend)
    return backend.name


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        return self.drop(self.norm(self.inner(x))).cumsum(1)


def names(rows: Any) -> set[str]:
    return {row.operator for row in rows}


def test_missing_decomposed_and_native() -> None:
    place = made("cumsum", "softmax")
    found = preflight(lambda x: x.softmax(1).cumsum(1) * 2, rushlight.ones(2, 3), place)
    assert str(found.device) == place
    assert names(found.missing) == {"cumsum"}
    assert "softmax" in names(found.decomposed)
    assert {"mul", "exp"} <= names(found.native)  # exp is a part of softmax
    assert not found.ok and found.stopped == ""


def test_parts_of_a_native_operator_are_not_listed() -> None:
    factors = (rushlight.eye(2), rushlight.tensor([1, 2], dtype=rushlight.int32))
    sample = (*factors, rushlight.ones(2, 1))
    found = preflight(rushlight.linalg.lu_solve, sample, made())
    assert found.ok and "linalg_lu_solve" in names(found.native)
    parts = preflight(rushlight.linalg.lu_solve, sample, made("linalg_lu_solve"))
    assert "linalg_lu_solve" in names(parts.decomposed)
    assert names(found.rows) < names(parts.rows)


def test_modules_that_call_what_is_missing() -> None:
    model = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), Net())
    missing = preflight(model, rushlight.ones(2, 3), made("cumsum", "tanh")).missing
    assert [(row.operator, row.modules, row.count) for row in missing] == [
        ("cumsum", ["Sequential.2"], 1),
        ("tanh", ["Sequential.0", "Sequential.1.0"], 2),
    ]


def test_model_buffers_and_random_numbers_stay_as_they_are() -> None:
    model = Net()
    rushlight.manual_seed(3)
    expected = rushlight.rand(2).tolist()
    rushlight.manual_seed(3)
    found = preflight(model, rushlight.ones(2, 3), made(), loss=lambda y: y.sum())
    assert found.ok, found
    assert rushlight.rand(2).tolist() == expected
    assert model.norm.num_batches_tracked is not None
    assert model.norm.num_batches_tracked.item() == 0
    assert {str(x.device) for x in model.parameters()} == {"cpu"}
    assert all(x.grad is None for x in model.parameters())


def test_data_of_the_model_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    from rushlight._registered import operators

    model = nn.Linear(3, 2)
    monkeypatch.setattr(operators["clone"], "entry", None)
    assert preflight(model, rushlight.ones(4, 3), made()).ok


def test_backward_is_followed_with_a_loss() -> None:
    place = made("sgn")
    model, x = nn.Linear(3, 2), rushlight.ones(4, 3)
    assert preflight(model, x, place).ok
    found = preflight(model, x, place, loss=nn.L1Loss(), target=rushlight.zeros(4, 2))
    assert not found.stopped
    assert names(found.missing) == {"sgn"}
    with rushlight.no_grad():
        again = preflight(model, x, place, loss=nn.L1Loss(), target=rushlight.zeros(4, 2))
    assert names(again.missing) == {"sgn"}


def test_loss_with_weights_of_its_own() -> None:
    loss = nn.CrossEntropyLoss(weight=rushlight.ones(2))
    found = preflight(
        nn.Linear(3, 2), rushlight.ones(4, 3), made(), loss=loss,
        target=rushlight.zeros(4, dtype=rushlight.int64),
    )  # fmt: skip
    assert found.ok, found


def test_dtypes_that_the_device_lacks() -> None:
    place = made(without=(rushlight.float64, rushlight.int64))
    found = preflight(lambda x: x.argmax(), rushlight.ones(3), place)
    assert [(r.operator, r.reason) for r in found.missing] == [
        ("argmax", "the device has no int64")
    ]
    found = preflight(nn.Linear(2, 2).double(), rushlight.ones(3, 2).double(), place)
    (moved,) = [row for row in found.missing if row.operator == "(move to device)"]
    assert (moved.dtypes, moved.count) == (["float64"], 3)


def test_kernels_for_some_dtypes_only() -> None:
    backend = Backend(
        "pre_partial", device=lambda index: Untouchable(np), kernels={"exp": {"floating": np.exp}}
    )
    register(backend)
    assert preflight(rushlight.exp, rushlight.ones(2), "pre_partial").ok
    found = preflight(rushlight.exp, rushlight.ones(2, dtype=rushlight.complex64), "pre_partial")
    assert [(r.operator, r.dtypes) for r in found.missing] == [("exp", ["complex64"])]


def test_factories_on_the_device_allocate_nothing() -> None:
    place = made()
    found = preflight(
        lambda x: x + rushlight.zeros(3, device=place) + rushlight.arange(3, device=x.device),
        rushlight.ones(3), place,
    )  # fmt: skip
    assert found.ok, found
    assert {"full", "arange"} <= names(found.native)


@pytest.mark.parametrize(
    ("sample", "model"),
    [
        ((rushlight.ones(2), rushlight.ones(2)), lambda x, y: x + y),
        ({"x": rushlight.ones(2), "scale": 3}, lambda x, scale: x * scale),
        ([rushlight.ones(2), rushlight.ones(2)], lambda xs: xs[0] + xs[1]),
        (({"a": rushlight.ones(2)},), lambda d: d["a"] * 2),
        (rushlight.ones(2, device="meta"), lambda x: x * 2),
    ],
)
def test_forms_of_samples(sample: Any, model: Any) -> None:
    assert preflight(model, sample, made()).ok


def test_device_is_where_the_model_lies() -> None:
    class Here(ArrayDevice):
        pass

    place = made(runtime=Here)
    model = nn.Linear(2, 2).to(place)
    assert str(preflight(model, rushlight.ones(1, 2)).device) == place
    assert str(preflight(rushlight.exp, rushlight.ones(2, device=place)).device) == place
    assert str(preflight(nn.Linear(2, 2), rushlight.ones(1, 2)).device) == "cpu"
    assert str(preflight(lambda: rushlight.ones(1), ()).device) == "cpu"
    assert {str(x.device) for x in model.parameters()} == {place}


def test_bound_method_of_a_module() -> None:
    found = preflight(nn.Linear(3, 2).forward, rushlight.ones(4, 3), made())
    assert found.ok and found.name == "Linear.forward"


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_module() -> None:
    model = nn.Sequential(nn.LazyLinear(2))
    assert preflight(model, rushlight.ones(4, 3), made()).ok
    model(rushlight.ones(1, 7))  # the model itself has not been initialized


def test_autocast_of_the_device_holds() -> None:
    place = made()
    with rushlight.autocast(place):
        found = preflight(lambda x: x @ x, rushlight.ones(2, 2), place)
    (row,) = [row for row in found.native if row.operator == "matmul"]
    assert row.dtypes == ["bfloat16"]


def test_findings_are_what_then_happens() -> None:
    simulator = Simulator("pre_sim", Options(strict=True))
    register(simulator)
    for name in ("sum", "full", "mm"):
        del simulator._kernels[name]
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    x, y = rushlight.ones(5, 4), rushlight.zeros(5, dtype=rushlight.int64)
    loss = nn.CrossEntropyLoss()
    found = preflight(model, x, simulator.name, loss=loss, target=y)
    ledger().clear()
    with fallback("allow"):
        model.to(simulator.name)
        loss(model(x.to(simulator.name)), y.to(simulator.name)).backward()
    calls: dict[str, int] = {}
    for row in ledger():
        calls[row.operator] = calls.get(row.operator, 0) + row.count
    ledger().clear()
    assert {row.operator: row.count for row in found.missing} == calls


# -- what is told ---------------------------------------------------------------------------


def test_model_that_reads_values() -> None:
    found = preflight(lambda x: x * 2 if (x.cumsum(0)).sum() > 0 else x, rushlight.ones(2), made())
    assert not found.ok and not found.missing
    assert "cumsum" in names(found.native)  # what came before
    assert "the model reads a tensor's values, and preflight knows shapes only" in found.stopped
    assert "check the parts before and after that line one by one" in found.stopped


def test_model_that_fails() -> None:
    found = preflight(nn.Linear(3, 2), rushlight.ones(4, 5), made())
    assert "(4, 5)" in found.stopped and not found.ok
    found = preflight(lambda x: x.nothing, rushlight.ones(1), made())
    assert found.stopped.startswith("AttributeError: ")
    assert "stopped" in repr(found)


def test_model_of_two_devices() -> None:
    other = rushlight.ones(2)
    found = preflight(lambda x: x + other, rushlight.ones(2), made())
    assert "Expected all tensors to be on the same device" in found.stopped


def test_table() -> None:
    place = made("cumsum")
    found = preflight(lambda x: (x + x).cumsum(0) + 1, rushlight.ones(2), place)
    assert str(found).splitlines()[1:] == [
        "operator  dtypes   calls  on the device  called by",
        "cumsum    float32      1  missing",
        "add       float32      2  native",
        "to fix: convert to another dtype, use another device, or let the host compute what is "
        "missing: rushlight.backend.fallback('allow')",
    ]
    assert str(found).splitlines()[0].endswith(f"on {place}: 1 native, 0 decomposed, 1 missing")
    assert repr(found).startswith("<Preflight of ")
    nothing = preflight(lambda x: x, rushlight.ones(2), place)
    assert str(nothing).endswith(f"on {place}: 0 native, 0 decomposed, 0 missing")


def test_not_a_model() -> None:
    with pytest.raises(TypeError) as raised:
        preflight(3, rushlight.ones(1), "cpu")  # type: ignore[arg-type]
    assert "expected a model that can be called, got int" in str(raised.value)
    assert "expected: a module, or a function of the sample" in str(raised.value)


def test_meta_is_no_target() -> None:
    with pytest.raises(RuntimeError, match="the meta device computes nothing") as raised:
        preflight(rushlight.exp, rushlight.ones(1), "meta")
    assert "name the device that the model is to run on" in str(raised.value)


def test_unknown_device() -> None:
    with pytest.raises(RuntimeError, match="no installed package provides this device type"):
        preflight(rushlight.exp, rushlight.ones(1), "nowhere")
