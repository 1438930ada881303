"""Recurrent layers over whole sequences: one call for all steps, which a backend may do as one.

Sequences are (steps, rows, features), of one length; `gates` is the input's share of the gate sums
at all steps, `weight` what the hidden state is multiplied with, and `reverse` walks from the last
step to the first.
"""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export
from .elementwise import or_zeros
from .recurrent import (
    cut_gates,
    gru_backward_op,
    gru_gradients,
    gru_op,
    lstm_backward_op,
    lstm_op,
    lstm_slopes,
)

lstm_sequence_op = operator(
    "lstm_sequence(Tensor gates, Tensor weight, Tensor h, Tensor c, *, bool reverse) -> "
    "(Tensor, Tensor, Tensor)"
)
lstm_sequence_backward_op = operator(
    "lstm_sequence_backward(Tensor g, Tensor? gc, Tensor? ga, Tensor weight, Tensor h, Tensor c, "
    "Tensor out, Tensor cells, Tensor active, *, bool reverse) -> (Tensor, Tensor, Tensor, Tensor)"
)
gru_sequence_op = operator(
    "gru_sequence(Tensor gates, Tensor weight, Tensor bias, Tensor h, *, bool reverse) -> "
    "(Tensor, Tensor, Tensor)"
)
gru_sequence_backward_op = operator(
    "gru_sequence_backward(Tensor g, Tensor? ga, Tensor? gs, Tensor weight, Tensor bias, Tensor h, "
    "Tensor out, Tensor active, Tensor shares, *, bool reverse) -> "
    "(Tensor, Tensor, Tensor, Tensor)"
)
rnn_sequence_op = operator(
    "rnn_sequence(Tensor gates, Tensor weight, Tensor h, *, bool relu, bool reverse) -> Tensor"
)
rnn_sequence_backward_op = operator(
    "rnn_sequence_backward(Tensor g, Tensor weight, Tensor h, Tensor out, *, bool relu, "
    "bool reverse) -> (Tensor, Tensor, Tensor)"
)


def _walk(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def _stacked(steps: list[Any], turn: bool) -> Any:
    """Results of all steps, turned if they were found from the last to the first."""
    found = zip(*(steps[::-1] if turn else steps), strict=True)
    return tuple(operators["stack"](*parts, dim=0) for parts in found)


def _join_rows(parts: list[Tensor]) -> Tensor:
    return operators["cat"](*parts, dim=0)  # type: ignore[no-any-return]


def _weight_gradient(sums: list[Tensor], states: list[Tensor]) -> Tensor:
    """The gradient of the weight from those of the sums that it had a share in."""
    return _join_rows(sums).transpose(0, 1).matmul(_join_rows(states))


# -- LSTM: gates i, f, g, o ------------------------------------------------------------------


@lstm_sequence_op.meta
def _(
    gates: Tensor, weight: Tensor, h: Tensor, c: Tensor, *, reverse: bool
) -> tuple[Spec, Spec, Spec]:
    states = Spec((*gates.shape[:-1], c.shape[-1]), gates.dtype)
    return states, states, Spec(gates.shape, gates.dtype)


@lstm_sequence_op.decomposition
def _(
    gates: Tensor, weight: Tensor, h: Tensor, c: Tensor, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    found = []
    for t in _walk(gates.shape[0], reverse):
        h, c, active = lstm_op(gates[t] + h.matmul(weight.transpose(0, 1)), c)
        found.append((h, c, active))
    return _stacked(found, reverse)  # type: ignore[no-any-return]


@lstm_sequence_backward_op.meta
def _(
    g: Tensor, gc: Any, ga: Any, weight: Tensor, h: Tensor, c: Tensor, out: Tensor, cells: Tensor,
    active: Tensor, *, reverse: bool,
) -> tuple[Spec, ...]:  # fmt: skip
    return tuple(Spec(x.shape, x.dtype) for x in (active, weight, h, c))


@lstm_sequence_backward_op.decomposition
def _(
    g: Tensor, gc: Any, ga: Any, weight: Tensor, h: Tensor, c: Tensor, out: Tensor, cells: Tensor,
    active: Tensor, *, reverse: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    before = 1 if reverse else -1
    dh, dc = h.new_zeros(h.shape), c.new_zeros(c.shape)
    found, states = [], []
    for t in (order := _walk(active.shape[0], not reverse)):
        past, cell = (h, c) if t == order[-1] else (out[t + before], cells[t + before])
        gates, dc = lstm_backward_op(
            g[t] + dh, dc if gc is None else dc + gc[t], cell, cells[t], active[t]
        )
        if ga is not None:
            gates = gates + ga[t] * lstm_slopes(active[t])
        dh = gates.matmul(weight)
        found.append((gates,))
        states.append(past)
    dweight = _weight_gradient([gates for (gates,) in found], states)
    return *_stacked(found, not reverse), dweight, dh, dc


@lstm_sequence_op.vjp
def _(
    g: Any, *, weight: Tensor, h: Tensor, c: Tensor, out0: Tensor, out1: Tensor, out2: Tensor,
    reverse: bool,
) -> Any:  # fmt: skip
    return lstm_sequence_backward_op(
        or_zeros(g[0], out0), g[1], g[2], weight, h, c, out0, out1, out2, reverse=reverse
    )


# -- GRU: gates r, z, n; the hidden state's share of n is scaled by r, its bias included --------


@gru_sequence_op.meta
def _(
    gates: Tensor, weight: Tensor, bias: Tensor, h: Tensor, *, reverse: bool
) -> tuple[Spec, Spec, Spec]:
    states = Spec((*gates.shape[:-1], h.shape[-1]), gates.dtype)
    return states, Spec(gates.shape, gates.dtype), states


@gru_sequence_op.decomposition
def _(
    gates: Tensor, weight: Tensor, bias: Tensor, h: Tensor, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    found = []
    for t in _walk(gates.shape[0], reverse):
        shares = h.matmul(weight.transpose(0, 1)) + bias
        h, active = gru_op(gates[t], shares, h)
        found.append((h, active, cut_gates(shares, 3)[2]))
    return _stacked(found, reverse)  # type: ignore[no-any-return]


@gru_sequence_backward_op.meta
def _(
    g: Tensor, ga: Any, gs: Any, weight: Tensor, bias: Tensor, h: Tensor, out: Tensor,
    active: Tensor, shares: Tensor, *, reverse: bool,
) -> tuple[Spec, ...]:  # fmt: skip
    return tuple(Spec(x.shape, x.dtype) for x in (active, weight, bias, h))


@gru_sequence_backward_op.decomposition
def _(
    g: Tensor, ga: Any, gs: Any, weight: Tensor, bias: Tensor, h: Tensor, out: Tensor,
    active: Tensor, shares: Tensor, *, reverse: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    before = 1 if reverse else -1
    dh = h.new_zeros(h.shape)
    found, hidden, states = [], [], []
    for t in (order := _walk(active.shape[0], not reverse)):
        past = h if t == order[-1] else out[t + before]
        # Of the hidden state's shares, the backward reads that of n alone.
        share = operators["cat"](active[t].narrow(-1, 0, 2 * h.shape[-1]), shares[t], dim=1)
        dgates, dshares, direct = gru_backward_op(g[t] + dh, share, past, active[t])
        if ga is not None:
            dr, dz, dn = cut_gates(ga[t], 3)
            r, z, new = cut_gates(active[t], 3)
            more = gru_gradients(dz, dn, share, r, z, new, dr)
            dgates, dshares = dgates + more[0], dshares + more[1]
        if gs is not None:
            dr, dz, dn = cut_gates(dshares, 3)
            dshares = operators["cat"](dr, dz, dn + gs[t], dim=1)
        dh = direct + dshares.matmul(weight)
        found.append((dgates,))
        hidden.append(dshares)
        states.append(past)
    dbias = _join_rows(hidden).sum(0)
    return *_stacked(found, not reverse), _weight_gradient(hidden, states), dbias, dh


@gru_sequence_op.vjp
def _(
    g: Any, *, weight: Tensor, bias: Tensor, h: Tensor, out0: Tensor, out1: Tensor, out2: Tensor,
    reverse: bool,
) -> Any:  # fmt: skip
    return gru_sequence_backward_op(
        or_zeros(g[0], out0), g[1], g[2], weight, bias, h, out0, out1, out2, reverse=reverse
    )


# -- RNN: the hyperbolic tangent of one sum, or what is positive of it --------------------------


@rnn_sequence_op.meta
def _(gates: Tensor, weight: Tensor, h: Tensor, *, relu: bool, reverse: bool) -> Spec:
    return Spec(gates.shape, gates.dtype)


@rnn_sequence_op.decomposition
def _(gates: Tensor, weight: Tensor, h: Tensor, *, relu: bool, reverse: bool) -> Tensor:
    found = []
    for t in _walk(gates.shape[0], reverse):
        sums = gates[t] + h.matmul(weight.transpose(0, 1))
        h = sums.relu() if relu else sums.tanh()
        found.append((h,))
    (out,) = _stacked(found, reverse)
    return out  # type: ignore[no-any-return]


@rnn_sequence_backward_op.meta
def _(
    g: Tensor, weight: Tensor, h: Tensor, out: Tensor, *, relu: bool, reverse: bool
) -> tuple[Spec, ...]:
    return tuple(Spec(x.shape, x.dtype) for x in (out, weight, h))


@rnn_sequence_backward_op.decomposition
def _(
    g: Tensor, weight: Tensor, h: Tensor, out: Tensor, *, relu: bool, reverse: bool
) -> tuple[Tensor, ...]:
    before = 1 if reverse else -1
    dh = h.new_zeros(h.shape)
    found, states = [], []
    for t in (order := _walk(out.shape[0], not reverse)):
        sums = g[t] + dh
        sums = sums.masked_fill(out[t] <= 0, 0) if relu else sums * (1 - out[t] * out[t])
        dh = sums.matmul(weight)
        found.append((sums,))
        states.append(h if t == order[-1] else out[t + before])
    dweight = _weight_gradient([sums for (sums,) in found], states)
    return *_stacked(found, not reverse), dweight, dh


@rnn_sequence_op.vjp
def _(g: Any, *, weight: Tensor, h: Tensor, out: Tensor, relu: bool, reverse: bool) -> Any:
    return rnn_sequence_backward_op(g, weight, h, out, relu=relu, reverse=reverse)


for _op in (lstm_sequence_op, gru_sequence_op, rnn_sequence_op):
    export(_op.name, _op, "ops")
