"""Scalar expressions: what a kernel computes for one element, independent of any language.

An expression is a node of a graph without cycles. Its type is the type it is computed in, so
never a 16-bit float: these are loaded as float32 and rounded once, when they are stored.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, bool_, float32


class Expr:
    """One node: a constant, an operand, or an operation on other nodes.

    Attributes:
        op: "const", "load" (operand number `value`), "param" (attribute number `value`), "cast",
            "select", an operator of C such as "+", or the name of a prelude function.
        args: The nodes it is computed of.
        type: Type of the value.
        value: Of a constant its number, of an operand or attribute its place.
    """

    __slots__ = ("args", "op", "type", "value")

    def __init__(self, op: str, args: tuple[Expr, ...], type: DType, value: Any = None) -> None:
        self.op = op
        self.args = args
        self.type = type
        self.value = value

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.args)) if self.args else repr(self.value)
        return f"{self.op}:{self.type.name}({inside})"


def computed(dtype: DType) -> DType:
    """The type that elements of a dtype are computed in."""
    return float32 if dtype.is_reduced else dtype


def constant(value: Any, type: DType) -> Expr:
    """A number."""
    return Expr("const", (), type, value)


def load(place: int, dtype: DType) -> Expr:
    """The element of an operand."""
    return Expr("load", (), computed(dtype), place)


def param(place: int, dtype: DType) -> Expr:
    """A number that is passed with each launch."""
    return Expr("param", (), computed(dtype), place)


def cast(x: Expr, type: DType) -> Expr:
    """`x` in another type; constants are converted here."""
    if x.type is type:
        return x
    if x.op == "const" and not x.type.is_complex:
        if type.is_complex or type.is_floating_point:
            return constant(x.value, type)
        if type is bool_:
            return constant(bool(x.value), type)
    return Expr("cast", (x,), type)


def call(name: str, type: DType, *args: Expr) -> Expr:
    """An operation."""
    return Expr(name, args, type)


def select(condition: Expr, yes: Expr, no: Expr) -> Expr:
    """`yes` where the condition holds."""
    return Expr("select", (cast(condition, bool_), yes, no), yes.type)


def ordered(roots: tuple[Expr, ...]) -> list[Expr]:
    """All nodes that roots depend on, operands before what uses them; each node once."""
    done: dict[int, Expr] = {}
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready or not node.args:
            done[id(node)] = node
            continue
        stack.append((node, True))
        stack.extend((arg, False) for arg in reversed(node.args))
    return list(done.values())
