"""Embedding: rows without gradient, frequencies, errors."""

from __future__ import annotations

import pytest

import rushlight


def gradient(**settings):  # type: ignore[no-untyped-def]
    weight = rushlight.ones(3, 1, requires_grad=True)
    rushlight.embedding(weight, rushlight.tensor([0, 1, 1]), **settings).sum().backward()
    return weight.grad.tolist()


def test_gradients_are_summed_by_row() -> None:
    assert gradient() == [[1.0], [2.0], [0.0]]


def test_the_padding_row_receives_no_gradient() -> None:
    assert gradient(padding_idx=1) == [[1.0], [0.0], [0.0]]


def test_frequent_rows_share_their_gradient() -> None:
    assert gradient(scale_grad_by_freq=True) == [[1.0], [1.0], [0.0]]


def test_the_padding_row_receives_none_under_vmap_either() -> None:
    def total(weight, indices):  # type: ignore[no-untyped-def]
        return rushlight.embedding(weight, indices, padding_idx=0).sum()

    weight, indices = rushlight.ones(2, 1), rushlight.tensor([[0, 1], [1, 1]])
    each = rushlight.func.vmap(rushlight.func.grad(total), in_dims=(None, 0))(weight, indices)
    assert each.tolist() == [[[0.0], [1.0]], [[0.0], [2.0]]]


def test_an_index_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="index out of range"):
        rushlight.embedding(rushlight.ones(2, 1), rushlight.tensor([2]))


def test_indices_are_integers() -> None:
    with pytest.raises(RuntimeError, match="Long, Int"):
        rushlight.embedding(rushlight.ones(2, 1), rushlight.tensor([0.0]))
