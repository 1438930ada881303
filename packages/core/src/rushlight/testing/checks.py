"""What holds for every operator: one function per property, each for one sample on one device.

    sample = samples.groups()["softmax"].samples()[0]
    check_value(sample, rushlight.float32, "transposed", "cpu")

A check that fails raises AssertionError.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _dtypes
from .._autograd.engine import grad
from .._device import device as Device
from .._dtypes import Category, DType
from .._limits import finfo
from .._modes import with_modes
from .._ops.striding import as_strided
from .._registered import operators
from .._tensor.construction import from_host, to_host
from .._tensor.tensor import Tensor, storage_of
from .._views import detached
from ..autograd._gradcheck import gradcheck, gradgradcheck
from ..func import capture, jvp, vmap
from .samples._table import HostArray, Sample

LAYOUTS = ("contiguous", "transposed", "expanded", "strided", "overlapping")
# A Jacobian of more elements says nothing that a smaller one does not.
MOST_ELEMENTS = 40

# -- building and running -----------------------------------------------------------------------


def placed(host: HostArray, layout: str, device: str) -> Tensor:
    """A tensor of a host array's values that lies in memory in a certain way.

    `expanded` repeats the first slice of the first dimension, and in `overlapping` each row begins
    one element after the row before it, so their values are others.
    """
    where = Device(device)
    if layout == "transposed" and host.ndim > 1:
        turned = from_host(np.ascontiguousarray(host.T), where)
        return _view("permute", turned, dims=tuple(reversed(range(host.ndim))))
    if layout == "expanded" and host.ndim and host.shape[0]:
        return _view("expand", from_host(host[:1].copy(), where), size=host.shape)
    if layout == "overlapping" and host.ndim > 1 and host.size:
        base = np.concatenate([host[..., 0, :], host[..., 1:, -1]], axis=-1)
        steps = np.cumprod([1, *base.shape[:0:-1]])[::-1].tolist()[:-1]
        made = from_host(np.ascontiguousarray(base), where)
        return detached(as_strided(made, host.shape, (*steps, 1, 1), 0))
    if layout == "strided":
        # Behind three elements of something else, every second element of the last dimension.
        last = host.shape[-1] if host.ndim else 1
        shape = (*host.shape[:-1], 3 + 2 * last)
        wide = np.zeros(shape, host.dtype)
        wide[..., 3::2] = host if host.ndim else host[None]
        made = _view(
            "slice", from_host(wide, where), dim=len(shape) - 1, start=3, length=last, step=2
        )
        return made if host.ndim else _view("select", made, dim=0, index=0)
    return from_host(host, where)


def _view(name: str, x: Tensor, **attributes: Any) -> Tensor:
    """A view that does not know its base, as if it had come from elsewhere."""
    return detached(operators[name](x, **attributes))


def arguments(
    sample: Sample, dtype: DType, device: str, *, layout: str = "contiguous", seed: int = 0
) -> list[Tensor | None]:
    """The inputs of a sample on a device."""
    made: list[Tensor | None] = []
    for spec, host in zip(sample.case.inputs, sample.hosts(dtype, seed), strict=True):
        if spec is None or host is None:
            made.append(None)
        else:
            fits = spec.loose or layout not in ("expanded", "overlapping")
            made.append(placed(host, layout if fits else "contiguous", device))
    return made


def run(sample: Sample, inputs: Any, device: str) -> tuple[Any, ...]:
    """The operator's results, as a tuple."""
    operator = sample.group.operator
    attributes = dict(sample.case.attributes)
    if any(p.name == "device" for p in operator.schema.attributes):
        attributes.setdefault("device", Device(device))
    return _tuple(operator(*inputs, **attributes))


def _tuple(results: Any) -> tuple[Any, ...]:
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)


def host_of(x: Tensor) -> HostArray:
    """A tensor's values."""
    return np.array(to_host(x.detach()))


# -- comparing --------------------------------------------------------------------------------


def widened(host: HostArray, *, floats: bool) -> HostArray:
    """A host array in a type wide enough for the reference."""
    kind = "f" if host.dtype == _dtypes.bfloat16.numpy else host.dtype.kind
    if kind == "b":
        return host.astype(np.float64) if floats else host
    if kind in "iu":
        return host.astype(np.float64 if floats else np.int64)
    if kind == "c":
        return host.astype(np.clongdouble if host.dtype == np.complex128 else np.complex128)
    return host.astype(np.longdouble if host.dtype == np.float64 else np.float64)


def assert_near(
    actual: HostArray,
    expected: Any,
    dtype: DType,
    tolerance: float,
    *,
    elementwise: bool,
    what: str,
    signed_zeros: bool = False,
) -> None:
    """Asserts agreement up to so many units of the dtype's epsilon; of zeros' signs if asked to."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape, f"{what}: shape {actual.shape}, expected {wanted.shape}"
    if not dtype.is_inexact:
        with np.errstate(all="ignore"):
            same = actual == wanted.astype(dtype.numpy)
        assert np.all(same), f"{what}: {actual!r}, expected {wanted!r}"
        return
    with np.errstate(all="ignore"):
        epsilon = float(finfo(dtype.to_real()).eps)
        wide = widened(actual, floats=True)
        rounded = widened(wanted.astype(dtype.numpy), floats=True)
        size = np.abs(wanted)
        finite = np.isfinite(rounded)
        if not elementwise:
            size = np.broadcast_to(np.max(size, where=finite, initial=0.0), size.shape)
        least = float(finfo(dtype.to_real()).smallest_normal) * epsilon
        near = np.abs(wide - wanted) <= tolerance * (epsilon * size + least)
        same = (wide == rounded) | (np.isnan(wide) & np.isnan(rounded)) | (finite & near)
        if signed_zeros and not dtype.is_complex:
            # A zero has the sign that IEEE 754 gives it: 1 / x depends on it.
            zero = (rounded == 0) & (wide == 0)
            same &= ~zero | (np.signbit(wide) == np.signbit(rounded))
    assert np.all(same), f"{what}:\n{wide}\nexpected\n{wanted}\nwrong at {np.argwhere(~same)[:5]}"


def assert_same(actual: Any, expected: Any, what: str, tolerance: float = 0.0) -> None:
    """Asserts that two sets of results agree in dtype, shape and value (NaN equals NaN)."""
    pairs = list(zip(_tuple(actual), _tuple(expected), strict=True))
    for place, (a, e) in enumerate(pairs):
        if a is None or e is None:
            assert a is e, f"{what}: result {place} is {a}, expected {e}"
            continue
        assert a.dtype is e.dtype, f"{what}: result {place} is {a.dtype}, expected {e.dtype}"
        left, right = host_of(a), host_of(e)
        assert_near(
            left,
            widened(right, floats=False),
            a.dtype,
            tolerance,
            elementwise=False,
            what=f"{what}, result {place}",
        )


# -- values -----------------------------------------------------------------------------------


def check_value(sample: Sample, dtype: DType, layout: str, device: str) -> None:
    """The results are the reference's, of the stated dtypes; the inputs are left as they were."""
    inputs = arguments(sample, dtype, device, layout=layout)
    before = [None if x is None else host_of(x) for x in inputs]
    results = run(sample, inputs, device)
    _check_untouched(inputs, before, "the call")
    shown = [x for x in results if x is not None]
    dtypes = sample.result_dtypes(dtype, len(results))
    assert [x.dtype for x in shown] == [
        d for d, x in zip(dtypes, results, strict=True) if x is not None
    ]
    again = run(sample, inputs, device)
    for first, second in zip(shown, (x for x in again if x is not None), strict=True):
        assert host_of(first).tobytes() == host_of(second).tobytes(), "two runs differ"
    if sample.group.reference is not None:
        _compare_with_reference(sample, dtype, before, results, dtypes)
    if sample.group.operator.schema.is_view:
        return
    for result in shown:
        result.zero_()
        _check_untouched(inputs, before, "a write into a result")


def _check_untouched(
    inputs: list[Tensor | None], before: list[HostArray | None], what: str
) -> None:
    for place, (x, host) in enumerate(zip(inputs, before, strict=True)):
        if x is not None and host is not None:
            same = host_of(x).tobytes() == host.tobytes()
            assert same, f"{what} changed input {place}"


def _compare_with_reference(
    sample: Sample,
    dtype: DType,
    hosts: list[HostArray | None],
    results: tuple[Any, ...],
    dtypes: list[DType],
) -> None:
    group = sample.group
    assert group.reference is not None
    rules = group.result if isinstance(group.result, tuple) else (group.result,)
    floats = "float" in rules and dtype.category < Category.FLOATING
    wide = [None if h is None else widened(h, floats=floats) for h in hosts]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means over nothing
        expected = group.reference(*wide, **sample.case.attributes)
    for place, (value, wanted, kind) in enumerate(
        zip(results, _tuple(expected), dtypes, strict=True)
    ):
        if wanted is not None:
            assert_near(
                host_of(value),
                wanted,
                kind,
                group.tolerance,
                elementwise=group.operator.is_elementwise,
                what=f"{group.name}, result {place}",
                signed_zeros=group.signed_zeros,
            )


def check_meta(sample: Sample, dtype: DType, device: str) -> None:
    """On the meta device, which holds no data, shapes and dtypes are those of the real results."""
    real = run(sample, arguments(sample, dtype, device), device)
    seen = run(sample, arguments(sample, dtype, "meta"), "meta")
    for place, (r, m) in enumerate(zip(real, seen, strict=True)):
        if r is None or m is None:
            assert r is m, f"result {place} is {m} on the meta device, {r} on {device}"
            continue
        assert m.device.type == "meta"
        assert (tuple(m.shape), m.dtype) == (tuple(r.shape), r.dtype), f"result {place}"


def check_decomposition(sample: Sample, dtype: DType, device: str) -> None:
    """The decomposition gives what the kernel gives."""
    rule = sample.group.operator.decomposition_rule
    assert rule is not None
    inputs = arguments(sample, dtype, device)
    kernel = run(sample, inputs, device)
    attributes = {**sample.group.operator.schema.defaults, **sample.case.attributes}
    with with_modes(grad=False):
        composed = _tuple(rule(*inputs, **attributes))
    pairs = zip(kernel, composed, strict=True)
    both = [(k, c) for k, c in pairs if k is not None and c is not None]
    tolerance = 8 * sample.group.tolerance
    assert_same([c for _, c in both], [k for k, _ in both], "decomposition", tolerance)


def check_view(sample: Sample, dtype: DType, layout: str, device: str) -> None:
    """A view shares memory: a write into it reaches the base, and only where the view looks."""
    (x,) = arguments(sample, dtype, device, layout=layout)
    assert x is not None
    (seen,) = run(sample, [x], device)
    assert storage_of(seen) is storage_of(x)
    changes_dtype = sample.group.operator.view_kind is not None
    if changes_dtype or layout in ("expanded", "overlapping") or 0 in seen.stride():
        return
    numbers = np.arange(1, x.numel() + 1).reshape(x.shape)
    marks = from_host(numbers.astype(np.int64), Device(device))
    (where,) = run(sample, [marks], device)
    shown = np.isin(numbers, host_of(where))
    seen.zero_()
    left = host_of(x)
    assert not left[shown].any(), "a write into the view did not reach the base"
    untouched = arguments(sample, dtype, device, layout=layout)[0]
    assert untouched is not None
    assert (left[~shown] == host_of(untouched)[~shown]).all(), "a write reached beyond the view"


# -- derivatives --------------------------------------------------------------------------------


def is_smooth(sample: Sample) -> bool:
    """Whether derivatives are checked for this sample."""
    group, case = sample.group, sample.case
    count = sum(int(np.prod(x.shape)) for x in case.inputs if x is not None and x.varies)
    varying = any(x is not None and x.varies and x.dtype is None for x in case.inputs)
    return (
        group.smooth
        and case.smooth
        and varying
        and count <= MOST_ELEMENTS
        and group.operator.differentiable
    )


def _function(
    sample: Sample, inputs: list[Tensor | None], device: str
) -> tuple[Callable[..., Any], list[Tensor]]:
    """The operator as a function of the inputs it is differentiated by, and those."""
    places = [
        place
        for place, x in enumerate(sample.case.inputs)
        if x is not None and x.varies and x.dtype is None
    ]
    constants = sample.group.operator.constant_outputs

    def function(*xs: Tensor) -> Any:
        given = list(inputs)
        for place, x in zip(places, xs, strict=True):
            given[place] = x
        results = run(sample, given, device)
        return tuple(
            r
            for place, r in enumerate(results)
            if r is not None and r.dtype.is_inexact and place not in constants
        )

    return function, [x for p in places if (x := inputs[p]) is not None]


def check_gradient(
    sample: Sample, dtype: DType, device: str, *, second: bool = False, layout: str = "contiguous"
) -> None:
    """The vjp rule agrees with finite differences; with `second`, that of the vjp rule does."""
    inputs = arguments(sample, dtype, device, layout=layout)
    function, varying = _function(sample, inputs, device)
    for x in varying:
        x.requires_grad_(True)
    if second:
        gradgradcheck(function, tuple(varying), atol=1e-4)
    else:
        gradcheck(function, tuple(varying))


def check_gradient_by_host(
    sample: Sample, dtype: DType, device: str, *, second: bool = False
) -> None:
    """The gradient is the host's in double precision, which `check_gradient` compares with
    differences: for devices on which differences would be too rough."""
    double = _dtypes.complex128 if dtype.is_complex else _dtypes.float64
    hosts = sample.hosts(dtype)
    wide = [
        None if h is None or spec is None else placed(
            h if spec.dtype is not None else h.astype(double.numpy), "contiguous", _HOST
        )
        for h, spec in zip(hosts, sample.case.inputs, strict=True)
    ]  # fmt: skip
    exact = _gradients(sample, wide, _HOST, second)
    found = _gradients(sample, arguments(sample, dtype, device), device, second)
    # Differences of large numbers are in between, and a second derivative has more of them.
    units = max((512 if second else 128) * sample.group.tolerance, 128.0)
    epsilon = float(finfo(dtype.to_real()).eps)
    for place, (g, e) in enumerate(zip(found, exact, strict=True)):
        if g is None or e is None:
            nothing = g if e is None else e
            assert nothing is None or not host_of(nothing).any(), f"gradient {place} is absent"
            continue
        near, wanted = host_of(g), host_of(e)
        assert (g.dtype, near.shape) == (dtype, wanted.shape), f"gradient {place}"
        # Where terms cancel, what is left of the host's is as random: numbers are about 1 here.
        size = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
        with np.errstate(all="ignore"):
            same = (np.abs(near - wanted) <= units * epsilon * size) | (
                np.isnan(near) & np.isnan(wanted)
            )
        assert np.all(same), f"gradient {place}:\n{near}\nexpected\n{wanted}"


_HOST = "cpu"


def _gradients(
    sample: Sample, inputs: list[Tensor | None], device: str, second: bool
) -> list[Tensor | None]:
    """Gradients of a weighted sum of the results; with `second`, of one of those gradients."""
    function, varying = _function(sample, inputs, device)
    leaves = [x.requires_grad_(True) for x in varying]
    outputs: list[Any] = list(function(*leaves))
    for create in (True, False) if second else (False,):
        outputs = [x for x in outputs if x is not None and x.requires_grad]
        if not outputs:
            return [None] * len(leaves)
        seeds = [from_host(_weights(x), Device(device)) for x in outputs]
        outputs = list(grad(outputs, leaves, seeds, allow_unused=True, create_graph=create))
    return outputs


def _weights(like: Tensor) -> HostArray:
    """Weights that differ from element to element."""
    angles = np.arange(like.numel()).reshape(tuple(like.shape)) + 0.5
    made = np.cos(angles) + 1j * np.sin(3 * angles) if like.dtype.is_complex else np.cos(angles)
    return np.asarray(made, like.dtype.numpy)


def check_jvp(sample: Sample, dtype: DType, device: str) -> None:
    """The jvp is the adjoint of the vjp: <u, J v> = <vjp(u), v>."""
    inputs = arguments(sample, dtype, device)
    function, varying = _function(sample, inputs, device)
    random = np.random.default_rng(1)

    def drawn(like: Tensor) -> HostArray:
        values = random.standard_normal(tuple(like.shape))
        if like.dtype.is_complex:
            values = values + 1j * random.standard_normal(tuple(like.shape))
        return values.astype(like.dtype.numpy)

    tangents = [drawn(x) for x in varying]
    values, derivatives = jvp(
        function, tuple(varying), tuple(from_host(t, Device(device)) for t in tangents)
    )
    # A composite's value comes from its decomposition here.
    tolerance = 8 * sample.group.tolerance
    assert_same(values, function(*varying), "the value beside the derivative", tolerance)
    cotangents = [drawn(out) for out in values]
    leaves = [detached(x).requires_grad_(True) for x in varying]
    results = function(*leaves)
    recorded = [i for i, r in enumerate(results) if r.requires_grad]
    for place, d in enumerate(derivatives):
        assert d.dtype is values[place].dtype
        assert tuple(d.shape) == tuple(values[place].shape)
        assert place in recorded or not host_of(d).any(), "a constant has a derivative"
    if not recorded:
        return
    gradients = grad(
        [results[i] for i in recorded],
        leaves,
        [from_host(cotangents[i], Device(device)) for i in recorded],
        allow_unused=True,
    )
    forward = sum(_product(cotangents[i], host_of(derivatives[i])) for i in recorded)
    reverse = sum(
        _product(host_of(g), t) for g, t in zip(gradients, tangents, strict=True) if g is not None
    )
    scale = max(abs(forward), abs(reverse), 1.0)
    close = 1e-9 if dtype in (_dtypes.float64, _dtypes.complex128) else 1e-3
    assert abs(forward - reverse) <= close * scale, f"jvp gives {forward}, vjp gives {reverse}"


def _product(a: HostArray, b: HostArray) -> float:
    return float(np.sum(np.conj(a) * b).real)


def check_gradient_dtype(sample: Sample, dtype: DType, device: str) -> None:
    """Gradients have the dtype and shape of their inputs."""
    inputs = arguments(sample, dtype, device)
    function, varying = _function(sample, inputs, device)
    leaves = [x.requires_grad_(True) for x in varying]
    results = [r for r in function(*leaves) if r.requires_grad]
    if not results:
        return
    seeds = [from_host(np.ones(tuple(r.shape), r.dtype.numpy), Device(device)) for r in results]
    for x, g in zip(leaves, grad(results, leaves, seeds, allow_unused=True), strict=True):
        if g is not None:
            assert (g.dtype, tuple(g.shape)) == (x.dtype, tuple(x.shape))


# -- transforms ---------------------------------------------------------------------------------


def _choices(inputs: list[Any]) -> Iterator[tuple[int, ...]]:
    """Which inputs carry the batch: all combinations; of many inputs each one, and all."""
    places = [i for i, x in enumerate(inputs) if x is not None]
    if len(places) <= 3:
        for count in range(1, len(places) + 1):
            yield from itertools.combinations(places, count)
    else:
        yield from ((place,) for place in places)
        yield tuple(places)


def check_vmap(sample: Sample, dtype: DType, device: str, size: int = 2) -> None:
    """`vmap` gives what a loop gives, whichever inputs are batched, along whichever dimension."""
    items = [sample.hosts(dtype, seed) for seed in range(size)]
    for chosen in _choices(items[0]):
        one_by_one = []
        for item in items:
            hosts = [item[p] if p in chosen else items[0][p] for p in range(len(item))]
            inputs = [None if h is None else placed(h, "contiguous", device) for h in hosts]
            one_by_one.append(run(sample, inputs, device))
        expected = [
            None if column[0] is None else np.stack([host_of(r) for r in column])
            for column in zip(*one_by_one, strict=True)
        ]
        for along in sample.group.batches:
            _check_batch(sample, items, chosen, along, expected, device)


def _check_batch(
    sample: Sample,
    items: list[list[Any]],
    chosen: tuple[int, ...],
    along: int,
    expected: list[HostArray | None],
    device: str,
) -> None:
    inputs: list[Tensor] = []
    dims: list[int | None] = []
    for place, first in enumerate(items[0]):
        if first is None:
            continue
        if place not in chosen:
            inputs.append(placed(first, "contiguous", device))
            dims.append(None)
            continue
        dim = min(along, first.ndim)
        stacked = np.stack([item[place] for item in items], axis=dim)
        inputs.append(placed(np.ascontiguousarray(stacked), "contiguous", device))
        dims.append(dim)
    filled = [place for place, x in enumerate(items[0]) if x is not None]

    def function(*xs: Tensor) -> Any:
        given: list[Tensor | None] = [None] * len(items[0])
        for place, x in zip(filled, xs, strict=True):
            given[place] = x
        return tuple(r for r in run(sample, given, device) if r is not None)

    results = vmap(function, in_dims=tuple(dims))(*inputs)
    wanted = [e for e in expected if e is not None]
    for place, (result, host) in enumerate(zip(results, wanted, strict=True)):
        what = f"vmap over inputs {chosen}, dimension {along}, result {place}"
        assert result.dtype.numpy == host.dtype, what
        assert_near(
            host_of(result),
            widened(host, floats=False),
            result.dtype,
            4 * sample.group.tolerance,
            elementwise=False,
            what=what,
        )


def check_capture(sample: Sample, dtype: DType, device: str) -> None:
    """A captured call gives what the call gives, and so does its program with other data."""

    def function(*xs: Tensor) -> Any:
        given = iter(xs)
        filled = [None if spec is None else next(given) for spec in sample.case.inputs]
        return tuple(r for r in run(sample, filled, device) if r is not None)

    inputs = [x for x in arguments(sample, dtype, device) if x is not None]
    others = [x for x in arguments(sample, dtype, device, seed=1) if x is not None]
    results, program = capture(function)(*inputs)
    assert_same(results, function(*inputs), "the captured run")
    if sample.group.replays:
        assert_same(program(*others), function(*others), "the program with other data")
        assert_same(program(*inputs), function(*inputs), "the program with the first data")
