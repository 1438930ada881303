"""Operands of several dtypes, devices and shapes brought together, by PyTorch's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _failures
from ._config import settings
from ._device import device
from ._dtypes import Category, DType, bool_, from_numpy_dtype, int64, promote_types
from ._errors import error
from ._registered import operators
from ._tensor.tensor import Tensor, fresh, meta_tensor
from .backend import Kind, kind_of

if TYPE_CHECKING:
    from ._operator import Operator


def result_type(*operands: Any) -> DType:
    """The dtype that operands are computed in, by PyTorch's rules.

    Tensors with dimensions count first, then 0-d tensors, then Python numbers; a lower rank only
    matters if its category is higher.

    Example:
        >>> rushlight.result_type(rushlight.tensor([1, 2], dtype=rushlight.int8), 3)
        rushlight.int8
    """
    ranks: list[DType | None] = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            rank, dtype = (0 if x.ndim else 1), x.dtype
        elif isinstance(x, bool):
            rank, dtype = 2, bool_
        elif isinstance(x, int):
            rank, dtype = 2, int64
        elif isinstance(x, float):
            rank, dtype = 2, settings.default_dtype
        elif isinstance(x, complex):
            rank, dtype = 2, settings.default_complex
        else:
            rank, dtype = 2, _number_dtype(x)
        known = ranks[rank]
        ranks[rank] = dtype if known is None else promote_types(known, dtype)
    result: DType | None = None
    for dtype in ranks:  # type: ignore[assignment]
        if dtype is None:
            continue
        if result is None:
            result = dtype
        elif dtype.category > result.category:
            result = _with_category(result, dtype)
    assert result is not None
    return result


def _with_category(strong: DType, weak: DType) -> DType:
    """The weak dtype's category; a complex one keeps the precision of a strong float."""
    if weak.category is Category.COMPLEX and strong.category is Category.FLOATING:
        return strong.to_complex()
    return weak


def _number_dtype(x: Any) -> DType:
    dtype = getattr(x, "dtype", None)
    if dtype is not None and hasattr(dtype, "itemsize"):
        return from_numpy_dtype(dtype)
    raise error(
        TypeError,
        "result_type",
        f"expected Tensors or numbers, got {type(x).__name__}",
        given=repr(x),
    )


def promoted(op: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands brought to one kind: dtypes promoted, numbers and 0-d host tensors moved along.

    `op.promotes` says how: "default"; "float" (integers become the default float); "compare" (the
    result is bool); "complex_to_real"; "none" (operands stay as they are).
    """
    alike = _of_one_kind(op, inputs)
    if alike is not None:
        return alike
    for x in inputs:
        if x is None:
            continue
        if not isinstance(x, (Tensor, bool, int, float, complex)) and not hasattr(x, "dtype"):
            raise error(
                TypeError,
                op.name,
                f"expected a Tensor or a number, got {type(x).__name__}",
                given=", ".join(type(x).__name__ for x in inputs),
                expected=op.schema.text,
            )
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    if op.promotes == "none" and len(tensors) == len(inputs):
        return inputs
    dtype = result_type(*[x for x in inputs if x is not None])
    if op.promotes == "float" and dtype.category < Category.FLOATING:
        dtype = settings.default_dtype
    place = _common_device(op, tensors)
    to_kind = operators["to_kind"].function
    kind = kind_of(place, dtype)
    result: list[Tensor | None] = []
    for x in inputs:
        if x is None:
            result.append(None)
        elif not isinstance(x, Tensor):
            result.append(number_tensor(kind, x))
        elif x._k is not kind:
            result.append(to_kind(x, kind))
        else:
            result.append(x)
    return tuple(result)


def _of_one_kind(op: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What promotion gives for tensors of one kind and numbers that join it; else None."""
    kind: Any = inputs[0]._k if isinstance(inputs[0], Tensor) else None
    if kind is None or (op.promotes == "float" and not kind.dtype.is_inexact):
        return None
    result: list[Any] = []
    for x in inputs:
        if isinstance(x, Tensor):
            if x._k is not kind:
                return None
            result.append(x)
        elif x is None:
            result.append(None)
        elif x.__class__ in kind.numbers:
            result.append(number_tensor(kind, x))
        else:
            return None
    return tuple(result)


def number_tensor(kind: Kind, value: Any) -> Tensor:
    """A 0-d tensor of a Python number."""
    if kind.is_meta:
        return meta_tensor(kind, (), None)
    return fresh(kind, kind.scalar(value))


def _common_device(op: Operator, tensors: list[Tensor]) -> Any:
    """The device to compute on; 0-d tensors in host memory join any other."""
    places = {x._k.device for x in tensors}
    if len(places) > 1:
        places = {x._k.device for x in tensors if x.ndim or not _in_host_memory(x)}
        if len(places) > 1:
            raise _failures.wrong_device(op, tuple(tensors))
        if not places:
            places = {tensors[0]._k.device}
    if not places:
        return settings.default_device or device("cpu")
    return places.pop()


def _in_host_memory(x: Tensor) -> bool:
    backend = x._k.backend
    return backend is not None and backend.manifest.host_memory


def broadcast_shapes(who: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes broadcast to.

    Raises:
        RuntimeError: Two sizes differ and neither is 1.
    """
    result: list[int] = []
    for shape in shapes:
        padded = list(shape)
        if len(padded) < len(result):
            padded = [1] * (len(result) - len(padded)) + padded
        else:
            result = [1] * (len(padded) - len(result)) + result
        for place, (a, b) in enumerate(zip(result, padded, strict=True)):
            if a != b and a != 1 and b != 1:
                raise error(
                    RuntimeError,
                    who,
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {place}",
                    given="shapes " + " and ".join(str(tuple(s)) for s in shapes),
                    expected="sizes that are equal, or 1",
                )
            result[place] = b if a == 1 else a
    return tuple(result)
