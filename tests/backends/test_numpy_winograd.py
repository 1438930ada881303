"""The NumPy tier's convolution by transforms: geometries, threads, and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight_cpu.kernels import _parallel, _winograd
from rushlight_cpu.numpy_tier import backend

Array = np.ndarray[Any, Any]


def kernel(name: str, dtype: Any = rushlight.float32) -> Any:
    return backend.find_kernel(name, dtype)


def real(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def exact(name: str, *arrays: Array, **options: Any) -> Array:
    """What the kernel of float64 finds, which sums windows."""
    wide = (array.astype(np.float64) for array in arrays)
    plain = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}
    found: Array = kernel(name, rushlight.float64)(*wide, **plain, **options)
    return found


def near(got: Array, expected: Array) -> None:
    error = np.abs(got - expected) / np.sqrt((expected**2).mean())
    assert got.dtype == np.float32 and got.shape == expected.shape
    assert error.mean() < 1.6e-6 and error.max() < 2e-5


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_convolution_and_both_gradients(data: st.DataObject) -> None:
    def one_of(*choices: int) -> int:
        return data.draw(st.sampled_from(choices))

    batch, inner, outer = one_of(1, 2, 7), one_of(1, 5, 33), one_of(1, 6, 40)
    padding = one_of(0, 1, 2), one_of(0, 1, 2)
    size = tuple(data.draw(st.integers(max(1, 3 - 2 * p), 40)) for p in padding)
    x, weight = real(batch, inner, *size), real(outer, inner, 3, 3, seed=1)
    expected = exact("conv", x, weight, padding=padding)
    out = np.full(expected.shape, 7, np.float32)
    assert _winograd.conv(x, weight, padding, out, 1e9)
    near(out, expected)
    g = real(*out.shape, seed=2)
    dx = np.full(x.shape, 7, np.float32)
    around = 2 - padding[0], 2 - padding[1]
    assert _winograd.conv(g, weight, around, dx, 1e9, backwards=True)
    near(dx, exact("conv_grad_input", g, weight, input_size=size, padding=padding))
    dw = _winograd.conv_grad_weight(g, x, padding, 1e9)
    assert dw is not None
    near(dw, exact("conv_grad_weight", g, x, kernel_size=(3, 3), padding=padding))


@pytest.mark.parametrize(
    "shape", [(9, 48, 33, 30), (40, 64, 8, 8), (1, 64, 56, 56), (70, 64, 8, 8)], ids=str
)
def test_bits_do_not_depend_on_the_number_of_threads(shape: tuple[int, ...]) -> None:
    x, weight = real(*shape), real(40, shape[1], 3, 3, seed=1)
    g = real(len(x), 40, *shape[2:], seed=2)
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    assert _winograd.suits(x, 40, shape[2:], (3, 3), (1, 1), (1, 1))
    before, found = _parallel.thread_count(), []
    try:
        for count in (1, 2, 5):
            _parallel.set_thread_count(count)
            found.append((
                kernel("conv")(x, weight, **options),
                kernel("conv_grad_input")(g, weight, input_size=shape[2:], **options),
                _winograd.conv_grad_weight(g, x, (1, 1), 1e9),
            ))  # fmt: skip
    finally:
        _parallel.set_thread_count(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_window(bad: float) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    x, weight = np.zeros((3, 64, 40, 40), np.float32), np.ones((64, 64, 3, 3), np.float32)
    assert _winograd.suits(x, 64, (40, 40), (3, 3), (1, 1), (1, 1), _winograd.SUMS)
    x[1, 0, 3, 39] = bad
    expected = np.zeros(x.shape, np.float32)
    expected[1, :, 2:5, 38:] = bad
    np.testing.assert_array_equal(kernel("conv")(x, weight, **options), expected)
    back = kernel("conv_grad_input")(x, weight, input_size=(40, 40), **options)
    np.testing.assert_array_equal(back, expected)
    g = np.ones(x.shape, np.float32)
    dw = kernel("conv_grad_weight")(g, x, kernel_size=(3, 3), **options)
    assert np.isfinite(dw[:, 1:]).all()
    # The first column of the kernel does not reach the last one of the image.
    assert (np.isfinite(dw[:, 0]) == [True, False, False]).all()


def test_transforms_do_not_overflow_before_the_result() -> None:
    x, weight = real(4, 64, 32, 32), real(64, 64, 3, 3, seed=1)
    x[1, 2, 5, 4], x[1, 2, 5, 6] = 3e38, -3e38
    weight[:, 2] *= 0.1
    out = kernel("conv")(
        x, weight, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1
    )  # fmt: skip
    expected = exact("conv", x, weight, padding=(1, 1))
    far = np.abs(expected) < 1e4
    assert np.isfinite(out).all() and far.mean() > 0.9
    np.testing.assert_allclose(out[far], expected[far], atol=1e-3)


def test_operands_may_be_laid_out_in_any_way() -> None:
    x = real(24, 24, 40, 9).transpose(3, 2, 0, 1)[:, ::-1]
    weight = real(3, 40, 3, 33, seed=1).transpose(3, 1, 0, 2)
    out = np.empty((9, 33, 24, 24), np.float32)
    assert _winograd.conv(x, weight, (1, 1), out, 1e9)
    near(out, exact("conv", x, weight, padding=(1, 1)))
    g = np.broadcast_to(np.float32(1.5), out.shape)
    dw = _winograd.conv_grad_weight(g, x, (1, 1), 1e9)
    assert dw is not None
    near(dw, exact("conv_grad_weight", g, x, kernel_size=(3, 3), padding=(1, 1)))


def test_only_float32_windows_of_steps_of_one_with_many_channels_are_transformed() -> None:
    x = real(8, 64, 32, 32)
    plain = (3, 3), (1, 1), (1, 1)
    assert _winograd.suits(x, 64, (32, 32), *plain)
    assert not _winograd.suits(x[:, :8], 64, (32, 32), *plain)
    assert not _winograd.suits(x[:, :, :4, :4], 64, (4, 4), *plain)
    assert not _winograd.suits(x.astype(np.float64), 64, (32, 32), *plain)
    for other in ((5, 5), (1, 1), (1, 1)), ((3, 3), (2, 1), (1, 1)), ((3, 3), (1, 1), (1, 2)):
        assert not _winograd.suits(x, 64, (32, 32), *other)
