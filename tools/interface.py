"""Writes the typed interface of what the operator families make public.

Functions and methods are made from rules when rushlight is imported, so a type checker would not
see them.  This program imports rushlight, asks for their signatures and writes

    packages/core/src/rushlight/__init__.pyi and those of linalg, fft, special and ops
    packages/core/src/rushlight/_tensor/_methods.py

`python tools/interface.py` writes them, `--check` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent / "packages/core/src/rushlight"
BUILTINS = ("bool", "int", "float", "complex", "bytes", "type", "object", "str", "tuple", "list")
KNOWN = {
    "Any", "Tensor", "DType", "Size", "Device", "Sequence", "Callable", "None", "Generator",
    "Storage", "HostArray", "layout", "memory_format", "Iterable", "Iterator", "Literal",
    *BUILTINS, *(f"_{name}" for name in BUILTINS),
}  # fmt: skip
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
from typing import Any, Literal

import numpy as _numpy
"""


def annotation(value: Any, *, fallback: str = "Any") -> str:
    """An annotation as text that means the same in a stub; `Any` if it names something else."""
    if value is inspect.Parameter.empty:
        return fallback
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    text = text.replace("typing.", "").replace("collections.abc.", "").replace("np.", "_numpy.")
    text = text.replace("builtins.", "")
    names = set(re.findall(r"(?<![\w.'\"])[A-Za-z_]\w*", re.sub(r"(['\"]).*?\1", "", text)))
    if not names - {"_numpy"} <= KNOWN:
        return fallback
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
    star = False
    adds_out = getattr(function, "accepts_out", False) and "out" not in found.parameters
    for place, parameter in enumerate(found.parameters.values()):
        name, kind = parameter.name, parameter.kind
        if place == 0 and method:
            parts.append("self")
            continue
        note = annotation(parameter.annotation)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            parts.append(f"*{name}: {note}")
            star = True
        elif kind is inspect.Parameter.VAR_KEYWORD:
            if adds_out:
                parts.append(("" if star else "*, ") + "out: Any = ...")
                star = True
            parts.append(f"**{name}: {note}")
        else:
            if kind is inspect.Parameter.KEYWORD_ONLY and not star:
                parts.append("*")
                star = True
            parts.append(f"{name}: {note}{default(parameter)}")
    if adds_out and not any(p.startswith("**") for p in parts):
        parts += [*([] if star else ["*"]), "out: Any = ..."]
    result = annotation(found.return_annotation)
    return f"({', '.join(parts)}) -> {result}"


def is_name(name: str) -> bool:
    return name.isidentifier()


def function_lines(names: dict[str, Any]) -> list[str]:
    """One line per public function, by name."""
    lines = []
    for name in sorted(names):
        value = names[name]
        if not is_name(name):
            continue
        if inspect.isclass(value) or not callable(value):
            lines.append(f"{name}: Any")
        else:
            lines.append(f"def {name}{signature(value)}: ...")
    return lines


def explicit_exports() -> list[str]:
    """The re-exports that `__init__.py` spells out."""
    lines = []
    for line in (ROOT / "__init__.py").read_text().splitlines():
        if re.match(r"(from \S+|from \.) import (\w+) as (?!_)(\w+)", line):
            lines.append(line.split("  #")[0])
    return lines


def namespace_stub(namespace: str, module: Any) -> str:
    """The stub of `rushlight.<namespace>`."""
    from rushlight._ops import PUBLIC

    names = dict(PUBLIC.get(namespace, {}))
    extra = [
        line
        for line in (ROOT / namespace / "__init__.py").read_text().splitlines()
        if re.match(r"from \S+ import (\w+) as \1$", line)
    ]
    head = HEADER.format(doc=(module.__doc__ or "").strip().splitlines()[0])
    types = "\n".join(f"from .._{m} import {n} as {o}" for m, n, o in TYPES)
    return "\n".join([head, IMPORTS.strip(), types, *extra, "", *function_lines(names), ""])


TYPES = (
    ("device", "device", "Device"),
    ("dtypes", "DType", "DType"),
    ("generator", "Generator", "Generator"),
    ("layout", "layout", "layout"),
    ("layout", "memory_format", "memory_format"),
    ("size", "Size", "Size"),
    ("storage", "Storage", "Storage"),
    ("tensor.tensor", "Tensor", "Tensor"),
)


def root_stub() -> str:
    """The stub of `rushlight`."""
    from rushlight._ops import PUBLIC

    head = HEADER.format(doc="Rushlight: tensors and automatic differentiation.")
    types = "\n".join(
        f"from ._{m} import {n} as {o}" for m, n, o in TYPES if o in ("Device", "DType", "Storage")
    )
    taken = {line.rsplit(" as ", 1)[1] for line in explicit_exports()}
    names = {k: v for k, v in PUBLIC.get("", {}).items() if k not in taken}
    return "\n".join(
        [
            head,
            IMPORTS.strip(),
            types,
            "from ._generator import Generator as Generator",
            *explicit_exports(),
            "from . import func as func",
            "from . import random as random",
            "from rushlight import nn as nn",
            "from rushlight import optim as optim",
            "",
            "__version__: str",
            "newaxis: None",
            "",
            *function_lines({k: v for k, v in names.items() if k != "Generator"}),
            "",
            "def __getattr__(name: str) -> Any: ...",
            "",
        ]
    )


def methods_module() -> str:
    """The module with the signatures of Tensor's methods."""
    from rushlight._ops import METHODS
    from rushlight._tensor.tensor import Tensor

    methods = dict(METHODS)
    own = Tensor.__dict__
    for name in ("backward", "register_hook", "retain_grad", "register_post_accumulate_grad_hook"):
        methods.setdefault(name, own[name])
    lines = []
    for name in sorted(methods):
        value = methods[name]
        if isinstance(value, property):
            lines.append("        @property")
            note = annotation(inspect.signature(value.fget).return_annotation) if value.fget else "Any"
            lines.append(f"        def {name}(self) -> {note}: ...")
            if value.fset is not None:
                lines += [f"        @{name}.setter", f"        def {name}(self, value: Any) -> None: ..."]
        elif inspect.isclass(value) or not callable(value):
            lines.append(f"        {name}: Any")
        else:
            text = signature(value, method=True)
            if name in OPERATORS:
                text = "(self, other: Any) -> Tensor"
            lines.append(f"        def {name}{text}: ..." + OVERRIDES.get(name, ""))
    head = HEADER.format(doc="Signatures of Tensor's methods, for type checkers.")
    types = "\n".join(
        f"    from ..{'_' if m != 'tensor.tensor' else ''}{m} import {n} as {o}"
        if m != "tensor.tensor"
        else "    from .tensor import Tensor"
        for m, n, o in TYPES
    )
    imports = "\n".join("    " + line if line else "" for line in IMPORTS.strip().splitlines())
    return "\n".join(
        [
            head,
            "from __future__ import annotations",
            "",
            "from typing import TYPE_CHECKING",
            "",
            "if TYPE_CHECKING:",
            imports,
            "",
            types,
            "",
            "",
            "class TensorMethods:",
            '    """What the operator families add to Tensor when they are imported."""',
            "",
            "    __slots__ = ()",
            "",
            "    if TYPE_CHECKING:",
            "",
            *lines,
            "",
        ]
    )


OPERATORS = {
    f"__{r}{name}__"
    for name in (
        "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
    )
    for r in ("", "r", "i")
} | {f"__{name}__" for name in "lt le gt ge".split()}
OVERRIDES = {"__eq__": "  # type: ignore[override]", "__ne__": "  # type: ignore[override]"}


def outputs() -> dict[Path, str]:
    """All files with what should stand in them."""
    import rushlight

    files = {ROOT / "__init__.pyi": root_stub(), ROOT / "_tensor/_methods.py": methods_module()}
    for namespace in ("linalg", "fft", "special", "ops"):
        files[ROOT / namespace / "__init__.pyi"] = namespace_stub(
            namespace, getattr(rushlight, namespace)
        )
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
