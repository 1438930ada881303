"""Hooks on tensors and nodes: when they run, what they see, what they may change."""

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.autograd import graph


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


def test_hook_on_a_leaf_changes_what_is_accumulated() -> None:
    x = leaf(1.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    handle.remove()
    handle.remove()
    (x * 2).sum().backward()
    assert x.grad.item() == 22.0


def test_hook_on_a_result_sees_the_complete_gradient() -> None:
    x = leaf(1.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    (y * 3 + y * 4).sum().backward()
    assert seen == [7.0]


def test_hooks_run_in_order_and_pass_on_what_they_return() -> None:
    x = leaf(1.0)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.sum().backward()
    assert y.grad.item() == 20.0
    assert x.grad.item() == 20.0


def test_order_around_a_node() -> None:
    calls = []
    x = leaf(1.0)
    y = x * 1
    y.register_hook(lambda g: calls.append("tensor"))
    y.grad_fn.register_prehook(lambda gs: calls.append("before"))
    y.grad_fn.register_hook(lambda ins, outs: calls.append("after"))
    x.register_hook(lambda g: calls.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda t: calls.append("accumulated"))
    y.sum().backward()
    assert calls == ["tensor", "before", "after", "leaf", "accumulated"]


def test_node_hooks_may_replace_gradients() -> None:
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    z.grad_fn.register_prehook(lambda gs: (gs[0] * 10,))
    handle = z.grad_fn.register_hook(lambda ins, outs: (ins[0] + outs[0], ins[1]))
    z.sum().backward(retain_graph=True)
    assert (x.grad.item(), y.grad.item()) == (40.0, 20.0)
    with handle:
        pass
    x.grad = None
    z.sum().backward()
    assert x.grad.item() == 30.0


def test_hook_sees_the_result_it_was_put_on() -> None:
    x = leaf(3.0, 4.0)
    a, b = x.unbind()
    seen = {}
    a.register_hook(lambda g: seen.update(a=g.item()))
    b.register_hook(lambda g: seen.update(b=g.item()))
    (a * 2 + b * 5).backward()
    assert seen == {"a": 2.0, "b": 5.0}


def test_post_accumulate_hook_sees_the_leaf_with_its_grad() -> None:
    x = leaf(1.0)

    def step(t: Tensor) -> None:
        with rl.no_grad():
            t.sub_(t.grad)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 5).sum().backward()
    assert x.item() == -4.0
    assert x.grad is None


def test_accumulate_node_hooks() -> None:
    x = leaf(1.0)
    node = (x * 1).grad_fn.next_functions[0][0]
    seen = []
    node.register_hook(lambda ins, outs: seen.append(outs[0].item()))
    node.register_prehook(lambda gs: (gs[0] * 2,))
    (x * 3).sum().backward()
    assert seen == [6.0]


def test_hooks_need_a_tensor_that_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        rl.ones(1).register_hook(print)
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        rl.ones(1).retain_grad()
    with pytest.raises(RuntimeError, match="non-leaf"):
        (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)


def test_hook_must_return_a_tensor_or_none() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="a hook returned int"):
        (x * 2).sum().backward()


def test_retain_grad() -> None:
    x = leaf(1.0)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    (y * 3).sum().backward(retain_graph=True)
    assert y.grad.item() == 3.0
    (y * 3).sum().backward()
    assert y.grad.item() == 6.0
    x.retain_grad()
    assert not x.retains_grad


def test_multi_hook_waits_for_all_that_the_pass_reaches() -> None:
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    d = a * b
    calls = []
    handle = graph.register_multi_grad_hook((a, b, c, d), lambda gs: calls.append(gs))
    (d * 2).sum().backward(retain_graph=True)
    assert [None if g is None else g.item() for g in calls[0]] == [4.0, 2.0, None, 2.0]
    (d * c).sum().backward(retain_graph=True)
    assert len(calls) == 2
    assert calls[1][2].item() == 2.0
    handle.remove()
    (d * 2).sum().backward()
    assert len(calls) == 2


def test_multi_hook_by_inputs_does_not_wait_for_what_is_not_computed() -> None:
    a, b = leaf(1.0), leaf(2.0)
    d = a * b
    calls = []
    graph.register_multi_grad_hook((d, a), lambda gs: calls.append(gs))
    rl.autograd.grad((d * 2).sum(), d)
    assert len(calls) == 1
    assert calls[0][1] is None


def test_multi_hook_any_calls_once_a_pass() -> None:
    a, b = leaf(1.0), leaf(2.0)
    calls = []
    graph.register_multi_grad_hook((a, b), lambda g: calls.append(g.item()), mode="any")
    (a * b).sum().backward()
    assert len(calls) == 1
    with pytest.raises(ValueError, match="'all', 'any'"):
        graph.register_multi_grad_hook((a,), print, mode="some")


def test_gradient_edges_stand_for_tensors() -> None:
    x = leaf(3.0)
    y = x * x
    edge, source = graph.get_gradient_edge(y), graph.get_gradient_edge(x)
    assert edge.node is y.grad_fn
    assert source.node.variable is x
    z = (y * 2).sum()
    by_y, by_x = rl.autograd.grad(z, [edge, source], retain_graph=True)
    assert (by_y.item(), by_x.item()) == (2.0, 12.0)
    (again,) = rl.autograd.grad(edge, x, rl.tensor([1.0]))
    assert again.item() == 6.0
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(rl.ones(1))


def test_hooks_do_not_travel_with_a_copy() -> None:
    import copy
    import pickle

    x = leaf(1.0)
    x.note = "kept"
    x.register_hook(lambda g: g * 10)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        (other * 2).sum().backward()
        assert other.grad.item() == 2.0
        assert other.note == "kept"
