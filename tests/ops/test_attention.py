"""Attention: queries that see nothing, broadcast heads, gradients of masks."""

from __future__ import annotations

import numpy as np

import rushlight
from rushlight import ops


def test_a_query_that_sees_no_key_gives_zeros_and_finite_gradients() -> None:
    q = rushlight.ones(2, 3, requires_grad=True)
    mask = rushlight.tensor([[True, False], [False, False]])
    out = ops.scaled_dot_product_attention(q, q, q, mask, scale=1.0)
    assert out[1].tolist() == [0.0, 0.0, 0.0]
    out.sum().backward()
    assert q.grad is not None
    assert np.isfinite(q.grad.numpy()).all()


def test_heads_of_key_and_value_broadcast() -> None:
    random = np.random.default_rng(0)
    q = rushlight.tensor(random.standard_normal((2, 4, 3, 5)))
    k = rushlight.tensor(random.standard_normal((1, 1, 6, 5)))
    got = ops.scaled_dot_product_attention(q, k, k, scale=1.0)
    scores = np.exp(q.numpy() @ k.numpy().swapaxes(-1, -2))
    wanted = scores / scores.sum(-1, keepdims=True) @ k.numpy()
    np.testing.assert_allclose(got.numpy(), wanted)


def test_a_mask_of_numbers_receives_a_gradient() -> None:
    q = rushlight.ones(1, 2)
    mask = rushlight.tensor([[0.0, 1.0]], requires_grad=True)
    value = rushlight.tensor([[1.0], [0.0]])
    out = ops.scaled_dot_product_attention(q, rushlight.ones(2, 2), value, mask, scale=1.0)
    out.sum().backward()
    share = 1 / (1 + np.e)
    assert mask.grad is not None
    np.testing.assert_allclose(
        mask.grad.numpy(), [[share * (1 - share), -share * (1 - share)]], rtol=1e-5
    )
