"""The profiler: what it counts, what it leaves alone, and the files it writes."""

import gzip
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.autograd.profiler import record_function
from rushlight.backend import register
from rushlight.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)
from rushlight.testing.simulator import Options, Simulator

_numbers = count()


def by_key(prof: profile, **keywords: Any) -> dict[str, Any]:
    return {row.key: row for row in prof.key_averages(**keywords)}


def step(x: rl.Tensor, w: rl.Tensor) -> rl.Tensor:
    loss = rl.relu(x @ w).sum()
    loss.backward()
    return loss


def test_results_and_gradients_are_those_without_a_profiler() -> None:
    grads, losses, drawn = [], [], []
    for profiled in (False, True):
        rl.manual_seed(1)
        x, w = rl.randn(3, 4), rl.randn(4, 2, requires_grad=True)
        prof = profile(record_shapes=True, profile_memory=True, with_stack=True, with_modules=True)
        if profiled:
            prof.start()
        losses.append(step(x, w).item())
        x[0].add_(rl.rand(4))
        y = rl.empty_like(x).copy_(x)
        drawn.append(y.tolist())
        if profiled:
            prof.stop()
        grads.append(w.grad.tolist())  # type: ignore[union-attr]
    assert grads[0] == grads[1] and losses[0] == losses[1] and drawn[0] == drawn[1]
    assert rl._modes.STATE.get() is rl._modes.GRAD  # type: ignore[attr-defined]


def test_forward_backward_and_blocks_are_counted_with_what_they_hold() -> None:
    x, w = rl.ones(8, 4), rl.ones(4, 2, requires_grad=True)
    with profile(record_shapes=True, profile_memory=True) as prof, record_function("mine"):
        step(x, w)
        step(x, w)
    rows = by_key(prof)
    assert rows["mine"].count == 1 and rows["matmul"].count >= 2
    assert rows["mine"].cpu_time_total >= rows["matmul"].cpu_time_total > 0
    assert rows["mine"].self_cpu_time_total < rows["mine"].cpu_time_total
    shapes = [(r.key, r.input_shapes) for r in prof.key_averages(group_by_input_shape=True)]
    assert ("matmul", [[8, 4], [4, 2]]) in shapes
    assert rows["matmul"].cpu_memory_usage >= 2 * 8 * 2 * 4
    total = prof.key_averages().self_cpu_time_total
    assert total == pytest.approx(rows["mine"].cpu_time_total)
    assert prof.key_averages().total_average().count == sum(r.count for r in rows.values())
    assert rows["matmul"].cpu_time * rows["matmul"].count == pytest.approx(
        rows["matmul"].cpu_time_total
    )


def test_table_has_torchs_columns() -> None:
    with profile() as prof:
        rl.ones(3).exp()
    text = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=1, header="head")
    lines = text.splitlines()
    names = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
    assert lines[0] == "head" and all(name in lines[1] for name in [*names, "# of Calls"])
    assert "Mem" not in text and len(lines) == 4
    assert lines[-1].startswith("Self CPU time total: ")
    assert str(prof.key_averages()).count("\n") > 2
    with pytest.raises(AttributeError, match="there is no figure 'speed' to sort by"):
        prof.key_averages().table(sort_by="speed")


def test_modules_and_lines_are_kept_where_they_are_asked_for() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with profile(with_modules=True, with_stack=True) as prof:
        model(rl.ones(1, 2))
    found = {e.module_path for e in prof.events()}
    assert "Sequential.0" in found and "Sequential.1" in found
    assert any("test_profiler.py" in line for e in prof.events() for line in e.stack)
    rows = prof.key_averages(group_by_stack_n=1)
    assert any(row.module_path == "Sequential.0" for row in rows)
    assert "Module" in rows.table()


def test_device_kernels_stand_beside_the_calls() -> None:
    name = f"sim_profiled{next(_numbers)}"
    register(Simulator(name, Options(latency=0.0)))
    x = rl.ones(1000, device=name)
    with profile(profile_memory=True) as prof:
        y = x.exp() + 1
    assert by_key(prof)["exp"].device_time_total > 0
    assert by_key(prof)["exp"].device_memory_usage == y.nbytes
    assert "Device total" in prof.key_averages().table()
    assert {e.device_type for e in prof.events() if e.kind == "kernel"} == {name}
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        x.exp()
    assert not any(e.kind == "kernel" for e in prof.events())
    assert ProfilerActivity.ACCELERATOR in supported_activities()


def test_schedule_records_its_steps_only() -> None:
    ready: list[list[str]] = []

    def keep(prof: profile) -> None:
        ready.append([e.name for e in prof.events() if e.kind == "block"])

    plan = schedule(wait=1, warmup=1, active=2, repeat=2)
    with profile(schedule=plan, on_trace_ready=keep) as prof:
        for _ in range(9):
            rl.ones(1) + 1
            prof.step()
    assert ready == [["ProfilerStep#2", "ProfilerStep#3"], ["ProfilerStep#6", "ProfilerStep#7"]]
    skipping = schedule(wait=1, warmup=0, active=1, skip_first=1, skip_first_wait=1)
    actions = [skipping(n) for n in range(4)]
    none, save = ProfilerAction.NONE, ProfilerAction.RECORD_AND_SAVE
    assert actions == [none, save, none, save]
    with pytest.raises(ValueError, match="Invalid profiler schedule arguments"):
        schedule(wait=0, warmup=0, active=0)


def test_traces_are_files_that_browsers_read(tmp_path: Path) -> None:
    handler = tensorboard_trace_handler(str(tmp_path / "new"), "worker")
    with profile(on_trace_ready=handler, record_shapes=True, with_stack=True) as prof:
        with record_function("block"):
            rl.ones(2, 3).exp()
    (path,) = (tmp_path / "new").glob("worker.*.pt.trace.json")
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    exp = next(e for e in events if e["name"] == "exp")
    block = next(e for e in events if e["name"] == "block")
    assert exp["ph"] == "X" and exp["args"]["Input Dims"] == [[2, 3]] and exp["cat"] == "cpu_op"
    assert block["ts"] <= exp["ts"] and exp["ts"] + exp["dur"] <= block["ts"] + block["dur"] + 1
    tensorboard_trace_handler(str(tmp_path), "packed", use_gzip=True)(prof)
    (packed,) = tmp_path.glob("packed.*.gz")
    assert json.loads(gzip.decompress(packed.read_bytes()))["traceEvents"] == events


def test_an_error_within_leaves_no_profiler_behind() -> None:
    prof = profile()
    with pytest.raises(RuntimeError), prof, record_function("block"):
        rl.ones(2) @ rl.ones(3)
    assert rl._modes.STATE.get() is rl._modes.GRAD  # type: ignore[attr-defined]
    assert by_key(prof)["block"].count == 1


def test_record_function_wraps_functions_and_costs_nothing_without_a_profiler() -> None:
    @record_function("twice")
    def twice(x: rl.Tensor) -> rl.Tensor:
        return x + x

    assert twice(rl.ones(1)).item() == 2
    with profile() as prof:
        twice(twice(rl.ones(1)))
    assert by_key(prof)["twice"].count == 2
