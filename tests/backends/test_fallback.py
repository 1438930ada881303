"""Operators that a device lacks: the error, the choice to let the host compute them, the ledger."""

import itertools
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import nn
from rushlight._tensor.tensor import native_of
from rushlight.backend import (
    ArrayDevice,
    Backend,
    Manifest,
    _fallback,
    fallback,
    fallback_policy,
    ledger,
    register,
)
from rushlight.backend.arrays import array_kernels

_numbers = itertools.count()
LACKING = ("cumsum", "sort", "full", "copysign", "matrix_exp", "nonzero")


class FarArray(np.ndarray[Any, Any]):
    """An array that is not the host's."""


class FarDevice(ArrayDevice):
    """Memory that counts what crosses to the host and back."""

    def __init__(self) -> None:
        super().__init__(np)
        self.array_type = FarArray
        self.crossings = 0

    def allocate(self, nbytes: int) -> Any:
        return super().allocate(nbytes).view(FarArray)

    def view(self, *arguments: Any) -> Any:
        return super().view(*arguments).view(FarArray)

    def wrap(self, result: Any, dtype: Any) -> Any:
        return super().wrap(result, dtype).view(FarArray)

    def from_host(self, array: Any) -> Any:
        assert not isinstance(array, FarArray)
        self.crossings += 1
        return np.array(array).view(FarArray)

    def to_host(self, native: Any) -> Any:
        assert isinstance(native, FarArray)
        self.crossings += 1
        return np.array(native)


def made(lacking: tuple[str, ...] = LACKING, **manifest: Any) -> str:
    """A device type of its own without some kernels."""
    kernels = {n: k for n, k in array_kernels(np).items() if n not in lacking}
    backend = Backend(
        f"far{next(_numbers)}",
        device=lambda index: FarDevice(),
        manifest=Manifest(host_memory=False, **manifest),
        kernels=kernels,
    )
    register(backend)
    return backend.name


@pytest.fixture(scope="module")
def far() -> str:
    return made()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    ledger().clear()
    yield
    assert fallback_policy() == "error"
    ledger().clear()


def test_by_default_a_missing_kernel_raises_and_names_the_choices(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    with pytest.raises(NotImplementedError) as raised:
        x.cumsum(0)
    assert str(raised.value).splitlines() == [
        f"cumsum: device '{far}:0' has no kernel for rushlight.float32, and there is no "
        "decomposition",
        f"  given:    rushlight.float32 on {far}:0",
        "  to fix:   compute this operator on another device, or let the host do so: "
        "rushlight.backend.fallback('allow')",
    ]
    assert len(ledger()) == 0


def test_error_names_the_dtypes_that_have_a_kernel() -> None:
    backend = Backend(
        "partial",
        device=lambda index: FarDevice(),
        kernels={"exp": {"floating": np.exp}},
    )
    register(backend)
    with pytest.raises(NotImplementedError) as raised:
        rushlight.tensor([1j], device="partial").exp()
    assert "expected: one of float32, float64" in str(raised.value)
    assert "convert the operands to another dtype, or compute" in str(raised.value)


def test_bad_operands_are_told_before_the_missing_kernel(far: str) -> None:
    x = rushlight.tensor([1.0], device=far)
    for policy in ("error", "allow"):
        with fallback(policy), pytest.raises(IndexError):
            x.cumsum(3)


def test_host_computes_where_it_is_allowed(far: str) -> None:
    x = rushlight.tensor([[3.0, 1.0], [2.0, 5.0]], device=far)
    with fallback("allow"), warnings.catch_warnings():
        warnings.simplefilter("error")
        got = x.cumsum(1)
    assert str(got.device) == f"{far}:0"
    assert isinstance(native_of(got), FarArray)
    assert got.cpu().tolist() == [[3.0, 4.0], [2.0, 7.0]]
    (row,) = ledger()
    assert (row.operator, row.shapes, row.dtypes) == ("cumsum", ((2, 2),), ("float32",))
    assert (row.device, row.module, row.count, row.nbytes) == (f"{far}:0", "", 1, 32)
    with pytest.raises(NotImplementedError):
        x.cumsum(1)


def test_several_results_come_back(far: str) -> None:
    x = rushlight.tensor([3.0, 1.0, 2.0], device=far)
    with fallback("allow"):
        values, indices = x.sort()
    assert values.device == indices.device == x.device
    assert values.cpu().tolist() == [1.0, 2.0, 3.0]
    assert indices.cpu().tolist() == [1, 2, 0]
    assert ledger().nbytes == 12 + 12 + 24


def test_operands_that_are_views_are_carried_as_they_look(far: str) -> None:
    x = rushlight.tensor([[1.0, 2.0], [3.0, 4.0]], device=far)
    with fallback("allow"):
        assert x.t().cumsum(1).cpu().tolist() == [[1.0, 4.0], [2.0, 6.0]]
        assert x[:1].expand(2, 2).cumsum(0).cpu().tolist() == [[1.0, 2.0], [2.0, 4.0]]
        assert x[:, :0].cumsum(1).shape == (2, 0)


def test_results_that_depend_on_data(far: str) -> None:
    x = rushlight.tensor([0.0, 4.0, 5.0], device=far)
    with fallback("allow"):
        found = x.nonzero()
    assert (str(found.device), found.cpu().tolist()) == (f"{far}:0", [[1], [2]])


def test_factories_are_made_on_the_host_and_carried_over(far: str) -> None:
    with pytest.raises(NotImplementedError, match="full: device"):
        rushlight.zeros(2, device=far)
    with fallback("allow"):
        x = rushlight.ones(2, 3, device=far)
    assert (str(x.device), x.cpu().sum().item()) == (f"{far}:0", 6.0)
    (row,) = ledger()
    assert (row.operator, row.operands, row.nbytes) == ("full", "float32 of several shapes", 24)


def test_gradients_pass_through(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0, 3.0], device=far, requires_grad=True)
    with fallback("allow"):
        (x.cumsum(0) * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.cpu().tolist() == [6.0, 4.0, 2.0]
    assert {row.operator for row in ledger()} >= {"cumsum"}


def test_captured_programs_take_the_detour_when_they_are_replayed(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    with fallback("allow"):
        _, program = rushlight.func.capture(lambda x: x.cumsum(0) + 1)(x)
        assert program(rushlight.tensor([3.0, 4.0], device=far)).cpu().tolist() == [4.0, 8.0]
    assert ledger().count == 2


def test_other_operators_do_not_cross(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    runtime: Any = x._k.runtime
    before = runtime.crossings
    with fallback("allow"):
        (x.exp() + x).softmax(0)
    assert runtime.crossings == before
    assert len(ledger()) == 0


def test_writes_never_take_the_detour() -> None:
    name = made(("add",))
    x = rushlight.tensor([1.0, 2.0], device=name)
    before = x._version
    with pytest.raises(NotImplementedError, match="add: device"):
        x.add_(1)
    assert (x._version, x.cpu().tolist()) == (before, [1.0, 2.0])
    with fallback("allow"):
        x.add_(1)  # the sum takes it, the write itself is the device's own copy
    assert x.cpu().tolist() == [2.0, 3.0]
    assert [row.operator for row in ledger()] == ["add"]


def test_dtype_of_a_result_that_the_device_lacks() -> None:
    name = made(dtypes=frozenset({rushlight.float32, rushlight.bool}))
    x = rushlight.tensor([2.0, 1.0], device=name)
    with fallback("allow"), pytest.raises(TypeError, match=r"it has no rushlight\.int64"):
        x.sort()
    assert len(ledger()) == 0


def test_operator_that_the_host_lacks_too(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rushlight._registered import operators
    from rushlight.backend import kind_of

    host = kind_of(rushlight.device("cpu"), rushlight.float32)
    without = list(host.t)
    without[operators["cumsum"].index] = None
    monkeypatch.setattr(host, "t", without)
    monkeypatch.setattr(host, "hot", without)
    x = rushlight.tensor([1.0], device=far)
    with fallback("allow"), pytest.raises(NotImplementedError) as raised:
        x.cumsum(0)
    assert "there is no decomposition; the host has no kernel either" in str(raised.value)
    assert "fallback('allow')" not in str(raised.value)
    with fallback("allow"), pytest.raises(NotImplementedError) as raised:
        rushlight.ones(1).cumsum(0)
    assert "device 'cpu' has no kernel" in str(raised.value)


# -- policies -------------------------------------------------------------------------------


def test_warns_once_for_each_operator_and_line(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    with fallback("warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            x.cumsum(0)
        line = [w.lineno for w in caught]
        x.cumsum(0)
        x.sort()
    assert len(caught) == 3
    assert len(line) == 1
    assert caught[0].filename == __file__
    assert str(caught[0].message) == (
        f"cumsum: device '{far}:0' has no kernel, so the host computes it, with copies there and "
        "back; rushlight.backend.ledger() keeps the account"
    )
    assert {w.category for w in caught} == {UserWarning}
    assert ledger().count == 5


def test_warning_that_is_an_error_is_one_each_time(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    with fallback("warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(UserWarning, match="the host computes it"):
                x.cumsum(0)
    assert len(ledger()) == 0


def test_policy_as_a_function_holds_until_the_next(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    fallback("allow")
    try:
        x.cumsum(0)
        assert fallback_policy() == "allow"
        with fallback("error"), pytest.raises(NotImplementedError):
            x.cumsum(0)
        assert fallback_policy() == "allow"
    finally:
        fallback("error")


def test_block_that_raises_restores_the_policy() -> None:
    with pytest.raises(KeyError), fallback("allow"), fallback("warn"):
        raise KeyError
    assert fallback_policy() == "error"


def test_other_threads_choose_for_themselves() -> None:
    seen: list[str] = []
    with fallback("allow"):
        thread = threading.Thread(target=lambda: seen.append(fallback_policy()))
        thread.start()
        thread.join()
    assert seen == ["error"]


def test_unknown_policy() -> None:
    with pytest.raises(ValueError) as raised:
        fallback("never")  # type: ignore[arg-type]
    assert str(raised.value).splitlines() == [
        "fallback: there is no such policy",
        "  given:    'never'",
        '  expected: "error", "warn" or "allow"',
    ]


# -- the ledger -----------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ReLU(), Running()])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class Running(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.cumsum(0)


def test_ledger_knows_the_module(far: str) -> None:
    with fallback("allow"):
        for _ in range(2):
            Net()(rushlight.tensor([1.0, 2.0], device=far))
    (row,) = ledger()
    assert (row.module, row.count, row.nbytes) == ("Net.layers.1", 2, 32)


def test_ledger_prints_a_table(far: str) -> None:
    x = rushlight.tensor([1.0, 2.0], device=far)
    with fallback("allow"):
        x.sort()
        x.cumsum(0)
        x.cumsum(0)
    pad = " " * (len(far) + 2 - len("device"))
    gap = " " * (len(far) + 2)
    assert str(ledger()).splitlines() == [
        f"operator  operands      device{pad}  module  calls  moved",
        f"cumsum    float32 (2,)  {far}:0  -           2   32 B",
        f"sort      float32 (2,)  {far}:0  -           1   32 B",
        f"total                   {gap}              3   64 B",
    ]
    ledger().clear()
    assert str(ledger()) == "the host computed nothing in place of a device"


def test_ledger_does_not_grow_with_ever_new_shapes(
    far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fallback, "MAX_ROWS", 3)
    with fallback("allow"):
        for n in range(1, 10):
            rushlight.tensor([1.0] * n, device=far).cumsum(0)
    assert len(ledger()) == 4
    assert ledger().count == 9
    assert ledger().rows()[0].operands == "float32 of several shapes"
