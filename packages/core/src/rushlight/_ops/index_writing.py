"""Writing by subscript: `x[key] = value`, into the tensor's own memory."""

from __future__ import annotations

from typing import Any

from .. import _writes
from .._dtypes import bool_, int64
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, fresh, meta_tensor, native_of, storage_of, strides_of
from ._indexed import Call, number_of, written
from ._public import method
from .advanced_indexing import (
    beside,
    brought_together,
    check_mask,
    index_put_op,
    index_tensors,
    put_call,
)
from .indexing import as_bool, getitem, only_mask, overridden, subject
from .scattering import masked_fill_op
from .subscripts import BASIC, FIRST, basic_view


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
    if overridden("__setitem__", self, key, value) is not NotImplemented:
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
    mask = only_mask(given)
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
    elif isinstance(value, Tensor) and value.__class__ in PLAIN and value._k is kind:
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
        found = basic_view(key if kind_of_key is tuple else (key,), shape, steps, offset)
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
        return meta_tensor(kind, (), None)
    return fresh(kind, kind.scalar(value))


def _write_view(x: Tensor, value: Tensor) -> None:
    """Writes a value into a view, directly where nothing is recorded."""
    if value.ndim > x.ndim:
        value = _without_leading_ones(value, x.ndim)
    if value.ndim:
        _check_fits(x, value)
    _writes.write(x, value)


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
    written(Call(masked_fill_op, (x, as_bool(beside(x, mask)), value), {}), "index_put")


method("__setitem__", setitem)
