"""LSTM, GRU and RNN layers over whole sequences; what a cell does is in recurrent.py."""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, reduced_precision
from rushlight_cpu.kernels._memory import empty
from rushlight_cpu.kernels.products import mm
from rushlight_cpu.kernels.recurrent import (
    gru_pointwise,
    gru_pointwise_backward,
    lstm_slopes,
    lstm_step,
    lstm_step_backward,
)


def _walk(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _before(h: Array, out: Array, reverse: bool) -> Array:
    """The hidden state before each step."""
    before = empty(out.shape, out.dtype)
    if not len(out):
        return before
    if reverse:
        before[:-1], before[-1] = out[1:], h
    else:
        before[1:], before[0] = out[:-1], h
    return before


def _rows(x: Array) -> Array:
    return x.reshape(len(x) * x.shape[1], x.shape[2])


# In small products BLAS packs no operand, which for a few rows takes as long as the product itself.
# So each is cut into some: at most so many rows, and so many columns that there are at most so
# many multiply-adds (32 rows, hidden 256: 0.10 instead of 0.16 ms, and 0.13 instead of 0.17 ms
# backwards). Threads would not help: between short passes they wait for the interpreter's lock.
_ROWS, _SMALL = 32, 2**19
_WIDTHS = (64, 32)


def _panels(weight: Array, rows: int) -> Array:
    """(panels, inputs, columns) of a matrix (inputs, outputs); one panel if none would do."""
    inner, outer = weight.shape
    for columns in _WIDTHS:
        least = min(rows, _ROWS // 2) * inner * columns
        if least and outer > columns and outer % columns == 0 and least <= _SMALL:
            return np.ascontiguousarray(weight.reshape(inner, -1, columns).swapaxes(0, 1))
    return np.ascontiguousarray(weight)[None]


def _times_panels(x: Array, panels: Array, out: Array) -> None:
    """Fills `out` with the product of `x` and the matrix that the panels are."""
    if len(panels) == 1:
        np.matmul(x, panels[0], out=out)
        return
    rows = max(_ROWS // 2, min(_ROWS, _SMALL // panels[0].size))
    into = out.reshape(len(x), len(panels), -1).swapaxes(0, 1)
    for at in range(0, len(x), rows):
        some = slice(at, at + rows)
        np.matmul(x[some], panels, out=into[:, some])


@reduced_precision()
def lstm_sequence(
    gates: Array, weight: Array, h: Array, c: Array, *, reverse: bool
) -> tuple[Array, Array, Array]:
    """All steps of a layer: hidden states, cell states and activated gates of each.

    `gates` (T, N, 4 H) is the input's share of the gate sums, `weight` (4 H, H) what the hidden
    state is multiplied with; `h` and `c` are the states before the first step.
    """
    steps, n, _ = gates.shape
    out, cells = (empty((steps, n, c.shape[1]), c.dtype) for _ in range(2))
    active: Array = empty(gates.shape, gates.dtype)
    panels = _panels(weight.T, n)
    with _parallel.ONE_BLAS_THREAD:
        for t in _walk(steps, reverse):
            sums = active[t]
            _times_panels(h, panels, sums)
            sums += gates[t]
            lstm_step(sums, c, out[t], cells[t], sums)
            h, c = out[t], cells[t]
    return out, cells, active


@reduced_precision()
def lstm_sequence_backward(
    g: Array,
    gc: Array | None,
    ga: Array | None,
    weight: Array,
    h: Array,
    c: Array,
    out: Array,
    cells: Array,
    active: Array,
    *,
    reverse: bool,
) -> tuple[Array, Array, Array, Array]:
    """Gradients towards the gate sums, the weight and the first states.

    `g`, `gc` and `ga` are those towards the three results of the forward.
    """
    steps, n, _ = out.shape
    dgates: Array = empty(active.shape, active.dtype)
    dh: Array = np.zeros(h.shape, h.dtype)
    dc: Array = np.zeros(c.shape, c.dtype)
    panels = _panels(weight, n)
    total, kept = (np.empty(h.shape, h.dtype) for _ in range(2))
    with _parallel.ONE_BLAS_THREAD:
        for t in _walk(steps, not reverse):
            np.add(g[t], dh, out=total)
            if gc is not None:
                dc += gc[t]
            earlier = t + 1 if reverse else t - 1
            old = cells[earlier] if 0 <= earlier < steps else c
            lstm_step_backward(total, dc, old, cells[t], active[t], dgates[t], kept)
            dc, kept = kept, dc
            if ga is not None:
                dgates[t] += ga[t] * lstm_slopes(active[t])
            _times_panels(dgates[t], panels, dh)
    return dgates, mm(_rows(dgates).T, _rows(_before(h, out, reverse))), dh, dc


@reduced_precision()
def gru_sequence(
    gates: Array, weight: Array, bias: Array, h: Array, *, reverse: bool
) -> tuple[Array, Array, Array]:
    """All steps of a layer: hidden states, activated gates, the hidden state's share of n.

    `gates` (T, N, 3 H) is the input's share of the gate sums; that of the hidden state is its
    product with `weight` (3 H, H), plus `bias`; `h` is the state before the first step.
    """
    steps, n, _ = gates.shape
    hidden = h.shape[1]
    out, shares = (np.empty((steps, n, hidden), gates.dtype) for _ in range(2))
    active: Array = np.empty(gates.shape, gates.dtype)
    for t in _walk(steps, reverse):
        share = h @ weight.T
        share += bias
        h, active[t] = gru_pointwise(gates[t], share, h)
        out[t], shares[t] = h, share[:, 2 * hidden :]
    return out, active, shares


@reduced_precision()
def gru_sequence_backward(
    g: Array,
    ga: Array | None,
    gs: Array | None,
    weight: Array,
    bias: Array,
    h: Array,
    out: Array,
    active: Array,
    shares: Array,
    *,
    reverse: bool,
) -> tuple[Array, Array, Array, Array]:
    """Gradients towards the gate sums, the weight, the bias and the first state.

    `g`, `ga` and `gs` are those towards the three results of the forward.
    """
    steps, n, hidden = out.shape
    dgates, dshares = (np.empty(active.shape, active.dtype) for _ in range(2))
    dh: Array = np.zeros_like(h)
    before = _before(h, out, reverse)
    share: Array = np.zeros((n, 3 * hidden), active.dtype)
    for t in _walk(steps, not reverse):
        share[:, 2 * hidden :] = shares[t]
        dgates[t], dshares[t], dh = gru_pointwise_backward(g[t] + dh, share, before[t], active[t])
        if ga is not None:
            r, z, new = active[t].reshape(n, 3, hidden).swapaxes(0, 1)
            dr, dz, dn = ga[t].reshape(n, 3, hidden).swapaxes(0, 1)
            dn = dn * (1 - new * new)
            dr = (dn * shares[t] + dr) * (r * (1 - r))
            dz = dz * (z * (1 - z))
            dgates[t] += np.concatenate([dr, dz, dn], 1)
            dshares[t] += np.concatenate([dr, dz, dn * r], 1)
        if gs is not None:
            dshares[t, :, 2 * hidden :] += gs[t]
        dh += dshares[t] @ weight
    rows = _rows(dshares)
    return dgates, rows.T @ _rows(before), rows.sum(0), dh


@reduced_precision()
def rnn_sequence(gates: Array, weight: Array, h: Array, *, relu: bool, reverse: bool) -> Array:
    """Hidden states at all steps of a layer; operands as those of `gru_sequence`."""
    out: Array = np.empty(gates.shape, gates.dtype)
    for t in _walk(len(out), reverse):
        np.matmul(h, weight.T, out=out[t])
        out[t] += gates[t]
        h = np.maximum(out[t], 0, out=out[t]) if relu else np.tanh(out[t], out=out[t])
    return out


@reduced_precision()
def rnn_sequence_backward(
    g: Array, weight: Array, h: Array, out: Array, *, relu: bool, reverse: bool
) -> tuple[Array, Array, Array]:
    """Gradients towards the gate sums, the weight and the first state."""
    dgates: Array = np.empty(out.shape, out.dtype)
    dh: Array = np.zeros_like(h)
    for t in _walk(len(out), not reverse):
        np.add(g[t], dh, out=dgates[t])
        if relu:
            np.copyto(dgates[t], 0, where=out[t] <= 0)
        else:
            dgates[t] *= 1 - out[t] * out[t]
        dh = dgates[t] @ weight
    return dgates, _rows(dgates).T @ _rows(_before(h, out, reverse)), dh


KERNELS: dict[str, Kernel] = {
    "lstm_sequence": lstm_sequence,
    "lstm_sequence_backward": lstm_sequence_backward,
    "gru_sequence": gru_sequence,
    "gru_sequence_backward": gru_sequence_backward,
    "rnn_sequence": rnn_sequence,
    "rnn_sequence_backward": rnn_sequence_backward,
}
