"""Products: shapes, refusals, and sums of products against NumPy."""

import numpy as np
import pytest

import rushlight as rl


def array(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize(
    ("x", "y"),
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
     ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((0, 3), (3, 2)), ((2, 0), (0, 2))],
)  # fmt: skip
def test_matmul_and_its_gradient_agree_with_numpy(x, y):
    a, b = (rl.tensor(array(*shape), requires_grad=True) for shape in (x, y))
    out = a @ b
    expected = np.matmul(array(*x), array(*y))
    np.testing.assert_allclose(out.detach().numpy(), expected)
    assert rl.autograd.gradcheck(rl.matmul, (a, b))


def test_matmul_refuses_numbers_scalars_and_other_dtypes():
    x = rl.ones(2, 2)
    with pytest.raises(TypeError):
        x @ 2
    with pytest.raises(RuntimeError, match="at least 1D"):
        x @ rl.tensor(2.0)
    with pytest.raises(RuntimeError, match="same dtype"):
        x @ x.double()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        x @ rl.ones(3, 2)


def test_linear_checks_before_it_computes():
    with pytest.raises(RuntimeError, match="same dtype"):
        rl.ops.linear(rl.ones(2), rl.ones(3, 2).double())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        rl.ops.linear(rl.ones(2), rl.ones(3, 4))


def test_beta_zero_ignores_nan():
    nan = rl.full((1, 1), float("nan"))
    one = rl.ones(1, 1)
    assert rl.addmm(nan, one, one, beta=0).item() == 1.0
    assert rl.addbmm(nan, one[None], one[None], beta=0).item() == 1.0


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
     ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij->", [(2, 3)]), ("i,j,k->kji", [(2,), (3,), (4,)]),
     ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), ("ij,ij->", [(2, 3), (2, 3)]),
     ("ab,bc,cd,da->", [(2, 3), (3, 4), (4, 5), (5, 2)]), ("i...->...", [(2, 3)]),
     ("iji->j", [(3, 2, 3)]), ("ba,", [(2, 3), ()])],
)  # fmt: skip
def test_einsum_agrees_with_numpy(equation, shapes):
    arrays = [array(*shape) for shape in shapes]
    found = rl.einsum(equation, *map(rl.tensor, arrays))
    np.testing.assert_allclose(found.numpy(), np.einsum(equation, *arrays), atol=1e-12)


def test_einsum_takes_sublists():
    x, y = array(2, 3), array(3, 4)
    found = rl.einsum(rl.tensor(x), [0, 1], rl.tensor(y), [1, 2], [2, 0])
    np.testing.assert_allclose(found.numpy(), (x @ y).T)


@pytest.mark.parametrize(
    "equation", ["ij,jk->il", "ij,jk->iik", "i,jk->ik", "ij,j1->i", "......ij,jk->ik"]
)
def test_einsum_refuses_equations_that_do_not_fit(equation):
    with pytest.raises(RuntimeError):
        rl.einsum(equation, rl.ones(2, 3), rl.ones(3, 4))


def test_tensordot_and_kron_agree_with_numpy():
    x, y = array(2, 3, 4), array(4, 3, 5)
    found = rl.tensordot(rl.tensor(x), rl.tensor(y), dims=([1, 2], [1, 0]))
    np.testing.assert_allclose(found.numpy(), np.tensordot(x, y, ([1, 2], [1, 0])))
    np.testing.assert_allclose(rl.kron(rl.tensor(x), rl.tensor(y)).numpy(), np.kron(x, y))
