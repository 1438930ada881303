"""The Transformer: its layers, its encoder and decoder, and both together."""

from __future__ import annotations

import copy
from collections.abc import Callable

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

Activation = str | Callable[[Tensor], Tensor]


class Transformer(Module):
    """An encoder over the source, and a decoder over the target that attends to it.

    Args:
        d_model: Number of features of inputs and outputs.
        nhead: Number of attention heads.
        num_encoder_layers: Number of encoder layers.
        num_decoder_layers: Number of decoder layers.
        dim_feedforward: Width of the layers' inner networks.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function, between the inner networks' two layers.
        custom_encoder: Used instead of the encoder.
        custom_decoder: Used instead of the decoder.
        layer_norm_eps: Added to variances.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        norm_first: Normalises before attention and inner networks, not after.
        bias: Has biases.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    References:
        Vaswani et al. (2017), Attention is all you need.

    Example:
        >>> model = rushlight.nn.Transformer(8, 2, 1, 1, 16)
        >>> model(rushlight.ones(5, 3, 8), rushlight.ones(4, 3, 8)).shape
        rushlight.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)

        settings = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )
        self.encoder: Module = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings), num_encoder_layers, norm()
        )
        self.decoder: Module = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings), num_decoder_layers, norm()
        )
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encodes `src` and decodes `tgt`; masks as in `MultiheadAttention.forward`.

        Raises:
            RuntimeError: Batch sizes differ, or the number of features is not `d_model`.
        """
        given = f"src of shape {tuple(src.shape)}, tgt of shape {tuple(tgt.shape)}"
        batch_dim = 0 if self.batch_first else 1
        if src.ndim == 3 and tgt.ndim == 3 and src.shape[batch_dim] != tgt.shape[batch_dim]:
            raise error(
                RuntimeError,
                "Transformer",
                "the batch number of src and tgt must be equal",
                given=given,
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise error(
                RuntimeError,
                "Transformer",
                "the feature number of src and tgt must be equal to d_model",
                given=given,
                expected=f"{self.d_model} features",
            )
        memory = self.encoder(
            src,
            mask=src_mask,
            src_key_padding_mask=src_key_padding_mask,
            is_causal=src_is_causal,
        )
        result: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> Tensor:
        """The causal mask to add: minus infinity above the diagonal, zeros elsewhere.

        Example:
            >>> rushlight.nn.Transformer.generate_square_subsequent_mask(2)
            tensor([[0., -inf],
                    [0., 0.]])
        """
        return rushlight.full((sz, sz), -float("inf"), dtype=dtype, device=device).triu(1)

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: The layer, which is copied.
        num_layers: Number of copies.
        norm: Normalisation of the result.
        enable_nested_tensor: Accepted for compatibility; there are no nested tensors.
        mask_check: Accepted for compatibility.

    Example:
        >>> layer = rushlight.nn.TransformerEncoderLayer(8, 2, 16)
        >>> rushlight.nn.TransformerEncoder(layer, 2)(rushlight.ones(5, 3, 8)).shape
        rushlight.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Runs the layers one after the other; `is_causal` None looks at the mask."""
        causal = _is_causal(mask, is_causal)
        for layer in self.layers:
            src = layer(
                src, src_mask=mask, is_causal=causal, src_key_padding_mask=src_key_padding_mask
            )
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: The layer, which is copied.
        num_layers: Number of copies.
        norm: Normalisation of the result.

    Example:
        >>> layer = rushlight.nn.TransformerDecoderLayer(8, 2, 16)
        >>> decoder = rushlight.nn.TransformerDecoder(layer, 2)
        >>> decoder(rushlight.ones(5, 3, 8), rushlight.ones(4, 3, 8)).shape
        rushlight.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Runs the layers one after the other; `tgt_is_causal` None looks at the mask."""
        causal = _is_causal(tgt_mask, tgt_is_causal)
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class TransformerEncoderLayer(Module):
    """Self-attention and an inner network, each with a residual connection and a normalisation.

    Args:
        d_model: Number of features of inputs and outputs.
        nhead: Number of attention heads.
        dim_feedforward: Width of the inner network.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function, between the inner network's two layers.
        layer_norm_eps: Added to variances.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        norm_first: Normalises before attention and inner network, not after.
        bias: Has biases.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Example:
        >>> rushlight.nn.TransformerEncoderLayer(8, 2, 16)(rushlight.ones(5, 3, 8)).shape
        rushlight.Size([5, 3, 8])
    """

    __constants__ = ["norm_first"]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device=device, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device=device, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = norm()
        self.norm2 = norm()
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Runs the layer; masks as in `MultiheadAttention.forward`."""

        def attend(x: Tensor) -> Tensor:
            out: Tensor = self.dropout1(
                self.self_attn(
                    x,
                    x,
                    x,
                    attn_mask=src_mask,
                    key_padding_mask=src_key_padding_mask,
                    need_weights=False,
                    is_causal=is_causal,
                )[0]
            )
            return out

        def transform(x: Tensor) -> Tensor:
            inner = self.dropout(self.activation(self.linear1(x)))
            out: Tensor = self.dropout2(self.linear2(inner))
            return out

        x = _residual(src, attend, self.norm1, self.norm_first)
        return _residual(x, transform, self.norm2, self.norm_first)


class TransformerDecoderLayer(Module):
    """Self-attention, attention to a memory and an inner network, each with residual and norm.

    Args:
        d_model: Number of features of inputs and outputs.
        nhead: Number of attention heads.
        dim_feedforward: Width of the inner network.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function, between the inner network's two layers.
        layer_norm_eps: Added to variances.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        norm_first: Normalises before attentions and inner network, not after.
        bias: Has biases.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Example:
        >>> layer = rushlight.nn.TransformerDecoderLayer(8, 2, 16)
        >>> layer(rushlight.ones(5, 3, 8), rushlight.ones(4, 3, 8)).shape
        rushlight.Size([5, 3, 8])
    """

    __constants__ = ["norm_first"]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()

        def attention() -> MultiheadAttention:
            return MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
            )

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.self_attn = attention()
        self.multihead_attn = attention()
        self.linear1 = Linear(d_model, dim_feedforward, bias, device=device, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device=device, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = norm()
        self.norm2 = norm()
        self.norm3 = norm()
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Runs the layer; masks as in `MultiheadAttention.forward`."""

        def attend(x: Tensor) -> Tensor:
            out: Tensor = self.dropout1(
                self.self_attn(
                    x,
                    x,
                    x,
                    attn_mask=tgt_mask,
                    key_padding_mask=tgt_key_padding_mask,
                    need_weights=False,
                    is_causal=tgt_is_causal,
                )[0]
            )
            return out

        def attend_memory(x: Tensor) -> Tensor:
            out: Tensor = self.dropout2(
                self.multihead_attn(
                    x,
                    memory,
                    memory,
                    attn_mask=memory_mask,
                    key_padding_mask=memory_key_padding_mask,
                    need_weights=False,
                    is_causal=memory_is_causal,
                )[0]
            )
            return out

        def transform(x: Tensor) -> Tensor:
            inner = self.dropout(self.activation(self.linear1(x)))
            out: Tensor = self.dropout3(self.linear2(inner))
            return out

        x = _residual(tgt, attend, self.norm1, self.norm_first)
        x = _residual(x, attend_memory, self.norm2, self.norm_first)
        return _residual(x, transform, self.norm3, self.norm_first)


def _residual(
    x: Tensor, block: Callable[[Tensor], Tensor], norm: Module, norm_first: bool
) -> Tensor:
    """Adds a block's output to its input; normalises the one or the sum."""
    result: Tensor = x + block(norm(x)) if norm_first else norm(x + block(x))
    return result


def _activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation == "relu":
        return F.relu
    if activation == "gelu":
        return F.gelu
    raise error(RuntimeError, "Transformer", f"activation should be relu/gelu, not {activation}")


def _is_causal(mask: Tensor | None, is_causal: bool | None) -> bool:
    """The hint, or whether the mask is the causal one."""
    if is_causal is not None or mask is None:
        return bool(is_causal)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    causal = Transformer.generate_square_subsequent_mask(
        mask.shape[0], device=mask.device, dtype=rushlight.float32
    )
    wanted = causal != 0 if mask.dtype == rushlight.bool else causal.to(mask.dtype)
    return bool((mask == wanted).all())
