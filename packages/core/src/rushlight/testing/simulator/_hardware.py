"""The hardware: runs a launch on device memory; the array family's kernels are its instructions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..._errors import error
from ...backend import ArrayDevice
from ._array import SimArray
from ._memory import Memory

HostArray = np.ndarray[Any, Any]
_converting = ArrayDevice(np).copy


@dataclass(slots=True)
class Launch:
    """One kernel with all it needs, waiting in the queue.

    Attributes:
        name: The operator, "copy", or "upload" (of host memory, as it is by then).
        kernel: The instructions.
        operands: Arrays that are read, None for absent ones.
        attributes: What the kernel takes by keyword.
        outputs: Arrays that are written, None for absent results.
        line: Where in the user's program it was launched.
    """

    name: str
    kernel: Any
    operands: tuple[SimArray | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[SimArray | None, ...]
    line: str
    several: bool = field(default=False)


def host_view(memory: Memory, array: SimArray) -> HostArray:
    """Device memory as the hardware sees it."""
    size = array.dtype.itemsize
    if not array.size:
        return np.empty(array.shape, array.dtype.numpy)
    low, high = array.extent()
    if low < 0 or high > array.buffer.nbytes:
        raise error(
            RuntimeError,
            "simulator",
            "an array reaches beyond its buffer",
            given=f"{array!r}, bytes {low} to {high}",
            expected=f"0 to {array.buffer.nbytes}",
        )
    return np.ndarray(
        array.shape,
        array.dtype.numpy,
        memory.cells,
        array.buffer.address + array.offset,
        [step * size for step in array.strides],
    )


def execute(memory: Memory, launch: Launch) -> None:
    """Computes the results of a launch and writes them where they belong."""
    operands = [None if x is None else host_view(memory, x) for x in launch.operands]
    if launch.name == "upload":
        (target,) = launch.outputs
        assert target is not None
        host_view(memory, target)[...] = launch.attributes["array"]
        return
    if launch.name == "copy":
        (target,) = launch.outputs
        assert target is not None
        _converting(host_view(memory, target), operands[0])
        return
    with np.errstate(all="ignore"):
        results = launch.kernel(*operands, **launch.attributes)
    given = results if launch.several else (results,)
    if len(given) != len(launch.outputs):
        raise disagreement(launch, f"{len(given)} results", f"{len(launch.outputs)}")
    for place, (result, output) in enumerate(zip(given, launch.outputs, strict=True)):
        if result is None or output is None:
            if result is not output:
                raise disagreement(launch, f"result {place} is {result}", f"{output}")
            continue
        told = f"result {place} of shape {output.shape} and {output.dtype}"
        if result.shape != output.shape or result.dtype != output.dtype.numpy:
            raise disagreement(launch, f"shape {result.shape} and {result.dtype}", told)
        if output.size:
            host_view(memory, output)[...] = result


def disagreement(launch: Launch, given: str, expected: str) -> Exception:
    """The error for a kernel that gives other results than the meta function says."""
    return error(
        RuntimeError,
        launch.name,
        "its kernel does not give what its meta function says",
        given=given,
        expected=expected,
        fix="correct the one that is wrong; on this device the meta function makes the results",
    )
