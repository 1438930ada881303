"""Printing: how a tensor reads as text, in the layout PyTorch's users know.

One format is chosen for all elements from the values that are shown (`_NumberFormat`), the text
is laid out in nested brackets (`_layout`), and what the numbers don't tell follows as suffixes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np

from .._config import settings
from .._errors import error

# Any tensor-like object: tests and backends hand in their own, so only the public face is used.
AnyTensor = Any


class _Options(NamedTuple):
    """How numbers are shown; replaced as a whole, so a print never sees half a change."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES: Final[dict[str, _Options]] = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}
_options = _PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed; what is None stays as it is, except `sci_mode`.

    Args:
        precision: Digits after the decimal point.
        threshold: Tensors of more elements than this are shown by their edges only.
        edgeitems: Elements shown at each edge of a dimension that is too long.
        linewidth: Columns after which a line is broken.
        profile: "default", "short" or "full": sets all of the above before they are applied.
        sci_mode: Scientific notation always (True), never (False), or by the values (None).

    Raises:
        ValueError: There is no profile of that name.

    Example:
        >>> rushlight.set_printoptions(precision=2)
        >>> rushlight.tensor([1.12345])
        tensor([1.12])
        >>> rushlight.set_printoptions(profile="default")
    """
    global _options
    if profile is not None and profile not in _PROFILES:
        raise error(
            ValueError,
            "set_printoptions",
            f"there is no profile {profile!r}",
            expected="profile is one of " + ", ".join(map(repr, _PROFILES)),
        )
    base = _options if profile is None else _PROFILES[profile]
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = base._replace(**changes, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The settings of `set_printoptions` as a dictionary.

    Example:
        >>> rushlight.get_printoptions()["precision"]
        4
    """
    return _options._asdict()


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Applies `set_printoptions` within a `with` block.

    Args:
        kwargs: As for `set_printoptions`.

    Example:
        >>> from rushlight._tensor.printing import printoptions
        >>> with printoptions(precision=1):
        ...     print(rushlight.tensor(0.25))
        tensor(0.2)
    """
    global _options
    before = _options
    try:
        set_printoptions(**kwargs)
        yield
    finally:
        _options = before


def tensor_repr(tensor: AnyTensor, *, tensor_contents: str | None = None) -> str:
    """The text of `repr(tensor)`.

    Args:
        tensor: The tensor; its data is fetched to the host, only the shown corners of it when it
            is too long to show whole.
        tensor_contents: Text that stands in place of the numbers.

    Example:
        >>> from rushlight._tensor.printing import tensor_repr
        >>> tensor_repr(rushlight.zeros(2, dtype=rushlight.float64))
        'tensor([0., 0.], dtype=rushlight.float64)'
    """
    options = _options
    prefix = _prefix(tensor)
    body = tensor_contents
    if body is None:
        body = _contents(tensor, len(prefix), options)
    return _with_suffixes(prefix + body, _suffixes(tensor), len(prefix), options.linewidth)


def _prefix(tensor: AnyTensor) -> str:
    """Our own classes print alike (a Parameter says what it is itself), a user's by their name."""
    cls = type(tensor)
    return ("tensor" if cls.__module__.partition(".")[0] == "rushlight" else cls.__name__) + "("


def _contents(tensor: AnyTensor, indent: int, options: _Options) -> str:
    if tensor.device.type == "meta":
        return "..."
    shape = tuple(tensor.shape)
    count = math.prod(shape)
    if count == 0:
        return "[]"
    if count > options.threshold:
        values = _corners(tensor, 0, options.edgeitems)
        return _layout(values, shape, indent, _formatter(values, options), options)
    values = host_values(tensor)
    return _layout(values, None, indent, _formatter(values, options), options)


def host_values(tensor: AnyTensor) -> np.ndarray[Any, Any]:
    """The values on the host, in a dtype whose elements Python formats."""
    detached = tensor.detach().cpu()
    for lazy in ("resolve_conj", "resolve_neg"):
        resolve = getattr(detached, lazy, None)
        detached = detached if resolve is None else resolve()
    if detached.dtype.is_floating_point and detached.dtype.itemsize < 4:
        # bfloat16 has no form of its own in plain NumPy, and both halves are exact in float32.
        detached = detached.float()
    return np.asarray(detached.numpy())


def _corners(tensor: AnyTensor, dim: int, edge: int) -> np.ndarray[Any, Any]:
    """The first and last `edge` items along every dimension that has more than both."""
    if dim == len(tensor.shape):
        return host_values(tensor)
    length = tensor.shape[dim]
    if length <= 2 * edge:
        return _corners(tensor, dim + 1, edge)
    head = _corners(tensor.narrow(dim, 0, edge), dim + 1, edge)
    tail = _corners(tensor.narrow(dim, length - edge, edge), dim + 1, edge)
    return np.concatenate([head, tail], axis=dim)


class _NumberFormat(NamedTuple):
    """One text form for all values of a tensor: `notation` is a format code, or "" for `str`."""

    notation: str
    width: int
    point: bool  # whole numbers of a floating dtype end in a bare point

    def form(self, value: Any) -> str:
        """The text of one element, padded to the common width."""
        text = format(value, self.notation) if self.notation else str(value)
        if self.point and math.isfinite(value):
            text += "."
        return text.rjust(self.width)


def _formatter(values: np.ndarray[Any, Any], options: _Options) -> tuple[Callable[[Any], str], int]:
    """The function that formats an element, and the width of its results."""
    if values.dtype.kind != "c":
        number = _number_format(values, options)
        return number.form, number.width
    real = _number_format(values.real, options)
    imag = _number_format(values.imag, options)

    def pair(value: complex) -> str:
        second = imag.form(value.imag).lstrip() + "j"
        return real.form(value.real) + (second if second[0] == "-" else "+" + second)

    return pair, real.width + imag.width + 1


def _number_format(values: np.ndarray[Any, Any], options: _Options) -> _NumberFormat:
    """Chooses whole numbers, fixed point or scientific notation, and the common width.

    Zeros, infinities and NaN have no say: only the magnitudes of the other values count.
    """
    if values.dtype.kind != "f":
        width = max((len(str(v)) for v in values.ravel().tolist()), default=1)
        return _NumberFormat("", width, point=False)
    told = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    whole = bool((told == np.ceil(told)).all())
    scientific = told.size > 0 and (
        _spread_out(np.abs(told), whole) if options.sci_mode is None else options.sci_mode
    )
    if scientific:
        notation, point = f".{options.precision}e", False
    else:
        notation, point = (".0f", True) if whole else (f".{options.precision}f", False)
    width = max((len(format(v, notation)) + point for v in told.tolist()), default=1)
    return _NumberFormat(notation, width, point)


def _spread_out(magnitudes: np.ndarray[Any, Any], whole: bool) -> bool:
    """Whether fixed point would drown small values or need very long numbers."""
    largest, smallest = float(magnitudes.max()), float(magnitudes.min())
    # Divided as Python floats, where a quotient too large is inf without a warning.
    return largest / smallest > 1000.0 or largest > 1.0e8 or (not whole and smallest < 1.0e-4)


def _layout(
    values: np.ndarray[Any, Any],
    shape: tuple[int, ...] | None,
    indent: int,
    formatter: tuple[Callable[[Any], str], int],
    options: _Options,
) -> str:
    """Nested brackets. Given a `shape`, `values` are its corners, and gaps are marked."""
    form, width = formatter
    if values.ndim == 0:
        return form(values.item())
    half = len(values) // 2
    gap = shape is not None and shape[0] > len(values)
    if values.ndim == 1:
        items = [form(value) for value in values.tolist()]
        if gap:
            items.insert(half, " ...")
        return _row(items, indent, width, options.linewidth)
    inner = None if shape is None else shape[1:]
    blocks = [_layout(block, inner, indent + 1, formatter, options) for block in values]
    if gap:
        blocks.insert(half, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"


def _row(items: list[str], indent: int, width: int, linewidth: int) -> str:
    """One bracket of elements, broken into lines; each takes its width and two columns more."""
    per_line = max(1, (linewidth - indent) // (width + 2))
    lines = [", ".join(items[start : start + per_line]) for start in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _suffixes(tensor: AnyTensor) -> list[str]:
    """What a reader could not tell from the numbers."""
    meta = tensor.device.type == "meta"
    shape = tuple(tensor.shape)
    empty = math.prod(shape) == 0
    suffixes = []
    if tensor.device.type != "cpu":
        suffixes.append(f"device='{tensor.device}'")
    # Without numbers to look at, the default types must be told apart as well.
    if meta or (empty and len(shape) != 1):
        suffixes.append(f"size={shape}")
    evident: tuple[Any, ...] = (settings.default_dtype,)
    if not (meta or empty):
        evident = (*evident, settings.default_complex, "int64", "bool")
    if tensor.dtype.name not in {getattr(dtype, "name", dtype) for dtype in evident}:
        suffixes.append(f"dtype={tensor.dtype!r}")
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{_node_name(tensor.grad_fn)}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixes


def _node_name(node: Any) -> str:
    """The node's own name where it has one; our node classes are few, names are per operator."""
    name = getattr(node, "name", None)
    return str(name()) if callable(name) else type(node).__name__


def _with_suffixes(text: str, suffixes: list[str], indent: int, linewidth: int) -> str:
    """Appends the suffixes, on a new line where the last one has no room."""
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if column + len(suffix) + 2 > linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"
