"""Golden vectors: bits of random numbers that no release of a major version may change.

Every device draws these very numbers.  `tests/random/test_golden.py` holds the kernels to them, and
the conformance suite holds each device to them.
"""

from __future__ import annotations

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
# decimal.  The second seed needs its upper half, and its draws cross block 2^32; the third draws
# begin beyond it.
FROZEN: dict[tuple[int, int], dict[str, str]] = {
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
    (11, 2**40 + 3): {
        "random_bits": "71d16294 313e1d73 3d13c0b1 50ecc6a1 8de3a91f 69718254 c3289288 2ac3e6bd",
        "random_uniform float32": "3ee3a2c4 3e44f874 3e744f00 3ea1d98c",
        "random_uniform float64": (
            "3fc89f0eb9b8e8b0 3fd43b31a84f44f0 3fda5c60952378ea 3fc561f35ee19448"
        ),
        "random_normal float32": "3ee6fd73 3f9866cd 3f2ee62a bfc644bf",
        "random_exponential float32": "3f4f8203 3fd2ff59 3fb76dd6 3f936975",
        "random_integers 0 1000": "444 192 238 316",
        "random_integers -4611686018427387904 9223372036854775807": (
            "-238245508411371388 -2300515813865656858 332822531949316683 2902217142125203517"
        ),
        "random_permutation": "11 4 3 6 0 8 1 5 2 9 7 10",
        "random_bernoulli": "011000011100010001100001",
    },
}
