"""Which check applies to which sample: the generic suite of operators, as a list of calls.

Tests run `call(device="cpu")` for each call of `calls("value")`, and so on for the other checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .. import _dtypes
from .._dtypes import DType
from .._registered import operators
from . import checks, forms
from .samples import Sample, groups

_NARROWER = {_dtypes.float64: _dtypes.float32, _dtypes.complex128: _dtypes.complex64}
#: Checks that are made in double precision, and what they are where a device has none.
_NARROWED: dict[Callable[..., None], Callable[..., None]] = {
    checks.check_gradient: checks.check_gradient_by_host,
    checks.check_jvp: checks.check_jvp,
    checks.check_vmap: checks.check_vmap,
}


@dataclass(frozen=True)
class Call:
    """A check of one sample; its text is the test's name, such as softmax-float32-transposed-2."""

    check: Callable[..., None]
    sample: Sample
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()

    def __call__(self, device: str) -> None:
        """Runs the check on a device."""
        self.check(self.sample, *self.arguments, device, **dict(self.keywords))

    @property
    def needs(self) -> frozenset[DType]:
        """The dtypes of the call: of the sample, its other inputs, attributes and results."""
        dtype = next(a for a in self.arguments if isinstance(a, DType))
        case = self.sample.case
        found = {dtype, *self.sample.result_dtypes(dtype, 1)}
        found.update(x.dtype for x in case.inputs if x is not None and x.dtype is not None)
        found.update(value for value in case.attributes.values() if isinstance(value, DType))
        return frozenset(found)

    def narrowed(self) -> Call | None:
        """The call in single precision, for a device without double; None where another call of
        the suite is that already."""
        check = _NARROWED.get(self.check)
        if check is None:
            return None
        narrow = tuple(_NARROWER.get(a, a) if isinstance(a, DType) else a for a in self.arguments)
        return replace(self, check=check, arguments=narrow)

    def __str__(self) -> str:
        words = [a.name if isinstance(a, DType) else str(a) for a in self.arguments]
        return "-".join([self.sample.group.name, *words, str(self.sample.number)])


def _samples() -> Iterator[Sample]:
    for group in groups().values():
        if group.name in operators:
            yield from group.samples()


def _first(sample: Sample) -> DType | None:
    return sample.dtypes[0] if sample.dtypes else None


def _values() -> Iterator[Call]:
    for sample in _samples():
        for dtype in sample.dtypes:
            yield Call(checks.check_value, sample, (dtype, "contiguous"))
        first = _first(sample)
        if first is None or not sample.group.layouts or first is not sample.group.dtypes[0]:
            continue
        if any(x is not None and x.shape for x in sample.case.inputs):
            for layout in checks.LAYOUTS[1:]:
                if layout == "overlapping" and not _overlaps(sample):
                    continue
                yield Call(checks.check_value, sample, (first, layout))


def _overlaps(sample: Sample) -> bool:
    """Whether some input has rows that may share memory."""
    inputs = (x for x in sample.case.inputs if x is not None)
    return any(x.loose and len(x.shape) > 1 for x in inputs)


def _meta() -> Iterator[Call]:
    for sample in _samples():
        # One dtype of each category: results of meta functions differ by those alone.
        kinds = {d.category: d for d in reversed(sample.dtypes)}
        for dtype in kinds.values() if sample.group.meta else ():
            yield Call(checks.check_meta, sample, (dtype,))


def _decompositions() -> Iterator[Call]:
    for sample in _samples():
        if sample.group.operator.decomposition_rule is not None:
            for dtype in sample.dtypes:
                if not dtype.is_reduced:
                    yield Call(checks.check_decomposition, sample, (dtype,))


def _views() -> Iterator[Call]:
    for sample in _samples():
        if sample.group.operator.view_rule is not None:
            for layout in checks.LAYOUTS if sample.group.layouts else checks.LAYOUTS[:1]:
                yield Call(checks.check_view, sample, (sample.dtypes[0], layout))


def _differentiable() -> Iterator[tuple[Sample, DType]]:
    for sample in _samples():
        if not checks.is_smooth(sample):
            continue
        for dtype in (_dtypes.float64, _dtypes.complex128):
            if dtype.is_complex and not sample.group.complex_gradient:
                continue
            if dtype in sample.dtypes:
                yield sample, dtype


def _gradients() -> Iterator[Call]:
    for sample, dtype in _differentiable():
        yield Call(checks.check_gradient, sample, (dtype,))


def _second_gradients() -> Iterator[Call]:
    for sample, dtype in _differentiable():
        if sample.group.twice:
            yield Call(checks.check_gradient, sample, (dtype,), (("second", True),))


def _gradient_dtypes() -> Iterator[Call]:
    for sample in _samples():
        for dtype in (_dtypes.float32, _dtypes.bfloat16, _dtypes.complex64):
            if checks.is_smooth(sample) and dtype in sample.dtypes:
                if sample.group.complex_gradient or not dtype.is_complex:
                    yield Call(checks.check_gradient_dtype, sample, (dtype,))


def _jvps() -> Iterator[Call]:
    for sample, dtype in _differentiable():
        yield Call(checks.check_jvp, sample, (dtype,))


def _batches() -> Iterator[Call]:
    for sample in _samples():
        if sample.dtypes and sample.case.inputs and sample.group.batches:
            dtype = _dtypes.float64 if _dtypes.float64 in sample.dtypes else sample.dtypes[0]
            yield Call(checks.check_vmap, sample, (dtype,))


def _captures() -> Iterator[Call]:
    for sample in _samples():
        if sample.dtypes:
            yield Call(checks.check_capture, sample, (sample.dtypes[0],))


def _inplace() -> Iterator[Call]:
    for sample in _samples():
        for dtype in sample.dtypes[:1] if sample.group.forms else ():
            if forms.inplace_form(sample) is not None:
                yield Call(forms.check_inplace, sample, (dtype,))


def _out() -> Iterator[Call]:
    for sample in _samples():
        for dtype in sample.dtypes[:1] if sample.group.forms else ():
            if forms.out_form(sample) is not None:
                yield Call(forms.check_out, sample, (dtype,))


_PLANS: dict[str, Callable[[], Iterator[Call]]] = {
    "value": _values,
    "meta": _meta,
    "decomposition": _decompositions,
    "view": _views,
    "gradient": _gradients,
    "gradient_dtype": _gradient_dtypes,
    "second_gradient": _second_gradients,
    "jvp": _jvps,
    "vmap": _batches,
    "capture": _captures,
    "inplace": _inplace,
    "out": _out,
}

#: Names of the checks, in the order in which a new backend meets them.
CHECKS = tuple(_PLANS)


def calls(check: str) -> list[Call]:
    """The calls of one check.

    Args:
        check: One of `CHECKS`.
    """
    return list(_PLANS[check]())
