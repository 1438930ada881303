"""Reductions, scans and sorting: what is particular about them."""

import math

import numpy as np
import pytest

import rushlight as rl


def test_sum_of_integers_and_bool_is_int64():
    for dtype in (rl.bool, rl.uint8, rl.int32):
        assert rl.ones(3, dtype=dtype).sum().dtype is rl.int64
        assert rl.ones(3, dtype=dtype).cumsum(0).dtype is rl.int64


def test_mean_of_integers_raises():
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        rl.mean(rl.arange(3))


def test_an_empty_tuple_of_dimensions_means_all_for_sum_and_none_for_any():
    x = rl.ones(2, 3)
    assert x.sum(dim=()).shape == ()
    assert x.any(dim=()).shape == (2, 3)


def test_sum_along_a_long_first_dimension_does_not_drift():
    x = rl.full((100_000, 2), 0.1)
    assert abs(x.sum(0)[0].item() - 1e4) < 0.5


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_prod_has_the_right_gradient_at_zeros(zeros):
    values = [2.0, 3.0, 5.0]
    values[:zeros] = [0.0] * zeros
    x = rl.tensor(values, dtype=rl.float64, requires_grad=True)
    x.prod().backward()
    others = [math.prod(values[:i] + values[i + 1 :]) for i in range(3)]
    assert x.grad.tolist() == others


def test_prod_can_be_differentiated_twice_at_zero():
    x = rl.tensor([0.0, 3.0, 5.0], dtype=rl.float64, requires_grad=True)
    (first,) = rl.autograd.grad(x.prod(), x, create_graph=True)
    (second,) = rl.autograd.grad(first[0], x)
    assert second.tolist() == [0.0, 5.0, 3.0]


def test_cumprod_has_the_right_gradient_at_zeros():
    values = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    x = rl.tensor(values, requires_grad=True)
    x.cumprod(0).sum().backward()
    expected = [sum(np.prod(np.delete(values[: j + 1], i)) for j in range(i, 5)) for i in range(5)]
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_logcumsumexp_survives_large_and_infinite_elements():
    x = rl.tensor([-math.inf, 1000.0, -math.inf, 999.0], dtype=rl.float64, requires_grad=True)
    out = x.logcumsumexp(0)
    np.testing.assert_allclose(
        out.detach().numpy(), [-math.inf, 1000, 1000, 1000 + math.log1p(math.exp(-1))]
    )
    out[3].backward()
    share = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(x.grad.numpy(), [0, share, 0, 1 - share])


def test_amax_shares_the_gradient_among_equals_and_max_gives_it_to_one():
    x = rl.tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.amax().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]
    x.grad = None
    x.max(0).values.backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_results_have_names_and_unpack():
    x = rl.tensor([[1, 5], [7, 3]])
    found = x.max(1)
    values, indices = found
    assert found.values is values and found.indices is found[1]
    assert values.tolist() == [5, 7] and indices.tolist() == [1, 0]
    assert type(found) is rl.return_types.max


def test_nan_is_the_extreme_and_is_sorted_last():
    x = rl.tensor([1.0, math.nan, 0.0])
    assert math.isnan(x.max()) and math.isnan(x.min())
    assert x.argmax().item() == 1
    assert x.sort().indices.tolist() == [2, 0, 1]


def test_reductions_of_nothing_raise_only_without_identity():
    x = rl.ones(0, 3)
    assert x.sum().item() == 0 and x.prod().item() == 1
    for call in (lambda: x.amax(0), lambda: x.max(0), lambda: x.argmax(0), lambda: x.median(0)):
        with pytest.raises(IndexError, match="non-zero size"):
            call()
    with pytest.raises(RuntimeError, match="reduction dim to be specified"):
        x.max()


def test_var_of_one_element_is_nan_and_warns():
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert math.isnan(rl.tensor([1.0]).var())


def test_median_is_the_lower_middle_and_quantile_interpolates():
    x = rl.tensor([4.0, 1.0, 3.0, 2.0])
    assert x.median().item() == 2.0
    assert x.quantile(0.5).item() == 2.5
    assert x.quantile(0.5, interpolation="higher").item() == 3.0


def test_kthvalue_refuses_to_write_into_its_input():
    x = rl.arange(4.0)
    with pytest.raises(RuntimeError, match="single memory location"):
        rl.kthvalue(x, 1, out=(x, rl.empty(0, dtype=rl.int64)))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("right", [False, True])
def test_searchsorted_agrees_with_numpy(right, n):
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, 9, (n, 20)), axis=1)
    values = rng.integers(0, 9, (n, 7))
    side = "right" if right else "left"
    expected = [np.searchsorted(r, v, side) for r, v in zip(rows, values, strict=True)]
    found = rl.searchsorted(rl.tensor(rows), rl.tensor(values), right=right)
    assert found.tolist() == np.array(expected).tolist()


def test_gradient_is_exact_for_parabolas_on_uneven_grids():
    x = rl.tensor([0.0, 1.0, 3.0, 4.0], dtype=rl.float64)
    (slope,) = rl.gradient(x * x, spacing=(x,), edge_order=2)
    np.testing.assert_allclose(slope.numpy(), 2 * x.numpy())
