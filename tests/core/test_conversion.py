"""To and from NumPy, DLPack, Python numbers, pickle and copies."""

import copy
import pickle

import numpy as np
import pytest

import rushlight as rl
from rushlight import Tensor


def test_from_numpy_shares_memory_both_ways() -> None:
    array = np.zeros((2, 3), np.float32)[:, ::2]
    x = rl.from_numpy(array)
    x[0, 1] = 5.0
    array[1, 0] = 7.0
    assert x.tolist() == array.tolist() == [[0.0, 5.0], [7.0, 0.0]]
    assert x.stride() == (3, 2)


def test_numpy_shares_memory_also_of_views() -> None:
    x = rl.arange(6).view(2, 3)
    array = x.t().numpy()
    array[2, 1] = 50
    assert x[1, 2].item() == 50
    assert array.shape == (3, 2)


def test_tensor_copies() -> None:
    array = np.ones(2)
    x = rl.tensor(array)
    y = rl.as_tensor(array)
    array[0] = 5.0
    assert x.tolist() == [1.0, 1.0]
    assert y.tolist() == [5.0, 1.0]
    assert x.dtype is rl.float64
    z = rl.tensor([1.0])
    assert rl.as_tensor(z) is z


def test_numpy_refuses() -> None:
    x = rl.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Can't call numpy.. on Tensor that requires grad"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1.0]
    with pytest.raises(ValueError, match="negative"):
        rl.from_numpy(np.arange(3)[::-1])
    with pytest.raises(TypeError, match=r"expected numpy.ndarray, got list"):
        rl.from_numpy([1.0])  # type: ignore[arg-type]


def test_arrays_and_tensors_mix() -> None:
    x = rl.tensor([1.0, 2.0])
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.asarray(x, dtype=np.int64).dtype == np.int64
    assert isinstance(np.float32(2.0) * x, Tensor)
    assert (x * np.float32(2.0)).tolist() == [2.0, 4.0]


def test_dlpack_shares_memory() -> None:
    x = rl.arange(4, dtype=rl.float32)
    array = np.from_dlpack(x[1:])
    x[1] = 9.0
    assert array.tolist() == [9.0, 2.0, 3.0]
    y = rl.from_dlpack(np.arange(3))
    assert y.tolist() == [0, 1, 2]
    z = rl.from_dlpack(x)
    z[0] = 4.0
    assert x[0].item() == 4.0
    with pytest.raises(BufferError, match="require gradient"):
        rl.ones(1, requires_grad=True).__dlpack__()
    with pytest.raises(TypeError, match="has no __dlpack__"):
        rl.from_dlpack(3)


def test_python_numbers() -> None:
    x = rl.tensor([3.7])
    assert (int(x), float(x), bool(x), complex(x)) == (3, pytest.approx(3.7), True, x.item() + 0j)
    assert [10, 20][rl.tensor(1)] == 20
    assert f"{rl.tensor(2.5):.2f}" == "2.50"
    assert type(rl.tensor(True).item()) is bool
    assert type(rl.tensor(1).item()) is int
    assert rl.tensor(1.5, dtype=rl.bfloat16).item() == 1.5
    assert rl.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert len(rl.ones(3, 2)) == 3
    assert [row.tolist() for row in rl.tensor([[1], [2]])] == [[1], [2]]


@pytest.mark.parametrize(
    ("use", "kind", "message"),
    [
        (lambda: rl.ones(2).item(), RuntimeError, "2 elements cannot be converted to Scalar"),
        (lambda: bool(rl.ones(2)), RuntimeError, "more than one value is ambiguous"),
        (lambda: bool(rl.ones(0)), RuntimeError, "no values is ambiguous"),
        (lambda: [1][rl.tensor(0.0)], TypeError, "converted to an index"),
        (lambda: len(rl.tensor(1)), TypeError, "0-d tensor"),
        (lambda: iter(rl.tensor(1)), TypeError, "0-d tensor"),
    ],
)
def test_numbers_that_are_none(use: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        use()


def test_to_returns_itself_where_nothing_changes() -> None:
    x = rl.ones(2)
    assert x.to(rl.float32) is x
    assert x.to("cpu") is x
    assert x.to(x) is x
    assert x.to(rl.float32, copy=True) is not x
    assert x.to(rl.int64).dtype is rl.int64
    assert x.to("cpu", rl.float64).dtype is rl.float64
    assert x.double().half().bool().dtype is rl.bool
    with pytest.raises(TypeError, match="invalid combination"):
        x.to(rl.float32, "text", 3)


def test_conversion_is_differentiable() -> None:
    x = rl.ones(2, requires_grad=True)
    (x.double() * 2).sum().backward()
    assert x.grad.dtype is rl.float32
    assert x.grad.tolist() == [2.0, 2.0]


def test_meta_tensors_have_no_data() -> None:
    x = rl.ones(2, 3, device="meta")
    y = x @ rl.ones(3, 4, device="meta")
    assert (y.shape, y.is_meta) == ((2, 4), True)
    with pytest.raises(NotImplementedError, match="no data"):
        y.cpu()
    with pytest.raises(NotImplementedError, match="no data"):
        y.tolist()
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        y.sum().item()


@pytest.mark.parametrize("dtype", [rl.float32, rl.bfloat16, rl.complex64, rl.bool, rl.uint16])
def test_pickle_and_deepcopy_keep_everything(dtype: rl.dtype) -> None:
    x = rl.tensor([[0, 1], [2, 3]]).to(dtype).t()
    if dtype.is_floating_point:
        x = x.detach().clone().requires_grad_()
        x.grad = rl.ones(2, 2, dtype=dtype)
    x.note = ["text"]
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert made.dtype is dtype
        assert made.tolist() == x.tolist()
        assert made.requires_grad == x.requires_grad
        assert made.note == ["text"] and made.note is not x.note
        assert made.data_ptr() != x.data_ptr()


def test_deepcopy_keeps_identity_within_a_structure() -> None:
    x = rl.ones(1)
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert copy.copy(x).data_ptr() == x.data_ptr()


def test_results_cannot_be_copied_deeply_or_pickled() -> None:
    y = rl.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(y)
    with pytest.raises(RuntimeError, match="leaf"):
        pickle.dumps(y)
