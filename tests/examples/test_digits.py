"""The digits demo as a user runs it: reproducible, with a checkpoint that holds what was learnt."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "digits.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def run_short(output: Path, seed: int) -> subprocess.CompletedProcess[str]:
    return run("--epochs", "1", "--seed", str(seed), "--output", str(output))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of three short runs: a seed, the same again, another."""
    folder = tmp_path_factory.mktemp("digits")
    for name, seed in {"first": 1, "again": 1, "other": 2}.items():
        result = run_short(folder / name, seed)
        assert result.returncode == 0, result.stderr
    return {name: folder / name for name in ("first", "again", "other")}


def test_same_seed_gives_the_same_run_to_the_last_bit(outputs: dict[str, Path]) -> None:
    first, again, other = ((outputs[k] / "history.json").read_text() for k in outputs)
    assert first == again
    assert json.loads(first)["loss"] != json.loads(other)["loss"]


def test_one_epoch_learns(outputs: dict[str, Path]) -> None:
    history = json.loads((outputs["first"] / "history.json").read_text())
    assert len(history["validation_accuracy"]) == 1
    assert history["test_accuracy"] > 0.6
    assert sum(history["loss"][-5:]) < sum(history["loss"][:5])


def test_checkpoint_scores_the_same_in_another_process(outputs: dict[str, Path]) -> None:
    history = json.loads((outputs["first"] / "history.json").read_text())
    result = run("--evaluate", str(outputs["first"] / "digits.safetensors"))
    assert float(result.stdout) == history["test_accuracy"]


def test_pictures_are_drawn(outputs: dict[str, Path]) -> None:
    for name in ("learning_curve.png", "mistakes.png"):
        assert (outputs["first"] / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("device", ["frobnicator", "frobnicator:0"])
def test_unknown_device_is_an_error_that_lists_what_is_installed(device: str) -> None:
    result = run("--device", device)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "frobnicator" in result.stderr
    assert "cpu" in result.stderr
    assert "pip install" in result.stderr
