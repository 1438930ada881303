"""gradcheck and gradgradcheck find wrong derivatives; `autograd.functional` gives right ones."""

from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor
from rushlight.autograd import Function, GradcheckError, functional, gradcheck, gradgradcheck


def double(*values: float | complex) -> Tensor:
    dtype = rl.complex128 if any(isinstance(v, complex) for v in values) else rl.float64
    return rl.tensor(values, dtype=dtype, requires_grad=True)


def with_derivative(derivative: Any) -> Any:
    """x**2, said to have that derivative."""

    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return derivative(g, ctx.saved_tensors[0])

        @staticmethod
        def jvp(ctx: Any, t: Tensor) -> Tensor:
            return derivative(t, ctx.saved_tensors[0])

    return Square.apply


RIGHT = with_derivative(lambda g, x: g * 2 * x)
WRONG = with_derivative(lambda g, x: g * 3 * x)


@pytest.mark.parametrize("x", [double(0.5, -2.0), double(1 + 2j, -0.5j)])
def test_right_derivatives_pass(x: Tensor) -> None:
    function = (lambda t: t * t.exp()) if not x.is_complex() else (lambda t: t * t.conj() * t)
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))
    assert gradcheck(function, (x,), check_forward_ad=True)


def test_wrong_derivative_is_found() -> None:
    assert gradcheck(RIGHT, (double(1.0, 2.0),))
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0") as raised:
        gradcheck(WRONG, (double(1.0, 2.0),))
    assert "finite differences give" in str(raised.value)
    assert not gradcheck(WRONG, (double(1.0, 2.0),), raise_exception=False)


def test_wrong_second_derivative_is_found() -> None:
    first_only = with_derivative(lambda g, x: g * 2 * x.detach())
    assert gradcheck(first_only, (double(1.0),))
    with pytest.raises(GradcheckError):
        gradgradcheck(first_only, (double(1.0),))


def test_wrong_forward_derivative_is_found() -> None:
    class Halved(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 2

        @staticmethod
        def jvp(ctx: Any, t: Tensor) -> Tensor:
            return t

    assert gradcheck(Halved.apply, (double(1.0),))
    with pytest.raises(GradcheckError, match="forward mode mismatch"):
        gradcheck(Halved.apply, (double(1.0),), check_forward_ad=True)


def test_backward_that_changes_is_found() -> None:
    calls = []

    def noisy(g: Tensor, x: Tensor) -> Tensor:
        calls.append(1)
        return g * (2 * x + 1e-7 * len(calls))

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(with_derivative(noisy), (double(1.0),))
    assert gradcheck(with_derivative(noisy), (double(1.0),), nondet_tol=1e-3)


def test_nan_is_found() -> None:
    with pytest.raises(GradcheckError, match="is NaN"):
        gradcheck(with_derivative(lambda g, x: g * float("nan")), (double(1.0),))


def test_some_input_must_require_grad() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, (rl.ones(1),))


X = rl.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    "keywords",
    [{}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}],
)
def test_jacobian(keywords: dict[str, Any]) -> None:
    def f(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x * y, (x * x).sum()

    y = rl.tensor([3.0, 4.0])
    (xx, xy), (sx, sy) = functional.jacobian(f, (X, y), **keywords)
    assert xx.tolist() == [[3.0, 0.0], [0.0, 4.0]]
    assert xy.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert (sx.tolist(), sy.tolist()) == ([2.0, 4.0], [0.0, 0.0])
    assert not xx.requires_grad


def test_jacobian_that_can_be_differentiated() -> None:
    x = X.clone().requires_grad_()
    functional.jacobian(lambda t: t**3, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_strict_refuses_independence() -> None:
    with pytest.raises(RuntimeError, match="independent of input 1"):
        functional.jacobian(lambda a, b: a * 2, (X, X), strict=True)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        functional.vjp(lambda a: rl.ones(1), X, strict=True)


def test_products_agree_with_the_matrices() -> None:
    def f(x: Tensor) -> Tensor:
        return (x**3).sum() * x[0]

    v = rl.tensor([0.5, -1.0])
    matrix = functional.hessian(f, X)
    assert matrix.tolist() == functional.hessian(f, X, vectorize=True).tolist()
    assert matrix.tolist() == [[12.0, 12.0], [12.0, 12.0]]
    for product in (functional.hvp, functional.vhp):
        value, found = product(f, X, v)
        assert value.item() == 9.0
        assert found.tolist() == (matrix @ v).tolist()
    g = lambda x: rl.stack([x.prod(), x.sum() ** 2, x[1]])
    jacobian = functional.jacobian(g, X)
    assert functional.jvp(g, X, v)[1].tolist() == (jacobian @ v).tolist()
    u = rl.tensor([1.0, 2.0, 3.0])
    assert functional.vjp(g, X, u)[1].tolist() == (u @ jacobian).tolist()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: functional.vjp(lambda x: x, 3), TypeError, "has type int"),
        (lambda: functional.vjp(lambda x: 3, X), TypeError, "has type int"),
        (lambda: functional.vjp(lambda x: x, X), RuntimeError, "v can only be None"),
        (lambda: functional.jvp(lambda x: x, X, rl.ones(3)), RuntimeError, "same shapes"),
        (lambda: functional.hessian(lambda x: x, X), RuntimeError, "single element"),
        (lambda: functional.jacobian(lambda x: x, X, strategy="other"), ValueError, "strategy"),
        (lambda: functional.jacobian(lambda x: x, X, strategy="forward-mode"),
         NotImplementedError, "vectorize=True"),
    ],
)  # fmt: skip
def test_wrong_arguments(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
