"""The NumPy kernels by operator name: plain functions on arrays, blind to tensors and devices."""

from __future__ import annotations

from rushlight.backend import KernelEntry
from rushlight_cpu.kernels import (
    activation,
    adaptive_pooling,
    attention,
    convolution,
    creation,
    elementwise,
    embedding,
    layer_norm,
    loss,
    lstm_layers,
    normalization,
    optimising,
    pooling,
    products,
    random,
    recurrent,
    recurrent_layers,
    reduction,
    softmax,
)

_FAMILIES = (
    activation,
    adaptive_pooling,
    attention,
    convolution,
    creation,
    elementwise,
    embedding,
    layer_norm,
    loss,
    lstm_layers,
    normalization,
    optimising,
    pooling,
    products,
    random,
    recurrent,
    recurrent_layers,
    reduction,
    softmax,
)


def cpu_kernels() -> dict[str, KernelEntry]:
    """Every kernel of this package by the name of its operator."""
    found: dict[str, KernelEntry] = {}
    for family in _FAMILIES:
        for name, kernel in family.KERNELS.items():
            if name in found:
                raise ValueError(f"two kernels for the operator {name!r}")
            found[name] = kernel
    return found


#: The kernels that can write into the arrays of `out=`, beside those that the array family names.
ACCEPTS_OUT = optimising.ACCEPTS_OUT
