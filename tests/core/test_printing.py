"""Printing: tensors read as PyTorch's users know them; the texts stand in data/printed.txt."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rushlight as rl
from rushlight._tensor.printing import get_printoptions, printoptions, set_printoptions

PRINTED = Path(__file__).parents[1] / "data" / "printed.txt"


def printed() -> Iterator[Any]:
    """The expression, options and text of every block of the file."""
    for block in PRINTED.read_text().split("\n> ")[1:]:
        call, _, text = block.rstrip("\n").partition("\n")
        expression, _, options = call.partition("  # ")
        yield pytest.param(expression, options, text, id=call)


@pytest.mark.parametrize(("expression", "options", "text"), list(printed()))
def test_text_is_that_of_torch(expression: str, options: str, text: str) -> None:
    with printoptions(**eval(f"dict({options})")):
        assert repr(eval(expression, {"rl": rl})) == text


def test_setting_options_changes_only_what_is_given() -> None:
    with printoptions():
        set_printoptions(precision=2, linewidth=100)
        set_printoptions(edgeitems=1)
        assert get_printoptions() == {
            "precision": 2,
            "threshold": 1000,
            "edgeitems": 1,
            "linewidth": 100,
            "sci_mode": None,
        }
        set_printoptions(profile="full")
        assert get_printoptions()["threshold"] == float("inf")


def test_options_come_back_after_an_error_in_the_block() -> None:
    before = get_printoptions()
    with pytest.raises(KeyError), printoptions(precision=1):
        raise KeyError
    assert get_printoptions() == before


def test_an_unknown_profile_is_refused_and_changes_nothing() -> None:
    before = get_printoptions()
    with pytest.raises(ValueError, match="there is no profile 'wide'"):
        set_printoptions(precision=1, profile="wide")
    assert get_printoptions() == before


def test_a_users_subclass_prints_by_its_own_name() -> None:
    class Mass(rl.Tensor):
        pass

    assert repr(rl.ones(2).as_subclass(Mass)) == "Mass([1., 1.])"


def test_suffixes_follow_the_default_dtype() -> None:
    value = rl.ones(1, dtype=rl.float64)
    rl.set_default_dtype(rl.float64)
    try:
        assert repr(value) == "tensor([1.])"
        assert repr(value.float()) == "tensor([1.], dtype=rushlight.float32)"
    finally:
        rl.set_default_dtype(rl.float32)


def test_views_print_the_elements_they_show() -> None:
    value = rl.arange(6).reshape(2, 3)
    assert repr(value.t()) == "tensor([[0, 3],\n        [1, 4],\n        [2, 5]])"
    assert repr(rl.ones(1).expand(3)) == "tensor([1., 1., 1.])"
    assert repr(rl.arange(3000)[::2]) == ("tensor([   0,    2,    4,  ..., 2994, 2996, 2998])")
