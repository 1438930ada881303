"""Pinned memory, late and peer copies, and the device's own autocast lists."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.backend import ArrayDevice, Backend, Manifest, register
from rushlight.backend.arrays import array_kernels
from rushlight.testing.simulator import Options, SimDevice, Simulator
from rushlight.utils.data import DataLoader, TensorDataset

_numbers = count()


def made(device: Any = None) -> Simulator:
    simulator = Simulator(f"sim_move{next(_numbers)}", Options(strict=True))
    if device is not None:
        simulator._make_device = lambda i: device(simulator.name, i, simulator.options)
    register(simulator)
    return simulator


@pytest.fixture
def sim() -> Iterator[Simulator]:
    simulator = made()
    rl.set_default_device(simulator.name)
    yield simulator
    rl.set_default_device(None)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("dtype", [rl.float32, rl.bool, rl.bfloat16, rl.complex64])
def test_pinned_copy_has_the_values(sim: Simulator, shape: Any, dtype: Any) -> None:
    x = rl.ones(shape, device="cpu").to(dtype)
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned.is_cpu and not x.is_pinned()
    assert pinned.dtype is dtype and pinned.shape == x.shape and pinned.tolist() == x.tolist()
    assert pinned.pin_memory() is pinned
    assert not pinned.clone().is_pinned()
    assert pinned.numel() == 0 or pinned.view(-1).is_pinned()


def test_pinned_copy_of_a_view_and_its_gradient(sim: Simulator) -> None:
    x = rl.arange(6.0, device="cpu").reshape(2, 3).requires_grad_()
    pinned = x.t().pin_memory()
    assert pinned.is_contiguous() and pinned.tolist() == [[0, 3], [1, 4], [2, 5]]
    pinned.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1] * 3] * 2


def test_late_copies_go_from_pinned_memory_only(sim: Simulator) -> None:
    device = sim.device()
    x = rl.arange(4.0, device="cpu")
    pinned = x.pin_memory()
    for source, keywords, uploads in [
        (x, {"non_blocking": True}, 0),
        (pinned, {}, 0),
        (pinned, {"non_blocking": True}, 1),
        (pinned[::2], {"non_blocking": True}, 1),
        (pinned[1:], {"non_blocking": True}, 2),
    ]:
        there = source.to(sim.name, **keywords)
        assert device.uploads == uploads
        assert (there + 1).tolist() == (source + 1).tolist()
    assert pinned.to(sim.name, rl.float64, True).dtype is rl.float64
    assert device.uploads == 3


def test_a_late_copy_is_made_when_the_device_gets_to_it(sim: Simulator) -> None:
    pinned = rl.zeros(2, device="cpu").pin_memory()
    there = pinned.to(sim.name, non_blocking=True)
    pinned.fill_(5)
    assert there.tolist() == [5, 5]


def test_a_late_copy_belongs_to_its_stream(sim: Simulator) -> None:
    pinned = rl.ones(2, device="cpu").pin_memory()
    side = rl.Stream()
    with side:
        there = pinned.to(sim.name, non_blocking=True)
    with pytest.raises(RuntimeError, match="used by upload launched at"):
        there.tolist()
    there.record_stream(side)
    side.synchronize()
    assert there.tolist() == [1, 1]


def test_loader_pins_batches(sim: Simulator) -> None:
    data = TensorDataset(rl.arange(4.0, device="cpu"), rl.arange(4, device="cpu"))
    for x, y in DataLoader(data, batch_size=2, pin_memory=True):
        assert x.is_pinned() and y.is_pinned()
        assert x.to(sim.name, non_blocking=True).tolist() == y.tolist()
    assert rl.tensor([1.0], device="cpu", pin_memory=True).is_pinned()


def test_pinning_errors(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        rl.ones(2).pin_memory()
    monkeypatch.setenv("RUSHLIGHT_ACCELERATOR", "no_such_type")
    with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is"):
        rl.ones(2, device="cpu").pin_memory()


def test_a_device_without_the_duties_copies_through_the_host() -> None:
    name = f"plain_move{next(_numbers)}"
    register(
        Backend(
            name, device=lambda index: ArrayDevice(np), manifest=Manifest(host_memory=False),
            kernels=array_kernels(np), count=lambda: 2,
        )
    )  # fmt: skip
    x = rl.ones(2)
    assert x.pin_memory(name) is x
    there = x.to(name, non_blocking=True).to(name + ":1")
    assert there.device.index == 1 and there.tolist() == [1, 1]
    there.record_stream(rl.Stream(name))


def test_peers_copy_without_the_host(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rl.arange(6.0, requires_grad=True).reshape(2, 3).t()
    monkeypatch.setattr(SimDevice, "to_host", None)
    there = x.to(sim.name + ":1")
    target = rl.zeros(3, 2, device=sim.name + ":1")
    target.copy_(x.detach())
    monkeypatch.undo()
    assert sim.device(1).peer_copies == 2
    assert there.tolist() == target.tolist() == x.tolist()
    assert there.requires_grad


def test_devices_have_autocast_lists_of_their_own() -> None:
    class Choosy(SimDevice):
        def autocast_operators(self) -> tuple[frozenset[str], frozenset[str]]:
            return frozenset({"add"}), frozenset({"mm"})

    own, usual = made(Choosy).name, made().name
    for name, wanted in [(own, (rl.bfloat16, rl.float32)), (usual, (rl.float32, rl.bfloat16))]:
        x = rl.ones(2, 2, device=name)
        with rl.autocast(name):
            assert ((x + x).dtype, rl.mm(x, x).dtype) == wanted
    with rl.get_device_module(usual).amp.autocast():
        assert rl.mm(x, x).dtype is rl.bfloat16
    with rl.autocast("no_such_type"):
        assert rl.mm(rl.ones(2, 2), rl.ones(2, 2)).dtype is rl.float32


def test_memory_that_runs_out_on_the_way_is_told() -> None:
    class Short(ArrayDevice):
        def from_host(self, array: Any) -> Any:
            raise MemoryError("driver says no")

    name = f"short_move{next(_numbers)}"
    register(Backend(name, device=lambda index: Short(np), kernels=array_kernels(np)))
    with pytest.raises(rl.OutOfMemoryError, match="out of memory for 8 bytes from the host: driv"):
        rl.ones(2).to(name)
