"""Type promotion: by category, by rank, and through every form of a call."""

import itertools

import pytest

import rushlight as rl

CATEGORY = {
    **dict.fromkeys([rl.bool], 0),
    **dict.fromkeys([rl.uint8, rl.int8, rl.int32, rl.int64], 1),
    **dict.fromkeys([rl.float16, rl.bfloat16, rl.float32, rl.float64], 2),
    **dict.fromkeys([rl.complex64, rl.complex128], 3),
}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (rl.uint8, rl.int8, rl.int16),
        (rl.uint8, rl.int32, rl.int32),
        (rl.bool, rl.uint8, rl.uint8),
        (rl.int64, rl.float16, rl.float16),
        (rl.float16, rl.bfloat16, rl.float32),
        (rl.float32, rl.float64, rl.float64),
        (rl.complex64, rl.float64, rl.complex128),
        (rl.complex64, rl.float16, rl.complex64),
        (rl.int64, rl.complex64, rl.complex64),
    ],
)
def test_two_dtypes(a: rl.dtype, b: rl.dtype, expected: rl.dtype) -> None:
    assert rl.promote_types(a, b) is expected
    assert rl.promote_types(b, a) is expected
    x, y = rl.ones(2, dtype=a), rl.ones(2, dtype=b)
    assert (x + y).dtype is (y + x).dtype is expected


def test_promotion_is_a_semilattice() -> None:
    types = list(CATEGORY)
    for a, b in itertools.product(types, types):
        both = rl.promote_types(a, b)
        assert CATEGORY.get(both, 1) >= max(CATEGORY[a], CATEGORY[b])
        assert rl.promote_types(both, a) is both
    for a in types:
        assert rl.promote_types(a, a) is a


@pytest.mark.parametrize(
    ("tensor", "number", "expected"),
    [
        (rl.int8, 3, rl.int8),
        (rl.uint8, True, rl.uint8),
        (rl.bool, True, rl.bool),
        (rl.bool, 3, rl.int64),
        (rl.int8, 2.5, rl.float32),
        (rl.float16, 2.5, rl.float16),
        (rl.float16, 3, rl.float16),
        (rl.float64, 1j, rl.complex128),
        (rl.float32, 1j, rl.complex64),
        (rl.int64, 1j, rl.complex64),
    ],
)
def test_numbers_matter_by_category_only(
    tensor: rl.dtype, number: complex, expected: rl.dtype
) -> None:
    x = rl.ones(2, dtype=tensor)
    assert rl.result_type(x, number) is expected
    if tensor is not rl.bool or number is not True:
        assert (x * number).dtype is expected
        assert (number * x).dtype is expected


def test_tensors_without_dimensions_rank_below() -> None:
    x, zero = rl.ones(2, dtype=rl.float16), rl.tensor(1.0, dtype=rl.float64)
    assert (x + zero).dtype is rl.float16
    assert (rl.ones(2, dtype=rl.int8) + rl.tensor(300)).dtype is rl.int8
    assert (rl.ones(2, dtype=rl.int64) + zero).dtype is rl.float64
    assert (zero + rl.tensor(1.0, dtype=rl.float16)).dtype is rl.float64


def test_division_and_functions_of_integers_give_floats() -> None:
    x = rl.tensor([1, 2])
    assert (x / 2).dtype is rl.float32
    assert x.exp().dtype is rl.float32
    assert (x // 2).dtype is rl.int64
    assert rl.tensor([True]).sum().dtype is rl.int64
    assert x.to(rl.int8).sum().dtype is rl.int64


def test_comparisons_give_bool_of_the_promoted_values() -> None:
    out = rl.tensor([1, 2]) == rl.tensor([1.0, 2.5])
    assert out.dtype is rl.bool
    assert out.tolist() == [True, False]
    # 2**53 + 1 is not a float64; as integers the two differ.
    assert (rl.tensor([2**53 + 1]) == rl.tensor([2**53])).tolist() == [False]


def test_in_place_keeps_the_dtype() -> None:
    x = rl.ones(2, dtype=rl.float16)
    x += rl.ones(2, dtype=rl.float64)
    assert x.dtype is rl.float16
    y = rl.ones(2, dtype=rl.int32)
    with pytest.raises(RuntimeError, match="can't be cast"):
        y += 0.5
    assert y.tolist() == [1, 1]


def test_numbers_wrap_or_refuse() -> None:
    assert (rl.tensor([250], dtype=rl.uint8) + 10).tolist() == [4]
    with pytest.raises(RuntimeError, match="without overflow"):
        rl.ones(1, dtype=rl.int64) + 2**70


def test_can_cast() -> None:
    assert rl.can_cast(rl.float64, rl.float16)
    assert not rl.can_cast(rl.float16, rl.int64)
    assert not rl.can_cast(rl.complex64, rl.float64)
    assert rl.can_cast(rl.int64, rl.uint8)
    assert not rl.can_cast(rl.int64, rl.bool)
