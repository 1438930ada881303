"""`rushlight.func`: transforms of functions, and transforms of transformed functions."""

from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
    vmap,
)

X = rl.tensor([1.0, 2.0, 3.0])
ROWS = rl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def cubes(x: Tensor) -> Tensor:
    return (x * x * x).sum()


# -- grad, vjp, jvp


def test_grad() -> None:
    assert grad(cubes)(X).tolist() == [3.0, 12.0, 27.0]
    assert not grad(cubes)(X).requires_grad


def test_grad_by_several_arguments_and_structures() -> None:
    def f(p: dict[str, Tensor], y: Tensor) -> Any:
        return (p["a"] * y).sum() + p["b"], {"y": y}

    (g, gy), more = grad(f, argnums=(0, 1), has_aux=True)({"a": X, "b": rl.tensor(1.0)}, X * 2)
    assert g["a"].tolist() == [2.0, 4.0, 6.0]
    assert g["b"].item() == 1.0
    assert gy.tolist() == X.tolist()
    assert more["y"].tolist() == [2.0, 4.0, 6.0]


def test_grad_and_value() -> None:
    g, value = grad_and_value(cubes)(X)
    assert (g.tolist(), value.item()) == ([3.0, 12.0, 27.0], 36.0)
    assert not value.requires_grad


def test_grad_of_what_does_not_depend_is_zero() -> None:
    assert grad(lambda x: rl.tensor(1.0))(X).tolist() == [0.0, 0.0, 0.0]


def test_grad_needs_a_scalar() -> None:
    with pytest.raises(RuntimeError, match="scalar tensor"):
        grad(lambda x: x)(X)
    with pytest.raises(RuntimeError, match="argnum=1, but only 1"):
        grad(cubes, argnums=1)(X)
    with pytest.raises(RuntimeError, match="has_aux"):
        grad(cubes, has_aux=True)(X)


def test_grad_stays_connected_to_what_it_closes_over() -> None:
    w = rl.tensor([2.0, 3.0, 4.0], requires_grad=True)
    g = grad(lambda x: (w * x * x).sum())(X)
    g.sum().backward()
    assert w.grad.tolist() == [2.0, 4.0, 6.0]
    with rl.no_grad():
        assert not grad(lambda x: (w * x * x).sum())(X).requires_grad


def test_grad_stays_connected_to_its_argument() -> None:
    x = X.clone().requires_grad_()
    grad(cubes)(x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0, 18.0]


def test_grad_of_grad_through_a_closure() -> None:
    def inner(y: Tensor) -> Tensor:
        return grad(lambda z: (z * y).sum())(X).sum()

    assert grad(inner)(X).tolist() == [1.0, 1.0, 1.0]


def test_grad_of_grad_of_grad() -> None:
    f = lambda x: x**4
    assert grad(grad(grad(f)))(rl.tensor(2.0)).item() == 48.0


def test_vjp_pulls_back() -> None:
    value, pull = vjp(lambda x, y: x * y, X, X * 2)
    assert value.tolist() == [2.0, 8.0, 18.0]
    a, b = pull(rl.ones(3))
    assert (a.tolist(), b.tolist()) == ([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert pull(rl.ones(3))[0].tolist() == a.tolist()
    assert not a.requires_grad
    with pytest.raises(RuntimeError, match="shape of its output"):
        pull(rl.ones(2))
    with pytest.raises(RuntimeError, match="structure"):
        pull((rl.ones(3), rl.ones(3)))
    with pytest.raises(RuntimeError, match="only tensors"):
        vjp(lambda x: 3, X)


def test_jvp_pushes_forward() -> None:
    value, moved, more = jvp(lambda x: (x * x, x), (X,), (rl.ones(3),), has_aux=True)
    assert (value.tolist(), moved.tolist()) == ([1.0, 4.0, 9.0], [2.0, 4.0, 6.0])
    assert more.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("primals", "tangents", "message"),
    [
        (X, (X,), "tuples"),
        ((X,), (X, X), "same python structure"),
        ((X,), (rl.ones(2),), "same shape and dtype"),
        ((1.0,), (X,), "expected Tensors"),
    ],
)
def test_jvp_refuses(primals: Any, tangents: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        jvp(lambda x: x, primals, tangents)


def test_detach_stops_tangents() -> None:
    _, moved = jvp(lambda x: x.detach() * x, (X,), (rl.ones(3),))
    assert moved.tolist() == X.tolist()


def test_operators_without_derivative_have_zero_tangents() -> None:
    _, moved = jvp(lambda x: (x > 1).to(rl.float32), (X,), (rl.ones(3),))
    assert moved.tolist() == [0.0] * 3


# -- vmap


def test_vmap_over_any_dimension_in_and_out() -> None:
    f = lambda x, y: x * 2 + y
    out = vmap(f, in_dims=(1, None), out_dims=1)(ROWS, rl.tensor([10.0, 20.0]))
    assert out.tolist() == [[12.0, 14.0, 16.0], [28.0, 30.0, 32.0]]
    assert vmap(f, in_dims=(-1, 0))(ROWS, rl.zeros(3, 2)).shape == (3, 2)


def test_vmap_over_structures() -> None:
    out = vmap(lambda d: {"sum": d["a"].sum() + d["b"]}, in_dims=({"a": 0, "b": None},))(
        {"a": ROWS, "b": rl.tensor(1.0)}
    )
    assert out["sum"].tolist() == [7.0, 16.0]


def test_vmap_in_chunks() -> None:
    sizes = []

    def f(x: Tensor) -> Tensor:
        sizes.append(1)
        return x.sum()

    x = rl.arange(10, dtype=rl.float32).view(5, 2)
    assert vmap(f, chunk_size=2)(x).tolist() == [1.0, 5.0, 9.0, 13.0, 17.0]
    assert len(sizes) == 3


def test_vmap_of_a_result_that_does_not_depend() -> None:
    assert vmap(lambda x: rl.tensor(7.0))(ROWS).tolist() == [7.0, 7.0]
    assert vmap(lambda x: X, out_dims=None)(ROWS) is X


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vmap(lambda x: x)(3), "no inputs with a batch dimension"),
        (lambda: vmap(lambda x, y: x)(ROWS, X), "same size in the mapped dimension"),
        (lambda: vmap(lambda x: x, in_dims=2)(ROWS), "in_dim=2"),
        (lambda: vmap(lambda x: x, in_dims=(0, 0))(ROWS), "not compatible"),
        (lambda: vmap(lambda x: 3)(ROWS), "only return Tensors"),
        (lambda: vmap(lambda x: x, out_dims=None)(ROWS), "out_dim is None"),
        (lambda: vmap(lambda x: x, chunk_size=0), "chunk_size should be at least 1"),
    ],
)
def test_vmap_refuses(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_vmap_randomness() -> None:
    x = rl.zeros(4, 100)
    draw = lambda r: r + rl.rand(100)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(draw)(x)
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        vmap(draw, randomness="any")
    same = vmap(draw, randomness="same")(x)
    different = vmap(draw, randomness="different")(x)
    assert (same == same[0]).all().item()
    assert not (different[0] == different[1]).any().item()
    assert ((different >= 0) & (different < 1)).all().item()


def test_writes_under_vmap() -> None:
    def zero_first(x: Tensor) -> Tensor:
        y = x.clone()
        y[0] = 0.0
        y.mul_(2)
        return y

    assert vmap(zero_first)(ROWS).tolist() == [[0.0, 4.0, 6.0], [0.0, 10.0, 12.0]]
    target = rl.zeros(3)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda x: target.add_(x))(ROWS)
    assert target.tolist() == [0.0] * 3


def test_write_into_a_tensor_without_tangent_is_refused() -> None:
    target = rl.zeros(3)
    with pytest.raises(RuntimeError, match="without one"):
        jvp(lambda x: target.copy_(x), (X,), (X,))


def test_values_cannot_be_read_inside() -> None:
    for read in (lambda r: r.sum().item(), lambda r: r.numpy(), lambda r: r.tolist(),
                 lambda r: 1 if r.sum() > 0 else 2):  # fmt: skip
        with pytest.raises(RuntimeError, match="inside a transform can't be read"):
            vmap(read)(ROWS)


def test_requires_grad_inside_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside of a function being transformed"):
        vmap(lambda x: x.requires_grad_())(ROWS)


@pytest.mark.parametrize(
    "use",
    [lambda e: e + 1, lambda e: e.sum(), lambda e: e.view(3), lambda e: e.add_(1),
     lambda e: e.detach(), lambda e: vmap(lambda r: r + e)(ROWS), lambda e: rl.zeros(3).copy_(e)],
)  # fmt: skip
@pytest.mark.parametrize("transform", ["vmap", "jvp"])
def test_tensor_that_left_its_transform_is_refused(use: Any, transform: str) -> None:
    kept: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x)
        return x

    vmap(keep)(ROWS) if transform == "vmap" else jvp(keep, (X,), (X,))
    with pytest.raises(RuntimeError, match="has left the transform that made it"):
        use(kept[0])


def test_pull_outside_of_its_vmap_is_refused() -> None:
    kept: list[Any] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(vjp(cubes, x)[1])
        return x

    vmap(keep)(ROWS)
    with pytest.raises(RuntimeError, match="outside the transform"):
        kept[0](rl.tensor(1.0))


# -- transforms of transforms


def test_per_sample_gradients_of_shared_weights() -> None:
    def loss(w: Tensor, x: Tensor) -> Tensor:
        return ((w * x) ** 2).sum()

    found = vmap(grad(loss), in_dims=(None, 0))(X, ROWS)
    one_by_one = [grad(loss)(X, row).tolist() for row in ROWS]
    assert found.tolist() == one_by_one


def test_vmap_of_grad_of_grad() -> None:
    assert vmap(grad(grad(lambda x: x**3)))(X).tolist() == [6.0, 12.0, 18.0]


def test_vmap_of_vmap() -> None:
    outer = vmap(lambda a: vmap(lambda b: a * b)(X))(X)
    assert outer.tolist() == [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 6.0, 9.0]]


def test_vmap_over_pull() -> None:
    _, pull = vjp(lambda x: x * x, X)
    (rows,) = vmap(pull)(rl.eye(3))
    assert rows.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]


@pytest.mark.parametrize("both", [
    lambda f: vmap(lambda r: jvp(f, (r,), (r,))[1]),
    lambda f: (lambda x: jvp(vmap(f), (x,), (x,))[1]),
])  # fmt: skip
@pytest.mark.parametrize("f", [cubes, grad(cubes), jacrev(grad(cubes)), jacfwd(lambda x: x**3)])
def test_vmap_and_jvp_commute(both: Any, f: Any) -> None:
    expected = [jvp(f, (row,), (row,))[1].tolist() for row in ROWS]
    assert both(f)(ROWS).tolist() == expected


def test_jvp_of_jvp() -> None:
    # d/dx (3 x^2 v) along u is 6 x v u.
    second = jvp(lambda x: jvp(lambda z: z**3, (x,), (rl.tensor(5.0),))[1],
                 (rl.tensor(2.0),), (rl.tensor(7.0),))[1]  # fmt: skip
    assert second.item() == 6 * 2 * 5 * 7


def test_tangents_of_two_levels_are_not_confused() -> None:
    # The inner derivative is that of x*y by y alone: x, not x + y.
    def outer(x: Tensor) -> Tensor:
        return x * jvp(lambda y: x * y, (rl.tensor(1.0),), (rl.tensor(1.0),))[1]

    assert jvp(outer, (rl.tensor(3.0),), (rl.tensor(1.0),))[1].item() == 6.0


def test_forward_over_reverse_and_reverse_over_forward() -> None:
    v = rl.tensor([1.0, 0.0, 2.0])
    expected = [6.0, 0.0, 36.0]
    assert jvp(grad(cubes), (X,), (v,))[1].tolist() == expected
    assert grad(lambda x: jvp(cubes, (x,), (v,))[1])(X).tolist() == expected


def test_jacobians_agree() -> None:
    def f(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"p": (x[:2] * y).sin(), "s": (x * x).sum()}

    y = rl.tensor([0.5, 2.0])
    reverse, forward = (j(f, argnums=(0, 1))(X, y) for j in (jacrev, jacfwd))
    chunked = jacrev(f, argnums=(0, 1), chunk_size=2)(X, y)
    for name, shapes in (("p", [(2, 3), (2, 2)]), ("s", [(3,), (2,)])):
        for place, shape in enumerate(shapes):
            assert reverse[name][place].shape == shape
            rl.testing.assert_close(reverse[name][place], forward[name][place])
            rl.testing.assert_close(reverse[name][place], chunked[name][place])
    assert reverse["s"][0].tolist() == [2.0, 4.0, 6.0]


def test_jacobian_with_aux() -> None:
    f = lambda x: (x * x, x.sum())
    for j in (jacrev, jacfwd):
        jacobian, more = j(f, has_aux=True)(X)
        assert jacobian.diagonal().tolist() == [2.0, 4.0, 6.0]
        assert more.item() == 6.0


def test_hessian() -> None:
    found = hessian(lambda x: (x.sum() ** 2) * x[0])(rl.tensor([1.0, 2.0]))
    rl.testing.assert_close(found, rl.tensor([[14.0, 8.0], [8.0, 2.0]]))
    per_row = vmap(hessian(cubes))(ROWS)
    assert per_row[1].diagonal().tolist() == [24.0, 30.0, 36.0]


def test_linearize() -> None:
    value, push = linearize(lambda x: x**3, X)
    assert value.tolist() == [1.0, 8.0, 27.0]
    assert push(rl.ones(3)).tolist() == [3.0, 12.0, 27.0]
    assert push(X).tolist() == [3.0, 24.0, 81.0]
    assert not push(X).requires_grad


def test_functional_call_uses_the_given_parameters() -> None:
    model = rl.nn.Linear(3, 2)
    given = {"weight": rl.ones(2, 3), "bias": rl.zeros(2)}
    assert functional_call(model, given, (X,)).tolist() == [6.0, 6.0]
    per_sample = vmap(grad(lambda p, x: functional_call(model, p, (x,)).sum()), in_dims=(None, 0))(
        given, ROWS
    )
    assert per_sample["weight"].shape == (2, 2, 3)
    assert per_sample["weight"][1].tolist() == [[4.0, 5.0, 6.0]] * 2
