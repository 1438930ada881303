"""Attention: the scaled dot product, and the multi-head form around it."""

from __future__ import annotations

import math

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import shape_of
from .dropout import dropout
from .linear import linear


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Averages values, weighted by the softmax of the products of queries and keys.

    Args:
        query: Tensor of shape `(*, L, E)`.
        key: Tensor of shape `(*, S, E)`.
        value: Tensor of shape `(*, S, Ev)`.
        attn_mask: Broadcasts to `(*, L, S)`: bool (True takes part), or numbers to add.
        dropout_p: Probability of dropping a weight. Applied whenever it is positive.
        is_causal: Position `i` attends to positions up to `i` only.
        scale: Factor of the products; `1 / sqrt(E)` unless given.
        enable_gqa: Lets several heads of `query` (third dimension from the end) share each head
            of `key` and `value`.

    Returns:
        Tensor of shape `(*, L, Ev)`. A fully masked row is zero.

    Raises:
        RuntimeError: The shapes or dtypes do not fit each other, or both `attn_mask` and
            `is_causal` are given.

    References:
        Vaswani et al. (2017), Attention is all you need.

    Example:
        >>> x = rushlight.eye(2)
        >>> rushlight.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        tensor([[1.0000, 0.0000],
                [0.3302, 0.6698]])
    """
    _check_attention(query, key, value, attn_mask, dropout_p, is_causal)
    if enable_gqa:
        key, value = _shared_heads(query, key, "key"), _shared_heads(query, value, "value")
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    if dropout_p == 0.0:
        return ops.scaled_dot_product_attention(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale
        )
    scores = rushlight.matmul(query * scale, key.transpose(-2, -1))
    if is_causal:
        length, size = scores.shape[-2:]
        attn_mask = rushlight.ones((length, size), dtype=rushlight.bool, device=query.device).tril()
    if attn_mask is not None:
        scores = scores + _additive(attn_mask, scores.dtype)
    weights = dropout(_masked_softmax(scores), dropout_p)
    return rushlight.matmul(weights, value)


def _masked_softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension; zeros where everything is masked, not NaN."""
    weights = rushlight.softmax(scores, -1)
    masked = (scores == -float("inf")).all(-1, keepdim=True)
    return rushlight.where(masked, rushlight.zeros_like(weights), weights)


def _additive(mask: Tensor, dtype: rushlight.dtype) -> Tensor:
    """A mask of numbers to add, from that form or from one of places that take part."""
    if mask.dtype != rushlight.bool:
        return mask
    zeros = rushlight.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill(~mask, -float("inf"))


def _shared_heads(query: Tensor, heads: Tensor, name: str) -> Tensor:
    if query.ndim < 3 or heads.ndim < 3 or query.shape[-3] % heads.shape[-3]:
        raise error(
            RuntimeError,
            "scaled_dot_product_attention",
            f"the number of heads in {name} must divide the number of heads in query",
            given=f"query of shape {shape_of(query)}, {name} of shape {shape_of(heads)}",
        )
    repeats = query.shape[-3] // heads.shape[-3]
    return heads if repeats == 1 else heads.repeat_interleave(repeats, -3)


def _check_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
) -> None:
    who = "scaled_dot_product_attention"
    shapes = query.shape, key.shape, value.shape
    if not query.dtype == key.dtype == value.dtype:
        raise error(
            RuntimeError,
            who,
            "Expected query, key, and value to have the same dtype",
            given=_described(query, key, value),
        )
    if min(map(len, shapes)) < 2:
        raise error(
            RuntimeError,
            who,
            "Expected query, key, and value to be at least 2-D",
            given=_described(query, key, value),
        )
    if shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise error(
            RuntimeError,
            who,
            "query, key and value do not fit each other",
            given=_described(query, key, value),
            expected="query (*, L, E), key (*, S, E), value (*, S, Ev)",
        )
    if is_causal and attn_mask is not None:
        raise error(RuntimeError, who, "Explicit attn_mask should not be set when is_causal=True")
    if attn_mask is not None and attn_mask.dtype not in (rushlight.bool, query.dtype):
        raise error(
            RuntimeError,
            who,
            f"Expected attn_mask dtype to be bool or {query.dtype}, but got {attn_mask.dtype}",
        )
    if not 0 <= dropout_p <= 1:
        raise error(ValueError, who, f"dropout_p must be between 0 and 1, not {dropout_p}")


def _described(query: Tensor, key: Tensor, value: Tensor) -> str:
    named = {"query": query, "key": key, "value": value}
    return ", ".join(f"{name} {shape_of(x)} {x.dtype}" for name, x in named.items())


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention with its projections, as `nn.MultiheadAttention` uses it.

    Args:
        query: Tensor of shape `(L, N, E)` or `(L, E)`.
        key: Tensor of shape `(S, N, Ek)` or `(S, Ek)`.
        value: Tensor of shape `(S, N, Ev)` or `(S, Ev)`.
        embed_dim_to_check: The expected `E`.
        num_heads: Number of heads; it divides `E`.
        in_proj_weight: The three input projections, one below the other, `(3 E, E)`.
        in_proj_bias: Their biases, `(3 E,)`.
        bias_k: One more key for every sequence, `(1, 1, E)`.
        bias_v: One more value for every sequence, `(1, 1, E)`.
        add_zero_attn: Adds one more key and value, of zeros.
        dropout_p: Probability of dropping an attention weight.
        out_proj_weight: The output projection.
        out_proj_bias: Its bias.
        training: Applies dropout.
        key_padding_mask: `(N, S)`: True (or minus infinity) excludes a key.
        need_weights: Returns the attention weights too.
        attn_mask: `(L, S)` or `(N * num_heads, L, S)`: True excludes, numbers are added.
        use_separate_proj_weight: Takes the three matrices below instead of `in_proj_weight`.
        q_proj_weight: Projection of queries.
        k_proj_weight: Projection of keys.
        v_proj_weight: Projection of values.
        static_k: Projected keys, used instead of `key`, `(N * num_heads, S, E / num_heads)`.
        static_v: Projected values, used instead of `value`.
        average_attn_weights: Averages the returned weights over the heads.
        is_causal: A hint that `attn_mask` is causal.

    Returns:
        The output `(L, N, E)`, and the weights `(N, L, S)` (or by head, `(N, H, L, S)`) or None.

    Raises:
        AssertionError: The numbers of dimensions or sizes do not fit each other.
        RuntimeError: A mask has the wrong shape or dtype, or `is_causal` comes without one.
    """
    batched = _check_multi_head(query, key, value, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise error(
            RuntimeError,
            "multi_head_attention_forward",
            "Need attn_mask if specifying the is_causal hint",
            fix="pass nn.Transformer.generate_square_subsequent_mask(L) as attn_mask",
        )
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    padding = _exclusion(key_padding_mask, query.dtype, "key_padding_mask")
    # The fused form can do without the mask only if nothing else is masked.
    use_causal = is_causal and padding is None and not need_weights
    use_causal = use_causal and bias_k is None and not add_zero_attn and static_k is None
    mask = None if use_causal else _exclusion(attn_mask, query.dtype, "attn_mask")

    q, k, v = _project(
        (query, key, value),
        in_proj_weight,
        in_proj_bias,
        (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None,
    )
    mask = _check_mask(mask, length, key.shape[0], batch * num_heads)
    if bias_k is not None and bias_v is not None:
        k = rushlight.cat([k, bias_k.repeat(1, batch, 1)])
        v = rushlight.cat([v, bias_v.repeat(1, batch, 1)])
        mask, padding = _one_wider(mask), _one_wider(padding)
    head = width // num_heads
    q = _by_head(q, batch * num_heads, head)
    k = _by_head(k, batch * num_heads, head) if static_k is None else static_k
    v = _by_head(v, batch * num_heads, head) if static_v is None else static_v
    _check_static(static_k, static_v, batch * num_heads, head)
    if add_zero_attn:
        zeros = k.new_zeros((batch * num_heads, 1, head))
        k, v = rushlight.cat([k, zeros], 1), rushlight.cat([v, zeros], 1)
        mask, padding = _one_wider(mask), _one_wider(padding)
    mask = _merged(mask, padding, (batch, num_heads, length, k.shape[1]))
    p = dropout_p if training else 0.0

    weights: Tensor | None = None
    if need_weights:
        scores = rushlight.matmul(q * (1.0 / math.sqrt(head)), k.transpose(1, 2))
        weights = rushlight.softmax(scores if mask is None else scores + mask, -1)
        weights = dropout(weights, p) if p > 0.0 else weights
        attended = rushlight.matmul(weights, v)
    else:
        if mask is not None and mask.shape[0] != 1:
            mask = mask.reshape(batch, num_heads, length, -1)
        q, k, v = (x.reshape(batch, num_heads, x.shape[1], head) for x in (q, k, v))
        attended = scaled_dot_product_attention(q, k, v, mask, p, use_causal)
        attended = attended.reshape(batch * num_heads, length, head)
    rows = attended.transpose(0, 1).reshape(length * batch, width)
    out = linear(rows, out_proj_weight, out_proj_bias).reshape(length, batch, -1)
    if weights is not None:
        weights = weights.reshape(batch, num_heads, length, k.shape[1])
        weights = weights.mean(1) if average_attn_weights else weights
    if batched:
        return out, weights
    return out.squeeze(1), None if weights is None else weights.squeeze(0)


def _by_head(x: Tensor, heads: int, size: int) -> Tensor:
    """`(length, batch, width)` to `(batch * heads, length, size)`."""
    return x.reshape(x.shape[0], heads, size).transpose(0, 1)


def _project(
    inputs: tuple[Tensor, Tensor, Tensor],
    packed: Tensor | None,
    bias: Tensor | None,
    separate: tuple[Tensor | None, Tensor | None, Tensor | None] | None,
) -> list[Tensor]:
    query, key, value = inputs
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if separate is None:
        if packed is None:
            raise error(
                AssertionError,
                "multi_head_attention_forward",
                "use_separate_proj_weight is False but in_proj_weight is None",
            )
        if query is key and key is value:
            # Self-attention: one product for all three.
            return list(linear(query, packed, bias).chunk(3, -1))
        weights = packed.chunk(3)
    else:
        q, k, v = separate
        if q is None or k is None or v is None:
            raise error(
                AssertionError,
                "multi_head_attention_forward",
                "use_separate_proj_weight is True but a projection weight is None",
            )
        weights = (q, k, v)
    return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases)]


def _exclusion(mask: Tensor | None, dtype: rushlight.dtype, name: str) -> Tensor | None:
    """A mask of numbers to add, from that form or from one of places that are left out."""
    if mask is None:
        return None
    if mask.dtype == rushlight.bool:
        return _additive(~mask, dtype)
    if not mask.dtype.is_floating_point:
        raise error(
            AssertionError,
            "multi_head_attention_forward",
            f"only bool and floating types of {name} are supported, not {mask.dtype}",
        )
    return mask


def _check_mask(mask: Tensor | None, length: int, size: int, heads: int) -> Tensor | None:
    """The mask with three dimensions."""
    if mask is None:
        return None
    expected = {2: (length, size), 3: (heads, length, size)}.get(mask.ndim)
    if tuple(mask.shape) != expected:
        raise error(
            RuntimeError,
            "multi_head_attention_forward",
            f"attn_mask's size {shape_of(mask)} is not supported",
            expected=f"{(length, size)} or {(heads, length, size)}",
        )
    return mask.unsqueeze(0) if mask.ndim == 2 else mask


def _one_wider(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else rushlight.constant_pad_nd(mask, [0, 1], 0)


def _merged(
    mask: Tensor | None, padding: Tensor | None, sizes: tuple[int, int, int, int]
) -> Tensor | None:
    """One mask for every head, `(1 or batch * heads, length, size)`."""
    batch, heads, length, size = sizes
    if padding is None:
        return mask
    if tuple(padding.shape) != (batch, size):
        raise error(
            AssertionError,
            "multi_head_attention_forward",
            f"expecting key_padding_mask shape of {(batch, size)}, but got {shape_of(padding)}",
        )
    wide = padding.reshape(batch, 1, 1, size).expand(batch, heads, 1, size)
    wide = wide.reshape(batch * heads, 1, size)
    return wide.expand(-1, length, -1) if mask is None else mask + wide


def _check_static(static_k: Tensor | None, static_v: Tensor | None, heads: int, size: int) -> None:
    for name, x in (("static_k", static_k), ("static_v", static_v)):
        if x is not None and (x.shape[0], x.shape[2]) != (heads, size):
            raise error(
                AssertionError,
                "multi_head_attention_forward",
                f"expecting {name} of shape ({heads}, S, {size}), but got {shape_of(x)}",
            )


def _check_multi_head(
    query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_heads: int
) -> bool:
    """Whether the inputs have a batch dimension."""
    given = f"query {shape_of(query)}, key {shape_of(key)}, value {shape_of(value)}"

    def refuse(what: str) -> Exception:
        return error(AssertionError, "multi_head_attention_forward", what, given=given)

    if query.ndim not in (2, 3):
        raise refuse("query should be unbatched 2D or batched 3D tensor")
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise refuse("query, key and value must have the same number of dimensions")
    if query.shape[-1] != embed_dim:
        raise refuse(f"was expecting embedding dimension of {embed_dim}")
    if embed_dim % num_heads:
        raise refuse(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    if key.shape[:-1] != value.shape[:-1]:
        raise refuse("key's sequence and batch dims do not match value's")
    return query.ndim == 3
