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
    "small tiles": ((5, 24, 30, 33), (30, 24, 3, 3), {"padding": (1, 0)}),
    "large tiles": ((9, 34, 39, 41), (41, 34, 3, 3), {"padding": (1, 1)}),
    "tiles step by step": ((7, 130, 9, 11), (137, 130, 3, 3), {"padding": (2, 1)}),
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


@given(st.data())
@settings(max_examples=25)
def test_windows_of_steps_of_one(native: Any, data: st.DataObject) -> None:
    """3x3 windows with enough channels for the transforms, on planes of all sizes."""
    batch, inner, outer = (data.draw(st.sampled_from(c)) for c in ((1, 3, 8), (31, 64), (32, 45)))
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = tuple(data.draw(st.integers(3 - min(p, 1) * 2, 33)) for p in padding)
    options = {"stride": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    x, weight = real(batch, inner, *size), real(outer, inner, 3, 3, seed=1)
    out = near(native, "conv", x, weight, **options)
    g = real(*out.shape, seed=2)
    near(native, "conv_grad_input", g, weight, input_size=size, **options)
    near(native, "conv_grad_weight", g, x, kernel_size=(3, 3), **options)


@pytest.mark.parametrize("channels", [16, 40, 200])
@pytest.mark.parametrize("positive", [False, True])
def test_transforms_are_about_as_exact_as_sums(native: Any, channels: int, positive: bool) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    x, g = real(4, channels, 32, 32), real(4, 40, 32, 32, seed=2)
    x = np.maximum(x, 0) if positive else x
    weight = real(40, channels, 3, 3, seed=1)
    for name, arrays, sizes in (
        ("conv", (x, weight), {}),
        ("conv_grad_weight", (g, x), {"kernel_size": (3, 3)}),
    ):
        exact = NUMPY.find_kernel(name, rushlight.float64)(
            *(array.astype(np.float64) for array in arrays), **options, **sizes
        )
        got = native.find_kernel(name, rushlight.float32)(*arrays, **options, **sizes)
        error = np.abs(got - exact) / np.sqrt((exact**2).mean())
        assert error.mean() < 1.6e-6
        assert error.max() < 1.5e-5


def test_operands_may_be_laid_out_in_any_way(native: Any) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    x = real(9, 6, 8, 2).transpose(3, 2, 0, 1)
    weight = real(4, 3, 3, 8, seed=1).transpose(0, 3, 1, 2)
    near(native, "conv", x, weight, **options)
    g = np.broadcast_to(np.float32(1.5), (2, 4, 9, 6))
    near(native, "conv_grad_input", g, weight, input_size=(9, 6), **options)
    near(native, "conv_grad_weight", g, x, kernel_size=(3, 3), **options)


@pytest.mark.parametrize("channels", [2, 40])  # windows themselves, and transforms
def test_what_is_not_finite_stays_in_its_window(native: Any, channels: int) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    conv = native.find_kernel("conv", rushlight.float32)
    back = native.find_kernel("conv_grad_input", rushlight.float32)
    for size in (6, 40):
        for bad in (np.nan, np.inf, -np.inf):
            x = np.zeros((2, channels, size, size), np.float32)
            x[1, 0, 3, size - 1] = bad
            weight = np.ones((channels, channels, 3, 3), np.float32)
            out = np.zeros(x.shape, np.float32)
            out[1, :, 2:5, size - 2 :] = bad
            np.testing.assert_array_equal(conv(x, weight, **options), out)
            got = back(x, weight, input_size=(size, size), **options)
            np.testing.assert_array_equal(got, out)


def test_transforms_do_not_overflow_before_the_result(native: Any) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    x, weight = real(2, 64, 32, 32), real(64, 64, 3, 3, seed=1)
    plain = near(native, "conv", x, weight, **options)
    x[1, 2, 5, 4], x[1, 2, 5, 6] = 3e38, -3e38
    weight[:, 2] *= 0.1
    out = near(native, "conv", x, weight, **options)
    assert np.isfinite(out).all()
    # What does not see the large pixels is as exact as without them.
    exact = NUMPY.find_kernel("conv", rushlight.float64)(
        x.astype(np.float64), weight.astype(np.float64), **options
    )
    far = np.abs(exact) < 1e4
    assert far.mean() > 0.9
    np.testing.assert_allclose(out[far], exact[far], atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(4, 1), (4, 2), (4, 4), (40, 1)],
    ids=["dense", "grouped", "depthwise", "transforms"],
)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_gradients_of_the_weight_are_not_finite_where_a_tap_sees_it(
    native: Any, bad: float, stride: int, channels: int, groups: int
) -> None:
    options = {"stride": (stride, stride), "padding": (1, 1), "dilation": (1, 1)}
    options |= {"groups": groups}
    kernel = native.find_kernel("conv_grad_weight", rushlight.float32)
    for size in (5, 8, 19):
        # The first and the last pixel lie next to the padding; a tap must reach them to see them.
        for place in ((0, 0), (size - 1, size - 1), (2, size - 1), (3, 2)):
            x = real(2, channels, size, size)
            x[1, 1, *place] = bad
            out = (size - 1) // stride + 1
            g = real(2, channels, out, out, seed=1)
            got = kernel(g, x, kernel_size=(3, 3), **options)
            reached = np.zeros((3, 3), bool)
            for tap in np.ndindex(3, 3):
                first = [p + 1 - k for p, k in zip(place, tap, strict=True)]
                reached[tap] = all(i % stride == 0 and 0 <= i // stride < out for i in first)
            seen = np.zeros(got.shape, bool)
            block = channels // groups
            seen[1 // block * block : (1 // block + 1) * block, 1 % block] = reached
            np.testing.assert_array_equal(~np.isfinite(got), seen)


def test_other_dtypes_and_empty_operands_are_numpys(native: Any) -> None:
    options = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    conv = native.find_kernel("conv", rushlight.float64)
    x, weight = np.ones((1, 2, 5)), np.ones((3, 2, 2))
    assert conv(x, weight, **options).tolist() == [[[4.0] * 4] * 3]
    conv = native.find_kernel("conv", rushlight.float32)
    empty = np.ones((0, 2, 5), np.float32)
    assert conv(empty, weight.astype(np.float32), **options).shape == (0, 3, 4)
