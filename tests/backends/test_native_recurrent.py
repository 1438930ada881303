"""Native recurrent cells and layers against NumPy in float64, and thread by thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

# Rows of the operands of each cell, in widths.
CELLS = {
    "lstm_pointwise": (4, 1),
    "lstm_pointwise_backward": (1, 1, 1, 1, 4),
    "gru_pointwise": (3, 3, 1),
    "gru_pointwise_backward": (1, 3, 1, 3),
}


def real(rng: Any, *shape: int) -> Any:
    return rng.uniform(-1, 1, shape).astype(np.float32)


def near(native: Any, name: str, *arrays: Any, **attributes: Any) -> tuple[Any, ...]:
    """The results, once they have been found close to those of NumPy in float64."""
    exact = [None if a is None else a.astype(np.float64) for a in arrays]
    wanted = NUMPY.find_kernel(name, rushlight.float64)(*exact, **attributes)
    got = native.find_kernel(name, rushlight.float32)(*arrays, **attributes)
    if not isinstance(got, tuple):
        got, wanted = (got,), (wanted,)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    return tuple(got)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 33), (70, 128), (2, 0)])
def test_cells(native: Any, name: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows, width = shape
    near(native, name, *(real(rng, rows, width * n) for n in CELLS[name]))
    near(native, name, *(real(rng, rows, 2 * width * n)[:, : width * n] for n in CELLS[name]))
    near(native, name, *(real(rng, rows, 2 * width * n)[:, ::2] for n in CELLS[name]))


def steps(rng: Any, layout: str, t: int, rows: int, n: int) -> Any:
    """An operand (t, rows, n) as it may lie in memory."""
    if layout == "batch first":
        return real(rng, rows, t, n).swapaxes(0, 1)
    if layout == "spread":
        return np.broadcast_to(real(rng, 1, 1, 1), (t, rows, n))
    if layout == "part":
        return real(rng, t, rows + 1, n + 2)[:, 1:, 1:-1]
    return real(rng, t, rows, n)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_lstm_layers_of_every_size_and_layout(native: Any, data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layouts = st.sampled_from(["plain", "batch first", "part", "spread"])
    t, rows = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3, 8, 9, 20]))
    n = draw(st.sampled_from([1, 3, 8, 17, 50]))
    gates = steps(rng, draw(layouts), t, rows, 4 * n)
    weight = real(rng, 4 * n, n) if draw(st.booleans()) else real(rng, n, 4 * n).T
    h, c = real(rng, rows, n), np.broadcast_to(real(rng, 1, n), (rows, n))
    reverse = draw(st.booleans())
    found = near(native, "lstm_sequence", gates, weight, h, c, reverse=reverse)
    g = [steps(rng, draw(layouts), t, rows, m) for m in (n, n, 4 * n)]
    g[1] = draw(st.sampled_from([None, g[1]]))
    g[2] = draw(st.sampled_from([None, None, g[2]]))
    near(native, "lstm_sequence_backward", *g, weight, h, c, *found, reverse=reverse)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_gru_and_rnn_layers_of_every_size_and_layout(native: Any, data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layouts = st.sampled_from(["plain", "batch first", "part", "spread"])
    t, rows = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3, 8, 9, 20]))
    n = draw(st.sampled_from([1, 3, 8, 17, 50]))
    turned, reverse = draw(st.booleans()), draw(st.booleans())
    h = np.broadcast_to(real(rng, 1, n), (rows, n))
    g = [steps(rng, draw(layouts), t, rows, m) for m in (n, 3 * n, n)]
    g[1], g[2] = (draw(st.sampled_from([None, None, x])) for x in g[1:])

    gates = steps(rng, draw(layouts), t, rows, 3 * n)
    weight = real(rng, n, 3 * n).T if turned else real(rng, 3 * n, n)
    bias = real(rng, 6 * n)[:: 2 if draw(st.booleans()) else 1][: 3 * n]
    found = near(native, "gru_sequence", gates, weight, bias, h, reverse=reverse)
    near(native, "gru_sequence_backward", *g, weight, bias, h, *found, reverse=reverse)

    gates = steps(rng, draw(layouts), t, rows, n)
    weight = (real(rng, n, n).T if turned else real(rng, n, n)) / np.float32(n)
    how = {"relu": draw(st.booleans()), "reverse": reverse}
    (out,) = near(native, "rnn_sequence", gates, weight, h, **how)
    out[np.abs(out) < 1e-5] = 0  # the same side of relu's corner in both precisions
    near(native, "rnn_sequence_backward", g[0], weight, h, out, **how)


def test_layers_keep_nan_to_its_row(native: Any) -> None:
    rng = np.random.default_rng(0)
    gates, weight, h = real(rng, 3, 5, 12), real(rng, 12, 4), real(rng, 5, 4)
    gates[1, 2, 0] = np.nan
    kernel = native.find_kernel("gru_sequence", rushlight.float32)
    out, _, _ = kernel(gates, weight, real(rng, 12), h, reverse=False)
    assert np.isnan(out[2, 2]).all()
    assert not np.isnan(np.delete(out, 2, 1)).any()
    kernel = native.find_kernel("rnn_sequence", rushlight.float32)
    for relu in (False, True):
        out = kernel(gates[..., :4], weight[:4], h, relu=relu, reverse=False)
        assert np.isnan(out[1, 2, 0])
        assert np.isnan(out[2, 2]).all()
        assert not np.isnan(np.delete(out, 2, 1)).any()


def test_a_weight_too_large_for_the_cache(native: Any) -> None:
    rng = np.random.default_rng(0)
    gates, weight = real(rng, 2, 35, 4 * 330), real(rng, 4 * 330, 330) * 0.1
    h, c, g = real(rng, 35, 330), real(rng, 35, 330), real(rng, 2, 35, 330)
    found = near(native, "lstm_sequence", gates, weight, h, c, reverse=False)
    name = "lstm_sequence_backward"
    near(native, name, g, None, None, weight, h, c, *found, reverse=False)


def test_the_number_of_threads_changes_no_bit(native: Any, threads: Any) -> None:
    rng = np.random.default_rng(0)
    gates, weight = real(rng, 4, 30, 4 * 70), real(rng, 4 * 70, 70)
    h, c, g = real(rng, 30, 70), real(rng, 30, 70), real(rng, 4, 30, 70)
    results = set()
    for count in (1, 2, 3):
        threads(count)
        forward = native.find_kernel("lstm_sequence", rushlight.float32)
        backward = native.find_kernel("lstm_sequence_backward", rushlight.float32)
        found = forward(gates, weight, h, c, reverse=False)
        found += backward(g, None, None, weight, h, c, *found, reverse=False)
        forward = native.find_kernel("gru_sequence", rushlight.float32)
        backward = native.find_kernel("gru_sequence_backward", rushlight.float32)
        operands = weight[: 3 * 70], gates[0, 0, : 3 * 70], h
        states = forward(gates[..., : 3 * 70], *operands, reverse=True)
        found += states + backward(g, None, None, *operands, *states, reverse=True)
        results.add(b"".join(part.tobytes() for part in found))
    assert len(results) == 1


def test_a_batch_first_layer_keeps_its_order_in_memory(native: Any) -> None:
    rng = np.random.default_rng(0)
    gates, weight = steps(rng, "batch first", 4, 3, 8), real(rng, 8, 2)
    h = real(rng, 3, 2)
    out, _, active = native.find_kernel("lstm_sequence", rushlight.float32)(
        gates, weight, h, h, reverse=False
    )
    assert out.swapaxes(0, 1).flags.c_contiguous
    assert active.swapaxes(0, 1).flags.c_contiguous
