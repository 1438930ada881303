"""What an LSTM or GRU cell does after its matrix products, and the gradients of that."""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels._common import Array, Kernel, reduced_precision
from rushlight_cpu.kernels._memory import empty


def _sigmoid(x: Array, out: Array) -> None:
    # Not np.negative, which NumPy gets wrong here (see the core's arrays/_strided_out.py).
    np.multiply(x, -1, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def _times_sigmoid_slope(s: Array, out: Array) -> None:
    """out *= s * (1 - s)."""
    out *= s
    out *= 1 - s


@reduced_precision()
def lstm_pointwise(gates: Array, c: Array) -> tuple[Array, Array, Array]:
    """New hidden and cell state from gate sums (N, 4 H), in the order i, f, g, o.

    The third result, the activated gates, is for the backward.
    """
    n, hidden = c.shape
    active: Array = empty(gates.shape, gates.dtype)
    # i and f lie together, so one pass of exp does both.
    _sigmoid(gates[:, : 2 * hidden], active[:, : 2 * hidden])
    np.tanh(gates[:, 2 * hidden : 3 * hidden], out=active[:, 2 * hidden : 3 * hidden])
    _sigmoid(gates[:, 3 * hidden :], active[:, 3 * hidden :])
    i, f, g, o = active.reshape(n, 4, hidden).swapaxes(0, 1)
    cell: Array = f * c
    h: Array = i * g
    cell += h
    np.tanh(cell, out=h)
    h *= o
    return h, cell, active


@reduced_precision()
def lstm_pointwise_backward(
    gh: Array, gc: Array, c: Array, cell: Array, active: Array
) -> tuple[Array, Array]:
    """Gradients towards the gate sums and the old cell state `c`; `cell` is the new one."""
    n, hidden = c.shape
    i, f, g, o = active.reshape(n, 4, hidden).swapaxes(0, 1)
    dgates: Array = empty(active.shape, active.dtype)
    di, df, dg, do = dgates.reshape(n, 4, hidden).swapaxes(0, 1)
    t = np.tanh(cell)
    np.multiply(gh, t, out=do)
    _times_sigmoid_slope(o, do)
    np.multiply(t, t, out=t)
    np.subtract(1, t, out=t)
    t *= o
    t *= gh
    t += gc
    np.multiply(t, g, out=di)
    _times_sigmoid_slope(i, di)
    np.multiply(t, c, out=df)
    _times_sigmoid_slope(f, df)
    np.multiply(g, g, out=dg)
    np.subtract(1, dg, out=dg)
    dg *= i
    dg *= t
    t *= f
    return dgates, t


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
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        h, c, active[t] = lstm_pointwise(gates[t] + h @ weight.T, c)
        out[t], cells[t] = h, c
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
    steps, n, hidden = out.shape
    dgates: Array = empty(active.shape, active.dtype)
    dh: Array = np.zeros_like(h)
    dc: Array = np.zeros_like(c)
    before = (
        (np.concatenate([out[1:], h[None]]), np.concatenate([cells[1:], c[None]]))
        if reverse
        else (np.concatenate([h[None], out[:-1]]), np.concatenate([c[None], cells[:-1]]))
    )
    for t in range(steps) if reverse else range(steps - 1, -1, -1):
        if gc is not None:
            dc = dc + gc[t]
        dgates[t], dc = lstm_pointwise_backward(g[t] + dh, dc, before[1][t], cells[t], active[t])
        if ga is not None:
            a = active[t].reshape(n, 4, hidden)
            slopes = a * (1 - a)
            slopes[:, 2] = 1 - a[:, 2] * a[:, 2]
            dgates[t] += ga[t] * slopes.reshape(n, -1)
        dh = dgates[t] @ weight
    dweight = dgates.reshape(steps * n, -1).T @ before[0].reshape(steps * n, -1)
    return dgates, dweight, dh, dc


@reduced_precision()
def gru_pointwise(gi: Array, gh: Array, h: Array) -> tuple[Array, Array]:
    """New hidden state from the input's and the state's gate sums (N, 3 H), in the order r, z, n.

    The second result, (N, 3 H) of activated gates, is for the backward.
    """
    n, hidden = h.shape
    active: Array = empty(gi.shape, gi.dtype)
    both = active[:, : 2 * hidden]
    np.add(gi[:, : 2 * hidden], gh[:, : 2 * hidden], out=both)
    _sigmoid(both, both)
    r, z, new = active.reshape(n, 3, hidden).swapaxes(0, 1)
    np.multiply(r, gh[:, 2 * hidden :], out=new)
    new += gi[:, 2 * hidden :]
    np.tanh(new, out=new)
    out: Array = h - new
    out *= z
    out += new
    return out, active


@reduced_precision()
def gru_pointwise_backward(
    g: Array, gh: Array, h: Array, active: Array
) -> tuple[Array, Array, Array]:
    """Gradients towards both gate sums and the old hidden state `h`."""
    n, hidden = h.shape
    r, z, new = active.reshape(n, 3, hidden).swapaxes(0, 1)
    dgi: Array = empty(active.shape, active.dtype)
    dgh: Array = empty(active.shape, active.dtype)
    dr, dz, dn = dgi.reshape(n, 3, hidden).swapaxes(0, 1)
    dh: Array = g * z
    np.subtract(h, new, out=dz)
    dz *= g
    _times_sigmoid_slope(z, dz)
    np.subtract(g, dh, out=dn)
    dn *= 1 - new * new
    np.multiply(dn, gh[:, 2 * hidden :], out=dr)
    _times_sigmoid_slope(r, dr)
    dgh[:, : 2 * hidden] = dgi[:, : 2 * hidden]
    np.multiply(dn, r, out=dgh[:, 2 * hidden :])
    return dgi, dgh, dh


KERNELS: dict[str, Kernel] = {
    "lstm_pointwise": lstm_pointwise,
    "lstm_pointwise_backward": lstm_pointwise_backward,
    "lstm_sequence": lstm_sequence,
    "lstm_sequence_backward": lstm_sequence_backward,
    "gru_pointwise": gru_pointwise,
    "gru_pointwise_backward": gru_pointwise_backward,
}
