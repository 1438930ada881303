"""Printing expressions, and programs of kernels, in a dialect."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..._dtypes import DType, bool_, float32
from .dialect import Dialect, suffix
from .expression import Expr, cast, ordered
from .prelude import helpers

_COMPLEX_NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div", "==": "eq"}
_INFIX = frozenset(("+", "-", "*", "/", "==", "!=", "<", "<=", ">", ">=", "&", "|", "^"))


def literal(value: Any, type: DType, dialect: Dialect) -> str:
    """A number as text that gives back the same bits."""
    if type.is_complex:
        part = type.to_real()
        value = complex(value)
        real, imag = literal(value.real, part, dialect), literal(value.imag, part, dialect)
        return f"MAKE_{suffix(type)}({real}, {imag})"
    if type is bool_:
        return "1" if value else "0"
    if type.is_floating_point:
        value = float(value)
        name = suffix(type)
        if math.isnan(value):
            return f"(({name})NAN)"
        if math.isinf(value):
            return f"({'-' if value < 0 else ''}({name})INFINITY)"
        if type is float32 and abs(value) > 3.5e38:
            return f"({'-' if value < 0 else ''}({name})INFINITY)"
        return f"({value.hex()}{'f' if type is float32 else ''})"
    value = int(value)
    if value == -(1 << 63):
        return f"((i64)(-9223372036854775807{dialect.long_suffix} - 1))"
    ending = ("" if type.is_signed else "u") + (dialect.long_suffix if type.itemsize == 8 else "")
    return f"(({suffix(type)}){value}{ending})"


def converted(text: str, source: DType, target: DType) -> str:
    """A value in another type."""
    if source is target:
        return text
    a, b = suffix(source), suffix(target)
    if target.is_complex:
        part = suffix(target.to_real())
        if source.is_complex:
            return f"MAKE_{b}(({part}){text}.x, ({part}){text}.y)"
        return f"MAKE_{b}(({part}){text}, 0)"
    if source.is_complex:
        if target is bool_:
            return f"({text}.x != 0 || {text}.y != 0)"
        return converted(f"{text}.x", source.to_real(), target)
    if target is bool_:
        return f"({text} != 0)"
    if source.is_floating_point and not target.is_floating_point:
        return f"to_u64_{a}({text})" if b == "u64" else f"({b})(i64)({text})"
    return f"({b})({text})"


def stored(text: str, type: DType, dtype: DType) -> str:
    """A computed value as memory of a dtype holds it."""
    if dtype is bool_:
        return f"(u8)({converted(text, type, bool_)} ? 1 : 0)"
    if dtype.is_reduced:
        return f"f32_to_{suffix(dtype)}({converted(text, type, float32)})"
    return converted(text, type, dtype)


def loaded(text: str, dtype: DType) -> str:
    """A value in memory as it is computed with."""
    if dtype is bool_:
        return f"({text} != 0)"
    return f"{suffix(dtype)}_to_f32({text})" if dtype.is_reduced else text


def memory_type(dtype: DType) -> str:
    """The type of elements in memory."""
    if dtype is bool_:
        return "u8"
    return "u16" if dtype.is_reduced else suffix(dtype)


def _local_type(type: DType) -> str:
    return "bool" if type is bool_ else suffix(type)


def statements(
    roots: Sequence[Expr],
    dialect: Dialect,
    read: Callable[[int], str],
    attribute: Callable[[int], str],
) -> tuple[list[str], list[str]]:
    """Statements that compute expressions, and the names that hold their values.

    Args:
        roots: The expressions.
        dialect: The language.
        read: Text of the element of an operand, as it is computed with.
        attribute: Text of an attribute's value.
    """
    names: dict[int, str] = {}
    lines: list[str] = []
    for node in ordered(tuple(roots)):
        if node.op == "const":
            names[id(node)] = literal(node.value, node.type, dialect)
            continue
        if node.op == "param":
            names[id(node)] = attribute(node.value)
            continue
        text = read(node.value) if node.op == "load" else _text(node, names)
        name = names[id(node)] = f"t{len(lines)}"
        lines.append(f"const {_local_type(node.type)} {name} = {text};")
    return lines, [names[id(root)] for root in roots]


def _text(node: Expr, names: dict[int, str]) -> str:
    args = [names[id(arg)] for arg in node.args]
    op, type = node.op, node.type
    if op == "cast":
        return converted(args[0], node.args[0].type, type)
    if op == "select":
        return f"{args[0]} ? {args[1]} : {args[2]}"
    if op == "not":
        return f"!{args[0]}"
    operand = node.args[0].type
    short = suffix(operand)
    if operand.is_complex:
        if op == "!=":
            return f"!eq_{short}({args[0]}, {args[1]})"
        return f"{_COMPLEX_NAMES.get(op, op)}_{short}({', '.join(args)})"
    if op in _INFIX:
        if operand.is_signed and not operand.is_inexact and op in "+-*":
            # Signed overflow is undefined in C; unsigned arithmetic wraps around.
            wide = "u64" if operand.itemsize == 8 else "u32"
            return f"({_local_type(type)})(({wide}){args[0]} {op} ({wide}){args[1]})"
        return f"({_local_type(type)})({args[0]} {op} {args[1]})"
    if op == "neg":
        return f"({_local_type(type)})(-{args[0]})"
    if op == "~":
        return f"({_local_type(type)})(~{args[0]})"
    if operand is bool_:
        return {"abs": args[0], "signbit": "0"}[op]
    return f"{op}_{short}({', '.join(args)})"


def program(
    kernels: Sequence[str], dialect: Dialect, double: bool, more: dict[str, str] | None = None
) -> str:
    """The text of a program: header, the helpers that kernels use, kernels."""
    body = "\n\n".join(kernels)
    header = dialect.header + (dialect.header_double if double else "")
    return "\n".join([header, helpers(body, dialect, more), body, ""])


def write(place: str, value: str, type: DType, dtype: DType) -> str:
    """A statement that stores a value."""
    return f"{place} = {stored(value, type, dtype)};"


__all__ = [
    "cast", "converted", "literal", "loaded", "memory_type", "program", "statements", "stored",
    "write",
]  # fmt: skip
