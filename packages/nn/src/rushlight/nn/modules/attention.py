"""Multi-head attention as a layer."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter
from .linear import NonDynamicallyQuantizableLinear
from .module import Module


class MultiheadAttention(Module):
    """Attention of several heads between projections.

    Args:
        embed_dim: Width of queries and of the output.
        num_heads: Number of heads; it divides `embed_dim`.
        dropout: Probability of dropping an attention weight.
        bias: Has biases in the projections.
        add_bias_kv: Adds one learnt key and value to every sequence.
        add_zero_attn: Adds one key and value of zeros to every sequence.
        kdim: Width of keys; `embed_dim` unless given.
        vdim: Width of values; `embed_dim` unless given.
        batch_first: Batched inputs and outputs are `(N, L, width)`, not `(L, N, width)`.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Raises:
        ValueError: `embed_dim` or `num_heads` is not positive.
        AssertionError: `num_heads` does not divide `embed_dim`.

    References:
        Vaswani et al. (2017), Attention is all you need.

    Example:
        >>> attention = rushlight.nn.MultiheadAttention(8, 2)
        >>> x = rushlight.ones(5, 3, 8)
        >>> output, weights = attention(x, x, x)
        >>> output.shape, weights.shape
        (rushlight.Size([5, 3, 8]), rushlight.Size([3, 5, 5]))
    """

    __constants__ = ["batch_first"]
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        _check_sizes(embed_dim, num_heads)
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads

        def parameter(*shape: int) -> Parameter:
            return Parameter(rushlight.empty(shape, device=device, dtype=dtype))

        if self._qkv_same_embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            init.xavier_uniform_(self.q_proj_weight)
            init.xavier_uniform_(self.k_proj_weight)
            init.xavier_uniform_(self.v_proj_weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
        if self.out_proj.bias is not None:
            init.constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
        if self.bias_v is not None:
            init.xavier_normal_(self.bias_v)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends from `query` to `key`, and averages `value`.

        Args:
            query: `(L, N, embed_dim)`, or `(L, embed_dim)` without a batch.
            key: `(S, N, kdim)` or `(S, kdim)`.
            value: `(S, N, vdim)` or `(S, vdim)`.
            key_padding_mask: `(N, S)`: True (or minus infinity) excludes a key.
            need_weights: Returns the attention weights too; costs time and memory.
            attn_mask: `(L, S)` or `(N * num_heads, L, S)`: True excludes, numbers are added.
            average_attn_weights: Averages the returned weights over the heads.
            is_causal: A hint that `attn_mask`, which must be given, is causal.

        Returns:
            The output in the shape of `query`, and the weights `(N, L, S)`, by head
            `(N, num_heads, L, S)`, or None.
        """
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            # Equal inputs stay one tensor: self-attention projects them in one product.
            same_key, same_value = key is query, value is key
            query = query.transpose(0, 1)
            key = query if same_key else key.transpose(0, 1)
            value = key if same_value else value.transpose(0, 1)
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (output.transpose(0, 1) if swapped else output), weights


def _check_sizes(embed_dim: int, num_heads: int) -> None:
    given = f"embed_dim={embed_dim}, num_heads={num_heads}"
    if embed_dim <= 0 or num_heads <= 0:
        raise error(
            ValueError,
            "MultiheadAttention",
            "embed_dim and num_heads must be greater than 0",
            given=given,
        )
    if embed_dim % num_heads:
        raise error(
            AssertionError,
            "MultiheadAttention",
            "embed_dim must be divisible by num_heads",
            given=given,
        )
