"""Samples of normalisation layers.

The operators that compute gradients have no reference of their own: gradcheck of the layers tests
them, and the decomposition the kernels.
"""

from typing import Any

import numpy as np

from ._inputs import positive, real
from ._table import FLOATING, case, samples

_EPS = 1e-5
_STATS = ("same", "wide", "wide")


def _affine(hat: Any, weight: Any, bias: Any, shape: Any) -> Any:
    hat = hat if weight is None else hat * weight.reshape(shape)
    return hat if bias is None else hat + bias.reshape(shape)


def _layer(x: Any, weight: Any, bias: Any, normalized_ndim: Any, eps: Any) -> Any:
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    mean = x.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(x.var(axes, keepdims=True) + eps)
    return _affine((x - mean) * rstd, weight, bias, x.shape[x.ndim - normalized_ndim :]), mean, rstd


def _rms(x: Any, weight: Any, normalized_ndim: Any, eps: Any) -> Any:
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    rrms = 1 / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return _affine(x * rrms, weight, None, x.shape[x.ndim - normalized_ndim :]), rrms


def _group(x: Any, weight: Any, bias: Any, groups: Any, eps: Any) -> Any:
    rows = x.reshape(x.shape[0], groups, -1)
    mean, rstd = rows.mean(2), 1 / np.sqrt(rows.var(2) + eps)
    hat = ((rows - mean[..., None]) * rstd[..., None]).reshape(x.shape)
    return _affine(hat, weight, bias, (-1, *(1,) * (x.ndim - 2))), mean, rstd


def _stats(x: Any) -> Any:
    axes = (0, *range(2, x.ndim))
    return x.mean(axes), x.var(axes)


def _apply(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any) -> Any:
    shape = (-1, *(1,) * (x.ndim - 2))
    return _affine((x - mean.reshape(shape)) * rstd.reshape(shape), weight, bias, shape)


def _train(x: Any, weight: Any, bias: Any, eps: Any) -> Any:
    mean, variance = _stats(x)
    return _apply(x, mean, 1 / np.sqrt(variance + eps), weight, bias), mean, variance


_ALL: dict[str, Any] = {"dtypes": FLOATING, "tolerance": 64.0}

SAMPLES = [
    samples(
        "native_layer_norm",
        _layer,
        case(real(2, 4), real(4), real(4), normalized_ndim=1, eps=_EPS),
        case(real(2, 2, 3), None, None, normalized_ndim=2, eps=_EPS),
        result=_STATS,
        **_ALL,
    ),
    samples(
        "native_rms_norm",
        _rms,
        case(real(2, 4), real(4), normalized_ndim=1, eps=_EPS),
        case(real(2, 2, 3), None, normalized_ndim=2, eps=_EPS),
        result=_STATS[:2],
        **_ALL,
    ),
    samples(
        "native_group_norm",
        _group,
        case(real(2, 4, 3), real(4), real(4), groups=2, eps=_EPS),
        case(real(2, 2, 2, 2), None, None, groups=1, eps=_EPS),
        result=_STATS,
        **_ALL,
    ),
    samples(
        "batch_norm_stats", _stats, real(3, 2, 2), real(4, 2), result="wide", **_ALL
    ),
    samples(
        "batch_norm_apply",
        _apply,
        case(real(3, 2, 2), real(2), positive(2), real(2), real(2)),
        case(real(4, 2), real(2), positive(2), None, None),
        dtypes=FLOATING[:2],
        tolerance=64.0,
    ),
    samples(
        "batch_norm_train",
        _train,
        case(real(3, 2, 2), real(2), real(2), eps=_EPS),
        case(real(4, 2), None, None, eps=_EPS),
        result=_STATS,
        **_ALL,
    ),
    samples(
        "layer_norm_backward",
        None,
        case(
            real(2, 4), real(2, 4), real(2, 1), positive(2, 1), real(4),
            normalized_ndim=1, needs=(True, True, True),
        ),
        dtypes=FLOATING[:2],
        tolerance=64.0,
    ),
    samples(
        "rms_norm_backward",
        None,
        case(
            real(2, 4), real(2, 4), positive(2, 1), real(4),
            normalized_ndim=1, needs=(True, True),
        ),
        dtypes=FLOATING[:2],
        tolerance=64.0,
    ),
    samples(
        "group_norm_backward",
        None,
        case(
            real(2, 4, 2), real(2, 4, 2), real(2, 2), positive(2, 2), real(4),
            groups=2, needs=(True, True, True),
        ),
        dtypes=FLOATING[:2],
        tolerance=64.0,
    ),
    samples(
        "batch_norm_backward",
        None,
        case(
            real(3, 2, 2), real(3, 2, 2), real(2), positive(2), real(2),
            training=True, needs=(True, True, True),
        ),
        case(
            real(4, 2), real(4, 2), real(2), positive(2), None,
            training=False, needs=(True, True, True),
        ),
        dtypes=FLOATING[:2],
        tolerance=64.0,
    ),
]  # fmt: skip
