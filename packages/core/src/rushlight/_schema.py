"""Schema text of an operator: its inputs, attributes, defaults, aliasing and mutation.

    softmax(Tensor x, *, int dim, dtype? dtype=None) -> Tensor
    narrow(Tensor(a) x, *, int dim, int start, int length) -> Tensor(a)
    copy_(Tensor(a!) x, Tensor src) -> Tensor(a!)

Inputs (`Tensor`, `Tensor?`, `Tensor[]`) come first and are passed by position; everything else is
an attribute and passed by keyword, so that no transform has to guess which is which.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from ._errors import error

_SCHEMA = re.compile(r"\s*(\w+)\((.*)\)\s*->\s*(.+?)\s*$", re.DOTALL)
_PARAMETER = re.compile(r"([\w\[\]|]+\??)(?:\((\w+!?)\))?(\[\])?\s+(\w+)(?:\s*=\s*(.+))?$")

#: The usual defaults, and none; others are parsed.
_USUAL = {None: None, "None": None, "False": False, "True": True, "0": 0, "1": 1}


class Parameter:
    """One parameter of a schema, never changed.

    Attributes:
        name, type, alias: As written.
        default, has_default: The value after `=`.
        is_input: It carries tensors.
        is_list: It carries any number of tensors.
        is_optional: `None` may stand in its place.
    """

    __slots__ = (
        "alias", "default", "has_default", "is_input", "is_list", "is_optional", "name", "type",
    )  # fmt: skip

    def __init__(
        self, name: str, type: str, alias: str | None, default: Any, has_default: bool
    ) -> None:
        self.name = name
        self.type = type
        self.alias = alias
        self.default = default
        self.has_default = has_default
        self.is_input = type.startswith("Tensor")
        self.is_list = type == "Tensor[]"
        self.is_optional = type.endswith("?")


class Schema:
    """A parsed schema, never changed.

    Attributes:
        name, inputs, attributes, returns, text: Its parts, and the whole.
        variadic: The last input is a list of tensors.
        defaults: Defaults of attributes by name.
        is_view: The result shares the first input's memory.
    """

    __slots__ = (
        "attributes", "defaults", "inputs", "is_view", "name", "returns", "text", "variadic",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        inputs: tuple[Parameter, ...],
        attributes: tuple[Parameter, ...],
        returns: tuple[str, ...],
        text: str,
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.attributes = attributes
        self.returns = returns
        self.text = text
        self.variadic = bool(inputs) and inputs[-1].is_list
        self.defaults: dict[str, Any] = {p.name: p.default for p in attributes if p.has_default}
        self.is_view = bool(inputs) and inputs[0].alias == "a"


def _split(text: str) -> list[str]:
    """Splits at the commas outside brackets."""
    if "=" not in text:  # brackets hold commas in defaults only
        return [part.strip() for part in text.split(",")] if text else []
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()] if current.strip() else parts


@functools.cache
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
    value = _USUAL.get(default)
    if default not in _USUAL:
        import ast

        value = ast.literal_eval(default)
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
