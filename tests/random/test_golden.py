"""Bits that no release of a major version may change, and the generator's published answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight import _dtypes, _philox
from rushlight.backend.arrays.random import random_kernels
from rushlight.testing.golden import FROZEN, KNOWN_ANSWERS
from rushlight_cpu.kernels.random import KERNELS

KERNELS_BY_FAMILY = {"array": random_kernels(np), "cpu": KERNELS}

DRAWS = [(place, draw, bits) for place, draws in FROZEN.items() for draw, bits in draws.items()]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "block"), KNOWN_ANSWERS)
def test_definition_gives_the_published_answers(counter: str, key: str, block: str) -> None:
    low, high = words(key)
    assert list(_philox.philox(words(counter), low + (high << 32))) == words(block)


@pytest.mark.parametrize("family", KERNELS_BY_FAMILY)
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 0xA4093822299F31D0, 2**64 - 1])
@pytest.mark.parametrize("offset", [0, 1, 2**32 - 2, 2**64 - 2])
def test_words_are_those_of_the_definition(family: str, seed: int, offset: int) -> None:
    expected = [
        word
        for block in range(offset, offset + 4)
        for word in _philox.philox((block % 2**32, block >> 32 & 0xFFFFFFFF, 0, 0), seed)
    ]
    found = KERNELS_BY_FAMILY[family]["random_bits"](seed=seed, offset=offset, count=15)
    assert found.dtype == np.uint32
    assert found.tolist() == expected[:15]


@pytest.mark.parametrize("family", KERNELS_BY_FAMILY)
@pytest.mark.parametrize(("place", "draw", "bits"), DRAWS)
def test_frozen_bits(family: str, place: tuple[int, int], draw: str, bits: str) -> None:
    name, *arguments = draw.split()
    kernel = KERNELS_BY_FAMILY[family][name]
    at: dict[str, Any] = {"seed": place[0], "offset": place[1]}
    if name == "random_bits":
        assert kernel(**at, count=8).tolist() == words(bits)
    elif name == "random_permutation":
        assert kernel(**at, n=12).tolist() == [int(i) for i in bits.split()]
    elif name == "random_bernoulli":
        assert kernel(0.3, **at, shape=(24,)).tolist() == [bit == "1" for bit in bits]
    elif name == "random_integers":
        low, high = map(int, arguments)
        out = kernel(**at, shape=(4,), low=low, high=high, dtype=_dtypes.int64)
        assert out.tolist() == [int(i) for i in bits.split()]
    else:
        dtype = _dtypes.dtype_named(arguments[0])
        out = kernel(**at, shape=(len(bits.split()),), dtype=dtype)
        assert out.dtype == dtype.numpy
        assert out.view(f"u{dtype.itemsize}").tolist() == words(bits)
