"""How errors read: four parts, torch's types, raised before any state changes."""

import pickle
from typing import Any

import pytest

import rushlight as rl
from rushlight._errors import error


def test_four_parts() -> None:
    made = error(ValueError, "who", "it is wrong", given="1", expected="2", fix="use 2")
    assert str(made) == "who: it is wrong\n  given:    1\n  expected: 2\n  to fix:   use 2"
    assert isinstance(made, ValueError)
    assert type(made).__name__ == "ValueError"
    assert str(error(ValueError, "who", "alone")) == "who: alone"


def test_errors_travel_between_processes() -> None:
    made = pickle.loads(pickle.dumps(error(IndexError, "who", "it is wrong", fix="mend it")))
    assert isinstance(made, IndexError)
    assert str(made) == "who: it is wrong\n  to fix:   mend it"


def test_module_path_is_named() -> None:
    model = rl.nn.Sequential(rl.nn.ReLU(), rl.nn.Sequential(rl.nn.Linear(3, 2)))
    with pytest.raises(RuntimeError, match=r"\(in Sequential\.1\.0\)"):
        model(rl.ones(2, 4))


def test_foreign_errors_get_the_path_as_a_note() -> None:
    class Fails(rl.nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyError("mine")

    model = rl.nn.Sequential(Fails())
    with pytest.raises(KeyError) as raised:
        model(rl.ones(1))
    assert raised.value.__notes__ == ["(in Sequential.0)"]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda x: x.sum(5), IndexError),
        (lambda x: x.view(7), RuntimeError),
        (lambda x: x[10], IndexError),
        (lambda x: x.add_(rl.ones(9)), RuntimeError),
        (lambda x: x.mul_(1j), RuntimeError),
        (lambda x: x.copy_(rl.ones(9)), RuntimeError),
        (lambda x: x.__setitem__(0, rl.ones(9)), RuntimeError),
        (lambda x: x @ rl.ones(9), RuntimeError),
        (lambda x: x.squeeze_(9), IndexError),
    ],
)
def test_refused_calls_change_nothing(call: Any, kind: type[Exception]) -> None:
    x = rl.arange(6, dtype=rl.float32).view(2, 3).clone()
    with pytest.raises(kind):
        call(x)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert x._version == 0
    assert x.is_leaf
