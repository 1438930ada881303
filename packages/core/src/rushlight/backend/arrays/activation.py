"""Activation functions in a few passes, where composing them of operators would take many."""

from __future__ import annotations

from typing import Any

from ._common import Array, ArrayModule, Kernels, by_float


def activation_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of the activation functions; 16-bit floats go through float32 and round once."""

    def leaky_relu(x: Array, *, negative_slope: float) -> Array:
        return xp.where(x > 0, x, x * negative_slope)

    def elu(x: Array, *, alpha: float, scale: float, input_scale: float) -> Array:
        below = xp.expm1(xp.minimum(x, 0) * input_scale) * (alpha * scale)
        return xp.where(x > 0, x * scale, below)

    def log1p_exp(x: Array) -> Array:
        """log(1 + exp(x)) without overflow."""
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.absolute(x)))

    def softplus(x: Array, *, beta: float, threshold: float) -> Array:
        scaled = x * beta
        return xp.where(scaled > threshold, x, log1p_exp(scaled) / beta)

    def logsigmoid(x: Array) -> Array:
        return -log1p_exp(-x)

    def mish(x: Array) -> Array:
        return x * xp.tanh(log1p_exp(x))

    def clip(x: Array, low: Any, high: Any) -> Array:
        return xp.minimum(xp.maximum(x, low), high)

    def hardtanh(x: Array, *, low: Any, high: Any) -> Array:
        return clip(x, low, high)

    def hardsigmoid(x: Array) -> Array:
        return clip(x + 3, 0, 6) / 6

    def hardswish(x: Array) -> Array:
        return x * clip(x + 3, 0, 6) / 6

    return {
        "leaky_relu": by_float(leaky_relu),
        "elu": by_float(elu),
        "softplus": by_float(softplus),
        "logsigmoid": by_float(logsigmoid),
        "mish": by_float(mish),
        "hardtanh": by_float(hardtanh, integer=hardtanh),
        "hardsigmoid": by_float(hardsigmoid),
        "hardswish": by_float(hardswish),
    }
