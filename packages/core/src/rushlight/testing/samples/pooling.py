"""Samples of pooling with fixed and adaptive windows."""

import math
from typing import Any

import numpy as np

from ..._dtypes import int64
from ._inputs import distinct, index, real
from ._table import FLOATING, FULL, case, samples


def _windows(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> Any:
    """For each place of the output the elements that its window covers, in each dimension."""
    found = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (math.ceil if ceil_mode else math.floor)(room / s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1  # a window that starts behind the padding sees nothing
        found.append([[i * s - p + t * d for t in range(k)] for i in range(count)])
    return found


def _adaptive(size: Any, out: Any) -> Any:
    return [
        [list(range(i * n // o, -(-(i + 1) * n // o))) for i in range(o)]
        for n, o in zip(size, out, strict=True)
    ]


def _over(x: Any, tables: Any, reduce: Any) -> Any:
    """`reduce(values, positions, taps)` at each place."""
    out = np.zeros((*x.shape[:2], *map(len, tables)), object)
    size = x.shape[2:]
    for place in np.ndindex(*out.shape):
        rows = [table[i] for table, i in zip(tables, place[2:], strict=True)]
        inside = [[j for j in row if 0 <= j < n] for row, n in zip(rows, size, strict=True)]
        where = np.ix_(*inside)
        plane = x[place[:2]]
        numbers = np.arange(plane.size).reshape(size)
        out[place] = reduce(plane[where].ravel(), numbers[where].ravel(), rows)
    return out


def _maximum(x: Any, tables: Any) -> Any:
    best = _over(x, tables, lambda v, p, rows: (v[np.argmax(v)], p[np.argmax(v)]))
    return (
        np.array([b[0] for b in best.ravel()], x.dtype).reshape(best.shape),
        np.array([b[1] for b in best.ravel()], np.int64).reshape(best.shape),
    )


def _max_pool(
    x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> Any:
    size = x.shape[2:]
    return _maximum(x, _windows(size, kernel_size, stride, padding, dilation, ceil_mode))


def _avg_pool(
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    size = x.shape[2:]
    tables = _windows(size, kernel_size, stride, padding, (1,) * len(size), ceil_mode)

    def mean(v: Any, _: Any, rows: Any) -> Any:
        padded = [
            [j for j in row if j < n + p] for row, n, p in zip(rows, size, padding, strict=True)
        ]
        count = math.prod(map(len, padded)) if count_include_pad else len(v)
        return v.sum() / (divisor_override or count)

    return _over(x, tables, mean).astype(x.dtype)


_MAX = (
    case(
        distinct(1, 2, 6),
        kernel_size=(3,), stride=(2,), padding=(0,), dilation=(1,), ceil_mode=True,
    ),
    case(
        distinct(1, 2, 5),
        kernel_size=(2,), stride=(2,), padding=(1,), dilation=(1,), ceil_mode=False,
    ),
    case(
        distinct(1, 1, 4, 5),
        kernel_size=(2, 3), stride=(1, 2), padding=(0, 1), dilation=(2, 1), ceil_mode=True,
    ),
)  # fmt: skip
_WINDOW: dict[str, Any] = {"kernel_size": (2, 3), "stride": (2, 2), "padding": (1, 1)}
_AVG = (
    {**_WINDOW, "ceil_mode": True, "count_include_pad": True, "divisor_override": None},
    {**_WINDOW, "ceil_mode": False, "count_include_pad": False, "divisor_override": None},
    {**_WINDOW, "ceil_mode": False, "count_include_pad": True, "divisor_override": 3},
)

SAMPLES = [
    samples(
        "max_pool", _max_pool, *_MAX, dtypes=FLOATING, result=("same", int64), tolerance=0.0
    ),
    samples(
        "max_pool_values", lambda x, **w: _max_pool(x, **w)[0], *_MAX, dtypes=FLOATING,
        tolerance=0.0,
    ),
    samples(
        "max_pool_backward",
        None,
        case(real(1, 2, 2, 2), index(12, 1, 2, 2, 2), input_size=(3, 4)),
        dtypes=FULL,
        tolerance=16.0,
    ),
    samples(
        "avg_pool",
        _avg_pool,
        *(case(real(1, 2, 3, 4), **window) for window in _AVG),
        dtypes=FLOATING,
        tolerance=16.0,
    ),
    samples(
        "avg_pool_backward",
        None,
        case(real(1, 2, 2, 2), input_size=(3, 4), **_AVG[1]),
        dtypes=FULL,
        tolerance=16.0,
    ),
    samples(
        "adaptive_avg_pool",
        lambda x, output_size: _over(
            x, _adaptive(x.shape[2:], output_size), lambda v, _, rows: v.mean()
        ).astype(x.dtype),
        case(real(1, 2, 5), output_size=(3,)),
        case(real(1, 1, 4, 3), output_size=(2, 2)),
        dtypes=FLOATING,
        tolerance=16.0,
    ),
    samples(
        "adaptive_avg_pool_backward",
        None,
        case(real(1, 1, 2, 2), input_size=(4, 3)),
        dtypes=FULL,
        tolerance=16.0,
    ),
    samples(
        "adaptive_max_pool",
        lambda x, output_size: _maximum(x, _adaptive(x.shape[2:], output_size)),
        case(distinct(1, 2, 5), output_size=(3,)),
        case(distinct(1, 1, 4, 3), output_size=(2, 2)),
        dtypes=FLOATING,
        result=("same", int64),
        tolerance=0.0,
    ),
]  # fmt: skip
