"""Linear algebra over batches of matrices: what NumPy's linalg has, by torch's conventions.

A matrix that cannot be factored raises `LinAlgError`, which names the batch and the element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._singularities import not_converged, not_positive, singular, zero_pivot
from ._common import INT64, Array, ArrayModule, Kernel, Kernels, by_float
from ._factorizations import Factorizations
from ._indefinite import Indefinite


def linalg_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of factorizations, solvers and matrix functions; all are batched."""
    factor = Factorizations(xp)
    kernels = {
        **_decompositions(xp, factor),
        **_eigenvalues(xp),
        **_solvers(xp, factor),
        **_functions(xp),
    }
    entries: Kernels = {
        name: {"floating": kernel, "complex": kernel} for name, kernel in kernels.items()
    }
    entries["linalg_matrix_exp"] = by_float(
        kernels["linalg_matrix_exp"], complex=kernels["linalg_matrix_exp"]
    )
    entries["lu_permutation"] = {"integer": factor.permutation}
    return entries


def _raising(who: str, run: Callable[[], Any]) -> Any:
    """Runs an iteration of NumPy's, its failure being ours."""
    try:
        return run()
    except np.linalg.LinAlgError as reason:
        raise not_converged(who) from reason


def _decompositions(xp: ArrayModule, factor: Factorizations) -> dict[str, Kernel]:
    linalg = xp.linalg
    indefinite = Indefinite(xp)

    def linalg_cholesky(
        x: Array, *, upper: bool = False, check_errors: bool = False
    ) -> tuple[Array, Array]:
        x = factor.adjoint(x) if upper else x
        info = xp.zeros(x.shape[:-2], np.int32)
        try:
            out = linalg.cholesky(x)
        except np.linalg.LinAlgError:
            out, info = factor.cholesky_with_info(x)
            if check_errors and info.any():
                raise not_positive(x.shape, info) from None
        return (factor.adjoint(out).copy() if upper else out), info

    def linalg_qr(x: Array, *, mode: str = "reduced") -> tuple[Array, Array]:
        if mode == "r":
            return xp.zeros(0, x.dtype), linalg.qr(x, mode="r")
        q, r = linalg.qr(x, mode=mode)
        return q, r

    def geqrf(x: Array) -> tuple[Array, Array]:
        reflectors, tau = linalg.qr(x, mode="raw")
        return reflectors.swapaxes(-1, -2).copy(), tau

    def linalg_svd(x: Array, *, full_matrices: bool = True) -> tuple[Array, Array, Array]:
        u, s, vh = _raising("linalg.svd", lambda: linalg.svd(x, full_matrices=full_matrices))
        return u, s, vh

    def linalg_svdvals(x: Array) -> Array:
        return _raising("linalg.svdvals", lambda: linalg.svd(x, compute_uv=False))

    def linalg_lu_factor(x: Array, *, check_errors: bool = False) -> tuple[Array, Array]:
        lu, pivots = factor.lu(x)
        if check_errors and lu.size and not factor.diagonal(lu).all():
            raise zero_pivot(x.shape, factor.diagonal(lu) == 0)
        return lu, pivots

    return {
        "linalg_cholesky": linalg_cholesky,
        "linalg_qr": linalg_qr,
        "geqrf": geqrf,
        "linalg_svd": linalg_svd,
        "linalg_svdvals": linalg_svdvals,
        "linalg_lu_factor": linalg_lu_factor,
        "linalg_ldl_factor": indefinite.factor,
        "linalg_ldl_solve": indefinite.solve,
        "householder_product": factor.householder_product,
    }


def _eigenvalues(xp: ArrayModule) -> dict[str, Kernel]:
    linalg = xp.linalg

    def complex_of(x: Array) -> Any:
        return np.complex64 if x.dtype.itemsize == 4 or x.dtype == np.complex64 else np.complex128

    def linalg_eigh(x: Array, *, upper: bool = False) -> tuple[Array, Array]:
        w, v = _raising("linalg.eigh", lambda: linalg.eigh(x, UPLO="U" if upper else "L"))
        return w, v

    def linalg_eigvalsh(x: Array, *, upper: bool = False) -> Array:
        return _raising("linalg.eigvalsh", lambda: linalg.eigvalsh(x, UPLO="U" if upper else "L"))

    def linalg_eig(x: Array) -> tuple[Array, Array]:
        w, v = _raising("linalg.eig", lambda: linalg.eig(x))
        dtype = complex_of(x)  # NumPy's are real where all eigenvalues happen to be
        return w.astype(dtype, copy=False), v.astype(dtype, copy=False)

    def linalg_eigvals(x: Array) -> Array:
        values = _raising("linalg.eigvals", lambda: linalg.eigvals(x))
        return values.astype(complex_of(x), copy=False)

    return {
        "linalg_eigh": linalg_eigh,
        "linalg_eigvalsh": linalg_eigvalsh,
        "linalg_eig": linalg_eig,
        "linalg_eigvals": linalg_eigvals,
    }


def _solvers(xp: ArrayModule, factor: Factorizations) -> dict[str, Kernel]:
    linalg = xp.linalg

    def zero_diagonal(x: Array) -> Array:
        """Which elements of U's diagonal are zero."""
        return factor.diagonal(factor.lu(x)[0]) == 0

    def linalg_inv(x: Array) -> Array:
        try:
            return linalg.inv(x)
        except np.linalg.LinAlgError:
            raise singular("linalg.inv", x.shape, zero_diagonal(x)) from None

    def linalg_solve(a: Array, b: Array) -> Array:
        vector = b.ndim == a.ndim - 1 and a.shape[:-1] == b.shape
        try:
            return linalg.solve(a, b[..., None])[..., 0].copy() if vector else linalg.solve(a, b)
        except np.linalg.LinAlgError:
            raise singular("linalg.solve", a.shape, zero_diagonal(a)) from None

    def linalg_solve_triangular(
        a: Array, b: Array, *, upper: bool, left: bool = True, unitriangular: bool = False
    ) -> Array:
        if left:
            return factor.solve_triangular(a, b, upper, unitriangular)
        # x a = b is a' x' = b', and transposing swaps the triangles.
        flipped = factor.solve_triangular(
            a.swapaxes(-1, -2), b.swapaxes(-1, -2), not upper, unitriangular
        )
        return flipped.swapaxes(-1, -2).copy()

    def linalg_lu_solve(
        lu: Array, pivots: Array, b: Array, *, left: bool = True, adjoint: bool = False
    ) -> Array:
        if left:
            return factor.lu_solve(lu, pivots, b, adjoint)
        # x a = b is a^H x^H = b^H.
        flipped = factor.lu_solve(lu, pivots, factor.adjoint(b), not adjoint)
        return factor.adjoint(flipped).copy()

    def linalg_lstsq(
        a: Array, b: Array, *, rcond: float | None = None
    ) -> tuple[Array, Array, Array, Array]:
        rows, columns = a.shape[-2:]
        u, s, vh = _raising("linalg.lstsq", lambda: linalg.svd(a, full_matrices=False))
        if rcond is None:
            rcond = float(np.finfo(a.dtype).eps) * max(rows, columns)
        largest = s[..., :1] if s.shape[-1] else xp.zeros((*s.shape[:-1], 1), s.dtype)
        kept = s > rcond * largest
        inverse = xp.where(kept, 1 / xp.where(kept, s, 1), 0).astype(s.dtype)
        projected = xp.matmul(factor.adjoint(u), b)
        solution = xp.matmul(factor.adjoint(vh), inverse[..., None] * projected)
        rank = xp.add.reduce(kept, -1, INT64)
        residuals = xp.zeros(0, s.dtype)
        if rows > columns and bool((rank == columns).all()):
            residuals = xp.add.reduce(xp.square(xp.absolute(xp.matmul(a, solution) - b)), -2)
        return solution, residuals, rank, s

    return {
        "linalg_inv": linalg_inv,
        "linalg_solve": linalg_solve,
        "linalg_solve_triangular": linalg_solve_triangular,
        "linalg_lu_solve": linalg_lu_solve,
        "linalg_lstsq": linalg_lstsq,
    }


# Numerator of the diagonal Padé approximant of exp of degree 13 (the denominator alternates).
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_RADIUS = 5.371920351148152


def _functions(xp: ArrayModule) -> dict[str, Kernel]:
    linalg = xp.linalg

    def linalg_det(x: Array) -> Array:
        with np.errstate(over="ignore"):  # as IEEE 754 has it, without NumPy's warning
            return linalg.det(x)

    def linalg_slogdet(x: Array) -> tuple[Array, Array]:
        sign, logabsdet = linalg.slogdet(x)
        return sign, logabsdet

    def powers(even: Sequence[Array], coefficients: Sequence[float]) -> Array:
        total = even[0] * coefficients[0]
        for power, coefficient in zip(even[1:], coefficients[1:], strict=True):
            total += power * coefficient
        return total

    def linalg_matrix_exp(x: Array) -> Array:
        """Scaling and squaring.

        References:
            Higham (2005), The scaling and squaring method for the matrix exponential revisited.
            SIAM Journal on Matrix Analysis 26(4).
        """
        if not x.size:
            return x.copy()
        norm = xp.absolute(x).sum(axis=-2).max(axis=-1)
        finite = xp.where(xp.isfinite(norm), xp.maximum(norm, _PADE_RADIUS), _PADE_RADIUS)
        squarings = xp.ceil(xp.log2(finite / _PADE_RADIUS))[..., None, None]
        a = x * xp.exp2(-squarings).astype(x.real.dtype)
        identity = xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype), x.shape)
        a2 = xp.matmul(a, a)
        a4 = xp.matmul(a2, a2)
        a6 = xp.matmul(a4, a2)
        b = _PADE
        odd = xp.matmul(a6, powers((a2, a4, a6), b[9::2]))
        odd = xp.matmul(a, odd + powers((identity, a2, a4, a6), b[1:8:2]))
        even = xp.matmul(a6, powers((a2, a4, a6), b[8::2]))
        even = even + powers((identity, a2, a4, a6), b[0:8:2])
        out = linalg.solve(even - odd, even + odd)
        for step in range(int(squarings.max())):
            out = xp.where(step < squarings, xp.matmul(out, out), out)
        return out

    return {
        "linalg_det": linalg_det,
        "linalg_slogdet": linalg_slogdet,
        "linalg_matrix_exp": linalg_matrix_exp,
    }
