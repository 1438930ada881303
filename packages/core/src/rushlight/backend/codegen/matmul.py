"""Matrix products on a device: which kernel, and how operands are laid out for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._dtypes import DType, complex64, complex128, float32, float64, uint32, uint64
from . import products as text
from .array import DeviceArray, broadcast_shape, broadcast_strides, coalesced
from .printing import program
from .registry import Family, Kernel

matmul = Family()
_WIDE = {"f32": float32, "f64": float64, "u32": uint32, "u64": uint64, "c64": complex64,
         "c128": complex128}  # fmt: skip
#: Below this many multiplications laying out operands costs more than it saves.
_SMALL = 4096


@dataclass(frozen=True)
class Matrix:
    """A batch of matrices in memory.

    Attributes:
        array: The memory.
        row, column: Steps.
        outer, inner: Steps of the two batch indices.
        at: Offset beyond the array's own.
        packed: It lies in the panels of a kernel, in the wide type.
    """

    array: DeviceArray
    row: int
    column: int
    outer: int = 0
    inner: int = 0
    at: int = 0
    packed: bool = False

    @property
    def transposed(self) -> Matrix:
        """Rows for columns."""
        return Matrix(self.array, self.column, self.row, self.outer, self.inner, self.at)

    def operand(self) -> tuple[Any, ...]:
        """Buffer, offset and batch steps."""
        array = self.array.settled()
        return array.buffer, array.offset + self.at, self.outer, self.inner


@dataclass(frozen=True)
class Problem:
    """Sizes of a product, and where its result lies; see `products`."""

    rows: int
    columns: int
    k: int
    outer: int = 1
    inner: int = 1
    c_batch: int = 0
    c_row: int = 0
    split: int = 0
    c_split: int = 0
    c_at: int = 0

    @property
    def batch(self) -> int:
        """Number of products."""
        return self.outer * self.inner

    def numbers(self) -> tuple[int, ...]:
        """As kernels take them; without other words the result is dense."""
        return (
            self.rows, self.columns, self.k, self.inner, self.c_batch or self.rows * self.columns,
            self.c_row or self.columns, self.split or max(self.columns, 1), self.c_split, self.c_at,
        )  # fmt: skip


class Products:
    """Products of one dtype on one device. Programs are made when they are first needed."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.wide = text.wide(dtype)
        self.vectors = device.flavour == "cpu" and self.wide in text.VECTORS
        self._launches: dict[str, Any] = {}

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return 2 * text.VECTORS[self.wide][1]

    @property
    def wide_dtype(self) -> DType:
        """The dtype of packed operands."""
        return _WIDE[self.wide]

    def kernel(self, name: str) -> Any:
        """A kernel of this family by name."""
        launch = self._launches.get(name)
        if launch is None:
            d, dtype = self.device.dialect, self.dtype
            same = text.signature(dtype)
            if name == "k_direct":
                body, signatures = text.direct(dtype, d), {name: same}
            elif name in text.DOTS_SIGNATURES:
                body, signatures = text.dots(dtype, d), text.DOTS_SIGNATURES
            elif name == "k_pack":
                body, signatures = text.pack(dtype, d), {name: text.PACK_SIGNATURE}
            elif name == "k_tile":
                body, signatures = text.local_tile(dtype, d), {name: same}
            else:
                body, signatures = text.panel_tile(dtype, d, name == "k_tile_packed"), {name: same}
            source = program([body], d, self.device.double)
            self._launches.update(self.device.compile(source, signatures))
            launch = self._launches[name]
        return launch

    def number(self, value: Any) -> Any:
        """A factor as kernels take it."""
        if self.wide in ("u32", "u64"):
            return int(value) & (0xFFFFFFFF if self.wide == "u32" else (1 << 64) - 1)
        return complex(value) if self.dtype.is_complex else float(value)

    def run(
        self,
        out: DeviceArray,
        a: Matrix,
        b: Matrix,
        problem: Problem,
        x: Matrix | None = None,
        alpha: Any = 1,
        beta: Any = 1,
    ) -> DeviceArray:
        """alpha * a @ b + beta * x, written into `out`."""
        p = problem
        if not (p.rows and p.columns and p.batch):
            return out
        if (
            x is None
            and p.batch == 1
            and alpha == 1
            and not b.packed
            and self._as_dots(out, a, b, p)
        ):
            return out
        work = p.rows * p.columns * p.k
        if not self.vectors and not b.packed:
            fits = min(p.rows, p.columns) >= 16 and p.k >= 8 and self.device.flavour == "gpu"
            if fits:
                side = text.TILE // 4
                sizes = (-(-p.columns // text.TILE) * side, -(-p.rows // text.TILE) * side, p.batch)
                self._launch("k_tile", sizes, (side, side, 1), out, a, b, p, x, alpha, beta)
                return out
        if b.packed or (self.vectors and work >= _SMALL and p.rows > 2 and p.columns >= 4):
            self._by_panels(out, a, b, p, x, alpha, beta)
            return out
        self._launch("k_direct", (p.columns, p.rows, p.batch), None, out, a, b, p, x, alpha, beta)
        return out

    def _by_panels(self, out: DeviceArray, a: Matrix, b: Matrix, p: Problem, *rest: Any) -> None:
        if not b.packed:
            b = self.pack(b.transposed, p.columns, p.k, self.width, p)
        # Rows are read where they lie if few panels read them: at steps of a power of two they
        # would fall on the same lines of a cache.
        plain = a.column == 1 and self.wide_dtype is self.dtype and p.columns < 4 * self.width
        if not (a.packed or plain):
            a = self.pack(a, p.rows, p.k, text.ROWS, p)
        sizes = (-(-p.rows // text.ROWS), -(-p.columns // self.width), p.batch)
        name = "k_tile_packed" if a.packed else "k_tile_rows"
        self._launch(name, sizes, (1, 1, 1), out, a, b, p, *rest)

    def pack(self, x: Matrix, lanes: int, k: int, width: int, p: Problem) -> Matrix:
        """Panels [lanes / width][k][width] of a matrix (lanes, k); a batch it does not vary over
        is packed once.

        Args:
            x: The matrix.
            lanes, k: Its sizes.
            width: Lanes of a panel.
            p: The problem, for its batch.
        """
        outer = p.outer if x.outer else 1
        inner = p.inner if x.inner else 1
        panels = -(-lanes // width)
        each = panels * width * k
        out = self.device.empty((outer * inner, each), self.wide_dtype)
        buffer, at, xo, xi = x.operand()
        if each:
            sizes = (-(-k // text.STEPS), panels, outer * inner)
            self.kernel("k_pack")(
                sizes, (1, 1, 1), out.buffer, buffer, at, xo, xi, inner, x.row, lanes, k,
                x.column, width,
            )  # fmt: skip
        return Matrix(
            out, width, width, each * inner if x.outer else 0, each if x.inner else 0, 0, True
        )

    def _launch(
        self, name: str, sizes: Any, local: Any, out: DeviceArray, a: Matrix, b: Matrix,
        p: Problem, x: Matrix | None, alpha: Any, beta: Any,
    ) -> None:  # fmt: skip
        if x is None or beta == 0:
            added: tuple[Any, ...] = (out.buffer, 0, 0, 0, 0, 0)
            beta = 0
        else:
            added = (*x.operand(), x.row, x.column)
        self.kernel(name)(
            sizes, local, out.buffer, *a.operand(), a.row, a.column, *b.operand(), b.row, b.column,
            *added, self.number(alpha), self.number(beta), *p.numbers(),
        )  # fmt: skip

    def _as_dots(self, out: DeviceArray, a: Matrix, b: Matrix, p: Problem) -> bool:
        """A matrix times a vector, where memory runs along both; whether that was so."""
        if p.rows == 1:
            a, b, rows = b.transposed, a.transposed, p.columns
        elif p.columns == 1:
            rows = p.rows
        else:
            return False
        if p.k < 64 or a.column != 1 or b.row != 1 or self.dtype.is_complex or p.split:
            return False
        parts = max(min(self.device.parallelism // rows, p.k // 1024), 1)
        chunk = -(-p.k // (parts * 16)) * 16
        sums = self.device.empty((parts, rows), self.wide_dtype)
        left, left_at, *_ = a.operand()
        right, right_at, *_ = b.operand()
        self.kernel("k_dots")(
            (rows, parts), None, sums.buffer, left, left_at, a.row, right, right_at, rows, p.k,
            chunk,
        )  # fmt: skip
        self.kernel("k_total")((rows,), None, out.buffer, sums.buffer, rows, parts)
        return True


# -- operands ---------------------------------------------------------------------------------


def batched(
    arrays: list[DeviceArray], batch: tuple[int, ...]
) -> tuple[list[Matrix], tuple[int, int]]:
    """Operands, the last two dimensions matrices, as batches with at most two indices."""
    steps = [broadcast_strides(x, (*batch, *x.shape[-2:]))[:-2] for x in arrays]
    sizes, walks = coalesced(batch, steps)
    if len(sizes) > 2:  # rare: strided in a way that needs three indices
        dense = []
        for x, own in zip(arrays, steps, strict=True):
            whole = x.geometry((*batch, *x.shape[-2:]), (*own, *x.strides[-2:]), 0)
            dense.append(x.device.dense(whole))
        return batched(dense, batch)
    inner, outer = sizes[0], sizes[1] if len(sizes) > 1 else 1
    made = []
    for x, walk in zip(arrays, walks, strict=True):
        made.append(Matrix(x, *_matrix_steps(x), walk[1] if len(walk) > 1 else 0, walk[0]))
    return made, (outer, inner)


def _matrix_steps(x: DeviceArray) -> tuple[int, int]:
    """Steps of rows and columns; a dimension of one element may as well be contiguous."""
    row, column = x.strides[-2:]
    return (1 if x.shape[-2] == 1 else row), (1 if x.shape[-1] == 1 else column)


def _product(
    products: Products,
    a: DeviceArray,
    b: DeviceArray,
    shape: tuple[int, ...],
    x: DeviceArray | None = None,
    alpha: Any = 1,
    beta: Any = 1,
) -> DeviceArray:
    """A product of arrays of two dimensions or more, under a shape of as many elements."""
    device = products.device
    rows, k, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.shape[-2] != k:
        raise ValueError(f"matrices of shapes {a.shape} and {b.shape} do not fit")
    out: DeviceArray = device.empty(shape, products.dtype)
    if not out.size:
        return out
    if b.ndim == 2 and a.ndim > 2:  # one tall matrix
        sizes, walk = coalesced(a.shape[:-1], [a.strides[:-1]])
        if len(sizes) > 1:
            a = device.dense(a)
        lead = a.size // max(k, 1) if k else out.size // columns
        step = walk[0][0] if len(sizes) == 1 else k
        a = a.geometry((lead, k), (step, a.strides[-1]), 0)
        rows = lead
    batch = broadcast_shape(a.shape[:-2], b.shape[:-2])
    operands = [a, b]
    if x is not None:
        full = (*batch, rows, columns)
        steps = broadcast_strides(x.settled(), full)
        operands.append(x.geometry(full, steps, 0))
    made, (outer, inner) = batched(operands, batch)
    added = None
    if x is not None:  # its steps as they are: 0 where it is broadcast
        last = made[2]
        row, column = last.array.strides[-2:]
        added = Matrix(last.array, row, column, last.outer, last.inner)
    problem = Problem(rows, columns, k, outer, inner)
    return products.run(out, made[0], made[1], problem, added, alpha, beta)


# -- operators --------------------------------------------------------------------------------


def _matmul(products: Products) -> Kernel:
    def kernel(x: DeviceArray, y: DeviceArray) -> DeviceArray:
        if not x.shape or not y.shape:
            raise ValueError("operands need a dimension")
        shape = (
            *broadcast_shape(x.shape[:-2], y.shape[:-2]), *x.shape[-2:-1],
            *(y.shape[-1:] if len(y.shape) > 1 else ()),
        )  # fmt: skip
        if len(x.shape) == 1:
            x = x.geometry((1, *x.shape), (0, *x.strides), 0)
        if len(y.shape) == 1:
            y = y.geometry((*y.shape, 1), (*y.strides, 0), 0)
        return _product(products, x, y, shape)

    return kernel


for _name in ("matmul", "mm", "bmm", "dot"):

    @matmul.kernel(_name)
    def _(device: Any, dtype: DType) -> Kernel:
        return _matmul(Products(device, dtype))


@matmul.kernel("addmm")
def _(device: Any, dtype: DType) -> Kernel:
    products = Products(device, dtype)

    def kernel(
        x: DeviceArray, a: DeviceArray, b: DeviceArray, *, beta: Any = 1, alpha: Any = 1
    ) -> DeviceArray:
        return _product(products, a, b, (a.shape[0], b.shape[1]), x, alpha, beta)

    return kernel


@matmul.kernel("linear")
def _(device: Any, dtype: DType) -> Kernel:
    products = Products(device, dtype)
    plain = _matmul(products)

    def kernel(x: DeviceArray, weight: DeviceArray, bias: DeviceArray | None) -> DeviceArray:
        order = weight.shape[::-1], weight.strides[::-1]
        turned = weight.geometry(*order, 0)
        if bias is None:
            whole: DeviceArray = plain(x, turned)
            return whole
        shape = (*x.shape[:-1], *weight.shape[:-1])
        if len(x.shape) > 1 and len(weight.shape) == 2 and len(bias.shape) <= 1:
            return _product(products, x, turned, shape, bias)
        # A bias that is a tensor of its own shape is added apart.
        made: DeviceArray = device.kernels_of("add", dtype)(plain(x, turned), bias)
        return made

    return kernel


@matmul.kernel("linear_weight")
def _(device: Any, dtype: DType) -> Kernel:
    products = Products(device, dtype)

    def kernel(g: DeviceArray, x: DeviceArray) -> DeviceArray:
        if dtype.is_complex:
            x = device.kernels_of("conj", dtype)(x)
        if len(g.shape) > 2:
            lead = 1
            for n in g.shape[:-1]:
                lead *= n
            g = g.reshaped((lead, g.shape[-1]))
            x = x.reshaped((lead, x.shape[-1]))
        turned = g.geometry(g.shape[::-1], g.strides[::-1], 0)
        return _product(products, turned, x, (g.shape[-1], x.shape[-1]))

    return kernel
