"""How errors read: who, what was given, what was expected, how to mend it, and where.

An error has the type torch raises, and four parts. The module path is found only when an error
passes through `Module.__call__`, so calls that succeed pay nothing for it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

E = TypeVar("E", bound=Exception)


class LinAlgError(RuntimeError):
    """A matrix that a factorization cannot take, as `torch.linalg.LinAlgError`."""


class Explained(Exception):
    """Mixin of the errors that `error` builds; `str()` lays out the parts."""

    who: str
    summary: str
    given: str | None
    expected: str | None
    fix: str | None
    modules: list[Any]

    def __str__(self) -> str:
        lines = [f"{self.who}: {self.summary}" if self.who else self.summary]
        where = module_path(self)
        given = self.given
        if where:
            given = f"{given}     (in {where})" if given else f"(in {where})"
        for label, text in (("given", given), ("expected", self.expected), ("to fix", self.fix)):
            if text:
                lines.append(f"  {label + ':':<9} {text}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # Modules do not travel between processes: their path does, as text in `given`.
        where = module_path(self)
        given = self.given
        if where:
            given = f"{given}     (in {where})" if given else f"(in {where})"
        build = partial(error, given=given, expected=self.expected, fix=self.fix)
        return build, (_BASES[type(self)], self.who, self.summary)


class OutOfMemoryError(RuntimeError):
    """A device has not as much memory as a call needs.

    Example:
        >>> issubclass(rushlight.OutOfMemoryError, RuntimeError)
        True
    """


OutOfMemoryError.__module__ = "rushlight"
_CLASSES: dict[type[Exception], type[Explained]] = {}
_BASES: dict[type[Explained], type[Exception]] = {}


def error(
    kind: type[E],
    who: str,
    summary: str,
    *,
    given: str | None = None,
    expected: str | None = None,
    fix: str | None = None,
) -> E:
    """Builds an exception of type `kind` with the four parts; the caller raises it.

    Args:
        kind: The exception type torch raises in this place.
        who: The operator or function the user called.
        summary: What is wrong, in one sentence without a full stop.
        given: The arguments, as far as they matter: shapes, dtypes, devices, values.
        expected: The condition that does not hold.
        fix: What to write instead.

    Example:
        >>> print(error(ValueError, "narrow", "length is negative", given="length=-1"))
        narrow: length is negative
          given:    length=-1
    """
    cls = _CLASSES.get(kind)
    if cls is None:
        # It shows as the plain builtin in tracebacks, and `except kind` catches it.
        cls = type(kind.__name__, (Explained, kind), {"__module__": kind.__module__})
        _CLASSES[kind] = cls
        _BASES[cls] = kind
    made = cls(summary)
    made.who, made.summary = who, summary
    made.given, made.expected, made.fix = given, expected, fix
    made.modules = []
    return made  # type: ignore[return-value]


def note_module(raised: BaseException, module: Any) -> None:
    """Adds a module to the path of an error that leaves its `__call__`, innermost first."""
    try:
        raised.__dict__.setdefault("modules", []).append(module)
    except AttributeError:  # an exception class with slots: it goes on without a path
        return
    if not isinstance(raised, Explained):
        _note_plain(raised)


def _note_plain(raised: BaseException) -> None:
    """Keeps the path of an error that is not ours up to date as its last note."""
    notes: list[str] = raised.__dict__.setdefault("__notes__", [])
    where = f"(in {module_path(raised)})"
    if notes and notes[-1].startswith("(in "):
        notes[-1] = where
    else:
        notes.append(where)


def module_path(raised: BaseException) -> str:
    """Dotted path, such as "model.encoder.layers.3", of the innermost module an error passed."""
    return path_of(list(reversed(getattr(raised, "modules", []))))


def path_of(modules: list[Any]) -> str:
    """Dotted path of the last of some modules, each of which is called by the one before it."""
    if not modules:
        return ""
    parts = [type(modules[0]).__name__]
    for outer, inner in zip(modules, modules[1:], strict=False):
        parts.append(_name_within(outer, inner) or type(inner).__name__)
    return ".".join(parts)


def _name_within(outer: Any, inner: Any) -> str | None:
    named_modules = getattr(outer, "named_modules", None)
    if named_modules is None:
        return None
    return next((name for name, module in named_modules() if module is inner), None)
