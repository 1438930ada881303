"""Attention and the Transformer: equations, masks, and what must not change an answer."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
import rushlight.nn.functional as F
from rushlight import nn

INF = float("inf")


def close(x: rushlight.Tensor, y: rushlight.Tensor) -> None:
    np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_scaled_dot_product_attention_by_its_definition():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(s) for s in ((2, 3, 4), (2, 5, 4), (2, 5, 6)))
    mask = rng.random((3, 5)) > 0.3
    mask[:, 0] = True
    scores = np.where(mask, q @ k.swapaxes(1, 2) / 2, -INF)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v
    actual = F.scaled_dot_product_attention(*map(rushlight.from_numpy, (q, k, v, mask)))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-9)


def test_grouped_heads_are_shared():
    q, k = rushlight.randn(1, 4, 3, 8), rushlight.randn(1, 2, 3, 8)
    repeated = k.repeat_interleave(2, 1)
    close(
        F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        F.scaled_dot_product_attention(q, repeated, repeated),
    )


def test_attention_refuses_a_mask_beside_is_causal():
    x = rushlight.ones(2, 3)
    with pytest.raises(RuntimeError, match="is_causal"):
        F.scaled_dot_product_attention(x, x, x, rushlight.ones(2, 2).bool(), is_causal=True)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("extra", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_asking_for_weights_does_not_change_the_output(batch_first, extra):
    model = nn.MultiheadAttention(8, 2, batch_first=batch_first, **extra)
    x = rushlight.randn(3, 5, 8) if batch_first else rushlight.randn(5, 3, 8)
    mask = rushlight.ones(5, 5).triu(1).bool()
    padding = rushlight.zeros(3, 5).bool()
    padding[1, 4] = True
    settings = {"attn_mask": mask, "key_padding_mask": padding}
    output, weights = model(x, x, x, **settings)
    fused, none = model(x, x, x, need_weights=False, **settings)
    assert none is None
    close(output, fused)
    assert tuple(weights.shape) == (3, 5, 5 + len(extra))
    close(weights.sum(-1), rushlight.ones(3, 5))
    assert not bool(weights[:, 0, 1:5].any())


def test_separate_projections_equal_the_packed_one():
    packed = nn.MultiheadAttention(8, 2)
    q, k = rushlight.randn(4, 2, 8), rushlight.randn(6, 2, 8)
    parts = packed.in_proj_weight.chunk(3)
    out, _ = F.multi_head_attention_forward(
        q, k, k, 8, 2, None, packed.in_proj_bias, None, None, False, 0.0,
        packed.out_proj.weight, packed.out_proj.bias, use_separate_proj_weight=True,
        q_proj_weight=parts[0], k_proj_weight=parts[1], v_proj_weight=parts[2],
    )  # fmt: skip
    close(out, packed(q, k, k)[0])


@pytest.mark.parametrize(
    ("arguments", "kind"), [((7, 2), AssertionError), ((8, 0), ValueError), ((0, 1), ValueError)]
)
def test_attention_refuses_sizes_that_do_not_fit(arguments, kind):
    with pytest.raises(kind):
        nn.MultiheadAttention(*arguments)


def test_causal_hint_needs_a_mask():
    x = rushlight.ones(2, 1, 8)
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        nn.MultiheadAttention(8, 2)(x, x, x, is_causal=True)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_encoder_layer_by_its_equations(norm_first, batch_first):
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, "gelu", batch_first=batch_first, norm_first=norm_first
    )
    x = rushlight.randn(4, 3, 8)

    def attend(y):
        return layer.self_attn(y, y, y)[0]

    def inner(y):
        return layer.linear2(F.gelu(layer.linear1(y)))

    if norm_first:
        y = x + attend(layer.norm1(x))
        expected = y + inner(layer.norm2(y))
    else:
        y = layer.norm1(x + attend(x))
        expected = layer.norm2(y + inner(y))
    close(layer(x), expected)


def test_causal_decoder_does_not_see_the_future():
    model = nn.Transformer(8, 2, 1, 2, 16, dropout=0.0)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    source, target = rushlight.randn(4, 2, 8), rushlight.randn(5, 2, 8)
    changed = target.clone()
    changed[3:] = 0.0
    before, after = (model(source, t, tgt_mask=mask) for t in (target, changed))
    close(before[:3], after[:3])
    assert float((before[3:] - after[3:]).abs().max()) > 1e-3
    close(before, model(source, target, tgt_mask=mask, tgt_is_causal=True))


def test_padding_does_not_change_what_is_not_padded():
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2)
    x = rushlight.randn(5, 1, 8)
    padding = rushlight.tensor([[False, False, False, True, True]])
    close(layer(x, src_key_padding_mask=padding)[:3], layer(x[:3]))


def test_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    stack = nn.TransformerEncoder(layer, 2)
    first, second = (one.linear1.weight for one in stack.layers)
    assert first is not second
    assert bool((first == second).all())


def test_transformer_refuses_batches_that_differ():
    model = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="batch number"):
        model(rushlight.ones(4, 2, 8), rushlight.ones(4, 3, 8))
    with pytest.raises(RuntimeError, match="feature number"):
        model(rushlight.ones(4, 2, 8), rushlight.ones(4, 2, 7))


def test_adaptive_softmax_is_a_distribution_and_predicts_its_mode():
    rushlight.manual_seed(0)
    model = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], div_value=2.0)
    x, target = rushlight.randn(30, 16) * 4, rushlight.arange(30).remainder(20)
    log_probs = model.log_prob(x)
    close(log_probs.exp().sum(1), rushlight.ones(30))
    output, loss = model(x, target)
    close(output, log_probs.gather(1, target.unsqueeze(1)).squeeze(1))
    close(loss, -output.mean())
    assert bool((model.predict(x)[:5] < 20).all())
    with pytest.raises(RuntimeError, match="Target values"):
        model(x, target + 20)
