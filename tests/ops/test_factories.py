"""Factories and fills: dtypes, ranges at their edges, and what a dtype can hold."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl
from rushlight.func import vmap


@pytest.mark.parametrize(
    ("value", "dtype"), [(True, rl.bool), (1, rl.int64), (1.0, rl.float32), (1j, rl.complex64)]
)
def test_full_takes_the_dtype_of_its_number(value: complex, dtype: rl.dtype) -> None:
    assert rl.full((2,), value).dtype is dtype


def test_negative_numbers_wrap_around_in_unsigned_dtypes_and_larger_ones_are_refused() -> None:
    assert rl.full((1,), -1, dtype=rl.uint8).item() == 255
    with pytest.raises(RuntimeError, match="without overflow"):
        rl.full((1,), 300, dtype=rl.uint8)


def test_a_refused_fill_changes_nothing() -> None:
    x = rl.zeros(2, dtype=rl.int8)
    with pytest.raises(RuntimeError, match="without overflow"):
        x.fill_(1000)
    assert x.tolist() == [0, 0]


def test_negative_size_is_named() -> None:
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        rl.zeros(2, -1)


@pytest.mark.parametrize("arguments", [(5,), (1, 7, 2), (5, 0, -2), (0.0, 1.0, 0.1), (3, 3)])
def test_arange_has_the_length_of_numpys(arguments: tuple[float, ...]) -> None:
    np.testing.assert_allclose(rl.arange(*arguments).numpy(), np.arange(*arguments), rtol=1e-6)


def test_arange_away_from_its_end_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inconsistent with step sign"):
        rl.arange(0, 5, -1)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 6])
def test_linspace_meets_both_ends_exactly(steps: int) -> None:
    found = rl.linspace(-0.1, 0.7, steps, dtype=rl.float64)
    np.testing.assert_allclose(found.numpy(), np.linspace(-0.1, 0.7, steps), rtol=1e-15)
    if steps > 1:
        assert (found[0].item(), found[-1].item()) == (-0.1, 0.7)


def test_zeros_like_keeps_the_layout_of_a_dense_tensor() -> None:
    assert rl.zeros_like(rl.zeros(2, 3).t()).stride() == (1, 3)
    assert rl.zeros_like(rl.zeros(3, 1).expand(3, 2)).is_contiguous()


def test_new_tensors_can_be_written_under_vmap() -> None:
    def doubled(x: rl.Tensor) -> rl.Tensor:
        made = x.new_zeros(3)
        made[1:] = x
        return made

    assert vmap(doubled)(rl.ones(2, 2)).tolist() == [[0, 1, 1], [0, 1, 1]]


def test_cat_promotes_and_ignores_empty_vectors() -> None:
    joined = rl.cat([rl.zeros(0), rl.ones(1, 2, dtype=rl.int64)])
    assert joined.dtype is rl.float32
    assert joined.shape == (1, 2)


def test_cat_of_unequal_shapes_names_the_tensor() -> None:
    with pytest.raises(RuntimeError, match="Expected size 3 but got size 4 for tensor number 1"):
        rl.cat([rl.zeros(2, 3), rl.zeros(2, 4)])


def test_cat_into_one_of_its_operands_is_refused() -> None:
    x = rl.zeros(2)
    with pytest.raises(RuntimeError, match="single memory location"):
        rl.cat([x, x], out=x)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_stack_of_transposed_tensors(dim: int) -> None:
    xs = [rl.arange(6).view(2, 3).t(), rl.arange(6, 12).view(2, 3).t()]
    np.testing.assert_array_equal(rl.stack(xs, dim).numpy(), np.stack([x.numpy() for x in xs], dim))


@pytest.mark.parametrize("offset", [-2, 0, 1])
def test_diag_embed_matches_numpys_diag(offset: int) -> None:
    np.testing.assert_array_equal(
        rl.diag_embed(rl.tensor([1, 2, 3]), offset).numpy(), np.diag([1, 2, 3], offset)
    )


def test_copy_broadcasts_and_refuses_what_does_not() -> None:
    assert rl.zeros(2, 2).copy_(rl.tensor([1, 2])).tolist() == [[1, 2], [1, 2]]
    with pytest.raises(RuntimeError, match="must match the size"):
        rl.zeros(2).copy_(rl.zeros(3))


def test_frombuffer_shares_memory_and_checks_the_length() -> None:
    buffer = bytearray(4)
    x = rl.frombuffer(buffer, dtype=rl.uint8)
    x.fill_(7)
    assert bytes(buffer) == b"\x07" * 4
    with pytest.raises(ValueError, match="multiple of element size"):
        rl.frombuffer(bytearray(5), dtype=rl.int32)
