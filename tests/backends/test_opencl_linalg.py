"""Linear algebra on OpenCL: both flavours, real and complex numbers, every layout and odd size."""

import functools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen import kernel_table  # noqa: E402

TABLE = kernel_table()
DTYPES = ("float32", "complex64")
few = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
every = [
    pytest.mark.parametrize("flavour", ["cpu", "gpu"]),
    pytest.mark.parametrize("dtype", DTYPES),
]
batches = st.sampled_from([(), (1,), (3,), (2, 2), (0,), (2, 0, 1)])
sizes = st.integers(0, 20)


def in_every_way(test):
    """Runs a test in both flavours and for all dtypes."""
    for mark in every:
        test = mark(test)
    return test


@functools.cache
def kernel(name: str, flavour: str, dtype: str):
    """A kernel of one flavour, on arrays of the host."""
    device = rl.ones(1, device="opencl")._k.runtime
    kind = getattr(rl, dtype)
    classes = TABLE[name]
    entry = classes["complex" if kind.is_complex else "integer" if "int" in dtype else "floating"]
    made = []

    def run(*operands: np.ndarray, **attributes):
        before, device.flavour = device.flavour, flavour
        try:
            if not made:
                made.append(entry.make(device, kind))
            found = made[0](*map(sent, operands), **attributes)
        finally:
            device.flavour = before
        if isinstance(found, tuple):
            return tuple(map(device.to_host, found))
        return device.to_host(found)

    def sent(array: np.ndarray):
        """The array on the device, in the layout it has on the host."""
        if not array.size or not any(s < 0 or s % array.itemsize for s in array.strides):
            base = array
            while base.base is not None:
                base = base.base
            if base is not array and base.flags.c_contiguous and array.size:
                whole = device.from_host(base.reshape(-1))
                at = (array.ctypes.data - base.ctypes.data) // array.itemsize
                steps = tuple(s // array.itemsize for s in array.strides)
                return whole.geometry(array.shape, steps, at)
        return device.from_host(np.ascontiguousarray(array))

    return run


def numbers(seed: int, dtype: str, *shape: int) -> np.ndarray:
    """Normal numbers, as a view of something larger where the seed is odd."""
    generator = np.random.default_rng(seed)
    outer = shape[:-2] + ((shape[-1] + 1, shape[-2] * 2) if seed % 2 else shape[-2:])
    x = generator.standard_normal(outer)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * generator.standard_normal(outer)
    x = x.astype(dtype)
    return x[..., 1:, ::2].swapaxes(-1, -2) if seed % 2 else x


def adjoint(x: np.ndarray) -> np.ndarray:
    return x.conj().swapaxes(-1, -2)


def wide(x: np.ndarray) -> np.ndarray:
    """The precision that results are checked in."""
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def epsilon(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


def assert_small(residual: np.ndarray, size: np.ndarray | float, n: int, dtype: str) -> None:
    """A residual is within a small multiple of n * epsilon of what it was made of."""
    if residual.size:
        scale = float(np.max(size)) if np.size(size) else 1.0
        found = float(np.max(np.abs(residual)))
        assert found <= 8 * (n + 2) * epsilon(dtype) * max(scale, 1.0)


def norms(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=(-2, -1)) if x.size else np.zeros(1)


def definite(seed: int, dtype: str, batch: tuple[int, ...], n: int) -> np.ndarray:
    x = numbers(seed, dtype, *batch, n, n)
    return (x @ adjoint(x) + n * np.eye(n, dtype=dtype)).astype(dtype)


# -- triangular systems -------------------------------------------------------------------------


@in_every_way
@few
@given(batch=batches, n=sizes, columns=st.integers(0, 20), seed=st.integers(0, 99))
@pytest.mark.parametrize("left", [True, False])
def test_triangular_systems(flavour, dtype, left, batch, n, columns, seed) -> None:
    a = numbers(seed, dtype, *batch, n, n) + 5 * math.sqrt(n) * np.eye(n, dtype=dtype)
    b = numbers(seed + 1, dtype, *batch, *((n, columns) if left else (columns, n)))
    solve = kernel("linalg_solve_triangular", flavour, dtype)
    for upper in (True, False):
        triangle = np.triu(a) if upper else np.tril(a)
        x = wide(solve(a, b, upper=upper, left=left))
        assert x.shape == b.shape
        product = wide(triangle) @ x if left else x @ wide(triangle)
        assert_small(product - b, norms(triangle), n, dtype)


@in_every_way
def test_large_triangular_systems_and_unit_diagonals(flavour, dtype) -> None:
    n = 150
    a = numbers(1, dtype, n, n) / n
    b = numbers(2, dtype, n, 20)
    x = kernel("linalg_solve_triangular", flavour, dtype)(a, b, upper=False, unitriangular=True)
    assert_small((np.tril(wide(a), -1) + np.eye(n)) @ x - b, 1.0, n, dtype)


def test_a_zero_on_the_diagonal_gives_infinities() -> None:
    a = rl.tensor([[1.0, 0.0], [1.0, 0.0]], device="opencl")
    x = rl.linalg.solve_triangular(a, rl.ones(2, 1, device="opencl") * 2, upper=False)
    assert x.cpu()[0].item() == 2
    assert not rl.isfinite(x.cpu()[1]).item()


# -- Cholesky -------------------------------------------------------------------------------------


@in_every_way
@few
@given(batch=batches, n=sizes, seed=st.integers(0, 99))
@pytest.mark.parametrize("upper", [True, False])
def test_cholesky_factors(flavour, dtype, upper, batch, n, seed) -> None:
    a = definite(seed, dtype, batch, n)
    # Only one triangle is read.
    garbage = np.triu(a) if upper else np.tril(a)
    factor, info = kernel("linalg_cholesky", flavour, dtype)(garbage, upper=upper)
    assert not info.any()
    np.testing.assert_array_equal(factor, np.triu(factor) if upper else np.tril(factor))
    f = wide(factor)
    product = adjoint(f) @ f if upper else f @ adjoint(f)
    assert_small(product - a, norms(a), n, dtype)


@in_every_way
def test_large_cholesky_factors(flavour, dtype) -> None:
    a = definite(0, dtype, (2,), 150)
    factor, _ = kernel("linalg_cholesky", flavour, dtype)(a)
    assert_small(wide(factor) @ adjoint(wide(factor)) - a, norms(a), 150, dtype)


@in_every_way
def test_cholesky_reports_the_first_minor_that_is_not_positive(flavour, dtype) -> None:
    a = np.stack([np.eye(90, dtype=dtype)] * 4)
    a[1, 2, 2], a[1, 70, 70] = -1, -1
    a[2, 80, 80] = 0
    a[3, 0, 0] = np.nan
    factor, info = kernel("linalg_cholesky", flavour, dtype)(a)
    assert info.tolist() == [0, 3, 81, 1]
    np.testing.assert_array_equal(factor[0], a[0])
    assert np.isfinite(factor).all()


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_a_matrix_that_is_not_positive_is_an_error_as_on_cpu(shape) -> None:
    a = np.broadcast_to(np.eye(3, dtype=np.float32), shape).copy()
    a[..., 1, 1] = -1
    if len(shape) == 3:
        a[0] = np.eye(3)
    messages = []
    for device in ("opencl", "cpu"):
        with pytest.raises(rl.linalg.LinAlgError, match="minor of order 2 is not") as raised:
            rl.linalg.cholesky(rl.tensor(a, device=device))
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert ("Batch element 1" in messages[0]) == (len(shape) == 3)


# -- LU -------------------------------------------------------------------------------------------


@in_every_way
@few
@given(batch=batches, m=sizes, n=sizes, seed=st.integers(0, 99))
def test_lu_factors(flavour, dtype, batch, m, n, seed) -> None:
    a = numbers(seed, dtype, *batch, m, n)
    check_lu(flavour, dtype, a)


def check_lu(flavour: str, dtype: str, a: np.ndarray) -> None:
    m, n = a.shape[-2:]
    k = min(m, n)
    factors, pivots = kernel("linalg_lu_factor", flavour, dtype)(a)
    assert factors.shape == a.shape
    assert pivots.dtype == np.int32
    assert pivots.shape == (*a.shape[:-2], k)
    assert ((pivots >= np.arange(1, k + 1)) & (pivots <= m)).all()
    lower = np.tril(wide(factors)[..., :k], -1) + np.eye(m, k)
    assert np.abs(lower).max(initial=0) <= 1.5  # complex numbers are compared by |re| + |im|
    upper = np.triu(wide(factors)[..., :k, :])
    order = kernel("lu_permutation", flavour, "int32")(pivots, rows=m)
    moved = np.take_along_axis(a, order[..., None], axis=-2)
    assert_small(lower @ upper - moved, norms(a), max(m, n), dtype)


@in_every_way
@pytest.mark.parametrize("shape", [(150, 150), (2, 100, 170), (170, 40)])
def test_large_lu_factors(flavour, dtype, shape) -> None:
    check_lu(flavour, dtype, numbers(4, dtype, *shape))


@in_every_way
def test_pivots_are_those_of_the_cpu(flavour, dtype) -> None:
    a = numbers(0, dtype, 40, 40)
    _, pivots = kernel("linalg_lu_factor", flavour, dtype)(a)
    _, expected = rl.linalg.lu_factor(rl.tensor(a))
    assert pivots.tolist() == expected.tolist()


@in_every_way
@few
@given(batch=batches, n=sizes, columns=st.integers(0, 20), seed=st.integers(0, 99))
def test_solutions_and_inverses(flavour, dtype, batch, n, columns, seed) -> None:
    a = numbers(seed, dtype, *batch, n, n) + 3 * math.sqrt(n) * np.eye(n, dtype=dtype)
    b = numbers(seed + 1, dtype, *batch, n, columns)
    size = norms(a)
    x = kernel("linalg_solve", flavour, dtype)(a, b)
    assert_small(wide(a) @ x - b, size, n, dtype)
    inverse = kernel("linalg_inv", flavour, dtype)(a)
    assert_small(wide(a) @ inverse - np.eye(n), size, n, dtype)
    factors = kernel("linalg_lu_factor", flavour, dtype)(a)
    solve = kernel("linalg_lu_solve", flavour, dtype)
    x = solve(*factors, b, adjoint=True)
    assert_small(wide(adjoint(a)) @ x - b, size, n, dtype)
    x = solve(*factors, adjoint(b), left=False)
    assert_small(x @ wide(a) - adjoint(b), size, n, dtype)


@in_every_way
def test_batches_of_solutions_are_broadcast(flavour, dtype) -> None:
    a = numbers(0, dtype, 4, 4) + 5 * np.eye(4, dtype=dtype)
    b = numbers(2, dtype, 3, 4, 2)
    x = kernel("linalg_solve", flavour, dtype)(a, b)
    assert_small(wide(a) @ x - b, norms(a), 4, dtype)
    b = numbers(2, dtype, 3, 4)
    several = np.stack([a, a + 1, a + 2])
    x = kernel("linalg_solve", flavour, dtype)(several, b)
    assert x.shape == (3, 4)
    assert_small((wide(several) @ x[..., None])[..., 0] - b, norms(several), 4, dtype)


@in_every_way
@few
@given(batch=batches, n=sizes, seed=st.integers(0, 99))
def test_determinants(flavour, dtype, batch, n, seed) -> None:
    a = numbers(seed, dtype, *batch, n, n)
    det = kernel("linalg_det", flavour, dtype)(a)
    sign, size = kernel("linalg_slogdet", flavour, dtype)(a)
    expected_sign, expected_size = np.linalg.slogdet(wide(a))
    assert det.shape == sign.shape == size.shape == batch
    if not det.size:
        return
    # What the relative error of a determinant is bounded by.
    bound = 8 * (n + 2) * epsilon(dtype) * (np.linalg.cond(wide(a)) if n else 1)
    assert (np.abs(det - np.exp(expected_size) * expected_sign) <= bound * np.abs(det)).all()
    assert (np.abs(sign - expected_sign) <= bound).all()
    assert (np.abs(size - expected_size) <= bound).all()


@in_every_way
def test_singular_matrices_have_no_determinant_and_no_inverse(flavour, dtype) -> None:
    a = np.stack([np.eye(3), np.ones((3, 3))]).astype(dtype)
    assert kernel("linalg_det", flavour, dtype)(a).tolist() == [1, 0]
    sign, size = kernel("linalg_slogdet", flavour, dtype)(a)
    assert sign.tolist() == [1, 0]
    assert size.tolist() == [0, -np.inf]
    with pytest.raises(rl.linalg.LinAlgError, match=r"batch element 1\) the diagonal element 2 is"):
        kernel("linalg_inv", flavour, dtype)(a)


@pytest.mark.parametrize("name", ["inv", "solve", "lu_factor"])
def test_singular_matrices_are_errors_as_on_cpu(name: str) -> None:
    messages = []
    for device in ("opencl", "cpu"):
        x = rl.ones(2, 2, device=device)
        with pytest.raises(rl.linalg.LinAlgError, match="is zero") as raised:
            getattr(rl.linalg, name)(*((x, x) if name == "solve" else (x,)))
        messages.append(str(raised.value).replace("opencl:0", "cpu"))
    assert messages[0] == messages[1]


def test_nan_stays_where_it_reaches() -> None:
    x = rl.tensor([[float("nan"), 1.0], [2.0, 3.0]], device="opencl")
    assert rl.isnan(rl.linalg.det(x).cpu()).item()
    assert rl.isnan(rl.linalg.inv(x).cpu()).any().item()


# -- QR -------------------------------------------------------------------------------------------


@in_every_way
@few
@given(batch=batches, m=sizes, n=sizes, seed=st.integers(0, 99))
def test_qr_factors(flavour, dtype, batch, m, n, seed) -> None:
    check_qr(flavour, dtype, numbers(seed, dtype, *batch, m, n))


def check_qr(flavour: str, dtype: str, a: np.ndarray) -> None:
    m, n = a.shape[-2:]
    size = max(m, n)
    for mode in ("reduced", "complete"):
        q, r = kernel("linalg_qr", flavour, dtype)(a, mode=mode)
        width = m if mode == "complete" else min(m, n)
        assert q.shape == (*a.shape[:-2], m, width)
        assert r.shape == (*a.shape[:-2], width, n)
        assert_small(wide(q) @ r - a, norms(a), size, dtype)
        assert_small(adjoint(wide(q)) @ q - np.eye(width), 1.0, size, dtype)
        np.testing.assert_array_equal(r, np.triu(r))
        # LAPACK's reflections make the diagonal real.
        assert (np.diagonal(r, axis1=-2, axis2=-1).imag == 0).all()
    empty, alone = kernel("linalg_qr", flavour, dtype)(a, mode="r")
    assert empty.size == 0
    np.testing.assert_array_equal(alone, kernel("linalg_qr", flavour, dtype)(a)[1])
    reflectors, tau = kernel("geqrf", flavour, dtype)(a)
    if m >= n:
        made = kernel("householder_product", flavour, dtype)(reflectors, tau)
        np.testing.assert_array_equal(made, kernel("linalg_qr", flavour, dtype)(a)[0])


@in_every_way
@pytest.mark.parametrize("shape", [(150, 150), (2, 40, 100), (170, 70)])
def test_large_qr_factors(flavour, dtype, shape) -> None:
    check_qr(flavour, dtype, numbers(4, dtype, *shape))


@in_every_way
def test_reflections_are_lapacks(flavour, dtype) -> None:
    a = numbers(0, dtype, 6, 4)
    a[:, 2] = 0
    found = kernel("geqrf", flavour, dtype)(a)
    for mine, theirs in zip(found, rl.geqrf(rl.tensor(a)), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=2e-6)


@in_every_way
def test_norms_of_columns_do_not_overflow(flavour, dtype) -> None:
    a = numbers(0, dtype, 5, 3)
    for scale in (1e30, 1e-30):
        q, r = kernel("linalg_qr", flavour, dtype)((a * scale).astype(dtype))
        assert_small((wide(q) @ r) / scale - a, norms(a), 5, dtype)


# -- eigenvalues of symmetric matrices ------------------------------------------------------------


def check_eigh(flavour: str, dtype: str, a: np.ndarray, upper: bool = False) -> None:
    n = a.shape[-1]
    side = wide(np.triu(a, 1) if upper else np.tril(a, -1))
    whole = side + adjoint(side) + np.eye(n) * a.real  # a diagonal's imaginary part is not read
    w, v = kernel("linalg_eigh", flavour, dtype)(a, upper=upper)
    assert w.shape == a.shape[:-1]
    assert w.dtype == a.real.dtype
    assert (np.diff(w) >= 0).all()
    size = norms(whole)
    assert_small(whole @ v - wide(v) * w[..., None, :], size, n, dtype)
    assert_small(adjoint(wide(v)) @ v - np.eye(n), 1.0, n, dtype)
    alone = kernel("linalg_eigvalsh", flavour, dtype)(a, upper=upper)
    for found in (w, alone):
        assert_small(found - np.linalg.eigvalsh(whole), size, n, dtype)


@in_every_way
@few
@given(batch=batches, n=sizes, seed=st.integers(0, 99), upper=st.booleans())
def test_eigenvalues_of_symmetric_matrices(flavour, dtype, batch, n, seed, upper) -> None:
    check_eigh(flavour, dtype, numbers(seed, dtype, *batch, n, n), upper)


@in_every_way
def test_eigenvalues_that_are_repeated_tiny_and_large(flavour, dtype) -> None:
    for a in (
        np.zeros((4, 4)),
        np.eye(5),
        np.ones((6, 6)),
        np.diag([1e-3, 1e12, 1, 2]),
        np.kron(np.eye(3), [[0, 1], [1, 0]]),
        np.array([[0, 1e-20], [1e-20, 0]]),
    ):
        check_eigh(flavour, dtype, a.astype(dtype))


@in_every_way
def test_eigenvalues_of_a_large_matrix(flavour, dtype) -> None:
    check_eigh(flavour, dtype, numbers(0, dtype, 150, 150))


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "svd", "svdvals", "eig", "eigvals"])
def test_what_does_not_converge_is_an_error_as_on_cpu(name: str) -> None:
    x = rl.full((2, 3, 3), float("nan"), device="opencl")
    with pytest.raises(rl.linalg.LinAlgError, match="did not converge"):
        getattr(rl.linalg, name)(x)


# -- singular values ------------------------------------------------------------------------------


def check_svd(flavour: str, dtype: str, a: np.ndarray) -> None:
    m, n = a.shape[-2:]
    k, size = min(m, n), max(m, n)
    for full in (True, False):
        u, s, vh = kernel("linalg_svd", flavour, dtype)(a, full_matrices=full)
        assert u.shape == (*a.shape[:-2], m, m if full else k)
        assert vh.shape == (*a.shape[:-2], n if full else k, n)
        assert s.shape == (*a.shape[:-2], k)
        assert s.dtype == a.real.dtype
        assert (np.diff(s) <= 0).all()
        assert (s >= 0).all()
        product = wide(u)[..., :k] * s[..., None, :] @ wide(vh)[..., :k, :]
        scale = float(np.abs(wide(a)).max(initial=0)) or 1.0
        assert_small((product - a) / scale, norms(wide(a)) / scale, size, dtype)
        for one in (u, adjoint(vh)):
            assert_small(adjoint(wide(one)) @ one - np.eye(one.shape[-1]), 1.0, size, dtype)
        expected = np.linalg.svd(wide(a), compute_uv=False)
        alone = kernel("linalg_svdvals", flavour, dtype)(a)
        for found in (s, alone):
            assert_small((found - expected) / scale, norms(wide(a)) / scale, size, dtype)


@in_every_way
@few
@given(batch=batches, m=sizes, n=sizes, seed=st.integers(0, 99))
def test_singular_values(flavour, dtype, batch, m, n, seed) -> None:
    check_svd(flavour, dtype, numbers(seed, dtype, *batch, m, n))


@in_every_way
def test_singular_values_that_are_zero_repeated_tiny_and_large(flavour, dtype) -> None:
    for a in (
        np.zeros((4, 3)),
        np.eye(5),
        np.ones((6, 6)),
        np.diag([1e-3, 1e20, 1, 2]),
        np.diag([1e-30, 0, 1e-35]),
        np.outer(np.arange(60), np.arange(50)),
        np.repeat(np.arange(40.0).reshape(8, 5) % 7, 2, axis=1),
    ):
        check_svd(flavour, dtype, a.astype(dtype))


@in_every_way
def test_singular_values_of_large_matrices(flavour, dtype) -> None:
    check_svd(flavour, dtype, numbers(0, dtype, 70, 45))
    check_svd(flavour, dtype, numbers(0, dtype, 2, 43, 60))


@in_every_way
@few
@given(batch=batches, m=sizes, n=sizes, k=st.integers(0, 4), seed=st.integers(0, 99))
def test_least_squares(flavour, dtype, batch, m, n, k, seed) -> None:
    a, b = numbers(seed, dtype, *batch, m, n), numbers(seed + 1, dtype, *batch, m, k)
    x, residuals, rank, _ = kernel("linalg_lstsq", flavour, dtype)(a, b)
    assert x.shape == (*batch, n, k)
    assert rank.shape == batch
    if not (x.size and a.size):
        return
    expected = np.linalg.pinv(wide(a)) @ b
    tolerance = 30 * (m + n) * epsilon(dtype) * np.linalg.cond(wide(a)).max() ** 2
    assert np.abs(x - expected).max() <= tolerance * (1 + np.abs(expected).max())
    assert (rank == min(m, n)).all()
    if m > n:
        left = np.square(np.abs(wide(a) @ expected - b)).sum(axis=-2)
        assert np.abs(residuals - left).max() <= tolerance * (1 + left.max())
    else:
        assert residuals.size == 0


def test_least_squares_of_matrices_without_full_rank() -> None:
    a = rl.tensor([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]], device="opencl")
    b = rl.tensor([[2.0], [2.0], [4.0]], device="opencl")
    found = rl.linalg.lstsq(a, b, driver="gelsd")
    np.testing.assert_allclose(found.solution.cpu().numpy(), [[1.0], [1.0]], rtol=1e-6)
    assert found.rank.item() == 1
    assert found.residuals.numel() == 0


# -- exponentials ---------------------------------------------------------------------------------


@in_every_way
@few
@given(batch=batches, n=sizes, seed=st.integers(0, 99), scale=st.sampled_from([0.1, 1, 4]))
def test_exponentials_of_matrices(flavour, dtype, batch, n, seed, scale) -> None:
    a = (numbers(seed, dtype, *batch, n, n) * scale / math.sqrt(max(n, 1))).astype(dtype)
    if a.ndim > 2 and a.shape[0] > 1:
        a[0] *= 8  # matrices are halved and squared as often as each of them needs it
    found = kernel("linalg_matrix_exp", flavour, dtype)(a)
    expected = rl.linalg.matrix_exp(rl.tensor(wide(a))).numpy()
    assert found.shape == a.shape
    assert_small(found - expected, 8 * norms(expected), n, dtype)


def test_exponentials_in_low_precision_and_of_nan() -> None:
    x = rl.tensor([[0.0, 1.0], [0.0, 0.0]], device="opencl", dtype=rl.bfloat16)
    assert rl.matrix_exp(x).tolist() == [[1, 1], [0, 1]]
    assert rl.isnan(rl.matrix_exp(rl.full((2, 2), float("nan"), device="opencl"))).all().item()


# -- LDL ------------------------------------------------------------------------------------------


@in_every_way
@few
@given(
    batch=batches, n=sizes, k=st.integers(0, 18), seed=st.integers(0, 99), hermitian=st.booleans()
)
def test_indefinite_factors(flavour, dtype, batch, n, k, seed, hermitian) -> None:
    a, b = numbers(seed, dtype, *batch, n, n), numbers(seed + 1, dtype, *batch, n, k)
    whole = wide(a + (adjoint(a) if hermitian else a.swapaxes(-1, -2)))
    given_ = np.tril(whole).astype(dtype)
    ld, pivots, info = kernel("linalg_ldl_factor", flavour, dtype)(given_, hermitian=hermitian)
    assert info.shape == batch
    assert not info.any()
    expected = rl.linalg.ldl_factor_ex(rl.tensor(given_), hermitian=hermitian)
    assert pivots.tolist() == expected.pivots.tolist()
    np.testing.assert_allclose(ld, expected.LD.numpy(), rtol=1e-2, atol=1e-2)
    x = kernel("linalg_ldl_solve", flavour, dtype)(ld, pivots, b, hermitian=hermitian)
    if x.size:
        size = np.abs(x).max() * np.linalg.norm(whole, axis=(-2, -1)).max()
        assert_small(whole @ x - b, 4 * size, n, dtype)


@in_every_way
def test_indefinite_factors_report_columns_of_zeros(flavour, dtype) -> None:
    a = np.zeros((2, 3, 3), dtype)
    a[0] = np.eye(3)
    a[1, 0, 0] = 1
    ld, pivots, info = kernel("linalg_ldl_factor", flavour, dtype)(a)
    assert info.tolist() == [0, 2]
    assert pivots.tolist() == [[1, 2, 3]] * 2
    x = kernel("linalg_ldl_solve", flavour, dtype)(ld, pivots, np.ones((2, 3, 1), dtype))
    assert x[0].ravel().tolist() == [1, 1, 1]
    assert not np.isfinite(x[1]).all()


# -- eigenvalues of general matrices --------------------------------------------------------------


def assert_same_values(found: np.ndarray, expected: np.ndarray, bound: float) -> None:
    """Two sets of numbers are the same, in any order."""
    left = list(expected)
    for value in found:
        nearest = int(np.argmin(np.abs(np.array(left) - value)))
        assert abs(left.pop(nearest) - value) <= bound


def check_eig(flavour: str, dtype: str, a: np.ndarray) -> None:
    n = a.shape[-1]
    w, v = kernel("linalg_eig", flavour, dtype)(a)
    assert w.dtype == v.dtype == np.complex64
    assert w.shape == a.shape[:-1]
    assert v.shape == a.shape
    scale = float(np.abs(a).max(initial=0)) or 1.0
    residual = (wide(a) @ wide(v) - wide(v) * w[..., None, :]) / scale
    assert_small(residual, norms(wide(a)) / scale, n, dtype)
    assert_small(np.linalg.norm(v, axis=-2) - 1, 1.0, n, dtype)
    np.testing.assert_array_equal(kernel("linalg_eigvals", flavour, dtype)(a), w)


@in_every_way
@few
@given(batch=batches, n=sizes, seed=st.integers(0, 99))
def test_eigenvalues_of_general_matrices(flavour, dtype, batch, n, seed) -> None:
    a = numbers(seed, dtype, *batch, n, n)
    check_eig(flavour, dtype, a)
    if not (a.size and n):
        return
    w = kernel("linalg_eigvals", flavour, dtype)(a)
    for found, expected, x in zip(
        w.reshape(-1, n),
        np.linalg.eigvals(wide(a)).reshape(-1, n),
        wide(a).reshape(-1, n, n),
        strict=True,
    ):
        _, vectors = np.linalg.eig(x)
        condition = np.linalg.cond(vectors)
        bound = 8 * (n + 2) * epsilon(dtype) * condition * np.linalg.norm(x)
        assert_same_values(found, expected, bound)


@in_every_way
def test_eigenvalues_of_defective_cyclic_and_scaled_matrices(flavour, dtype) -> None:
    for a in (
        np.zeros((4, 4)),
        np.ones((6, 6)),
        np.roll(np.eye(7), 1, axis=0),
        np.eye(8, k=1),
        np.triu(np.ones((5, 5))),
        np.diag([1e-3, 1e15, 1, 2]),
        np.array([[0, 1e-20], [1e-20, 0]]),
    ):
        check_eig(flavour, dtype, a.astype(dtype))


@in_every_way
def test_eigenvalues_of_a_large_general_matrix(flavour, dtype) -> None:
    check_eig(flavour, dtype, numbers(0, dtype, 80, 80))
