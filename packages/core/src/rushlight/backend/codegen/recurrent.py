"""Recurrent layers on a device: a step is one matrix product and one kernel.

What a cell does after its products is one kernel, and so are the gradients of that. An LSTM's
sequence keeps its weight packed from step to step, and every step writes into its place of the
results. Gates lie side by side in the last dimension: i, f, g, o of an LSTM, r, z, n of a GRU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .matmul import Matrix, Problem, Products
from .printing import loaded, memory_type, program, stored
from .registry import Family, Kernel
from .rowwise import dense

recurrent = Family()
FLOATS = "floating reduced"


class Cells:
    """The kernels of cells of one dtype on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self._launches: dict[str, Any] | None = None

    def launch(
        self, name: str, rows: int, n: int, results: Sequence[Any], operands: Sequence[Any]
    ) -> None:
        """Launches a kernel over rows of `n` units; arrays are dense, or (array, offset beyond
        its own), or None where an operand is left out."""
        if not rows * n:
            return
        if self._launches is None:
            self._launches = self._compiled()
        arguments: list[Any] = []
        for x in (*results, *operands):
            array, at = x if isinstance(x, tuple) else (x, 0)
            if array is None:
                first = results[0][0] if isinstance(results[0], tuple) else results[0]
                arguments += [first.buffer, -1]
            else:
                arguments += [array.settled().buffer, array.offset + at]
        self._launches[name]((n, rows), None, *arguments, rows, n)

    def _compiled(self) -> dict[str, Any]:
        texts, signatures = [], {}
        for name, (results, operands, body) in _texts(self.dtype).items():
            d, kind = self.device.dialect, memory_type(self.dtype)
            names = [*results, *operands]
            arguments = ", ".join(
                f"{'' if x in results else 'const '}{d.device} {kind}* {x}, const i64 {x}_at"
                for x in names
            )
            begin = " ".join(f"{x} += {x}_at;" for x in names)
            texts.append(
                f"{d.kernel} {name}({arguments}, const i64 rows, const i64 n) {{\n"
                f"    const i64 j = GID(0), i = GID(1);\n"
                f"    if (j >= n || i >= rows) return;\n    {begin}\n"
                f"    const i64 at = i * n + j;\n{body}\n}}"
            )
            signatures[name] = " ".join(["p i64"] * len(names)) + " i64 i64"
        source = program(texts, self.device.dialect, self.device.double)
        made: dict[str, Any] = self.device.compile(source, signatures)
        return made


def _texts(dtype: DType) -> dict[str, tuple[Sequence[str], Sequence[str], str]]:
    """Results, operands and statements of each kernel, for unit `j` of row `i`."""
    type = computed(dtype)
    t = suffix(type)

    def get(name: str, gate: int = 0, gates: int = 1) -> str:
        place = "at" if gates == 1 else f"(i * {gates} + {gate}) * n + j"
        return loaded(f"{name}[{place}]", dtype)

    def put(name: str, value: str, gate: int = 0, gates: int = 1) -> str:
        place = "at" if gates == 1 else f"(i * {gates} + {gate}) * n + j"
        return f"    {name}[{place}] = {stored(f'({value})', type, dtype)};"

    def let(**values: str) -> str:
        return "\n".join(f"    const {t} {name} = {value};" for name, value in values.items())

    def sigmoid(x: str) -> str:
        return f"1 / (1 + exp_{t}(-({x})))"

    def activated(gates: int) -> str:
        return let(**{x: get("active", k, gates) for k, x in enumerate("afgo"[:gates])})

    def optional(name: str, value: str) -> str:
        return f"({name}_at < 0 ? 0 : {value})"

    lstm = "\n".join([
        let(a=sigmoid(get("gates", 0, 4)), f=sigmoid(get("gates", 1, 4)),
            g=f"tanh_{t}({get('gates', 2, 4)})", o=sigmoid(get("gates", 3, 4))),
        let(cell=f"f * {get('c')} + a * g"),
        put("h", f"o * tanh_{t}(cell)"), put("cells", "cell"),
        *[put("active", x, k, 4) for k, x in enumerate("afgo")],
    ])  # fmt: skip
    slopes = ("a * (1 - a)", "f * (1 - f)", "1 - g * g", "o * (1 - o)")
    lstm_backward = "\n".join([
        activated(4),
        let(gh=f"{get('g0')} + {optional('g1', get('g1'))}", t=f"tanh_{t}({get('cells')})"),
        let(d=f"{optional('gc0', get('gc0'))} + {optional('gc1', get('gc1'))}"
              " + gh * o * (1 - t * t)"),
        *[
            put("dgates", f"({value} + {optional('ga', get('ga', k, 4))}) * ({slopes[k]})", k, 4)
            for k, value in enumerate(("d * g", f"d * {get('c')}", "d * a", "gh * t"))
        ],
        put("dc", "d * f"),
    ])  # fmt: skip
    gru = "\n".join([
        let(r=sigmoid(f"{get('gi', 0, 3)} + {get('gh', 0, 3)}"),
            z=sigmoid(f"{get('gi', 1, 3)} + {get('gh', 1, 3)}"),
            fresh=f"tanh_{t}({get('gi', 2, 3)} + r * {get('gh', 2, 3)})"),
        put("out", f"fresh + z * ({get('h')} - fresh)"),
        *[put("active", x, k, 3) for k, x in enumerate(("r", "z", "fresh"))],
    ])  # fmt: skip
    gru_backward = "\n".join([
        let(r=get("active", 0, 3), z=get("active", 1, 3), fresh=get("active", 2, 3), d=get("g")),
        let(dn="d * (1 - z) * (1 - fresh * fresh)", dr=f"dn * {get('gh', 2, 3)} * (r * (1 - r))",
            dz=f"d * ({get('h')} - fresh) * (z * (1 - z))"),
        *[put("dgi", x, k, 3) for k, x in enumerate(("dr", "dz", "dn"))],
        *[put("dgh", x, k, 3) for k, x in enumerate(("dr", "dz", "dn * r"))],
        put("dh", "d * z"),
    ])  # fmt: skip
    return {
        "k_lstm": (("h", "cells", "active"), ("gates", "c"), lstm),
        "k_lstm_backward": (
            ("dgates", "dc"), ("g0", "g1", "gc0", "gc1", "ga", "c", "cells", "active"),
            lstm_backward,
        ),
        "k_gru": (("out", "active"), ("gi", "gh", "h"), gru),
        "k_gru_backward": (("dgi", "dgh", "dh"), ("g", "gh", "h", "active"), gru_backward),
    }  # fmt: skip


# -- cells ----------------------------------------------------------------------------------------


@recurrent.kernel("lstm_pointwise", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells = Cells(device, dtype)

    def kernel(gates: DeviceArray, c: DeviceArray) -> tuple[DeviceArray, ...]:
        made = [device.empty(shape, dtype) for shape in (c.shape, c.shape, gates.shape)]
        cells.launch("k_lstm", *_sizes(c), made, [dense(gates), dense(c)])
        return tuple(made)

    return kernel


@recurrent.kernel("lstm_pointwise_backward", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells = Cells(device, dtype)

    def kernel(
        gh: DeviceArray, gc: DeviceArray, c: DeviceArray, cell: DeviceArray, active: DeviceArray
    ) -> tuple[DeviceArray, ...]:
        made = [device.empty(shape, dtype) for shape in (active.shape, c.shape)]
        given = [dense(gh), None, dense(gc), None, None, dense(c), dense(cell), dense(active)]
        cells.launch("k_lstm_backward", *_sizes(c), made, given)
        return tuple(made)

    return kernel


@recurrent.kernel("gru_pointwise", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells = Cells(device, dtype)

    def kernel(gi: DeviceArray, gh: DeviceArray, h: DeviceArray) -> tuple[DeviceArray, ...]:
        made = [device.empty(shape, dtype) for shape in (h.shape, gi.shape)]
        cells.launch("k_gru", *_sizes(h), made, [dense(gi), dense(gh), dense(h)])
        return tuple(made)

    return kernel


@recurrent.kernel("gru_pointwise_backward", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells = Cells(device, dtype)

    def kernel(
        g: DeviceArray, gh: DeviceArray, h: DeviceArray, active: DeviceArray
    ) -> tuple[DeviceArray, ...]:
        made = [device.empty(shape, dtype) for shape in (active.shape, active.shape, h.shape)]
        given = [dense(x) for x in (g, gh, h, active)]
        cells.launch("k_gru_backward", *_sizes(h), made, given)
        return tuple(made)

    return kernel


def _sizes(state: DeviceArray) -> tuple[int, int]:
    """Rows and units of a state, whose units are its last dimension."""
    n = state.shape[-1]
    return state.size // n if n else 0, n


# -- sequences ------------------------------------------------------------------------------------


@recurrent.kernel("lstm_sequence", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells, products = Cells(device, dtype), Products(device, dtype)

    def kernel(
        gates: DeviceArray, weight: DeviceArray, h: DeviceArray, c: DeviceArray, *, reverse: bool
    ) -> tuple[DeviceArray, ...]:
        steps, rows, width = gates.shape
        n = c.shape[-1]
        out, kept = (device.empty((steps, rows, n), dtype) for _ in range(2))
        active = device.empty(gates.shape, dtype)
        if not (steps and rows and n):
            return out, kept, active
        gates, h, c = dense(gates), dense(h), dense(c)
        problem = Problem(rows, width, n)
        right = _packed(products, Matrix(weight, weight.strides[1], weight.strides[0]), problem)
        sums = device.empty((rows, width), dtype)
        state: tuple[DeviceArray, int] = (h, 0)
        cell: tuple[DeviceArray, int] = (c, 0)
        for t in range(steps - 1, -1, -1) if reverse else range(steps):
            at, wide = t * rows * n, t * rows * width
            left = Matrix(state[0], n, 1, 0, 0, state[1])
            products.run(sums, left, right, problem, Matrix(gates, width, 1, 0, 0, wide))
            made = [(out, at), (kept, at), (active, wide)]
            cells.launch("k_lstm", rows, n, made, [sums, cell])
            state, cell = (out, at), (kept, at)
        return out, kept, active

    return kernel


@recurrent.kernel("lstm_sequence_backward", FLOATS)
def _(device: Any, dtype: DType) -> Kernel:
    cells, products = Cells(device, dtype), Products(device, dtype)

    def kernel(
        g: DeviceArray, gc: DeviceArray | None, ga: DeviceArray | None, weight: DeviceArray,
        h: DeviceArray, c: DeviceArray, out: DeviceArray, kept: DeviceArray, active: DeviceArray,
        *, reverse: bool,
    ) -> tuple[DeviceArray, ...]:  # fmt: skip
        steps, rows, n = out.shape
        width = active.shape[-1]
        dgates, dweight = device.empty(active.shape, dtype), device.empty(weight.shape, dtype)
        dh = device.empty(h.shape, dtype)
        dcs = [device.empty(c.shape, dtype) for _ in range(2)]
        if not (steps and rows and n):
            for x in (dweight, dh, dcs[0]):
                if x.size:
                    device.movement.fill(x, 0)
            return dgates, dweight, dh, dcs[0]
        given = [None if x is None else dense(x) for x in (g, gc, ga, h, c, out, kept, active)]
        g, gc, ga, h, c, out, kept, active = given  # type: ignore[assignment]
        problem = Problem(rows, n, width)
        right = _packed(products, Matrix(weight, weight.strides[0], weight.strides[1]), problem)
        order = range(steps) if reverse else range(steps - 1, -1, -1)
        before = 1 if reverse else -1
        for count, t in enumerate(order):
            at, wide, last = t * rows * n, t * rows * width, count == steps - 1
            cells.launch(
                "k_lstm_backward", rows, n, [(dgates, wide), dcs[count % 2]],
                [
                    (g, at), dh if count else None, dcs[1 - count % 2] if count else None,
                    None if gc is None else (gc, at), None if ga is None else (ga, wide),
                    c if last else (kept, at + before * rows * n), (kept, at), (active, wide),
                ],
            )  # fmt: skip
            products.run(dh, Matrix(dgates, width, 1, 0, 0, wide), right, problem)
        _weight_gradient(products, dweight, dgates, out, h, reverse)
        return dgates, dweight, dh, dcs[(steps - 1) % 2]

    return kernel


def _packed(products: Products, right: Matrix, problem: Problem) -> Matrix:
    """The right operand of a product that is made many times."""
    if not products.vectors:
        return right
    return products.pack(right.transposed, problem.columns, problem.k, products.width, problem)


def _weight_gradient(
    products: Products, dweight: DeviceArray, dgates: DeviceArray, out: DeviceArray,
    h: DeviceArray, reverse: bool,
) -> None:  # fmt: skip
    """dgates^T times the states before each step: the layer's results, moved by one, and `h`."""
    steps, rows, n = out.shape
    width = dgates.shape[-1]
    first = (steps - 1) * rows if reverse else 0  # the row of the step that `h` goes before
    rest, states = (0, rows) if reverse else (rows, 0)
    left = Matrix(dgates, 1, width, 0, 0, first * width)
    products.run(dweight, left, Matrix(h, n, 1), Problem(width, n, rows))
    if steps > 1:
        products.run(
            dweight, Matrix(dgates, 1, width, 0, 0, rest * width),
            Matrix(out, n, 1, 0, 0, states * n), Problem(width, n, (steps - 1) * rows),
            Matrix(dweight, n, 1),
        )  # fmt: skip
