"""The interface that type checkers see is that of the functions as they are now."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "tools/interface.py"


@pytest.fixture(scope="module")
def interface() -> ModuleType:
    """The program that writes the stubs."""
    spec = importlib.util.spec_from_file_location("interface", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stubs_are_up_to_date(interface: ModuleType) -> None:
    stale = [path.name for path, text in interface.outputs().items() if path.read_text() != text]
    assert not stale, f"run `python {PROGRAM.relative_to(PROGRAM.parents[1])}`"


def test_stubs_are_python(interface: ModuleType) -> None:
    for path, text in interface.outputs().items():
        compile(text, path, "exec")


def test_stub_tells_arguments_and_results(interface: ModuleType) -> None:
    lines = interface.root_stub().splitlines()
    assert "def abs(input: Tensor, *, out: Tensor | None = None) -> Tensor: ..." in lines
    assert "float: DType" in lines
    assert "dtype = DType" in lines


def test_methods_take_no_out(interface: ModuleType) -> None:
    lines = interface.methods_stub().splitlines()
    assert "    def abs(self) -> Tensor: ..." in lines
    assert "    def T(self) -> Tensor: ..." in lines
    assert not any(" out: " in line for line in lines)


def test_annotations_that_a_stub_cannot_name_are_any(interface: ModuleType) -> None:
    said = interface.annotation
    assert said("int | Sequence[float]", {}) == "_int | Sequence[_float]"
    assert said("Ints", {"Ints": int | tuple[int, ...]}) == "_int | tuple[_int, ...]"
    assert said("Unheard", {}) == "Any"
