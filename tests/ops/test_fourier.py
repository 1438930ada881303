"""Fourier transforms: agreement with NumPy, adjoints, frames, windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import fft
from rushlight.autograd import gradcheck
from rushlight.signal import windows


def signal(*shape: int, complex: bool = False) -> Any:
    random = np.random.default_rng(0)
    values = random.standard_normal(shape)
    if complex:
        values = values + 1j * random.standard_normal(shape)
    return rushlight.tensor(values)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [None, 3, 6, 8])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_one_dimension_as_numpy(name: str, n: int | None, norm: str | None) -> None:
    x = signal(2, 6, complex=name not in ("rfft", "ihfft"))
    got = getattr(fft, name)(x, n, norm=norm)
    wanted = getattr(np.fft, name)(x.numpy(), n, norm=norm)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_several_dimensions_as_numpy(name: str) -> None:
    x = signal(3, 4, 5, complex=name != "rfftn")
    for s, dim in ((None, None), ((4, 6), None), ((2, -1), (0, 2))):
        got = getattr(fft, name)(x, s, dim)
        axes = dim or tuple(range(3 - len(s), 3)) if s else None
        sizes = None if s is None else [n if n != -1 else x.shape[2] for n in s]
        if name == "irfftn" and s is not None and s[-1] == -1:
            sizes = [s[0], 2 * (x.shape[2] - 1)]
        wanted = getattr(np.fft, name)(x.numpy(), sizes, axes)
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("n", [5, 6])
def test_gradients_of_half_transforms_of_even_and_odd_length(n: int) -> None:
    x = signal(n).requires_grad_(True)
    assert gradcheck(lambda x: fft.rfft(x, norm="ortho"), (x,))
    y = signal(4, complex=True).requires_grad_(True)
    assert gradcheck(lambda y: fft.irfft(y, n), (y,))
    assert gradcheck(lambda y: fft.hfft2(y.reshape(2, 2), (3, n)), (y,))


def test_integers_are_transformed_as_floats() -> None:
    assert fft.fft(rushlight.arange(4)).dtype is rushlight.complex64


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: fft.fft(rushlight.ones(3), n=0), r"Invalid number of data points \(0\)"),
        (lambda: fft.rfft(rushlight.ones(3) * 1j), "real input"),
        (lambda: fft.fft(rushlight.ones(3), norm="x"), 'normalization mode: "x"'),
        (lambda: fft.fftn(rushlight.ones(3, 3), dim=(0, 0)), "unique"),
        (lambda: fft.fftn(rushlight.ones(3), s=(1, 2)), "only has 1 dimensions"),
        (lambda: fft.fft(rushlight.ones(4).half()), "Unsupported dtype"),
    ],
)
def test_bad_arguments_are_named(run: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        run()


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("onesided", [True, False])
def test_frames_give_the_signal_back(center: bool, onesided: bool) -> None:
    x = signal(2, 40)
    # The window has no zeros, so that the ends are covered without padding too.
    window = rushlight.hamming_window(8, dtype=rushlight.float64)
    frames = rushlight.stft(
        x, 8, 2, window=window, center=center, onesided=onesided, return_complex=True
    )
    back = rushlight.istft(frames, 8, 2, window=window, center=center, onesided=onesided, length=40)
    np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-12)


def test_windows_that_leave_gaps_cannot_be_inverted() -> None:
    frames = rushlight.zeros(5, 4, dtype=rushlight.complex64)
    with pytest.raises(RuntimeError, match="window overlap add"):
        rushlight.istft(frames, 8, 8, window=rushlight.hann_window(8), center=False)


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8])
def test_windows_as_numpy(length: int) -> None:
    for name, reference in (
        ("hann", np.hanning), ("hamming", np.hamming), ("blackman", np.blackman),
        ("bartlett", np.bartlett), ("kaiser", lambda n: np.kaiser(n, 12.0)),
    ):  # fmt: skip
        got = getattr(windows, name)(length, dtype=rushlight.float64)
        np.testing.assert_allclose(got.numpy(), reference(length), atol=1e-12)
        # A period is the symmetric window of one point more, without its last.
        period = getattr(rushlight, name + "_window")(length, dtype=rushlight.float64)
        if length > 1:
            np.testing.assert_allclose(period.numpy(), reference(length + 1)[:-1], atol=1e-12)
