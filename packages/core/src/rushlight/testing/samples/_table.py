"""The table of samples: operators, their references, and the calls that are tested."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import _dtypes
from ..._dtypes import Category, DType
from ..._operator import Operator
from ..._registered import operators
from ._inputs import Input, real, special, special_pairs

HostArray = np.ndarray[Any, Any]
Reference = Callable[..., Any]

FLOATING = (_dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16)
FULL = (_dtypes.float32, _dtypes.float64)
INTEGER = (_dtypes.int64, _dtypes.int32, _dtypes.int16, _dtypes.int8, _dtypes.uint8)
BOOL = (_dtypes.bool_,)
COMPLEX = (_dtypes.complex64, _dtypes.complex128)
# One of each kind, where the kinds differ and the widths do not.
SOME_INTEGER = (_dtypes.int64, _dtypes.uint8)
REAL = (*FLOATING, *SOME_INTEGER)
INEXACT = (*FLOATING, *COMPLEX)
NUMERIC = (*REAL, *COMPLEX)
EVERY = (*NUMERIC, *BOOL)
WHOLE = (*INTEGER, *BOOL)
#: More elements than a block, and no multiple of any vector's, warp's or block's width: where a
#: kernel handles the last ones wrongly, small samples do not notice.
MANY = 1031


@dataclass(frozen=True)
class Case:
    """One call: inputs by position, attributes by keyword.

    Attributes:
        inputs, attributes: Of the call.
        dtypes: Only for these of the group's dtypes; None for all.
        smooth: Whether derivatives are checked here.
    """

    inputs: tuple[Input | None, ...]
    attributes: dict[str, Any]
    dtypes: tuple[DType, ...] | None = None
    smooth: bool = True


@dataclass(frozen=True)
class Group:
    """The samples of one operator.

    Attributes:
        name: The operator.
        reference: Takes NumPy arrays in higher precision and the attributes, and returns what the
            operator should; None in place of a result that it says nothing about.
        cases: The calls.
        dtypes: The dtypes to test; other layouts than contiguous are tested in the first.
        result: dtype of the result, or of each of several: "same" as the sample's, "real" (its
            parts), "complex", "wide" (at least float32), "float" (integers become float32), "dtype"
            (the attribute), or a dtype.
        tolerance: Allowed error, in units of the dtype's epsilon, relative to the element for
            elementwise operators and to the largest element for others.
        twice: Whether second derivatives are checked.
        complex_gradient: Whether derivatives are checked for complex inputs too.
        meta: Whether shapes can be told without data.
        replays: Whether a captured call may be run with other data.
        batches: The batch dimensions that `vmap` is tried with; none where it does not apply.
        layouts: Whether other layouts are tested.
        arrange: Inputs and attributes -> arguments of the public function, where that takes them
            in another order.
        forms: Whether the in-place form and `out=` are tested.
        signed_zeros: Whether zeros of either sign are told apart.
    """

    name: str
    reference: Reference | None
    cases: tuple[Case, ...]
    dtypes: tuple[DType, ...] = FLOATING
    result: Any = "same"
    tolerance: float = 4.0
    smooth: bool = True
    twice: bool = True
    complex_gradient: bool = True
    meta: bool = True
    replays: bool = True
    batches: tuple[int, ...] = (0, 1)
    layouts: bool = True
    arrange: Callable[..., tuple[Any, ...]] | None = None
    forms: bool = True
    signed_zeros: bool = False

    @property
    def operator(self: Any) -> Operator:
        """The operator."""
        return operators[self.name]

    def samples(self: Any) -> list[Sample]:
        """The cases with their numbers."""
        return [Sample(self, case, number) for number, case in enumerate(self.cases)]


@dataclass(frozen=True)
class Sample:
    """A case of a group, by its number."""

    group: Group
    case: Case
    number: int
    _cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def dtypes(self: Any) -> tuple[DType, ...]:
        """The dtypes to test."""
        wanted = self.case.dtypes
        return tuple(d for d in self.group.dtypes if wanted is None or d in wanted)

    def hosts(self: Any, dtype: DType, seed: int = 0) -> list[HostArray | None]:
        """The inputs as host arrays."""
        stem = zlib.crc32(self.group.name.encode())
        return [
            None if x is None else x.values(dtype, (stem, self.number, place, seed))
            for place, x in enumerate(self.case.inputs)
        ]

    def result_dtypes(self: Any, dtype: DType, count: int) -> list[DType]:
        """What dtypes the results should have."""
        stated = self.group.result
        rules = stated if isinstance(stated, tuple) else (stated,) * count
        return [self._result_dtype(rule, dtype) for rule in rules]

    def _result_dtype(self: Any, rule: Any, dtype: DType) -> DType:
        if isinstance(rule, DType):
            return rule
        if rule == "real":
            return dtype.to_real()
        if rule == "wide":
            return _dtypes.float32 if dtype.is_reduced else dtype
        if rule == "complex":
            return dtype.to_complex()
        if rule == "float" and dtype.category < Category.FLOATING:
            return _dtypes.float32
        if rule == "dtype":
            return self.case.attributes["dtype"]  # type: ignore[no-any-return]
        return dtype


def case(
    *inputs: Input | None,
    dtypes: tuple[DType, ...] | None = None,
    smooth: bool = True,
    **attributes: Any,
) -> Case:
    """A call of the operator; see `Case`."""
    return Case(inputs, attributes, dtypes, smooth)


def samples(name: str, reference: Reference | None, *cases: Case | Input, **options: Any) -> Group:
    """The samples of an operator; an input alone is a call without attributes. See `Group`."""
    full = tuple(Case((each,), {}) if isinstance(each, Input) else each for each in cases)
    return Group(name, reference, full, **options)


def _first(options: dict[str, Any]) -> tuple[DType, ...]:
    """The first of a table's dtypes, which stands for all where the width matters, not the kind."""
    dtypes: tuple[DType, ...] = options.get("dtypes", FLOATING)
    return dtypes[:1]


def unary(
    name: str,
    reference: Reference,
    domain: Callable[..., Input] = real,
    *,
    extremes: bool = True,
    many: Callable[..., Input] | None = None,
    **options: Any,
) -> Group:
    """The samples of an elementwise function of one tensor over a domain.

    `many` is the domain of the large sample, where the function crosses zero in the other one.
    """
    cases = [case(domain(2, 3)), case(domain()), case(domain(2, 0))]
    if extremes:
        cases.append(case(special(), dtypes=FLOATING, smooth=False))
    cases.append(case((many or domain)(MANY), dtypes=_first(options), smooth=False))
    return Group(name, reference, tuple(cases), **options)


def binary(
    name: str,
    reference: Reference,
    x: Callable[..., Input] = real,
    y: Callable[..., Input] = real,
    *,
    extremes: bool = True,
    many: Callable[..., Input] | None = None,
    **options: Any,
) -> Group:
    """The samples of an elementwise function of two tensors, each over a domain; see `unary`."""
    cases = [
        case(x(2, 3), y(2, 3)),
        case(x(3, 1), y(2)),
        case(x(), y(2)),
        case(x(0, 2), y(1, 2)),
    ]
    if extremes:
        pairs = (special_pairs(0), special_pairs(1))
        cases.append(case(*pairs, dtypes=FLOATING, smooth=False))
    cases.append(case((many or x)(MANY), (many or y)(MANY), dtypes=_first(options), smooth=False))
    cases.append(case(x(2, 3), y(), dtypes=_first(options), smooth=False))
    return Group(name, reference, tuple(cases), **options)
