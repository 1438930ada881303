"""Who may import whom: the core's layers, backends, nn. Source is parsed, nothing is imported."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
CORE = PACKAGES / "core/src/rushlight"
NN = PACKAGES / "nn/src/rushlight"
BACKENDS = {path.name: path for path in sorted(PACKAGES.glob("backend-*/src/rushlight_*"))}

# A module imports from its own layer and from those below; docs/design may draw it, this decides.
LAYERS = {
    0: "_dtypes _errors _schema _config _modes _device _size _layout _philox _hooks _trees _limits",
    1: "backend",
    2: "_storage _node _tensor _streams",
    3: "_operator _promotion _registered _rules _saving _dispatch _entries _views _writes _failures"
    " _detour _generator",
    4: "_autograd _interpreters _autocast",
    5: "_ops",
    6: "linalg fft special ops signal masked autograd func random serialization _checkpoint utils"
    " _profiling",
    7: "compile export profiler accelerator _device_module _device_finder _preflight",
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names.split()}
TOP = 8  # `rushlight` itself, which gathers all of them
MAY_USE_ANYTHING = {"__init__", "__main__", "testing"}
LEAVES = {
    "_dtypes",
    "_errors",
    "_schema",
    "_config",
    "_philox",
}  # what backends may use beside the protocol
NN_PARTS = ("rushlight.nn", "rushlight.optim", "rushlight.utils.data")

# An import: the line, and the module (or the name within a module) it reaches.
Import = tuple[int, str]


def is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, at any depth, except what only type checkers run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from statements(other)
            continue
        yield child
        yield from statements(child)


def imports(source: str, module: str, *, is_package: bool = False) -> list[Import]:
    """The imports of `module` by absolute name; each name of a `from` import counts by itself."""
    found: list[Import] = []
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parents = module.split(".")
                drop = node.level - is_package
                base = parents[: len(parents) - drop]
                origin = ".".join([*base, origin] if origin else base)
            found += [(node.lineno, f"{origin}.{alias.name}") for alias in node.names]
    return found


def own_part(name: str) -> str | None:
    """The part of Rushlight that `name` lies in: "_ops" for rushlight._ops.softmax."""
    first, _, rest = name.partition(".")
    return rest.split(".")[0] if first == "rushlight" else None


def core_violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Imports of a core module that point upwards or out of the core."""
    part = own_part(module) or "__init__"
    if part in MAY_USE_ANYTHING:
        return []
    if part not in LAYER:
        return [f"{module}: give {part!r} a layer in tests/packaging/test_imports.py"]
    found = []
    for line, name in imports(source, module, is_package=is_package):
        target = own_part(name)
        if name.split(".")[0].startswith("rushlight_") or name.startswith(NN_PARTS):
            found.append(f"{module}:{line} imports {name}, which is not the core's")
        elif target is not None and LAYER.get(target, TOP) > LAYER[part]:
            found.append(
                f"{module}:{line} (layer {LAYER[part]}) imports {name}"
                f" (layer {LAYER.get(target, TOP)})"
            )
    return found


def backend_violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Imports of a backend beyond itself, the backend protocol and the core's leaves."""
    found = []
    for line, name in imports(source, module, is_package=is_package):
        top, *below = name.split(".")
        if not top.startswith("rushlight") or top == module.split(".")[0]:
            continue
        protocol = below[:1] == ["backend"] and not any(b.startswith("_") for b in below)
        leaf = bool(below) and below[0] in LEAVES
        if top != "rushlight" or not (protocol or leaf):
            found.append(f"{module}:{line} imports {name}; backends use rushlight.backend only")
    return found


def nn_violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Imports of nn that reach a backend or a private module of the core."""
    found = []
    for line, name in imports(source, module, is_package=is_package):
        top, *below = name.split(".")
        if top.startswith("rushlight_"):
            found.append(f"{module}:{line} imports {name}, a backend")
        elif top != "rushlight" or name.startswith(NN_PARTS) or below[:1] == ["_errors"]:
            continue
        elif any(b.startswith("_") and not b.startswith("__") for b in below):
            found.append(f"{module}:{line} imports {name}, private to the core")
    return found


def violations(
    root: Path, check: Callable[..., list[str]], package: str = "rushlight"
) -> list[str]:
    """Runs `check` on every module below `root`, the folder of `package`."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = [package, *path.relative_to(root).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += check(path.read_text("utf-8"), module, is_package=is_package)
    return found


def named(root: Path, pattern: str) -> list[str]:
    """Lines of text files below `root` in which `pattern` occurs, in whatever case."""
    search = re.compile(pattern, re.IGNORECASE).search
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in sorted(root.rglob("*"))
        if path.suffix in {".py", ".pyi", ".md", ".txt", ".toml", ".json", ".c", ".h"}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if search(line)
    ]


def test_core_imports_point_downwards() -> None:
    assert (CORE / "_errors.py").is_file()
    assert violations(CORE, core_violations) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_imports_only_the_protocol_and_leaves(backend: str) -> None:
    assert violations(BACKENDS[backend], backend_violations, backend) == []


def test_nn_imports_only_what_is_public() -> None:
    assert violations(NN, nn_violations) == []


def test_core_names_no_device_type_of_a_backend_and_no_backend() -> None:
    assert named(CORE, "cuda|opencl|rushlight_cpu") == []


# The checker itself: it must be able to fail.


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ._ops import add", "rushlight._tensor"),
        ("from rushlight._ops.softmax import softmax", "rushlight._dispatch"),
        ("import rushlight._autograd.engine", "rushlight._storage"),
        ("from rushlight import _ops", "rushlight._autograd.engine"),
        ("import rushlight", "rushlight._ops.softmax"),
        ("from rushlight import Tensor", "rushlight.linalg"),
        ("def f():\n    from .. import _ops", "rushlight._tensor.methods"),
        (
            "try:\n    from .._dispatch import call\nexcept ImportError:\n    pass",
            "rushlight._tensor.a",
        ),
        ("import rushlight.nn", "rushlight.func"),
        ("from rushlight_cpu import backend", "rushlight.backend._registry"),
        ("from ..utils.data import DataLoader", "rushlight.func.jacobian"),
        ("", "rushlight._new_and_unknown"),
    ],
)
def test_checker_sees_an_upward_import(source: str, module: str) -> None:
    assert len(core_violations(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ._errors import error", "rushlight._schema"),
        ("from ..backend import Backend", "rushlight._tensor.methods"),
        ("import numpy as np\nfrom typing import Any", "rushlight._errors"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._ops import a",
            "rushlight._node",
        ),
        ("import typing\nif typing.TYPE_CHECKING:\n    from ._ops import a", "rushlight._node"),
        ("from rushlight_cpu import anything", "rushlight.testing.loopback"),
    ],
)
def test_checker_accepts_a_downward_import(source: str, module: str) -> None:
    assert core_violations(source, module) == []


def test_checker_resolves_relative_imports_from_a_package() -> None:
    source = "from . import engine\nfrom .._ops import add"
    expected = [(1, "rushlight._autograd.engine"), (2, "rushlight._ops.add")]
    assert imports(source, "rushlight._autograd", is_package=True) == expected


@pytest.mark.parametrize(
    "name",
    [
        "rushlight",
        "rushlight._ops",
        "rushlight.backend._registry",
        "rushlight.nn",
        "rushlight.linalg",
        "rushlight_other",
    ],
)
def test_checker_confines_backends(name: str) -> None:
    assert len(backend_violations(f"import {name}", "rushlight_cpu.kernels.matmul")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from rushlight.backend import Backend, hookimpl",
        "from rushlight.backend.arrays import creation",
        "from rushlight._dtypes import DType",
        "from ._shared import table",
        "import rushlight_cpu.device",
    ],
)
def test_checker_lets_backends_use_the_protocol(source: str) -> None:
    assert backend_violations(source, "rushlight_cpu.kernels.matmul") == []


@pytest.mark.parametrize(
    "source",
    [
        "from rushlight._ops.softmax import softmax",
        "from rushlight import _dtypes",
        "from ..._tensor import Tensor",
        "from rushlight.utils._tree import tree_map",
        "import rushlight_cpu",
    ],
)
def test_checker_confines_nn(source: str) -> None:
    assert len(nn_violations(source, "rushlight.nn.modules.linear")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import rushlight\nfrom rushlight import Tensor, __version__",
        "from rushlight._errors import error",
        "from rushlight.nn import _reduction",
        "from .._reduction import reduce",
    ],
)
def test_checker_lets_nn_use_what_is_public(source: str) -> None:
    assert nn_violations(source, "rushlight.nn.modules.linear") == []


def test_search_for_names_ignores_case(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nis_CUDA = True\n")
    assert named(tmp_path, "cuda|opencl") == ["a.py:2: is_CUDA = True"]
