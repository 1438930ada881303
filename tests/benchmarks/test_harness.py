"""The benchmark harness: interleaved rounds, comparison before timing, the report."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", None)).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def contest(*libraries: str) -> dict:
    """Figures of one row for fake contenders."""
    harness, rows = module("_harness"), module("rows")
    row = rows.Row("row", "group", lambda lib, device: lambda: None)
    script = HERE / "fake_worker.py"
    workers = [harness.Worker(harness.Contender(n, n), 1, script) for n in libraries]
    try:
        ((_, figures),) = harness.contest([row], workers, harness.Effort(rounds=4, row=1.0))
    finally:
        for worker in workers:
            worker.close()
    return figures


def test_ratio_is_taken_to_the_first_contender():
    figures = contest("fast", "slow")
    assert figures["fast"]["ratio"] == 1.0
    assert 2.0 < figures["slow"]["ratio"] < 20.0
    assert figures["slow"]["rounds"] == 4


def test_a_wrong_result_gets_no_time():
    figures = contest("fast", "wrong")
    assert set(figures["wrong"]) == {"error"}
    assert "wrong result: mean of result 0 is off by 1.0e+00" in figures["wrong"]["error"]
    assert "seconds" in figures["fast"]


def test_failures_are_told_and_leave_the_others_alone():
    figures = contest("fast", "raising", "dying")
    assert figures["raising"] == {"error": "ValueError: no such operator"}
    assert figures["dying"] == {"error": "the process died"}
    assert figures["fast"]["rounds"] == 4


def test_rounds_without_the_cores_are_told():
    assert contest("fast", "slow")["slow"]["calm"]
    figures = contest("fast", "crowded")
    assert not figures["crowded"]["calm"]
    rows = {"row": figures}
    assert "! other programs took the cores" in module("report").markdown(
        {"group": rows}, "fast", ["crowded"]
    )


def test_without_the_reference_there_are_times_but_no_ratios():
    figures = contest("raising", "fast")
    assert "seconds" in figures["fast"]
    assert "ratio" not in figures["fast"]


def test_a_late_answer_is_not_waited_for(tmp_path: Path):
    harness = module("_harness")
    script = tmp_path / "sleeper.py"
    script.write_text("import time; time.sleep(60)")
    worker = harness.Worker(harness.Contender("s", "s"), 1, script)
    with pytest.raises(harness.Failed, match="no answer in 0 s"):
        worker.ask(0.3, do="prepare", row="row")


def test_difference_names_what_differs():
    rows = module("rows")
    row = rows.Row("row", "group", lambda lib, device: lambda: None)
    x = np.linspace(-1.0, 1.0, 1000)
    bent = x.copy()
    bent[0] += 1e-2
    assert rows.difference(row, rows.summary(x), rows.summary(x + 1e-6)) is None
    assert "sample of result 0" in rows.difference(row, rows.summary(x), rows.summary(bent))
    assert "shape [1000]" in rows.difference(row, rows.summary(bent[:9]), rows.summary(x))
    assert rows.difference(row, rows.summary([x, x]), rows.summary(x)) == "1 results instead of 2"
    nan = np.array([np.nan, 1.0])
    assert rows.difference(row, rows.summary(nan), rows.summary(nan)) is None
    assert rows.difference(row, rows.summary(nan), rows.summary(np.ones(2))) is not None


def test_report_lists_the_worst_row_first_with_the_mean():
    report = module("report")
    rows = {
        "good": {"a": {"seconds": 2e-3}, "b": {"seconds": 1e-3, "ratio": 0.5, "spread": 0.1}},
        "bad": {"a": {"seconds": 1.0}, "b": {"seconds": 2.0, "ratio": 2.0, "spread": 0.9}},
        "failed": {"a": {"seconds": 1e-6}, "b": {"error": "ValueError: x | y"}},
    }
    text = report.markdown({"group": rows}, "a", ["b"])
    lines = text.splitlines()
    assert "| group | b | 2 | 1.00 | 2.00 bad | 1 failed |" in lines
    table = [line for line in lines if line.startswith(("| good", "| bad", "| failed"))]
    assert table == [
        "| failed | 1.00 us | ValueError: x / y |",
        "| bad | 1.00 s | 2.00~ (2.00 s) |",
        "| good | 2.00 ms | 0.50 (1.00 ms) |",
    ]
    assert "| **geometric mean** |  | 1.00 |" in lines


def test_every_row_name_is_unique_and_rushlight_runs_the_small_ones():
    import rushlight

    cases, rows = module("cases"), module("rows")
    parts = [*cases._OVERHEAD, *cases.operators.ROWS, *cases.functions.ROWS]
    parts += [*cases.training.ROWS, *cases.scale.ROWS]
    assert len(cases.ROWS) == len(parts)
    small = "cross_entropy_128x10+grad sgemm_128 mlp_784_256_10 size_2^4 chain float32_exp2"
    for name in small.split():
        row = cases.ROWS[name]
        call = row.prepare(rushlight, "cpu")
        first, again = rows.summary(call()), rows.summary(row.prepare(rushlight, "cpu")())
        assert rows.difference(row, first, again) is None


def test_worker_reports_errors_and_memory():
    harness = module("_harness")
    worker = harness.Worker(harness.Contender("rushlight", "rushlight"), 1)
    try:
        with pytest.raises(harness.Failed, match="KeyError: 'nothing'"):
            worker.ask(60, do="prepare", row="nothing", sample=0.01)
        assert worker.ask(60, do="memory", row="mlp_784_256_10", steps=2)["bytes"] > 2**20
    finally:
        worker.close()


def test_contenders_that_are_not_installed_are_left_out(capsys: pytest.CaptureFixture) -> None:
    run, harness = module("run"), module("_harness")
    here, gone = harness.Contender("numpy", "numpy"), harness.Contender("gone", "no_such_library")
    assert run.installed([here, gone]) == [here]
    assert capsys.readouterr().out == "gone is left out: no_such_library is not installed\n"
    with pytest.raises(SystemExit, match="none of the contenders is installed"):
        run.installed([gone])


def test_every_row_written_for_jax_is_a_row() -> None:
    operators, ours = module("operators"), module("_jax")
    names = ours.operator_functions(_AnyModule()).keys()
    assert names and names <= operators.DATA.keys()


class _AnyModule:
    """Stands for JAX where only names are asked."""

    def __getattr__(self, name: str) -> object:
        return _AnyModule()
