"""The duties of a CUDA device, on a stand-in that writes down what it is told."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight.backend import backend_for, optional_duties


@pytest.fixture
def runtime(machine: Any) -> Any:
    return backend_for("standin").runtime(0)


def test_the_duties_it_takes_on(runtime: Any) -> None:
    taken = set(optional_duties(runtime))
    assert taken >= {
        "description", "binding", "streams", "events", "stream memory", "pinned memory",
        "late copies", "peer copy", "statistics", "peaks", "free memory",
    }  # fmt: skip


def test_it_says_what_it_is(runtime: Any) -> None:
    found = runtime.describe()
    assert found["name"] == "Stand-in 0"
    assert found["memory"] == 1 << 34
    assert (found["major"], found["minor"], found["multi_processor_count"]) == (9, 0, 132)
    assert found["driver"] == "CUDA 13.0"


def test_views_share_memory_and_copies_do_not() -> None:
    x = rushlight.arange(6, device="standin").reshape(2, 3)
    x.t()[1] = 9
    assert x.tolist() == [[0, 9, 2], [3, 9, 5]]
    host = np.zeros(3, np.float32)
    y = rushlight.from_numpy(host).to("standin")
    host[0] = 7
    assert y.tolist() == [0, 0, 0]
    assert x[1:].data_ptr() != x.data_ptr()


def test_each_kernel_runs_with_its_device_current(machine: Any, cupy_standin: ModuleType) -> None:
    seen = []
    runtime = backend_for("standin").runtime(1)
    kernel = runtime.bind("add", lambda x: seen.append(machine.current), rushlight.float32)
    kernel(None)
    assert seen == [1]
    assert machine.current == 0


def test_a_machine_with_one_card_does_not_switch(machine: Any, cupy_standin: ModuleType) -> None:
    from rushlight_cuda.device import CudaDevice

    machine.devices = 1
    seen = []
    runtime = CudaDevice(cupy_standin.cupy, 0)
    machine.current = 5
    runtime.bind("add", lambda: seen.append(machine.current), rushlight.float32)()
    machine.current = 0
    assert seen == [5]


def test_out_of_memory_says_how_much_there_is(runtime: Any, machine: Any) -> None:
    gc.collect()
    machine.memory = machine.live + 1000
    with pytest.raises(rushlight.OutOfMemoryError) as raised:
        rushlight.empty(1 << 20, device="standin")
    text = str(raised.value)
    assert "device 'standin:0' is out of memory: Out of memory allocating" in text
    assert "in use of" in text
    assert "of the card's" in text
    assert "smaller batches" in text
    machine.memory = 1 << 40
    assert rushlight.ones(3, device="standin").sum().item() == 3


def test_a_kernel_out_of_memory_names_the_operator(runtime: Any, cupy_standin: ModuleType) -> None:
    def kernel() -> None:
        raise cupy_standin.cupy.cuda.memory.OutOfMemoryError("Out of memory allocating 12 bytes")

    with pytest.raises(rushlight.OutOfMemoryError, match="exp: device 'standin:0' is out of"):
        runtime.bind("exp", kernel, rushlight.float32)()


def test_statistics(runtime: Any, machine: Any) -> None:
    before = runtime.memory_stats()["allocated"]
    x = rushlight.empty(1 << 16, device="standin")
    stats = runtime.memory_stats()
    assert stats["allocated"] - before >= 1 << 18
    assert stats["peak"] >= stats["reserved"] >= stats["allocated"]
    del x
    gc.collect()
    peak = runtime.memory_stats()["peak"]
    runtime.empty_cache()
    after = runtime.memory_stats()
    assert "free all blocks" in machine.log
    assert after["reserved"] < peak == after["peak"]
    runtime.reset_peak()
    assert runtime.memory_stats()["peak"] == after["reserved"]
    assert runtime.memory_info() == (machine.memory - machine.reserved, machine.memory)


def test_pinned_memory_is_the_cards(runtime: Any, machine: Any) -> None:
    array = runtime.pinned(64)
    assert array.dtype == np.uint8
    assert array.nbytes == 64
    array[...] = 3
    assert machine.log == ["pin 64 bytes"]


def test_a_late_copy_keeps_its_source_until_it_is_done(
    runtime: Any, machine: Any, monkeypatch: pytest.MonkeyPatch, cupy_standin: ModuleType
) -> None:
    monkeypatch.setattr(runtime, "_reading", [])
    array = np.arange(4, dtype=np.float32)
    made = runtime.from_host_async(array)
    assert runtime.to_host(made).tolist() == [0, 1, 2, 3]
    assert "copy 16 bytes from the host on the default stream" in machine.log
    [(event, held)] = runtime._reading
    assert held is array
    event.done = False
    runtime.synchronize()
    assert runtime._reading
    event.done = True
    runtime.synchronize()
    assert not runtime._reading


def test_a_copy_between_cards_is_ordered_on_both_sides(machine: Any) -> None:
    here, there = backend_for("standin").runtime(0), backend_for("standin").runtime(1)
    x = there.from_host(np.arange(6, dtype=np.int64).reshape(2, 3).T)
    machine.log.clear()
    made = here.copy_from_peer(x, there)
    assert here.to_host(made).tolist() == [[0, 3], [1, 4], [2, 5]]
    kept = [line.split(" bytes")[0] for line in machine.log]
    assert kept == [
        "record on the default stream",
        "the default stream waits for the default stream",
        "copy 48",
        "record on the default stream",
        "the default stream waits for the default stream",
    ]


def test_streams_and_events(runtime: Any, machine: Any, cupy_standin: ModuleType) -> None:
    stream = runtime.stream(priority=-1)
    assert stream.non_blocking
    assert stream.priority == -1
    with runtime.use_stream(stream):
        assert cupy_standin.cupy.cuda.get_current_stream() is stream
    assert cupy_standin.cupy.cuda.get_current_stream() is cupy_standin.cupy.cuda.Stream.null
    with runtime.use_stream(None):
        assert cupy_standin.cupy.cuda.get_current_stream() is cupy_standin.cupy.cuda.Stream.null
    event = runtime.record_event(stream)
    assert event.stream is stream
    runtime.wait_event(event)
    assert machine.log[-1] == "the default stream waits for a stream"
    event.done = False
    assert not runtime.event_done(event)
    stream.done = False
    assert not runtime.stream_done(stream)
    assert runtime.stream_done(None)
    assert runtime.elapsed(event, runtime.record_event()) == 1.5
    runtime.synchronize_event(event)
    assert machine.log[-1] == "synchronize event"


def test_memory_lent_to_a_stream_waits_for_it(
    runtime: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_lent", [])
    stream = runtime.stream()
    buffer = runtime.allocate(1 << 10)
    live = machine.live
    runtime.record_stream(buffer, stream)
    machine.log.clear()
    runtime.synchronize()
    assert "record on a stream" not in machine.log, "the buffer is alive"
    del buffer
    runtime.synchronize()
    assert machine.log[-1] == "record on a stream"
    [(_, _, event)] = runtime._lent
    event.done = False
    runtime.synchronize()
    assert machine.live == live
    event.done = True
    del event
    runtime.synchronize()
    assert machine.live == live - (1 << 10)


def test_synchronize_waits_for_the_device(machine: Any) -> None:
    backend_for("standin").runtime(1).synchronize()
    assert machine.log == ["synchronize device 1"]
