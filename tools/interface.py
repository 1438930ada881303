"""Writes the typed interface of what the operator families make public.

Functions and methods are made from rules when rushlight is imported, so a type checker would not
see them.  This program imports rushlight, asks for their signatures and writes

    packages/core/src/rushlight/__init__.pyi and those of linalg, fft, special and the like
    packages/core/src/rushlight/_tensor/_methods.pyi

`python tools/interface.py` writes them, `--check` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import inspect
import operator
import re
import sys
import types
import typing
from collections.abc import Container
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent / "packages/core/src/rushlight"
BUILTINS = ("bool", "int", "float", "complex", "bytes", "type", "object", "str", "tuple", "list")
KNOWN = {
    "Any", "Tensor", "DType", "Size", "Device", "Sequence", "Callable", "None", "Generator",
    "RemovableHandle", "Storage", "layout", "memory_format", "Iterable", "Iterator", "Literal",
    "SupportsIndex",
    *BUILTINS, *(f"_{name}" for name in BUILTINS),
}  # fmt: skip
#: Namespaces besides `rushlight` itself, by the file that has their functions.
NAMESPACES = {
    "linalg": "linalg/__init__",
    "fft": "fft/__init__",
    "special": "special/__init__",
    "ops": "ops/__init__",
    "masked": "masked/__init__",
    "signal.windows": "signal/windows",
}
#: Modules that `import rushlight` does not load, but `rushlight.name` does.
LAZY = ("func", "masked", "random", "signal", "testing")
SHADOWED = re.compile(r"(?<![\w.])(bool|int|float|complex|type|object)(?![\w])")
HEADER = '''"""{doc}

Written by tools/interface.py; not edited by hand.
"""
'''
IMPORTS = """
import builtins as _builtins
from builtins import bool as _bool
from builtins import complex as _complex
from builtins import float as _float
from builtins import int as _int
from builtins import object as _object
from builtins import type as _type
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, SupportsIndex
from typing import overload as _overload

import numpy as _numpy
"""


def annotation(value: Any, names: dict[str, Any]) -> str:
    """An annotation as text that means the same in a stub; `Any` if it can't be said there.

    Args:
        value: The annotation.
        names: What the names in it mean where it stands.
    """
    if value is inspect.Parameter.empty:
        return "Any"
    text = value if isinstance(value, str) else inspect.formatannotation(value)

    def spelt_out(match: re.Match[str]) -> str:
        alias = names.get(match[0])
        is_alias = isinstance(alias, (types.UnionType, types.GenericAlias)) or (
            typing.get_origin(alias) is not None
        )
        return inspect.formatannotation(alias) if is_alias else match[0]

    text = re.sub(r"(?<![\w.'\"])[A-Z]\w*", spelt_out, text)
    text = text.replace("typing.", "").replace("collections.abc.", "").replace("np.", "_numpy.")
    text = re.sub(r"(?<!_)numpy\.", "_numpy.", text.replace("builtins.", ""))
    found = set(re.findall(r"(?<![\w.'\"])[A-Za-z_]\w*", re.sub(r"(['\"]).*?\1", "", text)))
    if not found - {"_numpy"} <= KNOWN:
        return "Any"
    return SHADOWED.sub(r"_\1", text)


def default(parameter: inspect.Parameter) -> str:
    """A parameter's default as a stub shows it."""
    if parameter.default is inspect.Parameter.empty:
        return ""
    value = parameter.default
    simple = value is None or isinstance(value, (bool, int, str))
    return f" = {value!r}" if simple else " = ..."


def signature(function: Any, *, method: bool = False) -> str:
    """The signature of a function as stub text."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return "(*args: Any, **kwargs: Any) -> Any"
    parts = []
    star = only_by_place = False
    names = getattr(inspect.unwrap(function), "__globals__", {})
    writes = method or function.__name__.endswith("_")
    adds_out = getattr(function, "accepts_out", False) and "out" not in found.parameters
    adds_out = adds_out and not writes
    for place, parameter in enumerate(found.parameters.values()):
        name, kind = parameter.name, parameter.kind
        if place == 0 and method:
            parts.append("self")
            continue
        if method and name == "out":
            continue  # taken by the function, which is the method too, but not part of the method
        note = annotation(parameter.annotation, names)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            parts.append(f"*{name}: {note}")
            star = True
        elif kind is inspect.Parameter.VAR_KEYWORD:
            if adds_out:
                parts.append(("" if star else "*, ") + OUT)
                star = True
            parts.append(f"**{name}: {note}")
        else:
            if kind is inspect.Parameter.KEYWORD_ONLY and not star:
                parts.append("*")
                star = True
            if kind is not inspect.Parameter.POSITIONAL_ONLY and only_by_place:
                parts.append("/")
            only_by_place = kind is inspect.Parameter.POSITIONAL_ONLY
            parts.append(f"{name}: {note}{default(parameter)}")
    if only_by_place:
        parts.append("/")
    if adds_out and not any(p.startswith("**") for p in parts):
        parts += [*([] if star else ["*"]), OUT]
    result = annotation(found.return_annotation, names)
    return f"({', '.join(parts)}) -> {result}"


def is_name(name: str) -> bool:
    return name.isidentifier()


def function_lines(names: dict[str, Any], overloads: Container[str] = ()) -> list[str]:
    """One line per public function, by name, or several of those with overloads."""
    lines = []
    for name in sorted(names):
        value = names[name]
        if not is_name(name):
            continue
        if inspect.isclass(value) or not callable(value):
            known = type(value).__name__
            lines.append(f"{name}: {known if known in KNOWN - set(BUILTINS) else 'Any'}")
        elif name in overloads:
            lines += overload_lines(name, "")
        else:
            lines.append(f"def {name}{signature(value)}: ...")
    return lines


def explicit_exports() -> list[str]:
    """The re-exports that `__init__.py` spells out."""
    lines, renamed = [], []
    for line in (ROOT / "__init__.py").read_text().splitlines():
        match = re.match(r"from (\S+) import (\w+) as (?!_)(\w+)", line)
        if match is None:
            continue
        module, theirs, ours = match.groups()
        if theirs == ours:
            lines.append(match[0])
        elif theirs == "DType":
            renamed.append(f"{ours} = DType")
        elif module == "._dtypes":
            renamed.append(f"{ours}: DType")  # a stub exports no name that is changed on import
        else:
            raise SystemExit(f"don't know how to tell a type checker of {line!r}")
    return [*lines, *renamed]


def namespace_stub(namespace: str, module: Any) -> str:
    """The stub of `rushlight.<namespace>`."""
    from rushlight._ops import PUBLIC

    names = dict(PUBLIC.get(namespace, {}))
    extra = [
        line
        for line in (ROOT / f"{NAMESPACES[namespace]}.py").read_text().splitlines()
        if re.match(r"from \S+ import (\w+) as \1$", line)
    ]
    head = HEADER.format(doc=(module.__doc__ or "").strip().splitlines()[0])
    imports = [f"from rushlight._{m} import {n}" for m, n in TYPES]
    return "\n".join([head, IMPORTS.strip(), *imports, *extra, "", *function_lines(names), ""])


#: What annotations name, by module; a stub that only imports them does not export them.
TYPES = (
    ("device", "device as Device"),
    ("dtypes", "DType"),
    ("generator", "Generator"),
    ("hooks", "RemovableHandle"),
    ("layout", "layout"),
    ("layout", "memory_format"),
    ("size", "Size"),
    ("storage", "Storage"),
    ("tensor.tensor", "Tensor"),
)


def root_stub() -> str:
    """The stub of `rushlight`."""
    from rushlight._ops import PUBLIC

    head = HEADER.format(doc="Rushlight: tensors and automatic differentiation.")
    exports = explicit_exports()
    taken = {re.split(" as | = |: ", line)[-1 if " as " in line else 0] for line in exports}
    names = {k: v for k, v in PUBLIC.get("", {}).items() if k not in taken}
    imports = [
        f"from rushlight._{m} import {n}" for m, n in TYPES if n not in taken and n not in names
    ]
    homes = {n: m for m, n in TYPES}
    classes = [
        f"from rushlight._{homes[name]} import {name} as {name}"
        for name, value in names.items()
        if inspect.isclass(value)
    ]
    return "\n".join(
        [
            head,
            IMPORTS.strip(),
            *imports,
            *exports,
            *classes,
            *(f"from . import {name} as {name}" for name in LAZY),
            "from rushlight import nn as nn",
            "from rushlight import optim as optim",
            "",
            "__version__: str",
            "newaxis: None",
            "",
            *function_lines({k: v for k, v in names.items() if not inspect.isclass(v)}, OVERLOADS),
            "",
        ]
    )


def methods_stub() -> str:
    """The stub with what is added to Tensor outside its class."""
    from rushlight._ops import METHODS
    from rushlight._tensor.tensor import Tensor

    methods = dict(METHODS)
    for name, value in vars(Tensor).items():
        made = value.fget if isinstance(value, property) else value
        if inspect.isfunction(made) and made.__module__.startswith("rushlight._autograd"):
            methods.setdefault(name, value)
    lines = []
    for name in sorted(methods):
        value = methods[name]
        if isinstance(value, property):
            lines += property_lines(name, value)
        elif inspect.isclass(value) or not callable(value):
            lines.append(f"    {name}: Any")
        elif name in OVERLOADS and name != "where":
            lines += overload_lines(name, "    ")
        else:
            text = SPECIAL.get(name) or signature(value, method=True)
            lines.append(f"    def {name}{text}: ..." + COMMENTS.get(name, ""))
    return "\n".join(
        [
            HEADER.format(doc="Signatures of Tensor's methods, for type checkers."),
            IMPORTS.strip(),
            *(f"from rushlight._{m} import {n}" for m, n in TYPES),
            "",
            "class TensorMethods:",
            *lines,
            "",
        ]
    )


def property_lines(name: str, value: property) -> list[str]:
    """A property as a stub shows it."""
    getter: Any = value.fget
    note = annotation(inspect.signature(getter).return_annotation, getter.__globals__)
    lines = ["    @property", f"    def {name}(self) -> {note}: ..."]
    if value.fset is not None:
        lines += [f"    @{name}.setter", f"    def {name}(self, value: Any) -> None: ..."]
    return lines


def overload_lines(name: str, indent: str) -> list[str]:
    """The forms of a function, or of a method where the lines are indented."""
    lines = []
    for form in OVERLOADS[name]:
        if indent:
            form = form.replace(", *, out: Any = None", "").replace(", out: Any = None", "")
            form = form.replace("input: Tensor", "self", 1)
        lines += [f"{indent}@_overload", f"{indent}def {name}{form}: ..."]
    return lines


OUT = "out: Any = None"
#: Functions whose arguments decide whether they return a tensor or a (named) tuple of tensors.
OVERLOADS = {
    "where": (
        "(condition: Tensor) -> tuple[Tensor, ...]",
        "(condition: Tensor, input: Any, other: Any, *, out: Any = None) -> Tensor",
    ),
    **dict.fromkeys(
        ("max", "min"),
        (
            "(input: Tensor) -> Tensor",
            "(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor",
            "(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Any",
        ),
    ),
    **dict.fromkeys(
        ("median", "nanmedian"),
        (
            "(input: Tensor) -> Tensor",
            "(input: Tensor, dim: _int, keepdim: _bool = False, *, out: Any = None) -> Any",
        ),
    ),
}
#: Python's operators, whose functions are made from tables and tell no signature.
SPECIAL = {
    **{
        f"__{r}{name}__": "(self, other: Any) -> Tensor"
        for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
        for r in ("", "r", "i")
    },
    **{f"__{name}__": "(self, other: Any) -> Tensor" for name in "lt le gt ge eq ne".split()},
    **{f"__{name}__": "(self) -> Tensor" for name in "abs neg pos invert".split()},
    **{f"__{name}__": f"(self) -> _{name}" for name in "bool int float complex".split()},
    "__iter__": "(self) -> Iterator[Tensor]",
}
COMMENTS = {"__eq__": "  # type: ignore[override]", "__ne__": "  # type: ignore[override]"}


def outputs() -> dict[Path, str]:
    """All files with what should stand in them."""
    import rushlight

    files = {ROOT / "__init__.pyi": root_stub(), ROOT / "_tensor/_methods.pyi": methods_stub()}
    for namespace, path in NAMESPACES.items():
        module = operator.attrgetter(namespace)(rushlight)
        files[ROOT / f"{path}.pyi"] = namespace_stub(namespace, module)
    return files


def main() -> int:
    """Writes the files, or with `--check` compares them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    stale = []
    for path, text in outputs().items():
        if not path.exists() or path.read_text() != text:
            stale.append(path)
            if not check:
                path.write_text(text)
    for path in stale:
        print(("stale: " if check else "wrote: ") + str(path))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
