"""The native convolution kernels: every geometry against float64, threads, and what is declined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

DIMS = {1: 60, 2: 19, 3: 6}


@st.composite
def geometries(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of an input and a weight that fit each other, and settings."""
    spatial = draw(st.sampled_from([1, 2, 2, 2, 3]))

    def each(*choices: int) -> tuple[int, ...]:
        return tuple(draw(st.sampled_from(choices)) for _ in range(spatial))

    kernel, padding = each(1, 2, 3, 3, 5), each(0, 1, 2)
    stride, dilation = each(1, 1, 2, 3), each(1, 1, 2)
    if draw(st.booleans()) and draw(st.booleans()):  # pointwise
        kernel, padding = (1,) * spatial, (0,) * spatial
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), DIMS[spatial] + d * (k - 1)))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inner = draw(st.sampled_from([1, 2, 3, 8, 17, 40]))
    outer = draw(st.sampled_from([1, 2, 4, 9, 24]))
    if draw(st.integers(0, 5)) == 0:  # depthwise
        groups, inner, outer = draw(st.integers(2, 9)), 1, draw(st.integers(1, 2))
    batch = draw(st.integers(1, 4))
    settings_ = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (batch, inner * groups, *size), (outer * groups, inner, *kernel), settings_


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(native: Any, name: str, *arrays: np.ndarray, **attributes: Any) -> np.ndarray:
    """The float32 result, once it has been found close to that of NumPy in float64."""
    exact = NUMPY.find_kernel(name, rushlight.float64)(
        *(array.astype(np.float64) for array in arrays), **attributes
    )
    kernel = native.find_kernel(name, rushlight.float32)
    got = kernel(*arrays, **attributes)
    assert got.dtype == np.float32
    assert got.shape == exact.shape
    np.testing.assert_allclose(got, exact, rtol=1e-5, atol=2e-5 * max(1, np.abs(exact).max()))
    return np.asarray(got)


@given(geometries())
@settings(max_examples=120)
def test_convolution_and_both_gradients(native: Any, geometry: Any) -> None:
    x_shape, weight_shape, options = geometry
    x, weight = real(*x_shape), real(*weight_shape, seed=1)
    out = near(native, "conv", x, weight, **options)
    g = real(*out.shape, seed=2)
    near(native, "conv_grad_input", g, weight, input_size=x_shape[2:], **options)
    near(native, "conv_grad_weight", g, x, kernel_size=weight_shape[2:], **options)


# Batch, channels, sizes, weight and options: one for each way the work is cut.
LARGE = {
    "planes": ((3, 16, 40, 40), (20, 16, 3, 3), {"padding": (1, 1)}),
    "stem": ((2, 3, 61, 64), (12, 3, 7, 7), {"stride": (2, 2), "padding": (3, 3)}),
    "columns": ((5, 40, 7, 7), (24, 40, 3, 3), {"padding": (1, 1)}),
    "few columns": ((1, 70, 7, 7), (200, 70, 3, 3), {"padding": (1, 1)}),
    "points": ((4, 30, 25, 25), (70, 30, 1, 1), {}),
    "few points": ((1, 30, 7, 9), (70, 30, 1, 1), {}),
    "strided points": ((4, 30, 20, 20), (40, 30, 1, 1), {"stride": (2, 2)}),
    "depthwise": ((3, 6, 30, 30), (6, 1, 3, 3), {"padding": (1, 1), "groups": 6}),
    "grouped": ((2, 32, 20, 20), (32, 8, 3, 3), {"padding": (1, 1), "groups": 4}),
    "many pixels": ((9, 2, 40, 40), (5, 2, 3, 3), {"padding": (1, 1)}),
}


@pytest.mark.parametrize("case", LARGE)
def test_results_do_not_depend_on_the_number_of_threads(
    native: Any,
    threads: Any,
    case: str,
) -> None:
    x_shape, weight_shape, given_options = LARGE[case]
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    options |= given_options
    x, weight = real(*x_shape), real(*weight_shape, seed=1)
    results = []
    for count in (1, 2, 5):
        threads(count)
        out = near(native, "conv", x, weight, **options)
        g = real(*out.shape, seed=2)
        dx = near(native, "conv_grad_input", g, weight, input_size=x_shape[2:], **options)
        dw = near(native, "conv_grad_weight", g, x, kernel_size=weight_shape[2:], **options)
        results.append((out, dx, dw))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert np.array_equal(one, two)


def test_operands_may_be_laid_out_in_any_way(native: Any) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    x = real(9, 6, 8, 2).transpose(3, 2, 0, 1)
    weight = real(4, 3, 3, 8, seed=1).transpose(0, 3, 1, 2)
    near(native, "conv", x, weight, **options)
    g = np.broadcast_to(np.float32(1.5), (2, 4, 9, 6))
    near(native, "conv_grad_input", g, weight, input_size=(9, 6), **options)
    near(native, "conv_grad_weight", g, x, kernel_size=(3, 3), **options)


def test_what_is_not_finite_stays_in_its_window(native: Any) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    conv = native.find_kernel("conv", rushlight.float32)
    for size in (6, 40):
        x = np.zeros((2, 2, size, size), np.float32)
        x[1, 0, 3, size - 1] = np.nan
        out = conv(x, np.ones((3, 2, 3, 3), np.float32), **options)
        seen = np.zeros(out.shape, bool)
        seen[1, :, 2:5, size - 2 :] = True
        np.testing.assert_array_equal(np.isnan(out), seen)


def test_other_dtypes_and_empty_operands_are_numpys(native: Any) -> None:
    options = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    conv = native.find_kernel("conv", rushlight.float64)
    x, weight = np.ones((1, 2, 5)), np.ones((3, 2, 2))
    assert conv(x, weight, **options).tolist() == [[[4.0] * 4] * 3]
    conv = native.find_kernel("conv", rushlight.float32)
    empty = np.ones((0, 2, 5), np.float32)
    assert conv(empty, weight.astype(np.float32), **options).shape == (0, 3, 4)
