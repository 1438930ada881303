"""Masked reductions: what a mask leaves out has no influence, not even as NaN."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
from rushlight import masked

NAN = float("nan")


def test_what_is_left_out_may_be_anything() -> None:
    x = rushlight.tensor([[1.0, NAN, 3.0], [NAN, 5.0, 7.0]])
    mask = rushlight.tensor([[True, False, True], [False, True, True]])
    assert masked.sum(x, 1, mask=mask).tolist() == [4, 12]
    assert masked.prod(x, 1, mask=mask).tolist() == [3, 35]
    assert masked.mean(x, 1, mask=mask).tolist() == [2, 6]
    assert masked.amax(x, 1, mask=mask).tolist() == [3, 7]
    assert masked.var(x, 1, mask=mask).tolist() == [2, 2]
    assert masked.argmin(x, 1, mask=mask).tolist() == [0, 1]
    assert masked.norm(x, 1, 1, mask=mask).tolist() == [4, 12]
    weights = masked.softmax(x, 1, mask=mask).numpy()
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights[0, 1] == 0 and weights[1, 0] == 0


def test_a_slice_of_nothing_gives_the_identity() -> None:
    x, nothing = rushlight.ones(3), rushlight.zeros(3, dtype=rushlight.bool)
    assert masked.sum(x, mask=nothing).item() == 0
    assert masked.prod(x, mask=nothing).item() == 1
    assert masked.amax(x, mask=nothing).item() == -np.inf
    assert np.isnan(masked.mean(x, mask=nothing).item())
    assert np.isnan(masked.softmax(x, 0, mask=nothing).numpy()).all()


def test_what_is_left_out_gets_no_gradient() -> None:
    x = rushlight.tensor([1.0, 2.0, 3.0], requires_grad=True)
    masked.var(x, mask=rushlight.tensor([True, False, True])).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-2, 0, 2]


def test_a_mask_broadcasts_but_not_the_other_way() -> None:
    x = rushlight.ones(2, 3)
    assert masked.sum(x, mask=rushlight.tensor([True, False, True])).item() == 4
    with pytest.raises(IndexError, match="mask dimensionality higher"):
        masked.sum(x[0], mask=x.bool())
