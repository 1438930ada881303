"""LSTM layers over whole sequences: runs of rows walk through all steps side by side.

Rows of a batch do not know of each other, so a thread takes some of them through the whole
sequence.  Between its products a step is a few passes over some thousand elements each, in which
threads wait for the interpreter's lock (35 us on a virtual machine), so there must be few of them,
and little Python between: gates lie gate by gate, so that a pass takes several at once; all of
them are one hyperbolic tangent; what does not depend on the step before is computed for some steps
together; and views are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, rooms
from rushlight_cpu.kernels._sequences import rows_of, states_before, walk
from rushlight_cpu.kernels.products import mm
from rushlight_cpu.kernels.recurrent import lstm_slopes

# Rows are cut at multiples of these; a part should get twice as many.
_LEAST = 8
# In small products BLAS packs no operand, which for a few rows takes as long as the product itself.
# So weights are cut into panels of columns, and rows into some, for at most so many multiply-adds
# (16 rows, hidden 256: 49 instead of 109 us, and 46 backwards).
_SMALL, _ROWS, _WIDTHS = 2**19, (16, 8), (64, 32)
# Elements of gates that are worked on together, in some steps. Fewer of them would fit into L2, but
# threads would meet more often (64 steps of 32 rows, hidden 256: 8.0 ms with these and 13.0 ms
# backwards, 9.5 and 15 ms with an eighth).
_CHUNK = 2**19
# Where i, f, o and g are, whose order makes the sigmoids one run; and back.
_TURNED = [0, 1, 3, 2]


def _steps_together(steps: int, size: int) -> int:
    return max(1, min(steps, _CHUNK // max(1, size)))


def _chunks(steps: int, some: int, reverse: bool) -> Iterator[tuple[slice, range]]:
    """Runs of steps in the order of a walk, and the order within each."""
    for number in walk(-(-steps // some), reverse):
        start, stop = number * some, min(steps, (number + 1) * some)
        yield slice(start, stop), range(stop - 1, start - 1, -1) if reverse else range(start, stop)


def _by_gate(x: Array) -> Array:
    """(T, rows, 4 H) seen as (T, 4, rows, H)."""
    return x.reshape(*x.shape[:2], 4, x.shape[2] // 4).swapaxes(1, 2)


def _panels(weight: Array, groups: int) -> Array:
    """(groups, panels, inputs, columns) of a matrix (inputs, outputs)."""
    inner, outer = weight.shape
    wide = outer // groups
    fits = (w for w in _WIDTHS if wide % w == 0 and min(_ROWS) * inner * w <= _SMALL)
    width = next(fits, wide)
    (panels,) = rooms(weight.dtype, (groups, wide // width, inner, width))
    panels[...] = weight.reshape(inner, groups, -1, width).transpose(1, 2, 0, 3)
    made: Array = panels
    return made


class _Product:
    """Fills `out` (groups, rows, columns) with the product of rows and the matrix of panels."""

    def __init__(self, panels: Array, out: Array) -> None:
        groups, count, inner, width = panels.shape
        rows = out.shape[1]
        self.panels = panels
        most = next((r for r in _ROWS if r * inner * width <= _SMALL), max(1, rows))
        whole = rows - rows % most
        self.parts = []
        for start, stop, size in ((0, whole, most), (whole, rows, rows - whole)):
            if start < stop:
                into = out[:, start:stop].reshape(groups, -1, size, count, width)
                shape = ((stop - start) // size, 1, 1, size, inner)
                self.parts.append((slice(start, stop), shape, into.transpose(1, 0, 3, 2, 4)))

    def __call__(self, x: Array) -> None:
        for rows, shape, into in self.parts:
            np.matmul(x[rows].reshape(shape), self.panels, into)


def _split_rows(steps: int, n: int, hidden: int, task: Callable[[slice], None]) -> None:
    """Calls `task` on runs of rows, whose cuts depend on sizes alone."""
    _parallel.fixed_split(
        -(-n // _LEAST),
        steps * n * hidden * (hidden / 4 + 32.0),
        lambda start, stop: task(slice(start * _LEAST, min(n, stop * _LEAST))),
        least=2,
        enough=_parallel.BLOCKS,
    )


@reduced_precision()
def lstm_sequence(
    gates: Array, weight: Array, h: Array, c: Array, *, reverse: bool
) -> tuple[Array, Array, Array]:
    """All steps of a layer: hidden states, cell states and activated gates of each.

    `gates` (T, N, 4 H) is the input's share of the gate sums, `weight` (4 H, H) what the hidden
    state is multiplied with; `h` and `c` are the states before the first step.
    """
    (steps, n, _), hidden = gates.shape, c.shape[1]
    out, cells = (empty((steps, n, hidden), c.dtype) for _ in range(2))
    active: Array = empty(gates.shape, gates.dtype)
    if active.size == 0:
        return out, cells, active
    turned: Array = weight.reshape(4, hidden, hidden)[_TURNED]
    # A sigmoid is a half of the hyperbolic tangent of half its argument, and a half more.
    turned[:3] *= 0.5
    panels = _panels(turned.reshape(weight.shape).T, 4)

    def part(rows: slice) -> None:
        _forward(
            panels, h[rows], c[rows], _by_gate(gates[:, rows]), _by_gate(active[:, rows]),
            out[:, rows], cells[:, rows], reverse,
        )  # fmt: skip

    _split_rows(steps, n, hidden, part)
    return out, cells, active


def _forward(
    panels: Array, h: Array, c: Array,
    gates: Array, active: Array, out: Array, cells: Array, reverse: bool,
) -> None:  # fmt: skip
    """Takes some rows through all steps; gates are (T, 4, rows, H)."""
    steps, shape = len(gates), gates.shape[1:]
    long, half = _steps_together(steps, prod(shape)), np.asarray(0.5, out.dtype)
    # For each step its gates i, f, o and g, and next to g the cell state before.
    work, sums, pair = rooms(out.dtype, (long + 1, 5, *c.shape), shape, (2, *c.shape))
    views = [(x[:4], x[:3], x[:2], x[3:], x[2]) for x in work]
    states = [x[4] for x in work]
    (first, second), product = pair, _Product(panels, sums)
    cell = states[0]
    cell[...] = c
    for some, order in _chunks(steps, long, reverse):
        seen = work[len(order) - 1 :: -1] if reverse else work[: len(order)]
        for mine, theirs in enumerate(_TURNED):
            seen[:, mine] = gates[some, theirs]
        seen[:, :3] *= half
        states[0][...] = cell
        for number, t in enumerate(order):
            acts, sigmoids, i_f, g_c, o = views[number]
            cell = states[number + 1]
            product(h)
            np.add(acts, sums, acts)
            np.tanh(acts, acts)
            np.multiply(sigmoids, half, sigmoids)
            np.add(sigmoids, half, sigmoids)
            np.multiply(i_f, g_c, pair)
            np.add(first, second, cell)
            np.tanh(cell, first)
            h = np.multiply(o, first, out[t])
            cells[t] = cell
        for mine, theirs in enumerate(_TURNED):
            active[some, theirs] = seen[:, mine]


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
    dh: Array = np.zeros(h.shape, h.dtype)
    dc: Array = np.zeros(c.shape, c.dtype)
    if active.size == 0:
        return dgates, np.zeros(weight.shape, weight.dtype), dh, dc
    panels = _panels(weight, 1)

    def part(rows: slice) -> None:
        _backward(
            panels, g[:, rows], None if gc is None else gc[:, rows],
            None if ga is None else ga[:, rows], c[rows], cells[:, rows], active[:, rows],
            dgates[:, rows], dh[rows], dc[rows], reverse,
        )  # fmt: skip

    _split_rows(steps, n, hidden, part)
    before = states_before(h, out, reverse)
    return dgates, mm(rows_of(dgates).T, rows_of(before)), dh, dc


def _backward(
    panels: Array, g: Array, gc: Array | None, ga: Array | None, c: Array, cells: Array,
    active: Array, dgates: Array, dh: Array, dc: Array, reverse: bool,
) -> None:  # fmt: skip
    """Takes some rows back through all steps, which leaves the first gradients in `dh`, `dc`."""
    steps, shape = len(cells), (4, *c.shape)
    long = _steps_together(steps, prod(shape))
    acts, slopes, bends, total, room = rooms(
        cells.dtype, (long, *shape), (long, *shape), (long, *c.shape), c.shape, c.shape
    )
    views = [(x[1], y[:3], y[3], y, z) for x, y, z in zip(acts, slopes, bends, strict=True)]
    by_gate, product = _by_gate(dgates), _Product(panels, dh[None])
    for some, order in _chunks(steps, long, not reverse):
        size = len(order)
        acts[:size] = _by_gate(active[some])
        _derivatives(some, c, cells, acts[:size], slopes[:size], bends[:size], reverse)
        for t in order:
            f, inner, last, grads, bend = views[t - some.start]
            np.add(g[t], dh, total)
            if gc is not None:
                np.add(dc, gc[t], dc)
            np.multiply(total, bend, room)
            np.add(room, dc, room)
            np.multiply(inner, room, inner)
            np.multiply(last, total, last)
            np.multiply(room, f, dc)
            by_gate[t] = grads
            if ga is not None:
                dgates[t] += ga[t] * lstm_slopes(active[t])
            product(dgates[t])


def _derivatives(
    some: slice, c: Array, cells: Array, acts: Array, slopes: Array, bends: Array, reverse: bool
) -> None:
    """What does not depend on gradients, for some steps from their activated gates.

    Fills `slopes` with how i, f and g change the cell state and how o changes the hidden state,
    `bends` with how the cell state changes the hidden state.
    """
    one = np.asarray(1, acts.dtype)
    np.subtract(one, acts, out=slopes)
    slopes *= acts
    i, _, g, o = acts.swapaxes(0, 1)
    di, df, dg, do = slopes.swapaxes(0, 1)
    di *= g
    first = len(cells) - 1 if reverse else 0
    for at, t in enumerate(range(some.start, some.stop)):
        df[at] *= c if t == first else cells[t + 1 if reverse else t - 1]
    np.multiply(g, g, out=dg)
    np.subtract(one, dg, out=dg)
    dg *= i
    np.tanh(cells[some], out=bends)
    do *= bends
    bends *= bends
    np.subtract(one, bends, out=bends)
    bends *= o


KERNELS: dict[str, Kernel] = {
    "lstm_sequence": lstm_sequence,
    "lstm_sequence_backward": lstm_sequence_backward,
}
