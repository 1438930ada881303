"""Samples of views."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import BOOL, COMPLEX, FLOATING, case, samples

_EXACT: dict[str, Any] = {"dtypes": (*FLOATING[:2], FLOATING[3], *BOOL, *COMPLEX), "tolerance": 0.0}


def _slice(x: Any, dim: Any, start: Any, length: Any, step: Any) -> Any:
    where = np.arange(start, start + length * step, step)
    return np.take(x, where.astype(np.int64), axis=dim)


def _unfold(x: Any, dim: Any, size: Any, step: Any) -> Any:
    if x.ndim == 0:
        return x.reshape(1)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim)
    return np.take(windows, range(0, windows.shape[dim], step), axis=dim)


def _as_strided(x: Any, size: Any, stride: Any, offset: Any, of_stride: Any, of_offset: Any) -> Any:
    places = offset + sum(
        np.arange(n).reshape((n,) + (1,) * (len(size) - d - 1)) * step
        for d, (n, step) in enumerate(zip(size, stride, strict=True))
    )
    return x.ravel()[places]


SAMPLES = [
    samples(
        "view",
        lambda x, size: x.reshape(size),
        case(real(2, 3), size=(3, 2)),
        case(real(2, 3), size=(1, 6)),
        case(real(), size=(1, 1)),
        case(real(0, 2), size=(2, 0, 3)),
        # A view in another shape is refused where the elements do not lie in order.
        layouts=False,
        batches=(0,),
        **_EXACT,
    ),
    samples(
        "expand",
        lambda x, size: np.broadcast_to(x, size),
        case(real(2, 1), size=(2, 3)),
        case(real(3), size=(2, 3)),
        case(real(), size=(2,)),
        case(real(1, 2), size=(0, 2)),
        **_EXACT,
    ),
    samples(
        "permute",
        lambda x, dims: np.transpose(x, dims),
        case(real(2, 3), dims=(1, 0)),
        case(real(2, 3, 2), dims=(2, 0, 1)),
        case(real(2, 0), dims=(1, 0)),
        case(real(), dims=()),
        **_EXACT,
    ),
    samples(
        "select",
        lambda x, dim, index: np.take(x, index, axis=dim),
        case(real(2, 3), dim=1, index=2),
        case(real(3), dim=0, index=0),
        case(real(2, 0), dim=0, index=1),
        **_EXACT,
    ),
    samples(
        "slice",
        _slice,
        case(real(2, 5), dim=1, start=1, length=2, step=2),
        case(real(4), dim=0, start=1, length=3, step=1),
        case(real(4, 2), dim=0, start=4, length=0, step=1),
        **_EXACT,
    ),
    samples(
        "unsqueeze",
        lambda x, dim: np.expand_dims(x, dim),
        case(real(2, 3), dim=0),
        case(real(2, 3), dim=2),
        case(real(), dim=0),
        **_EXACT,
    ),
    samples(
        "squeeze",
        lambda x, dims: np.squeeze(x, dims),
        case(real(2, 1, 3, 1), dims=(1, 3)),
        case(real(1), dims=(0,)),
        case(real(1, 0), dims=(0,)),
        **_EXACT,
    ),
    samples(
        "diagonal",
        lambda x, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2),
        case(real(3, 3), offset=0, dim1=0, dim2=1),
        case(real(2, 3), offset=1, dim1=0, dim2=1),
        case(real(2, 2, 3), offset=-1, dim1=2, dim2=1),
        case(real(2, 3), offset=5, dim1=0, dim2=1),
        **_EXACT,
    ),
    samples(
        "unfold",
        _unfold,
        case(real(5), dim=0, size=3, step=1),
        case(real(2, 5), dim=1, size=2, step=2),
        case(real(4, 2), dim=0, size=3, step=1),
        **_EXACT,
    ),
    samples(
        "as_strided",
        _as_strided,
        case(real(6), size=(2, 3), stride=(3, 1), offset=0, of_stride=(1,), of_offset=0),
        case(real(6), size=(2, 2), stride=(1, 2), offset=1, of_stride=(1,), of_offset=0),
        case(real(2, 3), size=(2, 2), stride=(1, 1), offset=0, of_stride=(3, 1), of_offset=0),
        layouts=False,
        **_EXACT,
    ),
]
