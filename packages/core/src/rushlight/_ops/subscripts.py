"""Basic subscripts: integers, slices, None and Ellipsis, which together make one view."""

from __future__ import annotations

from typing import Any

from .. import _writes
from .._errors import error
from .._operator import view_operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import front
from .views import select_op as select_op
from .views import slice_op as slice_op

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]

#: What an entry of a `subscript` key may be: an int selects, a triple (start, length, step)
#: slices, `WHOLE` keeps a dimension, `NEW` inserts one.
WHOLE, NEW = None, True
Key = tuple[Any, ...]

subscript_op = view_operator("subscript(Tensor(a) x, *, object[] key) -> Tensor(a)")
subscript_op.selects = True


@subscript_op.view
def _(shape: Any, strides: Any, offset: int, *, key: Key) -> Geometry:
    size: list[int] = []
    steps: list[int] = []
    dim = 0
    for entry in key:
        if entry is NEW:
            size.append(1)
            steps.append(shape[dim] * strides[dim] if dim < len(shape) else 1)
            continue
        if entry is WHOLE:
            size.append(shape[dim])
            steps.append(strides[dim])
        elif entry.__class__ is tuple:
            start, length, step = entry
            size.append(length)
            steps.append(strides[dim] * step)
            offset += start * strides[dim]
        else:
            offset += entry * strides[dim]
        dim += 1
    return (*size, *shape[dim:]), (*steps, *strides[dim:]), offset


@subscript_op.scatter
def _(x: Tensor, src: Tensor, *, key: Key) -> Tensor:
    out = operators["clone"](x)
    _writes.write(subscript_op(out, key=key), src)
    return out  # type: ignore[no-any-return]


@subscript_op.batching
def _(inputs: Any, bdims: Any, *, key: Key) -> Any:
    return subscript_op(front(inputs[0], bdims[0]), key=(WHOLE, *key)), 0


# -- keys ---------------------------------------------------------------------------------

#: Types of which a subscript that gives a view consists.
BASIC = frozenset((int, slice, type(None), type(Ellipsis)))
FIRST = (0,)


def basic_view(
    key: tuple[Any, ...], shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Any:
    """What a key of integers, slices, None and Ellipsis makes of a geometry, in one pass.

    Returns:
        Operator, attributes, shape, strides and offset; None for a key with something else in it.
    """
    size: list[int] = []
    steps: list[int] = []
    entries: list[Any] = []
    dim, ndim, active, spread = 0, len(shape), 0, False
    for item in key:
        kind = item.__class__
        if kind is int:
            if dim >= ndim:
                raise too_many(ndim)
            n = shape[dim]
            if not -n <= item < n:
                raise outside(item, dim, n)
            if item < 0:
                item += n
            offset += item * strides[dim]
            entries.append(item)
            dim += 1
            active += 1
        elif kind is slice:
            if dim >= ndim:
                raise too_many(ndim, sliced=True)
            n = shape[dim]
            start, stop, step = item.indices(n)
            if step == 1 and start == 0 and stop == n:
                size.append(n)
                steps.append(strides[dim])
                entries.append(WHOLE)
            else:
                if step <= 0:
                    raise bad_step(step)
                length = (stop - start + step - 1) // step if stop > start else 0
                size.append(length)
                steps.append(strides[dim] * step)
                offset += start * strides[dim]
                entries.append((start, length, step))
                active += 1
            dim += 1
        elif item is None:
            size.append(1)
            steps.append(shape[dim] * strides[dim] if dim < ndim else 1)
            entries.append(NEW)
            active += 2
        elif item is Ellipsis:
            # Of several, only the first stands for something.
            rest = 0 if spread else ndim - sum([c.__class__ in _TAKES_ONE for c in key])
            spread = True
            for _ in range(rest):
                size.append(shape[dim])
                steps.append(strides[dim])
                entries.append(WHOLE)
                dim += 1
        else:
            return None
    if dim < ndim:
        size.extend(shape[dim:])
        steps.extend(strides[dim:])
    attributes: dict[str, Any]
    if active == 1:
        at = 0
        while entries[at] is WHOLE:
            at += 1
        only = entries[at]
        if only.__class__ is tuple:
            start, length, step = only
            attributes = {"dim": at, "start": start, "length": length, "step": step}
            return slice_op, attributes, tuple(size), tuple(steps), offset
        return select_op, {"dim": at, "index": only}, tuple(size), tuple(steps), offset
    return subscript_op, {"key": tuple(entries)}, tuple(size), tuple(steps), offset


_TAKES_ONE = frozenset((int, slice))


def entry_of(item: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """The entry of a key for an integer or a slice.

    Raises:
        IndexError: There is no such dimension, or no such position.
        ValueError: The step is not positive.
    """
    if dim >= len(shape):
        raise too_many(len(shape), sliced=isinstance(item, slice))
    n = shape[dim]
    if isinstance(item, int):
        if not -n <= item < n:
            raise outside(item, dim, n)
        return item if item >= 0 else item + n
    start, stop, step = item.indices(n)
    if step <= 0:
        raise bad_step(step)
    length = (stop - start + step - 1) // step if stop > start else 0
    return WHOLE if length == n and step == 1 else (start, length, step)


def view_call(entries: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The operator and attributes for a key: `select` or `slice` where one is enough."""
    while entries and entries[-1] is WHOLE:
        entries.pop()
    if entries and entries[-1] is not NEW and entries.count(WHOLE) == len(entries) - 1:
        last, dim = entries[-1], len(entries) - 1
        if last.__class__ is tuple:
            start, length, step = last
            return slice_op, {"dim": dim, "start": start, "length": length, "step": step}
        return select_op, {"dim": dim, "index": last}
    return subscript_op, {"key": tuple(entries)}


def outside(index: int, dim: int, n: int) -> Exception:
    return error(
        IndexError,
        "index",
        f"index {index} is out of bounds for dimension {dim} with size {n}",
        expected=f"{-n} <= index < {n}",
    )


def bad_step(step: int) -> Exception:
    return error(
        ValueError,
        "slice",
        "step must be greater than zero",
        given=f"step={step}",
        fix="use flip(...) to reverse",
    )


def too_many(ndim: int, *, sliced: bool = False) -> Exception:
    if ndim:
        return error(IndexError, "index", f"too many indices for tensor of dimension {ndim}")
    if sliced:
        return error(IndexError, "index", "slice() cannot be applied to a 0-dim tensor.")
    return error(
        IndexError,
        "index",
        "invalid index of a 0-dim tensor",
        fix="use tensor.item() for its value as a Python number",
    )
