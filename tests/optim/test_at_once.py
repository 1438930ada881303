"""A step of all parameters in one kernel changes what the formulas change, and nothing else."""

import numpy as np
import pytest

import rushlight
from rushlight import optim
from rushlight._ops import optimising

HALF = rushlight.bfloat16
OPTIMISERS = {
    "sgd": lambda p, **o: optim.SGD(p, 0.1, weight_decay=0.1, **o),
    "sgd-momentum": lambda p, **o: optim.SGD(p, 0.1, momentum=0.9, dampening=0.3, **o),
    "sgd-nesterov": lambda p, **o: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, **o),
    "adam": lambda p, **o: optim.Adam(p, 0.1, weight_decay=0.1, **o),
    "adam-amsgrad": lambda p, **o: optim.Adam(p, 0.1, amsgrad=True, maximize=True, **o),
    "adamw": lambda p, **o: optim.AdamW(p, rushlight.tensor(0.1), **o),
    "adagrad": lambda p, **o: optim.Adagrad(p, 0.1, lr_decay=0.1, weight_decay=0.1, **o),
}
RMSPROPS = {
    "rmsprop": lambda p: optim.RMSprop(p, 0.1, weight_decay=0.1),
    "rmsprop-momentum": lambda p: optim.RMSprop(p, 0.1, momentum=0.9),
    "rmsprop-centered": lambda p: optim.RMSprop(p, 0.1, centered=True, momentum=0.9),
}


def parameters(dtype=rushlight.float32):
    """One of several blocks, a small one, one that lies transposed, and one without elements."""
    rushlight.manual_seed(3)
    shapes = [(300, 113), (5,), (0, 3), ()]
    made = [rushlight.randn(shape).to(dtype) for shape in shapes]
    made.append(rushlight.randn(7, 4).to(dtype).t())
    return [x.detach().requires_grad_() for x in made]


def train(make, dtype=rushlight.float32, **options):
    params = parameters(dtype)
    optimiser = make(params, **options)
    rushlight.manual_seed(4)
    for number in range(4):
        for place, p in enumerate(params):
            # One parameter joins late, so counts of steps differ.
            p.grad = None if place == 1 and number < 2 else rushlight.randn_like(p)
        optimiser.step()
    return params, optimiser


def states(params, optimiser):
    return [(name, x) for p in params for name, x in sorted(optimiser.state[p].items())]


def compare(one, other, dtype):
    tolerance = 1e-5 if dtype is rushlight.float32 else 1e-12
    for x, y in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), tolerance, tolerance)
    for (name, x), (again, y) in zip(states(*one), states(*other), strict=True):
        assert name == again
        np.testing.assert_allclose(x.numpy(), y.numpy(), tolerance, tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", [rushlight.float32, rushlight.float64])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_one_kernel_gives_what_the_formulas_give(name, dtype):
    make = OPTIMISERS[name]
    compare(train(make, dtype), train(make, dtype, fused=False), dtype)


@pytest.mark.parametrize("name", RMSPROPS)
def test_rmsprop_in_one_kernel_gives_what_its_formula_gives(name, monkeypatch):
    together = train(RMSPROPS[name])
    monkeypatch.setattr(optim.RMSprop, "_update_at_once", lambda self, *arguments: False)
    compare(together, train(RMSPROPS[name]), rushlight.float32)


@pytest.fixture
def calls(monkeypatch):
    """How the steps went: True for one kernel."""
    answers = []

    def spy(*arguments, **attributes):
        answers.append(optimising.step_in_place(*arguments, **attributes))
        return answers[-1]

    monkeypatch.setattr(rushlight.ops, "step_in_place", spy)
    return answers


def test_plain_steps_take_one_kernel_and_count_the_writes(calls):
    p = rushlight.ones(3, requires_grad=True)
    optimiser = optim.Adam([p], 0.1)
    y = p * p
    y.sum().backward(retain_graph=True)
    version = p._version
    optimiser.step()
    assert calls == [True]
    assert p._version == version + 1
    assert optimiser.state[p]["exp_avg"]._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_views_see_the_step(calls):
    base = rushlight.ones(6)
    p = base[2:4].requires_grad_()
    optimiser = optim.SGD([p], 1.0)
    p.grad = rushlight.tensor([0.5, 2.0])
    optimiser.step()
    assert calls == [True]
    assert base.tolist() == [1.0, 1.0, 0.5, -1.0, 1.0, 1.0]


def overlapping():
    base = rushlight.ones(4)
    return [base[:3].requires_grad_(), base[1:].requires_grad_()]


def mixed():
    return [rushlight.ones(2, dtype=d, requires_grad=True) for d in (rushlight.float32, HALF)]


def reduced():
    return [rushlight.ones(3, dtype=HALF, requires_grad=True)]


def complex_ones():
    return [rushlight.ones(3, dtype=rushlight.complex64, requires_grad=True)]


def subclass():
    class Mine(rushlight.Tensor):
        pass

    return [rushlight.ones(3).as_subclass(Mine).requires_grad_()]


@pytest.mark.parametrize("make", [overlapping, mixed, reduced, complex_ones, subclass])
def test_what_one_kernel_cannot_do_goes_tensor_by_tensor(make, calls):
    params = make()
    optimiser = optim.SGD(params, 1.0, momentum=0.5)
    for p in params:
        p.grad = rushlight.ones_like(p.detach())
    for _ in range(2):
        optimiser.step()
    assert calls == [False, False]
    found = [x for p in params for x in p.detach().tolist()]
    # Steps of 1 and 1.5; elements of two parameters take both.
    expected = [-1.5, -4.0, -4.0, -4.0, -4.0, -1.5] if make is overlapping else [-1.5] * len(found)
    assert found == expected


def test_a_parameter_that_stands_twice_is_stepped_twice(calls):
    p = rushlight.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimiser = optim.SGD([p, p], 0.25)
    p.grad = rushlight.ones(2)
    optimiser.step()
    assert calls == [False]
    assert p.tolist() == [0.5, 0.5]


def test_differentiable_steps_keep_their_history(calls):
    p = rushlight.ones(2, requires_grad=True)
    optimiser = optim.Adam([p.clone()], 0.1, differentiable=True)
    optimiser.param_groups[0]["params"][0].grad = rushlight.ones(2, requires_grad=True)
    optimiser.step()
    assert calls == []
    assert optimiser.param_groups[0]["params"][0].grad_fn is not None
