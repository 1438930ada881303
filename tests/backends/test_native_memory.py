"""Memory on the CPU: it stays flat over training steps, is counted, and kept within a limit."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest

import rushlight
from rushlight import nn, optim
from rushlight_cpu import _native

NATIVE = _native.choose("").library is not None
needs_native = pytest.mark.skipif(not NATIVE, reason=str(_native.choose("")))


def stepper(device: str) -> Callable[[], None]:
    """One step of training a small network, its arrays large enough for the pool."""
    net = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Dropout(0.1), nn.Linear(512, 10))
    net.to(device)
    optimiser = optim.Adam(net.parameters(), lr=1e-3)
    x = rushlight.ones(128, 256, device=device)
    target = rushlight.zeros(128, dtype=rushlight.int64, device=device)

    def step() -> None:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), target)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    return step


@needs_native
def test_steps_reuse_the_memory_of_those_before() -> None:
    step = stepper("cpu")
    for _ in range(5):
        step()
    before = rushlight.cpu.memory_stats()
    for _ in range(40):
        step()
    after = rushlight.cpu.memory_stats()
    assert after["reused"] > before["reused"]
    assert after["fresh"] == before["fresh"]
    for figure in ("allocated_bytes.all.current", "reserved_bytes.all.current"):
        assert after[figure] == before[figure]


def test_steps_of_the_numpy_tier_leave_nothing_behind() -> None:
    step = stepper("cpu_numpy")
    for _ in range(5):
        step()
    tracemalloc.start()
    try:
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000  # a gradient of the first layer takes 524288 bytes


@needs_native
def test_the_peak_can_be_counted_anew() -> None:
    x = rushlight.ones(1 << 18)
    held = x + x
    del held
    rushlight.cpu.reset_peak_memory_stats()
    assert rushlight.cpu.max_memory_allocated() == rushlight.cpu.memory_allocated()
    held = x + x
    del held
    assert rushlight.cpu.max_memory_allocated() >= rushlight.cpu.memory_allocated() + (1 << 20)


@needs_native
def test_the_environment_limits_what_is_kept() -> None:
    code = (
        "import rushlight as rl; x = rl.ones(1 << 18); y = [x + x for _ in range(8)]; del y;"
        "print(rl.cpu.memory_stats()['idle'])"
    )
    for limit, kept in (("0", 0), ("3145728", 3145728), ("", 8 << 20)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "RUSHLIGHT_CPU_CACHE": limit},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.stdout.strip() == str(kept), done.stderr


@pytest.mark.parametrize("setting", ["-1", "1GB", "0.5", "²"])
def test_a_limit_has_to_be_a_number_of_bytes(setting: str) -> None:
    with pytest.raises(ValueError, match="this is no number of bytes") as raised:
        _native.cache_limit(setting)
    assert f"RUSHLIGHT_CPU_CACHE={setting}" in str(raised.value)
    assert "0 keeps nothing" in str(raised.value)
