"""What is said where there is no CuPy, no driver, no card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rushlight_cuda import driver

STANDIN = Path(__file__).parent


def modules(cupy_standin: ModuleType, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Makes the stand-in, with changes, the CuPy that is found."""
    found = SimpleNamespace(**{**vars(cupy_standin.cupy), **changes})
    monkeypatch.setitem(sys.modules, "cupy", found)
    monkeypatch.setitem(sys.modules, "cupyx", cupy_standin.cupyx)


def said() -> str:
    with pytest.raises(RuntimeError) as raised:
        driver.opened()
    return str(raised.value)


def test_all_is_there(
    cupy_standin: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules(cupy_standin, monkeypatch)
    cupy, cupyx = driver.opened()
    assert cupy.__version__ == "14.2.0"
    assert cupyx is cupy_standin.cupyx


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "import_module", _missing("cupy"))
    text = said()
    assert "CuPy is not installed" in text
    assert 'to fix:   pip install "rushlight-cuda[cuda13]", or [cuda12]' in text


def test_a_broken_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "import_module", _missing("fastrlock"))
    assert "CuPy can't be imported\n  given:    ModuleNotFoundError: No module" in said()

    def fail(name: str) -> Any:
        raise ImportError("libnvrtc.so.13: no such file\nand a long story")

    monkeypatch.setattr(driver, "import_module", fail)
    text = said()
    assert "given:    ImportError: libnvrtc.so.13: no such file\n" in text
    assert "python -c 'import cupy'" in text


def _missing(module: str) -> Any:
    def find(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return find


@pytest.mark.parametrize(
    ("version", "word"), [("13.6.0", "old"), ("14.1.2", "old"), ("15.0.0a1", "new")]
)
def test_a_cupy_of_another_time(
    version: str, word: str, cupy_standin: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules(cupy_standin, monkeypatch, __version__=version)
    text = said()
    assert f"CuPy {version} is too {word}" in text
    assert "expected: from 14.2 to below 15.0" in text


def test_no_driver_and_an_old_one(
    cupy_standin: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules(cupy_standin, monkeypatch)
    machine.failure, machine.driver = 35, 0
    assert "no NVIDIA driver is installed\n  expected: a driver for CUDA 13.2 or newer" in said()
    machine.driver = 12040
    text = said()
    assert "the NVIDIA driver is too old for this CuPy\n  given:    a driver for CUDA 12.4" in text
    assert "update the driver, or install the CuPy for its version" in text


def test_no_card(cupy_standin: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    modules(cupy_standin, monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.failure = 100
    assert "no CUDA device\n  to fix:   use another device" in said()
    machine.failure, machine.devices = None, 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text = said()
    assert "given:    CUDA_VISIBLE_DEVICES=''" in text
    assert "unset CUDA_VISIBLE_DEVICES" in text


def test_another_failure_of_cuda(
    cupy_standin: ModuleType, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules(cupy_standin, monkeypatch)
    machine.failure = 999
    text = said()
    assert "CUDA can't count the devices\n  given:    error 999" in text
    assert "nvidia-smi" in text


def program(source: str) -> str:
    """What a fresh process prints; its first line makes the stand-in CuPy, or no CuPy at all."""
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(STANDIN)},
    ).stdout  # fmt: skip


ABSENT = "import sys; sys.modules['cupy'] = None\n"
PRESENT = (
    "import sys, cupy_standin as s; sys.modules.update(cupy=s.cupy, cupyx=s.cupyx)\n"
    "import rushlight\n"
)


def test_without_cupy_only_the_device_is_missing() -> None:
    told = program(
        ABSENT + "import rushlight, rushlight_cuda\n"
        "print(rushlight.ones(2).sum().item())\n"
        "try: rushlight.ones(2, device='cuda')\n"
        "except RuntimeError as raised: print(raised)"
    )
    assert told.startswith("2.0\ndevice 'cuda': its backend rushlight-cuda 0.1.0 could not be")
    assert "CuPy is not installed" in told
    assert 'pip install "rushlight-cuda[cuda13]"' in told


def test_the_type_cuda_is_this_package() -> None:
    told = program(
        PRESENT + "x = rushlight.ones(2, device='cuda:1', requires_grad=True)\n"
        "(x * 3).sum().backward()\n"
        "print(x.grad, x.to('cuda').device, rushlight.backend.report())"
    )
    assert "tensor([3., 3.], device='cuda:1') cuda:0" in told
    assert "cuda: rushlight-cuda 0.1.0, loaded" in told
    assert "CuPy 14.2.0, driver for CUDA 13.0" in told


def test_a_torch_program_finds_its_functions() -> None:
    told = program(
        PRESENT
        + """
cuda = rushlight.cuda
print(cuda.is_available(), cuda.device_count(), cuda.get_device_name(1))
cuda.manual_seed_all(3)
stream = cuda.Stream()
with cuda.stream(stream):
    x = rushlight.ones(3, device="cuda") * 2
x.record_stream(stream)
mark = cuda.Event(enable_timing=True)
mark.record(stream)
cuda.current_stream().wait_event(mark)
cuda.synchronize()
print(mark.query(), x)
cuda.set_device(1)
print(rushlight.ones(1, device="cuda").device, rushlight.ones(2).pin_memory().is_pinned())
print(x.to("cuda:1", non_blocking=True).device)
rushlight.cuda.reset_peak_memory_stats()
cuda.empty_cache()
print(cuda.max_memory_allocated(0) >= cuda.memory_allocated(0), len(cuda.mem_get_info()))
with rushlight.autocast("cuda", dtype=rushlight.float16):
    print((x.reshape(1, 3) @ x.reshape(3, 1)).dtype)
"""
    )
    assert told.splitlines() == [
        "True 2 Stand-in 1",
        "True tensor([2., 2., 2.], device='cuda:0')",
        "cuda:1 True",
        "cuda:1",
        "True 2",
        "rushlight.float16",
    ]


def test_without_cupy_cuda_is_not_available() -> None:
    assert program(ABSENT + "import rushlight; print(rushlight.cuda.is_available())") == "False\n"


def test_the_report_has_a_line_with_cause_and_cure() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "rushlight", "--json"], capture_output=True, text=True, check=True,
        timeout=240,
    )  # fmt: skip
    [found] = [b for b in json.loads(child.stdout)["backends"] if b["type"] == "cuda"]
    if found["status"] == "ok":
        pytest.skip("this machine has a card")
    assert "RuntimeError" in found["cause"]
    assert found["fix"]
    assert not found["traceback"], "it has said what is missing"
    assert found["providers"] == [{"distribution": "rushlight-cuda", "version": "0.1.0"}]
