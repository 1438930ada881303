"""The engine: what backward and grad compute, when they refuse, and what they leave behind."""

import gc
import threading
import weakref

import pytest

import rushlight as rl
from rushlight import Tensor


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


def test_backward_adds_to_grad() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_backward_of_a_vector_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar"):
        (x * 2).backward()
    (x * 2).backward(rl.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_backward_refuses_a_gradient_of_another_shape() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(rl.tensor([1.0, 1.0, 1.0]))


def test_backward_refuses_what_was_not_recorded() -> None:
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        rl.tensor(1.0).backward()


def test_second_backward_of_a_freed_graph_is_an_error() -> None:
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_retained_graph_runs_again_with_the_same_result() -> None:
    x = leaf(3.0)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    x.grad = None
    y.backward()
    assert x.grad.tolist() == first.tolist()


def test_graph_without_saved_values_is_never_freed() -> None:
    x = leaf(3.0)
    y = (x + x).sum()
    y.backward()
    y.backward()
    assert x.grad.item() == 4.0


def test_third_derivative() -> None:
    x = rl.tensor(2.0, requires_grad=True)
    y = x**4
    for expected in (32.0, 48.0, 48.0):
        (y,) = rl.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_create_graph_of_backward_leaves_a_differentiable_grad() -> None:
    x = rl.tensor(3.0, requires_grad=True)
    (x**3).backward(create_graph=True)
    (second,) = rl.autograd.grad(x.grad, x)
    assert second.item() == 18.0


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(1.0), leaf(1.0)
    (x + y).backward(rl.tensor([1.0]))
    x.grad.add_(5.0)
    assert y.grad.item() == 1.0


def test_gradient_does_not_share_memory_with_the_given_one() -> None:
    x = leaf(1.0)
    g = rl.tensor([2.0])
    x.backward(g)
    g.add_(1.0)
    assert x.grad.item() == 2.0


def test_retained_gradients_do_not_share_memory() -> None:
    x = leaf(1.0)
    a, b = x * 1, x * 1
    a.retain_grad()
    b.retain_grad()
    (a + b).backward(rl.tensor([1.0]))
    a.grad.add_(5.0)
    assert b.grad.item() == 1.0


def test_gradients_by_inputs_do_not_share_memory() -> None:
    x, y = leaf(1.0), leaf(1.0)
    (x + y).backward(rl.tensor([1.0]), inputs=[x, y])
    x.grad.add_(5.0)
    assert y.grad.item() == 1.0


def test_grad_of_the_view_of_a_gradient_is_the_leafs_own() -> None:
    x = leaf(1.0, 2.0)
    g = rl.ones(2, 1)
    x.view(2, 1).backward(g)
    x.grad.add_(1.0)
    assert g.tolist() == [[1.0], [1.0]]


def test_backward_with_inputs_touches_no_other_leaf() -> None:
    x, y = leaf(2.0), leaf(3.0)
    (x * y).backward(rl.tensor([1.0]), inputs=x)
    assert x.grad.item() == 3.0
    assert y.grad is None


def test_backward_with_inputs_accepts_a_tensor_that_is_not_a_leaf() -> None:
    x = leaf(2.0)
    y = x * 3
    (y * y).backward(rl.tensor([1.0]), inputs=[y])
    assert y.grad.item() == 12.0
    assert x.grad is None


def test_backward_with_empty_inputs_is_an_error() -> None:
    x = leaf(2.0)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (x * 2).backward(rl.tensor([1.0]), inputs=[])


def test_backward_of_several_roots() -> None:
    x = leaf(2.0)
    rl.autograd.backward([x * 2, x * x], [rl.tensor([1.0]), rl.tensor([10.0])])
    assert x.grad.item() == 42.0


def test_grad_of_unused_input() -> None:
    x, y = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        rl.autograd.grad((x * 2).sum(), [x, y])
    found = rl.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert found[1] is None
    found = rl.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    assert found[1].tolist() == [0.0]


def test_materialize_grads_excludes_disallowing_unused() -> None:
    x = leaf(1.0)
    with pytest.raises(ValueError, match="allow_unused"):
        rl.autograd.grad((x * 2).sum(), x, allow_unused=False, materialize_grads=True)


def test_grad_by_a_tensor_without_requires_grad_is_an_error() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        rl.autograd.grad((x * 2).sum(), rl.tensor([1.0]))


def test_grad_by_an_intermediate_result_and_by_the_output_itself() -> None:
    x = leaf(2.0)
    y = x * x
    z = (y * 3).sum()
    by_y, by_x, by_z = rl.autograd.grad(z, [y, x, z])
    assert (by_y.item(), by_x.item(), by_z.item()) == (3.0, 12.0, 1.0)
    assert x.grad is None


def test_grad_does_not_run_nodes_that_lead_nowhere() -> None:
    class Fails(rl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise AssertionError("this node leads to no wanted input")

    x, y = leaf(1.0), leaf(1.0)
    (g,) = rl.autograd.grad((Fails.apply(x) + y * 2).sum(), y)
    assert g.item() == 2.0


def test_batched_gradients_equal_one_pass_each() -> None:
    x = leaf(1.0, 2.0, 3.0)
    seeds = rl.eye(3)
    (rows,) = rl.autograd.grad(x * x, x, seeds, is_grads_batched=True)
    assert rows.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]


def test_broadcast_operand_gets_the_sum() -> None:
    x, y = leaf(1.0), rl.ones(2, 3, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert y.grad.shape == (2, 3)


def test_gradient_has_the_dtype_of_the_leaf() -> None:
    x = rl.tensor([1.0], dtype=rl.float64, requires_grad=True)
    y = rl.tensor([2.0], requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (rl.float64, rl.float32)


def test_complex_gradient_is_that_of_the_conjugate() -> None:
    z = rl.tensor([3 + 4j], requires_grad=True)
    (z * z.conj()).real.sum().backward()
    assert z.grad.tolist() == [6 + 8j]


def test_complex_output_needs_a_gradient() -> None:
    z = rl.tensor(3 + 4j, requires_grad=True)
    with pytest.raises(RuntimeError, match="real scalar outputs"):
        (z * z).backward()


def test_real_operand_of_a_complex_product_gets_a_real_gradient() -> None:
    x = leaf(2.0)
    (x * (1 + 2j)).abs().sum().backward()
    assert x.grad.dtype is rl.float32
    assert x.grad.item() == pytest.approx(5**0.5)


def test_deep_graph_needs_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1.0
    (g,) = rl.autograd.grad(y.sum(), x)
    assert g.item() == 1.0
    del y


def test_diamond_runs_every_node_once() -> None:
    x = leaf(1.0)
    calls = []
    y = x * 1
    y.register_hook(lambda g: calls.append(g.item()))
    for _ in range(3):
        z = y + y
    (z + y).sum().backward()
    assert calls == [3.0]


def test_dropping_the_loss_frees_the_graph_at_once() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x.exp()  # keeps its own result
        array = weakref.ref(y.detach().numpy())
        node = weakref.ref(y.grad_fn)
        z = (y * y).sum()
        del y
        assert array() is not None
        del z
        assert array() is None
        assert node() is None
    finally:
        gc.enable()


def test_backward_frees_saved_arrays() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x.exp()
        array = weakref.ref(y.detach().numpy())
        z = (y * 2).sum()
        del y
        z.backward()
        assert array() is None
    finally:
        gc.enable()


def test_two_threads_on_one_retained_graph() -> None:
    x = leaf(*[1.0] * 100)
    y = x
    for _ in range(200):
        y = (y * 1.01).sin()
    root = y.sum()
    (expected,) = rl.autograd.grad(root, x, retain_graph=True)
    found: list[object] = []

    def work() -> None:
        for _ in range(5):
            found.append(rl.autograd.grad(root, x, retain_graph=True)[0].tolist())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [expected.tolist()] * 10


def test_backward_inside_backward() -> None:
    class Nested(rl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with rl.enable_grad():
                inner = x.detach().requires_grad_()
                (inner**3).sum().backward()
            return inner.grad * g

    x = leaf(2.0)
    (Nested.apply(x * 2) * 2).sum().backward()
    assert x.grad.item() == 2 * 3 * 16 * 2


def test_failing_backward_leaves_modes_as_they_were() -> None:
    x = leaf(2.0)
    y = x * x

    def hook(g: Tensor) -> None:
        raise KeyError("mine")

    y.register_hook(hook)
    with pytest.raises(KeyError, match="mine"):
        y.sum().backward()
    assert rl.is_grad_enabled()
    assert (x * x).requires_grad


def test_operator_without_derivative_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    y = leaf(1.5) * rl.tensor([9.0])
    monkeypatch.setattr(y.grad_fn.op, "vjp_rule", None)
    with pytest.raises(RuntimeError, match="derivative for mul is not implemented"):
        y.sum().backward()


def test_assigned_grad_is_checked() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match="expected to be a Tensor or None"):
        x.grad = 3
    with pytest.raises(RuntimeError, match="different size"):
        x.grad = rl.zeros(3)
    with pytest.raises(RuntimeError, match="different type"):
        x.grad = rl.zeros(2, dtype=rl.float64)
    with pytest.raises(RuntimeError, match="own grad"):
        x.grad = x
    x.grad = rl.zeros(2)
    del x.grad
    assert x.grad is None


def test_integers_cannot_require_grad() -> None:
    with pytest.raises(RuntimeError, match="floating point and complex"):
        rl.tensor([1]).requires_grad_()


def test_requires_grad_of_a_result_cannot_be_switched_off() -> None:
    y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="leaf variables"):
        y.requires_grad_(False)
    assert y.requires_grad


def test_graph_is_public() -> None:
    x = leaf(1.0)
    y = (x * 2).sum()
    assert y.grad_fn.name() == "SumBackward0"
    ((multiply, index),) = y.grad_fn.next_functions
    assert (multiply.name(), index) == ("MulBackward0", 0)
    accumulate = multiply.next_functions[0][0]
    assert accumulate.variable is x
    assert accumulate == (x * 3).grad_fn.next_functions[0][0]
    assert multiply.next_functions[1] == (None, 0)
    assert (x.is_leaf, y.is_leaf, x.grad_fn) == (True, False, None)
    y.grad_fn.metadata["note"] = 1
    assert y.grad_fn.metadata == {"note": 1}


def test_output_nr_counts_the_results_of_one_call() -> None:
    x = leaf(3.0, 1.0)
    values, indices = x.sort()
    assert values.output_nr == 0
    assert not indices.requires_grad
    first, second = Two.apply(x)
    assert (first.output_nr, second.output_nr) == (0, 1)
    second.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


class Two(rl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, a, b):
        return a * 2 + b * 3


def test_graph_of_a_call_with_several_results_is_freed_at_once() -> None:
    gc.disable()
    try:
        x = leaf(3.0, 1.0)
        values, _ = x.sort()
        node = weakref.ref(values.grad_fn)
        del values, _
        assert node() is None
    finally:
        gc.enable()


# -- views that cut a tensor up ---------------------------------------------------------------


def pieces(x: Tensor) -> Tensor:
    """Every kind of selection, some twice, and the whole beside them."""
    total = sum((i + 1.0) * row.sum() for i, row in enumerate(x.unbind(0)))
    left, right = x.split([1, 3], dim=1)
    parts = [left.exp(), right * 3, x[1:, ::2] ** 2, x[None, 2], x.diagonal(), x * x, x[2]]
    return total + sum(part.sum() for part in parts)


@pytest.mark.parametrize("of", ["leaf", "result"])
def test_gradients_of_selections_add_up(of: str) -> None:
    x = rl.arange(12.0).reshape(3, 4).div(7).requires_grad_()
    pieces(x if of == "leaf" else x * 2).backward()
    (slow,) = rl.autograd.grad(pieces(x if of == "leaf" else x * 2), x, create_graph=True)
    (asked,) = rl.autograd.grad(pieces(x if of == "leaf" else x * 2), x)
    assert slow.requires_grad
    assert rl.allclose(x.grad, slow.detach())
    assert rl.equal(x.grad, asked)


def test_hooks_see_the_whole_gradient_of_what_was_cut_up() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    seen: list[object] = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    a, b, c = y.unbind()
    (a + 2 * b + 3 * c + a * a).backward()
    assert seen == [[5.0, 2.0, 3.0]]
    assert y.grad.tolist() == [5.0, 2.0, 3.0]
    assert x.grad.tolist() == [10.0, 4.0, 6.0]


def test_a_tensor_cut_into_many_views_gets_one_gradient_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rushlight._registered import operators

    made: list[tuple[int, ...]] = []
    full = operators["full"].function

    def counting(size: tuple[int, ...], *rest: object, **options: object) -> Tensor:
        made.append(size)
        return full(size, *rest, **options)

    x = rl.ones(50, 4).requires_grad_()
    y = x * 2
    loss = sum(row.sum() for row in y.unbind())
    monkeypatch.setattr(operators["full"], "function", counting)
    loss.backward()
    assert made.count((50, 4)) == 1
    assert x.grad.tolist() == [[2.0] * 4] * 50


def test_a_piece_of_another_result_keeps_its_gradient() -> None:
    """The buffer of one tensor is not written to after it was handed on."""
    x = leaf(1.0, 2.0)
    y = x.clone()
    z = y.clone()
    z.retain_grad()
    y.retain_grad()
    (y[0] * 5 + z[0] * 2 + z[1] * 3).backward()
    assert z.grad.tolist() == [2.0, 3.0]
    assert y.grad.tolist() == [7.0, 3.0]
    assert x.grad.tolist() == [7.0, 3.0]


# -- threads ------------------------------------------------------------------------------------


def test_threads_train_side_by_side() -> None:
    """Forward, backward and the update of separate parameters, as each thread alone would do it."""

    def train(seed: int) -> list[object]:
        w = rl.full((3,), 0.1 * seed, requires_grad=True)
        data = rl.arange(12.0).reshape(4, 3) / 10
        for _ in range(30):
            loss = ((data @ w).tanh() - seed).square().mean() + w[0] * w[1:].sum()
            loss.backward()
            with rl.no_grad():
                w -= 0.05 * w.grad
            w.grad = None
        return w.tolist()

    alone = [train(seed) for seed in range(4)]
    together: dict[int, object] = {}

    def work(seed: int) -> None:
        together[seed] = train(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together.get(seed) for seed in range(4)] == alone


def test_threads_add_to_one_leaf_one_after_the_other() -> None:
    """Losses of several threads that share parameters: the sum arrives when each takes its turn."""
    w, lock = leaf(1.0, 2.0), threading.Lock()

    def work() -> None:
        for _ in range(20):
            loss = (w * w).sum()
            with lock:
                loss.backward()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.grad.tolist() == [120.0, 240.0]
