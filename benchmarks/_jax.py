"""Operators and training steps written for JAX, each compiled whole by `jax.jit`.

Compiled graphs are another thing than eager calls: the figures say what fusing everything would
give, not what a step written line by line costs.  Each call is waited for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import models
import numpy as np
import operators
from rows import Row, named_weights, real

Function = Callable[..., Any]
Parameters = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]


class Jax:
    """Prepares the rows that are written for JAX."""

    def __init__(self, threads: int) -> None:
        if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as it may use cores
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        import jax

        self.jax = jax
        self.functions = operator_functions(jax)
        self.steps = {"mlp_784_256_10": self.mlp, "gpt_6x384": self.gpt}

    def prepare(self, name: str) -> tuple[Row, Callable[[], Any]]:
        """The row and its call."""
        import cases

        if name in self.steps:
            call = self.steps[name]()
        else:
            forward, _, grad = name.partition("+")
            if forward not in self.functions or forward not in operators.DATA:
                raise NotImplementedError("not written for JAX")
            function, data = self.functions[forward], operators.DATA[forward]()
            call = self.gradients(function, data) if grad else self.result(function, data)
        return cases.ROWS[name], call

    def finish(self, result: Any) -> None:
        """Nothing: calls wait for their results."""

    def result(self, function: Function, data: list[np.ndarray]) -> Callable[[], Any]:
        """A call of the function alone."""
        arrays = [self.jax.numpy.asarray(array) for array in data]
        compiled = self.jax.jit(function)
        return lambda: self.jax.block_until_ready(compiled(*arrays))

    def gradients(self, function: Function, data: list[np.ndarray]) -> Callable[[], Any]:
        """A call of the function and of its derivative towards all float inputs."""
        jax = self.jax
        arrays = [jax.numpy.asarray(array) for array in data]
        places = [n for n, array in enumerate(data) if array.dtype.kind == "f"]
        shape = jax.eval_shape(function, *arrays).shape
        weight = jax.numpy.asarray(real(*shape, seed=9) if shape else np.float32(1))

        @jax.jit
        def both(weight: Any, *arrays: Any) -> Any:
            def of_floats(*floats: Any) -> Any:
                given = list(arrays)
                for place, value in zip(places, floats, strict=True):
                    given[place] = value
                return function(*given)

            _, back = jax.vjp(of_floats, *(arrays[n] for n in places))
            return list(back(weight))

        return lambda: jax.block_until_ready(both(weight, *arrays))

    def training(
        self, shapes: Shapes, forward: Function, data: Any, decay: float, lr: float
    ) -> Callable[[], Any]:  # fmt: skip
        """The training step of training.py with Adam, or with AdamW where there is decay."""
        jax, jnp = self.jax, self.jax.numpy
        weights = {name: jnp.asarray(named_weights(name, shape)) for name, shape in shapes.items()}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        x, y = (jnp.asarray(array) for array in data)

        def loss_of(weights: Parameters) -> Any:
            out = forward(weights, x)
            return cross_entropy(jax, out.reshape(-1, out.shape[-1]), y.reshape(-1))

        @jax.jit
        def update(weights: Parameters, means: Parameters, squares: Parameters, t: Any) -> Any:
            loss, grads = jax.value_and_grad(loss_of)(weights)
            means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, grads)
            squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, grads)

            def moved(w: Any, m: Any, v: Any) -> Any:
                root = jnp.sqrt(v / (1 - 0.999**t)) + 1e-8
                return w * (1 - lr * decay) - lr * m / (1 - 0.9**t) / root

            return loss, jax.tree.map(moved, weights, means, squares), means, squares

        state: list[Any] = [weights, zeros, zeros, 0.0]
        losses: list[Any] = []

        def step() -> Any:
            loss, *state[:3] = update(*state[:3], state[3] + 1)
            state[3] += 1
            jax.block_until_ready(state[0])
            if len(losses) < 3:
                losses.append(loss)
            return losses if len(losses) < 3 else [*losses, loss]

        return step

    def mlp(self) -> Callable[[], Any]:
        """784-256-10 with Adam."""
        shapes = {"0.weight": (256, 784), "0.bias": (256,), "2.weight": (10, 256), "2.bias": (10,)}

        def forward(w: Parameters, x: Any) -> Any:
            hidden = self.jax.nn.relu(x @ w["0.weight"].T + w["0.bias"])
            return hidden @ w["2.weight"].T + w["2.bias"]

        data = real(128, 784), models.images(128, 1, 1)[1]
        return self.training(shapes, forward, data, decay=0.0, lr=1e-3)

    def gpt(self, layers: int = 6, width: int = 384, context: int = 256) -> Callable[[], Any]:
        """Decoder-only transformer with AdamW."""
        jax, heads = self.jax, width // 64
        shapes: Shapes = {
            "tokens.weight": (256, width), "places.weight": (context, width),
            "norm.weight": (width,), "norm.bias": (width,), "head.weight": (256, width),
        }  # fmt: skip
        for block in range(layers):
            for name, size in (("ln1", None), ("ln2", None), ("qkv", (3 * width, width)),
                               ("out", (width, width)), ("up", (4 * width, width)),
                               ("down", (width, 4 * width))):  # fmt: skip
                shapes[f"blocks.{block}.{name}.weight"] = size or (width,)
                shapes[f"blocks.{block}.{name}.bias"] = (size[0],) if size else (width,)

        def linear(w: Parameters, name: str, x: Any) -> Any:
            return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

        def norm(w: Parameters, name: str, x: Any) -> Any:
            return layer_norm(jax, x, w[f"{name}.weight"], w[f"{name}.bias"])

        def attended(w: Parameters, name: str, x: Any) -> Any:
            batch, length, _ = x.shape
            parts = jax.numpy.split(linear(w, f"{name}.qkv", x), 3, axis=2)
            q, k, v = (p.reshape(batch, length, heads, 64).swapaxes(1, 2) for p in parts)
            y = attention(jax, q, k, v, causal=True)
            return linear(w, f"{name}.out", y.swapaxes(1, 2).reshape(batch, length, width))

        def forward(w: Parameters, index: Any) -> Any:
            x = w["tokens.weight"][index] + w["places.weight"][None, : index.shape[1]]
            for number in range(layers):
                name = f"blocks.{number}"
                x = x + attended(w, name, norm(w, f"{name}.ln1", x))
                up = linear(w, f"{name}.up", norm(w, f"{name}.ln2", x))
                x = x + linear(w, f"{name}.down", jax.nn.gelu(up, approximate=False))
            return norm(w, "norm", x) @ w["head.weight"].T

        return self.training(shapes, forward, models.sequences(4, 256), decay=0.1, lr=3e-4)


def cross_entropy(jax: Any, x: Any, labels: Any) -> Any:
    """Mean over rows."""
    picked = jax.numpy.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1)
    return -picked.mean()


def layer_norm(jax: Any, x: Any, w: Any, b: Any) -> Any:
    """Over the last dimension."""
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w + b


def attention(jax: Any, q: Any, k: Any, v: Any, causal: bool) -> Any:
    """Scaled dot products of (batch, heads, length, width)."""
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        seen = jax.numpy.tril(jax.numpy.ones(scores.shape[-2:], bool))
        scores = jax.numpy.where(seen, scores, -jax.numpy.inf)
    return jax.nn.softmax(scores) @ v


def operator_functions(jax: Any) -> dict[str, Function]:
    """What the rows of operators.py compute, by their names."""
    jnp, nn, lax = jax.numpy, jax.nn, jax.lax

    def conv(stride: int = 1, padding: int = 0, groups: int = 1) -> Function:
        return lambda x, w: lax.conv_general_dilated(
            x, w, (stride,) * (x.ndim - 2), [(padding, padding)] * (x.ndim - 2),
            feature_group_count=groups,
        )  # fmt: skip

    def pooled(initial: float, join: Function, size: int, stride: int, padding: int) -> Function:
        around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        window, steps = (1, 1, size, size), (1, 1, stride, stride)
        return lambda x: lax.reduce_window(x, initial, join, window, steps, around)

    def mean_pool(x: Any) -> Any:
        return pooled(0.0, lax.add, 2, 2, 0)(x) / 4

    def batch_norm(x: Any, w: Any, b: Any) -> Any:
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        scaled = (x - mean) * lax.rsqrt(variance + 1e-5)
        return scaled * w[None, :, None, None] + b[None, :, None, None]

    def rms_norm(x: Any, w: Any) -> Any:
        return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w

    def chain(x: Any) -> Any:
        y = jnp.tanh(x * 2.0 + 1.0)
        return nn.sigmoid(y * x - 0.5) * y + x

    found: dict[str, Function] = {
        **{f"sgemm_{n}": jnp.matmul for n in (128, 256, 512, 1024, 2048)},
        "bmm_64x128": jnp.matmul,
        "linear_1024x768_3072": lambda x, w, b: x @ w.T + b,
        **{f"conv3x3_{n}": conv(padding=1) for n in (56, 28, 14)},
        "conv1x1_56": conv(),
        "conv7x7s2_224": conv(2, 3),
        "conv3x3s2_28": conv(2, 1),
        "conv_depthwise_56": conv(padding=1, groups=64),
        "conv1d_k5": conv(padding=2),
        "max_pool_3x3s2_112": pooled(-np.inf, lax.max, 3, 2, 1),
        "max_pool_2x2_56": pooled(-np.inf, lax.max, 2, 2, 0),
        "avg_pool_2x2_56": mean_pool,
        "global_avg_pool_56": lambda x: x.mean((2, 3), keepdims=True),
        "layer_norm": lambda x, w, b: layer_norm(jax, x, w, b),
        "rms_norm": rms_norm,
        "batch_norm": batch_norm,
        "softmax": nn.softmax,
        "log_softmax": nn.log_softmax,
        "cross_entropy_32k": lambda x, labels: cross_entropy(jax, x, labels),
        "cross_entropy_128x10": lambda x, labels: cross_entropy(jax, x, labels),
        "mse_loss": lambda x, y: ((x - y) ** 2).mean(),
        "add_4M": jnp.add,
        "add_bias_4096x1024": jnp.add,
        "mul_64k": jnp.multiply,
        **dict.fromkeys(("gelu_4M", "gelu_64k"), lambda x: nn.gelu(x, approximate=False)),
        "relu_4M": nn.relu,
        "silu_4M": nn.silu,
        "exp_4M": jnp.exp,
        **dict.fromkeys(("tanh_4M", "tanh_64k"), jnp.tanh),
        "sigmoid_4M": nn.sigmoid,
        "chain8_4M": chain,
        "transpose_copy": lambda x: x.T,
        "cat": lambda *parts: jnp.concatenate(parts, 1),
        "sum_all": jnp.sum,
        "sum_dim0": lambda x: x.sum(0),
        "sum_dim1": lambda x: x.sum(1),
        "mean_dim1": lambda x: x.mean(1),
        "var_dim1": lambda x: x.var(1, ddof=1),
        "amax_dim1": lambda x: x.max(1),
        "logsumexp_dim1": lambda x: nn.logsumexp(x, 1),
        "argmax_dim1": lambda x: x.argmax(1),
        "cumsum_dim1": lambda x: x.cumsum(1),
        **dict.fromkeys(("sort_1M", "sort_4096x256"), lambda x: jnp.sort(x, -1)),
        "topk_10": lambda x: lax.top_k(x, 10)[0],
        **dict.fromkeys(("embedding", "index_rows", "index_select"), lambda x, index: x[index]),
        "gather": lambda x, index: jnp.take_along_axis(x, index, 1),
        "scatter_add": lambda x, index, src: x.at[jnp.arange(len(x))[:, None], index].add(src),
        "index_add": lambda x, index, src: x.at[index].add(src),
        "masked_fill": lambda x, mask: jnp.where(mask, 0.0, x),
        "attention_causal": lambda q, k, v: attention(jax, q, k, v, causal=True),
        "attention_full": lambda q, k, v: attention(jax, q, k, v, causal=False),
    }
    return found
