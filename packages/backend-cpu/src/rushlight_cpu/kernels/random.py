"""Random numbers in cache-sized pieces: same bits as the array kernels, several times faster.

`_Philox` makes the words of a piece; an *emitter* turns them into values and writes these to their
place; `_draw` walks over the pieces, on several threads where that pays.  Everything happens in
place in scratch arrays made once per thread and draw, so that a piece stays in the L2 cache.

Words arrive as two pairs of rows: `even` holds words 0 and 2 of each block, `odd` words 1 and 3,
as uint64.  The upper halves of `odd` are leftovers of the last multiplication (clearing them would
cost a tenth of the generator): casting to uint32 and shifting left by 32 both drop them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from rushlight import _philox as spec
from rushlight._dtypes import DType
from rushlight.backend.arrays.random import random_kernels

from ._common import Array, Kernel, blocks
from ._parallel import split

# Blocks per piece.  The arrays of the generator take 768 KiB and those of normals another 640:
# within today's L2 caches.  With half of it a draw takes 15 % longer, with a quarter twice as
# long, for a ufunc over two rows has a microsecond to set up.
STEP = 16384

# Writes the values of the words `even` and `odd` of some blocks to `out`, flat and contiguous.
Emit: TypeAlias = Callable[[Array, Array, Array], None]

_MULTIPLIERS = np.array(spec.MULTIPLIERS, np.uint64)[:, None]


class _Philox:
    """The generator of one seed with its scratch arrays."""

    def __init__(self, seed: int) -> None:
        self.keys = np.array(spec.key_schedule(seed), np.uint64)[:, :, None]
        self.even = np.empty((2, STEP), np.uint64)
        self.products = np.empty((2, 2, STEP), np.uint64)

    def words(self, block: int, count: int) -> tuple[Array, Array]:
        """Even and odd words of blocks from `block`, of shape (2, count), until the next call."""
        even, products = self.even[:, :count], self.products[:, :, :count]
        index = np.arange(count, dtype=np.uint64)
        index += block & spec.LONG
        np.bitwise_and(index, spec.WORD, out=even[0])
        even[1] = 0
        odd = products[1]
        np.right_shift(index, 32, out=odd[0])
        odd[1] = 0
        for turn, key in enumerate(self.keys):
            product = products[turn % 2]
            np.multiply(even, _MULTIPLIERS, out=product)
            np.right_shift(product[::-1], 32, out=even)
            np.bitwise_xor(even, odd, out=even)
            np.bitwise_xor(even, key, out=even)
            np.bitwise_and(even, spec.WORD, out=even)
            odd = product[::-1]
        return even, odd


def _draw(
    out: Array, per_block: int, seed: int, offset: int, emitter: Callable[[], Emit], cost: int
) -> None:
    """Fills flat `out` with `per_block` values a block; `cost` is ufunc passes per block."""
    total = -(-out.size // per_block)

    def part(start: int, stop: int) -> None:
        generator, emit = _Philox(seed), emitter()
        for first in range(start, stop, STEP):
            count = min(STEP, stop - first)
            even, odd = generator.words(offset + first, count)
            target = out[first * per_block : (first + count) * per_block]
            if target.size == count * per_block:
                emit(even, odd, target)
            else:
                whole = np.empty(count * per_block, out.dtype)
                emit(even, odd, whole)
                target[...] = whole[: target.size]

    split(total, total * cost, part)


def _interleave(even: Array, odd: Array, words: Array) -> None:
    """Writes words in the order of the stream; `words` is flat uint32 or uint64 (whole longs)."""
    if words.dtype == np.uint64:
        np.left_shift(odd, 32, out=odd)
        np.bitwise_or(even, odd, out=words.reshape(-1, 2).T)
        return
    by_lane = words.reshape(-1, 2, 2).transpose(1, 0, 2)
    np.copyto(by_lane[:, :, 0], even, casting="unsafe")
    np.copyto(by_lane[:, :, 1], odd, casting="unsafe")


def _convert(words: Array, out: Array, scale: float) -> None:
    """Signed integers, as float32 or float64, times a power of two."""
    np.copyto(out, words, casting="unsafe")
    np.multiply(out, scale, out=out)


def _horner(coefficients: Sequence[float], x: Array, out: Array) -> None:
    np.multiply(x, coefficients[-1], out=out)
    for c in coefficients[-2:0:-1]:
        np.add(out, c, out=out)
        np.multiply(out, x, out=out)
    np.add(out, coefficients[0], out=out)


# --- emitters


def _uniform_float32() -> Emit:
    scratch = np.empty(STEP * 4, np.uint32)

    def emit(even: Array, odd: Array, out: Array) -> None:
        words = scratch[: out.size]
        _interleave(even, odd, words)
        np.right_shift(words, 8, out=words)
        _convert(words.view(np.int32), out, 2.0**-24)

    return emit


def _uniform_float64() -> Emit:
    scratch = np.empty(STEP * 2, np.uint64)

    def emit(even: Array, odd: Array, out: Array) -> None:
        longs = scratch[: out.size]
        _interleave(even, odd, longs)
        np.right_shift(longs, 11, out=longs)
        _convert(longs.view(np.int64), out, 2.0**-53)

    return emit


class _Float32:
    """Logarithm and Box-Muller of float32, in place in scratch arrays of a given shape."""

    def __init__(self, *shape: int) -> None:
        self.scratch = np.empty((5, *shape), np.float32)

    def minus_two_log(self, odd: Array, out: Array) -> None:
        """-2 log(odd * 2^-31) of uint32 words, which it spoils."""
        exponent, f = odd.view(np.int32), self.scratch[0][..., : odd.shape[-1]]
        bits = f.view(np.int32)
        np.copyto(f, exponent, casting="unsafe")
        np.subtract(bits, spec.SQRT_HALF_BITS_32, out=exponent)
        np.right_shift(exponent, 23, out=exponent)
        shifted = self.scratch[1][..., : odd.shape[-1]]
        np.left_shift(exponent, 23, out=shifted.view(np.int32))
        np.subtract(bits, shifted.view(np.int32), out=bits)
        np.subtract(f, 1.0, out=f)
        _horner(spec.LOG32, f, out)
        np.multiply(out, f, out=out)
        np.subtract(31, exponent, out=exponent)
        _convert(exponent, f, spec.TWO_LOG_2_32)
        np.add(f, out, out=out)

    def normal(self, even: Array, odd: Array, out: Array) -> None:
        """An emitter: the pair of elements of an even and an odd word."""
        radius, x, y, *_ = (buffer[:, : even.shape[1]] for buffer in self.scratch[::-1])
        words = x.view(np.uint32)
        np.copyto(words, even, casting="unsafe")
        np.right_shift(words, 1, out=words)
        np.bitwise_or(words, 1, out=words)
        self.minus_two_log(words, radius)
        np.sqrt(radius, out=radius)
        angle, sign = self.scratch[0][:, : even.shape[1]].view(np.uint32), words
        np.copyto(angle, odd, casting="unsafe")
        np.bitwise_and(angle, 1 << 31, out=sign)
        np.bitwise_xor(radius.view(np.uint32), sign, out=radius.view(np.uint32))
        np.left_shift(angle, 1, out=angle)
        _convert(angle.view(np.int32), x, 2.0**-31)
        np.multiply(x, x, out=y)
        value = angle.view(np.float32)
        pairs = out.reshape(-1, 2, 2).transpose(1, 0, 2)
        _horner(spec.COS32, y, value)
        np.multiply(radius, value, out=pairs[:, :, 0])
        _horner(spec.SIN32, y, value)
        np.multiply(value, x, out=value)
        np.multiply(radius, value, out=pairs[:, :, 1])


class _Float64:
    """Logarithm and Box-Muller of float64, in place in flat scratch arrays."""

    def __init__(self, size: int) -> None:
        self.scratch = np.empty((6, size), np.float64)

    def minus_two_log(self, odd: Array, out: Array) -> None:
        """-2 log(odd * 2^-53) of longs, which it spoils."""
        s, f, y = (buffer[: odd.size] for buffer in self.scratch[:3])
        exponent, bits = odd.view(np.int64), f.view(np.int64)
        np.copyto(f, exponent, casting="unsafe")
        np.subtract(bits, spec.SQRT_HALF_BITS_64, out=exponent)
        np.right_shift(exponent, 52, out=exponent)
        np.left_shift(exponent, 52, out=s.view(np.int64))
        np.subtract(bits, s.view(np.int64), out=bits)
        np.subtract(f, 1.0, out=f)
        np.add(f, 2.0, out=s)
        np.divide(f, s, out=s)
        np.multiply(s, s, out=y)
        _horner(spec.LOG64, y, out)
        np.multiply(out, s, out=out)
        np.subtract(53, exponent, out=exponent)
        _convert(exponent, f, spec.TWO_LOG_2_64)
        np.add(f, out, out=out)

    def normal(self, even: Array, odd: Array, out: Array) -> None:
        """An emitter: the pair of elements of a block."""
        value, x, radius = (buffer[: even.shape[1]] for buffer in self.scratch[3:])
        np.left_shift(odd, 32, out=odd)
        np.bitwise_or(even, odd, out=even)
        np.right_shift(even[0], 11, out=even[0])
        np.bitwise_or(even[0], 1, out=even[0])
        self.minus_two_log(even[0], radius)
        np.sqrt(radius, out=radius)
        np.bitwise_and(even[1], 1 << 63, out=even[0])
        np.bitwise_xor(radius.view(np.uint64), even[0], out=radius.view(np.uint64))
        np.left_shift(even[1], 1, out=even[1])
        _convert(even[1].view(np.int64), x, 2.0**-63)
        y = self.scratch[0][: x.size]
        np.multiply(x, x, out=y)
        _horner(spec.COS64, y, value)
        np.multiply(radius, value, out=out[0::2])
        _horner(spec.SIN64, y, value)
        np.multiply(value, x, out=value)
        np.multiply(radius, value, out=out[1::2])


def _exponential_float32() -> Emit:
    scratch, floats = np.empty(STEP * 4, np.uint32), _Float32(STEP * 4)

    def emit(even: Array, odd: Array, out: Array) -> None:
        words = scratch[: out.size]
        _interleave(even, odd, words)
        np.right_shift(words, 1, out=words)
        np.bitwise_or(words, 1, out=words)
        np.minimum(words, spec.BELOW_ONE, out=words)
        floats.minus_two_log(words, out)
        np.multiply(out, 0.5, out=out)

    return emit


def _exponential_float64() -> Emit:
    scratch, floats = np.empty(STEP * 2, np.uint64), _Float64(STEP * 2)

    def emit(even: Array, odd: Array, out: Array) -> None:
        longs = scratch[: out.size]
        _interleave(even, odd, longs)
        np.right_shift(longs, 11, out=longs)
        np.bitwise_or(longs, 1, out=longs)
        floats.minus_two_log(longs, out)
        np.multiply(out, 0.5, out=out)

    return emit


def _scaled(span: int, low: int, dtype: DType) -> Callable[[], Emit]:
    """An emitter of integers from `low` in a span of at most 2^32, two or four to a block."""
    signed = np.uint64 if dtype.name == "uint64" else np.int64

    def write(values: Array, out: Array) -> None:
        np.add(values, low & spec.LONG, out=values)
        integers = values.view(signed)
        # float16 and bfloat16 are rounded through float32, as on devices that know no other way.
        np.copyto(
            out, integers.astype(np.float32) if dtype.is_reduced else integers, casting="unsafe"
        )

    def emit_words(even: Array, odd: Array, out: Array) -> None:
        by_lane = out.reshape(-1, 2, 2).transpose(1, 0, 2)
        np.bitwise_and(odd, spec.WORD, out=odd)
        for lane, words in enumerate((even, odd)):
            np.multiply(words, span, out=words)
            np.right_shift(words, 32, out=words)
            write(words, by_lane[:, :, lane])

    def emit_longs(even: Array, odd: Array, out: Array) -> None:
        np.multiply(even, span, out=even)
        np.right_shift(even, 32, out=even)
        np.bitwise_and(odd, spec.WORD, out=odd)
        np.multiply(odd, span, out=odd)
        np.add(odd, even, out=odd)
        np.right_shift(odd, 32, out=odd)
        write(odd, out.reshape(-1, 2).T)

    return lambda: emit_words if span <= spec.WORD_SPAN else emit_longs


def _below(threshold: int) -> Callable[[], Emit]:
    """An emitter of "word < threshold", for a threshold below 2^32."""
    limit = np.uint32(threshold)

    def emitter() -> Emit:
        scratch = np.empty(STEP * 4, np.uint32)

        def emit(even: Array, odd: Array, out: Array) -> None:
            words = scratch[: out.size]
            _interleave(even, odd, words)
            np.less(words, limit, out=out)

        return emit

    return emitter


# --- kernels; each computes what the array kernel of its name documents

# What a piece takes, in passes of a ufunc per block.
_GENERATOR, _PLAIN, _LOGARITHM = 60, 20, 120


def random_bits(*, seed: int, offset: int, count: int) -> Array:
    """`count` words of the stream."""
    out = np.empty(count, np.uint32)
    _draw(out, 4, seed, offset, lambda: _interleave, _GENERATOR)
    return out


_general = random_kernels(np, random_bits=random_bits)


def _floats(
    single: Callable[[], Emit], double: Callable[[], Emit], cost: int
) -> Callable[..., Array]:
    """The kernel of a distribution with these emitters of float32 and of float64."""

    def kernel(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> Array:
        wide = dtype.name == "float64"
        out = np.empty(shape, np.float64 if wide else np.float32)
        emitter = double if wide else single
        _draw(out.reshape(-1), 2 if wide else 4, seed, offset, emitter, _GENERATOR + cost)
        return out.astype(dtype.numpy, copy=False)

    return kernel


_uniform = _floats(_uniform_float32, _uniform_float64, _PLAIN)


def random_uniform(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> Array:
    """Uniform on [0, 1)."""
    # Reduced dtypes cut the words shorter instead of rounding, which could give 1.
    kernel = _general["random_uniform"] if dtype.is_reduced else _uniform
    result: Array = kernel(seed=seed, offset=offset, shape=shape, dtype=dtype)
    return result


random_normal = _floats(lambda: _Float32(2, STEP).normal, lambda: _Float64(STEP).normal, _LOGARITHM)
random_exponential = _floats(_exponential_float32, _exponential_float64, 2 * _LOGARITHM)


def random_integers(
    *, seed: int, offset: int, shape: Sequence[int], low: int, high: int, dtype: DType
) -> Array:
    """Integers from `low` to `high - 1`."""
    span = high - low
    if span > spec.LONG_SPAN:
        wide: Array = _general["random_integers"](
            seed=seed, offset=offset, shape=shape, low=low, high=high, dtype=dtype
        )
        return wide
    out = np.empty(shape, dtype.numpy)
    per_block = 4 // spec.words_per_element("random_integers", span=span)
    emitter = _scaled(span, low, dtype)
    _draw(out.reshape(-1), per_block, seed, offset, emitter, _GENERATOR + 2 * _PLAIN)
    return out


def random_bernoulli(p: Array | float, *, seed: int, offset: int, shape: Sequence[int]) -> Array:
    """True with probability `p`."""
    if not isinstance(p, (float, int)):
        each: Array = _general["random_bernoulli"](p, seed=seed, offset=offset, shape=shape)
        return each
    threshold = spec.bernoulli_threshold(p)
    if threshold > spec.WORD:
        return np.ones(shape, np.bool_)
    out = np.empty(shape, np.bool_)
    _draw(out.reshape(-1), 4, seed, offset, _below(threshold), _GENERATOR + _PLAIN)
    return out


def dropout(x: Array, *, p: float, seed: int, offset: int) -> tuple[Array, Array]:
    """`x` with elements zeroed with probability `p`, the others scaled; and which were kept."""
    if x.dtype.itemsize == 2:
        reduced: tuple[Array, Array] = _general["dropout"](x, p=p, seed=seed, offset=offset)
        return reduced
    keep = random_bernoulli(1.0 - p, seed=seed, offset=offset, shape=x.shape)
    scale = 1.0 / (1.0 - p) if p < 1 else 0.0
    out = np.empty(x.shape, x.dtype)
    flat, flat_out, flat_keep = x.reshape(-1), out.reshape(-1), keep.reshape(-1)
    for piece in blocks(x.size):
        np.multiply(flat[piece], flat_keep[piece], out=flat_out[piece])
        np.multiply(flat_out[piece], scale, out=flat_out[piece])
    return out, keep


KERNELS: dict[str, Kernel] = {
    **_general,
    "random_uniform": random_uniform,
    "random_normal": random_normal,
    "random_exponential": random_exponential,
    "random_integers": random_integers,
    "random_bernoulli": random_bernoulli,
    "dropout": dropout,
}
