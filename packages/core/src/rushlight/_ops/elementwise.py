"""What elementwise families share: public forms of an operator, and pieces of derivative rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import _entries
from .._errors import error
from .._operator import Operator
from .._promotion import number_tensor
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export, inplace_binary, inplace_form, inplace_unary, into, method

T = TypeVar("T")
Formula = Callable[..., Any]
# Functions of one tensor whose in-place form torch has as a method only.
ONLY_METHODS = frozenset(
    ("sign", "sgn", "erfinv", "lgamma", "digamma", "logical_not", "bitwise_not")
)
# Functions of two tensors whose in-place form torch has as a function too.
ALSO_FUNCTIONS = frozenset(("gcd", "lcm", "xlogy"))
_NUMBERS = (bool, int, float, complex)


# -- pieces of derivative rules ---------------------------------------------------------------


def conj(y: T) -> T:
    """The conjugate; of a real tensor or a number, itself."""
    if isinstance(y, Tensor):
        return operators["conj"](y) if y._k.is_complex else y
    return y.conjugate() if y.__class__ is complex else y  # type: ignore[attr-defined]


def times_conj(g: Tensor, factor: Any) -> Tensor:
    """A gradient times the conjugate of a factor that is mostly 1."""
    return g if factor == 1 else g * conj(factor)


def scalar_like(x: Tensor, value: Any) -> Tensor:
    """A number as a 0-d tensor of another tensor's kind."""
    return number_tensor(x._k, value)


def or_zeros(g: Tensor | None, like: Tensor) -> Tensor:
    """A gradient that may be missing, as a tensor."""
    return like.new_zeros(like.shape) if g is None else g


def choose(condition: Tensor, x: Any, y: Any) -> Any:
    """`where`, for tensors of one kind or numbers that join them."""
    if not isinstance(x, Tensor):
        x = scalar_like(y, x)
    elif not isinstance(y, Tensor):
        y = scalar_like(x, y)
    return operators["where"](condition, x, y)


def masked(g: Tensor, gone: Tensor) -> Tensor:
    """A gradient with zeros where `gone` holds, even in place of a NaN."""
    return operators["where"](gone, scalar_like(g, 0), g)  # type: ignore[no-any-return]


def kept(g: Tensor, here: Tensor) -> Tensor:
    """A gradient with zeros where `here` does not hold."""
    return operators["where"](here, g, scalar_like(g, 0))  # type: ignore[no-any-return]


def no_derivative(who: str, name: str) -> Formula:
    """A formula for a derivative that has no closed form: it says so when it is asked for."""

    def formula(g: Any) -> Any:
        raise error(
            NotImplementedError,
            who,
            f"the derivative for '{name}' is not implemented",
            fix=f"detach() the argument '{name}' if its gradient is not needed",
        )

    return formula


# -- arguments --------------------------------------------------------------------------------


def overrides(value: Any) -> bool:
    """Whether an object answers for itself when it is given to an operator."""
    cls = type(value)
    return hasattr(cls, "__rushlight_function__") or hasattr(cls, "__torch_function__")


def require_tensor(who: str, name: str, value: Any) -> None:
    """Raises unless an argument is a tensor.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, Tensor) and not overrides(value):
        raise error(
            TypeError,
            who,
            f"argument '{name}' must be Tensor, not {type(value).__name__}",
            fix="make one with rushlight.tensor(...)" if isinstance(value, _NUMBERS) else None,
        )


def require_operand(who: str, name: str, value: Any) -> None:
    """Raises unless an argument is a tensor or a number.

    Raises:
        TypeError: It is neither.
    """
    if not joins(value):
        raise error(
            TypeError,
            who,
            f"argument '{name}' must be Tensor or Number, not {type(value).__name__}",
        )


def joins(value: Any) -> bool:
    """Whether a value may be an operand: a tensor, a number, or an object that overrides."""
    if isinstance(value, (Tensor, *_NUMBERS)):
        return True
    return overrides(value) or (hasattr(value, "dtype") and getattr(value, "shape", 0) == ())


def is_integral(value: Any) -> bool:
    """Whether an operand is a bool or an integer."""
    if isinstance(value, Tensor):
        return not value._k.dtype.is_inexact
    return isinstance(value, (bool, int))


def is_complex(value: Any) -> bool:
    """Whether an operand is complex."""
    return value._k.is_complex if isinstance(value, Tensor) else isinstance(value, complex)


# -- forms ------------------------------------------------------------------------------------


def public_unary(
    op: Operator,
    doc: str,
    *,
    name: str | None = None,
    namespace: str = "",
    aliases: tuple[str, ...] = (),
    inplace: bool = True,
    methods: bool = True,
) -> Callable[..., Any]:
    """Gives an operator of one tensor its function, method, in-place and `out=` forms."""
    entry = op.entry
    name = name or op.name

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            require_tensor(name, "input", input)
        result: Tensor = entry(input)
        return result if out is None else into(name, result, out)

    def as_method(self: Tensor) -> Tensor:
        return entry(self)  # type: ignore[no-any-return]

    _describe(
        function, name, f"{doc}\n\nArgs:\n    input: A tensor.\n    out: Receives the result."
    )
    _describe(as_method, name, doc)
    op.public = op.public or function
    writing = inplace_unary(op, as_method, name) if inplace else None
    for each in (name, *aliases):
        export(each, function, namespace)
        if methods:
            method(each, as_method)
        if writing is not None and namespace == "":
            if each not in ONLY_METHODS:
                export(each + "_", writing)
            method(each + "_", writing)
    return function


def public_binary(
    op: Operator,
    doc: str,
    *,
    name: str | None = None,
    namespace: str = "",
    aliases: tuple[str, ...] = (),
    inplace: bool = True,
    methods: bool = True,
    scalar_first: bool = False,
    tensors_only: bool = False,
    parameters: tuple[str, str] = ("input", "other"),
) -> Callable[..., Any]:
    """Gives an operator of two tensors its function, method, in-place and `out=` forms.

    Args:
        op: The operator.
        doc: What it does, in one sentence.
        name: Public name; the operator's own by default.
        namespace: See `public`.
        aliases: Further names for all forms.
        inplace: Also makes the method `name_`.
        methods: Also makes the method.
        scalar_first: The first operand may be a number.
        tensors_only: The second operand must be a tensor.
        parameters: Names of the two operands.
    """
    entry = op.entry
    name = name or op.name
    first, second = parameters

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            if scalar_first and isinstance(other, Tensor):
                require_operand(name, first, input)
            else:
                require_tensor(name, first, input)
        if not isinstance(other, Tensor):
            (require_tensor if tensors_only else require_operand)(name, second, other)
        result: Tensor = entry(input, other)
        return result if out is None else into(name, result, out)

    def as_method(self: Tensor, other: Any) -> Tensor:
        if not isinstance(other, Tensor):
            (require_tensor if tensors_only else require_operand)(name, second, other)
        return entry(self, other)  # type: ignore[no-any-return]

    exposed: Callable[..., Any] = function
    if parameters != ("input", "other"):
        exposed = _renamed(function, parameters)
    arguments = f"\n\nArgs:\n    {first}: A tensor.\n    {second}: A tensor, or a number."
    _describe(exposed, name, f"{doc}{arguments}\n    out: Receives the result.")
    _describe(as_method, name, doc)
    op.public = op.public or exposed
    writing = inplace_binary(op, as_method, name) if inplace and methods else None
    for each in (name, *aliases):
        export(each, exposed, namespace)
        if methods:
            method(each, as_method)
        if writing is not None:
            method(each + "_", writing)
            if each in ALSO_FUNCTIONS:
                export(each + "_", writing)
    return exposed


def _renamed(function: Callable[..., Any], names: tuple[str, str]) -> Callable[..., Any]:
    """A function of (input, other) that takes its operands under other names too."""

    def renamed(*arguments: Any, out: Tensor | None = None, **keywords: Any) -> Any:
        operands = list(arguments)
        for name in names[len(operands) :]:
            if name not in keywords:
                raise error(TypeError, function.__name__, f"missing required argument '{name}'")
            operands.append(keywords.pop(name))
        if keywords:
            raise error(
                TypeError,
                function.__name__,
                f"got an unexpected keyword argument '{next(iter(keywords))}'",
                expected=", ".join(names),
            )
        return function(*operands, out=out)

    return renamed


def _describe(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "rushlight"


# -- Python's operators -----------------------------------------------------------------------


def python_entry(op: Operator) -> Callable[[Any, Any], Any]:
    """An operator's entry as a Python operator.

    For an operand that is neither tensor nor number it answers `NotImplemented`, so that Python
    asks the other side.
    """

    def slow(x: Any, y: Any) -> Any:
        return op.slow_entry(x, y) if joins(y) else NotImplemented

    return _entries.binary_entry(op, slow)


def reflected_entry(op: Operator) -> Callable[[Any, Any], Any]:
    """The same with the operands swapped, for `2 - x`."""

    def swapped(self: Tensor, other: Any) -> Any:
        return op.slow_entry(other, self) if joins(other) else NotImplemented

    return swapped


def operator_method(
    name: str, op: Operator, *, reflected: bool = False, inplace: bool = False
) -> None:
    """Makes an operator a Python operator: `__add__`, `__radd__` and `__iadd__`.

    An entry of its own is the method itself, a frame less on the hottest call of all.
    """
    method(f"__{name}__", python_entry(op))
    if reflected:
        method(f"__r{name}__", reflected_entry(op))
    if inplace:
        method(f"__i{name}__", inplace_operator(op.name, inplace_binary(op, op.entry, op.name)))


def inplace_operator(name: str, writing: Callable[..., Any]) -> Callable[..., Any]:
    """An in-place method as Python's `+=` and the like."""

    def operate(self: Tensor, other: Any) -> Any:
        return writing(self, other) if joins(other) else NotImplemented

    operate.__name__ = operate.__qualname__ = name + "_"
    return operate


__all__ = [
    "choose", "conj", "inplace_form", "kept", "masked", "no_derivative", "operator_method",
    "public_binary", "public_unary", "require_tensor", "scalar_like",
]  # fmt: skip
