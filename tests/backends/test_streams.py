"""Streams, events and current devices, on simulated devices that check who waits for whom."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.backend import ArrayDevice, Backend, Manifest, register
from rushlight.backend.arrays import array_kernels
from rushlight.testing.simulator import Options, Simulator

_numbers = count()


def made(**options: Any) -> Simulator:
    simulator = Simulator(f"sim_stream{next(_numbers)}", Options(**{"strict": True, **options}))
    register(simulator)
    return simulator


@pytest.fixture
def where() -> str:
    return made().name


@pytest.fixture(scope="module")
def plain() -> str:
    """A device type without streams and events."""
    name = f"plain{next(_numbers)}"
    register(
        Backend(
            name,
            device=lambda index: ArrayDevice(np),
            manifest=Manifest(host_memory=False),
            kernels=array_kernels(np),
            count=lambda: 2,
        )
    )
    return name


@pytest.fixture(autouse=True)
def default_device() -> Iterator[None]:
    yield
    rl.set_default_device(None)


def test_work_of_a_stream_is_read_after_a_wait(where: str) -> None:
    x = rl.arange(3.0, device=where)
    side = rl.Stream(where)
    side.wait_stream(rl.get_device_module(where).current_stream())
    with side:
        y = x * 2 + 1
        assert y.sum().item() == 9
    rl.get_device_module(where).current_stream().wait_stream(side)
    assert (y + 1).tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (lambda x, y: x + 1, "read on stream {n} while the default stream may still be writing"),
        (lambda x, y: x.tolist(), "read on stream {n} while the default stream may still be writ"),
        (lambda x, y: x.fill_(0), "written on stream {n} while the default stream may still be wr"),
        (lambda x, y: y.fill_(0), "written on stream {n} while the default stream may still be re"),
        (lambda x, y: x[:2].mul_(3), "stream {n} while the default stream may still be writing"),
    ],
)
def test_a_missing_wait_is_told(where: str, access: Any, words: str) -> None:
    y = rl.arange(6.0).to(where)
    x = y * 2
    side = rl.Stream(where)
    with (
        side,
        pytest.raises(RuntimeError, match=words.format(n=side.native_handle.number)) as raised,
    ):
        access(x, y)
    text = str(raised.value)
    assert "used by mul launched at" in text and "test_streams.py" in text
    assert "wait_stream or wait_event" in text
    rl.get_device_module(where).synchronize()  # the host has waited, so all is well
    with side:
        access(x, y)


def test_reads_beside_each_other_and_disjoint_parts_need_no_wait(where: str) -> None:
    x = rl.zeros(4, device=where)
    rl.get_device_module(where).synchronize()
    x[:2].add_(1)
    with rl.Stream(where):
        x[2:].add_(2)
    rl.get_device_module(where).synchronize()
    first = x + 1
    with rl.Stream(where):
        second = x + 2
        assert second.tolist() == [3, 3, 4, 4]
    assert first.tolist() == [2, 2, 3, 3]


def test_a_missing_wait_gives_wrong_numbers_where_nobody_checks() -> None:
    simulator = made(strict=False)
    x = rl.zeros(2, device=simulator.name)
    simulator.device().synchronize()
    side = rl.Stream(simulator.name)
    with side:
        x.add_(1)
    assert x.tolist() == [0, 0]
    side.synchronize()
    assert x.tolist() == [1, 1]


def test_events_order_streams_and_measure_time() -> None:
    where = made(latency=0.002).name
    start, end = (rl.Event(where, enable_timing=True) for _ in range(2))
    assert start.query()
    start.wait()
    start.synchronize()
    start.record()
    x = rl.ones(2).to(where) + 1
    end.record()
    assert not end.query() or x.tolist() == [2, 2]
    side = rl.Stream(where)
    side.wait_event(end)
    with side:
        y = x * 2
    done = side.record_event()
    done.synchronize()
    assert y.tolist() == [4, 4]
    assert side.query() and done.query()
    assert 1.5 < start.elapsed_time(end) < 1000


def test_polling_ends(where: str) -> None:
    side = rl.Stream(where)
    with side:
        rl.ones(2).to(where) + 1 + 2
        event = side.record_event()
    polls = 0
    while not event.query():
        polls += 1
    assert polls < 10 and side.query()


def test_event_errors(where: str) -> None:
    timed, other = rl.Event(where, enable_timing=True), rl.Event(where)
    with pytest.raises(ValueError, match="created with argument 'enable_timing=True'"):
        timed.elapsed_time(other)
    with pytest.raises(ValueError, match="must be recorded before"):
        timed.elapsed_time(rl.Event(where, enable_timing=True))
    timed.record()
    far = rl.Event(where + ":1", enable_timing=True)
    far.record()
    with pytest.raises(RuntimeError, match="of two devices"):
        timed.elapsed_time(far)
    with pytest.raises(RuntimeError, match="the stream's device is not the event's"):
        far.record(rl.Stream(where))
    with pytest.raises(ValueError, match="can't be shared between processes"):
        rl.Event(where, interprocess=True)


def test_an_event_of_one_device_holds_back_another(where: str) -> None:
    x = rl.ones(2).to(where) + 1
    event = rl.Event(where)
    event.record()
    event.wait(rl.Stream(where + ":1"))
    assert event.query()
    assert x.to(where + ":1").tolist() == [2, 2]


def test_streams_belong_to_a_thread_and_nest(where: str) -> None:
    module = rl.get_device_module(where)
    first, second = rl.Stream(where), rl.Stream(where + ":1", priority=-1)
    seen: list[Any] = []
    with first:
        with second:
            assert module.current_device() == 1
            assert rl.zeros(1, device=where).device.index == 1
            assert module.current_stream() == second
            assert module.current_stream(0) == first
            thread = threading.Thread(
                target=lambda: seen.extend([module.current_stream(), module.current_device()])
            )
            thread.start()
            thread.join()
        assert module.current_device() == 0
        assert module.current_stream() == first
        with module.stream(None):
            assert module.current_stream() == first
    assert module.current_stream() == module.default_stream()
    assert seen == [module.default_stream(0), 0]
    assert hash(first) != hash(second) and first != second and second.priority == -1
    assert repr(second) == (
        f"rushlight.Stream device_type={where}, device_index=1, stream_id={second.stream_id}"
    )


def test_the_last_stream_that_was_set_holds(where: str) -> None:
    module = rl.get_device_module(where)
    first, second = module.Stream(), module.Stream(1)
    with first:
        module.set_stream(second)
    assert module.current_stream(0) == module.default_stream(0)
    assert module.current_stream(1) == second
    module.set_stream(module.default_stream(1))
    assert module.current_stream() == module.default_stream(1)
    module.set_device(0)


def test_current_device_is_what_a_label_without_index_means(where: str) -> None:
    module = rl.get_device_module(where)
    assert rl.ones(1, device=where).device.index == 0
    with module.device(1):
        assert rl.ones(1, device=where).device.index == 1
        assert rl.ones(1).to(where).get_device() == 1
        with module.device(-1), module.device(None):
            assert module.current_device() == 1
        with module.device_of(rl.ones(1, device=where + ":0")):
            assert module.current_device() == 0
        with module.device_of(rl.ones(1)):
            assert module.current_device() == 1
    assert rl.ones(1, device=where).device.index == 0
    module.set_device(where + ":1")
    assert rl.ones(1, device=where).device.index == 1
    module.set_device(0)
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        module.set_device(7)
    with pytest.raises(ValueError, match=f"Expected a {where} device, but got: cpu"):
        module.set_device("cpu")


def test_a_device_without_streams_runs_all_in_order(plain: str) -> None:
    stream, start, end = rl.Stream(plain), rl.Event(plain, enable_timing=True), None
    assert stream.stream_id == 0 and stream == rl.get_device_module(plain).default_stream()
    with stream:
        start.record()
        x = rl.ones(2, device=plain) + 1
        end = rl.Event(plain, enable_timing=True)
        end.record(stream)
    end.wait()
    end.synchronize()
    assert end.query() and stream.query() and x.tolist() == [2, 2]
    assert 0 <= start.elapsed_time(end) < 10_000


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_host_and_meta_have_a_default_stream_only(device: str) -> None:
    with rl.Stream(device) as stream:
        assert stream.query() and stream.device_index == -1
        stream.record_event().synchronize()
    assert rl.Event(device).query()


# -- accelerator -----------------------------------------------------------------------------------


def test_accelerator_is_the_default_device(where: str) -> None:
    rl.set_default_device(where)
    a = rl.accelerator
    assert a.is_available() and a.device_count() == 2
    assert a.current_accelerator() == rl.device(where)
    with a.device_index(1):
        assert a.current_device_index() == 1
        assert rl.Stream().device == rl.device(where, 1)
        assert rl.ones(1).device.index == 1
    with a.device_index(None):
        assert a.current_device_index() == 0
    a.set_device_index(1)
    assert rl.zeros(1).device.index == 1
    a.set_device_index(where + ":0")
    stream = rl.Stream()
    a.set_stream(stream)
    assert a.current_stream() == stream
    a.set_stream(rl.get_device_module(where).default_stream())
    a.synchronize()
    x = rl.ones(1000) + 1
    assert a.memory_allocated() >= x.nbytes
    assert a.max_memory_allocated() >= a.memory_allocated() and a.memory_reserved() > 0
    assert a.max_memory_reserved() > 0
    a.reset_peak_memory_stats()
    assert a.max_memory_allocated() == a.memory_allocated()
    free, total = a.get_memory_info()
    assert free + a.memory_allocated() == total
    a.empty_cache()
    a.empty_host_cache()
    a.reset_accumulated_memory_stats()
    assert rl.float32 in a.get_device_capability()["supported_dtypes"]
    with pytest.raises(TypeError, match="expects an index or None"):
        a.device_index("one")


def test_environment_chooses_the_accelerator(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_ACCELERATOR", where)
    assert rl.accelerator.current_accelerator(check_available=True) == rl.device(where)
    monkeypatch.setenv("RUSHLIGHT_ACCELERATOR", "no_such_type")
    a = rl.accelerator
    assert not a.is_available() and a.device_count() == 0 and a.current_accelerator() is None
    calls: list[Any] = [
        a.current_device_index, a.synchronize, a.current_stream, a.empty_cache, a.memory_stats,
        a.get_memory_info, lambda: a.set_device_index(0),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is"):
            call()
    assert rl.Stream().device == rl.Event().device == rl.device("cpu")


# -- the module of a device type ----------------------------------------------------------------


def test_device_types_of_extras_answer_without_being_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib import metadata

    from rushlight import _device_module

    asked = ["numpy", 'rushlight-bright ; extra == "bright"', "other ; extra == 'docs'"]
    monkeypatch.setattr(metadata, "requires", lambda name: asked)
    bright = rl.bright
    assert not bright.is_available() and bright.device_count() == 0
    assert not bright.is_initialized() and not bright.is_bf16_supported()
    assert bright.memory_allocated() == 0 and bright.memory_stats() == {}
    bright.manual_seed_all(1)
    bright.empty_cache()
    assert rl.device("bright" if bright.is_available() else "cpu").type == "cpu"
    with pytest.raises(RuntimeError, match="no installed package provides this device type"):
        bright.current_device()
    for name in ("docs", "dim"):
        with pytest.raises(AttributeError, match=f"module 'rushlight' has no attribute '{name}'"):
            getattr(rl, name)
    assert _device_module.is_device_type("sim") and _device_module.is_device_type("cpu")
    with pytest.raises(RuntimeError, match="there is no device type 'dim'"):
        rl.get_device_module("dim")
    with pytest.raises(AttributeError, match=r"'rushlight.bright' has no attribute 'tensor'"):
        bright.tensor


def test_module_of_a_device_type_is_imported_like_any_other() -> None:
    program = """
import sys
import rushlight.sim as sim
import rushlight
assert sim is rushlight.sim and sim is sys.modules["rushlight.sim"]
assert sim.is_available() and not hasattr(sim, "nothing_like_that")
from rushlight.sim import device_count
assert device_count() == sim.device_count()
try:
    import rushlight.dim
except ModuleNotFoundError as raised:
    assert str(raised) == "No module named 'rushlight.dim'", raised
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_module_tells_properties_and_memory(where: str) -> None:
    module = getattr(rl, where)
    assert module is rl.get_device_module(where + ":1")
    module.init()
    assert module.is_initialized()
    assert module.get_device_name() == "simulated device"
    assert module.get_device_properties(1).total_memory == 512 << 20
    assert module.get_device_capability() == (0, 0)
    assert module.is_bf16_supported()
    before = module.memory_allocated()
    x = rl.ones(256).to(where)
    assert module.memory_allocated() - before == x.nbytes
    module.reset_peak_memory_stats()
    assert module.max_memory_allocated() == module.memory_allocated()
    assert module.memory_reserved() == module.max_memory_reserved() == 512 << 20
    assert sum(module.mem_get_info()) > 512 << 20
    assert "allocated_bytes.all.current" in module.memory_summary()
    assert module.can_device_access_peer(0, 1) and not module.can_device_access_peer(0, 0)
    module.ipc_collect()
    assert "memory_summary" in dir(module)


def test_module_of_a_device_that_tells_nothing(plain: str) -> None:
    module = rl.get_device_module(plain)
    assert module.memory_stats() == {} and module.memory_allocated() == 0
    assert "keeps no account" in module.memory_summary()
    assert module.get_device_name(1) == plain + ":1"
    module.reset_peak_memory_stats()
    module.empty_cache()
    with pytest.raises(RuntimeError, match="does not tell how much memory is free"):
        module.mem_get_info()


def test_same_seed_gives_same_numbers_through_the_module(where: str) -> None:
    module = rl.get_device_module(where)
    rl.manual_seed(3)
    wanted = rl.rand(4).tolist()
    for place in (where, where + ":1"):
        assert rl.rand(4, device=place).tolist() == wanted
    state = module.get_rng_state()
    after = rl.rand(2, device=where).tolist()
    module.set_rng_state(state)
    assert rl.rand(2, device=where).tolist() == after
    module.manual_seed(3)
    assert rl.rand(4, device=where).tolist() == wanted
    assert rl.rand(4, device=where + ":1").tolist() != wanted
    module.manual_seed_all(3)
    assert module.initial_seed() == 3
    assert rl.rand(4, device=where + ":1").tolist() == wanted
    states = module.get_rng_state_all()
    module.seed_all()
    module.seed()
    module.set_rng_state_all(states)
    assert [g.initial_seed() for g in module.default_generators] == [3, 3]


def test_backend_adds_names_of_its_own() -> None:
    name = f"named{next(_numbers)}"
    register(
        Backend(name, device=lambda index: ArrayDevice(np), namespace={"platforms": lambda: ["p"]})
    )
    assert rl.get_device_module(name).platforms() == ["p"]


def test_out_of_memory_is_one_type_whatever_raises(where: str) -> None:
    assert rl.get_device_module(where).OutOfMemoryError is rl.OutOfMemoryError
    tiny = made(memory=1024).name
    with pytest.raises(rl.OutOfMemoryError, match="out of memory: tried to allocate 4000 bytes"):
        rl.ones(1000, device=tiny)

    class Short(ArrayDevice):
        def allocate(self, nbytes: int) -> Any:
            raise MemoryError("driver says no")

    name = f"short{next(_numbers)}"
    backend = Backend(name, device=lambda index: Short(np), kernels=array_kernels(np))
    register(backend)

    @backend.kernel("exp")
    def exp(x: Any) -> Any:
        raise MemoryError("driver says no")

    with pytest.raises(rl.OutOfMemoryError, match="exp: out of memory: driver says no") as raised:
        rl.ones(2).to(name).exp()
    assert "float32 of shape (2,)" in str(raised.value)
    backend.runtime(0).infers_shapes = False
