"""Softmax: extreme values, integers, dimensions."""

from __future__ import annotations

import math

import pytest

import rushlight


def test_large_values_do_not_overflow() -> None:
    assert rushlight.softmax(rushlight.tensor([1e30, 1e30]), 0).tolist() == [0.5, 0.5]
    assert rushlight.log_softmax(rushlight.tensor([1000.0, 0.0]), 0).tolist() == [0.0, -1000.0]


def test_a_fully_masked_row_is_nan() -> None:
    row = rushlight.softmax(rushlight.tensor([[-math.inf, -math.inf]]), 1)
    assert all(math.isnan(value) for value in row[0].tolist())


def test_integers_need_a_dtype() -> None:
    x = rushlight.tensor([0, 0])
    with pytest.raises(NotImplementedError, match=r"dtype=rushlight\.float32"):
        rushlight.softmax(x, 0)
    assert x.softmax(0, dtype=rushlight.float64).tolist() == [0.5, 0.5]


def test_a_dimension_out_of_range_is_an_error() -> None:
    with pytest.raises(IndexError, match="Dimension out of range"):
        rushlight.log_softmax(rushlight.ones(2), 1)


def test_empty_and_0d_tensors() -> None:
    assert rushlight.softmax(rushlight.zeros(0, 3), 0).shape == (0, 3)
    assert rushlight.softmax(rushlight.tensor(5.0), -1).item() == 1.0


def test_elements_of_a_row_whose_sum_is_infinite_have_no_share_in_logsumexp() -> None:
    inf, nan = math.inf, math.nan
    x = rushlight.tensor([[-inf, -inf], [inf, 1.0], [nan, 1.0], [1.0, -inf]], requires_grad=True)
    x.logsumexp(1).backward(rushlight.tensor([1.0, 2.0, 3.0, 4.0]))
    assert str(x.grad.tolist()) == "[[nan, nan], [nan, 0.0], [nan, nan], [4.0, 0.0]]"
