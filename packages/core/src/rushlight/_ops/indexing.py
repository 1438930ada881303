"""Subscripts: `x[...]` and `x[...] = value`, with PyTorch's rules for what may stand inside.

Integers, slices, None and Ellipsis give a view, of one view operator whatever their number; index
tensors then read or write through `index` and `index_put`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch
from .._dispatch import GRAD, NO_GRAD, STATE, hang_view_node
from .._dtypes import bool_, int64, uint8
from .._errors import error
from .._operator import operators, view_operator
from .._tensor.construction import from_host
from .._tensor.tensor import PLAIN, Tensor, refreshed, storage_of, strides_of
from ..backend import kind_of
from ._batching import front
from ._indexed import Call, number_of, written
from ._public import method
from .advanced_indexing import (
    brought_together,
    check_mask,
    index_op,
    index_tensors,
    put_call,
)
from .scattering import masked_fill_op
from .views import Geometry

_new = object.__new__

#: What an entry of a `subscript` key may be: an int selects, a triple (start, length, step)
#: slices, `WHOLE` keeps a dimension, `NEW` inserts one.
WHOLE, NEW = None, True
Key = tuple[Any, ...]

select_op, slice_op = operators["select"], operators["slice"]
subscript_op = view_operator("subscript(Tensor(a) x, *, object[] key) -> Tensor(a)")


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
    _dispatch.write(subscript_op(out, key=key), src)
    return out  # type: ignore[no-any-return]


@subscript_op.batching
def _(inputs: Any, bdims: Any, *, key: Key) -> Any:
    return subscript_op(front(inputs[0], bdims[0]), key=(WHOLE, *key)), 0


# -- basic subscripts -----------------------------------------------------------------------


def getitem(self: Tensor, key: Any) -> Tensor:
    """`x[key]`.

    Integers, slices, None and Ellipsis give a view; tensors, arrays and lists of indices, and
    masks, a copy.

    Raises:
        IndexError: An index lies outside, or is no index.
        ValueError: A slice's step is not positive.
    """
    if self.__class__ in PLAIN:
        state = STATE.get()
        if state is GRAD or state is NO_GRAD:
            kind = key.__class__
            storage = self._storage
            if storage is None:
                storage = storage_of(self)
            shape = self._shape
            steps = self._strides
            if steps is None:
                steps = strides_of(self)
            attributes: dict[str, Any]
            # The two commonest subscripts, without the calls that the general way takes.
            if kind is int and shape:
                n = shape[0]
                if 0 <= key < n:
                    index = key
                elif -n <= key < 0:
                    index = key + n
                else:
                    raise _outside(key, 0, n)
                op = select_op
                attributes = {"dim": 0, "index": index}
                offset = self._offset + index * steps[0]
                shape = shape[1:]
                steps = steps[1:]
            elif kind is slice and shape:
                start, stop, step = key.indices(shape[0])
                if step <= 0:
                    raise _bad_step(step)
                length = (stop - start + step - 1) // step if stop > start else 0
                op = slice_op
                attributes = {"dim": 0, "start": start, "length": length, "step": step}
                offset = self._offset + start * steps[0]
                shape = (length, *shape[1:])
                steps = steps if step == 1 else (steps[0] * step, *steps[1:])
            elif kind is tuple and BASIC.issuperset([*map(type, key)]):
                entries = basic_key(key, shape)
                op, attributes = view_call(entries)
                rule: Any = op.view_rule
                shape, steps, offset = rule(shape, steps, self._offset, **attributes)
            else:
                return _getitem(self, key)
            out = _new(Tensor)
            out._k = self._k
            out._a = None
            out._storage = storage
            out._shape = shape
            out._strides = steps
            out._offset = offset
            out._view = (self, op, attributes, storage.rewrites)
            out._req = False
            out._node = None
            if state is GRAD and (self._req if self._view is None else refreshed(self)):
                hang_view_node(op, self, attributes, out)
            return out
    return _getitem(self, key)


#: Types of which a subscript that gives a view consists.
BASIC = frozenset((int, slice, type(None), type(Ellipsis)))


def basic_key(key: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    """The entries of `subscript` for integers, slices, None and Ellipsis."""
    entries: list[Any] = []
    dim = 0
    ndim = len(shape)
    for place, item in enumerate(key):
        kind = item.__class__
        if kind is int:
            if dim >= ndim:
                raise _too_many(ndim)
            n = shape[dim]
            if not -n <= item < n:
                raise _outside(item, dim, n)
            entries.append(item if item >= 0 else item + n)
            dim += 1
        elif kind is slice:
            if dim >= ndim:
                raise _too_many(ndim, sliced=True)
            entries.append(_slice_entry(item, shape[dim]))
            dim += 1
        elif item is None:
            entries.append(NEW)
        else:
            rest = sum(1 for later in key[place + 1 :] if later.__class__ in (int, slice))
            whole = max(ndim - dim - rest, 0)
            entries.extend([WHOLE] * whole)
            dim += whole
    return entries


def _slice_entry(item: slice, n: int) -> Any:
    if item.start is None and item.stop is None and item.step is None:
        return WHOLE
    start, stop, step = item.indices(n)
    if step <= 0:
        raise _bad_step(step)
    length = (stop - start + step - 1) // step if stop > start else 0
    if start == 0 and length == n and step == 1:
        return WHOLE
    return start, length, step


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


def _outside(index: int, dim: int, n: int) -> Exception:
    return error(
        IndexError,
        "index",
        f"index {index} is out of bounds for dimension {dim} with size {n}",
        expected=f"{-n} <= index < {n}",
    )


def _bad_step(step: int) -> Exception:
    return error(
        ValueError,
        "slice",
        "step must be greater than zero",
        given=f"step={step}",
        fix="use flip(...) to reverse",
    )


def _too_many(ndim: int, *, sliced: bool = False) -> Exception:
    if ndim:
        return error(IndexError, "index", f"too many indices for tensor of dimension {ndim}")
    if sliced:
        return error(IndexError, "index", "slice() cannot be applied to a 0-dim tensor.")
    return error(
        IndexError,
        "index",
        "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a number",
    )


# -- subscripts with index tensors ----------------------------------------------------------


def _getitem(self: Tensor, key: Any) -> Tensor:
    """The general way of `x[key]`."""
    answer = _overridden(Tensor.__getitem__, self, key)
    if answer is not NotImplemented:
        return answer  # type: ignore[no-any-return]
    x, given = subject(self, key)
    if not given:
        return x if x is not self else subscript_op(self, key=())  # type: ignore[no-any-return]
    mask = _only_mask(given)
    if mask is not None and mask.ndim == x.ndim:
        check_mask("index", tuple(x.shape), 0, mask)
        return operators["masked_select"](x, _as_bool(mask))  # type: ignore[no-any-return]
    indices, dims = index_tensors("index", tuple(x.shape), given)
    together, places = brought_together(x, indices, dims)
    return index_op.entry(x, *together, dims=places)  # type: ignore[no-any-return]


def _overridden(function: Any, self: Any, key: Any, *more: Any) -> Any:
    """The answer of a tensor subclass, else `NotImplemented`."""
    if STATE.get().overrides:
        items = key if isinstance(key, tuple) else (key,)
        candidates = (self, *items, *more)
        if any(isinstance(x, Tensor) and x.__class__ not in PLAIN for x in candidates):
            return _dispatch.overridden(function, (self, key, *more), {})
    return NotImplemented


def _only_mask(given: list[tuple[int, Tensor]]) -> Tensor | None:
    """The mask, if that is the one index."""
    if len(given) == 1 and given[0][1].dtype in (bool_, uint8):
        return given[0][1]
    return None


def _as_bool(mask: Tensor) -> Tensor:
    return mask if mask.dtype is bool_ else operators["cast"](mask, dtype=bool_)


def subject(self: Tensor, key: Any) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """The view that the basic part of a subscript names, and the index tensors on its dimensions.

    The basic part applies first; an index tensor keeps the dimensions it stands for whole.
    """
    items = key if key.__class__ is tuple else _as_items(key)
    shape = tuple(self.shape)
    items = [_normal(item, self) for item in items]
    wanted = 0
    for item in items:
        wanted += _extent(item)
    if wanted > len(shape) and shape:
        raise error(
            IndexError,
            "index",
            f"too many indices for tensor of dimension {len(shape)}",
            given=f"{wanted} indices",
        )
    entries: list[Any] = []
    given: list[tuple[int, Tensor]] = []
    dim = seen = 0  # dimensions of x that are dealt with, and of the view
    for item in items:
        if item is None:
            entries.append(NEW)
            seen += 1
        elif item is Ellipsis:
            whole = len(shape) - wanted
            entries.extend([WHOLE] * whole)
            # Only the first Ellipsis stands for something.
            wanted += whole
            dim, seen = dim + whole, seen + whole
        elif isinstance(item, bool):
            entries.append(NEW)
            given.append((seen, _flag(item, self)))
            seen += 1
        elif isinstance(item, Tensor):
            extent = _extent(item)
            if dim + extent > len(shape):
                raise _too_many(len(shape))
            given.append((seen, item))
            entries.extend([WHOLE] * extent)
            dim, seen = dim + extent, seen + extent
        else:
            entries.extend(basic_key((item,), shape[dim:]) if dim < len(shape) else _none(item, shape))
            dim, seen = dim + 1, seen + isinstance(item, slice)
    if all(entry is WHOLE for entry in entries):
        return self, given
    op, attributes = view_call(entries)
    return op.entry(self, **attributes), given


def _none(item: Any, shape: tuple[int, ...]) -> list[Any]:
    raise _too_many(len(shape), sliced=isinstance(item, slice))


def _extent(item: Any) -> int:
    """How many dimensions an item stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype in (bool_, uint8):
        return item.ndim
    return 1


def _flag(value: bool, x: Tensor) -> Tensor:
    """The index of a new dimension that keeps it, or empties it."""
    return operators["full"].function(  # type: ignore[no-any-return]
        (1,) if value else (0,), 0, dtype=int64, device=x.device
    )


def _as_items(key: Any) -> Sequence[Any]:
    """A subscript that is not a tuple as one; a list with anything but numbers is one, as in
    torch."""
    if isinstance(key, list) and len(key) < 32:
        for item in key:
            if item is None or item is Ellipsis or isinstance(item, (Sequence, slice, Tensor)):
                warnings.warn(
                    "Using a non-tuple sequence for multidimensional indexing is deprecated; use "
                    "x[tuple(seq)] instead of x[seq]",
                    UserWarning,
                    stacklevel=4,
                )
                return key
    return (key,)


def _normal(item: Any, x: Tensor) -> Any:
    """An item of a subscript as int, slice, None, Ellipsis, bool or index tensor."""
    if item.__class__ in _ITEMS:
        return item
    if isinstance(item, Tensor):
        dtype = item.dtype
        if not item.ndim and not dtype.is_inexact and _readable(item):
            value = item.item()
            return bool(value) if dtype in (bool_, uint8) else int(value)
        if not item.ndim and dtype in (bool_, uint8):
            return operators["unsqueeze"](item, dim=0)
        return item
    if isinstance(item, np.ndarray):
        return from_host(item, x.device)
    if isinstance(item, (list, tuple, range)):
        return _list_index(item, x)
    try:
        if not isinstance(item, np.bool_):
            return int(item.__index__())
    except (AttributeError, TypeError):
        pass
    raise error(
        IndexError,
        "index",
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {type(item).__name__})",
    )


_ITEMS = frozenset((int, slice, type(None), type(Ellipsis), bool))


def _readable(x: Tensor) -> bool:
    """Whether the value of an index may be looked at: not inside a transform or a capture."""
    return not (getattr(x, "is_level_tensor", False) or x.is_meta) and STATE.get().recorder is None


def _list_index(item: Any, x: Tensor) -> Tensor:
    """The index tensor of a list of integers, or of bools."""
    from .._tensor.construction import tensor

    if not len(item):
        return operators["full"].function((0,), 0, dtype=int64, device=x.device)  # type: ignore[no-any-return]
    made: Tensor = tensor(list(item), device=x.device)
    if made.dtype.is_inexact:
        return operators["cast"](made, dtype=int64)  # type: ignore[no-any-return]
    return made


# -- writing --------------------------------------------------------------------------------


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`: writes into the tensor's memory.

    Args:
        self: The tensor to write.
        key: As for reading.
        value: A number, or a tensor that broadcasts to what the key selects. It is converted to the
            dtype of a view, but must have the dtype already where index tensors select.
    Raises:
        IndexError: An index lies outside, or is no index.
        RuntimeError: The value does not broadcast, or has another dtype.
    """
    answer = NotImplemented
    if self.__class__ not in PLAIN or value.__class__ not in PLAIN:
        answer = _overridden(Tensor.__setitem__, self, key, value)
        if answer is not NotImplemented:
            return
    kind = key.__class__
    given: list[tuple[int, Tensor]]
    if kind is int or kind is slice or (kind is tuple and BASIC.issuperset([*map(type, key)])):
        x, given = getitem(self, key), []
    else:
        x, given = subject(self, key)
    if not isinstance(value, Tensor):
        value = _number_tensor(x, value)
    if not given:
        _write_view(x, value)
        return
    mask = _only_mask(given)
    if mask is not None and value.numel() == 1:
        check_mask("index", tuple(x.shape), given[0][0], mask)
        _fill(x, mask, given[0][0], value)
        return
    indices, dims = index_tensors("index", tuple(x.shape), given)
    together, places = brought_together(x, indices, dims)
    value = _without_leading_ones(value, x.ndim)
    call = put_call("index_put", x, together, value, False, places)
    written(call, "index_put")


def _number_tensor(x: Tensor, value: Any) -> Tensor:
    """A Python number as a 0-d tensor of another's kind."""
    if not isinstance(value, (bool, int, float, complex)) or isinstance(value, np.generic) and not (
        isinstance(value, (np.float64, np.complex128))
    ):
        raise error(
            TypeError,
            "index_put",
            f"can't assign a {type(value).__name__} to a tensor of {x.dtype}",
            expected="a number or a Tensor",
            fix="convert it with rushlight.as_tensor(value)",
        )
    number_of("index_put", x, value)
    kind = x._k
    if kind.is_meta:
        return _dispatch.meta_tensor(kind, (), None)
    return _dispatch.fresh(kind_of(kind.device, kind.dtype), kind.scalar(value))


def _write_view(x: Tensor, value: Tensor) -> None:
    """Writes a value into a view, directly where nothing is recorded."""
    if value.ndim > x.ndim:
        value = _without_leading_ones(value, x.ndim)
    if value.ndim:
        _check_fits(x, value)
    _dispatch.write(x, value)


def _check_fits(x: Tensor, value: Tensor) -> None:
    """Raises unless a value broadcasts to a view."""
    shape, wanted = tuple(value.shape), tuple(x.shape)
    if shape == wanted:
        return
    for back, n in enumerate(reversed(shape), 1):
        if back > len(wanted) or n not in (1, wanted[-back]):
            size = wanted[-back] if back <= len(wanted) else None
            raise error(
                RuntimeError,
                "index_put",
                f"The expanded size of the tensor ({size}) must match the existing size ({n}) at "
                f"non-singleton dimension {len(wanted) - back}",
                given=f"a value of shape {shape}",
                expected=f"one that broadcasts to {wanted}",
            )


def _without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    """A value without the leading dimensions of size 1 that the target does not have."""
    extra = value.ndim - ndim
    if extra <= 0:
        return value
    shape = tuple(value.shape)
    leading = 0
    while leading < len(shape) and shape[leading] == 1:
        leading += 1
    if not leading:
        return value
    return value.reshape(shape[leading:])


def _fill(x: Tensor, mask: Tensor, dim: int, value: Tensor) -> None:
    """`x[mask] = one value`, with the mask on the dimensions from `dim`."""
    after = x.ndim - dim - mask.ndim
    if after:
        mask = mask.reshape(*mask.shape, *(1,) * after)
    if value.ndim:
        value = value.reshape(())
    value = operators["to_kind"].function(value, x._k)
    if mask._k.device != x._k.device:
        mask = operators["transfer"](mask, device=x._k.device)
    written(Call(masked_fill_op, (x, _as_bool(mask), value), {}), "index_put")


method("__getitem__", getitem)
method("__setitem__", setitem)
