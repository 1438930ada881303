"""Capture: a run recorded as a flat program, and replayed."""

from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.func import capture


def test_program_is_a_flat_list_of_operators() -> None:
    _, program = capture(lambda x: (x * 2).sum())(rl.tensor([1.0, 2.0]))
    lines = str(program).splitlines()
    assert len(lines) == len(program.instructions)
    assert any("= mul(" in line for line in lines)
    assert "= sum(" in lines[-1]
    assert program(rl.tensor([3.0, 4.0])).item() == 14.0


def test_replay_gives_the_structure_of_the_results() -> None:
    result, program = capture(lambda d: {"a": d["x"] + 1, "b": [d["x"], 5]})({"x": rl.ones(2)})
    again = program({"x": rl.zeros(2)})
    assert result["a"].tolist() == [2.0, 2.0]
    assert again["a"].tolist() == [1.0, 1.0]
    assert again["b"][0].tolist() == [0.0, 0.0]
    assert again["b"][1] == 5


def test_writes_to_an_argument_reach_the_argument() -> None:
    def f(x: Tensor) -> Tensor:
        x[0] = 7.0
        x.t()[1].mul_(10)
        return x.sum()

    _, program = capture(f)(rl.ones(2, 2))
    x = rl.ones(2, 2)
    version = x._version
    total = program(x)
    assert x.tolist() == [[7.0, 70.0], [1.0, 10.0]]
    assert total.item() == 88.0
    assert x._version > version


def test_views_read_after_a_write_see_it() -> None:
    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        base = x * 1
        view = base[1:]
        base.add_(1)
        before = view * 1
        view.zero_()
        return before, base * 1

    eager = [t.tolist() for t in f(rl.tensor([1.0, 2.0, 3.0]))]
    _, program = capture(f)(rl.zeros(3))
    assert [t.tolist() for t in program(rl.tensor([1.0, 2.0, 3.0]))] == eager


def test_replay_does_not_write_to_the_captured_arguments() -> None:
    first = rl.ones(2)
    _, program = capture(lambda x: x.add_(1))(first)
    second = rl.zeros(2)
    program(second)
    assert (first.tolist(), second.tolist()) == ([2.0, 2.0], [1.0, 1.0])


def test_closed_over_tensors_are_read_anew() -> None:
    state = rl.zeros(1)
    _, program = capture(lambda x: state.add_(x) * 1)(rl.ones(1))
    assert state.item() == 1.0
    assert program(rl.tensor([5.0])).item() == 6.0
    state.zero_()
    assert program(rl.tensor([5.0])).item() == 5.0
    assert state.item() == 5.0


@pytest.mark.parametrize(
    "read",
    [lambda x: x.sum().item(), lambda x: float(x[0]), lambda x: x.tolist(), lambda x: x.numpy(),
     lambda x: bool(x[0] > 0)],
)  # fmt: skip
def test_reading_data_is_an_error(read: Any) -> None:
    with pytest.raises(RuntimeError, match="can't be captured"):
        capture(read)(rl.ones(2))


def test_arguments_must_be_like_the_captured_ones() -> None:
    _, program = capture(lambda x: x * 2)(rl.ones(2))
    with pytest.raises(RuntimeError, match="argument 0 is not like the captured one"):
        program(rl.ones(3))
    with pytest.raises(RuntimeError, match="argument 0 is not like"):
        program(rl.ones(2, dtype=rl.float64))
    with pytest.raises(RuntimeError, match="expected 1 arguments, got 2"):
        program(rl.ones(2), rl.ones(2))


def test_random_draws_go_on_in_the_stream() -> None:
    def f(x: Tensor) -> Tensor:
        return x + rl.rand(3) - rl.randn(3)

    rl.manual_seed(5)
    eager = [f(rl.zeros(3)).tolist() for _ in range(3)]
    rl.manual_seed(5)
    first, program = capture(f)(rl.zeros(3))
    found = [first.tolist()] + [program(rl.zeros(3)).tolist() for _ in range(2)]
    assert found == eager
    rl.manual_seed(5)
    assert program(rl.zeros(3)).tolist() == eager[0]


def test_higher_derivatives_are_captured() -> None:
    def f(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (g,) = rl.autograd.grad((x**3).sum(), x, create_graph=True)
        return rl.autograd.grad((g * g).sum(), x)[0]

    _, program = capture(f)(rl.ones(2))
    assert program(rl.tensor([2.0, 3.0])).tolist() == f(rl.tensor([2.0, 3.0])).tolist()


class Plain:
    """A two-layer perceptron with dropout and SGD with momentum, in tensors alone."""

    def __init__(self) -> None:
        rl.manual_seed(0)
        self.weights = [
            (rl.randn(*shape) * 0.3).requires_grad_() for shape in ((4, 8), (8,), (8, 1), (1,))
        ]
        self.momenta = [rl.zeros(tuple(w.shape)) for w in self.weights]

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        a, b, c, d = self.weights
        hidden = (x @ a + b).relu()
        hidden = hidden * (rl.rand(6, 8) > 0.2) / 0.8
        loss = ((hidden @ c + d - y) ** 2).mean()
        grads = rl.autograd.grad(loss, self.weights)
        with rl.no_grad():
            for w, m, g in zip(self.weights, self.momenta, grads, strict=True):
                m.mul_(0.9).add_(g)
                w.sub_(m * 0.05)
        return loss.detach()


class Module:
    """The same with modules and an optimiser."""

    def __init__(self) -> None:
        rl.manual_seed(0)
        nn = rl.nn
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.weights = list(self.model.parameters())
        self.optimizer = rl.optim.SGD(self.weights, lr=0.05, momentum=0.9)
        # Momentum buffers are made by the first step, which is not the one to be recorded.
        self.step(rl.ones(6, 4), rl.ones(6, 1))

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        loss = ((self.model(x) - y) ** 2).mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


@pytest.mark.parametrize("training", [Plain, Module])
def test_training_step_replays_bit_for_bit(training: Any) -> None:
    rl.manual_seed(9)
    batches = [(rl.randn(6, 4), rl.randn(6, 1)) for _ in range(5)]

    eager = training()
    rl.manual_seed(11)
    expected = [eager.step(x, y).item() for x, y in batches]

    replayed = training()
    rl.manual_seed(11)
    loss, program = capture(replayed.step)(*batches[0])
    found = [loss.item()] + [program(x, y).item() for x, y in batches[1:]]

    assert found == expected
    assert expected[0] != expected[1]
    for a, b in zip(eager.weights, replayed.weights, strict=True):
        assert a.tolist() == b.tolist()
