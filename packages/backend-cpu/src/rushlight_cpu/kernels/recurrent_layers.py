"""GRU and RNN layers over whole sequences (LSTM's stand beside their cell, in recurrent.py)."""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels._common import Array, Kernel, reduced_precision

from .recurrent import gru_pointwise, gru_pointwise_backward


def _before(h: Array, out: Array, reverse: bool) -> Array:
    """The hidden state before each step."""
    if not len(out):
        return out
    return np.concatenate([out[1:], h[None]] if reverse else [h[None], out[:-1]])


def _rows(x: Array) -> Array:
    return x.reshape(len(x) * x.shape[1], x.shape[2])


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
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
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
    for t in range(steps) if reverse else range(steps - 1, -1, -1):
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
    for t in range(len(out) - 1, -1, -1) if reverse else range(len(out)):
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
    for t in range(len(out)) if reverse else range(len(out) - 1, -1, -1):
        np.add(g[t], dh, out=dgates[t])
        if relu:
            np.copyto(dgates[t], 0, where=out[t] <= 0)
        else:
            dgates[t] *= 1 - out[t] * out[t]
        dh = dgates[t] @ weight
    return dgates, _rows(dgates).T @ _rows(_before(h, out, reverse)), dh


KERNELS: dict[str, Kernel] = {
    "gru_sequence": gru_sequence,
    "gru_sequence_backward": gru_sequence_backward,
    "rnn_sequence": rnn_sequence,
    "rnn_sequence_backward": rnn_sequence_backward,
}
