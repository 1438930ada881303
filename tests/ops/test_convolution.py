"""Convolution: values against the definition, and the errors that come before any work."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight


def by_definition(x, w, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    outer, inner, height, width = w.shape
    span = [dilation * (k - 1) + 1 for k in (height, width)]
    size = [(n - s) // stride + 1 for n, s in zip(x.shape[2:], span, strict=True)]
    out = np.zeros((x.shape[0], outer, *size))
    for o, i, j in itertools.product(range(outer), *map(range, size)):
        first = o // (outer // groups) * inner
        rows = slice(i * stride, i * stride + span[0], dilation)
        columns = slice(j * stride, j * stride + span[1], dilation)
        patch = x[:, first : first + inner, rows, columns]
        out[:, o, i, j] = (patch * w[o]).sum((1, 2, 3))
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_equals_its_definition(stride: int, dilation: int, groups: int) -> None:
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 4, 7, 6)), random.standard_normal((4, 4 // groups, 3, 2))
    got = rushlight.conv2d(
        rushlight.tensor(x), rushlight.tensor(w), None, stride, 1, dilation, groups
    )
    np.testing.assert_allclose(got.numpy(), by_definition(x, w, stride, 1, dilation, groups))


def test_same_padding_keeps_the_size_for_even_kernels() -> None:
    out = rushlight.conv1d(rushlight.ones(1, 1, 5), rushlight.ones(1, 1, 4), padding="same")
    assert out.tolist() == [[[3.0, 4.0, 4.0, 3.0, 2.0]]]


def test_output_padding_beyond_the_stride_takes_back_what_padding_cut_and_then_adds_zeros() -> None:
    x, w = rushlight.ones(1, 1, 2), rushlight.ones(1, 1, 2)

    def transposed(padding: int) -> list[float]:
        out = rushlight.conv_transpose1d(x, w, padding=padding, output_padding=1, dilation=2)
        return out[0, 0].tolist()  # type: ignore[no-any-return]

    assert transposed(0) == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert transposed(1) == [1.0, 1.0, 1.0]


def test_transposed_convolution_is_the_adjoint() -> None:
    random = np.random.default_rng(1)
    w = rushlight.tensor(random.standard_normal((3, 2, 3)))
    x = rushlight.tensor(random.standard_normal((1, 2, 8)))
    y = rushlight.tensor(random.standard_normal((1, 3, 3)))
    forth = (rushlight.conv1d(x, w, stride=2) * y).sum()
    back = (rushlight.conv_transpose1d(y, w, stride=2, output_padding=1) * x).sum()
    assert float(forth) == pytest.approx(float(back))


@pytest.mark.parametrize(
    ("shape", "settings", "words"),
    [
        ((1, 3, 5), {}, "channels"),
        ((1, 2, 1), {}, "Kernel size can't be greater"),
        ((1, 2, 5), {"stride": 0}, "non-positive stride"),
        ((1, 2, 5), {"padding": -1}, "negative padding"),
        ((1, 2, 5), {"padding": "half"}, "Invalid padding string"),
    ],
)
def test_what_does_not_fit_is_an_error(shape, settings, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match=words):
        rushlight.conv1d(rushlight.ones(*shape), rushlight.ones(1, 2, 2), **settings)


def test_mixed_dtypes_are_an_error() -> None:
    x, w = rushlight.ones(1, 1, 3), rushlight.ones(1, 1, 2, dtype=rushlight.float64)
    with pytest.raises(RuntimeError, match="should be the same"):
        rushlight.conv1d(x, w)
