"""Linear algebra: reconstructions, reports and errors, derivatives where they are delicate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import linalg
from rushlight.autograd import gradcheck

Host = np.ndarray[Any, Any]


def matrices(*shape: int, seed: int = 0, complex: bool = False) -> Any:
    """Random matrices in double precision."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    if complex:
        values = values + 1j * random.standard_normal(shape)
    return rushlight.tensor(values)


def host(x: Any) -> Host:
    return np.asarray(x.detach().numpy())


def adjoint(x: Host) -> Host:
    return x.swapaxes(-1, -2).conj()


# -- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 3), (2, 3, 5), (0, 3), (3, 0)])
def test_factors_multiply_to_the_matrix(shape: tuple[int, ...], complex: bool) -> None:
    a = matrices(*shape, complex=complex)
    q, r = (host(x) for x in linalg.qr(a))
    np.testing.assert_allclose(q @ r, host(a), atol=1e-12)
    place, lower, upper = (host(x) for x in linalg.lu(a))
    np.testing.assert_allclose(place @ lower @ upper, host(a), atol=1e-12)
    u, s, vh = (host(x) for x in linalg.svd(a, full_matrices=False))
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, host(a), atol=1e-12)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("complex", [False, True])
def test_indefinite_factors_solve_with_blocks_of_both_sizes(complex: bool, hermitian: bool) -> None:
    a = matrices(4, 7, 7, seed=3, complex=complex)
    a = a + (a.mH if hermitian else a.mT)
    b = matrices(4, 7, 2, seed=1, complex=complex)
    factors, pivots = linalg.ldl_factor(a, hermitian=hermitian)
    assert (pivots > 0).any() and (pivots < 0).any()
    solved = linalg.ldl_solve(factors, pivots, b, hermitian=hermitian)
    np.testing.assert_allclose(host(a) @ host(solved), host(b), atol=1e-10)


def test_a_batch_of_vectors_is_told_from_matrices_by_its_shape() -> None:
    a, b = matrices(4, 3, 3), matrices(4, 3, seed=1)
    x = linalg.solve(a, b)
    assert x.shape == (4, 3)
    np.testing.assert_allclose((host(a) @ host(x)[..., None])[..., 0], host(b), atol=1e-12)
    rows = matrices(1, 2, 3, seed=1)
    y = linalg.solve(a, rows, left=False)
    assert y.shape == (4, 2, 3)
    np.testing.assert_allclose(host(y) @ host(a), np.broadcast_to(host(rows), (4, 2, 3)))


def test_pseudoinverse_of_a_singular_matrix_drops_small_values() -> None:
    a = rushlight.tensor([[1.0, 0.0], [0.0, 1e-9]])
    np.testing.assert_array_equal(host(linalg.pinv(a)), [[1, 0], [0, 0]])
    assert linalg.pinv(a, rtol=0.0)[1, 1].item() == pytest.approx(1e9)
    assert linalg.pinv(a, atol=2.0).abs().max().item() == 0
    assert linalg.matrix_rank(a).item() == 1


def test_norms_of_all_kinds_agree_with_their_definitions() -> None:
    a = matrices(2, 3, 4)
    values = host(a)
    for order in (0, 0.5, 1, 2, 3, np.inf, -np.inf):
        got = linalg.vector_norm(a, order, dim=1)
        np.testing.assert_allclose(host(got), np.linalg.norm(values, order, axis=1))
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        got = linalg.matrix_norm(a, order, dim=(0, 2), keepdim=True)
        wanted = np.linalg.norm(values, order, axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(host(got), wanted)


def test_a_long_product_is_made_in_the_cheap_order() -> None:
    sizes = (10, 30, 5, 60, 2)
    parts = [matrices(n, m, seed=n) for n, m in zip(sizes, sizes[1:], strict=False)]
    wanted = np.linalg.multi_dot([host(x) for x in parts])
    np.testing.assert_allclose(host(linalg.multi_dot(parts)), wanted)


# -- reports and errors -------------------------------------------------------------------------


def test_failures_are_raised_or_reported() -> None:
    good, bad = np.eye(3), np.diag([1.0, -1.0, 1.0])
    batch = rushlight.tensor(np.stack([good, bad]))
    assert linalg.cholesky_ex(batch).info.tolist() == [0, 2]
    with pytest.raises(linalg.LinAlgError, match=r"Batch element 1.*order 2 is not positive"):
        linalg.cholesky(batch)
    singular = rushlight.tensor(np.stack([good, np.diag([1.0, 1.0, 0.0])]))
    assert linalg.inv_ex(singular).info.tolist() == [0, 3]
    assert linalg.lu_factor_ex(singular).info.tolist() == [0, 3]
    for run in (linalg.inv, linalg.lu_factor, lambda a: linalg.solve(a, a)):
        with pytest.raises(linalg.LinAlgError):
            run(singular)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: linalg.inv(rushlight.ones(3, 5)), "3 by 5 matrices"),
        (lambda: linalg.svd(rushlight.ones(3)), "at least 2 dimensions"),
        (lambda: linalg.qr(rushlight.ones(3, 3), mode="x"), "unrecognized mode 'x'"),
        (lambda: linalg.det(rushlight.ones(3, 3).int()), "floating point or complex"),
        (lambda: linalg.eigh(rushlight.ones(3, 3), UPLO="M"), "'L' or 'U', but got M"),
        (lambda: linalg.inv(rushlight.ones(3, 3).half()), "Low precision"),
        (lambda: linalg.solve(rushlight.eye(3), rushlight.ones(4, 2)), "AX = B"),
        (lambda: linalg.solve(rushlight.eye(3), rushlight.ones(3).double()), "same dtype"),
        (lambda: linalg.norm(rushlight.ones(2, 2, 2), 2), "must be 1D or 2D"),
        (lambda: linalg.vector_norm(rushlight.ones(0), np.inf), "empty tensor"),
        (lambda: linalg.lu(rushlight.eye(2), pivot=False), "LU without pivoting"),
        (lambda: linalg.cross(rushlight.ones(2, 2), rushlight.ones(2, 2)), "must have length 3"),
    ],
)
def test_bad_operands_are_named(run: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        run()


# -- derivatives --------------------------------------------------------------------------------


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_gradients_of_factors_at_every_shape(shape: tuple[int, int], complex: bool) -> None:
    a = matrices(*shape, complex=complex).requires_grad_(True)
    assert gradcheck(lambda x: tuple(linalg.qr(x)), (a,))
    assert gradcheck(lambda x: linalg.lu_factor(x)[0], (a,))
    assert gradcheck(linalg.svdvals, (a,))
    # The phases of the vectors are free, so only what does not depend on them has a derivative.
    assert gradcheck(lambda x: [y.abs() for y in linalg.svd(x, full_matrices=False)], (a,))
    assert gradcheck(linalg.pinv, (a,))


@pytest.mark.parametrize("complex", [False, True])
def test_gradients_of_eigenvectors(complex: bool) -> None:
    a = matrices(3, 3, complex=complex).requires_grad_(True)
    assert gradcheck(lambda x: [y.abs() for y in linalg.eig(x)], (a,))
    assert gradcheck(lambda x: [y.abs() for y in linalg.eigh(x + x.mH)], (a,))


@pytest.mark.parametrize("rank", [2, 1])
def test_the_determinant_of_a_singular_matrix_has_a_gradient(rank: int) -> None:
    values = np.zeros((3, 3))
    values[range(rank), range(rank)] = [2.0, 3.0][:rank]
    a = rushlight.tensor(values, requires_grad=True)
    linalg.det(a).backward()
    wanted = np.zeros((3, 3))
    if rank == 2:
        wanted[2, 2] = 6.0  # the cofactor of the zero on the diagonal
    assert a.grad is not None
    np.testing.assert_allclose(host(a.grad), wanted, atol=1e-12)


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, np.inf])
def test_a_norm_has_gradient_zero_at_the_origin(order: float) -> None:
    x = rushlight.zeros(3, requires_grad=True)
    linalg.vector_norm(x, order).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_equal_rows_are_at_distance_zero_with_gradient_zero() -> None:
    x = rushlight.ones(30, 2, requires_grad=True)
    for mode in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        (g,) = rushlight.autograd.grad(rushlight.cdist(x, x, compute_mode=mode).sum(), x)
        assert g.abs().max().item() == 0


def test_a_complete_basis_of_a_tall_matrix_has_no_derivative() -> None:
    a = rushlight.ones(3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete'"):
        linalg.qr(a, mode="complete").Q.sum().backward()
