"""The conformance suite as a program: scorecard, isolation, expected failures, pages, pytest."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import rushlight
from rushlight.backend import ArrayDevice, Backend, register
from rushlight.testing import conformance
from rushlight.testing.__main__ import main
from rushlight.testing.conformance import Case, _expected, _pages
from rushlight.testing.conformance._asking import ask
from rushlight.testing.conformance._workers import Worker
from rushlight.testing.simulator import Options, Simulator

HOSTILE = Path(__file__).parent / "hostile_kernels"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that make the backend of kernels that crash known to worker processes."""
    path = os.pathsep.join(filter(None, [str(HOSTILE), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    return ["hostile", "--import", "hostile_kernels"]


def outcomes(file: Path) -> dict[str, Any]:
    return {row["id"]: row for row in json.loads(file.read_text())["cases"]}


# -- devices of this repository -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["cpu", "sim", "sim:1", "loopback"])
def test_level_1_passes(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = [str(tmp_path / each) for each in ("a.json", "a.md", "a.svg")]
    arguments = ["--level", "1", "--json", files[0], "--markdown", files[1], "--badge", files[2]]
    assert main([name, *arguments]) == 0
    told = capsys.readouterr().out
    assert f"{name} conforms: " in told
    assert "primitives ..." in told
    found = json.loads(Path(files[0]).read_text())
    assert found["ok"]
    assert found["stages"].keys() == {"names", "memory", "primitives"}
    assert found["coverage"]["add"] == {
        "how": "kernel", **dict.fromkeys(_pages.CLASSES, "kernel")
    }  # fmt: skip
    page = Path(files[1]).read_text()
    assert "| `exp` | kernel |" in page
    assert "| `transpose`" not in page
    svg = ElementTree.fromstring(Path(files[2]).read_text())
    assert f"rushlight {name}: 100 %" in svg.attrib["aria-label"]


def test_failures_say_what_was_asserted_and_where_a_kernel_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(operator: str, call: Any) -> str:
        case = Case("mine", "memory", 0, 1, call, operator=operator)
        return ask(case, "cpu").reason

    # In a file of its own, because pytest rewrites the assertions of this one.
    (tmp_path / "bare_case.py").write_text("def bare(device):\n    assert device == 'another'\n")
    monkeypatch.syspath_prepend(tmp_path)
    bare = importlib.import_module("bare_case").bare

    def slip(x: Any) -> Any:
        return x[undefined]  # noqa: F821

    name = "conformance_slip"
    register(Backend(name, device=lambda index: ArrayDevice(np), kernels={"exp": slip}))
    assert asked("", bare) == "AssertionError: assert device == 'another'"
    reason = asked("exp", lambda device: rushlight.ones(2).to(name).exp())
    assert reason.startswith("RuntimeError: exp: name 'undefined' is not defined  [NameError at ")
    assert "test_conformance.py:" in reason.splitlines()[0]


def test_ids_are_unique_and_stages_known() -> None:
    found = conformance.cases()
    assert len({case.id for case in found}) == len(found)
    assert [s for s in conformance.STAGES if any(c.stage == s for c in found)] == list(
        dict.fromkeys(case.stage for case in found)
    ), "cases are in the order of stages"


def test_choices_are_checked() -> None:
    with pytest.raises(ValueError, match="there is no stage 'primitive'"):
        conformance.run("cpu", stages=["primitive"])
    with pytest.raises(SystemExit):
        main(["cpu", "-k", "no such case"])


# -- isolation ------------------------------------------------------------------------------------


def test_a_crash_or_hang_costs_one_case(hostile: list[str], tmp_path: Path) -> None:
    chosen = [f"{word}" for op in "sinh cosh tan asinh acosh atanh lgamma exp".split()
              for word in ("--operator", op)]  # fmt: skip
    file = tmp_path / "found.json"
    limits = ["-k", "value-", "--level", "1", "--timeout", "2", "--json", str(file)]
    assert main([*hostile, *chosen, *limits]) == 1
    found = outcomes(file)
    first = {name: found[f"value-{name}-float32-contiguous-0"] for name in
             "sinh cosh tan asinh acosh atanh lgamma exp".split()}  # fmt: skip
    told = {name: (row["outcome"], row.get("reason", "")) for name, row in first.items()}
    assert told["sinh"] == ("crashed", "its process was ended by SIGABRT")
    assert told["cosh"] == ("hung", "no answer within 2 s")
    assert told["tan"] == ("crashed", "its process ended with exit code 3")
    assert told["asinh"] == ("failed", "SystemExit: 4")
    assert told["acosh"] == ("passed", "")
    assert told["atanh"][0] == "failed"
    assert told["lgamma"] == ("blocked", "needs a kernel of lgamma")
    assert told["exp"] == ("passed", "")
    for name in ("sinh", "cosh"):
        assert "hostile_kernels.py" in first[name]["details"], "the stack says where"


def test_a_backend_that_kills_its_process_is_a_crash_of_the_first_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text("import os\nos._exit(5)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker("dies", ["dies"])
    result = worker.ask(conformance.cases(stages=["names"])[0])
    worker.close()
    assert result.outcome == "crashed"
    assert "did not start: its process ended with exit code 5" in result.reason


def test_later_stages_of_a_broken_one_are_not_run(hostile: list[str], tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    arguments = [*hostile, "--operator", "atanh", "--json", str(file)]
    assert main(arguments) == 1
    found = outcomes(file)
    assert found["value-atanh-float32-contiguous-0"]["outcome"] == "failed"
    told = found["gradient-atanh-float64-0"]
    assert (told["outcome"], told["reason"]) == ("not run", "stage primitives is broken")
    assert main([*arguments, "--keep-going"]) == 1
    assert outcomes(file)["capture-atanh-float32-0"]["outcome"] in ("passed", "failed")


def test_a_run_can_end_at_the_first_failure() -> None:
    simulator = Simulator("conformance_wrong", Options())
    simulator.kernel("exp")(lambda x: np.exp(x) * 2)
    register(simulator)
    card = conformance.run("conformance_wrong", operators=["exp"], stop_at_first_failure=True)
    counts = {r.outcome for r in card.results}, [r for r in card.results if r.outcome == "failed"]
    assert counts[0] == {"passed", "failed", "not run"}  # `kernel-exp` is there
    assert [r.case.id for r in counts[1]] == ["value-exp-float32-contiguous-0"]
    assert not card.ok


# -- expected failures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("value-atanh-* # one percent off\nmeta-* # !", 1, "it passes; take it out of"),
        ("value-atanh-* # one percent off", 0, "expected to fail: one percent off"),
        ("value-atanh-*", 1, "has no reason after a '#'"),
        ("value-atanh-* # one\nvalue-sinus-* # two", 1, "'value-sinus-*' matches no case"),
        ("value-atanh-*  value-sinus-0 # one", 1, "'value-sinus-0' matches no case"),
    ],
)
def test_bookkeeping_of_expected_failures_is_strict(
    hostile: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    text: str, status: int, told: str,
) -> None:  # fmt: skip
    file = tmp_path / "xfails.txt"
    file.write_text(text)
    arguments = ["--operator", "atanh", "--stage", "primitives", "--level", "1"]
    found = main([*hostile, *arguments, "--xfails", str(file)])
    assert told in capsys.readouterr().out
    assert found == status


def test_expected_failures_are_found_in_the_backend_s_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_backend" / "inner"
    package.mkdir(parents=True)
    (package / "xfails.txt").write_text("kernel-exp  # later\n")
    (package / "__init__.py").write_text("raise RuntimeError('a broken backend')\n")

    class Entry:
        value = "some_backend.inner:plugin"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_expected, "entry_points", lambda testing: {"some": [Entry]})
    assert _expected.expected_of("some").reason("kernel-exp") == "later"
    assert _expected.expected_of("other").reasons == {}


# -- pytest ---------------------------------------------------------------------------------------


def pytest_run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rA",
               "--pyargs", "rushlight.testing.conformance", *arguments]  # fmt: skip
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_the_suite_as_tests_of_pytest(hostile: list[str], tmp_path: Path) -> None:
    # A project with an option of the same name, as many have.
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--device', default='cpu')\n"
    )
    done = pytest_run(
        tmp_path, "--device", "hostile", "--conformance-import", "hostile_kernels",
        "-k", "value-sinh or value-exp-float32", "--conformance-level", "1",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "crashed: its process was ended by SIGABRT" in done.stdout
    assert "PASSED" in done.stdout
    assert "value-exp-float32-contiguous-0" in done.stdout


def test_other_projects_get_no_options(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\ndef test_other(): assert 'rushlight' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_other.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- the page of the CPU --------------------------------------------------------------------------


def test_the_coverage_page_is_current() -> None:
    """Kernels and dtypes stand there as they are; `python3 run.py conformance` writes it anew.

    The numbers of cases are those of the day it was written, and that all passed is what the other
    tests are for.
    """
    page = (Path(__file__).parents[2] / "docs/coverage.md").read_text()
    written = _pages.markdown(conformance.run("cpu", stages=["names"]))
    start = "| Operator |"
    assert page[page.index(start) :] == written[written.index(start) :]
    assert "failing" not in page
