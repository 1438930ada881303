"""Views: what they share with their base, and what derivatives make of that."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl
from rushlight.func import grad, vmap


def test_views_share_memory_with_their_base() -> None:
    x = rl.zeros(2, 3)
    for view in (x.t(), x.unsqueeze(1), x.select(0, 1), x.narrow(1, 1, 2), x.diagonal(), x.view(6)):
        view.fill_(1.0)
        assert x.sum() > 0
        x.zero_()
        assert view.sum() == 0


def test_reshape_copies_only_where_strides_demand_it() -> None:
    x = rl.arange(6).view(2, 3)
    assert x.reshape(3, 2).data_ptr() == x.data_ptr()
    assert x.t().reshape(6).tolist() == [0, 3, 1, 4, 2, 5]
    assert x.t().reshape(6).data_ptr() != x.data_ptr()


def test_view_of_a_transposed_tensor_names_the_way_out() -> None:
    with pytest.raises(RuntimeError, match=r"reshape"):
        rl.zeros(2, 3).t().view(6)


def test_a_size_that_is_no_int_is_refused_even_after_an_equal_int() -> None:
    x = rl.zeros(4)
    assert x.view(2, 2).shape == (2, 2)
    with pytest.raises(TypeError):
        x.view(2.0, 2)


@pytest.mark.parametrize(("start", "length"), [(2, 5), (0, 4), (-1, 2)])
def test_narrow_beyond_the_end_says_how_long_it_may_be(start: int, length: int) -> None:
    with pytest.raises(RuntimeError, match="exceeds dimension size") as raised:
        rl.zeros(2, 3).narrow(1, start, length)
    assert f"use length={3 - start % 3}" in str(raised.value)


def test_write_through_nested_views_reaches_the_gradient_of_the_base() -> None:
    x = rl.ones(3, 3, requires_grad=True)
    y = x * 2
    y[1].narrow(0, 1, 2).mul_(5)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2, 2, 2], [2, 10, 10], [2, 2, 2]]


def test_unfold_adds_up_gradients_of_overlapping_windows() -> None:
    x = rl.zeros(5, requires_grad=True)
    x.unfold(0, 3, 1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 3, 2, 1]


def test_as_strided_gradient_counts_every_appearance() -> None:
    x = rl.zeros(4, requires_grad=True)
    (x * 1).as_strided((3, 2), (1, 1)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 2, 1]


def test_as_strided_beyond_the_memory_is_refused() -> None:
    with pytest.raises(RuntimeError, match="out of bounds for storage"):
        rl.zeros(4).as_strided((3, 2), (2, 1))


def test_vmap_of_the_gradient_of_a_selection() -> None:
    x = rl.arange(6.0).view(2, 3)
    found = vmap(grad(lambda row: row.select(0, 1) ** 2))(x)
    assert found.tolist() == [[0, 2, 0], [0, 8, 0]]


def test_real_and_imaginary_parts_write_into_the_complex_tensor() -> None:
    z = rl.zeros(2, dtype=rl.complex64)
    rl.view_as_real(z)[0, 1] = 3.0
    z.real.fill_(1.0)
    assert z.tolist() == [1 + 3j, 1]


def test_view_as_another_dtype_reads_the_bytes() -> None:
    x = rl.tensor([1.0, -2.0])
    bits = np.array([1.0, -2.0], np.float32).view(np.int32)
    assert x.view(rl.int32).tolist() == bits.tolist()
    assert x.view(rl.uint8).shape == (8,)
    with pytest.raises(RuntimeError, match="divisible"):
        rl.zeros(3, dtype=rl.int16).view(rl.int32)


def test_unsqueeze_in_place_keeps_the_history() -> None:
    x = rl.ones(2, requires_grad=True)
    y = x * 3
    y.unsqueeze_(0)
    assert y.shape == (1, 2)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 3]


def test_detach_in_place_refuses_views() -> None:
    with pytest.raises(RuntimeError, match="detach views"):
        rl.zeros(2).view(2).detach_()


def test_tensor_split_at_indices_that_do_not_rise_gives_empty_pieces() -> None:
    pieces = rl.tensor_split(rl.arange(5), [3, 1])
    assert [p.tolist() for p in pieces] == [[0, 1, 2], [], [1, 2, 3, 4]]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_flatten_of_scalars_and_of_nothing(shape: tuple[int, ...]) -> None:
    assert rl.zeros(shape).flatten().shape == (int(np.prod(shape)),)


def test_repeat_never_shares_memory() -> None:
    x = rl.arange(2)
    x.repeat(2, 1).fill_(7)
    assert x.tolist() == [0, 1]
