"""An element depends on seed, offset and index alone: not on kernel, pieces, threads, layout."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rushlight import _dtypes, _philox
from rushlight.backend.arrays.random import random_kernels
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels import random as cpu

ARRAY = random_kernels(np)
CPU = cpu.KERNELS
FLOATS = [_dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16]
CONTINUOUS = ["random_uniform", "random_normal", "random_exponential"]
# low, high: spans served by a word, a long and a quad, at and beside their limits.
RANGES = [
    (0, 1), (-3, 2**16 - 3), (0, 2**16 + 1), (-(2**31), 2**31), (0, 2**32 + 1),
    (-(2**63), 2**63 - 1), (-(2**63), 2**63),
]  # fmt: skip
# Around the borders of blocks and pieces.
SIZES = [0, 1, 2, 3, 4, 5, 4 * cpu.STEP - 1, 4 * cpu.STEP + 3, 9 * cpu.STEP + 2]

Draw = Callable[[dict[str, Any], int, int], np.ndarray[Any, Any]]


def continuous(name: str, dtype: Any, kernels: dict[str, Any], offset: int, n: int) -> Any:
    return kernels[name](seed=77 << 30, offset=offset, shape=(n,), dtype=dtype)


def integers(low: int, high: int, dtype: Any, kernels: dict[str, Any], offset: int, n: int) -> Any:
    draw = kernels["random_integers"]
    return draw(seed=5, offset=offset, shape=(n,), low=low, high=high, dtype=dtype)


def bernoulli(p: Any, kernels: dict[str, Any], offset: int, n: int) -> Any:
    return kernels["random_bernoulli"](p, seed=9, offset=offset, shape=(n,))


def bits(kernels: dict[str, Any], offset: int, n: int) -> Any:
    return kernels["random_bits"](seed=3, offset=offset, count=n)


# name -> (draw, elements a block serves)
DRAWS: dict[str, tuple[Draw, int]] = {
    "bits": (bits, 4),
    "bernoulli": (functools.partial(bernoulli, 0.3), 4),
}
for _name in CONTINUOUS:
    for _dtype in FLOATS:
        DRAWS[f"{_name} {_dtype.name}"] = (
            functools.partial(continuous, _name, _dtype), 2 if _dtype.itemsize == 8 else 4
        )  # fmt: skip
for _low, _high in RANGES:
    for _dtype in (_dtypes.int64, _dtypes.int32, _dtypes.uint64, _dtypes.float32, _dtypes.bfloat16):
        DRAWS[f"integers {_low} {_high} {_dtype.name}"] = (
            functools.partial(integers, _low, _high, _dtype),
            4 // _philox.words_per_element("random_integers", span=_high - _low),
        )


def assert_same_bits(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = _parallel.thread_count()
    yield _parallel.set_thread_count
    _parallel.set_thread_count(before)


@pytest.mark.parametrize("draw", DRAWS)
def test_cpu_kernels_give_the_bits_of_the_array_kernels(draw: str) -> None:
    run, _ = DRAWS[draw]
    for n in SIZES:
        assert_same_bits(run(CPU, 2**32 - cpu.STEP - 7, n), run(ARRAY, 2**32 - cpu.STEP - 7, n))


@pytest.mark.parametrize("draw", DRAWS)
def test_a_draw_is_its_parts_at_their_offsets(draw: str) -> None:
    run, per_block = DRAWS[draw]
    whole = run(CPU, 11, 5 * cpu.STEP + 1)
    for first in (1, 5, cpu.STEP - 3):
        part = run(CPU, 11 + first, whole.size - first * per_block)
        assert_same_bits(part, whole[first * per_block :])
    assert_same_bits(run(CPU, 11, 6), whole[:6])


@pytest.mark.parametrize(
    "draw", ["bits", "bernoulli", "random_normal float32", "random_normal float64"]
)
def test_threads_and_pieces_do_not_change_bits(
    draw: str, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = DRAWS[draw]
    n = 300_007
    threads(1)
    alone = run(CPU, 0, n)
    threads(3)
    assert_same_bits(run(CPU, 0, n), alone)
    monkeypatch.setattr(cpu, "STEP", 1000)
    assert_same_bits(run(CPU, 0, n), alone)


def test_shape_is_row_major_over_the_same_elements() -> None:
    for name in CONTINUOUS:
        flat = CPU[name](seed=1, offset=2, shape=(60,), dtype=_dtypes.float32)
        cube = CPU[name](seed=1, offset=2, shape=(3, 4, 5), dtype=_dtypes.float32)
        scalar = CPU[name](seed=1, offset=2, shape=(), dtype=_dtypes.float32)
        assert_same_bits(cube, flat.reshape(3, 4, 5))
        assert scalar.shape == ()
        assert scalar == flat[0]


@pytest.mark.parametrize("kernels", [ARRAY, CPU], ids=["array", "cpu"])
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_dropout_keeps_what_bernoulli_draws_whatever_the_strides(
    kernels: dict[str, Any], dtype: Any, p: float
) -> None:
    x = (np.arange(1, 1 + 70 * 50).reshape(70, 50) % 97 + 1).astype(dtype.numpy)
    keep = kernels["random_bernoulli"](1 - p, seed=8, offset=4, shape=x.shape)
    wide = np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    scale = wide.type(1 / (1 - p) if p < 1 else 0)
    expected = (x.astype(wide) * (keep * scale)).astype(dtype.numpy)
    for strided in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        out, mask = kernels["dropout"](strided, p=p, seed=8, offset=4)
        assert_same_bits(out, expected)
        assert_same_bits(mask, keep)
        assert out.flags.c_contiguous
        assert not np.shares_memory(out, strided)


@pytest.mark.parametrize("kernels", [ARRAY, CPU], ids=["array", "cpu"])
@pytest.mark.parametrize("host", [np.float32, np.float64, np.float16])
def test_bernoulli_of_an_array_agrees_with_that_of_its_numbers(
    kernels: dict[str, Any], host: Any
) -> None:
    n = 1000
    for p in (0.0, 2.0**-20, 0.25, 0.3, 0.9995, 1.0):
        number = float(host(p))
        each = kernels["random_bernoulli"](np.full(n, p, host), seed=1, offset=0, shape=(n,))
        row = kernels["random_bernoulli"](np.full(1, p, host), seed=1, offset=0, shape=(n,))
        expected = kernels["random_bernoulli"](number, seed=1, offset=0, shape=(n,))
        assert_same_bits(each, expected)
        assert_same_bits(row, expected)
        assert number not in (0, 1) or (expected == number).all()


def test_blocks_cover_the_words_read() -> None:
    for dtype, name, n, expected in [
        (_dtypes.float32, "random_uniform", 5, 2), (_dtypes.float64, "random_uniform", 5, 3),
        (_dtypes.float64, "random_normal", 3, 2), (_dtypes.float16, "random_normal", 4, 1),
        (_dtypes.float32, "random_exponential", 0, 0), (_dtypes.float64, "random_bernoulli", 8, 2),
        (_dtypes.float64, "dropout", 8, 2), (None, "random_permutation", 6, 3),
        (None, "random_bits", 9, 3),
    ]:  # fmt: skip
        assert _philox.blocks(name, (n,), dtype) == expected
    for span, expected in [(2**16, 2), (2**16 + 1, 4), (2**32, 4), (2**32 + 1, 7), (2**64, 7)]:
        assert _philox.blocks("random_integers", (7,), _dtypes.int32, span=span) == expected
    assert _philox.blocks("random_uniform", (3, 5, 2), _dtypes.float32) == 8
    assert _philox.blocks("random_uniform", (), _dtypes.float32) == 1
