"""The values: accuracy of the polynomials, ranges, and the statistics of fixed seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rushlight import _dtypes, _philox
from rushlight.backend.arrays.random import random_kernels
from rushlight_cpu.kernels.random import KERNELS

ARRAY = random_kernels(np)
N = 1 << 18
WIDE = [_dtypes.float32, _dtypes.float64]
FLOATS = [*WIDE, _dtypes.float16, _dtypes.bfloat16]


def draw(name: str, dtype: Any, n: int = N, seed: int = 2024) -> Any:
    return KERNELS[name](seed=seed, offset=0, shape=(n,), dtype=dtype)


def longs(n: int) -> Any:
    words = KERNELS["random_bits"](seed=2024, offset=0, count=2 * n).astype(np.uint64)
    return words[0::2] | words[1::2] << np.uint64(32)


def kolmogorov_smirnov(sample: Any, distribution: Any) -> float:
    """Probability of a larger distance between a sample and its distribution (asymptotic)."""
    ordered = np.sort(np.asarray(sample, np.float64))
    n = ordered.size
    theory = distribution(ordered)
    above = np.max(np.arange(1, n + 1) / n - theory)
    below = np.max(theory - np.arange(n) / n)
    x = math.sqrt(n) * float(max(above, below))
    return sum(2.0 * (-1.0) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 20))


def chi_square_deviation(counts: Any) -> float:
    """Chi-square of equally likely cells, in standard deviations from its mean."""
    expected = counts.sum() / counts.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = counts.size - 1
    return float((statistic - freedom) / math.sqrt(2 * freedom))


normal_distribution = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))


# --- accuracy


def test_normal_float32_is_accurate() -> None:
    words = KERNELS["random_bits"](seed=2024, offset=0, count=N)
    u = ((words[0::2] >> 1 | 1).astype(np.float32) * np.float32(2.0**-31)).astype(np.float64)
    half_turns = ((words[1::2] << 1).view(np.int32).astype(np.float32) * 2.0**-31).astype(float)
    radius = np.sqrt(-2 * np.log(u)) * np.where(words[1::2] >> 31, -1, 1)
    exact = np.stack([np.cos(half_turns * np.pi / 2), np.sin(half_turns * np.pi / 2)], 1)
    found = draw("random_normal", _dtypes.float32).reshape(-1, 2)
    error = np.abs(found - exact * radius[:, None])
    assert error.max() < 1e-6
    # Relative to the radius: a cosine near zero has the absolute error of one near 1.
    assert (error / np.maximum(np.abs(radius), 0.01)[:, None]).max() < 3e-7


def test_normal_float64_is_accurate() -> None:
    pairs = longs(N).reshape(-1, 2)
    u = (pairs[:, 0] >> np.uint64(11) | np.uint64(1)).astype(np.float64) * 2.0**-53
    half_turns = (pairs[:, 1] << np.uint64(1)).view(np.int64).astype(np.float64) * 2.0**-63
    radius = np.sqrt(-2 * np.log(u)) * np.where(pairs[:, 1] >> np.uint64(63), -1, 1)
    exact = np.stack([np.cos(half_turns * (np.pi / 2)), np.sin(half_turns * (np.pi / 2))], 1)
    found = draw("random_normal", _dtypes.float64)
    assert np.abs(found - (exact * radius[:, None]).reshape(-1)).max() < 4e-15


def test_exponential_is_accurate_to_the_last_places() -> None:
    odd = KERNELS["random_bits"](seed=2024, offset=0, count=N) >> 1 | 1
    exact = -np.log(odd.astype(np.float32).astype(np.float64) * 2.0**-31)
    found = draw("random_exponential", _dtypes.float32)
    assert (np.abs(found - exact) / exact).max() < 3e-7
    exact = -np.log((longs(N) >> np.uint64(11) | np.uint64(1)).astype(np.float64) * 2.0**-53)
    found = draw("random_exponential", _dtypes.float64)
    assert (np.abs(found - exact) / exact).max() < 8e-16


# --- ranges


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_extreme_words_stay_in_range(dtype: Any) -> None:
    for word in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        constant = random_kernels(
            np,
            random_bits=lambda *, seed, offset, count, word=word: np.full(count, word, np.uint32),
        )
        at: dict[str, Any] = {"seed": 0, "offset": 0, "shape": (8,), "dtype": dtype}
        uniform = constant["random_uniform"](**at).astype(np.float64)
        assert ((uniform >= 0) & (uniform < 1)).all()
        exponential = constant["random_exponential"](**at).astype(np.float64)
        assert ((exponential > 0) & (exponential < 37)).all()
        normal = constant["random_normal"](**at).astype(np.float64)
        assert (np.abs(normal) < 8.6).all()
        for low, high in [(-4, 3), (0, 2**31 - 1), (0, 2**53)]:
            out = constant["random_integers"](**at | {"dtype": _dtypes.int64}, low=low, high=high)
            assert ((out >= low) & (out < high)).all()


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 2**16), (7, 8), (-9, 2**20), (5, 2**32 + 5), (-1, 2**32), (-(2**63), 2**63), (0, 3 << 61)],
)
@pytest.mark.parametrize("kernels", [ARRAY, KERNELS], ids=["array", "cpu"])
def test_integers_are_the_scaled_words_exactly(kernels: Any, low: int, high: int) -> None:
    n, span = 200, high - low
    width = _philox.words_per_element("random_integers", span=span)
    words = kernels["random_bits"](seed=6, offset=1, count=n * width).tolist()
    numbers = [
        sum(w << 32 * k for k, w in enumerate(words[i : i + width]))
        for i in range(0, len(words), width)
    ]
    out = kernels["random_integers"](
        seed=6, offset=1, shape=(n,), low=low, high=high, dtype=_dtypes.int64
    )
    assert out.tolist() == [low + (number * span >> 32 * width) for number in numbers]


def test_unsigned_integers_reach_beyond_int64() -> None:
    out = KERNELS["random_integers"](
        seed=1, offset=0, shape=(100,), low=2**63, high=2**64, dtype=_dtypes.uint64
    )
    assert out.dtype == np.uint64
    assert (out >= 2**63).all()


# --- statistics


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_moments(dtype: Any) -> None:
    def moments(name: str) -> tuple[float, float, float, float]:
        x = draw(name, dtype).astype(np.float64)
        z = (x - x.mean()) / x.std()
        return x.mean(), x.var(), (z**3).mean(), (z**4).mean()

    # float16 and bfloat16 uniforms are cut to 11 and 8 bits: their mean is half a step lower.
    cut = {"float16": 2.0**-12, "bfloat16": 2.0**-9}.get(dtype.name, 0.0)
    assert moments("random_uniform") == pytest.approx((0.5 - cut, 1 / 12, 0, 1.8), abs=6e-3)
    assert moments("random_uniform")[0] == pytest.approx(0.5 - cut, abs=1.7e-3)
    assert moments("random_normal") == pytest.approx((0, 1, 0, 3), abs=0.03)
    assert moments("random_exponential") == pytest.approx((1, 1, 2, 9), rel=0.06)


@pytest.mark.parametrize("dtype", WIDE, ids=lambda d: d.name)
@pytest.mark.parametrize("seed", [0, 1, 123456789])
def test_kolmogorov_smirnov(dtype: Any, seed: int) -> None:
    n = 1 << 17
    p = [
        kolmogorov_smirnov(draw("random_uniform", dtype, n, seed), lambda x: x),
        kolmogorov_smirnov(draw("random_normal", dtype, n, seed), normal_distribution),
        kolmogorov_smirnov(draw("random_exponential", dtype, n, seed), lambda x: -np.expm1(-x)),
    ]
    assert min(p) > 0.01


@pytest.mark.parametrize("name", ["random_uniform", "random_normal"])
@pytest.mark.parametrize("dtype", WIDE, ids=lambda d: d.name)
def test_neighbours_and_pairs_are_uncorrelated(name: str, dtype: Any) -> None:
    x = draw(name, dtype).astype(np.float64)
    for values in (x, np.abs(x)):
        for lag in (1, 2, 3, 4, 1000):
            assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 5 / math.sqrt(N)


def test_neighbouring_seeds_and_both_halves_of_the_seed_matter() -> None:
    draws = [draw("random_uniform", _dtypes.float64, 4096, s) for s in (0, 1, 2, 1 << 32, 1 << 63)]
    correlations = np.corrcoef(np.stack(draws))
    assert np.abs(correlations - np.eye(len(draws))).max() < 0.08


@pytest.mark.parametrize(("low", "high"), [(0, 10), (0, 1000), (-50, 47), (0, 65536)])
def test_integers_are_equally_likely(low: int, high: int) -> None:
    out = KERNELS["random_integers"](
        seed=12, offset=0, shape=(4 * N,), low=low, high=high, dtype=_dtypes.int64
    )
    assert abs(chi_square_deviation(np.bincount(out - low, minlength=high - low))) < 4


def test_residues_of_a_wide_span_are_equally_likely() -> None:
    # One word over 3 * 2^30 values would give every third of them twice the weight of the others.
    for high in (3 << 30, 3 << 61):
        out = KERNELS["random_integers"](
            seed=12, offset=0, shape=(N,), low=0, high=high, dtype=_dtypes.int64
        )
        assert abs(chi_square_deviation(np.bincount(out % 3))) < 4


@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.97])
def test_bernoulli_frequency(p: float) -> None:
    hits = KERNELS["random_bernoulli"](p, seed=3, offset=0, shape=(N,)).mean()
    assert abs(hits - p) < 4 * math.sqrt(p * (1 - p) / N)


def test_permutations_are_permutations_and_equally_likely() -> None:
    for n in (0, 1, 2, 3, 4, 5, 1000, 4097):
        out = KERNELS["random_permutation"](seed=n, offset=0, n=n)
        assert out.dtype == np.int64
        assert np.array_equal(np.sort(out), np.arange(n))
    orders: dict[tuple[int, ...], int] = {}
    for offset in range(0, 24 * 400):
        order = tuple(ARRAY["random_permutation"](seed=0, offset=2 * offset, n=4).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 24
    assert abs(chi_square_deviation(np.array(list(orders.values())))) < 4
