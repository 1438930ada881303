"""Singular values and eigenvalues, with their vectors.

References:
    Seeger, Hetzel, Dai, Meissner and Lawrence (2017), Auto-differentiating linear algebra.
    arXiv:1710.08717.
    Boeddeker, Hanebrink, Drude, Heymann and Haeb-Umbach (2017), On the computation of
    complex-valued gradients with application to statistically optimum beamforming.
    arXiv:1701.00392.
"""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._errors import error
from .._operator import operator
from .._tensor.tensor import Tensor
from ._matrices import (
    adjoint,
    check_inexact,
    check_matrix,
    check_square,
    choose,
    conj,
    diagonal,
    diagonal_matrix,
    on_diagonal,
    over_batches,
    real,
    skew,
)
from ._public import public
from ._results import result_type_named
from .creation import cast_op, full

svd_op = operator("linalg_svd(Tensor x, *, bool full_matrices=True) -> (Tensor, Tensor, Tensor)")
svdvals_op = operator("linalg_svdvals(Tensor x) -> Tensor", to_real=True)
eigh_op = operator("linalg_eigh(Tensor x, *, bool upper=False) -> (Tensor, Tensor)")
eigvalsh_op = operator("linalg_eigvalsh(Tensor x, *, bool upper=False) -> Tensor", to_real=True)
eig_op = operator("linalg_eig(Tensor x) -> (Tensor, Tensor)")
eigvals_op = operator("linalg_eigvals(Tensor x) -> Tensor")


def _scaled(x: Tensor, factors: Tensor) -> Tensor:
    """The columns of each matrix times one factor each."""
    return x * factors.unsqueeze(-2)


# -- singular values ----------------------------------------------------------------------------


@svd_op.meta
def _(x: Tensor, *, full_matrices: bool) -> tuple[Spec, Spec, Spec]:
    *batch, m, n = x.shape
    k = min(m, n)
    u = Spec((*batch, m, m if full_matrices else k), x.dtype)
    vh = Spec((*batch, n if full_matrices else k, n), x.dtype)
    return u, Spec((*batch, k), x.dtype.to_real()), vh


@svd_op.vjp
def _(g: Any, *, outs: Any) -> Any:
    u, s, vh = outs
    g_u, g_s, g_vh = g
    k = s.shape[-1]
    m, n = u.shape[-2], vh.shape[-1]
    if u.shape[-1] != k or vh.shape[-2] != k:
        # The vectors beyond the values span null spaces and are not determined.
        u, vh = u.narrow(-1, 0, k), vh.narrow(-2, 0, k)
        g_u = None if g_u is None else g_u.narrow(-1, 0, k)
        g_vh = None if g_vh is None else g_vh.narrow(-2, 0, k)
    if g_u is None and g_vh is None:
        return None if g_s is None else _scaled(u, g_s) @ vh
    squares = s * s
    gaps = squares.unsqueeze(-2) - squares.unsqueeze(-1)
    gaps = choose(on_diagonal(k, k, s), 1, gaps)
    core: Any = 0.0
    if g_u is not None:
        turned = skew(adjoint(u) @ g_u)
        core = _scaled(turned / gaps, s)
        if u.dtype.is_complex:
            core = core + diagonal_matrix(diagonal(turned) / (2 * s))
    if g_vh is not None:
        core = core + s.unsqueeze(-1) * (skew(vh @ adjoint(g_vh)) / gaps)
    if g_s is not None:
        core = core + diagonal_matrix(g_s)
    total = (u @ core) @ vh
    if m > k and g_u is not None:
        inner = _scaled(g_u, s.reciprocal())
        total = total + (inner - u @ (adjoint(u) @ inner)) @ vh
    if n > k and g_vh is not None:
        inner = s.reciprocal().unsqueeze(-1) * g_vh
        total = total + u @ (inner - (inner @ adjoint(vh)) @ vh)
    return total


svd_op.batching(over_batches(svd_op, 2))


@svdvals_op.meta
def _(x: Tensor) -> Spec:
    return Spec((*x.shape[:-2], min(x.shape[-2:])), x.dtype.to_real())


@svdvals_op.vjp
def _(g: Tensor, *, x: Tensor) -> Tensor:
    u, _, vh = svd_op(x, full_matrices=False)
    return _scaled(u, g) @ vh  # type: ignore[no-any-return]


@svdvals_op.jvp
def _(primals: Any, tangents: Any, out: Tensor) -> Tensor:
    u, _, vh = svd_op(primals[0], full_matrices=False)
    return real(diagonal(adjoint(u) @ tangents[0] @ adjoint(vh)))


svdvals_op.batching(over_batches(svdvals_op, 2))


@public(namespace="linalg", out=True, methods=False, op=svd_op)
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """The singular value decomposition A = U diag(S) Vh: a named tuple (U, S, Vh).

    Args:
        A: Matrices, with any batch dimensions.
        full_matrices: U and Vh are square; otherwise only as many vectors as values are made.
        driver: Meant for devices with a choice of methods; must be None elsewhere.
    """
    check_matrix("linalg.svd", A)
    check_inexact("linalg.svd", A)
    _check_driver("linalg.svd", A, driver)
    found = svd_op(A, full_matrices=bool(full_matrices))
    return result_type_named("linalg_svd", ("U", "S", "Vh"))(*found)


def _check_driver(who: str, A: Tensor, driver: str | None) -> None:
    if driver is not None:
        raise error(
            RuntimeError,
            who,
            f"keyword argument `driver=` is not supported on this device, got '{driver}'",
            given=f"A on {A.device}",
            fix="leave driver out",
        )


@public(namespace="linalg", out=True, methods=False, op=svdvals_op)
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Singular values in falling order.

    Example:
        >>> rushlight.linalg.svdvals(rushlight.tensor([[3.0, 0.0], [0.0, -4.0]]))
        tensor([4., 3.])
    """
    check_matrix("linalg.svdvals", A)
    check_inexact("linalg.svdvals", A)
    _check_driver("linalg.svdvals", A, driver)
    return svdvals_op(A)  # type: ignore[no-any-return]


@public(name="svd", out=True)
def _root_svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition (U, S, V) with V instead of its adjoint.

    Args:
        input: Matrices, with any batch dimensions.
        some: Only as many vectors as values.
        compute_uv: False fills U and V with zeros.
    """
    check_matrix("svd", input, "input")
    check_inexact("svd", input)
    made = result_type_named("svd", ("U", "S", "V"))
    if not compute_uv:
        batch, (m, n) = tuple(input.shape[:-2]), input.shape[-2:]
        zeros = [
            full((*batch, size, size), 0, dtype=input.dtype, device=input.device) for size in (m, n)
        ]
        return made(zeros[0], svdvals_op(input), zeros[1])
    u, s, vh = svd_op(input, full_matrices=not some)
    return made(u, s, adjoint(vh))


# -- eigenvalues of Hermitian matrices ----------------------------------------------------------


@eigh_op.meta
def _(x: Tensor, *, upper: bool) -> tuple[Spec, Spec]:
    return Spec(x.shape[:-1], x.dtype.to_real()), Spec(x.shape, x.dtype)


def _gaps(values: Tensor) -> Tensor:
    """Differences of eigenvalues, column minus row, with ones on the diagonal."""
    n = values.shape[-1]
    return choose(  # type: ignore[no-any-return]
        on_diagonal(n, n, values), 1, values.unsqueeze(-2) - values.unsqueeze(-1)
    )


@eigh_op.vjp
def _(g: Any, *, outs: Any) -> Any:
    values, vectors = outs
    g_values, g_vectors = g
    if g_vectors is None:
        return None if g_values is None else _scaled(vectors, g_values) @ adjoint(vectors)
    core = skew(adjoint(vectors) @ g_vectors) * 0.5 / _gaps(values)
    if g_values is not None:
        core = core + diagonal_matrix(g_values)
    return vectors @ core @ adjoint(vectors)


eigh_op.batching(over_batches(eigh_op, 2))


@eigvalsh_op.meta
def _(x: Tensor, *, upper: bool) -> Spec:
    return Spec(x.shape[:-1], x.dtype.to_real())


@eigvalsh_op.vjp
def _(g: Tensor, *, x: Tensor, upper: bool) -> Tensor:
    _, vectors = eigh_op(x, upper=upper)
    return _scaled(vectors, g) @ adjoint(vectors)


eigvalsh_op.batching(over_batches(eigvalsh_op, 2))


def _is_upper(who: str, UPLO: str) -> bool:
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise error(RuntimeError, who, f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "U"


@public(namespace="linalg", out=True, methods=False, op=eigh_op)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues in rising order and eigenvectors of Hermitian matrices.

    Args:
        A: Matrices, with any batch dimensions.
        UPLO: The triangle to read, "L" or "U".
    Returns:
        A named tuple (eigenvalues, eigenvectors).
    """
    check_square("linalg.eigh", A)
    check_inexact("linalg.eigh", A)
    found = eigh_op(A, upper=_is_upper("linalg.eigh", UPLO))
    return result_type_named("linalg_eigh", ("eigenvalues", "eigenvectors"))(*found)


@public(namespace="linalg", out=True, methods=False, op=eigvalsh_op)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of Hermitian matrices in rising order."""
    check_square("linalg.eigvalsh", A)
    check_inexact("linalg.eigvalsh", A)
    return eigvalsh_op(A, upper=_is_upper("linalg.eigvalsh", UPLO))  # type: ignore[no-any-return]


# -- eigenvalues of any matrices ----------------------------------------------------------------


@eig_op.meta
def _(x: Tensor) -> tuple[Spec, Spec]:
    dtype = x.dtype.to_complex()
    return Spec(x.shape[:-1], dtype), Spec(x.shape, dtype)


@eig_op.vjp
def _(g: Any, *, outs: Any) -> Any:
    values, vectors = outs
    g_values, g_vectors = g
    back = adjoint(vectors)
    if g_vectors is None:
        if g_values is None:
            return None
        core = diagonal_matrix(g_values)
    else:
        # Eigenvectors have norm one, so what would stretch them is taken off.
        pull = back @ g_vectors
        stretch = cast_op(real(diagonal(pull)), dtype=vectors.dtype)
        core = (pull - back @ _scaled(vectors, stretch)) / conj(_gaps(values))
        if g_values is not None:
            core = core + diagonal_matrix(g_values)
    return _solve(back, core @ back)


def _solve(a: Tensor, b: Tensor) -> Tensor:
    from .solving import solve_op

    return solve_op(a, b)  # type: ignore[no-any-return]


eig_op.batching(over_batches(eig_op, 2))


@eigvals_op.meta
def _(x: Tensor) -> Spec:
    return Spec(x.shape[:-1], x.dtype.to_complex())


@eigvals_op.vjp
def _(g: Tensor, *, x: Tensor) -> Tensor:
    _, vectors = eig_op(x)
    back = adjoint(vectors)
    return _solve(back, g.unsqueeze(-1) * back)


eigvals_op.batching(over_batches(eigvals_op, 2))


@public(namespace="linalg", out=True, methods=False, op=eig_op)
def eig(A: Tensor) -> Any:
    """Eigenvalues and eigenvectors of square matrices, always complex.

    Returns:
        A named tuple (eigenvalues, eigenvectors).
    """
    check_square("linalg.eig", A)
    check_inexact("linalg.eig", A)
    return result_type_named("linalg_eig", ("eigenvalues", "eigenvectors"))(*eig_op(A))


@public(namespace="linalg", out=True, methods=False, op=eigvals_op)
def eigvals(A: Tensor) -> Tensor:
    """Eigenvalues of square matrices, always complex, in no order."""
    check_square("linalg.eigvals", A)
    check_inexact("linalg.eigvals", A)
    return eigvals_op(A)  # type: ignore[no-any-return]


__all__ = ["eig_op", "eigh_op", "eigvals_op", "eigvalsh_op", "svd_op", "svdvals_op"]
