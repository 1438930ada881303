"""The native kernels of layer, RMS, group and batch norm, against the NumPy tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_rows import FLOATS, compare, laid_out
from tests.backends.test_native_tier import TYPES, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures


def parameter(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    """None or an array of a shape."""
    if draw(st.booleans()):
        return None
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def operands(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """An input and a gradient of a shape, of any strides."""
    dtype = draw(st.sampled_from(FLOATS))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    x = rng.standard_normal(shape) * 2 + draw(st.sampled_from([0, 0, 20]))
    x, g = x.astype(dtype), rng.standard_normal(shape).astype(dtype)
    return laid_out(draw, x), laid_out(draw, g)


def tolerance(x: np.ndarray) -> float:
    return 5e-5 if x.dtype == np.float32 else 1e-12


@given(st.data(), st.sampled_from(["layer", "rms"]))
@settings(max_examples=100, deadline=None)
def test_norms_of_the_last_dimensions(native: Any, data: st.DataObject, kind: str) -> None:
    draw = data.draw
    lead = draw(st.sampled_from([(), (1,), (7,), (3, 5), (300,), (0,)]))
    tail = draw(st.sampled_from([(1,), (5,), (16,), (33,), (4, 8), (2100,)]))
    x, g = operands(draw, lead + tail)
    weight = parameter(draw, tail, x.dtype, 1)
    arrays = [x, weight] if kind == "rms" else [x, weight, parameter(draw, tail, x.dtype, 2)]
    said = {"normalized_ndim": len(tail)}
    _, *stats = compare(native, f"native_{kind}_norm", *arrays, tol=tolerance(x), eps=1e-5, **said)
    needs = tuple(draw(st.booleans()) for _ in arrays)
    compare(
        native, f"{kind}_norm_backward", g, x, *stats, weight,
        tol=10 * tolerance(x), needs=needs, **said,
    )  # fmt: skip


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_group_norm(native: Any, data: st.DataObject) -> None:
    draw = data.draw
    channels, groups = draw(st.sampled_from([(1, 1), (6, 3), (6, 1), (32, 8), (5, 5)]))
    size = draw(st.sampled_from([(), (1,), (7,), (4, 9), (50, 50)]))
    if channels == groups and np.prod(size) == 1:
        size = (6,)  # variances of one element are 0: gradients are rounding errors times 1 / eps
    x, g = operands(draw, (draw(st.sampled_from([0, 1, 5])), channels, *size))
    weight, bias = (parameter(draw, (channels,), x.dtype, seed) for seed in (1, 2))
    _, mean, rstd = compare(
        native, "native_group_norm", x, weight, bias, tol=tolerance(x), groups=groups, eps=1e-5
    )
    needs = tuple(draw(st.booleans()) for _ in range(3))
    compare(
        native, "group_norm_backward", g, x, mean, rstd, weight,
        tol=10 * tolerance(x), groups=groups, needs=needs,
    )  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_with_nan_or_infinity_stays_alone(native: Any, value: float) -> None:
    x = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
    x[2, 7] = value
    for kind, biases in (("layer", [None]), ("rms", [])):
        kernel = native.find_kernel(f"native_{kind}_norm", rushlight.float32)
        out = kernel(x, None, *biases, normalized_ndim=1, eps=1e-5)[0]
        assert np.isfinite(out[[0, 1, 3, 4]]).all()
        assert np.isnan(out[2, 7])


@pytest.mark.parametrize("dtype", FLOATS)
def test_statistics_of_rows_far_from_zero(native: Any, dtype: Any) -> None:
    x = (np.random.default_rng(0).standard_normal((6, 5000)) + 1000).astype(dtype)
    kernel = native.find_kernel("native_layer_norm", TYPES[dtype])
    out, mean, rstd = kernel(x, None, None, normalized_ndim=1, eps=0.0)
    exact = x.astype(np.float64)
    tol = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(mean[:, 0], exact.mean(1), rtol=tol)
    np.testing.assert_allclose(rstd[:, 0], 1 / exact.std(1), rtol=10 * tol)
    np.testing.assert_allclose(out.std(1, dtype=np.float64), 1, rtol=10 * tol)


def test_norms_do_not_depend_on_the_number_of_threads(native: Any, threads: Any) -> None:
    rng = np.random.default_rng(0)
    x, g, w = (rng.standard_normal(s).astype(np.float32) for s in ((1500, 96), (1500, 96), (96,)))
    find = native.find_kernel
    planes, grads = x.reshape(10, 15, 96, 10).copy(), g.reshape(10, 15, 96, 10).copy()
    scale = w[:15].copy()
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        layer = find("native_layer_norm", rushlight.float32)(x, w, w, normalized_ndim=1, eps=1e-5)
        found = [*layer]
        found += find("layer_norm_backward", rushlight.float32)(
            g, x, *layer[1:], w, normalized_ndim=1, needs=(True, True, True)
        )
        group = find("native_group_norm", rushlight.float32)(
            planes, scale, scale, groups=5, eps=1e-5
        )
        found += group
        found += find("group_norm_backward", rushlight.float32)(
            grads, planes, *group[1:], scale, groups=5, needs=(True, True, True)
        )
        for a, b in ((planes, grads), (x, g)):
            own = w if a is x else scale
            batch = find("batch_norm_train", rushlight.float32)(a, own, own, eps=1e-5)
            rstd = 1 / np.sqrt(batch[2] + np.float32(1e-5))
            found += [*batch]
            found += find("batch_norm_backward", rushlight.float32)(
                b, a, batch[1], rstd, own, training=True, needs=(True, True, True)
            )
        results.append([np.array(a) for a in found])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


# Batch norm

BATCHES = [(0, 3), (1, 1), (2, 5), (600, 3), (40, 70), (4, 3, 1), (3, 9, 5), (5, 4, 16, 17)]
BATCHES += [(2, 3, 60, 70), (1, 20, 300), (30, 2, 3, 3), (2, 2, 0)]


@given(st.data(), st.sampled_from(BATCHES))
@settings(max_examples=100, deadline=None)
def test_batch_norm(native: Any, data: st.DataObject, shape: tuple[int, ...]) -> None:
    draw = data.draw
    x, g = operands(draw, shape)
    weight, bias = (parameter(draw, (shape[1],), x.dtype, seed) for seed in (1, 2))
    tol = tolerance(x)
    mean, variance = compare(native, "batch_norm_stats", x, tol=tol)
    trained = compare(native, "batch_norm_train", x, weight, bias, eps=0.1, tol=tol)
    np.testing.assert_array_equal(trained[1], mean)
    np.testing.assert_array_equal(trained[2], variance)
    with np.errstate(all="ignore"):
        rstd = 1 / np.sqrt(variance + x.dtype.type(0.1))
    compare(native, "batch_norm_apply", x, mean, rstd, weight, bias, tol=tol)
    needs = tuple(draw(st.booleans()) for _ in range(3))
    compare(
        native, "batch_norm_backward", g, x, mean, rstd, weight,
        tol=10 * tol, training=draw(st.booleans()), needs=needs,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(64, 3, 40, 40), (5000, 3), (3, 40, 300, 300)])
def test_variances_of_channels_far_from_zero(native: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32) + np.float32(1000)
    mean, variance = native.find_kernel("batch_norm_stats", rushlight.float32)(x)
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(mean, x.mean(axes, dtype=np.float64), rtol=2e-7)
    np.testing.assert_allclose(variance, x.var(axes, dtype=np.float64), rtol=2e-5)
