"""Structure: nested containers as JSON, next to the tensors they hold.

What JSON has stands for itself; everything else is an object with one telling key, such as
{"tuple": [...]} or {"tensor": 3}. Tensors and arrays are numbered, and told in a table of specs.
"""

from __future__ import annotations

import base64
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import error
from .._size import Size
from . import api
from .notes import DTYPES


class Encoder:
    """Turns a value into JSON data and collects its tensors and arrays.

    Attributes:
        leaves: The tensors and arrays in order of their numbers, each with the dotted path at
            which it was met first.
    """

    def __init__(self) -> None:
        rushlight = api()
        self.leaves: list[tuple[str, Any]] = []
        self._numbers: dict[int, int] = {}
        self._open: set[int] = set()
        self._tensor = rushlight.Tensor
        self._dtype = type(rushlight.float32)
        self._device = rushlight.device

    def encode(self, value: Any, path: str = "") -> Any:
        """JSON data for a value; `path` says where it stands."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, self._tensor):
            return {"tensor": self._number(value, path)}
        if kind is np.ndarray:
            _check_array(value.dtype, path)
            return {"array": self._number(value, path)}
        if kind in (list, tuple, dict, OrderedDict, set):
            return self._container(kind, value, path)
        return self._atom(kind, value, path)

    def _number(self, value: Any, path: str) -> int:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.leaves)
            self.leaves.append((path, value))
        return number

    def _container(self, kind: type, value: Any, path: str) -> Any:
        if id(value) in self._open:
            raise error(
                ValueError,
                "save",
                f"{_where(path)} contains itself",
                fix="save a copy without the cycle",
            )
        self._open.add(id(value))
        try:
            if kind in (dict, OrderedDict):
                return self._mapping(kind, value, path)
            items = [self.encode(item, _join(path, i)) for i, item in enumerate(value)]
            return items if kind is list else {kind.__name__: items}
        finally:
            self._open.discard(id(value))

    def _mapping(self, kind: type, value: dict[Any, Any], path: str) -> dict[str, Any]:
        items = [
            [self.encode(key, _join(path, "key")), self.encode(item, _join(path, key))]
            for key, item in value.items()
        ]
        if kind is dict:
            return {"dict": items}
        # Module.state_dict() hangs its version numbers on the OrderedDict.
        metadata = getattr(value, "_metadata", None)
        told = {} if metadata is None else {"metadata": self.encode(metadata, path)}
        return {"ordered_dict": items, **told}

    def _atom(self, kind: type, value: Any, path: str) -> dict[str, Any]:
        if kind is complex:
            return {"complex": [self.encode(value.real), self.encode(value.imag)]}
        if kind in (bytes, bytearray):
            return {kind.__name__: base64.b64encode(value).decode()}
        if kind is Size:
            return {"size": list(value)}
        if isinstance(value, self._dtype):
            return {"dtype": dtype_name(value)}
        if isinstance(value, self._device):
            return {"device": str(value)}
        if isinstance(value, np.generic):
            _check_array(value.dtype, path)
            return {"scalar": [value.dtype.name, base64.b64encode(value.tobytes()).decode()]}
        raise error(
            TypeError,
            "save",
            f"{_where(path)} is a {kind.__module__}.{kind.__qualname__}, which is not plain data",
            expected="tensors, arrays, numbers, strings, None, and dict, OrderedDict, list, tuple, "
            "set of these",
            fix="save its state_dict() if it has one, or convert it to these types",
        )


def dtype_name(dtype: Any) -> str:
    """The bare name of a dtype: "float32"."""
    return str(dtype.name)


def _check_array(dtype: np.dtype[Any], path: str) -> None:
    if dtype.name not in DTYPES:
        raise error(
            TypeError,
            "save",
            f"{_where(path)} is a NumPy value of dtype {dtype}",
            expected="one of " + ", ".join(DTYPES),
            fix="convert it with astype, or to a list with tolist",
        )


def _where(path: str) -> str:
    return f"the item at {path!r}" if path else "the object"


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The host dtype of a name; bfloat16 is ml_dtypes'."""
    from .._dtypes import dtype_named

    return dtype_named(name).numpy


def decode(data: Any, leaf: Callable[[str, int], Any]) -> Any:
    """The value that JSON data stand for.

    Args:
        data: What `Encoder.encode` returned.
        leaf: Returns what stands for the tensor ("tensor") or array ("array") of a number.

    Raises:
        ValueError, TypeError, KeyError, IndexError: The data are not of our making.
    """
    if isinstance(data, list):
        return [decode(item, leaf) for item in data]
    if not isinstance(data, dict):
        return data
    (tag, told), *rest = data.items()
    if tag in ("tensor", "array"):
        return leaf(tag, told)
    if tag == "ordered_dict":
        table: Any = OrderedDict((decode(k, leaf), decode(v, leaf)) for k, v in told)
        if rest:
            table._metadata = decode(data["metadata"], leaf)
        return table
    return _DECODERS[tag](told, lambda item: decode(item, leaf))


def _decode_scalar(told: list[str], _: Any) -> Any:
    name, text = told
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name}")
    (scalar,) = np.frombuffer(base64.b64decode(text, validate=True), numpy_dtype(name))
    return scalar


def _decode_dtype(name: str, _: Any) -> Any:
    rushlight = api()
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name}")
    return getattr(rushlight, name)


def _decode_device(name: str, _: Any) -> Any:
    rushlight = api()
    return rushlight.device(name)


_DECODERS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "float": lambda told, _: float(told),
    "complex": lambda told, inner: complex(*map(inner, told)),
    "tuple": lambda told, inner: tuple(map(inner, told)),
    "set": lambda told, inner: set(map(inner, told)),
    "dict": lambda told, inner: {inner(key): inner(value) for key, value in told},
    "bytes": lambda told, _: base64.b64decode(told, validate=True),
    "bytearray": lambda told, _: bytearray(base64.b64decode(told, validate=True)),
    "size": lambda told, _: Size(told),
    "dtype": _decode_dtype,
    "device": _decode_device,
    "scalar": _decode_scalar,
}
