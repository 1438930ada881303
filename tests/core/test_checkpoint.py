"""Checkpointing: the same gradients for less memory."""

import gc
import weakref
from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_early_stop,
)


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


def body(x: Tensor, w: Tensor) -> Tensor:
    return ((x * w).exp().sin() * w).tanh()


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradients_are_those_without(use_reentrant: bool) -> None:
    x, w = leaf(0.5, -1.0), leaf(0.3, 0.7)
    expected = rl.autograd.grad(body(x, w).sum(), (x, w))
    (checkpoint(body, x * 1, w, use_reentrant=use_reentrant) * 1).sum().backward()
    assert [x.grad.tolist(), w.grad.tolist()] == [g.tolist() for g in expected]


def test_activations_are_not_kept() -> None:
    gc.disable()
    try:
        kept = []

        def work(x: Tensor) -> Tensor:
            y = x.exp()
            kept.append(weakref.ref(y.detach().numpy()))
            return y.sin()

        x = leaf(1.0)
        y = checkpoint(work, x, use_reentrant=False)
        assert kept[0]() is None
        y.sum().backward()
        assert len(kept) == 2
        assert kept[1]() is None
    finally:
        gc.enable()


def test_closures_and_keywords_without_reentry() -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = checkpoint(lambda t, *, k: t * t * w * k, x, k=5.0, use_reentrant=False)
    by_x, by_w = rl.autograd.grad(y.sum(), (x, w))
    assert (by_x.item(), by_w.item()) == (60.0, 20.0)


def test_second_derivative_without_reentry() -> None:
    x = leaf(2.0)
    y = checkpoint(lambda t: t * t * t, x, use_reentrant=False)
    (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
    assert rl.autograd.grad(g.sum(), x)[0].item() == 12.0


def test_retained_graph_runs_again() -> None:
    runs = []

    def work(x: Tensor) -> Tensor:
        runs.append(1)
        return x.exp()

    x = leaf(0.0)
    y = checkpoint(work, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 2.0
    assert len(runs) == 3


def test_several_checkpoints_each_run_twice() -> None:
    runs = []

    def work(x: Tensor) -> Tensor:
        runs.append(1)
        return (x * x).sin() * x

    x = leaf(0.5)
    y = x
    for _ in range(3):
        y = checkpoint(work, y, use_reentrant=False)
    z = x
    for _ in range(3):
        z = (z * z).sin() * z
    (expected,) = rl.autograd.grad(z.sum(), x)
    y.sum().backward()
    assert x.grad.tolist() == expected.tolist()
    assert len(runs) == 6


def test_nested_checkpoints() -> None:
    def inner(x: Tensor) -> Tensor:
        return x.sin() * x

    def outer(x: Tensor) -> Tensor:
        return checkpoint(inner, x.exp(), use_reentrant=False) * x

    x = leaf(0.5)
    (expected,) = rl.autograd.grad((inner(x.exp()) * x).sum(), x)
    checkpoint(outer, x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_random_draws_are_repeated(use_reentrant: bool) -> None:
    drawn = []

    def work(x: Tensor) -> Tensor:
        noise = rl.rand(4)
        drawn.append(noise.tolist())
        return x * noise

    x = rl.ones(4, requires_grad=True)
    rl.manual_seed(3)
    y = checkpoint(work, x, use_reentrant=use_reentrant)
    between = rl.rand(1).item()
    y.sum().backward()
    after = rl.rand(1).item()
    assert drawn[0] == drawn[1]
    assert x.grad.tolist() == drawn[0]
    rl.manual_seed(3)
    rl.rand(4)
    assert [rl.rand(1).item(), rl.rand(1).item()] == [between, after]


def test_random_draws_need_not_be_repeated() -> None:
    drawn = []

    def work(x: Tensor) -> Tensor:
        drawn.append(rl.rand(4).tolist())
        return x.exp()

    x = rl.ones(4, requires_grad=True)
    checkpoint(work, x, use_reentrant=False, preserve_rng_state=False).sum().backward()
    assert drawn[0] != drawn[1]


def test_function_that_changes_is_found_out() -> None:
    calls = []

    def work(x: Tensor) -> Tensor:
        calls.append(1)
        return x.exp() if len(calls) == 1 else x.exp()[:1].exp()

    def fewer(x: Tensor) -> Tensor:
        calls.append(1)
        return x.exp().sin() if len(calls) == 1 else x + 1

    def other(x: Tensor) -> Tensor:
        calls.append(1)
        return (x if len(calls) == 1 else x[:1]).exp()

    x = leaf(1.0, 2.0)
    y = checkpoint(fewer, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different number of tensors"):
        y.sum().backward()
    calls.clear()
    y = checkpoint(other, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different metadata"):
        y.sum().backward()
    calls.clear()
    with set_checkpoint_early_stop(False):
        y = checkpoint(work, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different number of tensors"):
        y.sum().backward()


def test_early_stop_leaves_the_rest_out() -> None:
    reached = []

    def work(x: Tensor) -> Tensor:
        y = x.exp()
        reached.append(1)
        return y + 1

    for early_stop, expected in ((True, 1), (False, 2)):
        reached.clear()
        x = leaf(1.0)
        checkpoint(work, x, use_reentrant=False, early_stop=early_stop).sum().backward()
        assert len(reached) == expected


def test_reentrant_is_not_for_grad() -> None:
    x = leaf(1.0)
    y = checkpoint(lambda t: t * t, x, use_reentrant=True).sum()
    with pytest.raises(RuntimeError, match="use_reentrant=True, checkpoint is incompatible"):
        rl.autograd.grad(y, x)


def test_reentrant_warns_when_it_can_do_nothing() -> None:
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(lambda t: t * t, rl.ones(1), use_reentrant=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(lambda t: t * t, leaf(1.0))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"use_reentrant": True, "k": 1}, "Unexpected keyword arguments: k"),
        ({"use_reentrant": True, "debug": True}, "only supported when use_reentrant=False"),
        ({"use_reentrant": False, "determinism_check": "maybe"}, "determinism_check should be"),
    ],
)
def test_arguments_that_exclude_each_other(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checkpoint(lambda t: t, leaf(1.0), **keywords)


def test_context_fn_gives_a_context_to_each_run() -> None:
    from contextlib import contextmanager

    entered = []

    @contextmanager
    def noting(name: str) -> Any:
        entered.append(name)
        yield

    x = leaf(1.0)
    y = checkpoint(
        lambda t: t.exp(), x, use_reentrant=False,
        context_fn=lambda: (noting("first"), noting("second")),
    )  # fmt: skip
    assert entered == ["first"]
    y.sum().backward()
    assert entered == ["first", "second"]


def test_sequential_cuts_into_segments() -> None:
    runs: list[str] = []

    def noted(name: str) -> Any:
        def run(x: Tensor) -> Tensor:
            runs.append(name)
            return x.sin() * 2

        return run

    x = leaf(0.5)
    steps = [noted(name) for name in "abcde"]
    y = checkpoint_sequential(steps, 2, x, use_reentrant=False)
    assert runs == list("abcde")
    y.sum().backward()
    # Only the first of the two segments is run again.
    assert runs == list("abcdeab")
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint_sequential(steps, 2, x, use_reentrant=False, k=1)
