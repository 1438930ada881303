"""The simulated devices: what a device that is not the host asks of the core, and its faults."""

import copy
import io
from itertools import count
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import nn
from rushlight.backend import register
from rushlight.testing import assert_close
from rushlight.testing.simulator import Options, Simulator
from rushlight.testing.simulator._options import from_environment

_numbers = count()


def made(**options: Any) -> Simulator:
    """A device type of its own, so that no test meets another's memory or faults."""
    simulator = Simulator(f"sim_test{next(_numbers)}", Options(**{"strict": True, **options}))
    register(simulator)
    return simulator


@pytest.fixture(scope="module")
def shared() -> Simulator:
    return made()


@pytest.fixture
def where(shared: Simulator) -> str:
    return shared.name


def test_kernels_are_given_memory_for_their_results(shared: Simulator) -> None:
    """What `infers_shapes = False` promises: factories and constants go that way, too."""
    full = shared.runtime(0).bind("full", None, rushlight.float32)
    with pytest.raises(RuntimeError, match="full: the core gave no memory for the result"):
        full(shape=(2,), value=1.0, dtype=rushlight.float32)
    assert rushlight.zeros_like(rushlight.ones(2, device=shared.name)).tolist() == [0, 0]
    assert rushlight.arange(3, device=shared.name).tolist() == [0, 1, 2]


# -- programs -----------------------------------------------------------------------------------


def trained(device: str) -> list[float]:
    rushlight.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(12, 2),
    ).to(device)  # fmt: skip
    optimizer = rushlight.optim.AdamW(model.parameters(), lr=0.01)
    x = rushlight.linspace(-1, 1, 144).sin().reshape(4, 1, 6, 6).to(device)
    y = rushlight.tensor([0, 1, 1, 0], device=device)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("options", [{}, {"composites": False}, {"queue": 1}, {"queue": 10**6}])
def test_a_convolutional_network_trains_as_on_the_cpu(options: dict[str, Any]) -> None:
    assert trained(made(**options).name) == pytest.approx(trained("cpu"), rel=1e-4)


def test_a_network_trains_without_float64() -> None:
    simulator = made(without=("float64", "complex128"))
    assert trained(simulator.name) == pytest.approx(trained("cpu"), rel=1e-4)
    with pytest.raises(TypeError, match="it has no rushlight\\.float64"):
        rushlight.ones(2, dtype=rushlight.float64, device=simulator.name)


def test_float64_is_made_after_the_way_to_the_host_where_the_device_lacks_it() -> None:
    x = rushlight.ones(2, device=made(without=("float64", "complex128")).name)
    assert x.to("cpu", rushlight.float64).dtype is rushlight.float64
    assert x.cpu().double().to(x).dtype is rushlight.float32


def test_random_numbers_are_those_of_the_cpu(where: str) -> None:
    for draw in (rushlight.rand, rushlight.randn):
        drawn = [
            draw(50, device=d, generator=rushlight.Generator(d).manual_seed(7))
            for d in ("cpu", where)
        ]
        assert drawn[0].tolist() == drawn[1].tolist()


def test_views_share_device_memory(where: str) -> None:
    x = rushlight.zeros(3, 4, device=where)
    x.t()[1:3, ::2].fill_(2)
    x.view(-1)[11] = 5
    assert x.tolist() == [[0, 2, 2, 0], [0, 0, 0, 0], [0, 2, 2, 5]]
    assert x[1].data_ptr() == x.data_ptr() + 16


def test_tensors_travel_between_devices(where: str) -> None:
    x = rushlight.arange(3.0, requires_grad=True)
    there = x.to(where).to(where + ":1")
    assert str(there.device) == where + ":1"
    (there * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.device.type == "cpu"
    assert x.grad.tolist() == [2, 2, 2]


def test_checkpoints_and_copies_keep_the_device(where: str) -> None:
    x = rushlight.arange(3.0, device=where + ":1")
    file = io.BytesIO()
    rushlight.save(x, file)
    for place, wanted in [(None, where + ":1"), ("cpu", "cpu"), ({where + ":1": where}, where)]:
        file.seek(0)
        loaded = rushlight.load(file, map_location=place)
        assert loaded.device.type == wanted.partition(":")[0]
        assert loaded.tolist() == [0, 1, 2]
    assert copy.deepcopy(x).device == x.device


def test_map_location_may_give_the_storage_back(where: str) -> None:
    file = io.BytesIO()
    rushlight.save(rushlight.ones(2, device=where), file)
    file.seek(0)
    assert rushlight.load(file, map_location=lambda storage, place: storage).device.type == "cpu"


# -- devices do not mix ---------------------------------------------------------------------------


def test_host_scalars_join_and_host_arrays_do_not(where: str) -> None:
    x = rushlight.ones(3, device=where)
    assert (x * rushlight.tensor(2.0)).device.type == where
    with pytest.raises(RuntimeError, match="same device") as raised:
        x + rushlight.ones(3)
    assert "cpu" in str(raised.value)
    with pytest.raises(RuntimeError, match="same device"):
        x + rushlight.ones(3, device=where + ":1")
    with pytest.raises(TypeError, match="cpu\\(\\)"):
        x.numpy()
    with pytest.raises(RuntimeError, match="ordinal"):
        rushlight.ones(1, device=where + ":9")


def test_an_index_may_lie_on_the_host_but_not_on_another_device(where: str) -> None:
    x = rushlight.arange(4.0, device=where)
    assert x[rushlight.tensor([3, 0])].tolist() == [3, 0]
    assert x[rushlight.tensor([True, False, True, False])].tolist() == [0, 2]
    x[rushlight.tensor([1])] = 9.0
    assert x.tolist() == [0, 9, 2, 3]
    with pytest.raises(RuntimeError, match="on the host or on the same device"):
        x[rushlight.tensor([0], device=where + ":1")]
    with pytest.raises(RuntimeError, match="on the host or on the same device"):
        rushlight.ones(3)[rushlight.tensor([0], device=where)]


def test_a_gradient_from_another_device_is_refused_unless_it_is_one_number(where: str) -> None:
    x = rushlight.ones(3, device=where, requires_grad=True)
    with pytest.raises(RuntimeError, match="invalid gradient: expected device"):
        (x * 2).backward(rushlight.ones(3))
    factor = rushlight.tensor(2.0, requires_grad=True)
    (x * factor).sum().backward()
    assert factor.grad is not None
    assert str(factor.grad.device) == "cpu"
    assert_close(factor.grad, rushlight.tensor(3.0))


def test_numpy_does_not_take_a_device_array_apart(where: str) -> None:
    with pytest.raises(TypeError, match="can't be read by the host"):
        np.asarray(rushlight.ones(2, device=where)._a)


# -- the queue ------------------------------------------------------------------------------------


def test_kernels_wait_until_somebody_reads() -> None:
    simulator = made(queue=1000)
    x = rushlight.ones(3, device=simulator.name)
    before = simulator.device().launches
    y = (x + 1).exp_().mul(2)
    assert simulator.device().launches == before
    assert y.shape == (3,)
    y.tolist()
    assert simulator.device().launches > before


def test_a_full_queue_runs() -> None:
    simulator = made(queue=4)
    x = rushlight.ones(3, device=simulator.name)
    for _ in range(12):
        x = x + 1
    assert simulator.device().launches >= 12


def test_a_fault_names_the_line_that_launched_it_and_the_device_goes_on() -> None:
    simulator = made()
    x = rushlight.arange(4.0, device=simulator.name)
    bad = x[rushlight.tensor([9], device=simulator.name)]  # the launching line
    after = x + 1
    with pytest.raises(IndexError, match="index 9 is out of bounds") as raised:
        bad.tolist()
    assert any("test_simulator.py" in note for note in raised.value.__notes__)
    assert after.tolist() == [1, 2, 3, 4]
    with pytest.raises(IndexError):
        bad.sum().item()


# -- faults ---------------------------------------------------------------------------------------


def test_running_out_of_memory_says_how_much_where_and_what_to_do() -> None:
    simulator = made(memory=4096)
    kept = [rushlight.ones(256, device=simulator.name) for _ in range(3)]
    with pytest.raises(RuntimeError, match="out of memory: tried to allocate 4000 bytes") as raised:
        rushlight.ones(1000, device=simulator.name)
    assert f"{simulator.name}:0" in str(raised.value)
    assert "smaller batches" in str(raised.value)
    assert kept[0].sum().item() == 256


def test_memory_of_dead_tensors_is_used_again() -> None:
    simulator = made(memory=1 << 14, queue=1000)
    x = rushlight.ones(256, device=simulator.name)
    for _ in range(100):
        x = x + 1
    assert x[0].item() == 101


def test_an_injected_launch_failure_is_raised_when_its_result_is_read() -> None:
    simulator = made()
    x = rushlight.ones(3, device=simulator.name)
    with simulator.fault("kernel", "exp", message="ECC error"):
        y = x.exp()
        with pytest.raises(RuntimeError, match=r"launch failure .* ECC error"):
            y.tolist()
    assert x.exp().shape == (3,)
    assert x.tolist() == [1, 1, 1]


def test_an_injected_failure_of_an_allocation() -> None:
    simulator = made()
    with simulator.fault("memory", after=1):
        rushlight.ones(3, device=simulator.name)
        with pytest.raises(RuntimeError, match="out of memory"):
            rushlight.ones(3, device=simulator.name)
    assert rushlight.ones(3, device=simulator.name).sum().item() == 3


def test_a_lost_device_says_so_until_it_is_reset() -> None:
    simulator = made()
    x = rushlight.ones(3, device=simulator.name)
    other = rushlight.ones(3, device=simulator.name + ":1")
    with simulator.fault("lost", "add", message="fell off the bus"):
        y = x + 1
        with pytest.raises(RuntimeError, match="the device is lost: fell off the bus"):
            y.tolist()
    with pytest.raises(RuntimeError, match="the device is lost"):
        rushlight.ones(1, device=simulator.name)
    assert other.sum().item() == 3
    simulator.device().reset()
    assert (rushlight.ones(3, device=simulator.name) + 1).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="used after it was freed"):
        (x + 1).tolist()


@pytest.mark.parametrize("read", [lambda x: x.tolist(), lambda x: (x + 1).tolist()])
def test_strict_devices_notice_memory_that_nothing_wrote(where: str, read: Any) -> None:
    with pytest.raises(RuntimeError, match="memory is read that nothing has written"):
        read(rushlight.empty(3, device=where))
    assert rushlight.empty(3, device=where).fill_(2).tolist() == [2, 2, 2]


def test_arrays_of_another_device_are_refused(shared: Simulator) -> None:
    native = rushlight.ones(3, device=shared.name)._a
    with pytest.raises(RuntimeError, match="something of another device"):
        shared.device(1).to_host(native)


# -- options --------------------------------------------------------------------------------------


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="there are no dtypes"):
        Options(without=("float65",))
    used = made()
    rushlight.ones(1, device=used.name)
    with pytest.raises(RuntimeError, match="in use"):
        used.configure(memory=1)
    with pytest.raises(ValueError, match="there is no fault"):
        made().fault("flood")


def test_the_environment_sets_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_SIMULATOR", "strict=1,memory=4096,without=float64+complex128")
    options = from_environment()
    assert (options.strict, options.memory) == (True, 4096)
    assert options.without == ("float64", "complex128")
    monkeypatch.setenv("RUSHLIGHT_SIMULATOR", "speed=9")
    with pytest.raises(ValueError, match="there is no option 'speed'"):
        from_environment()
