"""Systems of linear equations: solvers and inverses."""

from __future__ import annotations

import math
from typing import Any

from .._dispatch import Spec
from .._dtypes import int32
from .._errors import LinAlgError, error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._matrices import (
    adjoint,
    broadcast_batches,
    check_equation,
    check_inexact,
    check_matrix,
    check_same_dtype,
    check_square,
    fresh_copy,
    holds_anywhere,
    identity,
    over_batches,
    transposed,
)
from ._public import public
from ._results import result_type_named
from .factorizations import (
    lu_factor_op,
    permutation_matrix,
    zero_pivots,
)

inv_op = operator("linalg_inv(Tensor x) -> Tensor")
solve_op = operator("linalg_solve(Tensor a, Tensor b) -> Tensor")
solve_triangular_op = operator(
    "linalg_solve_triangular(Tensor a, Tensor b, *, bool upper, bool left=True, "
    "bool unitriangular=False) -> Tensor"
)
lu_solve_op = operator(
    "linalg_lu_solve(Tensor lu, Tensor pivots, Tensor b, *, bool left=True, bool adjoint=False) "
    "-> Tensor"
)


# -- primitives ---------------------------------------------------------------------------------


@inv_op.meta
def _(x: Tensor) -> Spec:
    return Spec(x.shape, x.dtype)


@inv_op.vjp
def _(g: Tensor, *, out: Tensor) -> Tensor:
    back = adjoint(out)
    return -(back @ g @ back)


inv_op.jvp(lambda primals, tangents, out: -(out @ tangents[0] @ out))
inv_op.batching(over_batches(inv_op, 2))


@solve_op.meta
def _(a: Tensor, b: Tensor) -> Spec:
    batch = broadcast_shapes("linalg.solve", tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    return Spec((*batch, *b.shape[-2:]), b.dtype)


@solve_op.vjp
def _(g: Tensor, *, a: Tensor, out: Tensor, needs: Any) -> Any:
    g_b = solve_op(adjoint(a), g)
    return {"b": g_b, "a": -(g_b @ adjoint(out)) if needs[0] else None}


@solve_op.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Tensor:
    right = tangents[1]
    if tangents[0] is not None:
        change = tangents[0] @ out
        right = -change if right is None else right - change
    return solve_op(primals[0], right)  # type: ignore[no-any-return]


solve_op.batching(over_batches(solve_op, 2, 2))


@solve_triangular_op.meta
def _(a: Tensor, b: Tensor, *, upper: bool, left: bool, unitriangular: bool) -> Spec:
    batch = broadcast_shapes("linalg.solve_triangular", tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    return Spec((*batch, *b.shape[-2:]), b.dtype)


def _triangle(x: Tensor, upper: bool, unit: bool) -> Tensor:
    """The part of a matrix that a triangular solve reads."""
    return x.triu(int(unit)) if upper else x.tril(-int(unit))


@solve_triangular_op.vjp
def _(
    g: Tensor, *, a: Tensor, out: Tensor, upper: bool, left: bool, unitriangular: bool, needs: Any
) -> Any:
    g_b = solve_triangular_op(
        adjoint(a), g, upper=not upper, left=left, unitriangular=unitriangular
    )
    if not needs[0]:
        return {"b": g_b}
    g_a = g_b @ adjoint(out) if left else adjoint(out) @ g_b
    return {"b": g_b, "a": -_triangle(g_a, upper, unitriangular)}


@solve_triangular_op.jvp
def _(
    primals: Any, tangents: Any, out: Tensor, *, upper: bool, left: bool, unitriangular: bool
) -> Tensor:
    right = tangents[1]
    if tangents[0] is not None:
        part = _triangle(tangents[0], upper, unitriangular)
        change = part @ out if left else out @ part
        right = -change if right is None else right - change
    return solve_triangular_op(  # type: ignore[no-any-return]
        primals[0], right, upper=upper, left=left, unitriangular=unitriangular
    )


solve_triangular_op.batching(over_batches(solve_triangular_op, 2, 2))


@lu_solve_op.decomposition
def _(lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool, adjoint: bool) -> Tensor:
    if not left:  # X A = B is A^H X^H = B^H
        return conjugate_transpose(
            lu_solve_op(lu, pivots, conjugate_transpose(b), left=True, adjoint=not adjoint)
        )
    place = permutation_matrix(pivots, lu.shape[-2], lu)
    if adjoint:
        back = conjugate_transpose(lu)
        inner = solve_triangular_op(back, b, upper=False)
        return place @ solve_triangular_op(back, inner, upper=True, unitriangular=True)  # type: ignore[no-any-return]
    inner = solve_triangular_op(lu, transposed(place) @ b, upper=False, unitriangular=True)
    return solve_triangular_op(lu, inner, upper=True)  # type: ignore[no-any-return]


conjugate_transpose = adjoint


# -- inverses and solvers -----------------------------------------------------------------------


@public(namespace="linalg", out=True, methods=False, op=inv_op)
def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices.

    Args:
        A: Matrices, with any batch dimensions.
    Raises:
        LinAlgError: A matrix is singular.
    Example:
        >>> rushlight.linalg.inv(rushlight.tensor([[2.0, 0.0], [0.0, 4.0]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.2500]])
    """
    check_square("linalg.inv", A)
    check_inexact("linalg.inv", A)
    return inv_op(A)  # type: ignore[no-any-return]


@public(out=True)
def inverse(input: Tensor) -> Tensor:
    """The inverse of square matrices; see `linalg.inv`."""
    check_square("inverse", input)
    check_inexact("inverse", input)
    return inv_op(input)  # type: ignore[no-any-return]


def _raise_if_singular(who: str, info: Tensor) -> None:
    if holds_anywhere(info != 0):
        raise error(
            LinAlgError,
            who,
            "The solver failed because the input matrix is singular.",
            fix="use linalg.pinv or linalg.lstsq, which take singular matrices",
        )


@public(namespace="linalg", out=True, methods=False)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """`linalg.inv` with a report: (inverse, info), info being 0 or the place of a zero pivot."""
    check_square("linalg.inv_ex", A)
    check_inexact("linalg.inv_ex", A)
    lu, pivots = lu_factor_op(A)
    info = zero_pivots(lu)
    if check_errors:
        _raise_if_singular("linalg.inv_ex", info)
    unit = identity(A.shape[-1], A).expand(*A.shape)
    made = result_type_named("linalg_inv_ex", ("inverse", "info"))
    return made(lu_solve_op(lu, pivots, unit), info)


def is_vector_side(a: Tensor, b: Tensor) -> bool:
    """Whether the right-hand side is a batch of vectors, by torch's rule."""
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))


def _checked_sides(who: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Tensor, bool]:
    """The two sides as matrices of common batches, and whether the right one was of vectors."""
    check_square(who, A)
    check_inexact(who, A)
    check_tensor(who, B, "B")
    check_same_dtype(who, A, B)
    vector = is_vector_side(A, B)
    if vector:
        if not left:
            raise error(
                RuntimeError,
                who,
                "Vector broadcasting of the left hand side is not supported for left=False. In "
                "this case linalg.solve is equivalent to B / A.squeeze(-1)",
            )
        B = B.unsqueeze(-1)
    check_matrix(who, B, "B")
    check_equation(who, A, B, left)
    A, B = broadcast_batches(who, A, B)
    return A, B, vector


def _solved(who: str, A: Tensor, B: Tensor, left: bool) -> Tensor:
    a, b, vector = _checked_sides(who, A, B, left)
    if not left:
        return transposed(solve_op(transposed(a), transposed(b)))
    out = solve_op(a, b)
    return out.squeeze(-1) if vector else out  # type: ignore[no-any-return]


@public(namespace="linalg", out=True, methods=False, op=solve_op)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution X of A X = B, or of X A = B.

    Args:
        A: Square matrices, with any batch dimensions.
        B: Matrices or vectors.
        left: Solves A X = B; otherwise X A = B.
    Raises:
        LinAlgError: A matrix is singular.
    Example:
        >>> A = rushlight.tensor([[3.0, 1.0], [1.0, 2.0]])
        >>> rushlight.linalg.solve(A, rushlight.tensor([9.0, 8.0]))
        tensor([2., 3.])
    """
    return _solved("linalg.solve", A, B, left)


@public(namespace="linalg", out=True, methods=False)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """`linalg.solve` with a report: (result, info), info being 0 or the place of a zero pivot."""
    a, b, vector = _checked_sides("linalg.solve_ex", A, B, left)
    lu, pivots = lu_factor_op(a)
    info = zero_pivots(lu_factor_op(A.detach())[0] if a is not A else lu)
    if check_errors:
        _raise_if_singular("linalg.solve_ex", info)
    out = lu_solve_op(lu, pivots, b, left=left)
    made = result_type_named("linalg_solve_ex", ("result", "info"))
    return made(out.squeeze(-1) if vector else out, info)


@public(namespace="linalg", out=True, methods=False, op=solve_triangular_op)
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The solution X of A X = B (or X A = B) with A triangular.

    Args:
        A: Square matrices of which one triangle is read.
        B: Matrices.
        upper: Which triangle.
        left: Solves A X = B; otherwise X A = B.
        unitriangular: Takes the diagonal to be ones.
    """
    who = "linalg.solve_triangular"
    check_square(who, A)
    check_matrix(who, B, "B")
    check_inexact(who, A)
    check_same_dtype(who, A, B)
    check_equation(who, A, B, left)
    A, B = broadcast_batches(who, A, B)
    return solve_triangular_op(  # type: ignore[no-any-return]
        A, B, upper=bool(upper), left=bool(left), unitriangular=bool(unitriangular)
    )


@public(out=True)
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """The solution of A X = input with A triangular, and a copy of A; see `solve_triangular`."""
    who = "triangular_solve"
    check_square(who, A)
    check_matrix(who, input, "b")
    check_inexact(who, A)
    check_same_dtype(who, input, A, ("b", "A"))
    check_equation(who, A, input, True)
    A, b = broadcast_batches(who, A, input)
    factor, triangle = (transposed(A), not upper) if transpose else (A, upper)
    solution = solve_triangular_op(
        factor, b, upper=bool(triangle), unitriangular=bool(unitriangular)
    )
    made = result_type_named("triangular_solve", ("solution", "cloned_coefficient"))
    return made(solution, fresh_copy(A))


def _lu_solved(
    who: str, LU: Tensor, pivots: Tensor, B: Tensor, left: bool, adjoint: bool
) -> Tensor:
    check_square(who, LU, "LU")
    check_inexact(who, LU)
    check_matrix(who, B, "B")
    check_same_dtype(who, LU, B, ("LU", "B"))
    check_equation(who, LU, B, left)
    if pivots.dtype is not int32:
        raise error(
            RuntimeError,
            who,
            f"pivots should be a Tensor of scalar type torch.int32, got {pivots.dtype.name}",
            fix="pass what linalg.lu_factor returned",
        )
    if tuple(pivots.shape) != tuple(LU.shape[:-1]):
        raise error(
            RuntimeError,
            who,
            "Number of pivots per batch should be same as the dimension of the matrix",
            given=f"LU of shape {tuple(LU.shape)}, pivots of shape {tuple(pivots.shape)}",
        )
    LU, B = broadcast_batches(who, LU, B)
    pivots = pivots.expand(*LU.shape[:-1])
    return lu_solve_op(LU, pivots, B, left=bool(left), adjoint=bool(adjoint))  # type: ignore[no-any-return]


@public(namespace="linalg", name="lu_solve", out=True, methods=False, op=lu_solve_op)
def lu_solve_of(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """The solution of A X = B from what `linalg.lu_factor(A)` returned.

    Args:
        LU: The factors in one matrix.
        pivots: The row exchanges.
        B: Matrices.
        left: Solves A X = B; otherwise X A = B.
        adjoint: Takes A^H in place of A.
    """
    return _lu_solved("linalg.lu_solve", LU, pivots, B, left, adjoint)


@public(name="lu_solve", out=True)
def _root_lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The solution of A X = input; see `linalg.lu_solve`."""
    return _lu_solved("lu_solve", LU_data, LU_pivots, input, True, False)


@public(out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The solution of A X = input from the Cholesky factor of A.

    Args:
        input: Matrices.
        L: The factors.
        upper: The factors are upper triangular.
    """
    who = "cholesky_solve"
    check_matrix(who, input, "b")
    check_square(who, L, "u")
    check_inexact(who, L)
    check_same_dtype(who, input, L, ("b", "A"))
    check_equation(who, L, input, True)
    L, b = broadcast_batches(who, L, input)
    lower = adjoint(L) if upper else L
    inner = solve_triangular_op(lower, b, upper=False)
    return solve_triangular_op(adjoint(lower), inner, upper=True)  # type: ignore[no-any-return]


@public(out=True)
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A from its Cholesky factor.

    Args:
        L: The factors.
        upper: The factors are upper triangular.
    """
    check_square("cholesky_inverse", L)
    check_inexact("cholesky_inverse", L)
    root = solve_triangular_op(L, identity(L.shape[-1], L).expand(*L.shape), upper=bool(upper))
    return root @ adjoint(root) if upper else adjoint(root) @ root  # type: ignore[no-any-return]


# -- tensors as matrices ------------------------------------------------------------------------


@public(namespace="linalg", out=True, methods=False)
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of a tensor seen as a matrix whose rows are its first `ind` dimensions."""
    who = "linalg.tensorinv"
    check_inexact(who, A)
    if ind <= 0:
        raise error(RuntimeError, who, "Expected a strictly positive integer for 'ind'")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise error(
            RuntimeError,
            who,
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {math.prod(last)} != {math.prod(first)}",
        )
    n = math.prod(first)
    return inv(A.reshape(n, n)).reshape(*last, *first)


@public(namespace="linalg", out=True, methods=False)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The solution of tensordot(A, X, X.ndim) = B.

    Args:
        A: Tensor whose first dimensions are B's.
        B: Tensor.
        dims: Dimensions of A to move to the end first.
    """
    who = "linalg.tensorsolve"
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = A.permute(*(d for d in range(A.ndim) if d not in moved), *moved)
    rest = tuple(A.shape[B.ndim :])
    if math.prod(rest) != math.prod(tuple(A.shape[: B.ndim])):
        raise error(
            RuntimeError,
            who,
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {math.prod(rest)} != "
            f"{math.prod(tuple(A.shape[: B.ndim]))}",
        )
    n = math.prod(rest)
    return solve(A.reshape(n, n), B.reshape(n)).reshape(*rest)


__all__ = ["inv_op", "lu_solve_op", "solve_op", "solve_triangular_op"]
