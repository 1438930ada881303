"""Products that are added to something: addmm and its relatives, and linear maps."""

from __future__ import annotations

from typing import Any

from .. import _dispatch
from .._dispatch import Spec
from .._errors import error
from .._failures import explained
from .._modes import GRAD, NO_GRAD, STATE
from .._node import NO_ATTRIBUTES
from .._operator import operator
from .._tensor.tensor import PLAIN, Tensor, fresh, native_of, refreshed
from ._matrices import adjoint, transposed
from ._public import public
from .elementwise import conj, times_conj
from .matmul import bmm, check_ndim, check_operands, flat_product, matmul_op, mismatch, mv, outer
from .reduction import sum_op

addmm_op = operator(
    "addmm(Tensor x, Tensor a, Tensor b, *, Scalar beta=1, Scalar alpha=1) -> Tensor"
)
linear_op = operator("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor")
linear_weight_op = operator("linear_weight(Tensor g, Tensor x) -> Tensor")


def _numbers(x: Tensor, *values: Any) -> tuple[Any, ...]:
    """Factors for a product of some dtype; those of integers lose their fraction, as in torch."""
    if x.dtype.is_inexact:
        return values
    if x.dtype.name == "bool":
        return tuple(bool(value) for value in values)
    return tuple(int(value) if isinstance(value, float) else value for value in values)


def _check_fits(who: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Raises unless x can be expanded to the shape of the product."""
    lead = len(shape) - x.ndim
    fits = lead >= 0
    for n, m in zip(x.shape, shape[max(lead, 0) :], strict=False):
        fits = fits and n in (1, m)
    if not fits:
        raise error(
            RuntimeError,
            who,
            f"The expanded size of the tensor {list(shape)} must match the existing size "
            f"{list(x.shape)}",
            given=f"input of shape {tuple(x.shape)}, a product of shape {shape}",
        )


def _plus(who: str, x: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta * x + alpha * product; with beta 0, NaN and infinity in x do not count."""
    beta, alpha = _numbers(product, beta, alpha)
    _check_fits(who, x, tuple(product.shape))
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


@addmm_op.meta
def _(x: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Spec:
    check_operands("addmm", a, b, x)
    check_ndim("addmm", "mat1", a, 2)
    check_ndim("addmm", "mat2", b, 2)
    if a.shape[1] != b.shape[0]:
        raise mismatch("addmm", a.shape, b.shape)
    shape = (a.shape[0], b.shape[1])
    _check_fits("addmm", x, shape)
    return Spec(shape, a.dtype)


@addmm_op.decomposition
def _(x: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return _plus("addmm", x, matmul_op(a, b), beta, alpha)


addmm_op.vjp(
    x=lambda g, beta: times_conj(g, beta),
    a=lambda g, b, alpha: times_conj(matmul_op(g, adjoint(b)), alpha),
    b=lambda g, a, alpha: times_conj(matmul_op(adjoint(a), g), alpha),
)


@public(out=True, inplace=True, op=addmm_op)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)`.

    Raises:
        RuntimeError: Shapes or dtypes do not fit.
    Example:
        >>> one = rushlight.tensor([[1]])
        >>> rushlight.addmm(one, one, one, beta=2, alpha=3)
        tensor([[5]])
    """
    check_operands("addmm", input, mat1, mat2)
    meta: Any = addmm_op.meta_rule
    meta(input, mat1, mat2, beta=beta, alpha=alpha)
    beta, alpha = _numbers(mat1, beta, alpha)
    return addmm_op(input, mat1, mat2, beta=beta, alpha=alpha)  # type: ignore[no-any-return]


@public(out=True, inplace=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`.

    Example:
        >>> rushlight.addmv(rushlight.ones(1), rushlight.ones(1, 2), rushlight.ones(2))
        tensor([3.])
    """
    check_operands("addmv", input, mat, vec)
    return _plus("addmv", input, mv(mat, vec), beta, alpha)


@public(out=True, inplace=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`.

    Example:
        >>> rushlight.addr(rushlight.ones(1, 1), rushlight.ones(1), rushlight.ones(1))
        tensor([[2.]])
    """
    product = outer(vec1, vec2)
    for name, value in (("beta", beta), ("alpha", alpha)):
        if isinstance(value, float) and not product.dtype.is_inexact and not input.dtype.is_inexact:
            raise error(
                RuntimeError,
                "addr",
                f"For integral input tensors, argument {name} must not be a floating point number.",
                given=f"{name}={value}",
            )
    return _plus("addr", input, product, beta, alpha)


def _check_batches(who: str, x: Tensor, a: Tensor, b: Tensor) -> None:
    check_operands(who, x, a, b)
    check_ndim(who, "batch1", a, 3)
    check_ndim(who, "batch2", b, 3)


@public(out=True, inplace=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """`beta * input + alpha *` the sum of the products of two batches of matrices.

    Example:
        >>> rushlight.addbmm(rushlight.ones(1), rushlight.ones(2, 1, 1), rushlight.ones(2, 1, 1))
        tensor([[3.]])
    """
    _check_batches("addbmm", input, batch1, batch2)
    product = sum_op(bmm(batch1, batch2), dim=(0,), keepdim=False)
    return _plus("addbmm", input, product, beta, alpha)


@public(out=True, inplace=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """`beta * input + alpha *` the products of two batches of matrices.

    Example:
        >>> rushlight.baddbmm(rushlight.ones(1), rushlight.ones(1, 1, 2), rushlight.ones(1, 2, 1))
        tensor([[[3.]]])
    """
    _check_batches("baddbmm", input, batch1, batch2)
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


# -- linear ---------------------------------------------------------------------------------


@linear_op.meta
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Spec:
    check_operands("linear", x, weight, *([] if bias is None else [bias]))
    if not x.ndim or not 1 <= weight.ndim <= 2:
        raise error(
            RuntimeError,
            "linear",
            "expected an input of at least one dimension and a weight of one or two",
            given=f"shapes {tuple(x.shape)} and {tuple(weight.shape)}",
        )
    if x.shape[-1] != weight.shape[-1]:
        raise mismatch("linear", x.shape, weight.shape[::-1])
    shape = (*x.shape[:-1], *weight.shape[:-1])
    if bias is not None:
        _check_fits("linear", bias, shape)
    return Spec(shape, x.dtype)


@linear_op.decomposition
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = matmul_op(x, transposed(weight) if weight.ndim == 2 else weight)
    return out if bias is None else out + bias  # type: ignore[no-any-return]


def _linear_weight(g: Tensor, x: Tensor, weight_shape: tuple[int, ...]) -> Tensor:
    if len(weight_shape) == 1:
        return flat_product(x.unsqueeze(0) if x.ndim == 1 else x, g.unsqueeze(-1)).squeeze(-1)
    if x.ndim == 1:
        return g.unsqueeze(-1) * conj(x)
    return linear_weight_op.entry(g, x)  # type: ignore[no-any-return]


@linear_weight_op.meta
def _(g: Tensor, x: Tensor) -> Spec:
    return Spec((g.shape[-1], x.shape[-1]), x.dtype)


@linear_weight_op.decomposition
def _(g: Tensor, x: Tensor) -> Tensor:
    """The gradient of the weight: over all rows of the batch, the sum of g^T conj(x)."""
    if x.ndim > 2:
        x = x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.flatten(0, -2)
        g = g.reshape(-1, g.shape[-1]) if g.shape[-1] else g.flatten(0, -2)
    return matmul_op(transposed(g), conj(x))  # type: ignore[no-any-return]


def _linear_x(g: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim == 1:
        return g.unsqueeze(-1) * conj(weight)
    return matmul_op(g, conj(weight))  # type: ignore[no-any-return]


linear_op.vjp(
    x=_linear_x,
    weight=_linear_weight,
    bias=lambda g: g,
)


@public(namespace="ops", methods=False, op=linear_op)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`.

    Args:
        input: (*, in)
        weight: (out, in), or (in).
        bias: (out), or None.
    Raises:
        RuntimeError: Shapes or dtypes do not fit.
    Example:
        >>> rushlight.ops.linear(rushlight.ones(2), rushlight.ones(3, 2))
        tensor([2., 2., 2.])
    """
    return linear_op.entry(input, weight, bias)  # type: ignore[no-any-return]


_LINEAR = linear_op.index
_GENERIC_LINEAR = linear_op.entry


def _linear_entry(x: Any, weight: Any, bias: Any) -> Any:
    """The usual case of `linear` straight to the kernel, as ``matmul` does for products."""
    if x.__class__ in PLAIN and weight.__class__ in PLAIN and x._k is weight._k:
        kind = x._k
        state = STATE.get()
        kernel = kind.hot[_LINEAR]
        if kernel is not None and (state is GRAD or state is NO_GRAD):
            a, b, c = x._a, weight._a, None
            if a is None:
                a = native_of(x)
            if b is None:
                b = native_of(weight)
            if bias is not None:
                if bias.__class__ not in PLAIN or bias._k is not kind:
                    return _GENERIC_LINEAR(x, weight, bias)
                c = bias._a
                if c is None:
                    c = native_of(bias)
            if a.ndim and b.ndim:
                try:
                    result = kernel(a, b, c)
                except Exception as raised:
                    inputs = (x, weight, bias)
                    raise explained(linear_op, inputs, NO_ATTRIBUTES, raised) from raised
                if result.__class__ is not kind.array:
                    result = kind.runtime.wrap(result, kind.dtype)
                out = fresh(kind, result)
                if state is GRAD:
                    needs = (
                        x._req if x._view is None else refreshed(x),
                        weight._req if weight._view is None else refreshed(weight),
                        bias is not None and (bias._req if bias._view is None else refreshed(bias)),
                    )
                    if True in needs:
                        inputs = (x, weight, bias)
                        return _dispatch.record(linear_op, inputs, NO_ATTRIBUTES, out, needs)
                return out
    if STATE.get().autocast is None:
        operands = (x, weight) if bias is None else (x, weight, bias)
        if all(v.__class__ in PLAIN for v in operands):
            check_operands("linear", *operands)
    return _GENERIC_LINEAR(x, weight, bias)


linear_op.entry = _linear_entry
