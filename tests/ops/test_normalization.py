"""Normalisation: running statistics, statistics of reduced precision, errors."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight


def train(x, mean, var, momentum=0.5):  # type: ignore[no-untyped-def]
    return rushlight.batch_norm(x, None, None, mean, var, True, momentum, 1e-5, False)


def test_batch_norm_moves_the_running_statistics_in_place() -> None:
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    mean, var = rushlight.zeros(2), rushlight.ones(2)
    train(rushlight.tensor(x), mean, var)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2)) / 2, rtol=1e-5)
    # The running variance is the unbiased one.
    np.testing.assert_allclose(var.numpy(), 0.5 + x.var((0, 2), ddof=1) / 2, rtol=1e-5)


def test_an_empty_batch_leaves_the_running_statistics_alone() -> None:
    mean, var = rushlight.zeros(2), rushlight.ones(2)
    assert train(rushlight.ones(0, 2), mean, var).shape == (0, 2)
    assert mean.tolist() == [0.0, 0.0]
    assert var.tolist() == [1.0, 1.0]


def test_running_statistics_are_not_recorded() -> None:
    x = rushlight.ones(4, 2, requires_grad=True)
    mean, var = rushlight.zeros(2), rushlight.ones(2)
    out = train(x * 2, mean, var)
    assert out.requires_grad
    assert not mean.requires_grad
    assert not var.requires_grad


def test_writing_into_the_result_does_not_disturb_backward() -> None:
    # Only the statistics are kept, not the result.
    x = rushlight.tensor([[1.0, 2.0, 4.0]], requires_grad=True)
    out = rushlight.layer_norm(x, (3,))
    out.mul_(2)
    out.sum().backward()
    assert x.grad is not None


def test_half_precision_is_computed_in_single() -> None:
    # In float16 the sum of the squares overflows.
    x = rushlight.full((1, 300), 200.0, dtype=rushlight.float16)
    x[0, 0] = -200.0
    out = rushlight.rms_norm(x, (300,))
    assert out.dtype is rushlight.float16
    np.testing.assert_allclose(out.numpy()[0, :2], [-1, 1], rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: rushlight.layer_norm(x, (3,)), "expected input with shape"),
        (lambda x: rushlight.layer_norm(x, ()), "at least 1-dimensional"),
        (lambda x: rushlight.layer_norm(x, (4,), rushlight.ones(3)), "same shape"),
        (lambda x: rushlight.group_norm(x, 3), "divisible by num_groups"),
        (lambda x: train(x, rushlight.zeros(3), None), "should contain 4 elements"),
        (
            lambda x: rushlight.batch_norm(x, None, None, None, None, False, 0.1, 1e-5, False),
            "evaluation mode",
        ),
    ],
)
def test_what_does_not_fit_is_an_error(call, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match=words):
        call(rushlight.ones(2, 4))


def test_an_error_leaves_the_running_statistics_alone() -> None:
    mean = rushlight.zeros(4)
    with pytest.raises(RuntimeError):
        train(rushlight.ones(2, 4), mean, rushlight.ones(3))
    assert mean.tolist() == [0.0] * 4
