"""The short-time Fourier transform and its inverse: `stft`, `istft`.

References:
    Griffin and Lim (1984), Signal estimation from modified short-time Fourier transform. IEEE
    Transactions on Acoustics, Speech, and Signal Processing 32(2).
"""

from __future__ import annotations

from typing import Any

from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._matrices import counted, holds_anywhere
from ._public import public
from .creation import cast_op, full
from .fourier import c2c_op, c2r_op, r2c_op


def _refuse(who: str, what: str, x: Tensor) -> Exception:
    return error(RuntimeError, who, what, given=f"input of {x.dtype} and shape {tuple(x.shape)}")


def _padded(x: Tensor, amount: int, mode: str) -> Tensor:
    """A signal continued at both ends of its last dimension."""
    last, n = x.ndim - 1, x.shape[-1]
    cat = operators["cat"]
    if mode == "constant":
        zeros = full((*x.shape[:-1], amount), 0, dtype=x.dtype, device=x.device)
        return cat(zeros, x, zeros, dim=last)  # type: ignore[no-any-return]
    if mode == "reflect":
        if amount >= n:
            raise error(
                RuntimeError,
                "stft",
                "Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({amount}, {amount}) at dimension {last} of input {list(x.shape)}",
                fix="use a smaller n_fft, center=False, or another pad_mode",
            )
        before, after = x.narrow(last, 1, amount), x.narrow(last, n - 1 - amount, amount)
        return cat(before.flip(last), x, after.flip(last), dim=last)  # type: ignore[no-any-return]
    if mode == "replicate":
        ends = [x.narrow(last, place, 1).expand(*x.shape[:-1], amount) for place in (0, n - 1)]
        return cat(ends[0], x, ends[1], dim=last)  # type: ignore[no-any-return]
    if mode == "circular":
        return cat(  # type: ignore[no-any-return]
            x.narrow(last, n - amount, amount), x, x.narrow(last, 0, amount), dim=last
        )
    raise error(
        NotImplementedError, "stft", f"Unrecognised padding mode {mode}",
        expected="'constant', 'reflect', 'replicate' or 'circular'",
    )  # fmt: skip


def _checked_sizes(
    who: str, x: Tensor, n_fft: int, hop_length: int | None, win_length: int | None, window: Any
) -> tuple[int, int]:
    """Hop and window length, which follow from `n_fft` where they are not given."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if hop <= 0:
        raise _refuse(who, f"expected hop_length > 0, but got hop_length={hop}", x)
    if not 0 < length <= n_fft:
        raise _refuse(who, f"expected 0 < win_length <= n_fft, but got win_length={length}", x)
    if window is not None and (window.ndim != 1 or window.shape[0] != length):
        raise _refuse(
            who,
            "expected a 1D window tensor of size equal to "
            f"win_length={length}, but got window with size {list(window.shape)}",
            x,
        )
    return hop, length


def _fitted_window(window: Tensor, n_fft: int) -> Tensor:
    """A window with zeros at both ends up to the length of the transform."""
    missing = n_fft - window.shape[0]
    if not missing:
        return window
    left = missing // 2
    ends = [full((n,), 0, dtype=window.dtype, device=window.device) for n in (left, missing - left)]
    return operators["cat"](ends[0], window, ends[1], dim=0)  # type: ignore[no-any-return]


@public()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Fourier transforms of overlapping frames of a signal.

    Args:
        input: One signal, or a batch of them, as rows.
        n_fft: Length of a frame.
        hop_length: Distance of frames, a quarter of `n_fft` by default.
        win_length: Length of the window, `n_fft` by default.
        window: Weights of a frame; ones by default.
        center: Frames are centred on their positions; the signal is continued at its ends.
        pad_mode: How it is continued.
        normalized: Scales by 1/sqrt(n_fft).
        onesided: Only the frequencies that determine the rest; the default for real signals.
        return_complex: Must be true for real signals, or the result has real and imaginary parts in
            a last dimension of size 2.
        align_to_window: Must be None if `center`.
    Returns:
        (batch, frequencies, frames), complex.
    """
    who = "stft"
    is_complex = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None:
        if not is_complex:
            raise error(
                RuntimeError,
                who,
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future release.",
                fix="pass return_complex=True",
            )
        return_complex = True
    if center and align_to_window is not None:
        raise _refuse(who, "align_to_window should only be set when center = false.", input)
    if not input.dtype.is_inexact:
        raise _refuse(who, "expected a tensor of floating point or complex values", input)
    if input.ndim not in (1, 2):
        raise _refuse(who, "expected a 1D or 2D tensor", input)
    signal = input.unsqueeze(0) if input.ndim == 1 else input
    if center:
        signal = _padded(signal, n_fft // 2, pad_mode)
    n = signal.shape[-1]
    if not 0 < n_fft <= n:
        raise _refuse(who, f"expected 0 < n_fft <= {n}, but got n_fft={n_fft}", input)
    hop, length = _checked_sizes(who, input, n_fft, hop_length, win_length, window)
    if align_to_window and length < n_fft:
        trimmed = (n_fft - length) // 2
        zeros = full((signal.shape[0], trimmed), 0, dtype=signal.dtype, device=signal.device)
        signal = operators["cat"](zeros, signal, zeros, dim=1)
    frames = signal.unfold(-1, n_fft, hop)
    if window is not None:
        frames = frames * _fitted_window(window, n_fft)
    elif length < n_fft:
        ones = full((length,), 1, dtype=frames.dtype, device=frames.device)
        frames = frames * _fitted_window(ones, n_fft)
    half = (not is_complex) if onesided is None else onesided
    if half and frames.dtype.is_complex:
        raise _refuse(who, "Cannot have onesided output if window or input is complex", input)
    norm = "ortho" if normalized else "backward"
    if half:
        out = r2c_op(frames, dim=(2,), norm=norm)
    else:
        wide = cast_op(frames, dtype=frames.dtype.to_complex())
        out = c2c_op(wide, dim=(2,), norm=norm, forward=True)
    out = out.transpose(1, 2)
    if input.ndim == 1:
        out = out.squeeze(0)
    return out if return_complex else operators["view_as_real"](out)  # type: ignore[no-any-return]


@public()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose `stft` is nearest to `input`.

    Args:
        input: (batch, frequencies, frames), complex.
        n_fft, hop_length, win_length, window, center, normalized, onesided: As given to `stft`.
        length: Length of the result; by default all that is covered by frames.
        return_complex: The signal is complex.
    Raises:
        RuntimeError: The windows leave gaps.
    """
    who = "istft"
    hop, size = _checked_sizes(who, input, n_fft, hop_length, win_length, window)
    if not input.dtype.is_complex:
        raise _refuse(who, "istft requires a complex-valued input tensor", input)
    if input.numel() == 0:
        raise _refuse(who, "input tensor cannot be empty.", input)
    if input.ndim not in (2, 3):
        raise _refuse(who, "expected a tensor with 2 or 3 dimensions", input)
    if hop > size:
        raise _refuse(who, f"expected hop_length <= win_length, but got {hop} > {size}", input)
    spectrum = input.unsqueeze(0) if input.ndim == 2 else input
    half = (spectrum.shape[1] != n_fft) if onesided is None else onesided
    wanted = n_fft // 2 + 1 if half else n_fft
    if spectrum.shape[1] != wanted:
        raise _refuse(
            who,
            "expected the frequency dimension (3rd to the last) of the input tensor to match "
            f"n_fft {'/ 2 + 1 ' if half else ''}when onesided={half}, but got {spectrum.shape[1]}",
            input,
        )
    if return_complex and half:
        raise _refuse(who, "complex windows and outputs need onesided=False", input)
    frames_count = spectrum.shape[2]
    if window is None:
        dtype = spectrum.dtype if return_complex else spectrum.dtype.to_real()
        window = full((size,), 1, dtype=dtype, device=input.device)
    elif window.dtype.is_complex and not return_complex:
        raise _refuse(who, "complex windows are incompatible with return_complex=False", input)
    weights = _fitted_window(window, n_fft)
    norm = "ortho" if normalized else "backward"
    rows = spectrum.transpose(1, 2)
    if return_complex:
        frames = c2c_op(rows, dim=(2,), norm=norm, forward=False)
    else:
        frames = c2r_op(rows.narrow(2, 0, n_fft // 2 + 1), dim=(2,), norm=norm, last_dim_size=n_fft)
    total = n_fft + hop * (frames_count - 1)
    signal = _overlapped(frames * weights, hop, total)
    envelope = _overlapped((weights * weights).expand(1, frames_count, n_fft), hop, total)
    start = n_fft // 2 if center else 0
    stop = total - start if center else total
    if length is not None:
        stop = start + length
    kept = max(min(stop, total) - start, 0)
    signal, envelope = signal.narrow(1, start, kept), envelope.narrow(1, start, kept)
    if kept and holds_anywhere(envelope.abs() < 1e-11):
        raise _refuse(who, "window overlap add min: 1", input)
    signal = signal / envelope
    if stop > total:
        zeros = full((signal.shape[0], stop - total), 0, dtype=signal.dtype, device=signal.device)
        signal = operators["cat"](signal, zeros, dim=1)
    return signal.squeeze(0) if input.ndim == 2 else signal


def _overlapped(frames: Tensor, hop: int, total: int) -> Tensor:
    """The sum of frames laid `hop` apart."""
    batch, count, size = frames.shape
    places = (counted(count, frames) * hop).unsqueeze(1) + counted(size, frames)
    zeros = full((batch, total), 0, dtype=frames.dtype, device=frames.device)
    return zeros.index_add(1, places.reshape(-1), frames.reshape(batch, count * size))
