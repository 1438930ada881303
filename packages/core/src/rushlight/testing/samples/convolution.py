"""Samples of convolutions in any number of dimensions."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import COMPLEX, FULL, case, samples


def _conv(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    """By its definition: each tap of the kernel meets a strided part of the padded input."""
    spatial = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    out = np.zeros((x.shape[0], weight.shape[0], *size), x.dtype)
    inner, outer = weight.shape[1], weight.shape[0] // groups
    for tap in np.ndindex(*weight.shape[2:]):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, size, stride, strict=True)
        )
        seen = x[(slice(None), slice(None), *where)]
        for g in range(groups):
            part = seen[:, g * inner : (g + 1) * inner]
            taps = weight[(slice(g * outer, (g + 1) * outer), slice(None), *tap)]
            out[:, g * outer : (g + 1) * outer] += np.einsum("ni...,oi->no...", part, taps)
    assert spatial == len(stride)
    return out


_PLAIN: dict[str, Any] = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
_ODD: dict[str, Any] = {"stride": (2,), "padding": (1,), "dilation": (2,), "groups": 2}
_FLAT: dict[str, Any] = {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 1), "groups": 1}

SAMPLES = [
    samples(
        "conv",
        _conv,
        case(real(2, 2, 4), real(3, 2, 2), **_PLAIN),
        case(real(1, 2, 6), real(4, 1, 2), **_ODD),
        case(real(1, 2, 3, 4), real(1, 2, 2, 2), **_FLAT),
        case(
            real(1, 1, 2, 3, 2), real(1, 1, 2, 1, 2),
            stride=(1, 1, 1), padding=(0, 0, 1), dilation=(1, 1, 1), groups=1,
        ),
        dtypes=(*FULL, *COMPLEX),
        tolerance=32.0,
    ),
    # Gradients of conv, which gradcheck of conv compares with differences.
    samples(
        "conv_grad_input",
        None,
        case(real(2, 3, 3), real(3, 2, 2), input_size=(4,), **_PLAIN),
        case(real(1, 4, 3), real(4, 1, 2), input_size=(6,), **_ODD),
        case(real(1, 1, 4, 2), real(1, 2, 2, 2), input_size=(3, 4), **_FLAT),
        dtypes=(*FULL, *COMPLEX),
        tolerance=32.0,
    ),
    samples(
        "conv_grad_weight",
        None,
        case(real(2, 3, 3), real(2, 2, 4), kernel_size=(2,), **_PLAIN),
        case(real(1, 4, 3), real(1, 2, 6), kernel_size=(2,), **_ODD),
        case(real(1, 1, 4, 2), real(1, 2, 3, 4), kernel_size=(2, 2), **_FLAT),
        dtypes=(*FULL, *COMPLEX),
        tolerance=32.0,
    ),
]  # fmt: skip
