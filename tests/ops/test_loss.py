"""Losses over classes: ignored targets, impossible classes, errors."""

from __future__ import annotations

import math

import pytest

import rushlight
from rushlight import ops

HOW = {"reduction": "mean", "ignore_index": -100}


def test_ignored_targets_count_nowhere() -> None:
    x = rushlight.tensor([[1.0, 2.0], [5.0, 0.0]], requires_grad=True)
    loss = ops.cross_entropy(x, rushlight.tensor([1, -100]), **HOW)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    loss.backward()
    assert x.grad is not None
    assert x.grad[1].tolist() == [0.0, 0.0]


def test_an_ignored_impossible_class_does_not_poison_the_sum() -> None:
    x = rushlight.tensor([[-math.inf, 0.0], [-1.0, -2.0]])
    loss, total = ops.nll_loss(x, rushlight.tensor([-100, 0]), None, **HOW)
    assert loss.item() == 1.0
    assert total.item() == 1.0


def test_the_mean_of_nothing_is_nan() -> None:
    loss = ops.cross_entropy(rushlight.ones(1, 2), rushlight.tensor([-100]), **HOW)
    assert math.isnan(loss.item())


def test_a_target_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        ops.cross_entropy(rushlight.ones(1, 2), rushlight.tensor([2]), **HOW)
