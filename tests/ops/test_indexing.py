"""Subscripts: what they select, what they share, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl

KEYS: list[Any] = [
    0,
    -1,
    slice(1, None),
    slice(None, None, 2),
    slice(5, 9),
    None,
    Ellipsis,
    (slice(None), 1),
    (0, slice(1, 3), -1),
    (Ellipsis, 0),
    (None, Ellipsis, slice(0, 4, 3), None),
    (0, 0, 0),
    (),
]


def array() -> Any:
    return np.arange(60, dtype=np.float32).reshape(3, 4, 5)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_basic_subscript_selects_what_numpy_does_and_shares_memory(key: Any) -> None:
    base = array()
    x = rl.tensor(base.tolist())
    view = x[key]
    assert np.array_equal(view.numpy(), base[key])
    base[key] = -1
    view[...] = -1.0
    assert np.array_equal(x.numpy(), base)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_gradient_of_a_subscript_is_one_where_it_looks(key: Any) -> None:
    x = rl.tensor(array().tolist(), requires_grad=True)
    x[key].sum().backward()
    expected = np.zeros_like(array())
    expected[key] = 1
    assert x.grad is not None and np.array_equal(x.grad.numpy(), expected)


def test_integer_applies_before_index_tensors_so_their_place_is_kept() -> None:
    x = rl.tensor(array().tolist())
    i = rl.tensor([0, 1])
    # NumPy counts the 0 as an index array and moves the indexed dimension to the front.
    assert tuple(x[0, :, i].shape) == (4, 2)
    assert tuple(x[i, :, i].shape) == (2, 4)
    assert tuple(x[:, i, i].shape) == (3, 2)


def test_mask_of_leading_dimensions_selects_rows() -> None:
    base = array()
    mask = base[:, :, 0] > 20
    x = rl.tensor(base.tolist())
    assert np.array_equal(x[rl.tensor(mask.tolist())].numpy(), base[mask])
    x[rl.tensor(mask.tolist())] = 0.0
    base[mask] = 0
    assert np.array_equal(x.numpy(), base)


def test_write_through_an_index_reaches_base_and_history() -> None:
    x = rl.zeros(3, 2).requires_grad_(True)
    value = rl.ones(2).requires_grad_(True)
    y = x * 2
    y[1:][rl.tensor([1])] = value
    (y * y).sum().backward()
    assert y.tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    assert value.grad is not None and value.grad.tolist() == [2.0, 2.0]
    assert x.grad is not None and x.grad.tolist() == [[0.0, 0.0]] * 3


def test_plain_write_by_index_counts_as_a_write() -> None:
    x = rl.zeros(4)
    before = x._version
    x[rl.tensor([1, 2])] = 3.0
    x[0] = 1.0
    x[x > 2] = 5.0
    assert x.tolist() == [1.0, 5.0, 5.0, 0.0]
    assert x._version == before + 3


def test_refused_write_leaves_the_tensor_alone() -> None:
    x = rl.zeros(3)
    with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 3"):
        x[rl.tensor([0, 7])] = 1.0
    with pytest.raises(RuntimeError, match="cannot be broadcast to indexing result"):
        x[rl.tensor([0, 1])] = rl.ones(3)
    assert x.tolist() == [0.0, 0.0, 0.0] and x._version == 0


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        (3, IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (1.5, IndexError, "only integers, slices"),
        (np.array([0.5]), IndexError, "must be long, int, byte or bool"),
        (np.array([True, False]), IndexError, "The shape of the mask"),
        ((np.array([0, 1]), np.array([0, 1, 2])), IndexError, "could not be broadcast together"),
    ],
    ids=str,
)
def test_bad_subscript_says_why(key: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        rl.tensor(array().tolist())[key]


def test_prod_derivative_with_a_single_zero_is_the_product_of_the_others() -> None:
    src = rl.tensor([0.0, 3.0, 4.0], requires_grad=True)
    out = rl.scatter_reduce(rl.ones(1), 0, rl.tensor([0, 0, 0]), src, "prod")
    out.sum().backward()
    assert src.grad is not None and src.grad.tolist() == [12.0, 0.0, 0.0]


def test_equal_indices_add_up_also_in_many_rounds() -> None:
    index = np.arange(500) % 3
    rows = np.ones((500, 4), np.float32)
    out = rl.zeros(3, 4).index_add_(0, rl.tensor(index.tolist()), rl.tensor(rows.tolist()))
    assert out[:, 0].tolist() == [167.0, 167.0, 166.0]


def test_index_with_a_batch_on_every_side_keeps_the_layout() -> None:
    base = array()
    x, i = rl.tensor(base.tolist()), rl.tensor([[0, 1], [2, 3], [1, 0]])
    out = rl.func.vmap(lambda a, j: a[:, j])(x.permute(0, 2, 1), i)
    expected = np.stack([base[n].T[:, i.numpy()[n]] for n in range(3)])
    assert np.array_equal(out.numpy(), expected)


def test_index_add_with_batched_indices_takes_alpha_as_it_is() -> None:
    x = rl.zeros(3, dtype=rl.complex128)
    index, source = rl.tensor([[0, 2], [1, 1]]), rl.ones(2, dtype=rl.complex128)
    found = rl.func.vmap(lambda i: x.index_add(0, i, source, alpha=2j))(index)
    assert found.tolist() == [[2j, 0, 2j], [0, 4j, 0]]
