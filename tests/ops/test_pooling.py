"""Pooling: overhanging windows, ties and NaN, errors."""

from __future__ import annotations

import math

import pytest

import rushlight
from rushlight import ops


def test_ceil_mode_adds_a_window_that_starts_inside() -> None:
    x = rushlight.tensor([[[1.0, 2.0, 3.0]]])
    assert rushlight.max_pool1d(x, 2, ceil_mode=True).tolist() == [[[2.0, 3.0]]]
    assert rushlight.avg_pool1d(x, 2, ceil_mode=True).tolist() == [[[1.5, 3.0]]]


def test_the_first_of_equal_maxima_is_taken_and_receives_the_gradient() -> None:
    x = rushlight.tensor([[[2.0, 2.0, 1.0]]], requires_grad=True)
    values, indices = rushlight.max_pool1d_with_indices(x, 3)
    assert indices.tolist() == [[[0]]]
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0]]]


def test_nan_wins_a_maximum() -> None:
    x = rushlight.tensor([[[1.0, math.nan, 3.0]]])
    assert math.isnan(rushlight.max_pool1d(x, 3).item())


def test_writing_into_the_maxima_does_not_disturb_backward() -> None:
    # Only the positions are kept.
    x = rushlight.tensor([[[1.0, 2.0]]], requires_grad=True)
    values, _ = ops.max_pool(
        x, kernel_size=(2,), stride=(2,), padding=(0,), dilation=(1,), ceil_mode=False
    )
    values.mul_(3)
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[0.0, 3.0]]]


def test_adaptive_windows_overlap_where_they_must() -> None:
    x = rushlight.tensor([[[1.0, 2.0, 3.0]]])
    assert rushlight.adaptive_avg_pool1d(x, 2).tolist() == [[[1.5, 2.5]]]
    values, indices = rushlight.adaptive_max_pool1d(x, 2)
    assert values.tolist() == [[[2.0, 3.0]]]
    assert indices.tolist() == [[[1, 2]]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kernel_size": 2, "padding": 2}, "at most half"),
        ({"kernel_size": 9}, "too small"),
        ({"kernel_size": 2, "stride": 0}, "greater than zero"),
    ],
)
def test_windows_that_do_not_fit_are_errors(settings, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match=words):
        rushlight.max_pool1d(rushlight.ones(1, 1, 4), **settings)
