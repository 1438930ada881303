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
    h, cell = empty(c.shape, gates.dtype), empty(c.shape, gates.dtype)
    active = empty(gates.shape, gates.dtype)
    hidden = c.shape[1]
    middle = slice(2 * hidden, 3 * hidden)
    np.tanh(gates[:, middle], out=h)
    # Of all gates at once, g's in vain: passes over whole rows are faster than two over parts.
    _sigmoid(gates, active)
    active[:, middle] = h
    i, f, g, o = active.reshape(len(active), 4, hidden).swapaxes(0, 1)
    np.multiply(f, c, out=cell)
    np.multiply(i, g, out=h)
    cell += h
    np.tanh(cell, out=h)
    h *= o
    return h, cell, active


@reduced_precision()
def lstm_pointwise_backward(
    gh: Array, gc: Array, c: Array, cell: Array, active: Array
) -> tuple[Array, Array]:
    """Gradients towards the gate sums and the old cell state `c`; `cell` is the new one."""
    dgates, t = empty(active.shape, active.dtype), empty(c.shape, active.dtype)
    n, hidden = c.shape
    i, f, g, o = active.reshape(n, 4, hidden).swapaxes(0, 1)
    di, df, dg, do = dgates.reshape(n, 4, hidden).swapaxes(0, 1)
    np.tanh(cell, out=t)
    np.multiply(gh, t, out=do)
    _times_sigmoid_slope(o, do)
    np.multiply(t, t, out=t)
    np.subtract(1, t, out=t)
    t *= o
    t *= gh
    t += gc
    np.multiply(t, g, out=di)
    np.multiply(t, c, out=df)
    # i and f lie together.
    _times_sigmoid_slope(active[:, : 2 * hidden], dgates[:, : 2 * hidden])
    np.multiply(g, g, out=dg)
    np.subtract(1, dg, out=dg)
    dg *= i
    dg *= t
    t *= f
    return dgates, t


def lstm_slopes(active: Array) -> Array:
    """What the activated gates change by when their sums do."""
    n, wide = active.shape
    a = active.reshape(n, 4, wide // 4)
    slopes: Array = a * (1 - a)
    slopes[:, 2] = 1 - a[:, 2] * a[:, 2]
    return slopes.reshape(n, wide)


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
    "gru_pointwise": gru_pointwise,
    "gru_pointwise_backward": gru_pointwise_backward,
}
