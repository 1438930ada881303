"""The native pooling kernels against the NumPy tier: windows, ties, NaN, threads, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, TYPES, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

DIMS = {1: 90, 2: 24, 3: 9}
FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]


@st.composite
def windows(draw: st.DrawFn, dilated: bool) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Spatial sizes, and windows that fit them."""
    spatial = draw(st.sampled_from([1, 2, 2, 3]))

    def each(*choices: int) -> tuple[int, ...]:
        return tuple(draw(st.sampled_from(choices)) for _ in range(spatial))

    kernel, stride = each(1, 2, 3, 5), each(1, 2, 2, 3)
    dilation = each(1, 1, 2, 3) if dilated else (1,) * spatial
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(
        draw(st.integers(d * (k - 1) + 1, DIMS[spatial] + d * (k - 1)))
        for k, d in zip(kernel, dilation, strict=True)
    )
    found: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
    found["ceil_mode"] = draw(st.booleans())
    if dilated:
        found["dilation"] = dilation
    return size, found


def planes(draw: st.DrawFn, size: tuple[int, ...], special: bool) -> np.ndarray:
    """Numbers of which many are equal; with `special`, some are NaN or infinite."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-3, 3, (2, draw(st.integers(1, 3)), *size)) / 2
    if special:
        for value in (np.nan, np.inf, -np.inf):
            x[rng.random(x.shape) < draw(st.sampled_from([0, 0.02, 0.4]))] = value
    x = x.astype(draw(st.sampled_from(FLOATS)))
    return x if draw(st.booleans()) else np.array(x.T, order="C").T


def same(native: Any, name: str, *arrays: np.ndarray, **attributes: Any) -> Any:
    """The native result, once it has been found equal to the NumPy tier's."""
    dtype = TYPES[arrays[0].dtype]
    wanted = NUMPY.find_kernel(name, dtype)(*arrays, **attributes)
    found = native.find_kernel(name, dtype)(*arrays, **attributes)
    both = (found, wanted) if isinstance(wanted, tuple) else ((found,), (wanted,))
    tol = 1e-5 if arrays[0].dtype == np.float32 else 1e-13
    for got, expected in zip(*both, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=tol, atol=tol)
    return found


@given(st.data())
@settings(max_examples=120)
def test_maxima_their_positions_and_gradients(native: Any, data: st.DataObject) -> None:
    size, window = data.draw(windows(dilated=True))
    x = planes(data.draw, size, special=True)
    values, indices = same(native, "max_pool", x, **window)
    np.testing.assert_array_equal(same(native, "max_pool_values", x, **window), values)
    g = np.arange(values.size, dtype=x.dtype).reshape(values.shape) % 7
    same(native, "max_pool_backward", g, indices, input_size=size)


@given(st.data())
@settings(max_examples=40)
def test_maxima_of_pairs(native: Any, data: st.DataObject) -> None:
    """Windows of 2 x 2 side by side: rows of all lengths, ties, NaN."""
    x = planes(data.draw, (data.draw(st.integers(2, 7)), data.draw(st.integers(2, 75))), True)
    window = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
    window["ceil_mode"] = data.draw(st.booleans())
    values, indices = same(native, "max_pool", x, **window)
    np.testing.assert_array_equal(same(native, "max_pool_values", x, **window), values)
    same(native, "max_pool_backward", values, indices, input_size=x.shape[2:])


@given(st.data(), st.booleans(), st.sampled_from([None, None, 3, -2]))
@settings(max_examples=120)
def test_means_and_their_gradients(
    native: Any, data: st.DataObject, padded: bool, divisor: int | None
) -> None:
    size, window = data.draw(windows(dilated=False))
    window |= {"count_include_pad": padded, "divisor_override": divisor}
    x = planes(data.draw, size, special=False)
    out = same(native, "avg_pool", x, **window)
    same(native, "avg_pool_backward", out, input_size=size, **window)


@given(st.data())
@settings(max_examples=120)
def test_adaptive_pooling(native: Any, data: st.DataObject) -> None:
    size = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple))
    out = tuple(data.draw(st.sampled_from([1, 1, 2, 3, n])) for n in size)
    if data.draw(st.booleans()):
        out = (1,) * len(size)
    x = planes(data.draw, size, special=False)
    mean = same(native, "adaptive_avg_pool", x, output_size=out)
    same(native, "adaptive_avg_pool_backward", mean, input_size=size)
    x = planes(data.draw, size, special=True)
    values, indices = same(native, "adaptive_max_pool", x, output_size=out)
    g = np.ones_like(values)
    same(native, "max_pool_backward", g, indices, input_size=size)


def test_results_do_not_depend_on_the_number_of_threads(native: Any, threads: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 50, 30, 31)).astype(np.float32)
    window: dict[str, Any] = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    window["ceil_mode"] = False
    mean = {**window, "count_include_pad": True, "divisor_override": None}
    results = []
    for count in (1, 2, 5):
        threads(count)
        values, indices = same(native, "max_pool", x, dilation=(1, 1), **window)
        dx = same(native, "max_pool_backward", values, indices, input_size=(30, 31))
        means = same(native, "avg_pool", x, **mean)
        spread = same(native, "avg_pool_backward", means, input_size=(30, 31), **mean)
        whole = same(native, "adaptive_avg_pool", x, output_size=(1, 1))
        results.append((values, indices, dx, means, spread, whole))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert np.array_equal(one, two)


def test_a_window_of_padding_alone(native: Any) -> None:
    x = np.ones((1, 1, 2), np.float32)
    same(native, "max_pool", x, kernel_size=(2,), stride=(1,), padding=(1,), dilation=(3,),
         ceil_mode=False)  # fmt: skip


@pytest.mark.parametrize("index", [-1, 4])
def test_indices_that_are_no_positions_are_refused(native: Any, index: int) -> None:
    backward = native.find_kernel("max_pool_backward", rushlight.float32)
    g, indices = np.ones((1, 1, 2), np.float32), np.array([[[0, index]]])
    with pytest.raises(ValueError, match=r"negative|broadcast|reshape"):
        backward(g, indices, input_size=(4,))
