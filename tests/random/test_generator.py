"""`Generator`: seeds, places in the stream, copies, and sharing between threads."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import pytest

from rushlight import _generator
from rushlight._device import device
from rushlight._generator import Generator


def test_reserve_hands_out_consecutive_parts() -> None:
    g = Generator().manual_seed(5)
    assert [g.reserve(3), g.reserve(0), g.reserve(2)] == [(5, 0), (5, 3), (5, 3)]
    assert g.get_offset() == 5


def test_threads_get_disjoint_parts() -> None:
    g = Generator()
    parts: list[int] = []
    threads = [
        threading.Thread(target=lambda: parts.extend(g.reserve(2)[1] for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(parts) == list(range(0, 4000, 2))


@pytest.mark.parametrize(
    ("seed", "kept"), [(0, 0), (-1, 2**64 - 1), (-(2**63), 2**63), (2**64 - 1, 2**64 - 1)]
)
def test_seeds_are_64_bits(seed: int, kept: int) -> None:
    g = Generator().manual_seed(seed)
    assert g.initial_seed() == kept


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seeds_beyond_64_bits_are_refused_and_change_nothing(seed: int) -> None:
    g = Generator().manual_seed(4)
    g.reserve(1)
    with pytest.raises(ValueError, match=r"does not fit 64 bits[\s\S]*to fix: +use seed % 2\*\*64"):
        g.manual_seed(seed)
    assert (g.initial_seed(), g.get_offset()) == (4, 1)


def test_a_float_is_no_seed() -> None:
    with pytest.raises(RuntimeError, match="manual_seed: expected an integer seed, but got float"):
        Generator().manual_seed(1.5)  # type: ignore[arg-type]


def test_offset_outside_the_stream() -> None:
    g = Generator()
    with pytest.raises(ValueError, match="offset -1 is outside the stream"):
        g.set_offset(-1)
    g.set_offset(2**64 - 1)
    assert g.reserve(2)[1] == 2**64 - 1
    assert g.get_offset() == 1


def test_seed_is_fresh_and_rewinds() -> None:
    g = Generator()
    g.reserve(8)
    first, second = g.seed(), g.seed()
    assert first != second == g.initial_seed()
    assert g.get_offset() == 0


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, Generator.clone_state, lambda g: pickle.loads(pickle.dumps(g))],
)
def test_copies_go_on_from_the_same_place(duplicate: Callable[[Generator], Generator]) -> None:
    g = Generator(device="cpu").manual_seed(9)
    g.reserve(7)
    other = duplicate(g)
    assert other.device == g.device
    assert other.reserve(1) == g.reserve(1) == (9, 7)
    other.reserve(1)
    assert g.get_offset() == 8


def test_manual_seed_seeds_every_device_also_those_not_yet_used() -> None:
    before = _generator.initial_seed()
    try:
        used = _generator.generator_of(device("cpu"))
        used.reserve(3)
        assert _generator.manual_seed(31) is used is _generator.default_generator
        late = _generator.generator_of(device("sim", 3))
        assert used.reserve(1) == late.reserve(1) == (31, 0)
        assert late is _generator.generator_of(device("sim:3"))
        assert _generator.seed() == late.initial_seed() == _generator.initial_seed() != 31
    finally:
        _generator.manual_seed(before)
