"""Reading by subscript: `x[key]`, with PyTorch's rules for what a key may hold.

The basic part of a key makes a view, of one view operator whatever its length; index tensors then
read through `index`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _dispatch, _failures
from .._dtypes import bool_, int64, uint8
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._registered import operators
from .._tensor.construction import from_host, tensor
from .._tensor.tensor import PLAIN, Tensor, fresh, native_of, refreshed, storage_of, strides_of
from .._views import hang_view_node
from ._public import method
from .advanced_indexing import beside, brought_together, check_mask, index_op, index_tensors
from .subscripts import (
    BASIC,
    FIRST,
    NEW,
    WHOLE,
    bad_step,
    basic_view,
    entry_of,
    outside,
    select_op,
    slice_op,
    subscript_op,
    too_many,
    view_call,
)

_new = object.__new__


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
                    raise outside(key, 0, n)
                op = select_op
                attributes = {"dim": 0, "index": index}
                offset = self._offset + index * steps[0]
                shape = shape[1:]
                steps = steps[1:]
            elif kind is slice and shape:
                start, stop, step = key.indices(shape[0])
                if step <= 0:
                    raise bad_step(step)
                length = (stop - start + step - 1) // step if stop > start else 0
                op = slice_op
                attributes = {"dim": 0, "start": start, "length": length, "step": step}
                offset = self._offset + start * steps[0]
                shape = (length, *shape[1:])
                steps = steps if step == 1 else (steps[0] * step, *steps[1:])
            elif kind is tuple or key is None or key is Ellipsis:
                found = basic_view(key if kind is tuple else (key,), shape, steps, self._offset)
                if found is None:
                    if _are_indices(key) and len(key) <= len(shape):
                        return _read(self, key, tuple(range(len(key))))
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


def _are_indices(key: tuple[Any, ...]) -> bool:
    """Whether a key consists of tensors of int64 with dimensions."""
    for item in key:
        if item.__class__ is not Tensor or item._k.dtype is not int64 or not item.shape:
            return False
    return True


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
                raise _failures.explained(index_op, (x, *indices), attributes, raised) from raised
            return fresh(kind, result)
    indices, dims = brought_together(x, list(indices), list(dims))
    return index_op.entry(x, *indices, dims=dims)  # type: ignore[no-any-return]


# -- subscripts with index tensors ----------------------------------------------------------


def _getitem(self: Tensor, key: Any) -> Tensor:
    """The general way of `x[key]`."""
    answer = overridden("__getitem__", self, key)
    if answer is not NotImplemented:
        return answer  # type: ignore[no-any-return]
    x, given = subject(self, key)
    if not given:
        return x if x is not self else subscript_op(self, key=())
    mask = only_mask(given)
    if mask is not None and mask.ndim == x.ndim:
        check_mask("index", tuple(x.shape), 0, mask)
        return operators["masked_select"](x, as_bool(beside(x, mask)))  # type: ignore[no-any-return]
    indices, dims = index_tensors("index", tuple(x.shape), given)
    return _read(x, tuple(indices), tuple(dims))


def overridden(name: str, self: Any, key: Any, *more: Any) -> Any:
    """The answer of a tensor subclass, else `NotImplemented`."""
    if STATE.get().overrides:
        items = key if isinstance(key, tuple) else (key,)
        for x in (self, *items, *more):
            if isinstance(x, Tensor) and x.__class__ not in PLAIN:
                return _dispatch.overridden(getattr(Tensor, name), (self, key, *more), {})
    return NotImplemented


def only_mask(given: list[tuple[int, Tensor]]) -> Tensor | None:
    """The mask, if that is the one index."""
    if len(given) == 1 and given[0][1].dtype in (bool_, uint8):
        return given[0][1]
    return None


def as_bool(mask: Tensor) -> Tensor:
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
                raise too_many(len(shape))
            given.append((seen, item))
            entries.extend([WHOLE] * extent)
            dim, seen = dim + extent, seen + extent
        else:
            entries.append(entry_of(item, dim, shape))
            dim, seen = dim + 1, seen + isinstance(item, slice)
    if all(entry is WHOLE for entry in entries):
        return self, given
    op, attributes = view_call(entries)
    return op.entry(self, **attributes), given


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


_ITEMS = BASIC | {bool}


def _readable(x: Tensor) -> bool:
    """Whether the value of an index may be looked at: not inside a transform or a capture."""
    return not (getattr(x, "is_level_tensor", False) or x.is_meta) and STATE.get().recorder is None


def _list_index(item: Any, x: Tensor) -> Tensor:
    """The index tensor of a list of integers, or of bools."""
    if not len(item):
        return operators["full"].function((0,), 0, dtype=int64, device=x.device)  # type: ignore[no-any-return]
    made: Tensor = tensor(list(item), device=x.device)
    if made.dtype.is_inexact:
        return operators["cast"](made, dtype=int64)  # type: ignore[no-any-return]
    return made


method("__getitem__", getitem)
