"""Scaled dot-product attention, with a backward operator that recomputes the weights."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bfloat16, bool_, float16, float32
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._tensor.tensor import Tensor
from ._batching import batch_size, front, front_or_expanded
from ._precision import widened
from ._public import export

attention_op = operator(
    "scaled_dot_product_attention(Tensor q, Tensor k, Tensor v, Tensor? mask, *, bool is_causal, "
    "float scale) -> (Tensor, Tensor)"
)
attention_backward_op = operator(
    "attention_backward(Tensor g, Tensor q, Tensor k, Tensor v, Tensor? mask, Tensor out, "
    "Tensor lse, *, bool is_causal, float scale) -> (Tensor, Tensor, Tensor)"
)

INFINITY = float("inf")


@attention_op.meta
def _(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, *, is_causal: bool, scale: float
) -> tuple[Spec, Spec]:
    who = "scaled_dot_product_attention"
    given = ", ".join(f"{tuple(x.shape)}" for x in (q, k, v))
    if not q.dtype is k.dtype is v.dtype:
        raise error(
            RuntimeError,
            who,
            "Expected query, key, and value to have the same dtype",
            given=f"{q.dtype}, {k.dtype} and {v.dtype}",
        )
    if q.ndim < 2 or k.shape[:-2] != q.shape[:-2] or v.shape[:-2] != q.shape[:-2]:
        raise error(RuntimeError, who, "the leading sizes differ", given=given)
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise error(
            RuntimeError,
            who,
            "query and key need the same last size, key and value the same length",
            given=given,
        )
    wide = float32 if q.dtype is float16 or q.dtype is bfloat16 else q.dtype
    return Spec((*q.shape[:-1], v.shape[-1]), q.dtype), Spec(q.shape[:-1], wide)


@attention_backward_op.meta
def _(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Any, out: Tensor, lse: Tensor, **settings: Any
) -> tuple[Spec, Spec, Spec]:
    return Spec(q.shape, q.dtype), Spec(k.shape, k.dtype), Spec(v.shape, v.dtype)


def _scores(q: Tensor, k: Tensor, mask: Any, is_causal: bool, scale: float) -> Tensor:
    """Products of queries and keys, -inf where a key is hidden."""
    scores: Tensor = (widened(q) * scale).matmul(widened(k).transpose(-2, -1))
    if is_causal:
        seen = q.new_ones((q.shape[-2], k.shape[-2]), dtype=bool_).tril()
        scores = scores.masked_fill(~seen, -INFINITY)
    if mask is not None:
        if mask.dtype is bool_:
            scores = scores.masked_fill(~mask, -INFINITY)
        else:
            scores = scores + mask
    return scores


def _weights(scores: Tensor, lse: Tensor) -> Tensor:
    """Softmax of scores from their log-sum-exp; zeros for a query that sees no key."""
    blind = lse == -INFINITY
    weights = (scores - lse.masked_fill(blind, 0.0).unsqueeze(-1)).exp()
    return weights.masked_fill(blind.unsqueeze(-1), 0.0)


@attention_op.decomposition
def _(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, *, is_causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    scores = _scores(q, k, mask, is_causal, scale)
    if not k.shape[-2]:
        lse = scores.sum(-1) - INFINITY
        return q.new_zeros((*q.shape[:-1], v.shape[-1])), lse
    lse = scores.logsumexp(-1)
    out = _weights(scores, lse).matmul(widened(v))
    return out.to(q.dtype), lse


def _score_gradient(
    g: Tensor, v: Tensor, out: Tensor, weights: Tensor, g_lse: Tensor | None
) -> Tensor:
    """Gradient of the scores."""
    delta = (widened(g) * widened(out)).sum(-1)
    if g_lse is not None:
        delta = delta - g_lse
    slopes = widened(g).matmul(widened(v).transpose(-2, -1)) - delta.unsqueeze(-1)
    return weights * slopes


def _gradients(
    weights: Tensor, slopes: Tensor, g: Tensor, q: Tensor, k: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    dq = slopes.matmul(widened(k)) * scale
    dk = slopes.transpose(-2, -1).matmul(widened(q) * scale)
    dv = weights.transpose(-2, -1).matmul(widened(g))
    return dq.to(q.dtype), dk.to(q.dtype), dv.to(q.dtype)


@attention_backward_op.decomposition
def _(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Any, out: Tensor, lse: Tensor, *,
    is_causal: bool, scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    weights = _weights(_scores(q, k, mask, is_causal, scale), lse)
    return _gradients(weights, _score_gradient(g, v, out, weights, None), g, q, k, scale)


@attention_op.vjp
def _(
    g: Any, *, q: Tensor, k: Tensor, v: Tensor, mask: Any, out0: Tensor, out1: Tensor,
    is_causal: bool, scale: float, needs: tuple[bool, ...],
) -> Any:  # fmt: skip
    top = out0.new_zeros(out0.shape) if g[0] is None else g[0]
    if g[1] is None and not needs[3]:
        return attention_backward_op(
            top, q, k, v, mask, out0, out1, is_causal=is_causal, scale=scale
        ) + (None,)
    # Towards a mask of numbers, and in second derivatives, the scores themselves are needed.
    weights = _weights(_scores(q, k, mask, is_causal, scale), out1)
    slopes = _score_gradient(top, v, out0, weights, g[1])
    return *_gradients(weights, slopes, top, q, k, scale), slopes if needs[3] else None


@attention_op.batching
def _(inputs: Any, dims: Any, *, is_causal: bool, scale: float) -> tuple[Any, Any]:
    size = batch_size(inputs, dims)
    moved = [front_or_expanded(x, d, size) for x, d in zip(inputs[:3], dims[:3], strict=True)]
    mask = inputs[3]
    if mask is not None and dims[3] is not None:
        mask = front(mask, dims[3])
        missing = moved[0].ndim - mask.ndim
        mask = mask.reshape(size, *(1,) * missing, *mask.shape[1:])
    return attention_op(*moved, mask, is_causal=is_causal, scale=scale), (0, 0)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float,
) -> Tensor:
    """Attention over operands whose leading dimensions broadcast."""
    lead: tuple[int, ...] = query.shape[:-2]
    if key.shape[:-2] != lead or value.shape[:-2] != lead:
        lead = broadcast_shapes(
            "scaled_dot_product_attention", lead, key.shape[:-2], value.shape[:-2]
        )
        query, key, value = (x.expand(*lead, *x.shape[-2:]) for x in (query, key, value))
    return attention_op.entry(  # type: ignore[no-any-return]
        query, key, value, attn_mask, is_causal=is_causal, scale=scale
    )[0]


export("scaled_dot_product_attention", _attention, "ops")
