"""Custom functions: contexts, several results, in-place, double backward, jvp and vmap rules."""

import gc
import weakref
from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor, func
from rushlight.autograd import Function
from rushlight.autograd.function import once_differentiable


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        assert not rl.is_grad_enabled()
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Square(Function):
    """With `setup_context`, a jvp, and a generated vmap rule."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * g

    @staticmethod
    def jvp(ctx: Any, t: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * t


def test_function_is_one_node() -> None:
    x = leaf(2.0)
    y = Cube.apply(x)
    assert y.grad_fn.name() == "CubeBackward"
    y.sum().backward()
    assert x.grad.item() == 12.0


def test_function_is_twice_differentiable() -> None:
    x = leaf(2.0)
    (g,) = rl.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (second,) = rl.autograd.grad(g.sum(), x)
    assert second.item() == 12.0


def test_once_differentiable_refuses_a_second_time() -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: Tensor) -> Tensor:
            assert not rl.is_grad_enabled()
            return g * 2

    x = leaf(1.0)
    (g,) = rl.autograd.grad((Once.apply(x) ** 2).sum(), x, create_graph=True)
    assert g.item() == 8.0
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_nothing_is_recorded_under_no_grad() -> None:
    x = leaf(2.0)
    with rl.no_grad():
        assert not Cube.apply(x).requires_grad
    assert not Cube.apply(x.detach()).requires_grad


def test_needs_input_grad_and_arguments_that_are_no_tensors() -> None:
    seen = []

    class Scale(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, factor: float, y: Tensor) -> Tensor:
            ctx.factor = factor
            return x * factor + y

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            seen.append(ctx.needs_input_grad)
            return g * ctx.factor, None, None

    x = leaf(1.0)
    Scale.apply(x, 3.0, rl.ones(1)).sum().backward()
    assert x.grad.item() == 3.0
    assert seen == [(True, False, False)]


class Split(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, materialize: bool) -> Any:
        ctx.set_materialize_grads(materialize)
        return x * 2, "note", x * 3

    @staticmethod
    def backward(ctx: Any, a: Any, note: Any, b: Any) -> Any:
        assert note is None
        if b is None:
            return a * 200, None
        return a * 2 + b * 3, None


def test_results_without_gradient_get_zeros_or_none() -> None:
    x = leaf(1.0)
    a, note, _ = Split.apply(x, True)
    assert note == "note"
    a.sum().backward()
    assert x.grad.item() == 2.0
    x.grad = None
    a, _, _ = Split.apply(x, False)
    a.sum().backward()
    assert x.grad.item() == 200.0


def test_marked_results_have_no_derivative() -> None:
    class Mask(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Any:
            mask = x * 0 + 1
            ctx.mark_non_differentiable(mask)
            return x * 2, mask

        @staticmethod
        def backward(ctx: Any, g: Tensor, mask: Tensor) -> Tensor:
            assert mask.tolist() == [0.0]
            return g * 2

    x = leaf(1.0)
    y, mask = Mask.apply(x)
    assert not mask.requires_grad
    y.sum().backward()
    assert x.grad.item() == 2.0


class Double(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 2


def test_dirty_input_takes_over_the_history() -> None:
    x = leaf(1.0)
    y = x * 3
    out = Double.apply(y)
    assert out is y
    assert y.grad_fn.name() == "DoubleBackward"
    y.sum().backward()
    assert x.grad.item() == 6.0


def test_dirty_view_rewrites_its_base() -> None:
    x = leaf(1.0, 1.0)
    y = x * 1
    Double.apply(y[0])
    assert y.tolist() == [2.0, 1.0]
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 1.0]


def test_dirty_leaf_is_refused() -> None:
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Double.apply(leaf(1.0))


def test_argument_handed_back_is_another_tensor() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 7

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x
    assert x.is_leaf
    y.sum().backward()
    assert x.grad.item() == 7.0


def returning(gradients: Any) -> Any:
    class Returns(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, factor: Any) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            return gradients

    return Returns


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (rl.ones(2), "incorrect number of gradients .expected 2, got 1."),
        ((rl.ones(2), rl.ones(2)), "gradient different than None at position 1"),
        ((1.0, None), "expected a Tensor or None as gradient 0, got float"),
        ((rl.ones(3), None), r"invalid gradient at index 0 - got \[3\] but expected .* \[2\]"),
    ],
)
def test_wrong_gradients_are_explained(gradients: Any, message: str) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=message):
        returning(gradients).apply(x, "text").sum().backward()


def test_further_nones_are_allowed() -> None:
    x = leaf(1.0)
    returning((rl.ones(1), None, None, None)).apply(x, 1).sum().backward()
    assert x.grad.item() == 1.0


def test_saved_tensors_are_checked() -> None:
    x = leaf(2.0)
    a = x * 1
    y = Cube.apply(a)
    with rl.no_grad():
        a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = Cube.apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_saved_result_makes_no_cycle() -> None:
    class Exp(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            out = x.exp()
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * ctx.saved_tensors[0]

    gc.disable()
    try:
        x = leaf(0.0)
        y = Exp.apply(x)
        node = weakref.ref(y.grad_fn)
        (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
        assert rl.autograd.grad(g.sum(), x)[0].item() == 1.0
        del y, g
        assert node() is None
    finally:
        gc.enable()


def test_setup_context_form() -> None:
    x = leaf(3.0)
    Square.apply(x).sum().backward()
    assert x.grad.item() == 6.0


def test_missing_parts_say_so() -> None:
    class Nothing(Function):
        pass

    class Forward(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="backward"):
        Forward.apply(leaf(1.0)).sum().backward()
    with pytest.raises(NotImplementedError, match="jvp function"):
        func.jvp(Forward.apply, (rl.ones(1),), (rl.ones(1),))
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        func.vmap(Forward.apply)(rl.ones(2))


def test_jvp_rule() -> None:
    x = rl.tensor([3.0])
    value, moved = func.jvp(Square.apply, (x,), (rl.tensor([10.0]),))
    assert (value.item(), moved.item()) == (9.0, 60.0)


def test_jvp_of_the_wrong_shape_is_refused() -> None:
    class Wrong(Square):
        @staticmethod
        def jvp(ctx: Any, t: Tensor) -> Tensor:
            return rl.ones(3)

    with pytest.raises(RuntimeError, match=r"tangent of shape \(3,\)"):
        func.jvp(Wrong.apply, (rl.ones(1),), (rl.ones(1),))


def test_generated_vmap_rule_batches_forward_and_backward() -> None:
    x = rl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert func.vmap(Square.apply)(x).tolist() == [[1.0, 4.0], [9.0, 16.0]]
    per_item = func.vmap(func.grad(lambda r: Square.apply(r).sum()))(x)
    assert per_item.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    summed = func.grad(lambda t: func.vmap(Square.apply)(t).sum())(x)
    assert summed.tolist() == per_item.tolist()


def test_generated_vmap_rule_sums_the_gradient_of_a_shared_argument() -> None:
    class Product(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor, y: Tensor) -> Tensor:
            return x * y

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            x, y = ctx.saved_tensors
            return g * y, g * x

    shared = leaf(2.0)
    rows = rl.tensor([[1.0], [5.0]])
    func.vmap(Product.apply, in_dims=(None, 0))(shared, rows).sum().backward()
    assert shared.grad.item() == 6.0


def test_own_vmap_rule_is_told_the_dimensions() -> None:
    told = []

    class Own(Function):
        @staticmethod
        def forward(x: Tensor, n: int) -> Tensor:
            return x * n

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.n = inputs[1]

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            return g * ctx.n, None

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Tensor, n: int) -> Any:
            told.append((info.batch_size, info.randomness, in_dims))
            return Own.apply(x, n), in_dims[0]

    x = rl.ones(2, 3)
    out = func.vmap(lambda r: Own.apply(r, 4), in_dims=1)(x)
    assert out.shape == (3, 2)
    assert told == [(3, "error", (1, None))]
    assert (
        func.grad(lambda t: func.vmap(lambda r: Own.apply(r, 4))(t).sum())(x).tolist()
        == [[4.0] * 3] * 2
    )


def test_anomaly_mode_names_the_line_of_apply() -> None:
    x = leaf(1.0)

    class Fails(Cube):
        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            raise ValueError("mine")

    with rl.autograd.detect_anomaly():
        y = Fails.apply(x)  # the line to find
        with pytest.raises(ValueError, match="mine") as raised:
            y.sum().backward()
    assert "the line to find" in "".join(raised.value.__notes__)
