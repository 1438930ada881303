"""Random numbers over a NumPy-like module: the definitions of `rushlight._philox`, vectorised.

Clear rather than fast: whole arrays, a new one at each step.  Backends override them with kernels
that give the same bits (blocked in place on the CPU, one kernel per draw on a GPU).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rushlight import _philox as spec
from rushlight._dtypes import DType

from ._common import Array, ArrayModule, Kernel


def random_kernels(xp: ArrayModule, *, random_bits: Kernel | None = None) -> dict[str, Kernel]:
    """The random kernels by operator name, written against the module `xp`.

    All take `seed` (64 bits) and `offset` (in blocks of four words) and are pure functions of them.

    Args:
        xp: A NumPy-like module.
        random_bits: A faster kernel for the words, on which the distributions then build.
    """

    def plain_random_bits(*, seed: int, offset: int, count: int) -> Array:
        """`count` words of the stream as uint32; the frozen definition stands in `_philox`.

        Philox4x32-10 with key (seed low 32, seed high 32) and counter
        (block low 32, block high 32, 0, 0); words 4j .. 4j+3 are block `offset + j`.
        """
        index = xp.arange(-(-count // spec.WORDS_PER_BLOCK), dtype=xp.uint64) + (offset & spec.LONG)
        c0, c1 = index & spec.WORD, index >> 32
        c2 = c3 = xp.zeros_like(index)
        for k0, k1 in spec.key_schedule(seed):
            first, second = c0 * spec.MULTIPLIERS[0], c2 * spec.MULTIPLIERS[1]
            c0, c1 = second >> 32 ^ c1 ^ k0, second & spec.WORD
            c2, c3 = first >> 32 ^ c3 ^ k1, first & spec.WORD
        words = xp.stack([c0, c1, c2, c3], axis=1).astype(xp.uint32).reshape(-1)
        return words if count % spec.WORDS_PER_BLOCK == 0 else words[:count].copy()

    draw = random_bits or plain_random_bits

    def longs(seed: int, offset: int, count: int) -> Array:
        pairs = draw(seed=seed, offset=offset, count=2 * count).reshape(-1, 2)
        return pairs[:, 0].astype(xp.uint64) | pairs[:, 1].astype(xp.uint64) << 32

    def random_uniform(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> Array:
        """Uniform on [0, 1)."""
        n = math.prod(shape)
        if dtype.name == "float64":
            out = (longs(seed, offset, n) >> 11).view(xp.int64).astype(xp.float64) * 2.0**-53
        else:
            bits = {"float16": 11, "bfloat16": 8}.get(dtype.name, 24)
            words = draw(seed=seed, offset=offset, count=n) >> (32 - bits)
            out = words.view(xp.int32).astype(xp.float32) * 2.0**-bits
        return out.astype(dtype.numpy, copy=False).reshape(shape)

    def random_normal(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> Array:
        """Normal with mean 0 and variance 1."""
        n = math.prod(shape)
        even = n + n % 2
        if dtype.name == "float64":
            pairs = longs(seed, offset, even).reshape(-1, 2)
            square, x = minus_two_log64(pairs[:, 0] >> 11 | 1), half_turns64(pairs[:, 1])
            sine, cosine, top = spec.SIN64, spec.COS64, pairs[:, 1] >> 63
        else:
            pairs = draw(seed=seed, offset=offset, count=even).reshape(-1, 2)
            square, x = minus_two_log32(pairs[:, 0] >> 1 | 1), half_turns32(pairs[:, 1])
            sine, cosine, top = spec.SIN32, spec.COS32, pairs[:, 1] >> 31
        # x covers the right half of the circle; the word's top bit, unused by it, gives the left.
        length = xp.sqrt(square)
        radius, y = xp.where(top != 0, -length, length), x * x
        both = [radius * horner(cosine, y), radius * (horner(sine, y) * x)]
        out = xp.stack(both, axis=1).reshape(-1)
        out = out if n == even else out[:n].copy()
        return out.astype(dtype.numpy, copy=False).reshape(shape)

    def random_exponential(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> Array:
        """Exponential with rate 1; never 0."""
        n = math.prod(shape)
        if dtype.name == "float64":
            twice = minus_two_log64(longs(seed, offset, n) >> 11 | 1)
        else:
            odd = draw(seed=seed, offset=offset, count=n) >> 1 | 1
            twice = minus_two_log32(xp.minimum(odd, xp.uint32(spec.BELOW_ONE)))
        return (twice * 0.5).astype(dtype.numpy, copy=False).reshape(shape)

    def horner(coefficients: Sequence[float], x: Array) -> Array:
        out = x * coefficients[-1]
        for c in coefficients[-2:0:-1]:
            out = (out + c) * x
        return out + coefficients[0]

    def minus_two_log32(odd: Array) -> Array:
        """-2 log(odd * 2^-31) of odd numbers below 2^31."""
        bits = odd.view(xp.int32).astype(xp.float32).view(xp.int32)
        exponent = bits - spec.SQRT_HALF_BITS_32 >> 23
        f = (bits - (exponent << 23)).view(xp.float32) - 1.0
        powers = (31 - exponent).astype(xp.float32) * spec.TWO_LOG_2_32
        return powers + horner(spec.LOG32, f) * f

    def minus_two_log64(odd: Array) -> Array:
        """-2 log(odd * 2^-53) of odd numbers below 2^53."""
        bits = odd.view(xp.int64).astype(xp.float64).view(xp.int64)
        exponent = bits - spec.SQRT_HALF_BITS_64 >> 52
        f = (bits - (exponent << 52)).view(xp.float64) - 1.0
        s = f / (f + 2.0)
        powers = (53 - exponent).astype(xp.float64) * spec.TWO_LOG_2_64
        return powers + horner(spec.LOG64, s * s) * s

    def half_turns32(words: Array) -> Array:
        return (words << 1).view(xp.int32).astype(xp.float32) * 2.0**-31

    def half_turns64(words: Array) -> Array:
        return (words << 1).view(xp.int64).astype(xp.float64) * 2.0**-63

    def random_integers(
        *, seed: int, offset: int, shape: Sequence[int], low: int, high: int, dtype: DType
    ) -> Array:
        """Integers from `low` to `high - 1`; float16 and bfloat16 are rounded through float32."""
        n, span = math.prod(shape), high - low
        width = spec.words_per_element("random_integers", span=span)
        if width == 4:
            quads = longs(seed, offset, 2 * n).reshape(-1, 2)
            out = scale128(quads[:, 0], quads[:, 1], span)
        else:
            words = draw(seed=seed, offset=offset, count=width * n).astype(xp.uint64)
            if width == 2:
                # The carry of the low product; hi * span + carry stays below 2^64.
                carry = words[0::2] * span >> 32
                out = words[1::2] * span + carry >> 32
            else:
                out = words * span >> 32
        out = out + (low & spec.LONG)
        if dtype.name != "uint64":
            out = out.view(xp.int64)
        if dtype.is_reduced:
            out = out.astype(xp.float32)
        return out.astype(dtype.numpy, copy=False).reshape(shape)

    def scale128(low: Array, high: Array, span: int) -> Array:
        """floor((low + 2^64 high) * span / 2^128) for a span up to 2^64."""
        if span > spec.LONG:
            return high
        carry = multiply_high(low, span)
        total = high * span + carry
        return multiply_high(high, span) + (total < carry).astype(xp.uint64)

    def multiply_high(a: Array, b: int) -> Array:
        """The upper 64 bits of a product, from four products of 32-bit halves."""
        a0, a1, b0, b1 = a & spec.WORD, a >> 32, b & spec.WORD, b >> 32
        middle = a1 * b0 + (a0 * b0 >> 32)
        return a1 * b1 + (middle >> 32) + (a0 * b1 + (middle & spec.WORD) >> 32)

    def random_bernoulli(
        p: Array | float, *, seed: int, offset: int, shape: Sequence[int]
    ) -> Array:
        """True with probability `p`, a number or an array that broadcasts to `shape`."""
        words = draw(seed=seed, offset=offset, count=math.prod(shape)).reshape(shape)
        if isinstance(p, (float, int)):
            threshold = spec.bernoulli_threshold(p)
            if threshold > spec.WORD:
                return xp.ones(shape, dtype=xp.bool_)
            return words < xp.uint32(threshold)
        p = p.astype(xp.float32) if p.dtype.itemsize < 4 else p
        # The largest number of p's dtype below 2^32: the conversion is defined where p is 1, too.
        largest = 4294967040.0 if p.dtype.itemsize == 4 else 4294967295.0
        threshold = xp.minimum(p * 4294967296.0, largest).astype(xp.uint32)
        return (words < threshold) | (p >= 1)

    def random_permutation(*, seed: int, offset: int, n: int, dtype: DType | None = None) -> Array:
        """The numbers 0 .. n-1 as int64 in random order.

        Sorts 64-bit words that carry their index in the lowest bits, so that no two are equal and
        any correct sort gives the same result.  Elements tied in the bits above keep their order:
        of 2^20 elements, one pair in 32 permutations.
        """
        mask = (1 << max(n - 1, 0).bit_length()) - 1
        keys = longs(seed, offset, n) & (spec.LONG - mask) | xp.arange(n, dtype=xp.uint64)
        return (xp.sort(keys) & mask).view(xp.int64)

    def dropout(x: Array, *, p: float, seed: int, offset: int) -> tuple[Array, Array]:
        """`x` with elements zeroed with probability `p`, the others scaled; and which were kept."""
        keep = random_bernoulli(1.0 - p, seed=seed, offset=offset, shape=x.shape)
        scale = 1.0 / (1.0 - p) if p < 1 else 0.0
        if x.dtype.itemsize == 2:
            wide = x.astype(xp.float32) * (keep.astype(xp.float32) * scale)
            return wide.astype(x.dtype), keep
        return x * (keep.astype(x.real.dtype) * scale), keep

    return {
        "random_bits": draw,
        "random_uniform": random_uniform,
        "random_normal": random_normal,
        "random_exponential": random_exponential,
        "random_integers": random_integers,
        "random_bernoulli": random_bernoulli,
        "random_permutation": random_permutation,
        "dropout": dropout,
    }
