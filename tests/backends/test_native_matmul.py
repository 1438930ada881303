"""Native matrix products against NumPy in float64: layouts, stacks, what is added, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

TYPES = {"float32": rushlight.float32, "float64": rushlight.float64}


def lying(rng: Any, shape: tuple[int, ...], layout: str, dtype: str = "float32") -> Any:
    """An array (..., n, m) as it may lie in memory."""
    *lead, n, m = shape
    if layout == "turned":
        return rng.standard_normal((*lead, m, n)).astype(dtype).swapaxes(-1, -2)
    if layout == "part":
        return rng.standard_normal((*lead, n + 1, m + 3)).astype(dtype)[..., 1:, 2:-1]
    if layout == "steps":
        return rng.standard_normal((*lead, n, 2 * m)).astype(dtype)[..., ::2]
    if layout == "backwards":
        return rng.standard_normal((*lead, n, m)).astype(dtype)[..., ::-1, :]
    if layout == "spread":
        return np.broadcast_to(rng.standard_normal((*lead, n, 1)).astype(dtype), shape)
    if layout == "apart" and lead:  # rows of the last stack lie apart
        x = rng.standard_normal((*lead[:-1], n, lead[-1], m)).astype(dtype)
        return x.swapaxes(-3, -2)
    return rng.standard_normal(shape).astype(dtype)


layouts = st.sampled_from(["plain", "turned", "part", "steps", "backwards", "spread", "apart"])
sizes = st.sampled_from([1, 1, 2, 3, 5, 8, 9, 17, 33, 70])
dtypes = st.sampled_from(["float32", "float64"])


def near(native: Any, name: str, *arrays: Any, **attributes: Any) -> Any:
    """The result, once it has been found close to that of NumPy in float64."""
    exact = [None if a is None else a.astype(np.float64) for a in arrays]
    with np.errstate(all="ignore"):
        wanted = NUMPY.find_kernel(name, rushlight.float64)(*exact, **attributes)
        got = native.find_kernel(name, TYPES[arrays[0].dtype.name])(*arrays, **attributes)
    got = np.asarray(got)
    assert got.dtype == arrays[0].dtype
    assert got.shape == wanted.shape
    tolerance = 1e-4 if got.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    return got


@given(st.data(), dtypes)
@settings(max_examples=150, deadline=None)
def test_products_of_every_layout(native: Any, data: st.DataObject, dtype: str) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    m, n, k = draw(sizes), draw(sizes), draw(sizes)
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 3), (9,)]))
    lead_y = draw(st.sampled_from([(), lead, lead[1:], tuple(1 for _ in lead), (4, *lead)]))
    x = lying(rng, (*lead, m, k), draw(layouts), dtype)
    y = lying(rng, (*lead_y, k, n), draw(layouts), dtype)
    near(native, "matmul", x, y)
    if not lead and not lead_y:
        near(native, "mm", x, y)
    if len(lead) == 1 and lead == lead_y:
        near(native, "bmm", x, y)


@given(st.data(), dtypes)
@settings(max_examples=100, deadline=None)
def test_linear_of_every_layout(native: Any, data: st.DataObject, dtype: str) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    m, n, k = draw(sizes), draw(sizes), draw(sizes)
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    x = lying(rng, (*lead, m, k), draw(layouts), dtype)
    weight = lying(rng, (n, k), draw(layouts), dtype)
    bias = draw(st.sampled_from([None, "plain", "steps"]))
    if bias is not None:
        bias = lying(rng, (1, n), bias, dtype)[0]
    near(native, "linear", x, weight, bias)
    if not lead:
        near(native, "linear", x[0], weight, bias)
    g = lying(rng, (*lead, m, n), draw(layouts), dtype)
    near(native, "linear_weight", g, x)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (2, 1, 0, 3)])
def test_linear_gives_row_major_results_of_rows_in_any_order(
    native: Any, order: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32).transpose(order)
    weight, bias = rng.standard_normal((7, 5)).astype(np.float32), np.ones(7, np.float32)
    out = near(native, "linear", x, weight, bias)
    assert out.flags.c_contiguous
    near(native, "linear_weight", out, x)
    same = out.transpose(order).copy().transpose(order)
    near(native, "linear_weight", same, x)


@given(st.data(), dtypes)
@settings(max_examples=100, deadline=None)
def test_addmm_with_factors(native: Any, data: st.DataObject, dtype: str) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    m, n, k = draw(sizes), draw(sizes), draw(sizes)
    a, b = lying(rng, (m, k), draw(layouts), dtype), lying(rng, (k, n), draw(layouts), dtype)
    shape = draw(st.sampled_from([(m, n), (1, n), (m, 1), (1, 1)]))
    x = lying(rng, shape, draw(layouts), dtype)
    x = x[0] if shape[0] == 1 and draw(st.booleans()) else x
    factors = st.sampled_from([1, 0, 2, -0.5, True])
    attributes = {name: draw(factors) for name in ("alpha", "beta") if draw(st.booleans())}
    near(native, "addmm", x, a, b, **attributes)


def test_beta_0_ignores_what_is_not_finite(native: Any) -> None:
    a = np.ones((20, 20), np.float32)
    out = near(native, "addmm", np.full_like(a, 1.0), a, a, beta=0)
    kernel = native.find_kernel("addmm", rushlight.float32)
    assert kernel(np.full_like(a, np.nan), a, a, beta=0, alpha=1).tobytes() == out.tobytes()


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_nan_and_infinity_reach_their_row(native: Any, rows: int) -> None:
    x, y = np.ones((rows, 30), np.float32), np.ones((30, 50), np.float32)
    x[0, 3] = np.nan
    for name, operands in (("matmul", (x, y)), ("linear", (x, y.T.copy(), None))):
        out = native.find_kernel(name, rushlight.float32)(*operands)
        assert np.isnan(out[0]).all()
        assert (out[1:] == 30).all()


@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((3, 4), (4,)), ((0, 4), (4, 2)), ((3, 0), (0, 2))]
)
def test_vectors_and_empty_matrices_go_to_numpy(native: Any, shapes: Any) -> None:
    rng = np.random.default_rng(0)
    near(native, "matmul", *(rng.standard_normal(s).astype(np.float32) for s in shapes))


def test_sizes_that_do_not_fit_raise(native: Any) -> None:
    kernel = native.find_kernel("matmul", rushlight.float32)
    for x, y in (((2, 3), (4, 2)), ((2, 2, 3), (3, 3, 2))):
        with pytest.raises(ValueError, match=r"mismatch|not aligned|broadcast"):
            kernel(np.ones(x, np.float32), np.ones(y, np.float32))


LARGE = [
    ("matmul", (200, 300), (300, 260)),
    ("matmul", (1, 700), (700, 900)),
    ("matmul", (5, 700), (700, 900)),
    ("bmm", (40, 60, 50), (40, 50, 70)),
    ("bmm", (3, 160, 90), (3, 90, 170)),
    ("bmm", (9, 128, 128), (9, 128, 96)),
    ("matmul", (256, 256), (256, 256)),
    ("linear", (2, 150, 90), (300, 90), (300,)),
    ("linear", (1, 1, 900), (1100, 900), (1100,)),
    ("linear", (2, 300, 600), (250, 600), (250,)),
    ("linear_weight", (2, 600, 260), (2, 600, 90)),
    ("addmm", (300, 130), (300, 1100), (1100, 130)),
]


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_the_number_of_threads_changes_no_bit(native: Any, threads: Any, case: Any) -> None:
    name, *shapes = case
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    if name == "linear" and len(arrays) == 2:
        arrays.append(None)
    found = set()
    for count in (1, 2, 3):
        threads(count)
        found.add(near(native, name, *arrays).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("sizes", [(32, 16, 16), (37, 64, 130), (128, 144, 300), (70, 96, 128)])
def test_small_tiles_pack_strips_of_the_right_operand(
    native: Any, turned: tuple[bool, bool], sizes: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(5)
    m, n, k = sizes
    layouts = ["turned" if t else "plain" for t in turned]
    x, y = lying(rng, (9, m, k), layouts[0]), lying(rng, (9, k, n), layouts[1])
    near(native, "bmm", x, y)
    near(native, "mm", x[0], y[0])
    near(native, "addmm", rng.standard_normal((m, n)).astype(np.float32), x[1], y[1])
    y[2, 1, 3] = np.inf
    x[2, 4] = np.nan
    near(native, "bmm", x, y)


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("sizes", [(261, 203, 700), (1100, 64, 80), (33, 403, 1301)])
@pytest.mark.parametrize("part", ["plain", "part"])
def test_large_products_reach_every_border(
    native: Any, turned: tuple[bool, bool], sizes: tuple[int, int, int], part: str
) -> None:
    rng = np.random.default_rng(6)
    m, n, k = sizes
    x, y = (
        lying(rng, shape[::-1] if t else shape, part)
        for t, shape in zip(turned, ((m, k), (k, n)), strict=True)
    )
    x, y = (v.T if t else v for t, v in zip(turned, (x, y), strict=True))
    x, y = x / np.float32(16), y / np.float32(16)
    near(native, "mm", x, y)
    for start in ((m, n), (1, n)):
        near(native, "addmm", lying(rng, start, part), x, y)
    x[m - 1, k - 1] = np.nan
    out = native.find_kernel("mm", rushlight.float32)(x, y)
    assert np.isnan(out[m - 1]).all()
    assert not np.isnan(out[: m - 1]).any()
