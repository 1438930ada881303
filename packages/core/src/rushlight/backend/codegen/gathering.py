"""Reading by index and by mask: gather, index_select, index, take, nonzero, masks.

One walk serves all that read by index: the place of an element is that of the operand's view whose
indexed dimensions do not step, plus index times step for each of them.  An index out of bounds is
reported by the kernel and raised at the next synchronisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._dtypes import DType, bool_, int32, int64
from ..._errors import error
from .array import (
    DeviceArray,
    beyond,
    broadcast_shape,
    broadcast_strides,
    keep_bounds,
    row_major,
)
from .registry import Family, Kernel
from .walking import WIDTHS, Walk

gathering = Family()
_OUT_OF_BOUNDS = "index {value} is out of bounds for dimension {dim} with size {size}"


def index_lines(count: int, negative: bool, otherwise: str) -> str:
    """Statements that turn indices `j0`, ... into a sum of steps, added to `place`.

    Args:
        count: Number of indices.
        negative: They may count from the end.
        otherwise: What is done after index `$k` was reported, which is out of bounds.
    """
    lines = []
    for k in range(count):
        wrap = f"if (v{k} < 0) v{k} += size{k}; " if negative else ""
        lines.append(
            f"i64 v{k} = j{k}[j{k}_i]; {wrap}if (v{k} < 0 || v{k} >= size{k}) "
            f"{{ report(faults, slot{k}, j{k}[j{k}_i]); {otherwise.replace('$k', str(k))} }} "
            f"place += v{k} * step{k};"
        )
    return "\n    ".join(lines)


def index_scalars(count: int) -> str:
    """The scalars of `index_lines`."""
    each = [f"i32 slot{k} i64 size{k} i64 step{k}" for k in range(count)]
    return " ".join(["p faults", *each])


def index_numbers(
    device: Any,
    who: str,
    sizes: Sequence[tuple[int, int, int]],
    kind: type[Exception],
    message: str = _OUT_OF_BOUNDS,
) -> list[Any]:
    """Values for `index_scalars`, from each index's dimension, size and step."""
    buffer: Any = None
    slots: list[int] = []
    while not slots or slots[-1] - slots[0] != len(sizes) - 1:  # a check came between: once more
        slots = []
        for dim, size, _ in sizes:
            text = message.replace("{dim}", str(dim)).replace("{size}", str(size))
            buffer, slot = device.fault(who, text, kind)
            slots.append(slot)
    numbers: list[Any] = [buffer]
    for slot, (_, size, step) in zip(slots, sizes, strict=True):
        numbers += [slot, size, step]
    return numbers


def are_suspect(
    indices: Sequence[tuple[DeviceArray, tuple[int, ...]]],
    sizes: Sequence[tuple[int, int, int]],
    negative: bool,
) -> bool:
    """Whether what is known of indices on the host says that one is out of bounds."""
    return any(
        beyond(index, -size if negative else 0, size - 1)
        for (index, _), (_, size, _) in zip(indices, sizes, strict=True)
    )


def as_index(x: DeviceArray) -> DeviceArray:
    """An index in int64."""
    if x.dtype is int64:
        return x.settled()
    made: DeviceArray = x.device.movement.cast(x, int64)
    return made


#: Elements of a row from which on a processor copies rows instead of elements.
_WIDE = 16


class Gather:
    """Reads at indices.

    Args:
        device: The launcher.
        who: The operator, for faults.
        dtype: Type of the elements.
        negative: Indices may count from the end.
        kind: What an index out of bounds raises.
        message: What is said of it; `{value}`, `{dim}` and `{size}` are filled in.
    """

    def __init__(
        self,
        device: Any,
        who: str,
        dtype: DType,
        negative: bool,
        kind: type[Exception],
        message: str = _OUT_OF_BOUNDS,
    ) -> None:
        self.message = message
        self.device = device
        self.who = who
        self.dtype = dtype
        self.negative = negative
        self.kind = kind
        self._walks: dict[Any, Walk] = {}

    def _rows(self) -> Walk:
        """Rows that are contiguous, a work-item each."""
        found = self._walks.get("rows")
        if found is None:
            type = WIDTHS[self.dtype.itemsize]
            lines = index_lines(1, self.negative, "return;")
            body = f"""i64 place = x_i;
    {lines}
    for (i64 c = 0; c < width; c++) out[out_i + c] = x[place + c];"""
            found = self._walks["rows"] = Walk(
                self.device, f"k_gather_rows_{'n' if self.negative else 'p'}",
                {"out": type, "x": type, "j0": "i64"}, body, f"{index_scalars(1)} i64 width",
            )  # fmt: skip
        return found

    def _walk(self, count: int) -> Walk:
        found = self._walks.get(count)
        if found is None:
            type = WIDTHS[self.dtype.itemsize]
            operands: dict[str, str | None] = {"out": type, "x": type}
            operands |= {f"j{k}": "i64" for k in range(count)}
            lines = index_lines(count, self.negative, "return;")
            body = f"i64 place = x_i;\n    {lines}\n    out[out_i] = x[place];"
            sign = "n" if self.negative else "p"
            found = self._walks[count] = Walk(
                self.device, f"k_gather_{count}{sign}", operands, body, index_scalars(count)
            )
        return found

    def __call__(
        self,
        shape: tuple[int, ...],
        x: DeviceArray,
        strides: tuple[int, ...],
        indices: Sequence[tuple[DeviceArray, tuple[int, ...]]],
        sizes: Sequence[tuple[int, int, int]],
    ) -> DeviceArray:
        """The elements.

        Args:
            shape: Of the result.
            x: What is read.
            strides: Its steps along the result's dimensions, 0 where an index decides.
            indices: Indices with their steps.
            sizes: Dimension, its size and its step for each index.
        """
        out: DeviceArray = self.device.empty(shape, self.dtype)
        if out.size:
            numbers = index_numbers(self.device, self.who, sizes, self.kind, self.message)
            where, steps = indices[0]
            whole = len(indices) == 1 and len(shape) > 1 and shape[-1] >= _WIDE
            if whole and self.device.flavour == "cpu" and strides[-1] == 1 and not steps[-1]:
                self._rows()(
                    shape[:-1], (out, out.strides[:-1]), (x, strides[:-1]), (where, steps[:-1]),
                    numbers=(*numbers, shape[-1]),
                )  # fmt: skip
            else:
                walk = self._walk(len(indices))
                walk(shape, (out, out.strides), (x, strides), *indices, numbers=numbers)
            self.device.launched(are_suspect(indices, sizes, self.negative))
            keep_bounds(out, x)
        return out


def without(strides: tuple[int, ...], dims: Sequence[int]) -> tuple[int, ...]:
    """Strides that do not step in some dimensions."""
    return tuple([0 if d in dims else s for d, s in enumerate(strides)])


@gathering.kernel("gather")
def gather_kernel(device: Any, dtype: DType) -> Kernel:
    read = Gather(device, "gather", dtype, False, RuntimeError)

    def kernel(x: DeviceArray, index: DeviceArray, *, dim: int) -> DeviceArray:
        shape, index = index.shape, as_index(index)
        if not index.size:
            made: DeviceArray = device.empty(shape, dtype)
            return made
        if not x.shape:
            x, index = x.reshaped((1,)), index.reshaped((index.size,))
        elif len(index.shape) != len(x.shape):  # a single number for a vector
            index = index.reshaped((index.size,))
        for d, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)):
            if d != dim and n > m:
                raise ValueError(f"index {index.shape} is larger than {x.shape} beside {dim}")
        out = read(
            index.shape, x, without(x.strides, (dim,)), [(index, index.strides)],
            [(dim, x.shape[dim], x.strides[dim])],
        )  # fmt: skip
        return out.geometry(shape, row_major(shape), 0)

    return kernel


@gathering.kernel("index_select")
def index_select_kernel(device: Any, dtype: DType) -> Kernel:
    read = Gather(device, "index_select", dtype, False, IndexError)

    def kernel(x: DeviceArray, index: DeviceArray, *, dim: int) -> DeviceArray:
        index = as_index(index)
        final: tuple[int, ...] | None = None
        if not x.shape:
            x, index, final = x.reshaped((1,)), index.reshaped((index.size,)), ()
        step = index.strides[0] if index.shape else 0
        shape = (*x.shape[:dim], index.size, *x.shape[dim + 1 :])
        strides = tuple([step if d == dim else 0 for d in range(len(shape))])
        out = read(
            shape, x, without(x.strides, (dim,)), [(index, strides)],
            [(dim, x.shape[dim], x.strides[dim])],
        )  # fmt: skip
        return out if final is None else out.geometry(final, (), 0)

    return kernel


@gathering.kernel("embedding")
def embedding_kernel(device: Any, dtype: DType) -> Kernel:
    message = "index out of range in self: {value}, in a table of {size} rows"
    read = Gather(device, "embedding", dtype, False, IndexError, message)

    def kernel(weight: DeviceArray, indices: DeviceArray, **settings: Any) -> DeviceArray:
        if len(weight.shape) != 2 or indices.dtype not in (int64, int32):
            raise ValueError(f"{weight!r} is no table for {indices!r}")
        index = as_index(indices)
        rows, columns = weight.shape
        step, along = weight.strides
        return read(
            (*index.shape, columns), weight, (*(0,) * len(index.shape), along),
            [(index, (*index.strides, 0))], [(0, rows, step)],
        )  # fmt: skip

    return kernel


@gathering.kernel("take")
def take_kernel(device: Any, dtype: DType) -> Kernel:
    read = Gather(device, "take", dtype, True, IndexError)

    def kernel(x: DeviceArray, index: DeviceArray) -> DeviceArray:
        flat, index = x.settled().reshaped((x.size,)), as_index(index)
        still = (0,) * len(index.shape)
        return read(index.shape, flat, still, [(index, index.strides)], [(0, flat.size, 1)])

    return kernel


def index_layout(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    indices: Sequence[DeviceArray],
    dims: Sequence[int],
) -> tuple[
    tuple[int, ...], tuple[int, ...], list[tuple[DeviceArray, tuple[int, ...]]],
    list[tuple[int, int, int]], int, int,
]:  # fmt: skip
    """How advanced indexing of a view walks.

    Returns:
        The result's shape; the view's steps along it; indices with their steps; dimension, size
        and step of each index; the first of the index dimensions, and their number.
    """
    found = broadcast_shape(*[index.shape for index in indices])
    adjacent = dims[-1] - dims[0] == len(dims) - 1
    first, count = (dims[0] if adjacent else 0), len(found)
    others = [d for d in range(len(shape)) if d not in dims]
    rest = [shape[d] for d in others]
    steps = [strides[d] for d in others]
    result = (*rest[:first], *found, *rest[first:])
    walked = (*steps[:first], *(0,) * count, *steps[first:])
    after = len(rest) - first
    placed = [
        (index, (*(0,) * first, *broadcast_strides(index, found), *(0,) * after))
        for index in indices
    ]
    sizes = [(d, shape[d], strides[d]) for d in dims]
    return result, walked, placed, sizes, first, count


@gathering.kernel("index")
def index_kernel(device: Any, dtype: DType) -> Kernel:
    read = Gather(device, "index", dtype, True, IndexError)

    def kernel(x: DeviceArray, *indices: DeviceArray, dims: Sequence[int]) -> DeviceArray:
        x.settled()
        whole = [as_index(index) for index in indices]
        shape, strides, placed, sizes, _, _ = index_layout(x.shape, x.strides, whole, dims)
        return read(shape, x, strides, placed, sizes)

    return kernel


# -- masks -----------------------------------------------------------------------------------


class Chosen:
    """The places where a mask is true, counted."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __call__(self, mask: DeviceArray) -> tuple[DeviceArray, int]:
        """For each place how many are true up to and with it; and how many in all, which waits."""
        device = self.device
        ones = device.movement.cast(mask, int64).reshaped((mask.size,))
        counts: DeviceArray = device.kernels_of("cumsum", int64)(ones, dim=0)
        last = counts.geometry((1,), (1,), counts.size - 1)
        return counts, int(device.to_host(last)[0]) if counts.size else 0


def broadcast_to(x: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    """A view under a larger shape.

    Raises:
        ValueError: It does not broadcast to it.
    """
    if broadcast_shape(x.shape, shape) != shape:
        raise ValueError(f"{x.shape} does not broadcast to {shape}")
    return x.geometry(shape, broadcast_strides(x.settled(), shape), 0)


@gathering.kernel("masked_select")
def masked_select_kernel(device: Any, dtype: DType) -> Kernel:
    chosen, type = Chosen(device), WIDTHS[dtype.itemsize]
    walk = Walk(
        device, "k_masked_select", {"out": type, "x": type, "mask": "u8", "counts": "i64"},
        "if (mask[mask_i]) out[counts[counts_i] - 1] = x[x_i];",
    )  # fmt: skip

    def kernel(x: DeviceArray, mask: DeviceArray) -> DeviceArray:
        shape = broadcast_shape(x.shape, mask.shape)
        x, mask = broadcast_to(x, shape), broadcast_to(mask, shape)
        counts, n = chosen(mask)
        out: DeviceArray = device.empty((n,), dtype)
        if n:
            still = (0,) * len(shape)
            walk(
                shape, (out, still), (x, x.strides), (mask, mask.strides),
                (counts, row_major(shape)),
            )  # fmt: skip
        return out

    return kernel


@gathering.kernel("masked_scatter")
def masked_scatter_kernel(device: Any, dtype: DType) -> Kernel:
    chosen, type = Chosen(device), WIDTHS[dtype.itemsize]
    walk = Walk(
        device,
        "k_masked_scatter",
        {"out": type, "mask": "u8", "counts": "i64", "source": type},
        "if (mask[mask_i]) out[out_i] = source[source_i + counts[counts_i] - 1];",
    )

    def kernel(
        x: DeviceArray, mask: DeviceArray, source: DeviceArray, *, out: DeviceArray | None = None
    ) -> DeviceArray:
        shape = broadcast_shape(x.shape, mask.shape)
        mask = broadcast_to(mask, shape)
        counts, n = chosen(mask)
        if n > source.size:
            raise error(
                RuntimeError,
                "masked_scatter",
                f"source has {source.size} elements and the mask selects {n}",
                expected="at least as many elements in source as the mask has ones",
            )
        if out is None:
            out = device.dense(broadcast_to(x, shape))
        if n:
            source = source.settled().reshaped((source.size,))
            still = (0,) * len(shape)
            walk(
                shape, (out.settled(), out.strides), (mask, mask.strides),
                (counts, row_major(shape)), (source, still),
            )  # fmt: skip
        return out

    return kernel


@gathering.kernel("nonzero")
def nonzero_kernel(device: Any, dtype: DType) -> Kernel:
    chosen = Chosen(device)
    find = Walk(
        device, "k_nonzero", {"out": "i64", "mask": "u8", "counts": "i64"},
        "if (mask[mask_i]) out[counts[counts_i] - 1] = i;",
    )  # fmt: skip
    split = Walk(
        device, "k_coordinate", {"out": "i64", "flat": "i64"},
        "out[out_i] = flat[flat_i] / step % size;", "i64 step i64 size",
    )  # fmt: skip

    def kernel(x: DeviceArray) -> DeviceArray:
        mask = device.movement.cast(x, bool_)
        shape = x.shape
        counts, n = chosen(mask)
        out: DeviceArray = device.empty((n, len(shape)), int64)
        if not out.size:
            return out
        flat = device.empty((n,), int64)
        mask = mask.reshaped((mask.size,))
        find(mask.shape, (flat, (0,)), (mask, (1,)), (counts, (1,)))
        for d, step in enumerate(row_major(shape)):
            column = out.geometry((n,), (len(shape),), d)
            split((n,), (column, column.strides), (flat, (1,)), numbers=(step, shape[d]))
        return out

    return kernel
