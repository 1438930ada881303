"""Convolutions on a device: as matrix products of gathered windows, or element by element.

Each of the three is a sum of products that a table of windows (`windows`) spells out. Where a
group has enough channels, floats are gathered into the layout of matrix products, which then do
the work: panels on a processor, a matrix of windows on a GPU; a few samples at a time, so that
what was gathered stays in cache. Processors read windows that lie side by side without gathering
them (`near_windows`). Everything else, depthwise convolution above all, is computed
by a kernel that goes through the table for each element of the result.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..._dtypes import DType, float32, float64
from . import convolving as text
from .array import DeviceArray
from .matmul import Matrix, Problem, Products
from .near_windows import NearWindows, Windows
from .printing import program
from .registry import Family, Kernel
from .windows import Sizes, tables_of

convolution = Family()
#: Elements that are gathered at a time, where that leaves at least one sample.
GATHERED = 1 << 20


class Convolutions:
    """Convolutions of one dtype on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.products = Products(device, float32 if dtype.is_reduced else dtype)
        self.tables = tables_of(device)
        self.near = NearWindows(self.products, self.tables)
        self._launches: dict[str, Any] = {}

    def kernel(self, name: str) -> Any:
        """A kernel of this family by name."""
        if name not in self._launches:
            d, double = self.device.dialect, self.device.double
            if name == "k_gather":
                body, signatures = text.gather(self.products.dtype, d), {name: text.GATHER}
            elif name == "k_turn":
                body, signatures = text.turn(self.products.dtype, d), {name: text.TURN}
            elif name == "k_fold":
                body, signatures = text.fold(self.products.dtype, d), {name: text.FOLD}
            elif name == "k_runs":
                body, signatures = text.runs(self.products.dtype, d), {name: text.RUNS}
            else:
                body = text.direct(self.dtype, d)
                signatures = {"k_planes": text.DIRECT, "k_weight": text.WEIGHT}
            self._launches.update(self.device.compile(program([body], d, double), signatures))
        return self._launches[name]

    def by_products(self, rows: int) -> bool:
        """Whether a result with so many channels in a group is computed by matrix products."""
        most = 4 if self.products.vectors else 16
        return self.products.dtype in (float32, float64) and rows >= most

    def wide(self, x: DeviceArray) -> DeviceArray:
        """A dense array of the dtype that products are computed in."""
        if x.dtype is not self.products.dtype:
            x = self.device.movement.cast(x, self.products.dtype)
        return x.reshaped(x.shape)

    def narrow(self, x: DeviceArray) -> DeviceArray:
        """A result of products in the dtype of the operands."""
        return x if x.dtype is self.dtype else self.device.movement.cast(x, self.dtype)

    def planes(
        self, x: DeviceArray, weight: DeviceArray, table: DeviceArray, size: Sizes, groups: int,
        back: bool, spread: bool = False, windows: Windows | None = None,
    ) -> DeviceArray:  # fmt: skip
        """A convolution, or `back` the transposed one: sums over the channels of `x` and taps.

        Args:
            x: (N, channels, *), of which the table gives places.
            weight: (outputs, inputs per group, *).
            table: Taps, and positions of the result.
            size: Spatial sizes of the result.
            groups: Number of groups.
            back: Channels of `x` are the weight's outputs.
            spread: Windows lie apart by more than one element.
            windows: Their taps, where they lie side by side.
        """
        taps = prod(weight.shape[2:])
        outer, channels = weight.shape[0] // groups, weight.shape[1]
        inner, each = (outer, channels) if back else (channels, outer)
        out_shape = (x.shape[0], each * groups, *size)
        if not prod(out_shape) or not inner:
            out = self.device.empty(out_shape, self.dtype)
            return self.device.movement.fill(out, 0) if out.size else out  # type: ignore[no-any-return]
        if back and (spread or outer > 2 * channels) and self.by_products(inner):
            return self.narrow(
                self._folded(self.wide(x), self.wide(weight), table, out_shape, groups)
            )
        if self.by_products(each):
            if windows and groups == 1 and self.near.serves(size, windows.padded, each):
                left = self._left(self.wide(weight), groups, back)
                return self.narrow(self.near(self.wide(x), left, out_shape, windows))
            return self.narrow(
                self._planes(self.wide(x), self.wide(weight), table, out_shape, groups, back)
            )
        x, weight = x.reshaped(x.shape), weight.reshaped(weight.shape)
        out = self.device.empty(out_shape, self.dtype)
        steps = (channels * taps, taps) if not back else (taps, channels * taps)
        self.kernel("k_planes")(
            (prod(size), each * groups, x.shape[0]), None, out.buffer, x.buffer, x.offset,
            weight.buffer, weight.offset, table.buffer, prod(size), prod(x.shape[2:]), x.shape[1],
            each * groups, inner, each, taps, outer * channels * taps, *steps,
        )  # fmt: skip
        return out  # type: ignore[no-any-return]

    def _planes(
        self, x: DeviceArray, weight: DeviceArray, table: DeviceArray, shape: Sizes, groups: int,
        back: bool,
    ) -> DeviceArray:  # fmt: skip
        outer, channels, taps = weight.shape[0] // groups, weight.shape[1], prod(weight.shape[2:])
        inner, each = (outer, channels) if back else (channels, outer)
        left = self._left(weight, groups, back)
        k, positions = inner * taps, prod(shape[2:])
        out: DeviceArray = self.device.empty(shape, self.products.dtype)
        chunk = max(min(GATHERED // max(k * positions * groups, 1), shape[0]), 1)
        for start in range(0, shape[0], chunk):
            samples = min(chunk, shape[0] - start)
            right = self.gathered(x, table, (start, samples), inner, groups, False)
            problem = Problem(
                each, samples * positions, k, 1, groups, each * positions, positions, positions,
                shape[1] * positions, start * shape[1] * positions,
            )  # fmt: skip
            self.products.run(out, left, right, problem)
        return out

    def _left(self, weight: DeviceArray, groups: int, back: bool) -> Matrix:
        """The weight as the left operand of a product: rows of (what is summed over, taps)."""
        outer, channels, taps = weight.shape[0] // groups, weight.shape[1], prod(weight.shape[2:])
        inner, each = (outer, channels) if back else (channels, outer)
        if back:  # outputs of a group last, before the taps
            turned = self.device.empty((groups, channels, outer * taps), weight.dtype)
            self.kernel("k_turn")(
                (-(-channels // text.TURNED), groups), (1, 1), turned.buffer, weight.buffer,
                weight.offset, outer, channels, taps,
            )  # fmt: skip
            weight = turned
        return Matrix(weight, inner * taps, 1, 0, each * inner * taps)

    def _folded(
        self, g: DeviceArray, weight: DeviceArray, table: DeviceArray, shape: Sizes, groups: int
    ) -> DeviceArray:
        """A transposed convolution as products with the weight, then sums over the taps: where
        windows lie apart gathering would collect zeros for the most part, and where there are
        few inputs it would collect more than the products make."""
        outer, inner, taps = weight.shape[0] // groups, weight.shape[1], prod(weight.shape[2:])
        positions, size, rows = prod(g.shape[2:]), prod(shape[2:]), inner * taps
        out: DeviceArray = self.device.empty(shape, self.products.dtype)
        left = Matrix(weight, 1, rows, 0, outer * rows)
        each = outer * positions
        chunk = max(min(GATHERED // max(groups * rows * positions, 1), shape[0]), 1)
        for start in range(0, shape[0], chunk):
            samples = min(chunk, shape[0] - start)
            parts = self.device.empty((samples * groups, rows * positions), self.products.dtype)
            right = Matrix(g, positions, 1, groups * each, each, start * groups * each)
            problem = Problem(rows, positions, outer, samples, groups)
            self.products.run(parts, left, right, problem)
            self.kernel("k_fold")(
                (size, samples * shape[1]), None, out.buffer, start * shape[1] * size,
                parts.buffer, table.buffer, size, positions, taps,
            )  # fmt: skip
        return out

    def gathered(
        self, x: DeviceArray, table: DeviceArray, part: tuple[int, int], inner: int, groups: int,
        turned: bool,
    ) -> Matrix:  # fmt: skip
        """The windows of some samples as the right operand of a product, one for each group."""
        start, samples = part
        taps, positions = table.shape
        rows, columns = inner * taps, samples * positions
        if turned:
            rows, columns = columns, rows
        vectors = self.products.vectors
        width = self.products.width if vectors else 1
        each = -(-columns // width) * width * rows
        out = self.device.empty((groups, each), self.products.dtype)
        plane = prod(x.shape[2:])
        if vectors:
            self._copy_runs(out, x, table, part, inner, groups, True)
            return Matrix(out, width, 1, 0, each, 0, True)
        self.kernel("k_gather")(
            (positions, inner * taps, samples * groups), None, out.buffer, x.buffer,
            x.offset + start * x.shape[1] * plane, table.buffer, positions, plane, x.shape[1],
            inner, taps, samples, int(turned), each, groups,
        )  # fmt: skip
        return Matrix(out, columns, 1, 0, each)

    def _copy_runs(
        self, out: DeviceArray, x: DeviceArray, table: DeviceArray, part: tuple[int, int],
        inner: int, groups: int, panels: bool,
    ) -> None:  # fmt: skip
        """Windows of some samples as panels or as a matrix, by `k_runs`."""
        (start, samples), (taps, positions), plane = part, table.shape, prod(x.shape[2:])
        self.kernel("k_runs")(
            (-(-samples * positions // self.products.width), inner, groups), (1, 1, 1),
            out.buffer, x.buffer, x.offset + start * x.shape[1] * plane, table.buffer,
            self.tables.runs(table).buffer, positions, plane, x.shape[1], inner, taps, samples,
            int(panels), out.shape[1],
        )  # fmt: skip

    def weight(
        self, g: DeviceArray, x: DeviceArray, table: DeviceArray, kernel: Sizes, groups: int,
        windows: Windows | None = None,
    ) -> DeviceArray:  # fmt: skip
        """The gradient of the weight; `windows` tells taps of windows that lie side by side."""
        outer, inner = g.shape[1] // groups, x.shape[1] // groups
        taps, positions = table.shape
        shape = (g.shape[1], inner, *kernel)
        if not (prod(shape) and g.size and x.size):
            out = self.device.empty(shape, self.dtype)
            return self.device.movement.fill(out, 0) if out.size else out  # type: ignore[no-any-return]
        if self.by_products(outer):
            # Short rows would be mostly the loop about them.
            near = windows and groups == 1 and len(kernel) <= 2 and g.shape[-1] >= 8
            if windows and near and self.products.vectors:
                return self.narrow(self.near.weight(self.wide(g), self.wide(x), shape, windows))
            return self.narrow(self._weight(self.wide(g), self.wide(x), table, shape, groups))
        g, x = g.reshaped(g.shape), x.reshaped(x.shape)
        out = self.device.empty(shape, self.dtype)
        self.kernel("k_weight")(
            (inner * taps, g.shape[1]), None, out.buffer, g.buffer, g.offset, x.buffer, x.offset,
            table.buffer, positions, prod(x.shape[2:]), g.shape[0], outer, inner, groups, taps,
        )  # fmt: skip
        return out  # type: ignore[no-any-return]

    def _weight(
        self, g: DeviceArray, x: DeviceArray, table: DeviceArray, shape: Sizes, groups: int
    ) -> DeviceArray:
        taps, positions = table.shape
        batch, channels = g.shape[:2]
        outer, inner = channels // groups, shape[1]
        out: DeviceArray = self.device.empty(shape, self.products.dtype)
        columns = inner * taps
        chunk = max(min(GATHERED // max(columns * positions * groups, 1), batch), 1)
        # On a processor the product is made the other way round: windows are then copied in the
        # order of memory, and what is packed is the smaller operand.
        vectors = self.products.vectors
        steps = (1, columns) if vectors else (columns, 1)
        whole = Matrix(out, *steps, 0, outer * columns)
        for start in range(0, batch, chunk):
            samples = min(chunk, batch - start)
            k = samples * positions
            # Channels first, so that what is summed over is contiguous.
            left = g.geometry(
                (channels, samples, positions), (positions, channels * positions, 1),
                start * channels * positions,
            ).reshaped((channels, k))  # fmt: skip
            if vectors:
                windows = self.device.empty((groups, columns * k), self.products.dtype)
                self._copy_runs(windows, x, table, (start, samples), inner, groups, False)
                problem = Problem(
                    columns, outer, k, 1, groups, outer * columns, 1, 1, columns
                )  # fmt: skip
                self.products.run(
                    out, Matrix(windows, k, 1, 0, columns * k), Matrix(left, 1, k, 0, outer * k),
                    problem, whole if start else None,
                )  # fmt: skip
                continue
            right = self.gathered(x, table, (start, samples), inner, groups, True)
            problem = Problem(outer, columns, k, 1, groups)
            self.products.run(
                out, Matrix(left, k, 1, 0, outer * k), right, problem,
                whole if start else None,
            )  # fmt: skip
        return out


# -- operators --------------------------------------------------------------------------------


@convolution.kernel("conv")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        x: DeviceArray, weight: DeviceArray, *, stride: Sizes, padding: Sizes, dilation: Sizes,
        groups: int,
    ) -> DeviceArray:  # fmt: skip
        size, taps = x.shape[2:], weight.shape[2:]
        out = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, taps, stride, padding, dilation, strict=True)
        )
        if x.shape[1] != weight.shape[1] * groups or min(out, default=1) < 1:
            raise ValueError(f"an input {x.shape} and a weight {weight.shape} do not fit")
        table = made.tables.windows(size, out, taps, tuple(stride), tuple(padding), tuple(dilation))
        near = None
        if all(s == 1 for s in stride):
            near = Windows(out, size, taps, tuple(padding), tuple(dilation), False)
        return made.planes(x, weight, table, out, groups, False, windows=near)

    return kernel


@convolution.kernel("conv_grad_input")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        g: DeviceArray, weight: DeviceArray, *, input_size: Sizes, stride: Sizes, padding: Sizes,
        dilation: Sizes, groups: int,
    ) -> DeviceArray:  # fmt: skip
        if g.shape[1] != weight.shape[0]:
            raise ValueError(f"an operand {g.shape} and a weight {weight.shape} do not fit")
        size = tuple(input_size)
        table = made.tables.windows_back(
            size, g.shape[2:], weight.shape[2:], tuple(stride), tuple(padding), tuple(dilation)
        )
        near, taps = None, weight.shape[2:]
        if all(s == 1 for s in stride):
            near = Windows(size, g.shape[2:], taps, tuple(padding), tuple(dilation), True)
        spread = max(stride, default=1) > 1
        return made.planes(g, weight, table, size, groups, True, spread, near)

    return kernel


@convolution.kernel("conv_grad_weight")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        g: DeviceArray, x: DeviceArray, *, kernel_size: Sizes, stride: Sizes, padding: Sizes,
        dilation: Sizes, groups: int,
    ) -> DeviceArray:  # fmt: skip
        taps = tuple(kernel_size)
        table = made.tables.windows(
            x.shape[2:], g.shape[2:], taps, tuple(stride), tuple(padding), tuple(dilation)
        )
        near = None
        if all(s == 1 for s in stride):
            near = Windows(g.shape[2:], x.shape[2:], taps, tuple(padding), tuple(dilation), False)
        return made.weight(g, x, table, taps, groups, near)

    return kernel
