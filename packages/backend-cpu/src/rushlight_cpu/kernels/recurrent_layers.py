"""GRU and RNN layers over whole sequences; what a cell does is in recurrent.py."""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels._common import Array, Kernel, reduced_precision
from rushlight_cpu.kernels._sequences import rows_of, states_before, walk
from rushlight_cpu.kernels.recurrent import gru_pointwise, gru_pointwise_backward


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
    for t in walk(steps, reverse):
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
    before = states_before(h, out, reverse)
    share: Array = np.zeros((n, 3 * hidden), active.dtype)
    for t in walk(steps, not reverse):
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
    rows = rows_of(dshares)
    return dgates, rows.T @ rows_of(before), rows.sum(0), dh


@reduced_precision()
def rnn_sequence(gates: Array, weight: Array, h: Array, *, relu: bool, reverse: bool) -> Array:
    """Hidden states at all steps of a layer; operands as those of `gru_sequence`."""
    out: Array = np.empty(gates.shape, gates.dtype)
    for t in walk(len(out), reverse):
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
    for t in walk(len(out), not reverse):
        np.add(g[t], dh, out=dgates[t])
        if relu:
            np.copyto(dgates[t], 0, where=out[t] <= 0)
        else:
            dgates[t] *= 1 - out[t] * out[t]
        dh = dgates[t] @ weight
    return dgates, rows_of(dgates).T @ rows_of(states_before(h, out, reverse)), dh


KERNELS: dict[str, Kernel] = {
    "gru_sequence": gru_sequence,
    "gru_sequence_backward": gru_sequence_backward,
    "rnn_sequence": rnn_sequence,
    "rnn_sequence_backward": rnn_sequence_backward,
}
