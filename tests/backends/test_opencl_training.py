"""Training on OpenCL: memory stays flat, and weights begin as they do on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight import nn

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

ROOT = Path(__file__).parents[2]


def test_memory_does_not_grow_from_step_to_step() -> None:
    program = ROOT / "benchmarks/flat_memory.py"
    done = subprocess.run(
        [sys.executable, str(program), "--device", "opencl:0", "--steps", "1000"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "allocated 0, reserved 0 bytes; flat" in done.stdout


def test_weights_begin_as_on_the_cpu() -> None:
    def weights(device: str) -> list[np.ndarray]:
        rl.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, device=device), nn.Linear(7, 5, device=device),
            nn.LSTM(5, 6, device=device), nn.Embedding(9, 4, device=device),
        )  # fmt: skip
        return [p.detach().cpu().numpy() for p in model.parameters()]

    for a, b in zip(weights("cpu"), weights("opencl"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_polynomial_of_an_order_beyond_the_end_is_not_computed() -> None:
    order = rl.tensor([2.0] * 3 + [1e30] * 61, device="opencl")
    x = rl.tensor([0.5] * 3 + [1.0] * 61, device="opencl")
    found = rl.special.chebyshev_polynomial_t(x[:3], order[:3])  # all 64 would take for ever
    assert found.tolist() == [-0.5] * 3
