"""Elementwise kernels: one expression over broadcast operands, printed for the layout at hand.

A kernel is printed for each combination of layouts: flat (all operands dense and of the result's
shape, or single elements) with one index and no bounds check, or strided over up to three
coalesced dimensions, which become the range the kernel is launched over. Where the dialect says
so, work-items of flat kernels with costly functions do a strip of elements each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..._dtypes import DType, bool_, float64
from .array import (
    DeviceArray,
    broadcast_shape,
    broadcast_strides,
    coalesced,
    row_major,
)
from .dialect import Dialect, suffix
from .expression import Expr, computed, load, ordered, param
from .launcher import FLAT, Launch
from .own_math import OWN, WITH_NEAR, WITH_NEAR_OF_ONE
from .printing import loaded, memory_type, program, statements, write
from .registry import Kernel

#: From the operands' dtypes, the attributes that shape the expression, and the types of those that
#: are passed with each launch, to one expression and dtype per result.
Describe = Callable[..., "tuple[tuple[Expr, DType], ...]"]
_RANK = 3


def source_of(
    device: Any,
    name: str,
    roots: Sequence[tuple[Expr, DType]],
    operands: Sequence[tuple[str, DType]],
    params: Sequence[DType],
    rank: int,
    strided_out: bool,
    strips: bool = False,
) -> tuple[str, str]:
    """Text and signature of an elementwise kernel.

    Args:
        device: The launcher.
        name: The kernel's name.
        roots: Results.
        operands: Layout and dtype of each operand: "c" dense, "s" one element, "v" a number that
            is passed, "x" strided.
        params: Types of attributes that are passed.
        rank: 0 for a flat kernel, else the number of dimensions.
        strided_out: Results lie in any memory, and get an offset and strides.
        strips: A work-item of a flat kernel does `FLAT` elements.
    """
    d = device.dialect
    arguments: list[str] = []
    words: list[str] = []

    def argument(text: str, word: str) -> None:
        arguments.append(text)
        words.append(word)

    for k, (_, dtype) in enumerate(roots):
        alone = "restrict " if strips else ""  # it is fresh memory
        argument(f"{d.device} {memory_type(dtype)}* {alone}out{k}", "p")
        if strided_out:
            argument(f"const i64 out{k}_at", "i64")
            for r in range(rank):
                argument(f"const i64 out{k}_s{r}", "i64")
    index = "i"
    reads: list[str] = []
    for k, (mode, dtype) in enumerate(operands):
        if mode == "v":
            type = computed(dtype)
            short = "u8" if type.name == "bool" else suffix(type)
            argument(f"const {short} x{k}", short)
            reads.append(f"(x{k} != 0)" if short == "u8" and type.name == "bool" else f"x{k}")
            continue
        argument(f"const {d.device} {memory_type(dtype)}* x{k}", "p")
        argument(f"const i64 x{k}_at", "i64")
        if mode == "x":
            for r in range(rank):
                argument(f"const i64 x{k}_s{r}", "i64")
            place = f"x{k}_at + " + " + ".join(f"i{r} * x{k}_s{r}" for r in range(rank))
        else:
            place = f"x{k}_at" + (" + i" if mode == "c" else "")
        reads.append(loaded(f"x{k}[{place}]", dtype))
    for k, type in enumerate(params):
        argument(f"const {suffix(type)} a{k}", suffix(type))
    for r in range(rank):
        argument(f"const i64 n{r}", "i64")
    lines: list[str] = []
    if rank == 0:
        if not strips:
            lines.append("const i64 i = GID(0);")
    else:
        lines += [f"const i64 i{r} = GID({r});" for r in range(min(rank, _RANK))]
        if rank > _RANK:
            lines[2] = "i64 rest = GID(2);"
            lines.append("const i64 i2 = rest % n2; rest /= n2;")
            for r in range(3, rank):
                last = r == rank - 1
                lines.append(f"const i64 i{r} = rest{'' if last else f' % n{r}; rest /= n{r}'};")
        checks = [f"i{r} >= n{r}" for r in (range(rank) if rank <= _RANK else (0, 1, rank - 1))]
        lines.append(f"if ({' || '.join(checks)}) return;")
        index = "i0"
        for r in range(1, rank):
            index = f"i{r} * " + " * ".join(f"n{q}" for q in range(r)) + f" + {index}"
    computing, values = statements(
        [expr for expr, _ in roots], d, lambda k: reads[k], lambda k: f"a{k}"
    )
    lines += computing
    for k, ((expr, dtype), value) in enumerate(zip(roots, values, strict=True)):
        place = index
        if strided_out:
            place = f"out{k}_at + " + " + ".join(f"i{r} * out{k}_s{r}" for r in range(rank))
        lines.append(write(f"out{k}[{place}]", value, expr.type, dtype))
    before = ""
    if strips:
        vectors = d.strip.format(width=strip_width(roots))
        lines, before = in_strips(lines, vectors, f"{name}_far", arguments)
    text = before + "{} {}({}) {{\n    {}\n}}".format(
        d.kernel, name, ", ".join(arguments), "\n    ".join(lines)
    )
    return text, " ".join(words)


_WITH_NEAR = re.compile(rf"= ({'|'.join(sorted(WITH_NEAR))})\((.*)\);")


# A number that was passed, as it is named.
_NUMBER = re.compile(r"const f32 (\w+) = x\d+;")


def takes_strips(roots: Sequence[tuple[Expr, DType]], dialect: Dialect) -> bool:
    """The expressions have functions that are worth vectors of full width."""
    return bool(dialect.strip) and any(
        f"{node.op}_{suffix(node.type)}" in OWN for node in ordered(tuple(e for e, _ in roots))
    )


def strip_width(roots: Sequence[tuple[Expr, DType]]) -> int:
    """The elements of a vector: of 512 bits where float32 is the widest type."""
    nodes = ordered(tuple(e for e, _ in roots))
    return 8 if any(node.type is float64 for node in nodes) else 16


def in_strips(
    lines: list[str], vectors: str, far: str, arguments: list[str]
) -> tuple[list[str], str]:
    """The statements for an element `i`, as those for a strip of elements, and what goes before.

    Where a function has a shorter way for most arguments, the strip goes that way, and is done
    again where one argument was not of those: a choice for each element would compute both. Then
    the others go the shorter way again, so that no result depends on what lies beside it.

    Args:
        lines: Statements of one element.
        vectors: What stands before a loop that is to be vectorised.
        far: Name for the function that does a strip again. It stands apart because compiling
            grows faster than the text.
        arguments: The kernel's arguments, as they are declared.
    """
    loop = f"for (i64 i = first; i < first + {FLAT}; i++) {{"
    made = [f"const i64 first = GID(0) * {FLAT};"]
    near: list[str] = []
    chosen: list[str] = []
    same = {found[1] for line in lines if (found := _NUMBER.fullmatch(line))}
    for line in lines:
        found = _WITH_NEAR.search(line)
        if found is None:
            near.append(line)
            chosen.append(line)
        else:
            name, operands = found[1], found[2]
            of_one = operands.split()[-1] in same and name in WITH_NEAR_OF_ONE
            short, far_ = (WITH_NEAR_OF_ONE if of_one else WITH_NEAR)[name]
            near.append(f"rare |= {far_}({operands});")
            near.append(line.replace(f"= {name}", f"= {short}", 1))
            choice = f"{far_}({operands}) ? {name}({operands}) : {short}({operands})"
            chosen.append(line.replace(f"{name}({operands})", choice, 1))
    if len(near) == len(lines):
        return [*made, vectors, loop, *lines, "}"], ""
    names = ", ".join(argument.split()[-1] for argument in arguments)
    again = "APART void {}({}, const i64 first) {{\n    {}\n}}\n}}\n\n".format(
        far, ", ".join(arguments), "\n    ".join([loop, *chosen])
    )
    call = f"if (rare) {far}({names}, first);"
    return [*made, "u32 rare = 0;", vectors, loop, *near, "}", call], again


def launched_in_strips(launch: Launch) -> Launch:
    """The launch of a flat kernel by strips; sizes are those in elements."""

    def launch_strips(
        sizes: tuple[int, ...], local: tuple[int, ...] | None, *arguments: Any
    ) -> None:
        strips = sizes[0] // FLAT
        # No work-item may be beyond the end, so groups must divide the range.
        launch((strips,), (min(strips & -strips, 16),), *arguments)

    return launch_strips


class Elementwise:
    """The kernel of an elementwise operator on one device.

    Args:
        device: The launcher.
        name: The operator's name.
        describe: Gives results' expressions from operands' dtypes and attributes.
        more: Further helper functions, by full name.
        guarded: Elements beyond the end must not be computed, as their values could trap.
    """

    def __init__(
        self,
        device: Any,
        name: str,
        describe: Describe,
        more: dict[str, str] | None = None,
        guarded: bool = False,
    ) -> None:
        self.device = device
        self.name = f"k_{name}"  # languages have functions of the operators' names
        self.describe = describe
        self.more = more
        self.guarded = guarded
        self._variants: dict[Any, tuple[Launch, tuple[DType, ...]]] = {}

    def variant(
        self,
        modes: str,
        dtypes: tuple[DType | None, ...],
        fixed: tuple[Any, ...],
        passed: tuple[DType, ...],
        rank: int,
        strided_out: bool,
    ) -> tuple[Launch, tuple[DType, ...]]:
        """The compiled kernel of a layout, and the results' dtypes."""
        key = (modes, dtypes, fixed, passed, rank, strided_out)
        found = self._variants.get(key)
        if found is None:
            roots = self.describe(dtypes, fixed, passed)
            present = [(m, t) for m, t in zip(modes, dtypes, strict=True) if t is not None]
            strips = rank == 0 and takes_strips(roots, self.device.dialect)
            text, signature = source_of(
                self.device, self.name, roots, present, passed, rank, strided_out, strips
            )
            source = program([text], self.device.dialect, self.device.double, self.more)
            launch = self.device.compile(source, {self.name: signature})[self.name]
            if strips:
                launch = launched_in_strips(launch)
            found = self._variants[key] = (launch, tuple(t for _, t in roots))
        return found

    def run(
        self,
        operands: Sequence[DeviceArray | None],
        fixed: tuple[Any, ...] = (),
        passed: tuple[DType, ...] = (),
        numbers: tuple[Any, ...] = (),
        out: DeviceArray | None = None,
    ) -> Any:
        """Computes the results.

        Args:
            operands: Arrays; None where one is absent.
            fixed: Attributes that shape the expression.
            passed: Types of the attributes that are passed.
            numbers: Their values.
            out: Memory to write into, of the broadcast shape.
        """
        if out is not None:
            out.settled()
        present = [x for x in operands if x is not None]
        dtypes = tuple([None if x is None else x.dtype for x in operands])
        shape = present[0].shape
        for x in present:
            if x.shape != shape:
                shape = broadcast_shape(*[x.shape for x in present])
                break
        if out is not None and out.shape != shape:
            if broadcast_shape(shape, out.shape) != out.shape:
                raise ValueError(f"results of shape {shape} do not fit {out.shape}")
            shape = out.shape
        size = 1
        for n in shape:
            size *= n
        arguments: list[Any]
        flat = out is None and not self.guarded
        modes = ""
        for operand in operands:
            if operand is None:
                modes += "-"
            elif operand.buffer is None:
                modes += "v"
            elif operand.dense and operand.size == size:
                modes += "c"
            elif operand.size == 1:
                modes += "s"
            else:
                flat = False
                modes += "x"
        if not flat and out is None and not self.guarded and _packed_alike(present, shape, size):
            # All lie in memory in one other order, which the result keeps.
            launch, results = self.variant("c" * len(modes), dtypes, fixed, passed, 0, False)
            made = [self.device.empty_like(present[0], t) for t in results]
            arguments = [x.buffer for x in made]
            for x in present:
                arguments += (x.buffer, x.offset)
            launch((-(-size // FLAT) * FLAT,), None, *arguments, *numbers)
            return made[0] if len(made) == 1 else tuple(made)
        if flat:
            launch, results = self.variant(modes, dtypes, fixed, passed, 0, False)
            made = [self.device.empty(shape, t) for t in results]
            if size:
                arguments = [x.buffer for x in made]
                for x in present:
                    if x.buffer is None:
                        arguments.append(x.value)
                    else:
                        arguments += (x.buffer, x.offset)
                launch((-(-size // FLAT) * FLAT,), None, *arguments, *numbers)
            return made[0] if len(made) == 1 else tuple(made)
        return self._strided(modes, dtypes, present, shape, size, fixed, passed, numbers, out)

    def _strided(
        self,
        modes: str,
        dtypes: tuple[DType | None, ...],
        present: list[DeviceArray],
        shape: tuple[int, ...],
        size: int,
        fixed: tuple[Any, ...],
        passed: tuple[DType, ...],
        numbers: tuple[Any, ...],
        out: DeviceArray | None,
    ) -> Any:
        modes = modes.replace("c", "x").replace("s", "x")
        walking = [x for x in present if x.buffer is not None]
        strides = [broadcast_strides(x, shape) for x in walking]
        strides.append(row_major(shape) if out is None else out.strides)
        sizes, steps = coalesced(shape, strides)
        rank = len(sizes)
        launch, results = self.variant(modes, dtypes, fixed, passed, rank, out is not None)
        if out is not None and results == (bool_,) != (out.dtype,):
            # Truth values fit every dtype, as 0 and 1.
            truth = self._strided(modes, dtypes, present, shape, size, fixed, passed, numbers, None)
            self.device.movement.copy(out, truth)
            return out
        if out is not None and results != (out.dtype,):
            raise TypeError(f"results of {results} do not fit an array of {out.dtype}")
        made = [self.device.empty(shape, t) for t in results] if out is None else [out.settled()]
        if size:
            arguments: list[Any] = []
            for x in made:
                arguments.append(x.buffer)
                if out is not None:
                    arguments += (x.offset, *steps[-1])
            walked = 0
            for x in present:
                if x.buffer is None:
                    arguments.append(x.value)
                else:
                    arguments += (x.buffer, x.offset, *steps[walked])
                    walked += 1
            launch(launch_range(sizes), None, *arguments, *numbers, *sizes)
        if out is not None:
            return out
        return made[0] if len(made) == 1 else tuple(made)


def _packed_alike(present: list[DeviceArray], shape: tuple[int, ...], size: int) -> bool:
    """All operands have one shape and one order in memory, without gaps or repetition."""
    first = present[0]
    strides = first.strides
    for x in present:
        if x.buffer is None or x.shape != shape or x.strides != strides:
            return False
    expected = 1
    for step, n in sorted(zip(strides, shape, strict=True)):
        if n != 1:
            if step != expected:
                return False
            expected *= n
    return expected == size


def quick(kernel: Elementwise, dtype: DType) -> Kernel | None:
    """The shortest way for dense operands of one shape, and for a number beside one.

    It takes operands and answers None where they are anything else.
    """
    if kernel.guarded:
        return None
    pairs: dict[DType, tuple[Launch, DType]] = {}
    numbers: dict[DType, tuple[Launch, DType]] = {}
    single: list[tuple[Launch, DType]] = []
    empty_like = kernel.device.empty_like

    def made(modes: str, *dtypes: DType) -> tuple[Launch, DType] | None:
        launch, results = kernel.variant(modes, dtypes, (), (), 0, False)
        return (launch, results[0]) if len(results) == 1 else None

    def call(x: DeviceArray, y: DeviceArray | None = None) -> DeviceArray | None:
        if x.__class__ is not DeviceArray or not x.dense or x.buffer is None or not x.size:
            return None
        if y is None:
            if not single:
                found = made("c", dtype)
                if found is None:
                    return None
                single.append(found)
            launch, result = single[0]
            out: DeviceArray = empty_like(x, result)
            launch((x.size + 63 & -64,), None, out.buffer, x.buffer, x.offset)
            return out
        if y.buffer is None:
            pair = numbers.get(y.dtype)
            if pair is None:
                pair = made("cv", dtype, y.dtype)
                if pair is None:
                    return None
                numbers[y.dtype] = pair
            out = empty_like(x, pair[1])
            pair[0]((x.size + 63 & -64,), None, out.buffer, x.buffer, x.offset, y.value)
            return out
        if not y.dense or x.shape != y.shape:
            return None
        pair = pairs.get(y.dtype)
        if pair is None:
            pair = made("cc", dtype, y.dtype)
            if pair is None:
                return None
            pairs[y.dtype] = pair
        out = empty_like(x, pair[1])
        pair[0]((x.size + 63 & -64,), None, out.buffer, x.buffer, x.offset, y.buffer, y.offset)
        return out

    return call


def launch_range(sizes: Sequence[int]) -> tuple[int, ...]:
    """The range over coalesced dimensions: the first two, and all others as one."""
    if len(sizes) <= _RANK:
        return tuple(sizes)
    rest = 1
    for n in sizes[2:]:
        rest *= n
    return (sizes[0], sizes[1], rest)


def of_operands(
    dtypes: Sequence[DType | None], passed: Sequence[DType]
) -> tuple[list[Expr | None], list[Expr]]:
    """The leaves of an expression: present operands are numbered as they are passed."""
    leaves: list[Expr | None] = []
    place = 0
    for dtype in dtypes:
        leaves.append(None if dtype is None else load(place, dtype))
        place += dtype is not None
    return leaves, [param(k, type) for k, type in enumerate(passed)]


def plain(kernel: Elementwise) -> Kernel:
    """The operator's kernel for the core: operands by position and no attributes."""
    run = kernel.run

    def call(*operands: DeviceArray | None, out: DeviceArray | None = None) -> Any:
        return run(operands, out=out)

    return call
