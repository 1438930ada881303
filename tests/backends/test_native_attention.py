"""Native attention against the NumPy tier in float64: layouts, masks, blind queries, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

FORWARD, BACKWARD = "scaled_dot_product_attention", "attention_backward"


def doubles(*arrays: Any) -> list[Any]:
    return [a if a is None or a.dtype == np.bool_ else a.astype(np.float64) for a in arrays]


def compare(native: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> None:
    """Both directions of float32 against float64 on NumPy."""
    settings = {"is_causal": causal, "scale": q.shape[-1] ** -0.5}
    rng = np.random.default_rng(5)
    g = rng.standard_normal((*q.shape[:-1], v.shape[-1])).astype(np.float32)
    forward = native.find_kernel(FORWARD, rushlight.float32)
    backward = native.find_kernel(BACKWARD, rushlight.float32)
    out, lse = forward(q, k, v, mask, **settings)
    plain = NUMPY.find_kernel(FORWARD, rushlight.float64)
    wanted_out, wanted_lse = plain(*doubles(q, k, v, mask), **settings)
    assert out.dtype == lse.dtype == np.float32
    assert out.shape == wanted_out.shape
    np.testing.assert_allclose(out, wanted_out, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lse, wanted_lse, rtol=1e-5, atol=1e-5)
    plain = NUMPY.find_kernel(BACKWARD, rushlight.float64)
    wanted = plain(*doubles(g, q, k, v, mask), wanted_out, wanted_lse, **settings)
    for got, each in zip(backward(g, q, k, v, mask, out, lse, **settings), wanted, strict=True):
        assert got.shape == each.shape
        np.testing.assert_allclose(got, each, rtol=2e-5, atol=2e-5)


def rows(rng: Any, lead: tuple[int, ...], n: int, m: int, layout: str) -> Any:
    """An operand (*lead, n, m) as it may lie in memory."""
    if layout == "heads inside" and lead:  # (..., n, heads, m) seen as (..., heads, n, m)
        x = rng.standard_normal((*lead[:-1], n, lead[-1], m)).astype(np.float32)
        return x.swapaxes(-3, -2)
    if layout == "columns":
        return rng.standard_normal((*lead, m, n)).astype(np.float32).swapaxes(-1, -2)
    if layout == "steps":
        return rng.standard_normal((*lead, 2 * n, m + 3)).astype(np.float32)[..., ::2, 1 : m + 1]
    if layout == "expanded" and lead:
        x = rng.standard_normal((*lead[:-1], 1, n, m)).astype(np.float32)
        return np.broadcast_to(x, (*lead, n, m))
    return rng.standard_normal((*lead, n, m)).astype(np.float32)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_attention_of_every_size_layout_and_mask(
    native: Any,
    data: st.DataObject,
) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 3), (17,)]))
    queries, keys = (draw(st.sampled_from([1, 2, 7, 16, 49, 100])) for _ in range(2))
    depth, width = (draw(st.sampled_from([1, 3, 8, 16, 17, 40])) for _ in range(2))
    layouts = st.sampled_from(["plain", "heads inside", "columns", "steps", "expanded"])
    q = rows(rng, lead, queries, depth, draw(layouts))
    k = rows(rng, lead, keys, depth, draw(layouts))
    v = rows(rng, lead, keys, width, draw(layouts))
    mask = None
    kind = draw(st.sampled_from(["none", "bool", "float"]))
    if kind != "none":
        whole = (*lead, queries, keys)
        shape = tuple(draw(st.sampled_from([n, n, 1])) for n in whole)
        shape = shape[draw(st.integers(0, len(shape))) :]
        seen = rng.random(shape) > 0.3
        mask = seen
        if kind == "float":
            mask = np.where(seen, rng.standard_normal(shape), -np.inf).astype(np.float32)
    compare(native, q, k, v, mask, draw(st.booleans()))


@pytest.mark.parametrize("causal", [True, False])
def test_keys_of_several_blocks_with_ever_larger_scores(native: Any, causal: bool) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, n, 16)).astype(np.float32) for n in (70, 600, 600))
    k *= np.linspace(0.1, 8, 600, dtype=np.float32)[:, None]
    compare(native, q, k, v, None, causal)


@pytest.mark.parametrize("queries", [1, 60])
def test_a_query_that_sees_no_key_gives_zeros_and_no_gradient(native: Any, queries: int) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, n, 8)).astype(np.float32) for n in (queries, 300, 300))
    mask = np.zeros((queries, 300), np.bool_)
    compare(native, q, k, v, mask, False)
    compare(native, q, k, v, np.where(mask, 0, -np.inf).astype(np.float32), True)
    settings = {"is_causal": False, "scale": 1.0}
    out, lse = native.find_kernel(FORWARD, rushlight.float32)(q, k, v, mask, **settings)
    assert not out.any()
    assert (lse == -np.inf).all()


@pytest.mark.parametrize("queries", [1, 60])
def test_nan_reaches_its_own_query_only(native: Any, queries: int) -> None:
    q, k, v = (np.ones((1, n, 8), np.float32) for n in (queries, 20, 20))
    q[0, 0, 3] = np.nan
    settings = {"is_causal": False, "scale": 1.0}
    out, lse = native.find_kernel(FORWARD, rushlight.float32)(q, k, v, None, **settings)
    assert np.isnan(out[0, 0]).all()
    assert np.isnan(lse[0, 0])
    np.testing.assert_allclose(out[0, 1:], 1, rtol=1e-6)


@pytest.mark.parametrize("lead", [(3,), (2, 20)])
def test_the_number_of_threads_changes_no_bit(native: Any, threads: Any, lead: Any) -> None:
    rng = np.random.default_rng(0)
    q, k, v, g = (rng.standard_normal((*lead, 300, 32)).astype(np.float32) for _ in range(4))
    settings = {"is_causal": True, "scale": 0.2}
    found = []
    for count in (1, 2, 3):
        threads(count)
        out, lse = native.find_kernel(FORWARD, rushlight.float32)(q, k, v, None, **settings)
        backward = native.find_kernel(BACKWARD, rushlight.float32)
        found.append((out, lse, *backward(g, q, k, v, None, out, lse, **settings)))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert one.tobytes() == two.tobytes()


def test_the_result_lies_in_memory_like_the_queries(native: Any) -> None:
    rng = np.random.default_rng(0)
    x = rows(rng, (2, 4), 60, 8, "heads inside")
    out, _ = native.find_kernel(FORWARD, rushlight.float32)(
        x, x, x, None, is_causal=True, scale=1.0
    )
    assert out.swapaxes(-3, -2).flags.c_contiguous


def test_float64_and_empty_operands_go_to_numpy(native: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 4))
    settings = {"is_causal": False, "scale": 0.5}
    out, _ = native.find_kernel(FORWARD, rushlight.float64)(x, x, x, None, **settings)
    wanted, _ = NUMPY.find_kernel(FORWARD, rushlight.float64)(x, x, x, None, **settings)
    np.testing.assert_array_equal(out, wanted)
    none = np.zeros((2, 0, 4), np.float32)
    out, lse = native.find_kernel(FORWARD, rushlight.float32)(
        x.astype(np.float32), none, none, None, **settings
    )
    assert not out.any()
    assert (lse == -np.inf).all()
