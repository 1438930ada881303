"""Sizes: what the samples are too small for. Tails, blocks, long sums, and integers at their ends.

The samples of operators have a handful of elements, so that references in higher precision are
cheap. Kernels go wrong at other places: where a vector, a work-group or a block ends, where a sum
is long enough to need more digits, where an integer wraps around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...._dtypes import DType, bfloat16, float16, float32, int32, int64, uint8
from ...._registered import operators
from ...._tensor.construction import from_host
from ....backend._registry import normalized
from ... import checks
from ...owed import is_optional
from ...samples import Case as SampleCase
from ...samples import Sample, groups
from ...samples._inputs import Input, distinct, index, mask, real, within
from .._case import Case
from ._table import PROGRAMS, program

#: Around the widths of vectors, warps, work-groups and blocks.
SIZES = (1, 2, 3, 5, 7, 8, 9, 15, 17, 31, 33, 63, 65, 127, 129, 255, 257, 1023, 1025, 4099)
_TURNED = (37, 67)


def _resized(sample: Sample, shape: tuple[int, ...]) -> Sample:
    inputs = tuple(None if x is None else replace(x, shape=shape) for x in sample.case.inputs)
    return Sample(sample.group, replace(sample.case, inputs=inputs), sample.number)


def _sizes(name: str, device: str) -> None:
    group = groups()[name]
    sample = group.samples()[0]
    # References of rare functions take a millisecond per element.
    for size in SIZES[:14] if is_optional(name) else SIZES:
        _compare(_resized(sample, (size,)), "contiguous", device)
    for layout in ("transposed", "strided"):
        _compare(_resized(sample, (7, 9) if is_optional(name) else _TURNED), layout, device)
    if len(sample.case.inputs) == 2:
        x, y = (x for x in sample.case.inputs if x is not None)
        shapes = ((33, 1), (1, 67)), ((3, 33, 5), (33, 1)), ((129,), ()), ((), (65,))
        for left, right in shapes:
            case = replace(sample.case, inputs=(replace(x, shape=left), replace(y, shape=right)))
            _compare(Sample(group, case, 0), "contiguous", device)


def _compare(sample: Sample, layout: str, device: str) -> None:
    """Compares with the reference, to digits of the largest element: among thousands of elements
    there is always one that a formula cancels in, and the samples see to precision."""
    dtype = sample.dtypes[0]
    inputs = checks.arguments(sample, dtype, device, layout=layout)
    (found,) = checks.run(sample, inputs, device)
    hosts = [None if x is None else checks.widened(checks.host_of(x), floats=False) for x in inputs]
    assert sample.group.reference is not None
    with np.errstate(all="ignore"):
        exact = sample.group.reference(*hosts, **sample.case.attributes)
    what = f"{sample.group.name} of shapes {[x.shape for x in sample.case.inputs if x is not None]}"
    tolerance = 4 * max(sample.group.tolerance, 4.0)
    checks.assert_near(
        checks.host_of(found), exact, found.dtype, tolerance, elementwise=False, what=what
    )


def _elementwise() -> list[str]:
    """Elementwise operators whose first sample can be of any size."""
    found = []
    for name, group in groups().items():
        op = operators.get(name)
        if op is None or not op.is_elementwise or group.reference is None:
            continue
        inputs = [x for x in group.cases[0].inputs if x is not None]
        if inputs and all(x.shape == (2, 3) and x.dtype is None for x in inputs):
            found.append(name)
    return found


for _name in _elementwise():
    _group = groups()[_name]
    PROGRAMS.append(
        Case(
            f"sizes-{_name}",
            "primitives" if operators[_name].decomposition_rule is None else "composites",
            2,
            2,
            partial(_sizes, _name),
            operator=_name,
            dtype=_group.samples()[0].dtypes[0],
            needs=frozenset({_group.samples()[0].dtypes[0]}),
        )
    )


# -- long rows ------------------------------------------------------------------------------------

_Rows = dict[str, list[tuple[tuple[Input, ...], dict[str, Any]]]]
#: Numbers whose sums lose nothing by cancelling.
_some = within(0.5, 1.5)


def _reductions(x: Callable[..., Input], **more: Any) -> list[tuple[tuple[Input, ...], Any]]:
    return [
        ((x(3, 1031),), {"dim": (1,), **more}),
        ((x(1031, 3),), {"dim": (0,), **more}),
        ((x(5, 67, 33),), {"dim": (0, 2), **more}),
        ((x(7, 129),), {"dim": (0, 1), "keepdim": True, **more}),
        ((x(257),), {"dim": (0,), **more}),
    ]


def _along(x: Callable[..., Input], **more: Any) -> list[tuple[tuple[Input, ...], Any]]:
    return [
        ((x(3, 1031),), {"dim": 1, **more}),
        ((x(259, 3),), {"dim": 0, **more}),
        ((x(2, 65, 7),), {"dim": 1, **more}),
    ]


_near_one = within(0.999, 1.001)
_LONG: _Rows = {
    **{name: _reductions(_some) for name in ("sum", "nansum", "logsumexp")},
    "prod": _reductions(_near_one),
    **{name: _reductions(distinct) for name in ("amax", "amin")},
    **{name: _reductions(mask) for name in ("any", "all", "count_nonzero")},
    **{name: _along(distinct) for name in ("argmax", "argmin", "argsort", "sort", "median")},
    "cumsum": _along(_some),
    "cumprod": _along(_near_one),
    **{name: _along(distinct) for name in ("cummax", "cummin")},
    **{name: _along(real) for name in ("softmax", "log_softmax")},
    "topk": _along(distinct, k=17),
    "kthvalue": _along(distinct, k=31),
    "mm": [
        ((real(17, 33), real(33, 65)), {}),
        ((real(1, 257), real(257, 1)), {}),
        ((real(129, 3), real(3, 131)), {}),
        ((real(64, 64), real(64, 64)), {}),
    ],
    "bmm": [((real(3, 17, 31), real(3, 31, 9)), {}), ((real(5, 1, 65), real(5, 65, 33)), {})],
    "gather": [((real(5, 301), index(301, 5, 67)), {"dim": 1})],
    "index_select": [((real(301, 5), index(301, 1027)), {"dim": 0})],
    "take": [((real(33, 65), index(33 * 65, 1027)), {})],
    "scatter": [((real(5, 301), index(301, 5, 67), _some(5, 67)), {"dim": 1, "reduce": "sum"})],
    "index_add": [((real(301, 5), index(301, 1027), _some(1027, 5)), {"dim": 0})],
    "cat": [((real(3, 257), real(3, 1), real(3, 1030)), {"dim": 1})],
    "flip": [((real(33, 67),), {"dims": (0, 1)})],
    "tril": [((real(65, 67),), {"diagonal": -3})],
    "triu": [((real(67, 65),), {"diagonal": 2})],
    "where": [((mask(33, 67), real(33, 67), real(33, 67)), {})],
    "conv": [
        ((real(3, 5, 37), real(7, 5, 3)),
         {"stride": (2,), "padding": (1,), "dilation": (1,), "groups": 1}),
        ((real(2, 4, 17, 19), real(6, 2, 3, 3)),
         {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    ],
}  # fmt: skip
#: A sum of so many numbers, in whatever order, is off by no more units than this.
_LONG_TOLERANCE = 64.0


def _long(name: str, device: str) -> None:
    group = groups()[name]
    if operators[name].schema.attributes and name not in ("cat",):
        known = {p.name for p in operators[name].schema.attributes}
    else:
        known = {"dim"}
    wide = replace(group, tolerance=max(group.tolerance, _LONG_TOLERANCE) if group.tolerance else 0)
    for inputs, attributes in _LONG[name]:
        given = {key: value for key, value in attributes.items() if key in known}
        sample = Sample(wide, SampleCase(inputs, given), 0)
        for layout in ("contiguous", "transposed", "strided"):
            checks.check_value(sample, group.dtypes[0], layout, device)


for _name in _LONG:
    if _name in groups():
        PROGRAMS.append(
            Case(
                f"long-{_name}",
                "primitives" if operators[_name].decomposition_rule is None else "composites",
                2,
                2,
                partial(_long, _name),
                operator=_name,
                dtype=groups()[_name].dtypes[0],
                needs=frozenset({groups()[_name].dtypes[0], int64}),
            )
        )


# -- digits -------------------------------------------------------------------------------------


@program("primitives", step=2, level=2, needs=(float32,), dtypes=(float16, bfloat16))
def sums_of_16_bits_are_rounded_once(device: str, dtype: DType) -> None:
    """Sums and products of 16-bit floats are computed in float32, and rounded at the end."""
    host = np.random.default_rng(5).uniform(0.5, 1.5, (4, 1999)).astype(dtype.numpy)
    wide = host.astype(np.float64)
    x = from_host(host, normalized(device))
    for found, exact in (
        (operators["sum"](x, dim=(1,)), wide.sum(1)),
        (operators["mm"](x, x.t()), wide @ wide.T),
    ):
        checks.assert_near(
            checks.host_of(found), exact, dtype, 1.0, elementwise=True, what=f"{dtype.name}"
        )


# -- integers at their ends ---------------------------------------------------------------------

_WRAPPING: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum,
    "minimum": np.minimum, "eq": np.equal, "lt": np.less, "ge": np.greater_equal,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
}  # fmt: skip
_ONE: dict[str, Any] = {"neg": np.negative, "abs": np.abs, "bitwise_not": np.bitwise_not}


@program("primitives", step=2, level=2, needs=(), dtypes=(int64, int32, uint8))
def integers_wrap_around(device: str, dtype: DType) -> None:
    """Integer arithmetic is exact up to the ends of a dtype, and wraps around there."""
    info = np.iinfo(dtype.numpy)
    ends = [info.min, info.min + 1, 0, 1, 2, 7, info.max // 2 + 1, info.max - 1, info.max]
    x, y = (a.ravel() for a in np.meshgrid(np.array(ends, dtype.numpy), ends[::-1]))
    y = y.astype(dtype.numpy)
    a, b = (from_host(v, normalized(device)) for v in (x, y))
    with np.errstate(over="ignore"):
        for name, function in _WRAPPING.items():
            found = checks.host_of(operators[name](a, b))
            assert (found == function(x, y)).all(), f"{name}: {found}"
        for name, function in _ONE.items():
            found = checks.host_of(operators[name](a))
            assert (found == function(x)).all(), f"{name}: {found}"
        total = checks.host_of(operators["sum"](a, dim=(0,)))
        assert total == x.sum(dtype=dtype.numpy), f"sum: {total}"


@program("primitives", step=2, level=2, needs=(int64,))
def large_integers_are_exact(device: str) -> None:
    """int64 keeps all its digits: nothing goes by way of floats."""
    host = np.array([2**53 + 1, 2**62 + 1, -(2**53) - 1, 3], np.int64)
    x = from_host(host, normalized(device))
    assert operators["sum"](x, dim=(0,)).item() == host.sum()
    assert operators["cumsum"](x, dim=0).tolist() == np.cumsum(host).tolist()
    assert operators["amax"](x, dim=(0,)).item() == 2**62 + 1
    assert operators["sort"](x, dim=0)[0].tolist() == sorted(host.tolist())
    assert operators["floor_divide"](x, x.new_full((), 2)).tolist() == (host // 2).tolist()
    assert operators["remainder"](x, x.new_full((), 1000)).tolist() == (host % 1000).tolist()
    assert operators["mm"](x.reshape(1, 4), x.new_ones(4, 1)).item() == host.sum()
