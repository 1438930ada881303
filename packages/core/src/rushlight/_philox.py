"""Random numbers as every device must produce them: the generator, its layout, the polynomials.

The generator is Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC'11),
a function from a counter and a key to a block of four 32-bit words:

    key     = (seed mod 2^32, seed div 2^32)
    counter = (block mod 2^32, block div 2^32, 0, 0)

Block `offset + j` of a generator gives words 4j .. 4j+3 of the draw that starts at `offset`.
A draw of n elements reads its words by position, so the element depends on its index alone, never
on the device, the number of threads or the size of a chunk.  The definitions below are frozen:
`tests/random/test_golden.py` holds bits that no release of a major version may change.

    random_bits         element i is word i.
    random_uniform      float32: (word i >> 8) * 2^-24; float16 keeps the top 11 bits, bfloat16 8,
                        so that 1.0 never appears; float64: (long i >> 11) * 2^-53.
    random_integers     low + floor(word i * span / 2^32) for a span = high - low up to 2^16,
                        low + floor(long i * span / 2^64) for one up to 2^32, then
                        low + floor(quad i * span / 2^128): no value's probability is off by more
                        than 2^-16, 2^-32 and 2^-64 of itself.
    random_bernoulli    word i < floor(p * 2^32).
    dropout             keeps element i where a Bernoulli draw with 1 - p is true.
    random_exponential  -log u, u = float32(min((word i >> 1) | 1, 2^31 - 128)) * 2^-31, never 0;
                        float64: u = ((long i >> 11) | 1) * 2^-53.
    random_normal       Box-Muller: elements 2j and 2j+1 are r cos(a) and r sin(a).  float32: r from
                        word 2j with u = float32((word >> 1) | 1) * 2^-31, a from word 2j+1;
                        float64: the same from longs 2j (u as above) and 2j+1.
    random_permutation  the order of the keys (long i with its lowest bits replaced by i).

`long i` is word 2i + 2^32 * word 2i+1, `quad i` is long 2i + 2^64 * long 2i+1.  float16 and
bfloat16 not named above are the float32 value, rounded.

Logarithm, sine and cosine are polynomials of single additions, multiplications and square roots
(divisions in float64), each rounded as IEEE 754 says, because library functions differ between
devices in the last bit.  A device's compiler must therefore not contract a*b + c here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

WORDS_PER_BLOCK: Final = 4
ROUNDS: Final = 10
MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
# Added to the key between rounds: the golden ratio and sqrt(3) - 1, as in the paper.
KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)
WORD: Final = 0xFFFFFFFF
LONG: Final = 0xFFFFFFFFFFFFFFFF

# Largest spans of `random_integers` that one word, and one long, serve per element.
WORD_SPAN: Final = 1 << 16
LONG_SPAN: Final = 1 << 32

# Largest odd-numbered word that stays below 1 when float32 rounds it: keeps -log u above 0.
BELOW_ONE: Final = (1 << 31) - 128

# Polynomials, lowest degree first, fitted by `tests/random/fit_polynomials.py`: minimax, with the
# coefficients rounded to the format they are used in.  Errors are those of the polynomial alone.
#
# With m in [sqrt(1/2), sqrt(2)) and f = m - 1 (exact):  -2 log m = f * LOG32(f), relative 5.9e-8.
LOG32: Final[tuple[float, ...]] = (
    -2.0,
    0.9999997615814209,
    -0.6666837334632874,
    0.5000414848327637,
    -0.39913666248321533,
    0.33124780654907227,
    -0.29904529452323914,
    0.2873370349407196,
    -0.17444735765457153,
)
# For x in [-1, 1), y = x * x:  sin(pi/2 x) = x * SIN32(y), relative 2.9e-8.
SIN32: Final[tuple[float, ...]] = (
    1.5707963705062866,
    -0.6459650993347168,
    0.0796959325671196,
    -0.00468310434371233,
    0.00015592922864016145,
)
# cos(pi/2 x) = COS32(y), absolute 1.1e-9.
COS32: Final[tuple[float, ...]] = (
    1.0,
    -1.2337005138397217,
    0.2536690831184387,
    -0.020861899480223656,
    0.000916733464691788,
    -2.340222090424504e-05,
)
# With s = f / (2 + f), y = s * s:  -2 log m = s * LOG64(y), relative 1.3e-18.
LOG64: Final[tuple[float, ...]] = (
    -4.0,
    -1.3333333333333468,
    -0.7999999999883409,
    -0.5714285748378467,
    -0.44444397243376654,
    -0.3636712380163901,
    -0.3062822112153931,
    -0.29590733866235536,
)
# sin(pi/2 x) = x * SIN64(y), relative 4.0e-17.
SIN64: Final[tuple[float, ...]] = (
    1.5707963267948966,
    -0.6459640975062387,
    0.07969262624601454,
    -0.004681754134131782,
    0.00016044118022159914,
    -3.598833639249097e-06,
    5.691047527843777e-08,
    -6.618439096605533e-10,
    4.245653538798076e-12,
)
# cos(pi/2 x) = COS64(y), absolute 5.2e-18.
COS64: Final[tuple[float, ...]] = (
    1.0,
    -1.2337005501361693,
    0.2536695079010315,
    -0.02086348076317424,
    0.0009192602739043677,
    -2.520203966510217e-05,
    4.7108290386701245e-07,
    -6.382114517251841e-09,
    6.328344618458847e-11,
)
# -2 log 2^-1, as float32 and as float64.
TWO_LOG_2_32: Final = 1.3862943649291992
TWO_LOG_2_64: Final = 1.3862943611198906
# Bits of sqrt(1/2), rounded up: subtracted from those of a float they leave the exponent of the
# power of two nearest to it (by ratio) in the exponent's place.
SQRT_HALF_BITS_32: Final = 0x3F3504F4
SQRT_HALF_BITS_64: Final = 0x3FE6A09E667F3BCD

_LONGS_IN_FLOAT64: Final = frozenset({"random_uniform", "random_normal", "random_exponential"})
_WORDS: Final = {
    "random_bits": 1,
    "random_uniform": 1,
    "random_normal": 1,
    "random_exponential": 1,
    "random_bernoulli": 1,
    "dropout": 1,
    "random_permutation": 2,
}


class Named(Protocol):
    """What is asked of a dtype here."""

    @property
    def name(self) -> str: ...


def words_per_element(name: str, dtype: Named | None = None, *, span: int = 0) -> int:
    """How many words the operator `name` reads for an element: 1, 2 or 4.

    Args:
        name: Name of the random operator.
        dtype: Dtype of the elements; matters for the floating distributions only.
        span: `high - low`, for `random_integers`.
    """
    if name == "random_integers":
        return 1 if span <= WORD_SPAN else 2 if span <= LONG_SPAN else 4
    if name in _LONGS_IN_FLOAT64 and dtype is not None and dtype.name == "float64":
        return 2
    return _WORDS[name]


def blocks(name: str, shape: Sequence[int], dtype: Named | None = None, *, span: int = 0) -> int:
    """How many blocks a draw takes from its generator: the same on every device.

    Args:
        name: Name of the random operator.
        shape: Shape of what is drawn.
        dtype: Dtype of what is drawn.
        span: `high - low`, for `random_integers`.
    """
    words = math.prod(shape) * words_per_element(name, dtype, span=span)
    # A pair of float64 normals needs its whole block, which this rounding grants it.
    return -(-words // WORDS_PER_BLOCK)


def key_schedule(seed: int) -> list[tuple[int, int]]:
    """The two key words of each round."""
    low, high = seed & WORD, seed >> 32 & WORD
    return [(low + r * KEY_STEPS[0] & WORD, high + r * KEY_STEPS[1] & WORD) for r in range(ROUNDS)]


def philox(counter: Sequence[int], seed: int) -> tuple[int, int, int, int]:
    """One block in plain integers: the definition that every kernel is tested against."""
    c0, c1, c2, c3 = counter
    for k0, k1 in key_schedule(seed):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1 = second >> 32 ^ c1 ^ k0, second & WORD
        c2, c3 = first >> 32 ^ c3 ^ k1, first & WORD
    return c0, c1, c2, c3


def bernoulli_threshold(p: float) -> int:
    """A word below this number means true, for a probability in [0, 1]."""
    return int(p * 4294967296.0)
