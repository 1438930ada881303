"""Writes in place, also through views, and what they do to the recorded history."""

import pytest

import rushlight as rl
from rushlight import Tensor


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


def test_write_through_a_view_reaches_the_base_and_its_history() -> None:
    w = leaf(5.0)
    x = rl.zeros(3)
    x[0] = w[0] * 2
    assert x.requires_grad
    assert x.grad_fn.name() == "CopySlices"
    (x * rl.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.tolist() == [10.0, 0.0, 0.0]
    assert w.grad.tolist() == [2.0]


def test_overwritten_part_gets_no_gradient() -> None:
    x, w = leaf(1.0, 2.0, 3.0), leaf(7.0)
    y = x * 2
    y[1:2] = w
    (y * rl.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 200.0]
    assert w.grad.tolist() == [10.0]


def test_sibling_views_see_the_new_history() -> None:
    w = leaf(3.0)
    base = rl.zeros(4)
    before, sibling = base[:2], base.view(2, 2)
    assert not sibling.requires_grad
    before[1] = w[0]
    assert sibling.requires_grad
    assert sibling.tolist() == [[0.0, 3.0], [0.0, 0.0]]
    (sibling * rl.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert w.grad.tolist() == [2.0]


def test_view_of_a_view_of_a_transposed_base() -> None:
    x = rl.arange(6, dtype=rl.float32).view(2, 3).clone().requires_grad_()
    y = x * 1
    y.t()[1:, 0].mul_(10.0)
    assert y.tolist() == [[0.0, 10.0, 20.0], [3.0, 4.0, 5.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 10.0, 10.0], [1.0, 1.0, 1.0]]


def test_write_to_the_base_reaches_views_made_before() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    part = y[0]
    y.mul_(3.0)
    part.backward()
    assert x.grad.tolist() == [3.0, 0.0]


def test_two_writes_through_different_views() -> None:
    a, b = leaf(2.0), leaf(3.0)
    x = rl.zeros(2, 2)
    x[0] = a
    x[:, 1] = b
    (x * rl.tensor([[1.0, 2.0], [4.0, 8.0]])).sum().backward()
    assert a.grad.tolist() == [1.0]
    assert b.grad.tolist() == [10.0]


def test_in_place_arithmetic_is_differentiated() -> None:
    x = leaf(2.0)
    y = x * 1
    y.mul_(3.0).add_(x).exp_()
    y.sum().backward()
    assert x.grad.item() == pytest.approx(4 * 2980.958, rel=1e-5)


def test_in_place_twice_differentiated() -> None:
    x = rl.tensor(2.0, requires_grad=True)
    y = rl.zeros(2)
    y[0] = x**3
    y[1].add_(x)
    (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = rl.autograd.grad(g, x)
    assert (g.item(), second.item()) == (13.0, 12.0)


def test_write_to_a_leaf_is_refused_before_it_happens() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.add_(1.0)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0] = 5.0
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        x.view(2, 1)[0].zero_()
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0


def test_write_to_a_leaf_under_no_grad() -> None:
    x = leaf(1.0, 2.0)
    with rl.no_grad():
        x.add_(1.0)
        x[0] = 5.0
    assert x.tolist() == [5.0, 3.0]
    assert x.is_leaf and x.requires_grad


def test_a_view_can_be_a_leaf_of_its_own() -> None:
    base = rl.zeros(4)
    part = base[:2].requires_grad_()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        part.add_(1.0)
    base[2:].copy_(leaf(1.0, 1.0))
    assert part.is_leaf and part.requires_grad
    part.sum().backward()
    assert part.grad.tolist() == [1.0, 1.0]


def test_copy_keeps_the_hooks_of_target_and_source_apart() -> None:
    x = leaf(1.0)
    y = x * 2
    z = rl.zeros(1)
    z.copy_(y)
    seen = {}
    z.register_hook(lambda g: seen.update(z=g.item()))
    y.register_hook(lambda g: seen.update(y=g.item()))
    (z * 3 + y * 5).sum().backward()
    assert seen == {"z": 3.0, "y": 8.0}


def test_copy_converts_and_broadcasts_with_history() -> None:
    w = rl.tensor([2.0], dtype=rl.float64, requires_grad=True)
    x = rl.zeros(3)
    x.copy_(w)
    x.sum().backward()
    assert w.grad.tolist() == [3.0]
    assert w.grad.dtype is rl.float64


def test_retain_grad_follows_an_in_place_write() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    y.mul_(5.0)
    assert y.retains_grad
    (y * 7).sum().backward()
    assert y.grad.item() == 7.0
    assert x.grad.item() == 105.0


def test_detach_shares_memory_and_no_history() -> None:
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert not y.requires_grad and y.is_leaf
    z = x.detach()
    z[0] = 9.0
    assert x.tolist() == [9.0, 2.0]
    assert not z._is_view()


def test_detach_in_place_makes_a_leaf() -> None:
    y = leaf(1.0, 2.0) * 2
    assert y.detach_() is y
    assert y.is_leaf and not y.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (leaf(1.0, 2.0) * 2)[0].detach_()


def test_expanded_tensor_cannot_be_written() -> None:
    x = rl.zeros(1).expand(3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.add_(1.0)
    assert x.tolist() == [0.0] * 3


def test_in_place_keeps_dtype_and_shape_or_refuses() -> None:
    x = rl.ones(2, dtype=rl.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(rl.ones(3, 2, dtype=rl.int64))
    assert x.tolist() == [1, 1]


def test_overlapping_operands_are_read_before_they_are_written() -> None:
    x = rl.arange(6, dtype=rl.float32)
    x[1:].add_(x[:-1])
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    y = rl.arange(4, dtype=rl.float32).view(2, 2)
    y.add_(y.t())
    assert y.tolist() == [[0.0, 3.0], [3.0, 6.0]]


def test_views_know_their_base() -> None:
    x = rl.zeros(2, 3)
    view = x.view(6)[2:]
    assert view._base is x
    assert x._base is None
    assert view.storage_offset() == 2
    assert view.data_ptr() == x.data_ptr() + 8


def test_data_assignment_swaps_the_memory() -> None:
    x = leaf(1.0, 2.0)
    x.data = rl.tensor([5.0, 6.0, 7.0])
    assert x.tolist() == [5.0, 6.0, 7.0]
    assert x.is_leaf and x.requires_grad
    with pytest.raises(TypeError, match="expected a Tensor"):
        x.data = [1.0]
