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
from .._tensor.tensor import PLAIN, Tensor, fresh, native_of, refreshed, storage_of, strides_of
from ._batching import front
from ._indexed import Call, number_of, written
from ._public import method
from .advanced_indexing import (
    brought_together,
    check_mask,
    index_op,
    index_put_op,
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
            elif kind is tuple or key is None or key is Ellipsis:
                found = _basic(key if kind is tuple else (key,), shape, steps, self._offset)
                if found is None:
                    return _getitem(self, key)
                op, attributes, shape, steps, offset = found
            elif kind is Tensor and key._k.dtype is int64 and shape and key.ndim:
                return _read(self, (key,), FIRST)
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
FIRST = (0,)


def _basic(
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
                raise _too_many(ndim)
            n = shape[dim]
            if not -n <= item < n:
                raise _outside(item, dim, n)
            if item < 0:
                item += n
            offset += item * strides[dim]
            entries.append(item)
            dim += 1
            active += 1
        elif kind is slice:
            if dim >= ndim:
                raise _too_many(ndim, sliced=True)
            n = shape[dim]
            start, stop, step = item.indices(n)
            if step == 1 and start == 0 and stop == n:
                size.append(n)
                steps.append(strides[dim])
                entries.append(WHOLE)
            else:
                if step <= 0:
                    raise _bad_step(step)
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


def _read(x: Tensor, indices: tuple[Tensor, ...], dims: tuple[int, ...]) -> Tensor:
    """`index`, by the kernel itself where nothing is recorded."""
    state = STATE.get()
    kind = x._k
    kernel = kind.hot[index_op.index]
    if kernel is not None and (state is NO_GRAD or (state is GRAD and not x.requires_grad)):
        for y in indices:
            if y.__class__ not in PLAIN or y._k.runtime is not kind.runtime:
                break
        else:
            native = x._a if x._a is not None else native_of(x)
            try:
                result = kernel(native, *[native_of(y) for y in indices], dims=dims)
            except Exception as raised:
                attributes = {"dims": dims}
                raise _dispatch.explained(index_op, (x, *indices), attributes, raised) from raised
            return fresh(kind, result)
    return index_op.entry(x, *indices, dims=dims)  # type: ignore[no-any-return]


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
    return _read(x, together, places)


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
            entries.extend(
                basic_key((item,), shape[dim:]) if dim < len(shape) else _none(item, shape)
            )
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
    if self.__class__ in PLAIN and _write_plainly(self, key, value):
        return
    if _overridden(Tensor.__setitem__, self, key, value) is not NotImplemented:
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


def _write_plainly(self: Tensor, key: Any, value: Any) -> bool:
    """Writes where nothing is recorded, the value has the tensor's kind, and the key is simple: a
    basic one, or one index tensor.  Says whether it did."""
    state = STATE.get()
    kind = self._k
    if kind.is_meta or not (state is NO_GRAD or (state is GRAD and not self.requires_grad)):
        return False
    if value.__class__ in kind.numbers:
        source = kind.scalar(value)
    elif value.__class__ in PLAIN and value._k is kind:
        if state is GRAD and value.requires_grad:
            return False
        source = native_of(value)
    else:
        return False
    storage = storage_of(self)
    shape, steps, offset = self._shape, strides_of(self), self._offset
    if key.__class__ is int and shape and -shape[0] <= key < shape[0]:
        offset += (key if key >= 0 else key + shape[0]) * steps[0]
        shape, steps = shape[1:], steps[1:]
    elif key.__class__ is Tensor:
        return _put_plainly(self, key, value, source)
    else:
        kind_of_key = key.__class__
        if kind_of_key is not tuple and kind_of_key not in BASIC:
            return False
        found = _basic(key if kind_of_key is tuple else (key,), shape, steps, offset)
        if found is None:
            return False
        _, _, shape, steps, offset = found
    if 0 in steps or len(source.shape) > len(shape):
        return False
    target = kind.runtime.view(storage.buffer, offset, shape, steps, kind.dtype)
    try:
        kind.runtime.copy(target, source)
    except ValueError:
        return False  # shapes that do not fit: the way of checks and messages
    storage.version += 1
    return True


def _put_plainly(self: Tensor, key: Tensor, value: Any, source: Any) -> bool:
    """The same for one index tensor or mask."""
    kind = self._k
    storage = self._storage
    if not key.ndim or not self.ndim or key._k.runtime is not kind.runtime:
        return False
    if key._storage is storage or (isinstance(value, Tensor) and value._storage is storage):
        return False
    if 0 in strides_of(self):
        return False
    dtype = key._k.dtype
    native = native_of(self)
    if dtype is int64:
        put = kind.outs[index_put_op.index]
        if put is None:
            return False
        try:
            put(native, source, native_of(key), dims=FIRST, accumulate=False, out=native)
        except ValueError:
            return False
    elif dtype is bool_ and not source.shape and key.shape == self.shape:
        fill = kind.outs[masked_fill_op.index]
        if fill is None:
            return False
        fill(native, native_of(key), source, out=native)
    else:
        return False
    assert storage is not None
    storage.version += 1
    return True


def _number_tensor(x: Tensor, value: Any) -> Tensor:
    """A Python number as a 0-d tensor of another's kind."""
    kind = x._k
    if value.__class__ in kind.numbers and not kind.is_meta:
        return fresh(kind, kind.scalar(value))
    if not isinstance(value, (bool, int, float, complex)):
        raise error(
            TypeError,
            "index_put",
            f"can't assign a {type(value).__name__} to a tensor of {x.dtype}",
            expected="a number or a Tensor",
            fix="convert it with rushlight.as_tensor(value)",
        )
    number_of("index_put", x, value)
    if kind.is_meta:
        return _dispatch.meta_tensor(kind, (), None)
    return fresh(kind, kind.scalar(value))


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
