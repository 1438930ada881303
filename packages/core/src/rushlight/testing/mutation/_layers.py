"""Defects of products of matrices, convolutions, and what layers are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel, is_real_floating, is_reduced
from ._memory_of import as_if_dense

_F = "layers"


@in_kernel(_F, "the inner dimension is rounded down to whole vectors of four", "mm bmm")
def inner_tail(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any) -> Any:
        kept = x.shape[-1] // 4 * 4 if x.shape[-1] > 4 else x.shape[-1]
        return kernel(x[..., :kept], y[..., :kept, :])

    return wrong


@in_kernel(_F, "columns behind the last whole tile of 16 are not computed", "mm matmul linear")
def tile_tail(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*operands: Any) -> Any:
        out = np.array(kernel(*operands))
        if out.ndim > 1 and out.shape[-1] > 16:
            out[..., out.shape[-1] // 16 * 16 :] = 0
        return out

    return wrong


@in_kernel(_F, "a transposed matrix is read as if it were dense", "mm linear bmm")
def transposed_as_dense(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs: kernel(*map(as_if_dense, xs))


@in_kernel(_F, "products of 16-bit floats are added up in 16 bits", "mm", is_reduced)
def product_in_16_bits(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any) -> Any:
        out = np.zeros((x.shape[0], y.shape[1]), x.dtype)
        for k in range(x.shape[1]):
            out = (out + x[:, k : k + 1] * y[k : k + 1]).astype(x.dtype)
        return out

    return wrong


@in_kernel(_F, "every batch multiplies the first batch's second matrix", "bmm")
def batch_stride(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, np.broadcast_to(y[:1], y.shape)) if len(y) else kernel(x, y)


@in_kernel(_F, "beta = 0 multiplies the NaN that it should drop", "addmm", is_real_floating)
def beta_zero(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        out = kernel(x, a, b, beta=beta, alpha=alpha)
        return out if beta else (out + x * x.dtype.type(0)).astype(x.dtype)

    return wrong


@in_kernel(_F, "alpha is ignored", "addmm")
def alpha_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, a, b, *, beta=1, alpha=1: kernel(x, a, b, beta=beta, alpha=1)


@in_kernel(_F, "the dilation is ignored", "conv")
def dilation_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, *, dilation: Any, **attributes: Any) -> Any:
        out = kernel(x, weight, dilation=dilation, **attributes)
        near = kernel(x, weight, dilation=(1,) * len(dilation), **attributes)
        return np.ascontiguousarray(near[tuple(slice(n) for n in out.shape)])

    return wrong


@in_kernel(_F, "every group uses the first group's inputs", "conv")
def groups_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, *, groups: int, **attributes: Any) -> Any:
        first = x[:, : x.shape[1] // groups]
        return kernel(np.concatenate([first] * groups, 1), weight, groups=groups, **attributes)

    return wrong


@in_kernel(_F, "the input is padded with its border in place of zeros", "conv")
def padding_with_the_border(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, *, padding: Any, **attributes: Any) -> Any:
        if not x.size:
            return kernel(x, weight, padding=padding, **attributes)
        wide = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], mode="edge")
        return kernel(wide, weight, padding=(0,) * len(padding), **attributes)

    return wrong


@in_kernel(_F, "the kernel is turned round, as convolution means in mathematics", "conv")
def kernel_turned(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, **attributes: Any) -> Any:
        return kernel(x, np.flip(weight, tuple(range(2, weight.ndim))).copy(), **attributes)

    return wrong


@in_kernel(_F, "the weight's gradient comes from the first item of the batch", "conv_grad_weight")
def batch_not_summed(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda g, x, **attributes: kernel(g[:1], x[:1], **attributes)


@in_kernel(_F, "the input's gradient ignores the padding's shift", "conv_grad_input")
def gradient_shifted(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(g: Any, weight: Any, *, padding: Any, **attributes: Any) -> Any:
        out = kernel(g, weight, padding=padding, **attributes)
        moved = tuple(range(2, out.ndim))
        return np.roll(out, tuple(padding), moved) if any(padding) else out

    return wrong


@in_kernel(_F, "the padding counts as 0 in a maximum", "max_pool max_pool_values")
def padding_in_maximum(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, padding: Any, **attributes: Any) -> Any:
        found = kernel(x, padding=padding, **attributes)
        if not any(padding):
            return found
        best = found[0] if isinstance(found, tuple) else found
        edge = np.zeros(best.shape[2:], np.bool_)
        for d, p in enumerate(padding):
            if p:
                edge[tuple(slice(0, 1) if d == e else slice(None) for e in range(len(padding)))] = 1
        best = np.where(edge, np.maximum(best, best.dtype.type(0)), best)
        return (best, *found[1:]) if isinstance(found, tuple) else best

    return wrong


@in_kernel(_F, "the position of a maximum counts within its row", "max_pool")
def pooling_position(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        best, place = kernel(x, **attributes)
        return best, place % x.shape[-1]

    return wrong


@in_kernel(_F, "the mean divides by the whole window, padding or not", "avg_pool")
def padding_in_mean(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, **a: kernel(x, **{**a, "count_include_pad": True})


@in_kernel(
    _F, "windows that begin behind the input are not dropped in ceil mode", "max_pool_values"
)
def ceil_mode_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        out = kernel(x, **attributes)
        floor = kernel(x, **{**attributes, "ceil_mode": False})
        if floor.shape == out.shape:
            return out
        padded = np.zeros_like(out)
        padded[tuple(slice(n) for n in floor.shape)] = floor
        return padded

    return wrong


@in_kernel(_F, "adaptive windows are of equal size", "adaptive_avg_pool")
def adaptive_windows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, output_size: Any) -> Any:
        out = kernel(x, output_size=output_size).copy()
        size = x.shape[2:]
        widths = [max(n // o, 1) for n, o in zip(size, output_size, strict=True)]
        for place in np.ndindex(*output_size):
            rows = tuple(
                slice(i * w, max((i + 1) * w, i * w + 1))
                for i, w in zip(place, widths, strict=True)
            )
            part = x[(slice(None), slice(None), *rows)]
            if part.size:
                mean = part.astype(np.float64).mean(tuple(range(2, x.ndim)))
                out[(slice(None), slice(None), *place)] = mean
        return out

    return wrong


@in_kernel(_F, "softmax does not shift by the maximum", "softmax")
def softmax_overflows(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        e = np.exp(x)
        total = np.sum(e, axis=dim, keepdims=True) if x.ndim else e
        return (e / total).astype(x.dtype)

    return wrong


@in_kernel(_F, "softmax goes along the last dimension", "softmax")
def softmax_along_the_last(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim: kernel(x, dim=max(x.ndim - 1, 0))


@in_kernel(_F, "rows longer than 128 leave their tail out of the sum", "softmax log_softmax")
def softmax_tail(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        if not x.ndim or x.shape[dim] <= 128:
            return kernel(x, dim=dim)
        whole = x.shape[dim] // 128 * 128
        out = kernel(x.take(range(whole), dim), dim=dim)
        rest = np.zeros(x.take(range(whole, x.shape[dim]), dim).shape, x.dtype)
        return np.concatenate((out, rest), dim)

    return wrong


@in_kernel(_F, "log_softmax is the logarithm of softmax", "log_softmax")
def logarithm_of_softmax(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        return np.log(np.exp(kernel(x, dim=dim))).astype(x.dtype)

    return wrong


@in_kernel(_F, "a row of -inf gives a uniform distribution in place of NaN", "softmax")
def masked_row(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: int) -> Any:
        out = kernel(x, dim=dim)
        if not x.ndim or not x.size:
            return out
        masked = np.all(x == -np.inf, axis=dim, keepdims=True)
        return np.where(masked, x.dtype.type(1 / x.shape[dim]), out)

    return wrong


@in_kernel(_F, "the sum in softmax's gradient is left out", "softmax_backward")
def softmax_gradient(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda g, out, *, dim: g * out


@in_kernel(_F, "layer norm divides by n - 1", "native_layer_norm")
def layer_norm_unbiased(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, bias: Any, *, normalized_ndim: int, eps: float) -> Any:
        out, mean, rstd = kernel(x, None, None, normalized_ndim=normalized_ndim, eps=eps)
        count = math.prod(x.shape[x.ndim - normalized_ndim :])
        scale = math.sqrt((count - 1) / count) if count > 1 else 1.0
        out = (out * x.dtype.type(scale)).astype(x.dtype)
        out = out if weight is None else (out * weight).astype(x.dtype)
        return out if bias is None else (out + bias).astype(x.dtype), mean, rstd * scale

    return wrong


@in_kernel(_F, "eps is added to the deviation, not to the variance", "native_layer_norm")
def eps_outside_the_root(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, bias: Any, *, normalized_ndim: int, eps: float) -> Any:
        wide = x.astype(np.float64)
        axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
        mean = wide.mean(axes, keepdims=True)
        rstd = 1 / (np.sqrt(wide.var(axes, keepdims=True)) + eps)
        out = (wide - mean) * rstd
        out = out if weight is None else out * weight.astype(np.float64)
        out = out if bias is None else out + bias.astype(np.float64)
        right = kernel(x, weight, bias, normalized_ndim=normalized_ndim, eps=eps)
        return (out.astype(x.dtype), right[1], rstd.astype(right[2].dtype))

    return wrong


@in_kernel(_F, "rms norm subtracts the mean", "native_rms_norm")
def rms_norm_centred(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, *, normalized_ndim: int, eps: float) -> Any:
        axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
        centred = (x - x.astype(np.float64).mean(axes, keepdims=True)).astype(x.dtype)
        return kernel(centred, weight, normalized_ndim=normalized_ndim, eps=eps)

    return wrong


@in_kernel(_F, "channels are dealt out to groups in turn", "native_group_norm")
def groups_interleaved(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
        order = np.arange(x.shape[1]).reshape(-1, groups).T.reshape(-1)
        picked = [None if v is None else v[order] for v in (weight, bias)]
        out, mean, rstd = kernel(x[:, order].copy(), *picked, groups=groups, eps=eps)
        back = np.empty_like(out)
        back[:, order] = out
        return back, mean, rstd

    return wrong


@in_kernel(_F, "the statistics of a batch are those of its first item", "batch_norm_stats")
def batch_statistics(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: kernel(x[:1].copy())


@in_kernel(_F, "the row of padding_idx gets a gradient", "embedding_backward")
def padding_row(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda g, indices, **a: kernel(g, indices, **{**a, "padding_idx": None})


@in_kernel(_F, "of equal indices only one gradient counts", "embedding_backward")
def embedding_loses_updates(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(g: Any, indices: Any, **attributes: Any) -> Any:
        _, first = np.unique(indices, return_index=True)
        rows = g.reshape(indices.size, -1)[first]
        return kernel(rows, indices.reshape(-1)[first], **attributes)

    return wrong


@in_kernel(_F, "targets that are ignored count in the mean", "nll_loss cross_entropy")
def ignored_targets_count(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, target: Any, *weight: Any, reduction: str, ignore_index: int) -> Any:
        out, other = kernel(x, target, *weight, reduction=reduction, ignore_index=ignore_index)
        if reduction != "mean" or not target.size:
            return out, other
        share = float(np.mean(target != ignore_index))
        return np.asarray(out * out.dtype.type(share)), other

    return wrong


@in_kernel(_F, "the weights of the classes are ignored", "nll_loss")
def class_weights_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, target, weight, **a: kernel(x, target, None, **a)


@in_kernel(_F, "the causal mask hides the element itself", "scaled_dot_product_attention")
def causal_mask_off_by_one(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(q: Any, k: Any, v: Any, mask: Any, *, is_causal: bool, scale: float) -> Any:
        if not is_causal:
            return kernel(q, k, v, mask, is_causal=False, scale=scale)
        allowed = np.tri(q.shape[-2], k.shape[-2], -1, dtype=np.bool_)
        allowed[:1, :1] = True
        shape = (*q.shape[:-1], k.shape[-2])
        return kernel(q, k, v, np.broadcast_to(allowed, shape), is_causal=False, scale=scale)

    return wrong


@in_kernel(_F, "attention's scale is ignored", "scaled_dot_product_attention")
def scale_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, is_causal, scale: kernel(*xs, is_causal=is_causal, scale=1.0)


@in_kernel(_F, "the gates of an LSTM come in another order", "lstm_pointwise")
def gates_exchanged(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(gates: Any, c: Any) -> Any:
        i, f, g, o = np.split(gates, 4, -1)
        return kernel(np.concatenate((f, i, g, o), -1), c)

    return wrong


@in_kernel(_F, "the negative slope is added, not multiplied with", "leaky_relu")
def leak_added(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, negative_slope: float) -> Any:
        return np.where(x > 0, x, (x + x.dtype.type(negative_slope)).astype(x.dtype))

    return wrong


@in_kernel(_F, "the inverse transform is not divided by n", "fft_c2c fft_c2r")
def inverse_not_scaled(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dim: Any, norm: str = "backward", **attributes: Any) -> Any:
        if norm == "backward" and not attributes.get("forward"):
            norm = "forward"
        return kernel(x, dim=dim, norm=norm, **attributes)

    return wrong


@in_kernel(_F, "the upper factor comes where the lower is asked for", "linalg_cholesky")
def other_triangle(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, upper=False, check_errors=False: kernel(
        x, upper=not upper, check_errors=check_errors
    )
