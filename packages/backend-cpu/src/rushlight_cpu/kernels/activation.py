"""gelu, silu and sigmoid with their gradients, in cache blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rushlight.backend import KernelEntry
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, reduced_precision
from rushlight_cpu.kernels._erf import erfc64
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


# The Gaussian probability below x is 1 / (1 + exp(v)) for an odd function v, which is y t(y^2) for
# y = _SCALE * x, to 8e-8 of the probability; the scale makes the first coefficient of t -1. This
# was fitted to v with weights until the largest error was least.
_SCALE = 0.22436693114467754
_T = (3.7043698016045967, -5.52989804792773, 3.8677791771372023, 0.11509757896871545,
      -6.433723581240065, -7.112318498663629)  # fmt: skip


class _Gauss32:
    """0-d arrays, which ufuncs take in half the time of Python numbers."""

    scale, one, low, high = (np.asarray(v, np.float32) for v in (_SCALE, 1.0, -10.0, 10.0))
    first, *others = (np.asarray(v, np.float32) for v in _T)
    exponent = np.asarray(-0.5 / _SCALE**2, np.float32)
    density = np.asarray(_DENSITY / _SCALE, np.float32)


def _over_probability(y: Array, square: Array, out: Array) -> None:
    """1 over the Gaussian probability below y / _SCALE, and y^2."""
    np.multiply(y, y, square)
    np.subtract(_Gauss32.first, square, out)
    for coefficient in _Gauss32.others:
        np.multiply(out, square, out)
        np.add(out, coefficient, out)
    np.multiply(out, y, out)
    np.exp(out, out)
    np.add(out, _Gauss32.one, out)


def _gelu32(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # At -infinity this is -infinity / infinity, NaN as in torch.
    (x,) = blocks
    y, square = room[0], room[1]
    np.multiply(x, _Gauss32.scale, y)
    _over_probability(y, square, out)
    np.divide(x, out, out)


def _gelu32_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # Phi(x) + x * phi(x); where it is clamped, phi(x) is 0.
    g, x = blocks
    y, square = room[0], room[1]
    np.multiply(x, _Gauss32.scale, y)
    np.clip(y, _Gauss32.low, _Gauss32.high, y)
    _over_probability(y, square, out)
    np.reciprocal(out, out)
    np.multiply(square, _Gauss32.exponent, square)
    np.exp(square, square)
    np.multiply(square, y, square)
    np.multiply(square, _Gauss32.density, square)
    np.add(out, square, out)
    np.multiply(out, g, out)


def _gelu64(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # max(x, 0) - |x| * P(beyond |x|): one formula for both signs, and no cancellation.
    (x,) = blocks
    np.abs(x, out=room[0])
    np.multiply(erfc64(room[0] * _ROOT_HALF), 0.5, out=out)
    # Beyond 40 the probability is 0; the clamp keeps it from making infinity NaN. At -infinity
    # NaN is right: the product is 0 * infinity there, as in torch.
    size = np.minimum(x, 40.0, out=room[1])
    out *= np.abs(size, out=size)
    np.subtract(np.maximum(x, 0, out=size), out, out=out)


def _gelu64_backward(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    # Phi(x) + x * phi(x)
    g, x = blocks
    density, probability = room[0], room[1]
    np.abs(x, out=density)
    np.subtract(0.5, erfc64(density * _ROOT_HALF) * 0.5, out=out)
    np.copysign(out, x, out=probability)
    probability += 0.5
    np.multiply(x, x, out=density)
    density *= -0.5
    np.exp(density, out=density)
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
    exact = _gelu32 if x.dtype == np.float32 else _gelu64
    return _pointwise(_gelu_tanh if approximate == "tanh" else exact, 16.0, x)


@reduced_precision()
def gelu_backward(g: Array, x: Array, *, approximate: str) -> Array:
    """Gradient of `gelu` from its input."""
    exact = _gelu32_backward if x.dtype == np.float32 else _gelu64_backward
    return _pointwise(_gelu_tanh_backward if approximate == "tanh" else exact, 20.0, g, x)


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
