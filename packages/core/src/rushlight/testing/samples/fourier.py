"""Samples of Fourier transforms; all others are made of these three."""

from typing import Any

import numpy as np

from ..references import in_double
from ._inputs import real
from ._table import COMPLEX, FULL, case, samples


@in_double
def _c2c(x: Any, dim: Any, norm: Any = "backward", forward: Any = True) -> Any:
    return (np.fft.fftn if forward else np.fft.ifftn)(x, axes=dim, norm=norm)


@in_double
def _r2c(x: Any, dim: Any, norm: Any = "backward", onesided: Any = True) -> Any:
    return (np.fft.rfftn if onesided else np.fft.fftn)(x, axes=dim, norm=norm)


@in_double
def _c2r(x: Any, dim: Any, last_dim_size: Any, norm: Any = "backward") -> Any:
    sizes = [x.shape[d] for d in dim[:-1]] + [last_dim_size]
    return np.fft.irfftn(x, s=sizes, axes=dim, norm=norm)


SAMPLES = [
    samples(
        "fft_c2c",
        _c2c,
        case(real(5), dim=(0,), forward=True),
        case(real(2, 3), dim=(0, 1), norm="ortho", forward=False),
        case(real(0, 3), dim=(1,), forward=True),
        dtypes=COMPLEX,
        tolerance=16.0,
    ),
    samples(
        "fft_r2c",
        _r2c,
        case(real(5), dim=(0,)),
        case(real(2, 4), dim=(0, 1), norm="forward"),
        case(real(2, 3), dim=(1,), onesided=False),
        dtypes=FULL,
        result="complex",
        tolerance=16.0,
    ),
    samples(
        "fft_c2r",
        _c2r,
        case(real(3), dim=(0,), last_dim_size=5),
        case(real(2, 3), dim=(0, 1), last_dim_size=4, norm="ortho"),
        dtypes=COMPLEX,
        result="real",
        tolerance=16.0,
    ),
]
