"""Recurrent layers: the steps of a sequence, and all of a step but its matrix products."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export
from .elementwise import or_zeros

lstm_op = operator("lstm_pointwise(Tensor gates, Tensor c) -> (Tensor, Tensor, Tensor)")
lstm_backward_op = operator(
    "lstm_pointwise_backward(Tensor gh, Tensor gc, Tensor c, Tensor cell, Tensor active) -> "
    "(Tensor, Tensor)"
)
gru_op = operator("gru_pointwise(Tensor gi, Tensor gh, Tensor h) -> (Tensor, Tensor)")
gru_backward_op = operator(
    "gru_pointwise_backward(Tensor g, Tensor gh, Tensor h, Tensor active) -> "
    "(Tensor, Tensor, Tensor)"
)
steps_op = operator("recurrent_steps(Tensor x, *, int[] sizes) -> Tensor[]")


def cut_gates(x: Tensor, count: int) -> list[Tensor]:
    """The gates side by side in the last dimension."""
    width = x.shape[-1] // count
    return [x.narrow(-1, place * width, width) for place in range(count)]


def _join(parts: list[Tensor]) -> Tensor:
    return operators["cat"](*parts, dim=parts[0].ndim - 1)  # type: ignore[no-any-return]


# -- LSTM: gates i, f, g, o ------------------------------------------------------------------


@lstm_op.meta
def _(gates: Tensor, c: Tensor) -> tuple[Spec, Spec, Spec]:
    return Spec(c.shape, c.dtype), Spec(c.shape, c.dtype), Spec(gates.shape, gates.dtype)


@lstm_op.decomposition
def _(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    i, f, g, o = cut_gates(gates, 4)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell = f * c + i * g
    return o * cell.tanh(), cell, _join([i, f, g, o])


@lstm_backward_op.meta
def _(gh: Tensor, gc: Tensor, c: Tensor, cell: Tensor, active: Tensor) -> tuple[Spec, Spec]:
    return Spec(active.shape, active.dtype), Spec(c.shape, c.dtype)


@lstm_backward_op.decomposition
def _(gh: Tensor, gc: Tensor, c: Tensor, cell: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = cut_gates(active, 4)
    t = cell.tanh()
    d = gc + gh * o * (1 - t * t)
    parts = [d * g * i * (1 - i), d * c * f * (1 - f), d * i * (1 - g * g), gh * t * o * (1 - o)]
    return _join(parts), d * f


@lstm_op.vjp
def _(g: Any, *, c: Tensor, out1: Tensor, out2: Tensor) -> Any:
    dgates, dc = lstm_backward_op(or_zeros(g[0], c), or_zeros(g[1], c), c, out1, out2)
    if g[2] is not None:
        dgates = dgates + g[2] * lstm_slopes(out2)
    return dgates, dc


def lstm_slopes(active: Tensor) -> Tensor:
    """Derivatives of the activated gates, for the gates as results of their own."""
    i, f, new, o = cut_gates(active, 4)
    return _join([i * (1 - i), f * (1 - f), 1 - new * new, o * (1 - o)])


# -- GRU: gates r, z, n ----------------------------------------------------------------------


@gru_op.meta
def _(gi: Tensor, gh: Tensor, h: Tensor) -> tuple[Spec, Spec]:
    return Spec(h.shape, h.dtype), Spec(gi.shape, gi.dtype)


@gru_op.decomposition
def _(gi: Tensor, gh: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    (ir, iz, in_), (hr, hz, hn) = cut_gates(gi, 3), cut_gates(gh, 3)
    r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
    new = (in_ + r * hn).tanh()
    return new + z * (h - new), _join([r, z, new])


@gru_backward_op.meta
def _(g: Tensor, gh: Tensor, h: Tensor, active: Tensor) -> tuple[Spec, Spec, Spec]:
    return (
        Spec(active.shape, active.dtype),
        Spec(active.shape, active.dtype),
        Spec(h.shape, h.dtype),
    )


@gru_backward_op.decomposition
def _(g: Tensor, gh: Tensor, h: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r, z, new = cut_gates(active, 3)
    return gru_gradients(g * (h - new), g * (1 - z), gh, r, z, new, 0) + (g * z,)


def gru_gradients(
    dz: Tensor, dn: Tensor, gh: Tensor, r: Tensor, z: Tensor, new: Tensor, dr: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of both gate sums from those of the activated gates."""
    dn = dn * (1 - new * new)
    dr = (dn * cut_gates(gh, 3)[2] + dr) * (r * (1 - r))
    dz = dz * (z * (1 - z))
    return _join([dr, dz, dn]), _join([dr, dz, dn * r])


@gru_op.vjp
def _(g: Any, *, gh: Tensor, h: Tensor, out1: Tensor) -> Any:
    dgi, dgh, dh = gru_backward_op(or_zeros(g[0], h), gh, h, out1)
    if g[1] is not None:
        dr, dz, dn = cut_gates(g[1], 3)
        r, z, new = cut_gates(out1, 3)
        more = gru_gradients(dz, dn, gh, r, z, new, dr)
        dgi, dgh = dgi + more[0], dgh + more[1]
    return dgi, dgh, dh


# -- steps -----------------------------------------------------------------------------------


@steps_op.meta
def _(x: Tensor, *, sizes: tuple[int, ...]) -> tuple[Spec, ...]:
    return tuple(Spec((size, *x.shape[1:]), x.dtype) for size in sizes)


@steps_op.decomposition
def _(x: Tensor, *, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(part.clone() for part in x.split(sizes))


@steps_op.vjp
def _(g: Any, *, x: Tensor, sizes: tuple[int, ...]) -> Any:
    # Gradients of views would be padded to the whole sequence, each, and summed: work that grows
    # with the square of its length.
    parts = [
        x.new_zeros((size, *x.shape[1:])) if part is None else part
        for part, size in zip(g, sizes, strict=True)
    ]
    return (operators["cat"](*parts, dim=0),)


for _op in (lstm_op, gru_op, steps_op):
    export(_op.name, _op, "ops")
