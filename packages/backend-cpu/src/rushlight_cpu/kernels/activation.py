"""gelu, silu and sigmoid with their gradients, in cache blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rushlight.backend import KernelEntry
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, reduced_precision
from rushlight_cpu.kernels._erf import erfc64, half_erfc32
from rushlight_cpu.kernels._memory import empty

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
# The tanh form of Hendrycks and Gimpel (2016), Gaussian error linear units.
_TANH_SLOPE = math.sqrt(2.0 / math.pi)
_TANH_CUBE = 0.044715

# Fills `out` from equally long inputs; `room` is four rows of scratch.
Block = Callable[[tuple[Array, ...], Array, Array], None]


def _pointwise(block: Block, passes: float, *arrays: Array) -> Array:
    """Runs `block` over contiguous runs of `arrays`, side by side if they are large."""
    if len(arrays) > 1 and any(a.shape != arrays[0].shape for a in arrays):
        arrays = np.broadcast_arrays(*arrays)
    flats = tuple(np.ascontiguousarray(a).reshape(-1) for a in arrays)
    out: Array = empty(flats[0].size, flats[0].dtype)

    def part(start: int, stop: int) -> None:
        room = empty((4, min(BLOCK, stop - start)), out.dtype)
        for at in range(start, stop, BLOCK):
            some = slice(at, min(at + BLOCK, stop))
            into = out[some]
            block(tuple(flat[some] for flat in flats), into, room[:, : len(into)])

    if out.size:
        _parallel.split(out.size, passes * out.size, part)
    return out.reshape(arrays[0].shape)


def _tail(x: Array, out: Array, room: Array) -> None:
    """Gaussian probability beyond |x| into `out`, exp(-x^2 / 2) into room[0]."""
    density, size, scratch = room[0], room[1], room[2]
    np.abs(x, out=size)
    size *= _ROOT_HALF
    if x.dtype == np.float32:
        half_erfc32(size, density, out, scratch)
        return
    np.multiply(erfc64(size), 0.5, out=out)
    np.multiply(size, size, out=density)
    np.exp(np.negative(density, out=density), out=density)


def _gelu(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # max(x, 0) - |x| * P(beyond |x|): one formula for both signs, and no cancellation.
    (x,) = blocks
    _tail(x, out, room)
    # Beyond 40 the probability is 0; the clamp keeps it from making infinity NaN. At -infinity
    # NaN is right: the product is 0 * infinity there, as in torch.
    size = np.minimum(x, 40.0, out=room[1])
    out *= np.abs(size, out=size)
    np.subtract(np.maximum(x, 0, out=size), out, out=out)


def _gelu_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # Phi(x) + x * phi(x)
    g, x = blocks
    _tail(x, out, room)
    density, probability = room[0], room[1]
    np.subtract(0.5, out, out=out)
    np.copysign(out, x, out=probability)
    probability += 0.5
    density *= _DENSITY
    density *= np.clip(x, -40.0, 40.0, out=out)
    probability += density
    np.multiply(probability, g, out=out)


def _tanh_inner(x: Array, square: Array, out: Array) -> None:
    np.multiply(x, x, out=square)
    np.multiply(square, _TANH_CUBE * _TANH_SLOPE, out=out)
    out += _TANH_SLOPE
    out *= x
    np.tanh(out, out=out)


def _gelu_tanh(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    _tanh_inner(x, room[0], out)
    out += 1.0
    out *= x
    out *= 0.5


def _gelu_tanh_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # 0.5 (1 + t) + 0.5 x (1 - t^2) slope (1 + 3 cube x^2)
    g, x = blocks
    square, t, rest = room[0], room[1], room[2]
    _tanh_inner(x, square, t)
    np.multiply(t, t, out=rest)
    np.subtract(1.0, rest, out=rest)
    rest *= x
    square *= 3.0 * _TANH_CUBE * _TANH_SLOPE
    square += _TANH_SLOPE
    rest *= square
    rest += t
    rest += 1.0
    rest *= 0.5
    np.multiply(rest, g, out=out)


def _sigmoid(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1.0
    np.reciprocal(out, out=out)


def _sigmoid_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    g, y = blocks
    np.subtract(1.0, y, out=out)
    out *= y
    out *= g


def _silu(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    _sigmoid(blocks, room[0], room)
    np.multiply(x, room[0], out=out)


def _silu_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # s (1 + x (1 - s))
    g, x = blocks
    s, rest = room[0], room[1]
    _sigmoid((x,), s, room)
    np.subtract(1.0, s, out=rest)
    rest *= x
    rest += 1.0
    rest *= s
    np.multiply(rest, g, out=out)


@reduced_precision()
def gelu(x: Array, *, approximate: str) -> Array:
    """x times the Gaussian probability below x, exact ("none") or by its "tanh" form."""
    return _pointwise(_gelu_tanh if approximate == "tanh" else _gelu, 16.0, x)


@reduced_precision()
def gelu_backward(g: Array, x: Array, *, approximate: str) -> Array:
    """Gradient of `gelu` from its input."""
    rule = _gelu_tanh_backward if approximate == "tanh" else _gelu_backward
    return _pointwise(rule, 20.0, g, x)


# Up to this many elements the bookkeeping of blocks takes longer than it saves.
_SMALL = 2**14
_ONE = {np.dtype(kind): np.array(1, kind) for kind in (np.float32, np.float64)}


@reduced_precision()
def _sigmoid_of_many(x: Array) -> Array:
    return _pointwise(_sigmoid, 5.0, x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    one = _ONE.get(x.dtype)
    if one is None or x.size > _SMALL or not x.ndim:
        many: Array = _sigmoid_of_many(x)
        return many
    out: Array = np.negative(x)
    np.exp(out, out)
    np.add(out, one, out)
    return np.reciprocal(out, out)


@reduced_precision()
def sigmoid_backward(g: Array, out: Array) -> Array:
    """Gradient of `sigmoid` from its result."""
    return _pointwise(_sigmoid_backward, 3.0, g, out)


@reduced_precision()
def silu(x: Array) -> Array:
    """x times sigmoid(x)."""
    return _pointwise(_silu, 6.0, x)


@reduced_precision()
def silu_backward(g: Array, x: Array) -> Array:
    """Gradient of `silu` from its input."""
    return _pointwise(_silu_backward, 10.0, g, x)


KERNELS: dict[str, KernelEntry] = {
    # Whole numbers are promoted first, and complex ones have the array family's kernels.
    kernel.__name__: {"floating": kernel, "reduced": kernel}
    for kernel in (gelu, gelu_backward, sigmoid, sigmoid_backward, silu, silu_backward)
}
