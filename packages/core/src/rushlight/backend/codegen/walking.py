"""`Walk`: a kernel whose body runs once for each place of a shape, over operands of any layout.

The printed kernel works out where each operand's element lies (`x_i` for an operand `x`) and the
body does the rest.  Dimensions are coalesced; up to three are the range that is launched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .array import DeviceArray, coalesced, row_major
from .elementwise import launch_range
from .launcher import Launch
from .printing import program

_RANK = 3
#: Elements that are only moved are seen as whole numbers of their width, so that one program
#: serves all dtypes of it.  Nothing else has 16 bytes than complex128, where there is float64.
WIDTHS = {1: "u8", 2: "u16", 4: "u32", 8: "u64", 16: "c128"}

Strides = tuple[int, ...]


class Walk:
    """A kernel over the places of a shape.

    Args:
        device: The launcher.
        name: The kernel's name.
        operands: Types in memory by name; None for one that has a layout and no memory.
        body: Statements.  `<name>_i` is where an operand's element lies, `i` the place, row-major.
        scalars: Further arguments, as pairs of type and name; type "p" is a buffer of i64.
        more: Helper functions beyond the prelude's.

    A copy into dense memory, for example, is

        walk = Walk(device, "k_copy", {"out": "u32", "x": "u32"}, "out[out_i] = x[x_i];")
        walk(x.shape, (out, out.strides), (x, x.strides))
    """

    def __init__(
        self,
        device: Any,
        name: str,
        operands: Mapping[str, str | None],
        body: str,
        scalars: str = "",
        more: dict[str, str] | None = None,
    ) -> None:
        self.device = device
        self.name = name
        self.operands = dict(operands)
        self.body = body
        words = scalars.split()
        self.scalars = list(zip(words[::2], words[1::2], strict=True))
        self.more = more
        self._launches: dict[int, Launch] = {}

    def _compiled(self, rank: int) -> Launch:
        d = self.device.dialect
        arguments: list[str] = []
        words: list[str] = []
        places: list[str] = []
        for k, (name, type) in enumerate(self.operands.items()):
            if type is not None:
                arguments.append(f"{'' if k == 0 else 'const '}{d.device} {type}* {name}")
                words.append("p")
            steps = [f"{name}_s{r}" for r in range(rank)]
            arguments += [f"const i64 {w}" for w in (f"{name}_at", *steps)]
            words += ["i64"] * (rank + 1)
            terms = " + ".join(f"i{r} * {step}" for r, step in enumerate(steps))
            places.append(f"const i64 {name}_i = {name}_at + {terms};")
        for type, name in self.scalars:
            arguments.append(f"{d.device} i64* {name}" if type == "p" else f"const {type} {name}")
            words.append(type)
        arguments += [f"const i64 n{r}" for r in range(rank)]
        words += ["i64"] * rank
        lines = [f"const i64 i{r} = GID({r});" for r in range(_RANK)]
        guard = "i0 >= n0 || i1 >= n1 || i2 >= n2"
        if rank > _RANK:
            lines[2] = "i64 rest = GID(2); const i64 i2 = rest % n2; rest /= n2;"
            for r in range(3, rank):
                last = r == rank - 1
                lines.append(f"const i64 i{r} = rest{'' if last else f' % n{r}; rest /= n{r}'};")
            guard = f"i0 >= n0 || i1 >= n1 || i{rank - 1} >= n{rank - 1}"
        index = f"i{rank - 1}"
        for r in range(rank - 2, -1, -1):
            index = f"({index}) * n{r} + i{r}"
        lines += [f"if ({guard}) return;", f"const i64 i = {index};", *places, self.body]
        text = "{} {}({}) {{\n    {}\n}}".format(
            d.kernel, self.name, ", ".join(arguments), "\n    ".join(lines)
        )
        source = program([text], d, self.device.double, self.more)
        launch: Launch = self.device.compile(source, {self.name: " ".join(words)})[self.name]
        return launch

    def __call__(
        self,
        shape: Sequence[int],
        *operands: tuple[DeviceArray | int, Strides],
        numbers: Sequence[Any] = (),
    ) -> None:
        """Runs the kernel.

        Args:
            shape: The places.
            operands: For each its array, or its offset if it has no memory, and steps.
            numbers: The scalars' values.
        """
        size = 1
        for n in shape:
            size *= n
        if not size:
            return
        places = [row_major(tuple(shape)), *[strides for _, strides in operands]]
        sizes, (_, *steps) = coalesced(tuple(shape), places)
        missing = max(0, _RANK - len(sizes))
        sizes += [1] * missing
        rank = len(sizes)
        launch = self._launches.get(rank)
        if launch is None:
            launch = self._launches[rank] = self._compiled(rank)
        arguments: list[Any] = []
        for (array, _), step, type in zip(operands, steps, self.operands.values(), strict=True):
            if isinstance(array, DeviceArray):
                array.settled()
                if type is not None:
                    arguments.append(array.buffer)
                arguments.append(array.offset)
            else:
                arguments.append(array)
            arguments += step + [0] * missing
        launch(launch_range(sizes), None, *arguments, *numbers, *sizes)


def of_rows(x: DeviceArray, dim: int) -> DeviceArray:
    """A dense array of rows: `dim` is the last dimension, in front all others as one."""
    if not x.shape:
        return x.settled().reshaped((1, 1))
    axes = [*[d for d in range(len(x.shape)) if d != dim], dim]
    shape = tuple([x.shape[d] for d in axes])
    turned = x.geometry(shape, tuple([x.strides[d] for d in axes]), 0)
    n = x.shape[dim]
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return turned.reshaped((rows, n))


def turned_back(x: DeviceArray, shape: Sequence[int], dim: int) -> DeviceArray:
    """Undoes `of_rows` for an array of rows: the shape's others, the rows' length at `dim`."""
    if not shape:
        return x.geometry((), (), 0)
    others = [n for d, n in enumerate(shape) if d != dim]
    apart = (*others, x.shape[1])
    strides = row_major(apart)
    if dim == len(shape) - 1:
        return x.geometry(apart, strides, 0)
    order = [*range(dim), len(shape) - 1, *range(dim, len(shape) - 1)]
    view = x.geometry(tuple([apart[d] for d in order]), tuple([strides[d] for d in order]), 0)
    made: DeviceArray = x.device.dense(view)
    return made
