"""What reading and writing by index share: checks, batch dimensions, and writing in place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from .. import _failures, _writes
from .._dtypes import Category, DType, int32, int64
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import Operator
from .._promotion import number_tensor
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, native_of, storage_of, strides_of
from ._batching import batch_size as batch_size
from ._batching import front_or_expanded as fronted
from ._geometry import check_tensor
from ._public import export, into, method

F = TypeVar("F", bound=Callable[..., Any])
Shape = tuple[int, ...]


class Call(NamedTuple):
    """A checked call of an operator that is still to be made."""

    op: Operator
    inputs: tuple[Tensor, ...]
    attributes: dict[str, Any]


# -- out= -----------------------------------------------------------------------------------


def with_exact_out(op: Operator | None = None) -> Callable[[F], F]:
    """Makes a function public, with an `out=` that must have the dtype of the result."""

    def decorate(plain: F) -> F:
        exposed = exact_out(plain, reads_all=True)
        if op is not None:
            op.public = exposed
        export(plain.__name__, exposed)
        method(plain.__name__, plain)
        return exposed  # type: ignore[no-any-return]

    return decorate


def exact_out(plain: Callable[..., Any], reads_all: bool = False) -> Any:
    """A function with a keyword `out=`, a tensor of the dtype of the result.

    Args:
        plain: The function.
        reads_all: `out` may not be the first operand either.
    """

    @functools.wraps(plain)
    def exposed(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        result = plain(*arguments, **keywords)
        if out is None:
            return result
        if isinstance(out, Tensor) and out.dtype is not result.dtype:
            raise error(
                RuntimeError,
                plain.__name__,
                f"Expected out tensor to have dtype {result.dtype}, but got {out.dtype} instead",
                fix=f"use an out= of dtype {result.dtype}",
            )
        if isinstance(out, Tensor):
            _writes.check_writable(out)
            _check_apart(plain.__name__, out, arguments, reads_all)
        return into(plain.__name__, result, out)

    exposed.accepts_out = True  # type: ignore[attr-defined]
    return exposed


def _check_apart(who: str, out: Tensor, operands: tuple[Any, ...], reads_all: bool) -> None:
    """Raises if `out` shares memory with an operand."""
    for place, x in enumerate(operands):
        if not isinstance(x, Tensor) or (x is out and place == 0 and not reads_all):
            continue
        if x._storage is None or x._storage is not out._storage or not x.numel():
            continue
        first, other = _span(x), _span(out)
        if first[0] < other[1] and other[0] < first[1]:
            raise error(
                RuntimeError,
                who,
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location",
                fix="clone() the tensor before performing the operation",
            )


def _span(x: Tensor) -> tuple[int, int]:
    """The first byte of a tensor in its storage, and the one after the last."""
    last = sum((n - 1) * step for n, step in zip(x.shape, strides_of(x), strict=True))
    return x._offset * x.itemsize, (x._offset + last + 1) * x.itemsize


# -- writing --------------------------------------------------------------------------------


def indexed_write(
    *, out: bool = False, function: bool = True, inplace: bool = True
) -> Callable[[Callable[..., Call]], Callable[..., Tensor]]:
    """Makes a function that plans a write public, as `name` and as `name_`.

    The plan is the same for both: `name` runs its operator, `name_` has the kernel write into the
    first operand where nothing is recorded, and else writes the operator's result into it.

    Args:
        out: Whether the function takes `out=`.
        function: Whether it is a function of the namespace too.
        inplace: Whether there is a `name_`.
    """

    def decorate(plan: Callable[..., Call]) -> Callable[..., Tensor]:
        @functools.wraps(plan)
        def plain(*arguments: Any, **keywords: Any) -> Tensor:
            op, inputs, attributes = plan(*arguments, **keywords)
            return op.entry(*inputs, **attributes)  # type: ignore[no-any-return]

        @functools.wraps(plan)
        def writing(*arguments: Any, **keywords: Any) -> Tensor:
            return written(plan(*arguments, **keywords), plan.__name__)

        name = plan.__name__
        # What the public functions return; `inspect.signature` asks the plan, which they wrap.
        for told in (plan, plain, writing):
            told.__annotations__["return"] = "Tensor"
        writing.__name__ = writing.__qualname__ = name + "_"
        writing.__doc__ = f"In-place version of `{name}`: writes into the tensor itself."
        if function:
            export(name, exact_out(plain) if out else plain)
        method(name, plain)
        if inplace:
            method(name + "_", writing)
        return plain

    return decorate


def written(call: Call, who: str = "") -> Tensor:
    """Writes the result of a call into its first operand, by the kernel itself if possible."""
    op, inputs, attributes = call
    x = inputs[0]
    if not write_directly(op, inputs, attributes):
        result = op.entry(*inputs, **attributes)
        if result.shape != x.shape:
            raise error(
                RuntimeError,
                (who or op.name) + "_",
                f"output with shape {list(x.shape)} doesn't match the broadcast shape "
                f"{list(result.shape)}",
                fix="use the operator that returns a new tensor",
            )
        _writes.write(x, result)
    return x


def write_directly(op: Operator, inputs: tuple[Tensor, ...], attributes: dict[str, Any]) -> bool:
    """Lets the kernel write into the first operand itself; says whether it did.

    It may where nothing is recorded or interpreted and no other operand lies in the same memory.
    """
    state = STATE.get()
    if not (state is GRAD or state is NO_GRAD):
        return False
    x = inputs[0]
    if x.__class__ not in PLAIN:
        return False
    kind = x._k
    kernel = None if kind.is_meta else kind.outs[op.index]
    if kernel is None:
        return False
    storage = storage_of(x)
    for y in inputs:
        if y.__class__ not in PLAIN or y._k.runtime is not kind.runtime:
            return False
        if y is not x and y._storage is storage:
            return False
        if state.grad and y.requires_grad:
            return False
    if 0 in strides_of(x):
        _writes.check_writable(x)
    natives = [native_of(y) for y in inputs]
    try:
        kernel(*natives, out=natives[0], **attributes)
    except Exception as raised:
        raise _failures.explained(op, inputs, attributes, raised) from raised
    storage.version += 1
    return True


# -- checks ---------------------------------------------------------------------------------


def check_index_dtype(
    who: str, index: Any, *, kind: type[Exception] = RuntimeError, name: str = "index"
) -> Tensor:
    """An index as int64.

    Raises:
        TypeError: It is not a tensor.
        RuntimeError: Its dtype is neither int64 nor int32.
    """
    if index.__class__ not in PLAIN:
        check_tensor(who, index, name)
    dtype = index._k.dtype
    if dtype is int64:
        return index  # type: ignore[no-any-return]
    if dtype is int32 or not index.numel():
        return operators["cast"](index, dtype=int64)  # type: ignore[no-any-return]
    raise error(
        kind,
        who,
        f"Expected dtype int32/int64 for {name}",
        given=f"{name} of {dtype}",
        fix=f"convert it, for example {name}.to(rushlight.int64)",
    )


def check_same_dtype(who: str, x: Tensor, src: Tensor, name: str = "src") -> None:
    """Raises unless source and target have one dtype."""
    if src._k is not x._k and src.dtype is not x.dtype:
        raise error(
            RuntimeError,
            who,
            f"Expected self.dtype to be equal to {name}.dtype",
            given=f"self of {x.dtype}, {name} of {src.dtype}",
            fix=f"convert it, for example {name}.to({x.dtype})",
        )


def number_of(who: str, x: Tensor, value: Any) -> Any:
    """A Python number that fits the dtype of a tensor.

    Raises:
        RuntimeError: It is complex and the tensor is not.
    """
    if isinstance(value, complex) and not x.dtype.is_complex:
        raise error(
            RuntimeError,
            who,
            f"value cannot be converted to type {x.dtype.name} without overflow",
            given=f"{value!r}",
        )
    return value


def cast_number(dtype: DType, value: Any) -> Any:
    """A Python number as the dtype would store it, as far as its category goes."""
    if dtype.category is Category.BOOL:
        return bool(value)
    if dtype.category is Category.INTEGER:
        return int(value)
    return value


def rows(x: Tensor, dim: int) -> int:
    """Size of a dimension; a 0-d tensor counts as one of a single element."""
    return x.shape[dim] if x.ndim else 1


# -- batch dimensions -----------------------------------------------------------------------


def at_least_rows(x: Tensor) -> Tensor:
    """A batch whose items are at least one-dimensional."""
    return operators["unsqueeze"](x, dim=1) if x.ndim == 1 else x


def flat_items(x: Tensor) -> Tensor:
    """A batch with each item flattened."""
    size = x.shape[0]
    return x.reshape(size, x.numel() // max(size, 1))


def zeros(shape: Shape, like: Tensor) -> Tensor:
    """Zeros of a shape and of a tensor's kind."""
    return operators["full"].function(  # type: ignore[no-any-return]
        tuple(shape), 0, dtype=like.dtype, device=like.device
    )


def spread_zero(shape: Shape, like: Tensor) -> Tensor:
    """Zeros of a shape that take no memory."""
    return operators["expand"](number_tensor(like._k, 0), size=tuple(shape))  # type: ignore[no-any-return]


__all__ = [
    "Call",
    "Shape",
    "at_least_rows",
    "batch_size",
    "cast_number",
    "check_index_dtype",
    "check_same_dtype",
    "check_tensor",
    "flat_items",
    "fronted",
    "indexed_write",
    "number_of",
    "rows",
    "spread_zero",
    "with_exact_out",
    "written",
    "zeros",
]
