"""How samples become a batch."""

from __future__ import annotations

import collections.abc
import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import rushlight
from rushlight import Tensor
from rushlight._errors import error

Collate = Callable[..., Any]
# Type, or types, of a sample -> how a batch of it is made.
CollateTable = dict[type | tuple[type, ...], Collate]

# Kinds of NumPy data that no tensor can hold: bytes, text, objects, and records.
_NOT_NUMERIC = "SUOV"


def default_convert(data: Any) -> Any:
    """Turns NumPy arrays into tensors, wherever they are in a sample; nothing else changes.

    Example:
        >>> rushlight.utils.data.default_convert({"x": np.zeros(2), "name": "a"})
        {'x': tensor([0., 0.], dtype=rushlight.float64), 'name': 'a'}
    """
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in _NOT_NUMERIC else rushlight.as_tensor(data)
    if isinstance(data, collections.abc.Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if _is_namedtuple(data):
        return type(data)(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, collections.abc.Sequence):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def default_collate(batch: Any) -> Any:
    """Makes a batch out of a list of samples.

    Tensors and arrays are stacked, numbers become a tensor, texts stay a list; in mappings,
    sequences and named tuples this happens entry by entry.

    Raises:
        TypeError: Samples have a type it does not know.
        RuntimeError: Samples differ in length or shape.

    Example:
        >>> rushlight.utils.data.default_collate([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}])
        {'x': tensor([1, 2]), 'y': ['a', 'b']}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    """`default_collate` with a table of your own: from types to functions.

    Args:
        batch: The samples.
        collate_fn_map: For a type, or a tuple of types, a function of the samples and of the
            table, `collate_fn_map=`. An exact match goes first, then the order of the table.
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for known, function in collate_fn_map.items():
            if isinstance(first, known):
                return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, collections.abc.Mapping):
        columns = {
            key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map)
            for key in first
        }
        return _like_mapping(first, columns)
    if _is_namedtuple(first):
        return kind(
            *(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True))
        )
    if isinstance(first, collections.abc.Sequence):
        return _collate_sequences(batch, collate_fn_map)
    raise _cannot_collate(kind)


def _collate_sequences(batch: Any, collate_fn_map: CollateTable | None) -> Any:
    lengths = {len(sample) for sample in batch}
    if len(lengths) > 1:
        raise error(
            RuntimeError,
            "default_collate",
            "each element in list of batch should be of equal size",
            given=f"samples of lengths {sorted(lengths)}",
            fix="pad them, or pass a collate_fn of your own",
        )
    columns = [
        collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)
    ]
    first = batch[0]
    return columns if isinstance(first, tuple) else _like_sequence(first, columns)


def _cannot_collate(found: Any) -> Exception:
    return error(
        TypeError,
        "default_collate",
        "batch must contain tensors, numpy arrays, numbers, dicts or lists",
        given=f"{found}",
        fix="pass a collate_fn of your own",
    )


def _collate_tensors(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    return rushlight.stack(list(batch), 0)


def _collate_arrays(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    if batch[0].dtype.kind in _NOT_NUMERIC:
        raise _cannot_collate(batch[0].dtype)
    return rushlight.stack([rushlight.as_tensor(array) for array in batch], 0)


def _collate_scalars(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    if isinstance(batch[0], np.generic) and batch[0].dtype.kind in _NOT_NUMERIC:
        raise _cannot_collate(type(batch[0]))
    return rushlight.as_tensor(np.asarray(batch))


def _collate_floats(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    return rushlight.tensor(list(batch), dtype=rushlight.float64)


def _collate_ints(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    return rushlight.tensor(list(batch))


def _collate_texts(batch: Any, *, collate_fn_map: CollateTable | None = None) -> Any:
    return batch


default_collate_fn_map: CollateTable = {
    Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number, np.object_): _collate_scalars,
    float: _collate_floats,
    int: _collate_ints,
    str: _collate_texts,
    bytes: _collate_texts,
}


def _is_namedtuple(data: Any) -> bool:
    return isinstance(data, tuple) and hasattr(data, "_fields")


def _like_mapping(example: Any, items: dict[Any, Any]) -> Any:
    """A mapping of the example's type, if that can be made, with other values."""
    try:
        if isinstance(example, collections.abc.MutableMapping):
            clone = copy.copy(example)  # keeps what else it is, such as a default factory
            clone.update(items)
            return clone
        return type(example)(items)
    except TypeError:
        return items


def _like_sequence(example: Any, items: list[Any]) -> Any:
    """A sequence of the example's type, if that can be made, with other items."""
    if type(example) is list:
        return items
    try:
        if isinstance(example, collections.abc.MutableSequence):
            clone = copy.copy(example)
            for index, item in enumerate(items):
                clone[index] = item
            return clone
        return type(example)(items)
    except TypeError:  # a range, for instance
        return items
