"""Tensors from Python data: dtypes, shapes, refusals."""

from typing import Any

import numpy as np
import pytest

import rushlight as rl


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, rl.int64, ()),
        (3.0, rl.float32, ()),
        (True, rl.bool, ()),
        (1j, rl.complex64, ()),
        ([], rl.float32, (0,)),
        ([[1, 2], [3, 4]], rl.int64, (2, 2)),
        ([1, 2.5], rl.float32, (2,)),
        ([True, 2], rl.int64, (2,)),
        (range(3), rl.int64, (3,)),
        (np.float64(1.5), rl.float64, ()),
        (np.zeros((2, 0), np.int8), rl.int8, (2, 0)),
    ],
)
def test_inferred_dtype(data: Any, dtype: rl.dtype, shape: tuple[int, ...]) -> None:
    x = rl.tensor(data)
    assert (x.dtype, tuple(x.shape)) == (dtype, shape)


def test_tensors_within_sequences() -> None:
    assert rl.tensor([rl.tensor(1), rl.tensor(2)]).tolist() == [1, 2]
    assert rl.tensor([[rl.tensor(1.5), 2.0]]).tolist() == [[1.5, 2.0]]


def test_given_dtype() -> None:
    assert rl.tensor([1.9, -1.9], dtype=rl.int32).tolist() == [1, -1]
    assert rl.tensor([0.0, 0.1], dtype=rl.bool).tolist() == [False, True]
    assert rl.tensor(1.0 + 2.0**-7, dtype=rl.bfloat16).item() == 1.0 + 2.0**-7


def test_requires_grad_makes_a_leaf() -> None:
    x = rl.tensor([1.0], requires_grad=True)
    assert x.is_leaf and x.requires_grad
    y = rl.tensor(x * 2)
    assert y.is_leaf and not y.requires_grad


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: rl.tensor([[1, 2], [3]]), ValueError, "equal length"),
        (lambda: rl.tensor("text"), TypeError, "can't make a tensor of str"),
        (lambda: rl.tensor([None]), TypeError, "can't make a tensor"),
        (lambda: rl.tensor(object()), TypeError, "can't make a tensor of object"),
        (lambda: rl.tensor([1j], dtype=rl.float32), TypeError, "complex"),
        (lambda: rl.tensor([1], requires_grad=True), RuntimeError, "floating point and complex"),
    ],
)
def test_bad_data(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_legacy_constructor() -> None:
    assert rl.Tensor(2, 3).shape == (2, 3)
    assert rl.Tensor([1, 2]).dtype is rl.float32
    assert rl.Tensor().shape == (0,)
    with pytest.raises(TypeError, match="unexpected keyword"):
        rl.Tensor([1], dtype=rl.int64)


def test_subclass_of_a_tensor_shares_its_memory() -> None:
    class Mine(rl.Tensor):
        pass

    x = rl.zeros(2)
    mine = x.as_subclass(Mine)
    assert type(mine) is Mine
    x.add_(1)
    assert mine.tolist() == [1.0, 1.0]
    assert type(mine + 1) is Mine


def test_shape_of_a_view_and_its_strides() -> None:
    x = rl.arange(24).view(2, 3, 4)
    y = x.permute(2, 0, 1)
    assert (y.shape, y.stride(), y.is_contiguous()) == ((4, 2, 3), (1, 12, 4), False)
    assert y.contiguous().stride() == (6, 3, 1)
    assert (x.numel(), x.ndim, x.nbytes, x.element_size()) == (24, 3, 192, 8)
    assert x.size(-1) == 4
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.size(3)
