"""Native sorts and running sums, against the NumPy tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

SORTED = (rushlight.float32, rushlight.float64, rushlight.int64, rushlight.int32,
          rushlight.int16, rushlight.int8, rushlight.uint8)  # fmt: skip
EXAMPLES = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
# Lengths of every way to sort a row, and of a row in pieces.
LENGTHS = st.sampled_from([1, 2, 9, 24, 25, 200, 600])


def numbers(rng: Any, shape: Any, dtype: Any) -> Any:
    """Numbers with many equal ones; of floats also zeros of both signs, infinities and NaN."""
    if dtype.numpy.kind == "f":
        some = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-42, 3.0, -7.5])
        drawn = np.where(
            rng.random(shape) < 0.3, rng.choice(some, shape), rng.standard_normal(shape)
        )
        return drawn.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    wide = rng.integers(limits.min, limits.max, shape, dtype.numpy, endpoint=True)
    few = rng.integers(0, 4, shape).astype(dtype.numpy)
    return np.where(rng.random(shape) < 0.5, wide, few)


def results(backend: Any, name: str, dtype: Any, x: np.ndarray, **attributes: Any) -> list[Any]:
    found = backend.find_kernel(name, dtype)(x, **attributes)
    return list(found) if isinstance(found, tuple) else [found]


def agree(native: Any, name: str, dtype: Any, x: np.ndarray, **attributes: Any) -> None:
    """Both tiers give the same bits."""
    before = x.copy()
    got = results(native, name, dtype, x, **attributes)
    wanted = results(NUMPY, name, dtype, x, **attributes)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes(), name
    assert x.tobytes() == before.tobytes()


@given(
    sizes=st.tuples(st.integers(1, 4), LENGTHS, st.integers(1, 3)),
    dim=st.integers(0, 2),
    dtype=st.sampled_from(SORTED),
    descending=st.booleans(),
    seed=SEEDS,
)
@EXAMPLES
def test_orders_agree(
    native: Any, sizes: Any, dim: int, dtype: Any, descending: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = (*sizes[2 - dim :], *sizes[: 2 - dim])
    x = numbers(rng, sizes, dtype)
    if rng.integers(3) == 0:
        x = np.ascontiguousarray(x.T).T
    for name in ("sort", "argsort"):
        agree(native, name, dtype, x, dim=dim, descending=descending, stable=True)
    k = int(rng.integers(1, min(sizes[dim], 70) + 1))
    for chosen in {k, 1, sizes[dim]}:
        agree(native, "topk", dtype, x, k=chosen, dim=dim, largest=descending, sorted=True)


@pytest.mark.parametrize("length", [8200, 140_000])
@pytest.mark.parametrize("dtype", [rushlight.float32, rushlight.int32, rushlight.uint8])
def test_long_rows_are_sorted_alike_by_any_number_of_threads(
    native: Any, threads: Any, length: int, dtype: Any
) -> None:
    x = numbers(np.random.default_rng(length), (2, length), dtype)
    for rows in (x, x[0].copy()):
        last = rows.ndim - 1
        for count in (1, 3):
            threads(count)
            for descending in (False, True):
                agree(native, "sort", dtype, rows, dim=last, descending=descending, stable=False)
            agree(native, "topk", dtype, rows, k=100, dim=last, largest=True, sorted=True)
            agree(native, "topk", dtype, rows, k=5, dim=last, largest=False, sorted=True)


# Running sums


@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 70), st.integers(1, 300)),
    dim=st.integers(0, 2),
    dtype=st.sampled_from((rushlight.float32, rushlight.float64, rushlight.int64)),
    seed=SEEDS,
)
@EXAMPLES
def test_running_sums_agree(native: Any, sizes: Any, dim: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, sizes).astype(dtype.numpy)  # sums are exact
    for name in ("cumsum", "reverse_cumsum"):
        agree(native, name, dtype, x, dim=dim)
        agree(native, name, dtype, np.ascontiguousarray(x.T).T, dim=dim)
        agree(native, name, dtype, x[:, :0], dim=dim)


@pytest.mark.parametrize("name", ["cumsum", "reverse_cumsum"])
@pytest.mark.parametrize("shape", [(3,), (40,), (40_000,), (5, 40), (40, 5)])
def test_running_sums_of_negative_zeros_keep_the_sign(
    native: Any, name: str, shape: tuple[int, ...]
) -> None:
    for dtype in (rushlight.float32, rushlight.float64):
        x = np.full(shape, -0.0, dtype.numpy)
        assert np.signbit(native.find_kernel(name, dtype)(x, dim=0)).all()


@pytest.mark.parametrize("name", ["cumsum", "reverse_cumsum"])
def test_running_sums_of_infinities_and_nan(native: Any, name: str) -> None:
    x = np.ones((3, 50), np.float32)
    x[0, 20], x[1, 30], x[2, 3], x[2, 40] = np.nan, np.inf, np.inf, -np.inf
    wanted = results(NUMPY, name, rushlight.float32, x, dim=1)[0]
    np.testing.assert_array_equal(results(native, name, rushlight.float32, x, dim=1)[0], wanted)


@pytest.mark.parametrize("shape", [(100_000,), (40, 3000), (3000, 40), (7, 500, 9)])
@pytest.mark.parametrize("name", ["cumsum", "reverse_cumsum"])
def test_long_running_sums_are_accurate_and_the_same_with_any_threads(
    native: Any, threads: Any, name: str, shape: Any
) -> None:
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    for dim in range(x.ndim):
        found = []
        for count in (1, 2, 5):
            threads(count)
            found.append(results(native, name, rushlight.float32, x, dim=dim)[0])
        assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
        exact = results(NUMPY, name, rushlight.float64, x.astype(np.float64), dim=dim)[0]
        scale = np.sqrt(x.shape[dim])
        np.testing.assert_allclose(found[0], exact, atol=3e-6 * scale, rtol=1e-5)


def test_the_gradient_of_a_running_sum_runs_from_the_end() -> None:
    x = rushlight.zeros(4, requires_grad=True)
    x.cumsum(0).backward(rushlight.tensor([1.0, 2.0, 3.0, 4.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [10.0, 9.0, 7.0, 4.0]
