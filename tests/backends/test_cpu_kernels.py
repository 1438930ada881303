"""The kernels of the CPU backend, in both tiers, against definitions written as plain loops."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend
from rushlight_cpu.kernels import (
    _erf,
    _parallel,
    adaptive_pooling,
    attention,
    convolution,
    cpu_kernels,
    pooling,
)

# Kernels of the tier under test, by operator; those of floats where they differ by dtype.
KERNELS: dict[str, Any] = {}
few = settings(max_examples=40)


@pytest.fixture(autouse=True, scope="module", params=["numpy", "native"])
def _tier(request: pytest.FixtureRequest) -> None:
    """Every test of this file runs on the NumPy kernels, then on the native ones."""
    tier = _native.Tier(None) if request.param == "numpy" else _native.choose("")
    if request.param == "native" and tier.library is None:
        pytest.skip(tier.reason)
    backend = make_backend("cpu", tier)
    KERNELS.clear()
    for name in cpu_kernels():
        KERNELS[name] = backend.find_kernel(name, rushlight.float64)


@pytest.fixture(autouse=True)
def _no_float_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Splits everything in three, however small."""
    before, split = _parallel.thread_count(), _parallel.split
    _parallel.set_thread_count(3)
    monkeypatch.setattr(
        _parallel, "split", lambda size, work, task, enough=0: split(size, 1e12, task)
    )
    yield
    _parallel.set_thread_count(before)


def normal(rng: np.random.Generator, *shape: int, scattered: bool = False) -> np.ndarray:
    x = rng.standard_normal(shape)
    return np.asfortranarray(x) if scattered and x.ndim else x


def close(got: Any, wanted: Any, tol: float = 1e-9) -> None:
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=tol, atol=tol)


def numeric_vjp(function: Any, g: np.ndarray, *inputs: np.ndarray) -> list[np.ndarray]:
    """Gradients of sum(g * function(*inputs)) by central differences."""
    found = []
    for which, x in enumerate(inputs):
        grad = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [np.array(a) for a in inputs]
                moved[which][place] += step
                ends.append(float(np.sum(g * function(*moved))))
            grad[place] = (ends[0] - ends[1]) / 2e-6
        found.append(grad)
    return found


# Convolution


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    sizes = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * rank))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    case = {
        "kernel": sizes(1, 3),
        "stride": sizes(1, 3),
        "padding": sizes(0, 2),
        "dilation": sizes(1, 2),
        "groups": groups,
        "batch": draw(st.integers(0, 3)),
        "inner": groups * draw(st.integers(1, 2)),
        "outer": groups * draw(st.integers(1, 2)),
    }
    rows = zip(sizes(1, 6), case["kernel"], case["padding"], case["dilation"], strict=True)
    case["size"] = tuple(max(n, d * (k - 1) + 1 - 2 * p) for n, k, p, d in rows)
    return case


def naive_conv(x: np.ndarray, weight: np.ndarray, case: dict[str, Any]) -> np.ndarray:
    rank, groups = x.ndim - 2, case["groups"]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in case["padding"])])
    rows = zip(x.shape[2:], weight.shape[2:], case["stride"], case["dilation"], strict=True)
    out_size = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in rows]
    out = np.zeros((x.shape[0], weight.shape[0], *out_size))
    inner, outer = weight.shape[1], weight.shape[0] // groups
    for o in range(weight.shape[0]):
        channels = x[:, o // outer * inner : (o // outer + 1) * inner]
        for at in itertools.product(*map(range, out_size)):
            for tap in itertools.product(*map(range, weight.shape[2:])):
                spot = tuple(
                    at[i] * case["stride"][i] + tap[i] * case["dilation"][i] for i in range(rank)
                )
                out[(slice(None), o, *at)] += (
                    channels[(..., *spot)] @ weight[(o, slice(None), *tap)]
                )
    return out


@given(convolutions(), st.booleans(), st.sampled_from([None, True, False]), st.booleans())
@settings(max_examples=80)
def test_convolution_and_its_gradients(
    case: dict[str, Any], small_blocks: bool, flat: bool | None, scattered: bool
) -> None:
    rng = np.random.default_rng(0)
    x = normal(rng, case["batch"], case["inner"], *case["size"], scattered=scattered)
    weight = normal(rng, case["outer"], case["inner"] // case["groups"], *case["kernel"])
    attributes = {k: case[k] for k in ("stride", "padding", "dilation", "groups")}
    wanted = naive_conv(x, weight, case)
    g = normal(rng, *wanted.shape, scattered=scattered)
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(convolution, "COLUMNS", 64)
            patch.setattr(convolution, "PLANES", 64)
        if flat is not None:
            patch.setattr(convolution, "RUN", math.inf if flat else -1)
        y = KERNELS["conv"](x, weight, **attributes)
        dx = KERNELS["conv_grad_input"](g, weight, input_size=case["size"], **attributes)
        dw = KERNELS["conv_grad_weight"](g, x, kernel_size=case["kernel"], **attributes)
    close(y, wanted)
    assert dx.shape == x.shape
    assert dw.shape == weight.shape
    # A bilinear map determines its two transposes: <g, conv(u, v)> in random directions.
    u, v = normal(rng, *x.shape), normal(rng, *weight.shape)
    assert np.sum(dx * u) == pytest.approx(np.sum(g * naive_conv(u, weight, case)), abs=1e-8)
    assert np.sum(dw * v) == pytest.approx(np.sum(g * naive_conv(x, v, case)), abs=1e-8)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [(2, 4, 9, 9), (5, 4, 30, 30)])
def test_convolution_on_three_threads(
    three_threads: None, groups: int, size: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    x, weight = normal(rng, *size), normal(rng, 4, 4 // groups, 3, 3)
    case = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": groups}
    wanted = naive_conv(x, weight, case)
    close(KERNELS["conv"](x, weight, **case), wanted)
    g = normal(rng, *wanted.shape)
    dx = KERNELS["conv_grad_input"](g, weight, input_size=size[2:], **case)
    dw = KERNELS["conv_grad_weight"](g, x, kernel_size=(3, 3), **case)
    assert np.sum(dx * x) == pytest.approx(np.sum(g * wanted))
    assert np.sum(dw * weight) == pytest.approx(np.sum(g * wanted))


@pytest.mark.parametrize("dtype", [np.int64, np.complex128, np.float32, np.float16])
def test_convolution_keeps_the_dtype(dtype: type) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-3, 4, (2, 2, 5, 5)).astype(dtype)
    weight = rng.integers(-3, 4, (3, 2, 3, 3)).astype(dtype)
    case = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 1}
    y = KERNELS["conv"](x, weight, **case)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.real, naive_conv(x.real, weight.real, case))


# Pooling


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    sizes = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * rank))
    kernel = sizes(1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    rows = zip(sizes(1, 7), kernel, strict=True)
    return {
        "size": tuple(max(n, k) for n, k in rows),
        "kernel_size": kernel,
        "stride": sizes(1, 3),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }


def windows(case: dict[str, Any]) -> Iterator[tuple[tuple[int, ...], list[range], int]]:
    """Each window: its output position, the positions it reads, and its size with padding."""
    along = []
    rows = zip(case["size"], case["kernel_size"], case["stride"], case["padding"], strict=True)
    for n, k, s, p in rows:
        found = []
        start = -p
        while start + k <= n + p or (case["ceil_mode"] and start < n + p - k + s and start < n):
            found.append((range(max(start, 0), min(start + k, n)), min(start + k, n + p) - start))
            start += s
        along.append(found)
    for at in itertools.product(*(range(len(found)) for found in along)):
        picked = [found[i] for found, i in zip(along, at, strict=True)]
        yield at, [inside for inside, _ in picked], math.prod(size for _, size in picked)


def inside(x: np.ndarray, box: list[range]) -> np.ndarray:
    return x[(..., *(slice(part.start, part.stop) for part in box))]


@given(pools(), st.sampled_from(["plain", "ties", "nan", "low"]), st.integers(0, 2))
@settings(max_examples=80)
def test_max_pool(case: dict[str, Any], kind: str, batch: int) -> None:
    rng = np.random.default_rng(3)
    x = normal(rng, batch, 2, *case["size"], scattered=True)
    if kind == "ties":
        x = x.round()
    elif kind != "plain":
        x[rng.random(x.shape) < 0.4] = math.nan if kind == "nan" else -math.inf
    attributes = {k: case[k] for k in ("kernel_size", "stride", "padding", "ceil_mode")}
    attributes["dilation"] = (1,) * len(case["size"])
    values, indices = KERNELS["max_pool"](x, **attributes)
    only = KERNELS["max_pool_values"](x, **attributes)
    np.testing.assert_array_equal(only, values)
    count = 0
    for at, box, _ in windows(case):
        count += 1
        for lead in np.ndindex(batch, 2):
            best, where = -math.inf, None
            for spot in itertools.product(*box):
                value = x[(*lead, *spot)]
                if where is None or value > best or math.isnan(value):
                    best, where = value, np.ravel_multi_index(spot, case["size"])
            np.testing.assert_array_equal(values[(*lead, *at)], best)
            assert indices[(*lead, *at)] == where
    assert values.size == indices.size == count * batch * 2
    g = normal(rng, *values.shape)
    dx = KERNELS["max_pool_backward"](g, indices, input_size=case["size"])
    wanted = np.zeros((batch, 2, math.prod(case["size"])))
    for lead in np.ndindex(values.shape):
        wanted[(*lead[:2], indices[lead])] += g[lead]
    close(dx.reshape(wanted.shape), wanted)


def test_max_pool_with_dilation_past_the_input_names_a_real_position() -> None:
    x = np.ones((1, 1, 1))
    values, indices = KERNELS["max_pool"](
        x, kernel_size=(2,), stride=(1,), padding=(1,), dilation=(2,), ceil_mode=False
    )
    assert values[0, 0].tolist() == [-math.inf]
    assert indices[0, 0].tolist() == [0]


@given(pools(), st.booleans(), st.sampled_from([None, 3]))
@few
def test_avg_pool(case: dict[str, Any], count_include_pad: bool, override: int | None) -> None:
    rng = np.random.default_rng(4)
    x = normal(rng, 2, 1, *case["size"])
    attributes = {k: case[k] for k in ("kernel_size", "stride", "padding", "ceil_mode")}
    attributes |= {"count_include_pad": count_include_pad, "divisor_override": override}
    y = KERNELS["avg_pool"](x, **attributes)
    g = normal(rng, *y.shape)
    dx = KERNELS["avg_pool_backward"](g, input_size=case["size"], **attributes)
    wanted = np.zeros_like(dx)
    for at, box, padded in windows(case):
        read = inside(x, box)
        divisor = override or (padded if count_include_pad else math.prod(map(len, box)))
        axes = tuple(range(2, x.ndim))
        close(y[(..., *at)], read.sum(axis=axes) / divisor)
        inside(wanted, box)[...] += g[(..., *at)].reshape(2, 1, *(1,) * len(at)) / divisor
    close(dx, wanted)


@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=3),
    st.booleans(),
)
@few
def test_adaptive_pools(pairs: list[tuple[int, int]], lost: bool) -> None:
    rng = np.random.default_rng(5)
    size, out = tuple(n for n, _ in pairs), tuple(o for _, o in pairs)
    x = normal(rng, 1, 2, *size)
    mean = KERNELS["adaptive_avg_pool"](x, output_size=out)
    g = normal(rng, *mean.shape)
    dx = KERNELS["adaptive_avg_pool_backward"](g, input_size=size)
    wanted = np.zeros_like(x)
    if lost:
        x[rng.random(x.shape) < 0.2] = math.nan
    values, indices = KERNELS["adaptive_max_pool"](x, output_size=out)
    clean = KERNELS["adaptive_avg_pool"](x, output_size=out)
    for at in np.ndindex(out):
        box = [
            range(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(at, size, out, strict=True)
        ]
        read = inside(x, box)
        axes = tuple(range(2, x.ndim))
        close(clean[(..., *at)], read.mean(axis=axes))
        np.testing.assert_array_equal(values[(..., *at)], read.max(axis=axes))
        inside(wanted, box)[...] += g[(..., *at)].reshape(1, 2, *(1,) * len(at)) / math.prod(
            map(len, box)
        )
    close(dx, wanted)
    picked = np.take_along_axis(x.reshape(1, 2, -1), indices.reshape(1, 2, -1), 2)
    np.testing.assert_array_equal(picked.reshape(values.shape), values)


# Softmax

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@given(shapes, st.data())
@few
def test_softmax_family(shape: tuple[int, ...], data: st.DataObject) -> None:
    rng = np.random.default_rng(6)
    x = normal(rng, *shape, scattered=data.draw(st.booleans()))
    dim = data.draw(st.integers(0, max(0, len(shape) - 1)))
    e = np.exp(x)
    wanted = e / e.sum(axis=dim, keepdims=True) if shape else np.ones(())
    y, logs = KERNELS["softmax"](x, dim=dim), KERNELS["log_softmax"](x, dim=dim)
    close(y, wanted)
    close(logs, np.log(wanted))
    g = normal(rng, *shape)
    inner = (g * wanted).sum(axis=dim, keepdims=True) if shape else g
    close(KERNELS["softmax_backward"](g, y, dim=dim), wanted * (g - inner))
    total = g.sum(axis=dim, keepdims=True) if shape else g
    close(KERNELS["log_softmax_backward"](g, logs, dim=dim), g - wanted * total)
    dims = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1))))) if shape else ()
    keepdim = data.draw(st.booleans())
    lse = KERNELS["logsumexp"](x, dim=dims, keepdim=keepdim)
    close(lse, np.log(e.sum(axis=dims, keepdims=keepdim)) if shape else x)


@pytest.mark.parametrize(
    ("shape", "dim"), [((300, 700), 1), ((3, 900, 200), 1), ((2, 1, 200000), 2)]
)
def test_softmax_of_many_blocks(three_threads: None, shape: tuple[int, ...], dim: int) -> None:
    x = normal(np.random.default_rng(7), *shape)
    e = np.exp(x)
    wanted = e / e.sum(axis=dim, keepdims=True)
    close(KERNELS["softmax"](x, dim=dim), wanted)
    close(KERNELS["log_softmax"](x, dim=dim), np.log(wanted))
    close(KERNELS["softmax_backward"](x, e, dim=dim), e * (x - (x * e).sum(dim, keepdims=True)))


def test_softmax_of_infinities() -> None:
    x = np.array([[-math.inf] * 2, [-math.inf, 0.0], [1000.0, 1000.0], [math.nan, 0.0]])
    nan = math.nan
    close(KERNELS["softmax"](x, dim=1), [[nan, nan], [0, 1], [0.5, 0.5], [nan, nan]])
    lse = KERNELS["logsumexp"](x, dim=(1,), keepdim=False)
    close(lse, [-math.inf, 0, 1000 + math.log(2), nan])
    assert KERNELS["logsumexp"](np.array([math.inf, 0.0]), dim=(0,), keepdim=False) == math.inf
    assert KERNELS["logsumexp"](np.zeros(0), dim=(0,), keepdim=False) == -math.inf


# Normalisation


def standard(x: np.ndarray, axes: tuple[int, ...], eps: float = 1e-5) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), st.data())
@settings(max_examples=25)
def test_layer_and_rms_norm(shape: tuple[int, ...], data: st.DataObject) -> None:
    rng = np.random.default_rng(8)
    ndim = data.draw(st.integers(1, len(shape)))
    tail, axes = shape[-ndim:], tuple(range(len(shape) - ndim, len(shape)))
    affine = data.draw(st.booleans())
    x = normal(rng, *shape, scattered=True)
    w, b = (normal(rng, *tail), normal(rng, *tail)) if affine else (np.ones(tail), np.zeros(tail))
    wk, bk = (w, b) if affine else (None, None)
    forward = lambda x, w, b: standard(x, axes) * w + b
    out, mean, rstd = KERNELS["native_layer_norm"](x, wk, bk, normalized_ndim=ndim, eps=1e-5)
    close(out, forward(x, w, b))
    close(mean, x.mean(axes, keepdims=True))
    g = normal(rng, *shape)
    wanted = numeric_vjp(forward, g, x, w, b)
    needs = (True, affine, affine)
    got = KERNELS["layer_norm_backward"](g, x, mean, rstd, wk, normalized_ndim=ndim, needs=needs)
    for part, right, needed in zip(got, wanted, needs, strict=True):
        close(part, right, 1e-4) if needed else _absent(part)
    square = lambda x, w: x / np.sqrt((x * x).mean(axes, keepdims=True) + 1e-5) * w
    out, rrms = KERNELS["native_rms_norm"](x, wk, normalized_ndim=ndim, eps=1e-5)
    close(out, square(x, w))
    got = KERNELS["rms_norm_backward"](g, x, rrms, wk, normalized_ndim=ndim, needs=(True, affine))
    for part, right, needed in zip(got, numeric_vjp(square, g, x, w), needs, strict=False):
        close(part, right, 1e-4) if needed else _absent(part)


def _absent(part: Any) -> None:
    assert part is None


@given(st.integers(1, 3), st.integers(1, 2), st.lists(st.integers(1, 3), max_size=2), st.booleans())
@settings(max_examples=25)
def test_batch_and_group_norm(groups: int, wide: int, size: list[int], affine: bool) -> None:
    rng = np.random.default_rng(9)
    channels = groups * wide
    x = normal(rng, 3, channels, *size, scattered=True)
    w, b = (normal(rng, channels), normal(rng, channels)) if affine else (None, None)
    column = (channels, *(1,) * len(size))
    w1 = np.ones(channels) if w is None else w
    b1 = np.zeros(channels) if b is None else b
    axes = (0, *range(2, x.ndim))
    g = normal(rng, *x.shape)
    needs = (True, affine, affine)

    mean, var = KERNELS["batch_norm_stats"](x)
    close(mean, x.mean(axes))
    close(var, x.var(axes))
    rstd = 1 / np.sqrt(var + 1e-5)
    batch = lambda x, w, b: standard(x, axes) * w.reshape(column) + b.reshape(column)
    close(KERNELS["batch_norm_apply"](x, mean, rstd, w, b), batch(x, w1, b1))
    got = KERNELS["batch_norm_backward"](g, x, mean, rstd, w, training=True, needs=needs)
    for part, right, needed in zip(got, numeric_vjp(batch, g, x, w1, b1), needs, strict=True):
        close(part, right, 1e-4) if needed else _absent(part)
    fixed = lambda x, w: (x - mean.reshape(column)) * (rstd * w).reshape(column)
    got = KERNELS["batch_norm_backward"](g, x, mean, rstd, w, training=False, needs=needs)
    for part, right, needed in zip(got, numeric_vjp(fixed, g, x, w1), needs, strict=False):
        close(part, right, 1e-4) if needed else _absent(part)

    def group(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        rows = standard(x.reshape(3, groups, -1), (2,)).reshape(x.shape)
        return rows * w.reshape(column) + b.reshape(column)

    out, mean, rstd = KERNELS["native_group_norm"](x, w, b, groups=groups, eps=1e-5)
    close(out, group(x, w1, b1))
    got = KERNELS["group_norm_backward"](g, x, mean, rstd, w, groups=groups, needs=needs)
    for part, right, needed in zip(got, numeric_vjp(group, g, x, w1, b1), needs, strict=True):
        close(part, right, 1e-4) if needed else _absent(part)


@pytest.mark.parametrize("shape", [(3000, 130), (600, 700)], ids=str)
def test_norms_of_narrow_and_wide_rows_on_any_threads(
    three_threads: None, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(10)
    x, g = (normal(rng, *shape).astype(np.float32) for _ in range(2))
    weight, bias = (normal(rng, shape[1]).astype(np.float32) for _ in range(2))
    out, mean, rstd = KERNELS["native_layer_norm"](x, weight, bias, normalized_ndim=1, eps=1e-5)
    hat = standard(x.astype(np.float64), (1,))
    close(out, hat * weight + bias, 1e-5)
    every = {"normalized_ndim": 1, "needs": (True, True, True)}
    run = lambda: KERNELS["layer_norm_backward"](g, x, mean, rstd, weight, **every)
    many = run()
    gw = g * weight.astype(np.float64)
    slope = gw - gw.mean(1, keepdims=True) - hat * (gw * hat).mean(1, keepdims=True)
    for found, exact in zip(many, (slope * rstd, (g * hat).sum(0), g.sum(0)), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-3)
    rms, rrms = KERNELS["native_rms_norm"](x, weight, normalized_ndim=1, eps=1e-5)
    close(rms, x * rrms * weight, 1e-5)
    dx, dw = KERNELS["rms_norm_backward"](g, x, rrms, weight, normalized_ndim=1, needs=(True, True))
    hat = x * rrms.astype(np.float64)
    np.testing.assert_allclose(dw, (g * hat).sum(0), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(dx, (gw - hat * (gw * hat).mean(1)[:, None]) * rrms, atol=2e-4)
    _parallel.set_thread_count(1)
    for a, b in zip(many, run(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_norms_of_nothing() -> None:
    x = np.zeros((0, 4))
    out, mean, _ = KERNELS["native_layer_norm"](x, None, None, normalized_ndim=1, eps=1e-5)
    assert (out.shape, mean.shape) == ((0, 4), (0, 1))
    got = KERNELS["layer_norm_backward"](
        x, x, mean, mean, np.ones(4), normalized_ndim=1, needs=(True, True, True)
    )
    assert [part.tolist() for part in got[1:]] == [[0.0] * 4] * 2


# Losses


@given(
    st.integers(0, 6),
    st.integers(1, 4),
    st.sampled_from([(), (2,), (2, 3)]),
    st.sampled_from([-100, 0, 1]),
    st.sampled_from(["none", "mean", "sum"]),
    st.booleans(),
)
@few
def test_nll_loss_and_cross_entropy(
    batch: int, classes: int, size: tuple[int, ...], ignore: int, reduction: str, weighted: bool
) -> None:
    rng = np.random.default_rng(11)
    x = normal(rng, batch, classes, *size, scattered=True)
    target = rng.integers(0, classes, (batch, *size))
    if ignore < 0:
        target[rng.random(target.shape) < 0.3] = ignore
    weight = rng.random(classes) if weighted else None
    loss, slope, total = np.zeros(target.shape), np.zeros(x.shape), 0.0
    for at in np.ndindex(target.shape):
        c = int(target[at])
        if c == ignore:
            continue
        w = 1.0 if weight is None else weight[c]
        loss[at] = -w * x[(at[0], c, *at[1:])]
        slope[(at[0], c, *at[1:])] = -w
        total += w
    attributes = {"reduction": reduction, "ignore_index": ignore}
    divisor = np.float64(total) if reduction == "mean" else 1.0
    reduced = loss if reduction == "none" else loss.sum() / divisor
    got, total_weight = KERNELS["nll_loss"](x, target, weight, **attributes)
    close(got, reduced)
    assert total_weight == pytest.approx(0.0 if reduction == "none" else total)
    g = normal(rng, *np.shape(reduced))
    spread = g.reshape(batch, 1, *size) if reduction == "none" else g
    dx = KERNELS["nll_loss_backward"](g, target, weight, total_weight, shape=x.shape, **attributes)
    with np.errstate(all="ignore"):
        close(dx, np.where(slope == 0, 0, slope * spread / divisor))
    if size or weighted:
        return
    got, lse = KERNELS["cross_entropy"](x, target, **attributes)
    logs = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    wanted, _ = KERNELS["nll_loss"](logs, target, None, **attributes)
    close(got, wanted)
    dx = KERNELS["cross_entropy_backward"](g, x, target, lse, **attributes)
    counted = (target != ignore)[:, None]
    row = spread / divisor if np.any(counted) else 0.0
    close(dx, np.where(counted, (np.exp(logs) + slope) * row, 0))


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("wrong", [12, -1])
def test_target_out_of_bounds_is_named(name: str, wrong: int) -> None:
    target = np.array([0, wrong])
    weight = (None,) if name == "nll_loss" else ()
    with pytest.raises(IndexError, match=rf"Target {wrong} is out of bounds\."):
        KERNELS[name](np.zeros((2, 3)), target, *weight, reduction="mean", ignore_index=-100)


# Embedding


@given(st.integers(1, 6), st.integers(1, 7), st.integers(0, 120), st.booleans(), st.booleans())
@few
def test_embedding(count: int, width: int, rows: int, by_freq: bool, padded: bool) -> None:
    rng = np.random.default_rng(12)
    weight = normal(rng, count, width, scattered=True)
    indices = rng.integers(0, count, (rows, 2))
    np.testing.assert_array_equal(KERNELS["embedding"](weight, indices), weight[indices])
    g = normal(rng, rows, 2, width, scattered=True)
    padding_idx = 0 if padded else None
    got = KERNELS["embedding_backward"](
        g, indices, num_embeddings=count, padding_idx=padding_idx, scale_grad_by_freq=by_freq
    )
    wanted = np.zeros((count, width))
    for at in np.ndindex(indices.shape):
        if indices[at] != padding_idx:
            share = np.count_nonzero(indices == indices[at]) if by_freq else 1
            wanted[indices[at]] += g[at] / share
    close(got, wanted)


@pytest.mark.parametrize("wrong", [3, -1])
def test_embedding_index_out_of_range(wrong: int) -> None:
    with pytest.raises(IndexError, match="index out of range in self"):
        KERNELS["embedding"](np.zeros((3, 2)), np.array([0, wrong]))


# Attention


@given(
    st.lists(st.integers(1, 2), max_size=2).map(tuple),
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(["none", "causal", "bool", "float"]),
    st.booleans(),
)
@few
def test_attention(
    lead: tuple[int, ...], sizes: tuple[int, ...], masking: str, small_tiles: bool
) -> None:
    rng = np.random.default_rng(13)
    queries, keys, width, out_width = sizes
    q, k, v = (
        normal(rng, *lead, queries, width),
        normal(rng, *lead, keys, width),
        normal(rng, *lead, keys, out_width),
    )
    mask = None
    if masking == "bool":
        mask = rng.random((*lead, queries, keys)) < 0.6
    elif masking == "float":
        mask = normal(rng, queries, keys)
    causal = masking == "causal"

    def naive(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        scores = 0.3 * q @ k.swapaxes(-1, -2)
        if causal:
            scores = np.where(np.tri(queries, keys, dtype=bool), scores, -np.inf)
        elif mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        e = np.exp(scores)
        total = e.sum(axis=-1, keepdims=True)
        return np.divide(e, total, out=np.zeros_like(e), where=total > 0) @ v

    attributes = {"is_causal": causal, "scale": 0.3}
    with pytest.MonkeyPatch.context() as patch:
        if small_tiles:
            patch.setattr(attention, "SCORES", 12)
            patch.setattr(attention, "LEAST", 2)
        out, lse = KERNELS["scaled_dot_product_attention"](q, k, v, mask, **attributes)
        close(out, naive(q, k, v))
        g = normal(rng, *out.shape)
        got = KERNELS["attention_backward"](g, q, k, v, mask, out, lse, **attributes)
    for part, wanted in zip(got, numeric_vjp(naive, g, q, k, v), strict=True):
        close(part, wanted, 1e-5)


@pytest.mark.parametrize("masking", ["none", "causal", "bool"])
@pytest.mark.parametrize("lead", [(2, 3), (3, 1, 2), (5,)], ids=str)
def test_attention_of_heads_that_are_views(
    three_threads: None, lead: tuple[int, ...], masking: str
) -> None:
    rng = np.random.default_rng(15)
    queries, keys = 300, 270
    # (..., length, heads, width), as products lie; heads go before the length.
    lying = [normal(rng, *lead[:-1], n, lead[-1], 16) for n in (queries, keys, keys, queries)]
    views = [x.swapaxes(-2, -3) for x in lying]
    whole = [np.ascontiguousarray(x) for x in views]
    mask = rng.random((*lead, queries, keys)) < 0.6 if masking == "bool" else None
    attributes = {"is_causal": masking == "causal", "scale": 0.3}
    found = []
    for q, k, v, g in (views, whole):
        out, lse = KERNELS["scaled_dot_product_attention"](q, k, v, mask, **attributes)
        back = KERNELS["attention_backward"](g, q, k, v, mask, out, lse, **attributes)
        found.append((out, lse, *back))
    assert all(x.swapaxes(-2, -3).flags.c_contiguous for x in (found[0][0], *found[0][2:]))
    scores = 0.3 * whole[0] @ whole[1].swapaxes(-1, -2)
    if masking == "causal":
        scores = np.where(np.tri(queries, keys, dtype=bool), scores, -np.inf)
    scores = scores if mask is None else np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    close(found[0][0], weights / weights.sum(-1, keepdims=True) @ whole[2])
    for mine, theirs in zip(*found, strict=True):
        close(mine, theirs)


# Pointwise


def test_erf_and_erfc_to_the_last_digits() -> None:
    x = np.concatenate([np.linspace(-7, 7, 4001), np.linspace(7, 26, 500)])
    close(_erf.erf(x), [math.erf(v) for v in x], 1e-15)
    ratio = _erf.erfc(x) / [math.erfc(v) for v in x]
    close(ratio, np.ones(len(x)), 2e-15)
    ends = np.array([math.inf, -math.inf, math.nan, 0.0])
    close(_erf.erf(ends), [1, -1, math.nan, 0])
    close(_erf.erfc(ends), [0, 2, math.nan, 1])


def gauss(x: np.ndarray) -> np.ndarray:
    return x * np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def tanh_gauss(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: list[tuple[str, dict[str, Any], Any]] = [
    ("gelu", {"approximate": "none"}, gauss),
    ("gelu", {"approximate": "tanh"}, tanh_gauss),
    ("silu", {}, lambda x: x / (1 + np.exp(-x))),
    ("sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
]


@pytest.mark.parametrize(("dtype", "tol"), [(np.float64, 1e-14), (np.float32, 6e-7)])
@pytest.mark.parametrize(("name", "attributes", "wanted"), ACTIVATIONS)
def test_activations(
    name: str, attributes: dict[str, Any], wanted: Any, dtype: type, tol: float
) -> None:
    x = np.linspace(-9, 9, 2001).astype(dtype)
    y = KERNELS[name](x, **attributes)
    assert y.dtype == dtype
    exact = x.astype(np.float64)
    close(y, wanted(exact), tol)
    slope = (wanted(exact + 1e-6) - wanted(exact - 1e-6)) / 2e-6
    saved = y if name == "sigmoid" else x
    got = KERNELS[f"{name}_backward"](np.full_like(x, 2), saved, **attributes)
    close(got, 2 * slope, 1e-6 if dtype is np.float64 else 4e-6)


def test_activations_at_infinity_and_of_nothing() -> None:
    x = np.array([math.inf, -1e30, math.nan], np.float32)
    close(KERNELS["gelu"](x, approximate="none"), [math.inf, 0, math.nan])
    close(KERNELS["sigmoid"](x), [1, 0, math.nan])
    assert KERNELS["gelu"](np.zeros((0, 3)), approximate="none").shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_reduced_precision_rounds_once_and_keeps_statistics(dtype: type) -> None:
    x = normal(np.random.default_rng(14), 5, 8).astype(dtype)
    y = KERNELS["softmax"](x, dim=1)
    exact = KERNELS["softmax"](x.astype(np.float32), dim=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, exact.astype(dtype))
    out, mean, rstd = KERNELS["native_layer_norm"](x, None, None, normalized_ndim=1, eps=1e-5)
    assert (out.dtype, mean.dtype, rstd.dtype) == (dtype, np.float32, np.float32)


# Recurrent


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def naive_lstm(gates: np.ndarray, c: np.ndarray) -> np.ndarray:
    i, f, g, o = np.split(gates, 4, axis=1)
    cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.stack([sigmoid(o) * np.tanh(cell), cell])


def naive_gru(gi: np.ndarray, gh: np.ndarray, h: np.ndarray) -> np.ndarray:
    (ir, iz, i_new), (hr, hz, h_new) = np.split(gi, 3, axis=1), np.split(gh, 3, axis=1)
    r, z = sigmoid(ir + hr), sigmoid(iz + hz)
    return (1 - z) * np.tanh(i_new + r * h_new) + z * h


def test_lstm_pointwise() -> None:
    rng = np.random.default_rng(15)
    gates, c = normal(rng, 2, 12), normal(rng, 2, 3)
    h, cell, active = KERNELS["lstm_pointwise"](gates, c)
    close(np.stack([h, cell]), naive_lstm(gates, c))
    g = normal(rng, 2, 2, 3)
    got = KERNELS["lstm_pointwise_backward"](g[0], g[1], c, cell, active)
    for part, wanted in zip(got, numeric_vjp(naive_lstm, g, gates, c), strict=True):
        close(part, wanted, 1e-6)


def test_gru_pointwise() -> None:
    rng = np.random.default_rng(16)
    gi, gh, h = normal(rng, 2, 9), normal(rng, 2, 9), normal(rng, 2, 3)
    out, active = KERNELS["gru_pointwise"](gi, gh, h)
    close(out, naive_gru(gi, gh, h))
    g = normal(rng, 2, 3)
    got = KERNELS["gru_pointwise_backward"](g, gh, h, active)
    for part, wanted in zip(got, numeric_vjp(naive_gru, g, gi, gh, h), strict=True):
        close(part, wanted, 1e-6)


# Threads


def test_split_waits_for_every_part_before_an_error_leaves(three_threads: None) -> None:
    done = []

    def task(start: int, stop: int) -> None:
        if start == 0:
            raise ValueError("first part")
        done.append(start)

    with pytest.raises(ValueError, match="first part"):
        _parallel.split(3, 0, task)
    assert sorted(done) == [1, 2]


def test_kernels_inside_a_split_do_not_split_again(three_threads: None) -> None:
    inner = _parallel.split(3, 0, lambda a, b: _parallel.split(3, 0, lambda c, d: (c, d)))
    assert inner == [[(0, 3)]] * 3


def test_pool_geometry_matches_the_windows() -> None:
    assert pooling.pooled_size(5, 2, 2, 0, 1, False) == 2
    assert pooling.pooled_size(5, 2, 2, 0, 1, True) == 3
    assert pooling.pooled_size(3, 2, 2, 1, 1, True) == 2
    assert adaptive_pooling.KERNELS.keys() <= KERNELS.keys()
