"""Checks of what is derived from an operator's function: the in-place form and `out=`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _dtypes
from .._autograd.engine import grad
from .._device import device as Device
from .._dtypes import DType, can_cast
from .._ops import METHODS
from .._registered import operators
from .._tensor.construction import from_host
from .._tensor.tensor import Tensor, storage_of
from .._views import detached
from ..backend._registry import dtypes_of
from .checks import arguments, assert_same, host_of, is_smooth, placed, run
from .samples import Sample

Form = Callable[..., Any]


def _arranged(sample: Sample, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the public function."""
    if sample.group.arrange is not None:
        return tuple(sample.group.arrange(*inputs, **sample.case.attributes)), {}
    return tuple(inputs), dict(sample.case.attributes)


def binds(form: Form, sample: Sample) -> bool:
    """Whether a public function takes the operator's inputs and attributes as they are."""
    try:
        positional, keywords = _arranged(sample, sample.case.inputs)
        inspect.signature(form).bind(*positional, **keywords)
    except TypeError:
        return False
    return True


def inplace_form(sample: Sample) -> Form | None:
    """The method that writes the operator's result into its first input."""
    public = sample.group.operator.public
    found = None if public is None else METHODS.get(public.__name__ + "_")
    return found if sample.case.inputs and found is not None else None


def out_form(sample: Sample) -> Form | None:
    """The public function, if it takes `out=`."""
    public = sample.group.operator.public
    if public is None:
        return None
    if getattr(public, "accepts_out", False) or "out" in inspect.signature(public).parameters:
        return public  # type: ignore[no-any-return]
    return None


def check_inplace(sample: Sample, dtype: DType, device: str) -> None:
    """The in-place form leaves the functional result in its first input, and only there.

    Where the result does not fit it raises, and the input stays as it was.
    """
    form = inplace_form(sample)
    assert form is not None
    for layout in ("contiguous", "transposed", "strided"):
        _check_write(sample, form, arguments(sample, dtype, device, layout=layout), device)
    if sample.number == 0:
        _check_overlap(sample, form, dtype, device)
    first = sample.case.inputs[0]
    if is_smooth(sample) and dtype.is_inexact and first is not None and first.varies:
        _check_inplace_gradient(sample, form, device)


def _check_write(sample: Sample, form: Form, inputs: Any, device: str) -> None:
    x = inputs[0]
    expected = run(sample, inputs, device)[0]
    positional, keywords = _arranged(sample, inputs)
    others = [None if i is None else host_of(i) for i in inputs[1:]]
    version, before = storage_of(x).version, host_of(x)
    around = surroundings(x)
    if not can_cast(expected.dtype, x.dtype) or expected.shape != x.shape:
        try:
            form(*positional, **keywords)
        except RuntimeError:
            assert host_of(x).tobytes() == before.tobytes(), "a refused write changed the input"
            return
        raise AssertionError(f"a result of {expected.shape}, {expected.dtype} was written")
    result = form(*positional, **keywords)
    assert result is x
    assert_same(x, expected.to(x.dtype), "the in-place form", tolerance=1.0)
    assert storage_of(x).version > version, "the write was not counted"
    assert surroundings(x) == around, "the write changed memory beside its target"
    for place, (other, host) in enumerate(zip(inputs[1:], others, strict=True)):
        same = other is None or host is None or host_of(other).tobytes() == host.tobytes()
        assert same, f"the write changed input {place + 1}"


def _check_overlap(sample: Sample, form: Form, dtype: DType, device: str) -> None:
    """An operand that shares memory with the target is read before it is written."""
    hosts = sample.hosts(dtype)
    if len(hosts) != 2 or not sample.group.operator.is_elementwise:
        return
    if any(h is None or not h.size for h in hosts) or sample.case.attributes:
        return
    numbers = np.concatenate([np.ravel(h) for h in hosts])  # type: ignore[arg-type]
    base = from_host(np.concatenate((numbers, numbers)), Device(device))
    target, operand = base[1:], base[:-1]
    expected = run(sample, [operators["clone"](target), operators["clone"](operand)], device)[0]
    if expected.dtype is not dtype:
        return
    form(target, operand)
    assert_same(target, expected, "the in-place form with an operand that overlaps", tolerance=1.0)


def surroundings(x: Tensor) -> bytes:
    """What lies in x's storage beside its elements."""
    shape, step = tuple(x.shape), x.stride()
    count = storage_of(x).nbytes() // x.dtype.itemsize
    start = x.storage_offset()
    whole = x.detach().as_strided((count,), (1,), 0)
    places = np.arange(count)
    if 0 in shape:
        return host_of(whole).tobytes()
    reach = start + sum((n - 1) * s for n, s in zip(shape, step, strict=True))
    assert reach < count, "a tensor reaches beyond its storage"
    own = np.lib.stride_tricks.as_strided(places[start:], shape, [8 * s for s in step])
    return host_of(whole)[~np.isin(places, own)].tobytes()


def _check_inplace_gradient(sample: Sample, form: Form, device: str) -> None:
    """Autograd sees through the write."""
    has = dtypes_of(device)
    dtype = _dtypes.float64 if _dtypes.float64 in has else _dtypes.float32
    given = arguments(sample, dtype, device)
    x = given[0]
    if x is None or not x.dtype.is_inexact:
        return
    expected = run(sample, given, device)[0]
    if expected.shape != x.shape or expected.dtype is not x.dtype:
        return
    weights = np.cos(np.arange(x.numel())).reshape(tuple(x.shape)).astype(x.dtype.numpy)
    seed = from_host(weights, Device(device))
    gradients = []
    for write in (False, True):
        leaf = detached(x).requires_grad_(True)
        inputs = [operators["clone"](leaf), *given[1:]]
        if write:
            positional, keywords = _arranged(sample, inputs)
            out = form(*positional, **keywords)
        else:
            out = run(sample, inputs, device)[0]
        gradients.append(grad(out, leaf, seed, allow_unused=True)[0] if out.requires_grad else None)
    functional, inplace = gradients
    if functional is None or inplace is None:
        assert functional is None or not host_of(functional).any()
        return
    assert_same(inplace, functional, "the gradient of the in-place form", tolerance=4.0)


def check_out(sample: Sample, dtype: DType, device: str) -> None:
    """`out=` receives the result, whatever its strides, and grows from nothing.

    An `out=` of a lower category is refused.
    """
    form = out_form(sample)
    assert form is not None
    inputs = arguments(sample, dtype, device)
    positional, keywords = _arranged(sample, inputs)
    expected = run(sample, inputs, device)
    for make in (_empty, _with_gaps):
        targets = tuple(make(e, device) for e in expected)
        given = targets if len(targets) > 1 else targets[0]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            result = form(*positional, **keywords, out=given)
        shown = tuple(result) if isinstance(result, tuple) else (result,)
        assert all(r is t for r, t in zip(shown, targets, strict=True)), "out= is not returned"
        assert_same(shown, expected, "out=", tolerance=1.0)
    if len(expected) == 1 and expected[0].dtype.category > _dtypes.Category.BOOL:
        _check_refused(form, positional, keywords, expected[0], device)


def _empty(like: Tensor, device: str) -> Tensor:
    return from_host(np.zeros((0,), like.dtype.numpy), Device(device))


def _with_gaps(like: Tensor, device: str) -> Tensor:
    return placed(np.ones(tuple(like.shape), like.dtype.numpy), "strided", device)


def _check_refused(form: Form, positional: Any, keywords: Any, like: Tensor, device: str) -> None:
    target = from_host(np.ones(tuple(like.shape), np.bool_), Device(device))
    try:
        form(*positional, **keywords, out=target)
    except RuntimeError:
        assert host_of(target).all(), "a refused out= was written"
        return
    raise AssertionError(f"a result of {like.dtype} went into an out= of bool")
