"""Saved values: version counters, and hooks that take saved tensors into custody."""

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.autograd import graph


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


MODIFIED = "modified by an inplace operation"


def test_write_to_a_saved_input_is_noticed() -> None:
    x, y = leaf(1.0), rl.tensor([2.0])
    z = x * y
    y.add_(1.0)
    with pytest.raises(RuntimeError, match=MODIFIED) as raised:
        z.sum().backward()
    assert "MulBackward0" in str(raised.value)
    assert "version 1" in str(raised.value)
    assert "clone()" in str(raised.value)


def test_write_through_a_view_to_a_saved_input_is_noticed() -> None:
    x, y = leaf(1.0, 1.0), rl.tensor([2.0, 3.0])
    z = x * y
    y[0].zero_()
    with pytest.raises(RuntimeError, match=MODIFIED):
        z.sum().backward()


def test_write_to_a_saved_result_is_noticed() -> None:
    x = leaf(1.0)
    y = x.exp()
    y.mul_(2.0)
    with pytest.raises(RuntimeError, match=MODIFIED):
        y.sum().backward()


def test_write_under_no_grad_is_noticed() -> None:
    x = leaf(1.0)
    y = x * x
    with rl.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match=MODIFIED):
        y.sum().backward()


def test_write_through_detach_is_noticed_but_not_through_data() -> None:
    x = leaf(2.0)
    y = x * x
    x.data.add_(1.0)
    assert x._version == 0
    y.sum().backward()
    assert x.grad.item() == 6.0
    y = x * x
    x.detach().add_(1.0)
    with pytest.raises(RuntimeError, match=MODIFIED):
        y.sum().backward()


def test_write_to_an_operand_that_is_not_saved_is_allowed() -> None:
    x, y = leaf(1.0), rl.tensor([2.0])
    z = x + y
    y.add_(1.0)
    z.sum().backward()
    assert x.grad.item() == 1.0


def test_versions_count_writes_and_are_shared() -> None:
    x = rl.zeros(4)
    view, same = x[1:], x.detach()
    x.add_(1.0)
    view.mul_(2.0)
    assert (x._version, view._version, same._version) == (2, 2, 2)
    assert x.clone()._version == 0


def test_increment_version_counts_a_write_from_elsewhere() -> None:
    x, y = leaf(1.0), rl.tensor([2.0])
    z = x * y
    graph.increment_version([y])
    with pytest.raises(RuntimeError, match=MODIFIED):
        z.sum().backward()


def test_hooks_see_data_and_results_keep_their_history() -> None:
    seen = []

    def pack(t: Tensor) -> Tensor:
        seen.append((t.requires_grad, rl.is_grad_enabled()))
        return t.clone()

    x = leaf(3.0)
    with graph.saved_tensors_hooks(pack, lambda t: t):
        y = x.exp() * x
    (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = rl.autograd.grad(g.sum(), x)
    assert seen == [(False, False)] * len(seen)
    assert len(seen) == 3
    e3 = 20.085537
    assert g.item() == pytest.approx(4 * e3)
    assert second.item() == pytest.approx(5 * e3)


def test_innermost_hooks_win() -> None:
    calls = []

    def hooks(name: str) -> graph.saved_tensors_hooks:
        return graph.saved_tensors_hooks(lambda t: (calls.append(name), t)[1], lambda t: t)

    x = leaf(1.0)
    with hooks("outer"):
        with hooks("inner"):
            x.exp()
        x.exp()
    x.exp()
    assert calls == ["inner", "outer"]


def test_saved_on_cpu_comes_back_for_backward() -> None:
    x = leaf(1.0, 2.0)
    with graph.save_on_cpu():
        y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_unpack_hook_must_return_a_tensor() -> None:
    x = leaf(1.0)
    with graph.saved_tensors_hooks(lambda t: 1, lambda t: t):
        y = x.exp()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of"):
        y.sum().backward()


def test_pack_hook_must_not_write_to_its_argument() -> None:
    x = leaf(1.0)
    with graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t):
        with pytest.raises(RuntimeError, match="modifying its input in place"):
            x.exp()


def test_disabled_hooks_say_why() -> None:
    identity = graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    x = leaf(1.0)
    with graph.disable_saved_tensors_hooks("not in this block"):
        with pytest.raises(RuntimeError, match="not in this block"):
            with identity:
                pass
        y = x.exp()
    y.sum().backward()
    with identity, pytest.raises(RuntimeError, match="nor there"):
        with graph.disable_saved_tensors_hooks("nor there"):
            pass
    with identity:
        x.exp()


def test_identity_hooks_make_no_cycle() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        x = leaf(1.0)
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = x.exp()
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()
