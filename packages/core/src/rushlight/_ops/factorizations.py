"""Factorizations of matrices: Cholesky, QR, LU and LDL^T.

References:
    Murray (2016), Differentiation of the Cholesky decomposition. arXiv:1602.07527.
    Roberts and Roberts (2020), QR and LQ decomposition matrix backpropagation algorithms for
    square, wide, and deep matrices. arXiv:2009.10071.
"""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import int32, int64
from .._errors import LinAlgError, error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._matrices import (
    adjoint,
    broadcast_batches,
    check_equation,
    check_inexact,
    check_matrix,
    check_same_dtype,
    check_square,
    choose,
    counted,
    diagonal,
    diagonal_matrix,
    hermitian_part,
    holds_anywhere,
    identity,
    over_batches,
    real,
)
from ._public import public
from ._results import result_type_named
from .creation import cast_op, full

cholesky_op = operator(
    "linalg_cholesky(Tensor x, *, bool upper=False, bool check_errors=False) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
qr_op = operator('linalg_qr(Tensor x, *, str mode="reduced") -> (Tensor, Tensor)')
geqrf_op = operator("geqrf(Tensor x) -> (Tensor, Tensor)", differentiable=False)
lu_factor_op = operator(
    "linalg_lu_factor(Tensor x, *, bool check_errors=False) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
lu_permutation_op = operator(
    "lu_permutation(Tensor pivots, *, int rows) -> Tensor", differentiable=False
)
ldl_factor_op = operator(
    "linalg_ldl_factor(Tensor x, *, bool hermitian=False) -> (Tensor, Tensor, Tensor)",
    differentiable=False,
)
ldl_solve_op = operator(
    "linalg_ldl_solve(Tensor ld, Tensor pivots, Tensor b, *, bool hermitian=False) -> Tensor",
    differentiable=False,
)


def _solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unit: bool = False
) -> Tensor:
    """`linalg_solve_triangular`, which is defined in a later family."""
    solve = operators["linalg_solve_triangular"]
    return solve(a, b, upper=upper, left=left, unitriangular=unit)  # type: ignore[no-any-return]


# -- Cholesky -----------------------------------------------------------------------------------


@cholesky_op.meta
def _(x: Tensor, *, upper: bool, check_errors: bool) -> tuple[Spec, Spec]:
    return Spec(x.shape, x.dtype), Spec(x.shape[:-2], int32)


def _lower_half(x: Tensor) -> Tensor:
    """The lower triangle with half of the diagonal."""
    return x.tril() - diagonal_matrix(diagonal(x)) * 0.5


@cholesky_op.vjp
def _(g: Any, *, out0: Tensor, upper: bool) -> Any:
    if g[0] is None:
        return None
    lower, gradient = (adjoint(out0), adjoint(g[0])) if upper else (out0, g[0])
    inner = _lower_half(adjoint(lower) @ gradient)
    # The matrix is Hermitian, and so is its gradient, though only one triangle is read.
    inner = _solve_triangular(adjoint(lower), inner, upper=True)
    return hermitian_part(_solve_triangular(lower, inner, upper=False, left=False))


@cholesky_op.jvp
def _(primals: Any, tangents: Any, out: Any, *, upper: bool, check_errors: bool) -> Any:
    lower = adjoint(out[0]) if upper else out[0]
    inner = _solve_triangular(lower, hermitian_part(tangents[0]), upper=False)
    inner = _solve_triangular(adjoint(lower), inner, upper=True, left=False)
    tangent = lower @ _lower_half(inner)
    return (adjoint(tangent) if upper else tangent), None


cholesky_op.batching(over_batches(cholesky_op, 2))


@public(namespace="linalg", out=True, methods=False, op=cholesky_op)
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The Cholesky factor of Hermitian positive-definite matrices: A = L L^H.

    Args:
        A: Matrices, with any batch dimensions; only the lower (upper) triangle is read.
        upper: Gives U of A = U^H U instead.
    Raises:
        LinAlgError: A matrix is not positive definite.
    Example:
        >>> rushlight.linalg.cholesky(rushlight.tensor([[4.0, 2.0], [2.0, 5.0]]))
        tensor([[2., 0.],
                [1., 2.]])
    """
    check_square("linalg.cholesky", A)
    check_inexact("linalg.cholesky", A)
    return cholesky_op(A, upper=bool(upper), check_errors=True)[0]  # type: ignore[no-any-return]


@public(namespace="linalg", out=True, methods=False)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """`linalg.cholesky` with a report: `(L, info)`, info being 0 or the order of the bad minor."""
    check_square("linalg.cholesky_ex", A)
    check_inexact("linalg.cholesky_ex", A)
    made = result_type_named("linalg_cholesky_ex", ("L", "info"))
    return made(*cholesky_op(A, upper=bool(upper), check_errors=bool(check_errors)))


@public(name="cholesky", out=True)
def _root_cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The Cholesky factor of Hermitian positive-definite matrices; see `linalg.cholesky`."""
    check_square("cholesky", input, "input")
    check_inexact("cholesky", input)
    return cholesky_op(input, upper=bool(upper), check_errors=True)[0]  # type: ignore[no-any-return]


# -- QR -----------------------------------------------------------------------------------------


@qr_op.meta
def _(x: Tensor, *, mode: str) -> tuple[Spec, Spec]:
    *batch, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    q = Spec((0,) if mode == "r" else (*batch, m, k), x.dtype)
    return q, Spec((*batch, k, n), x.dtype)


def _sum_with_adjoint_of_triangle(x: Tensor) -> Tensor:
    """X + X^H of an upper triangular X, its diagonal counted once and real."""
    return x + adjoint(x) - diagonal_matrix(_real_as(diagonal(x), x))


def _real_as(x: Tensor, like: Tensor) -> Tensor:
    return cast_op(real(x), dtype=like.dtype) if like.dtype.is_complex else x


@qr_op.vjp
def _(g: Any, *, outs: Any, mode: str) -> Any:
    q, r = outs
    if mode == "r":
        raise error(
            RuntimeError,
            "linalg.qr",
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'",
            fix="use mode='reduced'",
        )
    m, k, n = q.shape[-2], q.shape[-1], r.shape[-1]
    if mode == "complete" and m > n:
        raise error(
            RuntimeError,
            "linalg.qr",
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols",
            given=f"matrices of {m} by {n}",
            fix="use mode='reduced'",
        )
    g_q, g_r = g
    if k == n:
        return _qr_vjp(q, r, g_q, g_r)
    # Of a wide matrix the first columns make Q, and the others are Q times what is left of R.
    first, rest = r.narrow(-1, 0, k), r.narrow(-1, k, n - k)
    if g_r is None:
        gradient = _qr_vjp(q, first, g_q, None)
        zeros = full((*q.shape[:-2], m, n - k), 0, dtype=q.dtype, device=q.device)
        return operators["cat"](gradient, zeros, dim=q.ndim - 1)
    g_rest = g_r.narrow(-1, k, n - k)
    through = (q @ rest) @ adjoint(g_rest)
    gradient = _qr_vjp(q, first, through if g_q is None else g_q + through, g_r.narrow(-1, 0, k))
    return operators["cat"](gradient, q @ g_rest, dim=q.ndim - 1)


def _qr_vjp(q: Tensor, r: Tensor, g_q: Tensor | None, g_r: Tensor | None) -> Any:
    """For matrices with at least as many rows as columns."""
    if g_q is None and g_r is None:
        return None
    inner: Any = None
    if g_r is not None:
        inner = g_r @ adjoint(r)
    if g_q is not None:
        part = adjoint(q) @ g_q
        inner = -part if inner is None else inner - part
    total = q @ _sum_with_adjoint_of_triangle(inner.triu())
    if g_q is not None:
        total = total + g_q
    return _solve_triangular(adjoint(r), total, upper=False, left=False)


qr_op.batching(over_batches(qr_op, 2, unbatched=lambda mode: (mode == "r", False)))


def _checked_qr(who: str, A: Tensor, mode: str) -> Any:
    check_matrix(who, A)
    check_inexact(who, A)
    if mode not in ("reduced", "complete", "r"):
        raise error(
            RuntimeError,
            who,
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'",
        )
    return qr_op(A, mode=mode)


@public(namespace="linalg", out=True, methods=False, op=qr_op)
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """The QR decomposition of matrices: A = Q R with Q's columns orthonormal, R upper triangular.

    Args:
        A: Matrices, with any batch dimensions.
        mode: "reduced" (Q as wide as A is at most), "complete" (Q square), or "r" (no Q).
    Returns:
        A named tuple (Q, R).
    """
    return result_type_named("linalg_qr", ("Q", "R"))(*_checked_qr("linalg.qr", A, mode))


@public(name="qr", out=True)
def _root_qr(input: Tensor, some: bool = True) -> Any:
    """The QR decomposition (Q, R), of reduced size if `some`; see `linalg.qr`."""
    found = _checked_qr("qr", input, "reduced" if some else "complete")
    return result_type_named("qr", ("Q", "R"))(*found)


@geqrf_op.meta
def _(x: Tensor) -> tuple[Spec, Spec]:
    return Spec(x.shape, x.dtype), Spec((*x.shape[:-2], min(x.shape[-2:])), x.dtype)


geqrf_op.batching(over_batches(geqrf_op, 2))


@public(out=True, op=geqrf_op)
def geqrf(input: Tensor) -> Any:
    """LAPACK's form of the QR decomposition: a named tuple (a, tau).

    R stands in the upper triangle of `a`, the Householder vectors below it; see
    `linalg.householder_product` and `ormqr`.
    """
    check_matrix("geqrf", input, "input")
    check_inexact("geqrf", input)
    return result_type_named("geqrf", ("a", "tau"))(*geqrf_op(input))


# -- LU -----------------------------------------------------------------------------------------


@lu_factor_op.meta
def _(x: Tensor, *, check_errors: bool) -> tuple[Spec, Spec]:
    return Spec(x.shape, x.dtype), Spec((*x.shape[:-2], min(x.shape[-2:])), int32)


@lu_permutation_op.meta
def _(pivots: Tensor, *, rows: int) -> Spec:
    return Spec((*pivots.shape[:-1], rows), int64)


lu_factor_op.batching(over_batches(lu_factor_op, 2))
lu_permutation_op.batching(over_batches(lu_permutation_op, 1))


def permutation_matrix(pivots: Tensor, rows: int, like: Tensor) -> Tensor:
    """P of A = P L U."""
    order = lu_permutation_op(pivots, rows=rows)
    mask = order.unsqueeze(-2) == counted(rows, pivots).unsqueeze(-1)
    return cast_op(mask, dtype=like.dtype)  # type: ignore[no-any-return]


def lower_factor(lu: Tensor) -> Tensor:
    """L of the two factors in one matrix."""
    rows, columns = lu.shape[-2:]
    k = min(rows, columns)
    part = lu if columns == k else lu.narrow(-1, 0, k)
    return part.tril(-1) + identity(rows, lu, k)


def upper_factor(lu: Tensor) -> Tensor:
    """U of the two factors in one matrix."""
    rows, columns = lu.shape[-2:]
    return (lu if rows <= columns else lu.narrow(-2, 0, columns)).triu()


@lu_factor_op.vjp
def _(g: Any, *, out0: Tensor, out1: Tensor) -> Any:
    """With G the gradient in both factors and X = P^T A = L U, blocks beyond the square apart.

    The columns to the right of the square are L^-1 X2, the rows below it X2 U^-1.
    """
    if g[0] is None:
        return None
    m, n = out0.shape[-2:]
    k = min(m, n)
    lu, gradient = out0.narrow(-2, 0, k).narrow(-1, 0, k), g[0].narrow(-2, 0, k).narrow(-1, 0, k)
    lower, upper = lower_factor(lu), upper_factor(lu)
    to_lower = adjoint(lower) @ gradient.tril(-1)
    to_upper = gradient.triu() @ adjoint(upper)
    if n > m:
        g_right = g[0].narrow(-1, k, n - k)
        to_lower = to_lower - g_right @ adjoint(out0.narrow(-1, k, n - k))
    if m > n:
        g_below = g[0].narrow(-2, k, m - k)
        to_upper = to_upper - adjoint(out0.narrow(-2, k, m - k)) @ g_below
    inner = to_lower.tril(-1) + to_upper.triu()
    inner = _solve_triangular(adjoint(lower), inner, upper=True, unit=True)
    square = _solve_triangular(adjoint(upper), inner, upper=False, left=False)
    if n > m:
        right = _solve_triangular(adjoint(lower), g_right, upper=True, unit=True)
        square = operators["cat"](square, right, dim=out0.ndim - 1)
    if m > n:
        below = _solve_triangular(adjoint(upper), g_below, upper=False, left=False)
        # What the lower rows owe to the square came in through U.
        square = operators["cat"](square, below, dim=out0.ndim - 2)
    return permutation_matrix(out1, m, square) @ square


def _checked_lu(who: str, A: Tensor, pivot: bool, check_errors: bool = False) -> Any:
    check_matrix(who, A)
    check_inexact(who, A)
    if not pivot:
        raise error(
            RuntimeError,
            "linalg.lu_factor",
            "LU without pivoting is not implemented on this device",
            fix="use pivot=True",
        )
    return lu_factor_op(A, check_errors=check_errors)


def zero_pivots(lu: Tensor) -> Tensor:
    """Per matrix the 1-based place of the first zero on U's diagonal, or 0."""
    values = diagonal(lu).detach()
    n = values.shape[-1]
    if n == 0:
        return full(tuple(lu.shape[:-2]), 0, dtype=int32, device=lu.device)
    places = choose(values == 0, counted(n, lu) + 1, n + 1).amin(-1)
    return choose(places == n + 1, 0, places).to(int32)  # type: ignore[no-any-return]


@public(namespace="linalg", out=True, methods=False, op=lu_factor_op)
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """The factors of A = P L U in one matrix, and the row exchanges: a named tuple (LU, pivots).

    Args:
        A: Matrices, with any batch dimensions.
        pivot: Must be true.
    Raises:
        LinAlgError: U has a zero on its diagonal.
    """
    found = _checked_lu("linalg.lu_factor", A, pivot, True)
    return result_type_named("linalg_lu_factor", ("LU", "pivots"))(*found)


@public(namespace="linalg", out=True, methods=False)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """`linalg.lu_factor` with a report: (LU, pivots, info)."""
    lu, pivots = _checked_lu("linalg.lu_factor_ex", A, pivot, bool(check_errors))
    made = result_type_named("linalg_lu_factor_ex", ("LU", "pivots", "info"))
    return made(lu, pivots, zero_pivots(lu))


@public(namespace="linalg", name="lu", out=True, methods=False)
def lu_of(A: Tensor, *, pivot: bool = True) -> Any:
    """The LU decomposition with partial pivoting, A = P L U: a named tuple (P, L, U)."""
    factors, pivots = _checked_lu("linalg.lu", A, pivot)
    made = result_type_named("linalg_lu", ("P", "L", "U"))
    place = permutation_matrix(pivots, A.shape[-2], factors)
    return made(place, lower_factor(factors), upper_factor(factors))


@public(name="lu", out=True)
def _root_lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """The factors of A = P L U in one matrix, and the row exchanges; see `linalg.lu_factor`."""
    factors, pivots = _checked_lu("lu", A, pivot, not get_infos)
    if get_infos:
        made = result_type_named("_lu_with_info", ("LU", "pivots", "info"))
        return made(factors, pivots, zero_pivots(factors))
    return factors, pivots


@public(out=True, methods=False)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """The three matrices (P, L, U) of what `linalg.lu_factor` returned.

    Args:
        LU_data: The factors in one matrix.
        LU_pivots: The row exchanges.
        unpack_data: False leaves L and U empty.
        unpack_pivots: False leaves P empty.
    """
    check_matrix("lu_unpack", LU_data, "LU_data")
    if unpack_pivots and LU_pivots.dtype is not int32:
        raise error(
            RuntimeError,
            "lu_unpack",
            "LU_pivots is expected to be a contiguous tensor of torch.int32 dtype. Note: this "
            "function is intended to be used with the output produced by linalg.lu_factor",
            given=f"LU_pivots of {LU_pivots.dtype}",
        )
    empty = full((0,), 0, dtype=LU_data.dtype, device=LU_data.device)
    place = lower = upper = empty
    if unpack_pivots:
        place = permutation_matrix(LU_pivots, LU_data.shape[-2], LU_data)
    if unpack_data:
        lower, upper = lower_factor(LU_data), upper_factor(LU_data)
    return result_type_named("lu_unpack", ("P", "L", "U"))(place, lower, upper)


# -- LDL^T --------------------------------------------------------------------------------------


@ldl_factor_op.meta
def _(x: Tensor, *, hermitian: bool) -> tuple[Spec, Spec, Spec]:
    return Spec(x.shape, x.dtype), Spec(x.shape[:-1], int32), Spec(x.shape[:-2], int32)


@ldl_solve_op.meta
def _(ld: Tensor, pivots: Tensor, b: Tensor, *, hermitian: bool) -> Spec:
    return Spec(b.shape, b.dtype)


ldl_factor_op.batching(over_batches(ldl_factor_op, 2))
ldl_solve_op.batching(over_batches(ldl_solve_op, 2, 1, 2))


def _ldl(who: str, A: Tensor, hermitian: bool, check_errors: bool) -> Any:
    check_square(who, A)
    check_inexact(who, A)
    found = ldl_factor_op(A, hermitian=bool(hermitian))
    if check_errors and holds_anywhere(found[2] != 0):
        raise error(
            LinAlgError,
            who,
            "a block of D is zero and using it on ldl_solve would result in a division by zero",
            fix="use linalg.ldl_factor_ex, which reports instead of raising",
        )
    return found


@public(namespace="linalg", out=True, methods=False, op=ldl_factor_op)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """The factors of symmetric (or Hermitian) matrices A = P L D L^T P^T: (LD, pivots).

    Args:
        A: Matrices of which the lower triangle is read.
        hermitian: A is Hermitian instead of complex symmetric.
    """
    lower, pivots, _ = _ldl("linalg.ldl_factor", A, hermitian, True)
    return result_type_named("linalg_ldl_factor", ("LD", "pivots"))(lower, pivots)


@public(namespace="linalg", out=True, methods=False)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """`linalg.ldl_factor` with a report: (LD, pivots, info)."""
    made = result_type_named("linalg_ldl_factor_ex", ("LD", "pivots", "info"))
    return made(*_ldl("linalg.ldl_factor_ex", A, hermitian, check_errors))


@public(namespace="linalg", out=True, methods=False, op=ldl_solve_op)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """The solution of A X = B from the factors of A that `linalg.ldl_factor` returned."""
    who = "linalg.ldl_solve"
    check_square(who, LD, "LD")
    check_inexact(who, LD)
    check_matrix(who, B, "B")
    check_equation(who, LD, B, True)
    check_same_dtype(who, LD, B, ("LD", "B"))
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise error(
            RuntimeError,
            who,
            f"Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{list(pivots.shape)} instead",
        )
    if pivots.dtype.is_inexact or pivots.dtype.name == "bool":
        raise error(RuntimeError, who, f"Expected pivots to be integers. Got {pivots.dtype.name}")
    LD, B = broadcast_batches(who, LD, B)
    return ldl_solve_op(LD, pivots.expand(*LD.shape[:-1]), B, hermitian=bool(hermitian))  # type: ignore[no-any-return]


__all__ = [
    "cholesky_op", "geqrf_op", "lower_factor", "lu_factor_op", "permutation_matrix", "qr_op",
    "upper_factor", "zero_pivots",
]  # fmt: skip
