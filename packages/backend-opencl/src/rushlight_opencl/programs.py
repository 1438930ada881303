"""Programs: compiling, and launching kernels with as little work per call as pyopencl allows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyopencl as cl

_TYPES = {
    "i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16, "i32": np.int32,
    "u32": np.uint32, "i64": np.int64, "u64": np.uint64, "f32": np.float32, "f64": np.float64,
    "c64": np.complex64, "c128": np.complex128,
}  # fmt: skip
# PoCL writes "error: file:line:column: text", other compilers "file:line:column: error: text".
_LINE = re.compile(r"(?:error: )?\S+?:(\d+):\d+:(?: error:)? (.*)")


class BuildError(RuntimeError):
    """A driver refused a program."""


def build(device: Any, source: str, signatures: Mapping[str, str], options: tuple[str, ...]) -> Any:
    """The kernels of a program, by name.

    Raises:
        BuildError: The driver refused it; the message has the line.
    """
    try:
        with warnings.catch_warnings():
            # Intel's compiler reports that it has compiled.
            warnings.simplefilter("ignore", cl.CompilerWarning)
            program = cl.Program(device.context, source).build(list(options))
    except (cl.RuntimeError, cl.LogicError) as raised:
        raise BuildError(_build_failure(device, source, str(raised))) from raised
    # `program.name` would make each kernel anew, at 80 us.
    made = {kernel.function_name: kernel for kernel in program.all_kernels()}
    for name, signature in signatures.items():
        made[name].set_scalar_arg_dtypes(
            [None if word == "p" else _TYPES[word] for word in signature.split()]
        )
    return made


def _build_failure(device: Any, source: str, log: str) -> str:
    text = f"device '{device.label}': its compiler refused a kernel"
    found = _LINE.search(log)
    if found is None:
        return f"{text}\n{log}"
    lines = source.splitlines()
    number = int(found[1])
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return f"{text}: {found[2]}\n  line {number}: {line}\n{log}"


def launcher(device: Any, kernel: Any) -> Any:
    """A function that launches a kernel: sizes, work-group sizes or None, arguments.

    A kernel's arguments are state that threads share, so it is set and launched under a lock.
    """
    set_args, enqueue, queue = kernel.set_args, cl.enqueue_nd_range_kernel, device.queue
    ranges: dict[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]] = {}
    most, flat = device.group_limit, device.flat_group

    def chosen(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes rounded up to the work-group's, and those."""
        first = sizes[0]
        if first < 64:
            width = 1 << (first - 1).bit_length()
        elif first % 64:
            width = 64
        else:  # flat kernels come rounded up to 64, and must not be rounded any further
            width = min(first & -first, flat)
        width = min(width, most)
        made = ((-(-first // width) * width, *sizes[1:]), (width,) + (1,) * (len(sizes) - 1))
        if len(ranges) < 1024:
            ranges[sizes] = made
        return made

    def launch(sizes: tuple[int, ...], local: tuple[int, ...] | None, *arguments: Any) -> None:
        if local is None:
            sizes, local = ranges.get(sizes) or chosen(sizes)
        with device.lock:
            set_args(*arguments)
            try:
                enqueue(queue, kernel, sizes, local)
            except cl.MemoryError as raised:  # some drivers allocate only now
                raise MemoryError(f"device '{device.label}': {raised}") from raised

    return launch
