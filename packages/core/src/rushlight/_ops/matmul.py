"""Products of matrices and vectors, and what is added to them."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._errors import error
from .._failures import explained
from .._interpreters import padded
from .._modes import GRAD, NO_GRAD, STATE
from .._node import NO_ATTRIBUTES, Node, next_sequence_number
from .._operator import Operator, operator
from .._promotion import broadcast_shapes
from .._saving import keep
from .._tensor.tensor import PLAIN, Tensor, fresh, native_of, refreshed
from ._batching import batch_size, front, front_or_expanded
from ._geometry import check_tensor
from ._matrices import adjoint
from ._public import export, into, method, public
from .elementwise import conj
from .reduction import sum_op

matmul_op = operator("matmul(Tensor x, Tensor y) -> Tensor")
mm_op = operator("mm(Tensor x, Tensor y) -> Tensor")
bmm_op = operator("bmm(Tensor x, Tensor y) -> Tensor")
dot_op = operator("dot(Tensor x, Tensor y) -> Tensor")


# -- shapes and checks ----------------------------------------------------------------------


def check_operands(who: str, *xs: Any) -> None:
    """Raises unless all operands are tensors of one dtype.

    Raises:
        TypeError: One is no tensor.
        RuntimeError: Two dtypes differ.
    """
    for x in xs:
        if not isinstance(x, Tensor):
            raise error(TypeError, who, f"expected Tensors, got {type(x).__name__}")
    for x in xs[1:]:
        if x.dtype is not xs[0].dtype:
            raise error(
                RuntimeError,
                who,
                "expected m1 and m2 to have the same dtype, but got: "
                f"{xs[0].dtype.name} != {x.dtype.name}",
                fix=f"convert one, for example with .to({xs[0].dtype})",
            )


def check_ndim(who: str, name: str, x: Tensor, ndim: int) -> None:
    """Raises unless an operand has that many dimensions.

    Raises:
        RuntimeError: It has not.
    """
    if x.ndim != ndim:
        what = {1: "a vector", 2: "a matrix", 3: "a batch of matrices (3D)"}[ndim]
        raise error(
            RuntimeError, who, f"{name} must be {what}", given=f"{name} of shape {tuple(x.shape)}"
        )


def mismatch(who: str, x: Any, y: Any) -> Exception:
    return error(
        RuntimeError,
        who,
        f"mat1 and mat2 shapes cannot be multiplied ({tuple(x)} and {tuple(y)})",
        given=f"shapes {tuple(x)} and {tuple(y)}",
        expected="the last size of the first to equal the last but one of the second",
    )


def product_shape(who: str, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a matrix product.

    Raises:
        RuntimeError: There is none.
    """
    if not x or not y:
        raise error(
            RuntimeError,
            who,
            f"both arguments to matmul need to be at least 1D, but they are {len(x)}D and "
            f"{len(y)}D",
        )
    inner = y[0] if len(y) == 1 else y[-2]
    if x[-1] != inner:
        raise mismatch(who, x, y)
    batch = broadcast_shapes(who, x[:-2], y[:-2])
    return (*batch, *x[-2:-1], *(y[-1:] if len(y) > 1 else ()))


# -- matmul ---------------------------------------------------------------------------------


@matmul_op.meta
def _(x: Tensor, y: Tensor) -> Spec:
    check_operands("matmul", x, y)
    return Spec(product_shape("matmul", tuple(x.shape), tuple(y.shape)), x.dtype)


@matmul_op.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    shape = product_shape("matmul", tuple(x.shape), tuple(y.shape))
    a = x.unsqueeze(0) if x.ndim == 1 else x
    b = y.unsqueeze(1) if y.ndim == 1 else y
    if b.ndim == 2:
        out = mm_op(a.reshape(-1, a.shape[-1]) if a.numel() else a.flatten(0, -2), b)
        return out.reshape(shape)  # type: ignore[no-any-return]
    batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    a = a.expand(*batch, *a.shape[-2:]).flatten(0, -3) if batch else a
    b = b.expand(*batch, *b.shape[-2:]).flatten(0, -3)
    return bmm_op(a, b).reshape(shape)  # type: ignore[no-any-return]


def _matmul_x(g: Tensor, x_shape: tuple[int, ...], y: Tensor) -> Tensor:
    if y.ndim == 1:
        return g.unsqueeze(-1) * conj(y)
    if len(x_shape) == 1:
        return matmul_op(g.unsqueeze(-2), adjoint(y)).squeeze(-2)  # type: ignore[no-any-return]
    return matmul_op(g, adjoint(y))  # type: ignore[no-any-return]


def _matmul_y(g: Tensor, x: Tensor, y_shape: tuple[int, ...]) -> Tensor:
    if x.ndim == 1:
        if len(y_shape) == 1:
            return g * conj(x)
        return conj(x).unsqueeze(-1) * g.unsqueeze(-2)
    if len(y_shape) == 1:
        g = g.unsqueeze(-1)
        return flat_product(x, g).squeeze(-1)
    if len(y_shape) == 2 and x.ndim > 2:
        return flat_product(x, g)
    return matmul_op(adjoint(x), g)  # type: ignore[no-any-return]


def flat_product(x: Tensor, g: Tensor) -> Tensor:
    """The sum over the batch of x^H g, as one product of tall matrices."""
    if x.ndim == 2:
        return matmul_op(adjoint(x), g)  # type: ignore[no-any-return]
    rows = x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.flatten(0, -2)
    columns = g.reshape(-1, g.shape[-1]) if g.shape[-1] else g.flatten(0, -2)
    return matmul_op(adjoint(rows), columns)  # type: ignore[no-any-return]


matmul_op.vjp(x=_matmul_x, y=_matmul_y)


def _bilinear(op: Operator) -> Any:
    """Forward derivative of a product: each operand's tangent times the other operand."""

    def rule(primals: Any, tangents: Any, out: Tensor) -> Any:
        (x, y), (t, u) = primals, tangents
        first = None if t is None else op(t, y)
        second = None if u is None else op(x, u)
        if first is None or second is None:
            return second if first is None else first
        return first + second

    return rule


matmul_op.jvp(_bilinear(matmul_op))


@matmul_op.batching
def _(inputs: Any, bdims: Any) -> Any:
    x, y = inputs
    x_ndim, y_ndim = (v.ndim - (d is not None) for v, d in zip(inputs, bdims, strict=True))
    x = x if bdims[0] is None else front(x, bdims[0])
    y = y if bdims[1] is None else front(y, bdims[1])
    if y_ndim == 2 and bdims[1] is None and x_ndim > 1:
        return matmul_op(x, y), 0
    if x_ndim == 1:
        x = x.unsqueeze(-2)
    if y_ndim == 1:
        y = y.unsqueeze(-1)
    batch = max(x_ndim, y_ndim, 2) - 2
    x = x if bdims[0] is None else padded(x, batch + 2)
    y = y if bdims[1] is None else padded(y, batch + 2)
    out = matmul_op(x, y)
    if y_ndim == 1:
        out = out.squeeze(-1)
    if x_ndim == 1:
        out = out.squeeze(-1 if y_ndim == 1 else -2)
    return out, 0


def hang_node(op: Operator, out: Tensor, attributes: dict[str, Any] = NO_ATTRIBUTES) -> Node:
    """A node for a fresh result, still without edges and saved values."""
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = op
    node.attributes = attributes
    node.kind = out._k
    node.extra = None
    node.shape = out._shape = out._a.shape
    out._node = node
    out._req = True
    return node


_new = object.__new__
matmul_rule: Any = matmul_op.vjp_rule
_MATMUL = matmul_op.index
_GENERIC = matmul_op.entry


def _entry(x: Any, y: Any) -> Any:
    """The product of two tensors: the usual case straight to the kernel (see `_dispatch`)."""
    if x.__class__ in PLAIN and y.__class__ in PLAIN and x._k is y._k:
        kind = x._k
        state = STATE.get()
        kernel = kind.hot[_MATMUL]
        if kernel is not None and (state is GRAD or state is NO_GRAD):
            a, b = x._a, y._a
            if a is None:
                a = native_of(x)
            if b is None:
                b = native_of(y)
            if a.ndim and b.ndim:
                try:
                    result = kernel(a, b)
                except Exception as raised:
                    raise explained(matmul_op, (x, y), NO_ATTRIBUTES, raised) from raised
                if result.__class__ is not kind.array:
                    result = kind.runtime.wrap(result, kind.dtype)
                out = fresh(kind, result)
                if state is GRAD and kind.dtype.is_inexact:
                    needs_x = x._req if x._view is None else refreshed(x)
                    needs_y = y._req if y._view is None else refreshed(y)
                    if needs_x or needs_y:
                        node = hang_node(matmul_op, out)
                        node.edges = (
                            (x._node or x) if needs_x else None,
                            (y._node or y) if needs_y else None,
                        )
                        keep(node, matmul_rule.keeps((needs_x, needs_y)), (x, y), out)
                return out
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        if hasattr(type(y), "__rmatmul__") and not isinstance(y, Tensor):
            return NotImplemented
        raise error(
            TypeError,
            "matmul",
            f"expected Tensors, got {type(x).__name__} and {type(y).__name__}",
        )
    if x.__class__ in PLAIN and y.__class__ in PLAIN and STATE.get().autocast is None:
        check_operands("matmul", x, y)
        product_shape("matmul", tuple(x.shape), tuple(y.shape))
    return _GENERIC(x, y)


matmul_op.entry = _entry


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix product; vectors are rows on the left and columns on the right, batches broadcast.

    Args:
        input: Tensor of at least one dimension.
        other: Tensor of the same dtype.
        out: Receives the result.
    Raises:
        RuntimeError: Shapes or dtypes do not fit.
    Shape:
        (*, n, k) and (*, k, m) give (*, n, m).
    Example:
        >>> rushlight.matmul(rushlight.tensor([[1, 2], [3, 4]]), rushlight.tensor([1, 1]))
        tensor([3, 7])
    """
    result = _entry(input, other)
    if result is NotImplemented:
        raise error(
            TypeError, "matmul", f"argument 'other' must be Tensor, not {type(other).__name__}"
        )
    return result if out is None else into("matmul", result, out)  # type: ignore[no-any-return]


public(op=matmul_op)(matmul)
export("matmul", matmul, "linalg")
method("__matmul__", _entry)
method("__rmatmul__", lambda self, other: _entry(other, self))


# -- mm, bmm, mv, dot -----------------------------------------------------------------------


def _matrix_rules(op: Operator, ndim: int) -> None:
    @op.meta
    def _(x: Tensor, y: Tensor) -> Spec:
        check_operands(op.name, x, y)
        check_ndim(op.name, "input", x, ndim)
        check_ndim(op.name, "mat2", y, ndim)
        if x.shape[-1] != y.shape[-2] or x.shape[:-2] != y.shape[:-2]:
            raise mismatch(op.name, x.shape, y.shape)
        return Spec((*x.shape[:-1], y.shape[-1]), x.dtype)

    op.vjp(x=lambda g, y: op(g, adjoint(y)), y=lambda g, x: op(adjoint(x), g))
    op.jvp(_bilinear(op))

    @op.batching
    def _(inputs: Any, bdims: Any) -> Any:
        size = batch_size(inputs, bdims)
        x, y = (front_or_expanded(v, d, size) for v, d in zip(inputs, bdims, strict=True))
        return matmul_op(x, y), 0


_matrix_rules(mm_op, 2)
_matrix_rules(bmm_op, 3)


def _checked_product(op: Operator, x: Tensor, y: Tensor) -> Tensor:
    """Checks in torch's terms, then the operator."""
    meta: Any = op.meta_rule
    check_operands(op.name, x, y)
    meta(x, y)
    return op(x, y)  # type: ignore[no-any-return]


@public(out=True, op=mm_op)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices.

    Raises:
        RuntimeError: Shapes or dtypes do not fit.
    Example:
        >>> rushlight.mm(rushlight.tensor([[1, 2]]), rushlight.tensor([[3], [4]]))
        tensor([[11]])
    """
    return _checked_product(mm_op, input, mat2)


@public(out=True, op=bmm_op)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of two batches of matrices.

    Raises:
        RuntimeError: Shapes or dtypes do not fit.
    Example:
        >>> rushlight.bmm(rushlight.tensor([[[1, 2]]]), rushlight.tensor([[[3], [4]]]))
        tensor([[[11]]])
    """
    return _checked_product(bmm_op, input, mat2)


@public(out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Product of a matrix and a vector.

    Example:
        >>> rushlight.mv(rushlight.tensor([[1, 2], [3, 4]]), rushlight.tensor([1, 1]))
        tensor([3, 7])
    """
    check_operands("mv", input, vec)
    check_ndim("mv", "input", input, 2)
    check_ndim("mv", "vec", vec, 1)
    if input.shape[1] != vec.shape[0]:
        raise mismatch("mv", input.shape, vec.shape)
    return matmul_op(input, vec)  # type: ignore[no-any-return]


@dot_op.meta
def _(x: Tensor, y: Tensor) -> Spec:
    return Spec((), x.dtype)


@dot_op.decomposition
def _(x: Tensor, y: Tensor) -> Tensor:
    return sum_op(x * y, dim=(0,), keepdim=False)  # type: ignore[no-any-return]


dot_op.vjp(x=lambda g, y: g * conj(y), y=lambda g, x: g * conj(x))


def _check_dot(who: str, x: Tensor, y: Tensor) -> None:
    for each in (x, y):
        if not isinstance(each, Tensor):
            raise error(TypeError, who, f"expected Tensors, got {type(each).__name__}")
    if x.ndim != 1 or y.ndim != 1:
        raise error(
            RuntimeError,
            who,
            f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors",
            fix="use matmul, or flatten them first",
        )
    if x.dtype is not y.dtype:
        raise error(
            RuntimeError,
            who,
            "expected both vectors to have same dtype, but found "
            f"{x.dtype.name} and {y.dtype.name}",
        )
    if x.shape != y.shape:
        raise error(
            RuntimeError,
            who,
            "inconsistent tensor size, expected tensors to have the same number of elements, but "
            f"got {x.shape[0]} and {y.shape[0]} elements respectively",
        )


@public(out=True, op=dot_op)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors' elements.

    Example:
        >>> rushlight.dot(rushlight.tensor([2, 3]), rushlight.tensor([2, 1]))
        tensor(7)
    """
    _check_dot("dot", input, tensor)
    return dot_op(input, tensor)  # type: ignore[no-any-return]


@public(out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated.

    Example:
        >>> rushlight.vdot(rushlight.tensor([1j]), rushlight.tensor([1j]))
        tensor(1.+0.j)
    """
    _check_dot("vdot", input, other)
    return dot_op(conj(input), other)  # type: ignore[no-any-return]


@public(out=True, aliases=("ger",))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The matrix of the products of two vectors' elements.

    Example:
        >>> rushlight.outer(rushlight.tensor([1, 2]), rushlight.tensor([3, 4]))
        tensor([[3, 4],
                [6, 8]])
    """
    for name, x in (("input", input), ("vec2", vec2)):
        check_tensor("outer", x, name)
        check_ndim("outer", name, x, 1)
    return input.unsqueeze(1) * vec2
