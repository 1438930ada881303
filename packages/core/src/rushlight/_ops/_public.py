"""From a function to a public name: namespaces, methods, in-place and `out=` forms.

    @public(inplace=True, out=True)
    def square(input: Tensor) -> Tensor: ...

gives `rushlight.square` (with `out=`), `Tensor.square`, `rushlight.square_` and `Tensor.square_`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import _entries, _views, _writes
from .._dtypes import can_cast, uint8
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE, with_modes
from .._operator import Operator
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, contiguous_strides, native_of, storage_of
from ..backend import kind_of

F = TypeVar("F", bound=Callable[..., Any])

#: Public functions by namespace ("" is `rushlight` itself, "linalg", "fft", "special", "ops") and
#: name, with what the interface generator needs to know.
PUBLIC: dict[str, dict[str, Any]] = {}
#: Methods of Tensor by name.
METHODS: dict[str, Any] = {}


def export(name: str, value: Any, namespace: str = "") -> None:
    """Makes a value public under a name.

    Raises:
        ValueError: The name is taken.
    """
    names = PUBLIC.setdefault(namespace, {})
    if names.get(name, value) is not value:
        raise error(
            ValueError, name, f"there is a public {namespace or 'rushlight'}.{name} already"
        )
    names[name] = value


def method(name: str, function: Any) -> None:
    """Makes a function a method of Tensor.

    Raises:
        ValueError: The name is taken.
    """
    if name in METHODS or (name in vars(Tensor) and not name.startswith("__")):
        raise error(ValueError, name, "Tensor has a method of this name already")
    METHODS[name] = function
    setattr(Tensor, name, function)


def public(
    *,
    name: str | None = None,
    namespace: str = "",
    methods: bool | Sequence[str] = True,
    function: bool = True,
    inplace: bool = False,
    out: bool = False,
    aliases: Sequence[str] = (),
    op: Operator | None = None,
) -> Callable[[F], F]:
    """Decorator that makes a function public.

    Args:
        name: Public name; the function's own by default.
        namespace: "" for `rushlight`, or "linalg", "fft", "special", "ops".
        methods: Whether it is a method too, or the names of the methods.
        function: Whether it is a function of the namespace.
        inplace: Also makes `name_`.
        out: Also accepts `out=`.
        aliases: Further names for all forms.
        op: The operator behind it, so that overrides are told the public function.
    """

    def decorate(plain: F) -> F:
        names = [name or plain.__name__, *aliases]
        exposed = with_out(plain) if out else plain
        if op is not None:
            op.public = exposed
        if function:
            for each in names:
                export(each, exposed, namespace)
        if methods:
            for each in names if methods is True else methods:
                method(each, plain)
        if inplace:
            writing = inplace_form(plain, names[0])
            for each in names:
                if methods:
                    method(each + "_", writing)
                if function:
                    export(each + "_", writing, namespace)
        return exposed  # type: ignore[return-value]

    return decorate


# -- out= -----------------------------------------------------------------------------------


def with_out(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a keyword `out=` that receives the result."""

    @functools.wraps(plain)
    def exposed(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        result = plain(*arguments, **keywords)
        return result if out is None else into(plain.__name__, result, out)

    exposed.accepts_out = True  # type: ignore[attr-defined]
    return exposed


def into(who: str, result: Any, out: Any) -> Any:
    """Writes results into the tensors given as `out=`, and returns those."""
    if isinstance(result, tuple):
        if len(out) != len(result):
            raise error(TypeError, who, f"out= needs {len(result)} tensors, got {len(out)}")
        for value, target in zip(result, out, strict=True):
            _check_out(who, value, target)
        filled = [_fill(who, value, target) for value, target in zip(result, out, strict=True)]
        fields = getattr(result, "_make", None)
        return fields(filled) if fields is not None else tuple(filled)
    _check_out(who, result, out)
    return _fill(who, result, out)


def _check_out(who: str, value: Tensor, out: Any) -> None:
    if not isinstance(out, Tensor):
        raise error(TypeError, who, f"argument 'out' must be Tensor, not {type(out).__name__}")
    state = STATE.get()
    if state.grad and (out.requires_grad or value.requires_grad):
        raise error(
            RuntimeError,
            who,
            "functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad",
            fix="call it without out=, or under rushlight.no_grad()",
        )
    if out.device != value.device:
        raise error(
            RuntimeError,
            who,
            f"Expected out tensor to have device {value.device}, but got {out.device} instead",
        )
    if not can_cast(value.dtype, out.dtype):
        raise error(
            RuntimeError,
            who,
            f"result type {value.dtype.name} can't be cast to the desired output type "
            f"{out.dtype.name}",
            given=f"out of {out.dtype}",
            fix=f"use an out= of dtype {value.dtype}",
        )


def _fill(who: str, value: Tensor, out: Tensor) -> Tensor:
    if out.shape != value.shape:
        if out.numel():
            import warnings

            warnings.warn(
                f"{who}: an output with one or more elements was resized since it had shape "
                f"{tuple(out.shape)}, which does not match the required output shape "
                f"{tuple(value.shape)}. Resize it first: out.resize_(0).",
                UserWarning,
                stacklevel=4,
            )
        resize(out, tuple(value.shape))
    with with_modes(grad=False):
        _writes.write(out, value)
    return out


def resize(x: Tensor, shape: tuple[int, ...]) -> None:
    """Gives a tensor another shape, with new memory if the old does not suffice."""
    count = 1
    for n in shape:
        count *= n
    old = storage_of(x)
    needed = (x._offset + count) * x.itemsize
    if not x._k.is_meta and needed > old.nbytes():
        version = old.version
        x._storage = _writes.new_storage(x._k, needed)
        x._storage.version = version + 1
        if old.nbytes():
            keep = min(old.nbytes() // x.itemsize, x._offset + count)
            kind = kind_of(x.device, uint8)
            view = x._k.runtime.view
            size = keep * x.itemsize
            x._k.runtime.copy(
                view(x._storage.buffer, 0, (size,), (1,), kind.dtype),
                view(old.buffer, 0, (size,), (1,), kind.dtype),
            )
    x._shape, x._strides, x._a = shape, contiguous_strides(shape), None


# -- in-place -------------------------------------------------------------------------------


def inplace_form(plain: Callable[..., Any], name: str) -> Any:
    """The form of a function that writes its result into its first argument."""

    @functools.wraps(plain)
    def writing(input: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        result = plain(input, *arguments, **keywords)
        return assign(name + "_", input, result)

    return _named(writing, name)


def assign(who: str, x: Tensor, result: Tensor) -> Tensor:
    """Writes the result of a functional call into its first operand, with torch's checks."""
    if not isinstance(x, Tensor):
        raise error(TypeError, who, f"argument 'input' must be Tensor, not {type(x).__name__}")
    if result.dtype is not x.dtype and not can_cast(result.dtype, x.dtype):
        raise error(
            RuntimeError,
            who,
            f"result type {result.dtype.name} can't be cast to the desired output type "
            f"{x.dtype.name}",
            given=f"x of {x.dtype}",
            fix="use the operator that returns a new tensor",
        )
    if result.shape != x.shape:
        raise error(
            RuntimeError,
            who,
            f"output with shape {list(x.shape)} doesn't match the broadcast shape "
            f"{list(result.shape)}",
            fix="use the operator that returns a new tensor",
        )
    if result._req and result._node is not None:
        _keep_old_value(result._node, x)
    return _writes.write(x, result, own=True)


def _keep_old_value(node: Any, x: Tensor) -> None:
    """Gives a node that keeps `x` a copy, as the node's result is about to be written over `x`.

    So `x.log_()` can be differentiated, as in torch; whoever else kept `x` finds it changed.
    """
    if not any(value is x for value in node.saved):
        return
    old = operators["clone"](_views.detached(x))
    old._node, old._req = x._node, x._req
    node.versions = tuple(
        0 if value is x else version for value, version in zip(node.saved, node.versions)
    )
    node.saved = tuple(old if value is x else value for value in node.saved)


def inplace_unary(op: Operator, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place form of an elementwise operator of one tensor."""
    index = op.index

    def writing(input: Tensor) -> Tensor:
        if input.__class__ in PLAIN:
            kind = input._k
            state = STATE.get()
            if state is NO_GRAD or (state is GRAD and not input._req and input._view is None):
                kernel = None if kind.is_meta else kind.outs[index]
                if kernel is not None and not (op.to_real and kind.is_complex):
                    native = _own_memory(input)
                    kernel(native, out=native)
                    input._storage.version += 1  # type: ignore[union-attr]
                    return input
        return assign(name + "_", input, plain(input))

    return _named(writing, name)


def inplace_binary(op: Operator, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place form of an elementwise operator of two tensors, or a tensor and a number.

    Where nothing is recorded and the second operand lies elsewhere, the kernel writes into the
    first operand itself.
    """
    index = op.index

    def writing(input: Tensor, other: Any) -> Tensor:
        if input.__class__ in PLAIN:
            kind = input._k
            state = STATE.get()
            if state is NO_GRAD or (state is GRAD and not input._req and input._view is None):
                kernel = None if kind.is_meta else kind.outs[index]
                native = None if kernel is None else _partner(input, other, kind, state.grad)
                if native is not None:
                    target = _own_memory(input)
                    try:
                        kernel(target, native, out=target)  # type: ignore[misc]
                    except (ValueError, TypeError):
                        pass  # shapes or dtypes that do not fit: the way of checks and messages
                    else:
                        input._storage.version += 1  # type: ignore[union-attr]
                        return input
        return assign(name + "_", input, plain(input, other))

    return _named(writing, name)


def inplace_elementwise(op: Operator, x: Any, others: tuple[Any, ...], attributes: Any) -> bool:
    """Lets the kernel of an operator of several tensors write into the first, where nothing is
    recorded and the others lie elsewhere; says whether it did."""
    if x.__class__ not in PLAIN:
        return False
    kind = x._k
    state = STATE.get()
    kernel = None if kind.is_meta else kind.outs[op.index]
    if kernel is None or not (state is NO_GRAD or state is GRAD):
        return False
    if any(
        y.__class__ in PLAIN and y._storage is not None and y._storage is x._storage for y in others
    ):
        return False
    natives = _entries.joined(kind, (x, *others), state.grad)
    if natives is None:
        return False
    target = _own_memory(x)
    try:
        kernel(*natives, out=target, **attributes)
    except (ValueError, TypeError):
        return False  # shapes or dtypes that do not fit: the way of checks and messages
    x._storage.version += 1
    return True


def _partner(x: Tensor, y: Any, kind: Any, grad: bool) -> Any:
    """The native array of a second operand that may be read while `x` is written, else None."""
    if y.__class__ in PLAIN:
        if y._k is not kind or (grad and (y._req or y._view is not None)):
            return None
        storage = y._storage
        if storage is not None and storage is x._storage and y is not x:
            return None
        native = y._a
        return native_of(y) if native is None else native
    if y.__class__ in kind.numbers:
        found = kind.scalars.get(y) if y else None
        return kind.scalar(y) if found is None else found
    return None


def _own_memory(x: Tensor) -> Any:
    """The native array of a tensor that is about to be written."""
    if x._storage is None:
        storage_of(x)
    elif x._strides is not None:
        # A kernel's result has no gaps and no overlaps; only other strides need a look.
        _writes.check_writable(x)
    native = x._a
    return native_of(x) if native is None else native


def _named(writing: Callable[..., Any], name: str) -> Callable[..., Any]:
    function: Any = writing
    function.__name__ = function.__qualname__ = name + "_"
    function.__doc__ = f"In-place version of `{name}`: writes the result into `input`."
    function.__module__ = "rushlight"
    return writing
