"""Windows for spectral analysis: `rushlight.signal.windows`, and the older `hann_window` and kin.

They are computed on the host in double precision and rounded once, so every device has the same.

References:
    Harris (1978), On the use of windows for harmonic analysis with the discrete Fourier transform.
    Proceedings of the IEEE 66(1).
    Nuttall (1981), Some windows with very good sidelobe behavior. IEEE Transactions on Acoustics,
    Speech, and Signal Processing 29(1).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._config import settings
from .._dtypes import DType, float32, float64
from .._errors import error
from .._layout import strided
from .._tensor.construction import tensor
from .._tensor.tensor import Tensor
from ._public import public

Host = np.ndarray[Any, np.dtype[np.float64]]

_NUTTALL = (0.3635819, 0.4891775, 0.1365995, 0.0106411)


# -- formulas -----------------------------------------------------------------------------------


def _cosines(places: Host, coefficients: Sequence[float]) -> Host:
    """Sum of cosines with falling signs over one period, `places` running from 0 to 1."""
    total = np.zeros_like(places)
    for order, coefficient in enumerate(coefficients):
        total += (-1) ** order * coefficient * np.cos(2 * np.pi * order * places)
    return total


def _places(length: int, symmetric: bool) -> Host:
    """0 to 1 over a period of length - 1 (symmetric) or length (periodic) steps."""
    return np.arange(length) / max(length - 1 if symmetric else length, 1)


def _triangle(places: Host) -> Host:
    return 1 - np.abs(2 * places - 1)


def _kaiser(places: Host, beta: float) -> Host:
    inside = np.maximum(1 - (2 * places - 1) ** 2, 0)
    return np.i0(beta * np.sqrt(inside)) / np.i0(beta)


# -- from a formula to a function ---------------------------------------------------------------


def _public_window(
    formula: Callable[..., Host], finish: Callable[..., Tensor], namespace: str
) -> Callable[..., Tensor]:
    """Makes a public function of one that computes a window's values on the host.

    Its first argument is the number of points. The function takes the arguments of the formula and
    the keywords of `finish(name, length, values, *, ...)`, which checks them and makes the tensor.
    """
    own = inspect.signature(formula)
    length = next(iter(own.parameters))
    options = [p for p in inspect.signature(finish).parameters.values() if p.kind is p.KEYWORD_ONLY]
    names = [option.name for option in options]

    @functools.wraps(formula)
    def window(*arguments: Any, **keywords: Any) -> Tensor:
        chosen = {name: keywords.pop(name) for name in names if name in keywords}
        values = formula(*arguments, **keywords)
        points = arguments[0] if arguments else keywords[length]
        return finish(formula.__name__, points, values, **chosen)

    window.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), *options], return_annotation="Tensor"
    )
    return public(namespace=namespace, methods=False)(window)


# -- signal.windows -----------------------------------------------------------------------------


def _finished(
    who: str,
    M: int,
    values: Host,
    *,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    wanted = dtype or settings.default_dtype
    if M < 0:
        raise error(ValueError, who, f"requires non-negative window length, got M={M}")
    if layout is not strided and layout is not None:
        raise error(ValueError, who, f"is implemented for strided tensors only, got: {layout}")
    if wanted not in (float32, float64):
        raise error(
            ValueError, who, f"expects float32 or float64 dtypes, got: {wanted}",
            fix="convert the window afterwards",
        )  # fmt: skip
    return _on_device(M, values, wanted, device, requires_grad)


def _on_device(length: int, values: Host, dtype: DType, device: Any, requires_grad: bool) -> Tensor:
    if length == 1:
        values = np.ones(1)  # whatever the formula says
    return tensor(values, dtype=dtype, device=device, requires_grad=requires_grad)


def _window(formula: Callable[..., Host]) -> Callable[..., Tensor]:
    return _public_window(formula, _finished, "signal.windows")


def _middle(M: int, sym: bool) -> float:
    return (M if not sym and M > 1 else M - 1) / 2


@_window
def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True) -> Host:
    """exp(-|n - center| / tau).

    Args:
        M: Number of points.
        center: The peak, the middle by default; only for `sym=False`.
        tau: Decay, in points.
        sym: Symmetric, for filters; otherwise one period, for spectra.
        dtype: float32 or float64.
        layout: `rushlight.strided`.
        device: Where the window goes.
        requires_grad: Whether operations on it are recorded.
    """
    if tau <= 0:
        raise error(ValueError, "exponential", f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise error(ValueError, "exponential", "Center must be None for symmetric windows")
    peak = _middle(M, sym) if center is None else center
    values: Host = np.exp(-np.abs(np.arange(M) - peak) / tau)
    return values


@_window
def cosine(M: int, *, sym: bool = True) -> Host:
    """Half a period of a sine."""
    steps = max(M if sym else M + 1, 1)
    values: Host = np.sin((np.arange(M) + 0.5) * (np.pi / steps))
    return values


@_window
def gaussian(M: int, *, std: float = 1.0, sym: bool = True) -> Host:
    """The normal density's shape with standard deviation `std`, in points."""
    if std <= 0:
        raise error(
            ValueError, "gaussian", f"Standard deviation must be positive, got: {std} instead."
        )
    return np.exp(-(((np.arange(M) - _middle(M, sym)) / std) ** 2) / 2)


@_window
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True) -> Host:
    """I0(beta sqrt(1 - x^2)) / I0(beta): near the most energy in the main lobe."""
    if beta < 0:
        raise error(ValueError, "kaiser", f"beta must be non-negative, got: {beta} instead.")
    return _kaiser(_places(M, sym), beta)


@_window
def bartlett(M: int, *, sym: bool = True) -> Host:
    """A triangle that starts and ends at zero."""
    return _triangle(_places(M, sym))


@_window
def general_cosine(M: int, *, a: Sequence[float], sym: bool = True) -> Host:
    """a0 - a1 cos(x) + a2 cos(2 x) - ... over one period.

    Args:
        M: Number of points.
        a: The weights.
        sym: Symmetric, for filters; otherwise one period, for spectra.
        dtype: float32 or float64.
        layout: `rushlight.strided`.
        device: Where the window goes.
        requires_grad: Whether operations on it are recorded.
    """
    if not isinstance(a, (list, tuple)):
        raise error(TypeError, "general_cosine", "Coefficients must be a list/tuple")
    if not a:
        raise error(ValueError, "general_cosine", "Coefficients cannot be empty")
    return _cosines(_places(M, sym), a)


@_window
def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True) -> Host:
    """alpha - (1 - alpha) cos(x) over one period."""
    return _cosines(_places(M, sym), (alpha, 1 - alpha))


def _cosine_window(name: str, doc: str, coefficients: Sequence[float]) -> None:
    def window(M: int, *, sym: bool = True) -> Host:
        return _cosines(_places(M, sym), coefficients)

    window.__name__ = window.__qualname__ = name
    window.__doc__ = doc
    window.__module__ = "rushlight.signal.windows"
    _window(window)


_cosine_window("hamming", "0.54 - 0.46 cos(x) over one period.", (0.54, 0.46))
_cosine_window("hann", "(1 - cos(x)) / 2 over one period.", (0.5, 0.5))
_cosine_window("blackman", "0.42 - 0.5 cos(x) + 0.08 cos(2 x).", (0.42, 0.5, 0.08))
_cosine_window("nuttall", "Four terms, with side lobes of -98 dB.", _NUTTALL)


# -- the older functions ------------------------------------------------------------------------


def _finished_older(
    who: str,
    window_length: int,
    values: Host,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    if window_length < 0:
        raise error(
            RuntimeError,
            who,
            f"requires non-negative window_length, got window_length={window_length}",
        )
    wanted = dtype or settings.default_dtype
    if not wanted.is_floating_point:
        raise error(RuntimeError, who, f"expects floating point dtypes, got: {wanted}")
    return _on_device(window_length, values, wanted, device, requires_grad)


def _older_window(formula: Callable[..., Host]) -> Callable[..., Tensor]:
    return _public_window(formula, _finished_older, "")


@_older_window
def bartlett_window(window_length: int, periodic: bool = True) -> Host:
    """A triangle that starts at zero; see `signal.windows.bartlett`."""
    return _triangle(_places(window_length, not periodic))


@_older_window
def blackman_window(window_length: int, periodic: bool = True) -> Host:
    """0.42 - 0.5 cos(x) + 0.08 cos(2 x); see `signal.windows.blackman`."""
    return _cosines(_places(window_length, not periodic), (0.42, 0.5, 0.08))


@_older_window
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46
) -> Host:
    """alpha - beta cos(x) over one period; see `signal.windows.hamming`."""
    return _cosines(_places(window_length, not periodic), (alpha, beta))


@_older_window
def hann_window(window_length: int, periodic: bool = True) -> Host:
    """(1 - cos(x)) / 2 over one period; see `signal.windows.hann`.

    Example:
        >>> rushlight.hann_window(4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _cosines(_places(window_length, not periodic), (0.5, 0.5))


@_older_window
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0) -> Host:
    """I0(beta sqrt(1 - x^2)) / I0(beta); see `signal.windows.kaiser`."""
    return _kaiser(_places(window_length, not periodic), beta)
