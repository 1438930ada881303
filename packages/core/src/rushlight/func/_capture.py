"""Capture: a run of a function as a flat list of functional operators, to be replayed.

The recorder listens below autograd, so forward, backward and the optimiser's step land in one list.
In-place writes are made functional: every memory has a current value; a write gives it a new one,
and a view that is read afterwards is taken from that.  What was written to memory that existed
before the capture is copied back there at the end of a replay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._dispatch import execute_kernel
from .._errors import error
from .._modes import with_modes
from .._operator import Operator
from .._storage import Storage
from .._tensor.tensor import Tensor, over, storage_of, strides_of
from .._trees import flatten
from .._writes import move_data, new_storage
from ..backend import Kind

Geometry = tuple[tuple[int, ...], tuple[int, ...], int, Kind]


def geometry_of(x: Tensor) -> Geometry:
    """Where in its storage a tensor lies."""
    storage_of(x)
    return tuple(x.shape), tuple(strides_of(x)), x._offset, x._k


class Drawn(int):
    """Part of a random generator's state that a replay draws anew."""

    generator: Any
    blocks: int
    is_seed: bool


@dataclass(slots=True)
class Instruction:
    """One functional operator call.

    Attributes:
        form: "call" (kernel), "view" (view operator), "geometry" (a view of a memory's value), or
            "write" (a memory's value with another value written into a part of it).
        op: The operator of a call or view.
        inputs: Numbers of values; None where an optional input is absent.
        attributes: Attributes, or the geometry.
        outputs: Numbers of the results.
        free: Values that nothing reads afterwards.
    """

    form: str
    op: Operator | None
    inputs: tuple[int | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[int | None, ...]
    free: tuple[int, ...] = ()

    def __str__(self) -> str:
        name = self.op.name if self.op is not None else self.form
        arguments = ["None" if i is None else f"%{i}" for i in self.inputs]
        arguments += [f"{key}={value!r}" for key, value in self.attributes.items()]
        results = ", ".join("_" if o is None else f"%{o}" for o in self.outputs)
        return f"{results} = {name}({', '.join(arguments)})"


@dataclass(slots=True)
class _Memory:
    """The current value of a storage.

    Attributes:
        root: Number of the value.
        geometry: The geometry that the value has.
        known: Values of parts of it by geometry.
        external: It existed before the capture.
        written: It was written since.
    """

    root: int
    geometry: Geometry
    storage: Storage
    known: dict[Geometry, int] = field(default_factory=dict)
    external: bool = False
    written: bool = False


class Recorder:
    """Listens to a run."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.memories: dict[int, _Memory] = {}
        self.reserved: dict[int, tuple[Any, int]] = {}
        self.count = 0

    def number(self) -> int:
        """A number for a new value."""
        self.count += 1
        return self.count - 1

    def add(self, form: str, op: Any, inputs: Any, attributes: Any, count: int = 1) -> list[int]:
        """Appends an instruction; the numbers of its results."""
        outputs = [self.number() for _ in range(count)]
        self.instructions.append(Instruction(form, op, tuple(inputs), attributes, tuple(outputs)))
        return outputs

    # -- what dispatch tells -------------------------------------------------------------

    def execute(
        self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind
    ) -> Any:
        """A call: runs it, and records it if it is a kernel's and not a decomposition."""
        composite = (
            op.decomposition_rule is not None
            and not op.kept
            and (kind.is_meta or kind.t[op.index] is None)
        )
        if composite:
            return execute_kernel(op, inputs, attributes, kind)
        numbers = [None if x is None else self.value_of(x) for x in inputs]
        results = execute_kernel(op, inputs, attributes, kind)
        outs = results if isinstance(results, tuple) else (results,)
        outputs = self.add("call", op, numbers, attributes, len(outs))
        for out, made in zip(outs, outputs, strict=True):
            if out is not None:
                self.born(out, made)
        return results

    def view(self, op: Operator, x: Tensor, attributes: dict[str, Any], out: Tensor) -> None:
        """A view."""
        parent = self.value_of(x)
        memory = self.memories[id(storage_of(x))]
        place = geometry_of(out)
        if place not in memory.known:
            memory.known[place] = self.add("view", op, (parent,), attributes)[0]

    def alias(self, x: Tensor, out: Tensor) -> None:
        """The same memory and geometry under another tensor: nothing to record."""

    def write(self, x: Tensor, value: Tensor) -> None:
        """An in-place write: the memory gets a new value."""
        source = self.value_of(value)
        self.value_of(x)
        storage = storage_of(x)
        memory = self.memories[id(storage)]
        move_data(x, value)
        storage.version += 1
        attributes = {"into": geometry_of(x), "root": memory.geometry}
        memory.root = self.add("write", None, (memory.root, source), attributes)[0]
        memory.known = {memory.geometry: memory.root}
        memory.written = True

    def read(self, x: Tensor, who: str) -> None:
        """Data leaving for Python."""
        raise error(
            RuntimeError,
            who,
            "reading a tensor's data as Python values can't be captured: a replay would repeat "
            "the value of this run",
            fix="keep the computation in tensors, or read outside the captured function",
        )

    def reserve(self, generator: Any, blocks: int) -> tuple[Drawn, Drawn]:
        """A random draw: replays reserve again."""
        seed, offset = generator.take(blocks)
        _, before = self.reserved.get(id(generator), (generator, 0))
        self.reserved[id(generator)] = (generator, before + blocks)
        drawn = []
        for value, is_seed in ((seed, True), (offset, False)):
            one = Drawn(value)
            one.generator, one.blocks, one.is_seed = generator, before, is_seed
            drawn.append(one)
        return drawn[0], drawn[1]

    # -- memories ------------------------------------------------------------------------

    def born(self, out: Tensor, number: int) -> None:
        """A result of a call."""
        storage = storage_of(out)
        place = geometry_of(out)
        self.memories[id(storage)] = _Memory(number, place, storage, {place: number})

    def value_of(self, x: Tensor) -> int:
        """The number of the value that a tensor has now."""
        storage = storage_of(x)
        memory = self.memories.get(id(storage))
        if memory is None:
            memory = self.external(x, storage)
        place = geometry_of(x)
        found = memory.known.get(place)
        if found is None:
            found = self.add("geometry", None, (memory.root,), {"place": place})[0]
            memory.known[place] = found
        return found

    def external(self, x: Tensor, storage: Storage) -> _Memory:
        """Memory from before the capture, as one flat value."""
        size = storage.nbytes() // x._k.dtype.itemsize
        place = ((size,), (1,), 0, x._k)
        number = self.number()
        made = _Memory(number, place, storage, {place: number}, external=True)
        self.memories[id(storage)] = made
        return made


class Program:
    """A captured run.

    Attributes:
        instructions: The functional operator calls in order.

    Calling it runs them with new arguments, which must lie in memory as the captured ones did, and
    gives what the function gave.
    """

    def __init__(self, recorder: Recorder, arguments: list[Any], results: Any) -> None:
        self.instructions = recorder.instructions
        self._count = recorder.count
        self._reserved = list(recorder.reserved.values())
        self._arguments = [geometry_of(x) if isinstance(x, Tensor) else x for x in arguments]
        by_storage = {
            id(storage_of(x)): i for i, x in enumerate(arguments) if isinstance(x, Tensor)
        }
        leaves, self._rebuild = flatten(results)
        self._results = [
            (recorder.value_of(x), None) if isinstance(x, Tensor) else (None, x) for x in leaves
        ]
        self._inputs: list[tuple[int, Geometry, int | None, Storage]] = []
        self._writes: list[tuple[int, Geometry, int | None, Storage]] = []
        first = {id(m.storage): m for m in recorder.memories.values() if m.external}
        for key, memory in first.items():
            number = self._first_number(recorder, memory)
            item = (number, memory.geometry, by_storage.get(key), memory.storage)
            self._inputs.append(item)
            if memory.written:
                self._writes.append((memory.root, *item[1:]))
        self._plan_frees()

    @staticmethod
    def _first_number(recorder: Recorder, memory: _Memory) -> int:
        """The number that an external memory had before any write."""
        number = memory.root
        made = {o: i for i in recorder.instructions for o in i.outputs if i.form == "write"}
        while number in made:
            before = made[number].inputs[0]
            assert before is not None
            number = before
        return number

    def _plan_frees(self) -> None:
        kept = {number for number, _ in self._results} | {number for number, *_ in self._writes}
        last: dict[int, int] = {}
        for place, instruction in enumerate(self.instructions):
            for number in (*instruction.inputs, *instruction.outputs):
                if number is not None:
                    last[number] = place
        frees: dict[int, list[int]] = {}
        for number, place in last.items():
            if number not in kept:
                frees.setdefault(place, []).append(number)
        for place, instruction in enumerate(self.instructions):
            instruction.free = tuple(frees.get(place, ()))

    def __str__(self) -> str:
        return "\n".join(map(str, self.instructions))

    def __call__(self, *args: Any) -> Any:
        """Runs the program.

        Raises:
            RuntimeError: The arguments are not like the captured ones.
        """
        leaves, _ = flatten(args)
        self._check(leaves)
        with with_modes(grad=False):
            return self._run(leaves)

    def _check(self, leaves: list[Any]) -> None:
        if len(leaves) != len(self._arguments):
            raise error(
                RuntimeError,
                "Program",
                f"expected {len(self._arguments)} arguments, got {len(leaves)}",
            )
        for place, (x, wanted) in enumerate(zip(leaves, self._arguments, strict=True)):
            given = geometry_of(x) if isinstance(x, Tensor) else x
            if given != wanted:
                raise error(
                    RuntimeError,
                    "Program",
                    f"argument {place} is not like the captured one",
                    given=str(given),
                    expected=str(wanted),
                    fix="capture the function again with such arguments",
                )

    def _run(self, leaves: list[Any]) -> Any:
        starts = {id(g): (g, g.take(blocks)) for g, blocks in self._reserved}
        values: list[Any] = [None] * self._count
        memories: dict[int, Storage] = {}
        for number, place, argument, storage in self._inputs:
            own = storage if argument is None else storage_of(leaves[argument])
            memories[number] = own
            shape, strides, offset, kind = place
            values[number] = over(kind, own, offset, shape, strides)
        for instruction in self.instructions:
            self._step(instruction, values, starts)
            for number in instruction.free:
                values[number] = None
        results = [constant if n is None else values[n] for n, constant in self._results]
        for root, place, argument, storage in self._writes:
            own = storage if argument is None else storage_of(leaves[argument])
            shape, strides, offset, kind = place
            move_data(over(kind, own, offset, shape, strides), values[root])
            own.version += 1
        return self._rebuild(results)

    def _step(self, instruction: Instruction, values: list[Any], starts: dict[int, Any]) -> None:
        inputs = [None if i is None else values[i] for i in instruction.inputs]
        attributes = instruction.attributes
        if instruction.form == "call":
            assert instruction.op is not None
            if any(isinstance(v, Drawn) for v in attributes.values()):
                attributes = {k: _redrawn(v, starts) for k, v in attributes.items()}
            outs = instruction.op(*inputs, **attributes)
            outs = outs if isinstance(outs, tuple) else (outs,)
            for number, out in zip(instruction.outputs, outs, strict=True):
                if number is not None:
                    values[number] = out
            return
        if instruction.form == "view":
            assert instruction.op is not None
            made = instruction.op(inputs[0], **attributes)
        elif instruction.form == "geometry":
            shape, strides, offset, kind = attributes["place"]
            x: Any = inputs[0]
            made = over(kind, storage_of(x), offset, shape, strides)
        else:
            target: Any = inputs[0]
            source: Any = inputs[1]
            made = _written(target, source, attributes)
        number = instruction.outputs[0]
        assert number is not None
        values[number] = made


def _redrawn(value: Any, starts: dict[int, Any]) -> Any:
    if not isinstance(value, Drawn):
        return value
    seed, offset = starts[id(value.generator)][1]
    return seed if value.is_seed else offset + value.blocks


def _written(root: Tensor, source: Tensor, attributes: dict[str, Any]) -> Tensor:
    """A memory's value with a part of it replaced."""
    shape, strides, offset, kind = attributes["root"]
    extent = offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    storage = new_storage(kind, max(extent, 0) * kind.dtype.itemsize if 0 not in shape else 0)
    made = over(kind, storage, offset, shape, strides)
    shape, strides, offset, into_kind = attributes["into"]
    whole = (shape, strides, offset, into_kind) == attributes["root"]
    if not whole:
        move_data(made, root)
    move_data(over(into_kind, storage, offset, shape, strides), source)
    return made


def capture(func: Callable[..., Any]) -> Callable[..., tuple[Any, Program]]:
    """Runs a function once and records what it computes.

    Args:
        func: Function of tensors and structures of tensors; it may call `backward` and an
            optimiser's `step`.  Reading a tensor's data in it is an error.
    Returns:
        A function that gives (the function's results, the program).

    Example:
        >>> double = lambda x: x * 2
        >>> result, program = rushlight.func.capture(double)(rushlight.tensor([1.0, 2.0]))
        >>> program(rushlight.tensor([3.0, 4.0]))
        tensor([6., 8.])
    """

    def captured(*args: Any) -> tuple[Any, Program]:
        recorder = Recorder()
        leaves, _ = flatten(args)
        with with_modes(recorder=recorder):
            for x in leaves:
                if isinstance(x, Tensor):
                    recorder.value_of(x)
            results = func(*args)
        return results, Program(recorder, leaves, results)

    return captured
