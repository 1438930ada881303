"""Bits that no release of a major version may change, and the generator's published answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight import _dtypes, _philox
from rushlight.backend.arrays.random import random_kernels
from rushlight_cpu.kernels.random import KERNELS

KERNELS_BY_FAMILY = {"array": random_kernels(np), "cpu": KERNELS}

# counter, key, block: the known answers of Philox4x32-10 in Random123, by the paper's authors.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip

# (seed, offset) -> the first elements of each draw: bits of floats in hexadecimal, integers in
# decimal.  The second seed needs its upper half, and its draws cross block 2^32.
FROZEN = {
    (0, 0): {
        "random_bits": "6627e8d5 e169c58d bc57ac4c 9b00dbd8 f8e4cca4 5cb200db b1a574eb 097eff67",
        "random_uniform float32": "3ecc4fd0 3f6169c5 3f3c57ac 3f1b00db 3f78e4cc 3eb96400 3f31a574",
        "random_normal float32": "bf7dbb31 3f6cb6af bf1e1ba0 bef6d1b3 3e1d5352 be392a68 3f54ec97",
        "random_exponential float32": (
            "3f6b2e70 3e024bd4 3e9d2408 3f00716c 3ce69da0 3f8207ae 3ebb1376"
        ),
        "random_uniform float64": (
            "3fec2d38b1acc4fd 3fe3601b7b178af5 3fd72c8036fe3932 3fa2fdfecf634ae0"
        ),
        "random_normal float64": (
            "bfd973628c131c06 bfd3dd84ff91e70e 3ff63083c830bea6 3fd511d43e0f270e"
        ),
        "random_exponential float64": (
            "3fc0497ab7861bc9 3fe00e2d82928f53 3ff040f5c8c1a4f5 400a5ab8d78d25b2"
        ),
        "random_uniform float16": "3662 3b0b 39e2 38d8 3bc7 35ca 398d",
        "random_normal float16": "bbee 3b66 b8f1 b7b7 30eb b1c9 3aa7",
        "random_exponential float16": "3b59 3012 34e9 3804 2735 3c10 35d9",
        "random_uniform bfloat16": "3ecc 3f61 3f3c 3f1b 3f78 3eb8 3f31",
        "random_normal bfloat16": "bf7e 3f6d bf1e bef7 3e1d be39 3f55",
        "random_exponential bfloat16": "3f6b 3e02 3e9d 3f00 3ce7 3f82 3ebb",
        "random_integers 0 1000": "399 880 735 605",
        "random_integers -10 1000000000": "880520196 605481849 362091109 37094071",
        "random_integers -4611686018427387904 9223372036854775807": (
            "3765190581421195577 -4098487257751873616 -852050682766700863 1292795341411110523"
        ),
        "random_permutation": "10 3 5 4 11 2 6 7 1 8 0 9",
        "random_bernoulli": "000000011011000000000100",
    },
    (202402291234567, 4294967295): {
        "random_bits": "0b1bd653 f2d3af72 c1d6c952 059e8343 45b60f20 0ac9124f 9bd78cbc 76c49b39",
        "random_uniform float32": "3d31bd60 3f72d3af 3f41d6c9 3cb3d060 3e8b6c1e 3d2c9120 3f1bd78c",
        "random_normal float32": "c01802fe 3f4bbda9 3f3d2031 3dd2001a 3fc74462 3ed810eb 3f788a52",
        "random_exponential float32": (
            "4048cbe8 3d5862d9 3e8e699d 40746a55 3fa6812b 404aafd0 3efe1f98"
        ),
        "random_uniform float64": (
            "3fee5a75ee41637a 3f967a0d0f075b20 3fa592249e8b6c10 3fddb126ce66f5e2"
        ),
        "random_normal float64": (
            "3fd49b0b4ec494cb 3fa6e14637632dd1 40039e86a014ce9d bfe217b4d8e6776a"
        ),
        "random_exponential float64": (
            "3fab0c5a438afd34 400e8d4a8baeebdb 400955fa03f6e932 3fe893803f00a76e"
        ),
        "random_uniform float16": "2980 3b96 3a0e 2580 345a 2960 38de",
        "random_normal float16": "c0c0 3a5e 39e9 2e90 3e3a 36c1 3bc4",
        "random_exponential float16": "4246 2ac3 3473 43a3 3d34 4255 37f1",
        "random_uniform bfloat16": "3d30 3f72 3f41 3ca0 3e8a 3d20 3f1b",
        "random_normal bfloat16": "c018 3f4c 3f3d 3dd2 3fc7 3ed8 3f79",
        "random_exponential bfloat16": "4049 3d58 3e8e 4074 3fa7 404b 3efe",
        "random_integers 0 1000": "43 948 757 21",
        "random_integers -10 1000000000": "948542561 21949952 42130598 463937469",
        "random_integers -4611686018427387904 9223372036854775807": (
            "-4308007010766350594 1806915879303227788 291525745152052406 3773644064532888583"
        ),
        "random_permutation": "1 2 6 9 8 5 10 3 11 4 7 0",
        "random_bernoulli": "100111000000111000011010",
    },
}

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
