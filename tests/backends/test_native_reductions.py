"""The native reductions over any axes of any layout, against the NumPy tier and exact figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, TYPES, agree, both, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]
SIZES = st.sampled_from([1, 2, 3, 5, 17, 70, 300])


@st.composite
def arrays(draw: st.DrawFn, special: bool = True) -> np.ndarray:
    """Arrays that are dense, transposed, cut, reversed or expanded; few different values."""
    shape = draw(st.lists(SIZES, min_size=1, max_size=4).map(tuple))
    while np.prod(shape) > 300_000:
        shape = tuple(min(n, 17) for n in shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal(shape)
    if draw(st.booleans()):
        x = np.round(x)  # ties
    if special and draw(st.booleans()):
        value = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        for _ in range(draw(st.integers(1, 3))):
            x.reshape(-1)[draw(st.integers(0, x.size - 1))] = value
    x = x.astype(draw(st.sampled_from(FLOATS)))
    layout = draw(st.sampled_from(["dense", "turned", "cut", "reversed", "expanded"]))
    if layout == "turned":
        return x.transpose(draw(st.permutations(range(x.ndim))))
    if layout == "cut":
        return x[..., ::2]
    if layout == "reversed":
        return x[::-1]
    if layout == "expanded":
        return np.broadcast_to(x[..., None, :], (*x.shape[:-1], 3, x.shape[-1]))
    return x


def axes(draw: Any, x: np.ndarray) -> tuple[int, ...]:
    found = tuple(d for d in range(x.ndim) if draw(st.booleans()))
    return found or (draw(st.integers(0, x.ndim - 1)),)


@given(st.data(), st.sampled_from(["sum", "mean", "amax", "amin"]))
@settings(max_examples=80, deadline=None)
def test_sums_and_extremes_over_any_axes(native: Any, data: st.DataObject, name: str) -> None:
    x = data.draw(arrays())
    said = {"dim": axes(data.draw, x), "keepdim": data.draw(st.booleans())}
    got, wanted = both(native, name, x, **said)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    tol = 2e-5 if x.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol * max(1, x.size**0.5))


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_products_over_any_axes(native: Any, data: st.DataObject) -> None:
    x = data.draw(arrays(special=False))
    x = np.exp(x / 16).astype(x.dtype)
    said = {"dim": axes(data.draw, x), "keepdim": data.draw(st.booleans())}
    got, wanted = both(native, "prod", x, **said)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-3 if x.dtype == np.float32 else 1e-11)


def test_products_of_zeros_signs_and_nan(native: Any) -> None:
    x = np.ones((4, 200), np.float32)
    x[0, 5], x[1, 150], x[2, 3], x[2, 190] = 0, np.nan, -2, -1
    agree(native, "prod", x, dim=(1,), keepdim=False)
    agree(native, "prod", x.T.copy(), dim=(0,), keepdim=False)


@given(st.data(), st.sampled_from(["argmax", "argmin"]))
@settings(max_examples=100, deadline=None)
def test_positions_of_the_first_extreme_or_nan(native: Any, data: st.DataObject, name: str) -> None:
    x = data.draw(arrays())
    dim = data.draw(st.sampled_from([None, *range(x.ndim)]))
    got, wanted = both(native, name, x, dim=dim, keepdim=data.draw(st.booleans()))
    assert (got.dtype, got.shape) == (np.int64, wanted.shape)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("n", [4096, 4097, 9000, 200_001])
@pytest.mark.parametrize("value", [np.inf, np.nan, 9.0])
def test_positions_in_long_rows(native: Any, n: int, value: float) -> None:
    x = np.random.default_rng(0).standard_normal((2, n)).astype(np.float32)
    for place in (0, 1, n // 2, n - 2):
        y = x.copy()
        y[:, place:] = np.minimum(y[:, place:], 8.5)
        y[1, place], y[1, place + 1] = value, value
        agree(native, "argmax", y, dim=1, keepdim=False)
        agree(native, "argmin", -y, dim=1, keepdim=True)
        agree(native, "argmax", y, dim=None, keepdim=False)


@given(st.data(), st.sampled_from(["var", "std"]), st.sampled_from([0, 1, 2.5]))
@settings(max_examples=80, deadline=None)
def test_variances_over_any_axes(
    native: Any, data: st.DataObject, name: str, correction: float
) -> None:
    x = data.draw(arrays())
    said = {"dim": axes(data.draw, x), "keepdim": data.draw(st.booleans())}
    got, wanted = both(native, name, x, correction=correction, **said)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    tol = 2e-5 if x.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


@pytest.mark.parametrize("shape", [(200_001,), (3000, 40), (30, 5000)])
def test_variances_are_exact_and_the_same_on_any_number_of_threads(
    native: Any, threads: Any, shape: tuple[int, ...]
) -> None:
    x = (np.random.default_rng(0).standard_normal(shape) + 300).astype(np.float32)
    for name in ("var", "std", "argmax"):
        kernel = native.find_kernel(name, TYPES[x.dtype])
        for dim in range(len(shape)):
            said = {"dim": dim if name == "argmax" else (dim,), "keepdim": False}
            results = []
            for count in (1, 2, 3, 7):
                threads(count)
                results.append(kernel(x, **said))
            assert all(np.array_equal(results[0], other) for other in results)
            if name != "argmax":
                exact = getattr(np, name)(x.astype(np.float64), axis=dim, ddof=1)
                np.testing.assert_allclose(results[0], exact, rtol=2e-6)


def test_variances_of_too_few_elements(native: Any) -> None:
    x = np.array([[1.0, 2.0], [np.nan, 1.0]], np.float32)
    for correction in (2, 3):
        agree(native, "var", x, dim=(1,), correction=correction, keepdim=False)
    agree(native, "std", np.ones((3, 1)), dim=(1,), correction=1, keepdim=False)


def test_empty_arrays_are_numpys_to_answer(native: Any) -> None:
    x = np.empty((0, 3), np.float32)
    agree(native, "prod", x, dim=(0,), keepdim=False)
    with pytest.raises(ValueError, match="empty"):
        native.find_kernel("argmax", rushlight.float32)(x, dim=0, keepdim=False)
    assert NUMPY.find_kernel("sum", rushlight.float32)(x, dim=(1,), keepdim=False).size == 0
