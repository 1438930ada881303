"""Devices of one type may have different dtypes: the runtime's `dtypes` narrows the manifest's."""

from __future__ import annotations

import subprocess
import sys

PAIR = """
import numpy as np
import rushlight as rl
from rushlight.backend import ArrayDevice, Backend, Manifest, register
from rushlight.backend.arrays import array_kernels

class Smaller(ArrayDevice):
    def dtypes(self):
        return frozenset({rl.bool, rl.int64, rl.float32, rl.bfloat16})

whole = frozenset({rl.bool, rl.int64, rl.float32, rl.float64})
register(Backend("pair", device=lambda index: Smaller(np) if index else ArrayDevice(np),
    count=lambda: 2, manifest=Manifest(dtypes=whole), kernels=array_kernels(np), api=(1, 2)))
"""


def told(program: str) -> str:
    """What a program with such a backend prints; it is not registered in this process."""
    done = subprocess.run([sys.executable, "-c", PAIR + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_device_with_fewer_dtypes() -> None:
    out = told("""
x = rl.ones(2, dtype=rl.float64, device="pair:0")
for make in (lambda: x.to("pair:1"), lambda: rl.ones(2, device="pair:1").double(),
             lambda: rl.zeros(1, dtype=rl.bfloat16, device="pair:1")):
    try:
        make()
    except TypeError as raised:
        print(raised)
print(x.float().to("pair:1").tolist(), x.to("pair:1", rl.float32).tolist())
rl.pair.set_device(1)
print(rl.pair.is_bf16_supported(), rl.backend.backend_for("pair").dtypes(0) == whole)
print([[r.operator, r.reason] for r in rl.preflight(lambda x: x.double(), x.float(),
      device="pair:1").missing])
""")
    assert out.count("device 'pair:1': it has no rushlight.float64\n") == 2
    assert "device 'pair:1': it has no rushlight.bfloat16\n" in out  # the manifest leaves it out
    assert out.count("expected: bool, int64, float32\n") == 3
    assert "[1.0, 1.0] [1.0, 1.0]\nFalse True\n" in out
    assert "the device has no float64" in out


def test_the_report_tells_dtypes_of_devices() -> None:
    out = told("""
from rushlight.backend._report import described_backend
found = described_backend("pair")
print(found["dtypes"], [d.get("dtypes") for d in found["devices"]])
from rushlight.__main__ import _device_line
print(_device_line(found["devices"][1]))
""")
    assert "['bool', 'float32', 'float64', 'int64'] [None, ['bool', 'float32', 'int64']]" in out
    line = out.splitlines()[1]
    assert line.startswith("pair:1: works; no uint8, ") and "float64" in line
    assert "float32" not in line
