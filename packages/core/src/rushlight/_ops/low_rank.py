"""Approximate factorizations of low rank by random projection.

References:
    Halko, Martinsson and Tropp (2011), Finding structure with randomness: probabilistic algorithms
    for constructing approximate matrix decompositions. SIAM Review 53(2), algorithm 5.1.
"""

from __future__ import annotations

from .._errors import error
from .._tensor.tensor import Tensor
from ._matrices import adjoint, check_matrix
from ._public import PUBLIC, public
from .factorizations import qr_op
from .spectra import svd_op


def _range_basis(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Orthonormal columns that nearly span what A (less M) maps to."""
    shifted = A if M is None else A - M
    back = adjoint(shifted)
    randn = PUBLIC[""]["randn"]
    probes = randn(A.shape[-1], q, dtype=A.dtype, device=A.device)
    basis = qr_op(shifted @ probes, mode="reduced")[0]
    for _ in range(niter):
        basis = qr_op(back @ basis, mode="reduced")[0]
        basis = qr_op(shifted @ basis, mode="reduced")[0]
    return basis  # type: ignore[no-any-return]


@public(methods=False)
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values and their vectors, approximately: (U, S, V).

    Args:
        A: Matrices, with any batch dimensions.
        q: Number of values.
        niter: Subspace iterations; more are more accurate.
        M: Is subtracted from A first.
    """
    check_matrix("svd_lowrank", A)
    count = 6 if q is None else q
    rounds = 2 if niter is None else niter
    shifted = A if M is None else A - M
    wide = A.shape[-2] < A.shape[-1]
    if wide:
        shifted = adjoint(shifted)
    basis = _range_basis(shifted, count, rounds, None)
    u, s, vh = svd_op(adjoint(basis) @ shifted, full_matrices=False)
    u, v = basis @ u, adjoint(vh)
    return (v, s, u) if wide else (u, s, v)


@public(methods=False)
def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components, approximately: (U, S, V) of the centred matrix.

    Args:
        A: Matrices, one sample a row.
        q: Number of components; min(6, rows, columns) by default.
        center: Subtracts the mean of each column.
        niter: Subspace iterations.
    Raises:
        ValueError: `q` or `niter` is out of range.
    """
    check_matrix("pca_lowrank", A)
    rows, columns = A.shape[-2:]
    if q is None:
        q = min(6, rows, columns)
    elif not 0 <= q <= min(rows, columns):
        raise error(
            ValueError,
            "pca_lowrank",
            f"q(={q}) must be non-negative integer and not greater than min(m, n)="
            f"{min(rows, columns)}",
        )
    if niter < 0:
        raise error(ValueError, "pca_lowrank", f"niter(={niter}) must be non-negative integer")
    if center:
        A = A - A.mean(-2, keepdim=True)
    return svd_lowrank(A, q, niter=niter)
