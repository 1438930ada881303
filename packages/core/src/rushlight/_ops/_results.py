"""Named tuples that operators with several results return: `rushlight.return_types`."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from .._errors import error
from .._tensor.tensor import Tensor, storage_of
from ._public import export, into


class NamedResults(tuple[Any, ...]):
    """A tuple whose items have names too.

    Build it from one sequence, as torch's are, or from the items.
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, *values: Any) -> NamedResults:
        if len(values) == 1 and len(cls._fields) != 1:
            values = tuple(values[0])
        if len(values) != len(cls._fields):
            raise TypeError(
                f"{cls.__qualname__}() takes a {len(cls._fields)}-sequence "
                f"({len(values)}-sequence given)"
            )
        return super().__new__(cls, values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[type(self)._fields.index(name)]
        except ValueError:
            raise AttributeError(f"{type(self).__name__!r} has no field {name!r}") from None

    @classmethod
    def _make(cls, values: Iterable[Any]) -> NamedResults:
        return cls(*values)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self).__name__, type(self)._fields, tuple(self))

    def __repr__(self) -> str:
        items = (f"{name}={item!r}" for name, item in zip(self._fields, self, strict=True))
        return f"rushlight.return_types.{type(self).__name__}(\n" + ",\n".join(items) + ")"


return_types = SimpleNamespace()
export("return_types", return_types)


def result_type_named(name: str, fields: tuple[str, ...]) -> Any:
    """The class of results `name`, made when it is first asked for."""
    found = getattr(return_types, name, None)
    if found is None:
        found = type(
            name,
            (NamedResults,),
            {
                "__slots__": (),
                "__module__": "rushlight.return_types",
                "__doc__": f"Results of `{name}`: {', '.join(fields)}.",
                "_fields": fields,
                "n_fields": len(fields),
                "n_sequence_fields": len(fields),
                "n_unnamed_fields": 0,
            },
        )
        setattr(return_types, name, found)
    return found


def _rebuilt(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return result_type_named(name, fields)(*values)


def exactly_into(who: str, result: Any, out: Any, *inputs: Tensor) -> Any:
    """Like `into`, for the operators whose `out=` must have the dtype of the result and no memory
    of an input.

    Raises:
        RuntimeError: It has another dtype, or shares memory with an input.
    """
    pairs = zip(result, out, strict=False) if isinstance(result, tuple) else [(result, out)]
    for value, target in pairs:
        if not isinstance(target, Tensor):
            continue  # `into` says what is wrong
        if target.dtype is not value.dtype:
            raise error(
                RuntimeError,
                who,
                f"Expected out tensor to have dtype {value.dtype.name}, but got "
                f"{target.dtype.name} instead",
            )
        if not target.is_meta and any(storage_of(x) is storage_of(target) for x in inputs):
            raise error(
                RuntimeError,
                who,
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location",
                fix="clone() the input, or give another out=",
            )
    return into(who, result, out)


__all__ = ["NamedResults", "exactly_into", "result_type_named", "return_types"]
