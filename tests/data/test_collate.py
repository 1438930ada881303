"""How samples become a batch."""

import collections
from typing import NamedTuple

import numpy as np
import pytest

import rushlight
from rushlight.utils import data


class Pair(NamedTuple):
    x: object
    y: object


def test_tensors_are_stacked():
    batch = data.default_collate([rushlight.zeros(2), rushlight.ones(2)])
    assert batch.tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([1, 2], "int64"),
        ([1.0, 2.0], "float64"),
        ([True, False], "bool"),
        ([np.float32(1), np.float32(2)], "float32"),
        ([np.array(1, np.int16), np.array(2, np.int16)], "int16"),
        ([np.ones(2), np.ones(2)], "float64"),
    ],
)
def test_numbers_and_arrays_keep_their_type(samples, dtype):
    batch = data.default_collate(samples)
    assert batch.dtype == getattr(rushlight, dtype)
    assert batch.tolist() == np.stack(samples).tolist()


def test_structures_are_collated_entry_by_entry():
    batch = data.default_collate([{"a": (1, "x"), "b": Pair(1.0, b"p")}] * 2)
    assert batch["a"][0].tolist() == [1, 1] and list(batch["a"][1]) == ["x", "x"]
    assert isinstance(batch["b"], Pair) and list(batch["b"].y) == [b"p", b"p"]


def test_mappings_keep_their_type():
    sample = collections.defaultdict(int, a=1)
    batch = data.default_collate([sample, sample])
    assert isinstance(batch, collections.defaultdict) and batch["a"].tolist() == [1, 1]
    assert sample["a"] == 1


@pytest.mark.parametrize(
    ("samples", "kind", "text"),
    [
        ([None], TypeError, "NoneType"),
        ([object()], TypeError, "object"),
        ([1j], TypeError, "complex"),
        ([np.array(["a"])], TypeError, "<U1"),
        ([[1], [1, 2]], RuntimeError, "equal size"),
        ([{"a": 1}, {"b": 1}], KeyError, "a"),
    ],
)
def test_what_cannot_be_collated_is_told(samples, kind, text):
    with pytest.raises(kind, match=text):
        data.default_collate(samples)


def test_convert_changes_arrays_only():
    converted = data.default_convert({"x": [np.zeros(2), 3], "t": (np.float32(1), "s")})
    assert converted["x"][0].tolist() == [0.0, 0.0] and converted["x"][1] == 3
    assert converted["t"][0].item() == 1.0 and converted["t"][1] == "s"
    assert isinstance(data.default_convert(Pair(np.zeros(1), 1)), Pair)


def test_a_table_of_ones_own():
    from rushlight.utils.data.collate import collate, default_collate_fn_map

    table = {complex: lambda batch, *, collate_fn_map: sum(batch), **default_collate_fn_map}
    assert collate([1j, 2j], collate_fn_map=table) == 3j
