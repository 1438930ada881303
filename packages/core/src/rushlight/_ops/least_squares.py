"""Least squares: pseudo-inverses, solutions of smallest residual, and which values count as zero.

References:
    Golub and Pereyra (1973), The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate. SIAM Journal on Numerical Analysis 10(2).
"""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import int64
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._registered import operators
from .._tensor.tensor import Tensor
from ._matrices import (
    adjoint,
    broadcast_batches,
    check_inexact,
    check_matrix,
    check_same_dtype,
    check_square,
    choose,
    fresh_copy,
    transposed,
)
from ._public import public
from ._results import result_type_named
from .creation import cast_op, full
from .solving import is_vector_side

lstsq_op = operator(
    "linalg_lstsq(Tensor a, Tensor b, *, Scalar? rcond=None) -> (Tensor, Tensor, Tensor, Tensor)",
    constant_outputs=(3,),
)
pinv_op = operator(
    "linalg_pinv(Tensor x, Tensor atol, Tensor rtol, *, bool hermitian=False) -> Tensor"
)


@pinv_op.meta
def _(x: Tensor, atol: Tensor, rtol: Tensor, *, hermitian: bool) -> Spec:
    return Spec((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@pinv_op.decomposition
def _(x: Tensor, atol: Tensor, rtol: Tensor, *, hermitian: bool) -> Tensor:
    if x.numel() == 0:
        return fresh_copy(transposed(x))
    if hermitian:
        values, vectors = operators["linalg_eigh"](x, upper=False)
        left, right, size = vectors, adjoint(vectors), values.abs()
    else:
        right, values, left = operators["linalg_svd"](x, full_matrices=False)
        left, right, size = adjoint(left), adjoint(right), values
    kept = is_kept(size, atol, rtol)
    inverse_values = choose(kept, choose(kept, values, 1).reciprocal(), 0)
    return (left * inverse_values.unsqueeze(-2)) @ right  # type: ignore[no-any-return]


@pinv_op.vjp
def _(g: Tensor, *, x: Tensor, out: Tensor) -> Any:
    back, g_back = adjoint(out), adjoint(g)
    total = -(back @ g @ back)
    # The two projectors vanish where the matrix has full rank.
    beside = g_back - (x @ out) @ g_back
    total = total + beside @ (out @ back)
    below = g_back - g_back @ (out @ x)
    return {"x": total + (back @ out) @ below}


@pinv_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, hermitian: bool) -> Tensor:
    x, t = primals[0], tangents[0]
    back, t_back = adjoint(out), adjoint(t)
    first = -(out @ t @ out)
    beside = (out @ back) @ (t_back - t_back @ (x @ out))
    below = (t_back - (out @ x) @ t_back) @ (back @ out)
    return first + beside + below  # type: ignore[no-any-return]


def tolerances(who: str, A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """(atol, rtol) as tensors, with torch's choice where they are not given.

    Raises:
        RuntimeError: One is a complex tensor.
    """
    for name, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Tensor) and value.dtype.is_complex:
            raise error(
                RuntimeError,
                who,
                f"{name} tensor of complex type is not supported. Got {value.dtype.name}",
            )
    default = max(A.shape[-2:], default=0) * _epsilon(A)
    if rtol is None:
        if isinstance(atol, Tensor):
            rtol = choose(atol > 0, 0.0, _tolerance(A, default))
        else:
            rtol = 0.0 if atol else default
    return _tolerance(A, 0.0 if atol is None else atol), _tolerance(A, rtol)


def _tolerance(A: Tensor, value: Any) -> Tensor:
    dtype = A.dtype.to_real()
    if isinstance(value, Tensor):
        return cast_op(value.detach(), dtype=dtype)  # type: ignore[no-any-return]
    return full((), float(value), dtype=dtype, device=A.device)


def is_kept(size: Tensor, atol: Tensor, rtol: Tensor) -> Tensor:
    """Which singular values count: those above max(atol, rtol * the largest)."""
    limit = (size.amax(-1) * rtol).maximum(atol)
    return size > limit.unsqueeze(-1)


def _epsilon(A: Tensor) -> float:
    return 2.0**-52 if A.dtype.to_real().itemsize == 8 else 2.0**-23


def spectrum_size(A: Tensor, hermitian: bool) -> Tensor:
    """Singular values, or for Hermitian matrices the sizes of the eigenvalues; without history."""
    A = A.detach()
    if hermitian:
        return operators["linalg_eigvalsh"](A, upper=False).abs()  # type: ignore[no-any-return]
    return operators["linalg_svdvals"](A)  # type: ignore[no-any-return]


def _pinv(who: str, A: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
    (check_square if hermitian else check_matrix)(who, A)
    check_inexact(who, A)
    return pinv_op(A, *tolerances(who, A, atol, rtol), hermitian=bool(hermitian))  # type: ignore[no-any-return]


@public(namespace="linalg", out=True, methods=False, op=pinv_op)
def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """The pseudoinverse (Moore and Penrose) of matrices.

    Args:
        A: Matrices, with any batch dimensions.
        rcond: Older name of `rtol`.
        hermitian: A is Hermitian.
        atol: Singular values up to this count as zero.
        rtol: Likewise relative to the largest one; by default max(rows, columns) * epsilon.
    """
    return _pinv("linalg.pinv", A, atol, rcond if rtol is None else rtol, hermitian)


@public()
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse; see `linalg.pinv`."""
    return _pinv("pinverse", input, None, rcond, False)


@lstsq_op.meta
def _(a: Tensor, b: Tensor, *, rcond: float | None) -> tuple[Spec, Spec, Spec, Spec]:
    batch = broadcast_shapes("linalg.lstsq", tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    real_dtype = a.dtype.to_real()
    m, n = a.shape[-2:]
    residuals = (*batch, b.shape[-1]) if m > n else (0,)
    return (
        Spec((*batch, n, b.shape[-1]), a.dtype),
        Spec(residuals, real_dtype),
        Spec(a.shape[:-2], int64),
        Spec((*a.shape[:-2], min(m, n)), real_dtype),
    )


@lstsq_op.vjp
def _(g: Any, *, a: Tensor, b: Tensor, out0: Tensor, needs: Any) -> Any:
    g_a: Any = None
    g_b: Any = None
    rest = b - a @ out0
    if g[0] is not None:
        inverse_of_a = pinv_op(a, *tolerances("linalg.lstsq", a, None, None))
        back, gradient = adjoint(inverse_of_a), adjoint(g[0])
        g_b = back @ g[0]
        if needs[0]:
            beside = rest @ (gradient @ inverse_of_a) @ back
            shadow = gradient - (gradient @ inverse_of_a) @ a
            g_a = beside - g_b @ adjoint(out0) + (back @ out0) @ shadow
    if g[1] is not None and g[1].numel():
        # The solution minimises the residuals, so they do not move with it.
        pull = rest * (2 * g[1]).unsqueeze(-2)
        g_b = pull if g_b is None else g_b + pull
        push = -(pull @ adjoint(out0))
        g_a = push if g_a is None else g_a + push
    return {"a": g_a, "b": g_b}


@public(namespace="linalg", methods=False, out=True, op=lstsq_op)
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The least-squares solution of A X = B.

    Args:
        A: Matrices, with any batch dimensions.
        B: Matrices or vectors.
        rcond: Singular values up to this, relative to the largest, count as zero.
        driver: "gels", "gelsy" (default), "gelsd" or "gelss": which of the last two results are
            computed; the solution is found from the singular values in any case.
    Returns:
        A named tuple (solution, residuals, rank, singular_values).
    """
    who = "linalg.lstsq"
    check_matrix(who, A, "input")
    check_inexact(who, A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise error(
            RuntimeError,
            who,
            f"parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got '{driver}'",
        )
    if B.ndim < 1:
        raise error(RuntimeError, who, "other must have at least 1 dimension.")
    check_same_dtype(who, A, B, ("input", "other"))
    vector = is_vector_side(A, B)
    b = B.unsqueeze(-1) if vector else B
    check_matrix(who, b, "other")
    if A.shape[-2] != b.shape[-2]:
        raise error(
            RuntimeError,
            who,
            "input.size(-2) should match other.size(-1)"
            if vector
            else "input.size(-2) should match other.size(-2)",
            given=f"A of shape {tuple(A.shape)}, B of shape {tuple(B.shape)}",
        )
    a, b = broadcast_batches(who, A, b)
    solution, residuals, rank, values = lstsq_op(a, b, rcond=rcond)
    empty = full((0,), 0, dtype=values.dtype, device=values.device)
    if driver in (None, "gelsy"):
        values = empty
    elif driver == "gels":
        values, rank = empty, full((0,), 0, dtype=int64, device=rank.device)
    if driver in (None, "gelsy"):
        residuals = residuals.reshape(-1).narrow(0, 0, 0)
    made = result_type_named("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
    return made(solution.squeeze(-1) if vector else solution, residuals, rank, values)


__all__ = ["is_kept", "lstsq_op", "pinv_op", "spectrum_size", "tolerances"]
