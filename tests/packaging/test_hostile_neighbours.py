"""Bad backends installed beside the good ones: nobody notices, until their device is asked for.

Real wheels, installed by pip into one folder. What each of them does is in hostile/neighbours.py.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).with_name("hostile")))

import neighbours
import wheels

REFUSED = ["raising", "quitting", "unreadable", "misspelt", "future", "claimed"]
# What every program starts with.
BEGIN = """
import json, sys
import rushlight as rl
def strangers():
    return [name for name in sys.modules if name.startswith("neighbour")]
"""
ASK = f"""
told = {{}}
for device in {REFUSED}:
    for attempt in "first", "second":
        try:
            rl.ones(2, device=device)
        except RuntimeError as raised:
            told[device, attempt] = str(raised)
    assert (rl.ones(2) + 1).tolist() == [2.0, 2.0]  # the CPU goes on
print(json.dumps([[*key, text] for key, text in told.items()]))
"""

Run = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all neighbours installed."""
    into = tmp_path_factory.mktemp("neighbours")
    wheels.install(neighbours.write_wheels(tmp_path_factory.mktemp("wheels")), into)
    return into


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs a program beside the neighbours; what it printed."""

    def run(code: str) -> str:
        done = wheels.python(folder, BEGIN + code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def told(run: Run) -> dict[tuple[str, str], str]:
    """What each device's first and second user are told; all devices in one process."""
    return {(device, attempt): text for device, attempt, text in json.loads(run(ASK))}


def test_all_are_installed_and_none_is_imported(run: Run) -> None:
    out = run("""
x = rl.ones(2, requires_grad=True)
(x * 3).sum().backward()
print(json.dumps([strangers(), x.grad.tolist(), rl.backend.installed_types()]))
""")
    strangers, grad, types = json.loads(out)
    assert strangers == []
    assert grad == [3.0, 3.0]
    assert {device for device, _ in neighbours.NEIGHBOURS.values()} <= set(types)


def test_report_imports_none_and_names_all(run: Run) -> None:
    told, strangers = json.loads(run("print(json.dumps([rl.backend.report(), strangers()]))"))
    assert strangers == []
    assert "claimed: claimed by first-claimant 0.3, second-claimant 0.3" in told
    for distribution, (device, _) in neighbours.NEIGHBOURS.items():
        if device != "claimed":
            assert f"{device}: {distribution} 0.3, not loaded yet" in told


@pytest.mark.parametrize(
    ("device", "cause"),
    [
        ("raising", "OSError: driver 12.1 is too old, 12.4 is needed"),
        ("quitting", "SystemExit: no licence found"),
        ("unreadable", "SyntaxError: invalid syntax (neighbour_rushlight_unreadable.py, line 1)"),
        ("misspelt", "unknown hook 'rushlight_backened'"),
    ],
)
def test_cause_and_cure_are_told(told: Any, device: str, cause: str) -> None:
    text = told[device, "first"]
    first = f"device '{device}': its backend rushlight-{device} 0.3 could not be loaded"
    assert text.splitlines()[0] == first
    assert cause in text
    cure = f"pip install --upgrade rushlight-{device}, or uninstall it"
    assert ("correct the name of the function" if device == "misspelt" else cure) in text
    assert "rushlight.backend.report() has the whole traceback" in text


def test_protocol_of_the_future(told: Any) -> None:
    text = told["future", "first"]
    assert "it was written for protocol 99.0, this core speaks " in text
    assert "pip install --upgrade rushlight-core" in text


def test_two_claimants(told: Any, run: Run) -> None:
    text = told["claimed", "first"]
    assert text.splitlines()[0] == (
        "device 'claimed': 2 installed packages provide this device type"
    )
    assert "first-claimant 0.3, second-claimant 0.3" in text
    assert "uninstall one, or set RUSHLIGHT_BACKENDS=claimed=" in text
    out = run("""
import os
os.environ["RUSHLIGHT_BACKENDS"] = "claimed=second-claimant"
print(rl.ones(2, device="claimed").tolist(), strangers())
""")
    assert out.strip() == "[1.0, 1.0] ['neighbour_second_claimant']"


@pytest.mark.parametrize("device", REFUSED)
def test_second_user_is_told_the_same(told: Any, device: str) -> None:
    assert told[device, "first"] == told[device, "second"]


def test_asking_for_one_device_loads_no_other(run: Run) -> None:
    out = run('rl.ones(2, device="slow"); print(strangers())')
    assert out.strip() == "['neighbour_rushlight_slow']"


def test_backend_that_kills_the_process_kills_only_those_who_ask_for_it(folder: Path) -> None:
    asked = wheels.python(folder, BEGIN + 'print("before"); rl.ones(2, device="deadly")')
    assert asked.returncode == 86
    others = wheels.python(folder, BEGIN + 'rl.ones(2, device="slow"); rl.backend.report()')
    assert others.returncode == 0, others.stderr


def test_the_same_files_give_the_same_wheel(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first = neighbours.write_wheels(tmp_path)
    second = neighbours.write_wheels(tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_survey_outlives_all_of_them(folder: Path) -> None:
    run_it = "import runpy, sys\nsys.argv = ['rushlight', '--json']\n"
    done = wheels.python(folder, run_it + "runpy.run_module('rushlight', run_name='__main__')")
    found = {backend["type"]: backend for backend in json.loads(done.stdout)["backends"]}
    broken = {device for device, backend in found.items() if backend["status"] != "ok"}
    # Ours for hardware can't be used where there is none.
    assert broken - {"cuda", "opencl"} == {*REFUSED, "deadly"}
    assert "86" in found["deadly"]["cause"]
    assert "driver 12.1 is too old" in found["raising"]["cause"]
