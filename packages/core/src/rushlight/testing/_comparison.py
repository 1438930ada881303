"""assert_close: whether two results agree as well as their dtypes allow, and where they don't.

Containers are walked in step (`_pairs`); each pair of leaves is compared by what it is: None,
bools, numbers, or tensors and what can become one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .. import _dtypes
from .._dtypes import DType
from .._errors import error
from .._tensor.printing import host_values

# (relative, absolute) per dtype, as in torch; what is not listed must be equal.
_TOLERANCES: Final[dict[DType, tuple[float, float]]] = {
    _dtypes.float16: (1e-3, 1e-5),
    _dtypes.bfloat16: (1.6e-2, 1e-5),
    _dtypes.float32: (1.3e-6, 1e-5),
    _dtypes.float64: (1e-7, 1e-7),
    _dtypes.complex64: (1.3e-6, 1e-5),
    _dtypes.complex128: (1e-7, 1e-7),
}
_NUMBER_DTYPES: Final[dict[type, DType]] = {
    bool: _dtypes.bool_,
    int: _dtypes.int64,
    float: _dtypes.float64,
    complex: _dtypes.complex128,
}


class _Mismatch(Exception):
    """Found a difference; `str` is the message without the place."""


@dataclass(frozen=True)
class _Terms:
    """What counts as agreement."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def tolerances(self, *dtypes: DType) -> tuple[float, float]:
        """The given tolerances, or the looser of what the dtypes allow."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        allowed = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
        return max(rtol for rtol, _ in allowed), max(atol for _, atol in allowed)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Asserts that `actual` is as close to `expected` as their dtypes allow.

    Elements agree where `abs(actual - expected) <= atol + rtol * abs(expected)`. Sequences and
    mappings are compared item by item. Without tolerances, float16 gets rtol 1e-3, bfloat16
    1.6e-2, float32 1.3e-6 (each with atol 1e-5), float64 1e-7 (and atol 1e-7); complex types get
    what their parts get, all others must be equal.

    Args:
        actual: Tensor, array, number, bool, None, or a sequence or mapping of these.
        expected: Value to compare with.
        allow_subclasses: Whether a subclass of the other's type is comparable with it.
        rtol: Relative tolerance; give both tolerances or none.
        atol: Absolute tolerance.
        equal_nan: Whether NaN agrees with NaN.
        check_device: Whether the devices must be the same.
        check_dtype: Whether the dtypes (types, of numbers) must be the same; if not, values are
            compared in a common dtype.
        check_layout: Whether the layouts must be the same.
        check_stride: Whether the strides must be the same.
        msg: Replaces the message, or makes one of the generated message.

    Raises:
        AssertionError: They differ; the message counts the mismatches and shows the greatest.
        ValueError: Only one of `rtol` and `atol` is given.
        TypeError: The two can't be compared.

    Example:
        >>> rushlight.testing.assert_close(rushlight.tensor([1.0]), rushlight.tensor([1.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise error(
            ValueError,
            "assert_close",
            "rtol and atol go together",
            given=f"rtol={rtol}, atol={atol}",
            expected="both tolerances, or none of them",
            fix=f"add {'rtol' if rtol is None else 'atol'}=0.0",
        )
    terms = _Terms(
        allow_subclasses,
        rtol,
        atol,
        equal_nan,
        check_device,
        check_dtype,
        check_layout,
        check_stride,
    )
    for place, left, right in _pairs(actual, expected, ""):
        try:
            _compare(left, right, terms)
        except _Mismatch as found:
            # The comparison's frames say nothing to the user: only the message leaves.
            raise AssertionError(_message(str(found), place, msg)) from None


def _message(text: str, place: str, msg: str | Callable[[str], str] | None) -> str:
    if isinstance(msg, str):
        return msg
    if place:
        text += f"\n\nThe failure occurred for item {place}"
    return text if msg is None else msg(text)


def _pairs(actual: Any, expected: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """The leaves of two containers in step, each with its index path."""
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            yield place, _Lengths(len(actual)), _Lengths(len(expected))
        for index, (left, right) in enumerate(zip(actual, expected)):
            yield from _pairs(left, right, f"{place}[{index}]")
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            yield place, _Keys(list(actual)), _Keys(list(expected))
        for key in actual:
            yield from _pairs(actual[key], expected[key], f"{place}[{key!r}]")
    else:
        yield place, actual, expected


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


@dataclass(frozen=True)
class _Lengths:
    """Stands for two sequences that can't be walked in step."""

    length: int


@dataclass(frozen=True)
class _Keys:
    """Stands for two mappings that can't be walked in step."""

    keys: list[Any]


def _compare(actual: Any, expected: Any, terms: _Terms) -> None:
    """Raises `_Mismatch` unless two leaves agree."""
    actual, expected = _plain_number(actual), _plain_number(expected)
    if isinstance(actual, _Lengths):
        raise _Mismatch(
            f"The length of the sequences mismatch: {actual.length} != {expected.length}"
        )
    if isinstance(actual, _Keys):
        _keys_differ(actual.keys, expected.keys)
    elif actual is None or expected is None:
        if actual is not expected:
            raise _Mismatch(f"None mismatch: {actual} is not {expected}")
    elif isinstance(actual, bool) and isinstance(expected, bool):
        if actual is not expected:
            raise _Mismatch(f"Booleans mismatch: {actual} is not {expected}")
    elif isinstance(actual, int | float | complex) and isinstance(expected, int | float | complex):
        _compare_numbers(actual, expected, terms)
    else:
        _compare_tensors(*_as_tensors(actual, expected, terms), terms)


def _plain_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _keys_differ(actual: list[Any], expected: list[Any]) -> None:
    missing = [key for key in expected if key not in actual]
    additional = [key for key in actual if key not in expected]
    lines = ["The keys of the mappings do not match:"]
    if missing:
        lines.append(f"Missing keys in the actual mapping: {sorted(missing, key=repr)}")
    if additional:
        lines.append(f"Additional keys in the actual mapping: {sorted(additional, key=repr)}")
    raise _Mismatch("\n".join(lines))


def _compare_numbers(actual: complex, expected: complex, terms: _Terms) -> None:
    if terms.check_dtype and type(actual) is not type(expected):
        raise _Mismatch(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    rtol, atol = terms.tolerances(_NUMBER_DTYPES[type(actual)], _NUMBER_DTYPES[type(expected)])
    left, right = np.asarray(actual), np.asarray(expected)
    if not _close(left, right, rtol, atol, terms.equal_nan).all():
        raise _Mismatch(_scalar_report(left, right, rtol, atol))


def _as_tensors(actual: Any, expected: Any, terms: _Terms) -> tuple[Any, Any]:
    """Both as tensors, if they are of related types and each can become one."""
    rushlight: Any = importlib.import_module("rushlight")

    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if related and (terms.allow_subclasses or type(actual) is type(expected)):
        try:
            return rushlight.as_tensor(actual), rushlight.as_tensor(expected)
        except (TypeError, ValueError, RuntimeError):
            pass
    raise error(
        TypeError,
        "assert_close",
        "these can't be compared",
        given=f"{type(actual)} and {type(expected)}",
        expected="two tensors or arrays, numbers, bools or None, or containers of these",
        fix="convert one to the type of the other, for example with rushlight.as_tensor",
    )


def _compare_tensors(actual: Any, expected: Any, terms: _Terms) -> None:
    _same("shape", actual.shape, expected.shape)
    if terms.check_layout:
        _same("layout", getattr(actual, "layout", None), getattr(expected, "layout", None))
    if terms.check_device:
        _same("device", actual.device, expected.device)
    if terms.check_dtype:
        _same("dtype", actual.dtype, expected.dtype)
    if terms.check_stride:
        _same("stride()", tuple(actual.stride()), tuple(expected.stride()))
    if "meta" in (actual.device.type, expected.device.type):
        return
    rtol, atol = terms.tolerances(actual.dtype, expected.dtype)
    left, right = host_values(actual), host_values(expected)
    close = _close(left, right, rtol, atol, terms.equal_nan)
    if close.all():
        return
    if left.ndim == 0:
        raise _Mismatch(_scalar_report(left, right, rtol, atol))
    raise _Mismatch(_tensor_report(left, right, close, rtol, atol))


def _same(attribute: str, actual: Any, expected: Any) -> None:
    if actual != expected:
        raise _Mismatch(
            f"The values for attribute '{attribute}' do not match: {actual} != {expected}."
        )


def _difference(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> Any:
    """Absolute differences; integers are widened first, so that none wraps around."""
    if actual.dtype.kind in "bui" and expected.dtype.kind in "bui":
        wide = object if np.dtype(np.uint64) in (actual.dtype, expected.dtype) else np.int64
        actual, expected = actual.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        return np.abs(np.subtract(actual, expected))


def _close(
    actual: np.ndarray[Any, Any],
    expected: np.ndarray[Any, Any],
    rtol: float,
    atol: float,
    equal_nan: bool,
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where the elements agree. Equal infinities do, an infinity and a number never."""
    close: np.ndarray[Any, np.dtype[np.bool_]] = np.asarray(actual == expected)
    if equal_nan:
        close = close | ((actual != actual) & (expected != expected))
    if rtol or atol:
        error_size = _difference(actual, expected).astype(np.float64)
        with np.errstate(all="ignore"):
            allowed = atol + rtol * np.abs(expected.astype(np.result_type(expected, np.float64)))
            close = close | (np.isfinite(error_size) & (error_size <= allowed))
    return close


def _scalar_report(
    actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], rtol: float, atol: float
) -> str:
    difference = _difference(actual, expected)
    absolute = difference.item() if hasattr(difference, "item") else difference
    return (
        f"Scalars are not {_demand(rtol, atol)}!\n\n"
        f"Expected {expected.item()} but got {actual.item()}.\n"
        f"Absolute difference: {absolute}{_allowance(rtol, atol, atol)}\n"
        f"Relative difference: {_relative(difference, expected).item()}"
        f"{_allowance(rtol, atol, rtol)}"
    )


def _tensor_report(
    actual: np.ndarray[Any, Any],
    expected: np.ndarray[Any, Any],
    close: np.ndarray[Any, np.dtype[np.bool_]],
    rtol: float,
    atol: float,
) -> str:
    count = int(close.size - np.count_nonzero(close))
    difference = _difference(actual, expected)
    lines = [
        f"Tensor-likes are not {_demand(rtol, atol)}!\n",
        f"Mismatched elements: {count} / {close.size} ({count / close.size:.1%})",
    ]
    for word, values, limit in (
        ("absolute", difference, atol),
        ("relative", _relative(difference, expected), rtol),
    ):
        # Only mismatches are reported: an agreeing NaN would outshine all of them.
        shown = np.where(close, np.zeros((), values.dtype), values)
        place = np.unravel_index(int(np.argmax(shown)), shown.shape)
        index = tuple(int(i) for i in place)
        value = shown[place]
        lines.append(
            f"Greatest {word} difference: {value.item() if hasattr(value, 'item') else value}"
            f" at index {index}{_allowance(rtol, atol, limit)}"
        )
    return "\n".join(lines)


def _relative(difference: Any, expected: np.ndarray[Any, Any]) -> Any:
    size = np.abs(expected.astype(np.float64) if expected.dtype.kind in "bui" else expected)
    with np.errstate(all="ignore"):
        return np.divide(np.asarray(difference).astype(size.dtype), size)


def _demand(rtol: float, atol: float) -> str:
    return "close" if rtol or atol else "equal"


def _allowance(rtol: float, atol: float, limit: float) -> str:
    return f" (up to {limit} allowed)" if rtol or atol else ""
