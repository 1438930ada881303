"""What the linear algebra families share: checks of matrices, adjoints, diagonals, `vmap` rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._dtypes import DType, complex64, complex128, float32, float64, int64
from .._errors import error
from .._operator import Operator
from .._promotion import broadcast_shapes
from .._tensor.tensor import Tensor
from ._batching import batch_size, front_or_expanded
from ._geometry import check_tensor
from .creation import arange_op, cast_op, clone_op
from .elementwise import choose
from .elementwise import conj as conj
from .views import diagonal_op, expand_op, permute_op

#: Dtypes that factorizations know.
PRECISE = (float32, float64, complex64, complex128)


# -- checks -------------------------------------------------------------------------------------


def check_matrix(who: str, x: Any, name: str = "A") -> None:
    """Raises unless an argument is a tensor of two or more dimensions.

    Raises:
        TypeError: It is no tensor.
        RuntimeError: It has fewer dimensions.
    """
    check_tensor(who, x, name)
    if x.ndim < 2:
        raise error(
            RuntimeError,
            who,
            f"The input tensor {name} must have at least 2 dimensions.",
            given=f"{name} of shape {tuple(x.shape)}",
            fix="add dimensions with unsqueeze(...)",
        )


def check_square(who: str, x: Any, name: str = "A") -> None:
    """Raises unless an argument is a batch of square matrices.

    Raises:
        TypeError: It is no tensor.
        RuntimeError: Its last two sizes differ.
    """
    check_matrix(who, x, name)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise error(
            RuntimeError,
            who,
            f"{name} must be batches of square matrices, but they are {rows} by {columns} matrices",
            given=f"{name} of shape {tuple(x.shape)}",
        )


def check_inexact(who: str, x: Tensor, *, low: bool = False) -> None:
    """Raises unless a tensor is floating or complex, and precise enough unless `low`.

    Raises:
        RuntimeError: It is of another dtype.
    """
    if not x.dtype.is_inexact:
        raise error(
            RuntimeError,
            who,
            f"Expected a floating point or complex tensor as input. Got {x.dtype.name}",
            fix="convert it, for example x.to(rushlight.float32)",
        )
    if not low and x.dtype not in PRECISE:
        raise error(
            RuntimeError,
            who,
            f"Low precision dtypes not supported. Got {x.dtype.name}",
            fix="convert it, for example x.to(rushlight.float32)",
        )


def check_same_dtype(who: str, a: Tensor, b: Tensor, names: tuple[str, str] = ("A", "B")) -> None:
    """Raises unless two tensors have one dtype.

    Raises:
        RuntimeError: They differ.
    """
    if a.dtype is not b.dtype:
        raise error(
            RuntimeError,
            who,
            f"Expected {names[0]} and {names[1]} to have the same dtype, but found {names[0]} of "
            f"type {a.dtype.name} and {names[1]} of type {b.dtype.name} instead",
            fix=f"convert one, for example {names[1]}.to({names[0]}.dtype)",
        )


def check_equation(who: str, a: Tensor, b: Tensor, left: bool) -> None:
    """Raises unless A X = B (or X A = B) makes sense.

    Raises:
        RuntimeError: The shapes do not fit.
    """
    if a.shape[-1 if not left else -2] == b.shape[-1 if not left else -2]:
        return
    raise error(
        RuntimeError,
        who,
        f"Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
        f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})",
        given=f"A of shape {tuple(a.shape)}, B of shape {tuple(b.shape)}",
    )


def broadcast_batches(who: str, *matrices: Tensor) -> list[Tensor]:
    """Matrices with their batch dimensions expanded to common ones."""
    batch = broadcast_shapes(who, *(tuple(x.shape[:-2]) for x in matrices))
    return [
        x if tuple(x.shape[:-2]) == batch else expand_op(x, size=(*batch, *x.shape[-2:]))
        for x in matrices
    ]


# -- pieces of formulas -------------------------------------------------------------------------


def transposed(x: Tensor) -> Tensor:
    """Each matrix transposed."""
    n = x.ndim
    return permute_op(x, dims=(*range(n - 2), n - 1, n - 2))  # type: ignore[no-any-return]


def adjoint(x: Tensor) -> Tensor:
    """Each matrix transposed and conjugated."""
    return conj(transposed(x))


def fresh_copy(x: Tensor) -> Tensor:
    """A dense tensor of its own, so that no view of an operand is returned."""
    return clone_op(x)  # type: ignore[no-any-return]


def diagonal(x: Tensor) -> Tensor:
    """The diagonal of each matrix."""
    return diagonal_op(x, offset=0, dim1=x.ndim - 2, dim2=x.ndim - 1)  # type: ignore[no-any-return]


def counted(length: int, x: Tensor, dtype: DType = int64) -> Tensor:
    """0, 1, ... on the device of `x`."""
    return arange_op(start=0, step=1, length=length, dtype=dtype, device=x.device)  # type: ignore[no-any-return]


def on_diagonal(rows: int, columns: int, x: Tensor) -> Tensor:
    """A bool matrix that is true on its diagonal."""
    return counted(rows, x).unsqueeze(-1) == counted(columns, x)


def identity(rows: int, x: Tensor, columns: int | None = None) -> Tensor:
    """The identity matrix in the dtype of `x`."""
    mask = on_diagonal(rows, rows if columns is None else columns, x)
    return cast_op(mask, dtype=x.dtype)  # type: ignore[no-any-return]


def diagonal_matrix(values: Tensor) -> Tensor:
    """Matrices with these diagonals."""
    n = values.shape[-1]
    return choose(on_diagonal(n, n, values), values.unsqueeze(-2), 0)  # type: ignore[no-any-return]


def hermitian_part(x: Tensor) -> Tensor:
    """(X + X^H) / 2."""
    return (x + adjoint(x)) * 0.5


def skew(x: Tensor) -> Tensor:
    """X - X^H."""
    return x - adjoint(x)


def real(x: Tensor) -> Tensor:
    """The real part, of a real tensor the tensor."""
    return x.real if x.dtype.is_complex else x


def holds_anywhere(condition: Tensor) -> bool:
    """Whether any element is true, in any item of the batches of a transform.

    False where there is no data to look at.
    """
    while getattr(condition, "is_level_tensor", False):
        condition = condition.value  # type: ignore[attr-defined]
    return condition.device.type != "meta" and bool(condition.detach().any())


# -- vmap ---------------------------------------------------------------------------------------


def over_batches(op: Operator, *item_dims: int, unbatched: Callable[..., Any] | None = None) -> Any:
    """Rule of an operator that takes any number of leading batch dimensions.

    Args:
        op: The operator.
        *item_dims: How many trailing dimensions of each input are the item's; 2 for matrices.
        unbatched: Tells from the attributes which results carry no batch (as a tuple of bool).
    """

    def rule(inputs: tuple[Any, ...], bdims: tuple[Any, ...], **attributes: Any) -> Any:
        size = batch_size(inputs, bdims)
        places = list(zip(inputs, bdims, item_dims, strict=True))
        batch = max(x.ndim - (d is not None) - k for x, d, k in places if x is not None)
        moved: list[Any] = []
        for x, d, k in places:
            if x is None:
                moved.append(None)
                continue
            x = front_or_expanded(x, d, size)
            missing = batch - (x.ndim - 1 - k)
            if missing:
                x = x.reshape(size, *([1] * missing), *x.shape[1:])
            moved.append(x)
        out = op(*moved, **attributes)
        if unbatched is None:
            return out, 0
        return out, tuple(None if alone else 0 for alone in unbatched(**attributes))

    return rule


__all__ = [
    "PRECISE", "adjoint", "broadcast_batches", "check_equation", "check_inexact", "check_matrix",
    "check_same_dtype", "check_square", "choose", "conj", "counted", "diagonal", "diagonal_matrix",
    "fresh_copy", "hermitian_part", "holds_anywhere", "identity", "on_diagonal", "over_batches",
    "real", "skew", "transposed",
]  # fmt: skip
