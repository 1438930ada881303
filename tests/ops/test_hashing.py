"""hash_tensor, unravel_index and grid_sampler: what is particular to them."""

import functools
import operator

import numpy as np
import pytest

import rushlight as rl


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 33])
def test_hash_is_exclusive_or_of_the_wide_bits(count):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    expected = functools.reduce(operator.xor, values.astype(np.float64).view(np.uint64), 0)
    assert rl.hash_tensor(rl.from_numpy(values)).item() == int(expected)


def test_hash_of_rows_and_of_all_dimensions_agree():
    x = rl.arange(24).reshape(2, 3, 4)
    rows = rl.hash_tensor(x, (1, 2), keepdim=True)
    assert rows.shape == (2, 1, 1)
    assert rl.hash_tensor(rows.view(rl.int64)).item() == rl.hash_tensor(x).item()


def test_hash_refuses_other_modes():
    with pytest.raises(RuntimeError, match="the only mode is 0"):
        rl.hash_tensor(rl.zeros(2), mode=1)


def test_unravel_index_agrees_with_numpy():
    places = rl.arange(24)
    found = rl.unravel_index(places, (2, 3, 4))
    for mine, theirs in zip(found, np.unravel_index(np.arange(24), (2, 3, 4)), strict=True):
        assert mine.tolist() == theirs.tolist()


def test_unravel_index_refuses_floats():
    with pytest.raises(TypeError, match="integer tensor"):
        rl.unravel_index(rl.zeros(2), (2,))


def test_places_outside_count_as_zero_whatever_lies_at_the_border():
    image = rl.full((1, 1, 2, 2), float("inf"))
    far = rl.full((1, 1, 1, 2), 5.0)
    assert rl.grid_sampler(image, far, 1, 0, False).item() == 0.0


def test_grid_sampler_refuses_dtypes_that_differ():
    with pytest.raises(RuntimeError, match="same dtype"):
        rl.grid_sampler(rl.zeros(1, 1, 2, 2), rl.zeros(1, 1, 1, 2, dtype=rl.float64), 0, 0, True)
