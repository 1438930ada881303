"""The native random draws: the bits that the array family gives, however they are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight._philox import philox
from rushlight.backend.arrays.random import random_kernels
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend

DEFINED = random_kernels(np)
SEEDS = [(0, 0), (2**64 - 3, 2**32 - 2), (1234567890123, 2**64 - 1)]
SIZES = [0, 1, 2, 3, 5, 37, 1023, 5001]
# More than two tasks, with a rest.
LONG = 4 * 4096 * 2 + 1235


@pytest.fixture(scope="module", params=_native.VARIANTS)
def native(request: pytest.FixtureRequest) -> Any:
    """The backend of each variant that is built and that this CPU runs."""
    try:
        library = _native.load(request.param)
    except ImportError as raised:
        pytest.skip(str(raised))
    return make_backend("cpu_native", _native.Tier(library))


def kernel(native: Any, name: str) -> Any:
    """The native kernel, which here may not hand anything on."""
    library = native.runtime(0).tier.library
    index = [row[0] for row in library.kernels()].index(name)
    return library.bind(index, lambda *_, **__: "declined")


def same(got: Any, wanted: Any) -> None:
    assert not isinstance(got, str), got
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["random_uniform", "random_normal", "random_exponential"])
@pytest.mark.parametrize("dtype", [rushlight.float32, rushlight.float64])
def test_floats_have_the_defined_bits(native: Any, name: str, dtype: Any) -> None:
    draw = kernel(native, name)
    for seed, offset in SEEDS:
        for size in SIZES:
            where = {"seed": seed, "offset": offset, "shape": (size,), "dtype": dtype}
            same(draw(**where), DEFINED[name](**where))
    where = {"seed": 7, "offset": 9, "shape": (5, LONG // 5), "dtype": dtype}
    same(draw(**where), DEFINED[name](**where))


@pytest.mark.parametrize("dtype", [rushlight.int64, rushlight.int32, rushlight.uint8])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-5, 60), (3, 3 + 2**16), (-2, 2**16), (-(2**40), 2**32 - 2**40)]
)
def test_integers_have_the_defined_bits(native: Any, low: int, high: int, dtype: Any) -> None:
    draw = kernel(native, "random_integers")
    for seed, offset in SEEDS:
        for size in (0, 1, 3, 1025, LONG):
            where = {"seed": seed, "offset": offset, "shape": (size,), "dtype": dtype}
            same(
                draw(**where, low=low, high=high),
                DEFINED["random_integers"](**where, low=low, high=high),
            )


@pytest.mark.parametrize("p", [0.0, 0.25, 1 / 3, 1 - 2**-33, 1.0, 1])
def test_bernoulli_has_the_defined_bits(native: Any, p: float) -> None:
    draw = kernel(native, "random_bernoulli")
    for size in SIZES:
        where = {"seed": 3, "offset": 2**33, "shape": (size, 1)}
        same(draw(p, **where), DEFINED["random_bernoulli"](p, **where))
        for dtype in (np.float32, np.float64):
            number = np.asarray(p, dtype)
            same(draw(number, **where), DEFINED["random_bernoulli"](number, **where))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 1e-11, 0.1, 0.5, 1.0, 1])
def test_dropout_has_the_defined_bits(native: Any, p: float, dtype: Any) -> None:
    draw = kernel(native, "dropout")
    rng = np.random.default_rng(0)
    for size in (*SIZES, LONG):
        x = rng.standard_normal((size, 1)).astype(dtype)
        x[:4, 0] = [np.nan, np.inf, -0.0, -1][:size]
        got = draw(x, p=p, seed=5, offset=6)
        with np.errstate(invalid="ignore"):
            wanted = DEFINED["dropout"](x, p=p, seed=5, offset=6)
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_array_equal(np.signbit(got[0][1:]), np.signbit(wanted[0][1:]))
        same(got[1], wanted[1])


@pytest.mark.parametrize("size", [*SIZES, LONG])
def test_permutations_are_the_defined_ones(native: Any, size: int) -> None:
    draw = kernel(native, "random_permutation")
    for seed, offset in SEEDS:
        same(
            draw(seed=seed, offset=offset, n=size),
            DEFINED["random_permutation"](seed=seed, offset=offset, n=size),
        )


def test_a_word_is_that_of_the_definition_in_plain_integers(native: Any) -> None:
    seed, block = 2**63 + 12345, 2**32 + 7
    where = {"seed": seed, "offset": block, "shape": (4,), "dtype": rushlight.int64}
    got = kernel(native, "random_integers")(**where, low=0, high=2**16)
    words = philox((block % 2**32, block >> 32, 0, 0), seed)
    assert got.tolist() == [word >> 16 for word in words]


def test_draws_do_not_depend_on_the_number_of_threads(native: Any) -> None:
    library = native.runtime(0).tier.library
    before, where = library.get_threads(), {"seed": 1, "offset": 1}
    draw, drop = kernel(native, "random_normal"), kernel(native, "dropout")
    x = np.ones(LONG, np.float32)
    try:
        results = []
        for threads in (1, 2, 5):
            library.set_threads(threads)
            out, kept = drop(x, p=0.3, **where)
            normals = draw(**where, shape=(LONG,), dtype=rushlight.float32)
            results.append(normals.tobytes() + out.tobytes() + kept.tobytes())
    finally:
        library.set_threads(before)
    assert results[0] == results[1] == results[2]


def test_what_is_not_covered_goes_to_numpy(native: Any) -> None:
    where = {"seed": 1, "offset": 1, "shape": (4,)}
    draw = kernel(native, "random_integers")
    assert draw(**where, low=0, high=2**33, dtype=rushlight.int64) == "declined"
    assert draw(**where, low=-(2**63), high=2**63, dtype=rushlight.int64) == "declined"
    assert draw(**where, low=0, high=5, dtype=rushlight.int16) == "declined"
    assert kernel(native, "random_normal")(**where, dtype=rushlight.bfloat16) == "declined"
    assert kernel(native, "random_bernoulli")(np.full(4, 0.5), **where) == "declined"
    assert kernel(native, "random_bernoulli")(float("nan"), **where) == "declined"
    x = np.ones((4, 4), np.float32)
    assert kernel(native, "dropout")(x.T[:2], p=0.5, seed=1, offset=1) == "declined"
