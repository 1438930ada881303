"""Schema text of an operator: its inputs, attributes, defaults, aliasing and mutation.

    softmax(Tensor x, *, int dim, dtype? dtype=None) -> Tensor
    narrow(Tensor(a) x, *, int dim, int start, int length) -> Tensor(a)
    copy_(Tensor(a!) x, Tensor src) -> Tensor(a!)

Inputs (`Tensor`, `Tensor?`, `Tensor[]`) come first and are passed by position; everything else is
an attribute and passed by keyword, so that no transform has to guess which is which.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from ._errors import error

_SCHEMA = re.compile(r"\s*(\w+)\((.*)\)\s*->\s*(.+?)\s*$", re.DOTALL)
_PARAMETER = re.compile(r"([\w\[\]|]+\??)(?:\((\w+!?)\))?(\[\])?\s+(\w+)(?:\s*=\s*(.+))?$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a schema."""

    name: str
    type: str
    alias: str | None
    default: Any
    has_default: bool

    @property
    def is_input(self) -> bool:
        """Whether it carries tensors."""
        return self.type.startswith("Tensor")

    @property
    def is_list(self) -> bool:
        """Whether it carries any number of tensors."""
        return self.type == "Tensor[]"

    @property
    def is_optional(self) -> bool:
        """Whether `None` may stand in its place."""
        return self.type.endswith("?")


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed schema."""

    name: str
    inputs: tuple[Parameter, ...]
    attributes: tuple[Parameter, ...]
    returns: tuple[str, ...]
    text: str

    @property
    def variadic(self) -> bool:
        """Whether the last input is a list of tensors."""
        return bool(self.inputs) and self.inputs[-1].is_list

    @property
    def defaults(self) -> dict[str, Any]:
        """Attribute defaults."""
        return {p.name: p.default for p in self.attributes if p.has_default}

    @property
    def is_view(self) -> bool:
        """Whether the result shares the first input's memory."""
        return bool(self.inputs) and self.inputs[0].alias == "a"


def _split(text: str) -> list[str]:
    """Splits at the commas outside brackets."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()] if current.strip() else parts


def _parameter(text: str) -> Parameter:
    match = _PARAMETER.match(text)
    if match is None:
        raise error(
            ValueError,
            "schema",
            f"can't read the parameter {text!r}",
            expected="TYPE NAME or TYPE NAME=DEFAULT",
        )
    kind, alias, brackets, name, default = match.groups()
    value = None if default is None else ast.literal_eval(default)
    return Parameter(name, kind + (brackets or ""), alias, value, default is not None)


def parse(text: str) -> Schema:
    """Reads schema text.

    Raises:
        ValueError: The text is not a schema, or an attribute stands before an input.
    """
    match = _SCHEMA.match(text)
    if match is None:
        raise error(
            ValueError,
            "schema",
            f"can't read {text!r}",
            expected="name(Tensor x, *, int dim) -> Tensor",
        )
    name, arguments, returns = match.groups()
    parameters = [_parameter(part) for part in _split(arguments) if part != "*"]
    inputs = tuple(p for p in parameters if p.is_input)
    if any(p.is_input for p in parameters[len(inputs) :]):
        raise error(ValueError, name, "inputs come before attributes in a schema", given=text)
    attributes = tuple(p for p in parameters if not p.is_input)
    results = tuple(_split(returns.strip("()") if returns.startswith("(") else returns))
    return Schema(name, inputs, attributes, results, text)
