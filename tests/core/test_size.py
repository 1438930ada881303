"""Size: a tuple of ints that stays one when it is cut and joined."""

import copy
import pickle
from typing import Any

import pytest

import rushlight as rl
from rushlight import Size


def test_it_is_a_tuple_with_a_name_and_a_product() -> None:
    size = Size([2, 3])
    assert size == (2, 3) and hash(size) == hash((2, 3))
    assert repr(size) == str(size) == "rushlight.Size([2, 3])"
    assert size.numel() == 6 and Size().numel() == 1 and Size([0, 5]).numel() == 0
    assert isinstance(rl.ones(2, 3).shape, Size)


@pytest.mark.parametrize(
    "made",
    [
        Size([1, 2, 3])[1:],
        Size([2]) + (3,),
        (2,) + Size([3]),
        Size([2, 3]) + Size([]),
        Size([2]) * 2,
        2 * Size([2]),
        copy.deepcopy(Size([2, 3])),
        pickle.loads(pickle.dumps(Size([2, 3]))),
    ],
)
def test_what_is_made_of_sizes_is_a_size(made: Any) -> None:
    assert type(made) is Size


def test_an_index_gives_an_int() -> None:
    assert Size([4, 5])[-1] == 5 and type(Size([True])[0]) is int


def test_lengths_must_be_ints() -> None:
    with pytest.raises(TypeError, match="length 1 is not an int"):
        Size([1, 2.5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="length 1 is not an int"):
        Size([1]) + ("a",)
    with pytest.raises(TypeError, match="can only add a tuple"):
        Size([1]) + [2]  # type: ignore[operator]
