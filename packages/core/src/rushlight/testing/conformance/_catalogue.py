"""The list of all cases, in order: the generic suite's calls and the programs of each stage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ..._dtypes import DType
from ..._registered import operators
from .. import suite
from ._case import STAGES, Case
from .programs import programs

#: What moves, makes and renames data: all other cases are made with it.
FOUNDATION = frozenset(
    """arange as_strided cast clone copy_ detach diagonal expand full permute select slice squeeze
    to_kind unfold unsqueeze view view_as_complex view_as_real view_dtype real imag""".split()
)
_AUTOGRAD = ("gradient", "gradient_dtype", "second_gradient", "jvp", "vmap", "capture")
#: Level 1 takes so many samples of each primitive.
_FIRST = 2


def is_primitive(name: str) -> bool:
    """Whether a backend owes a kernel, or the core a view."""
    return operators[name].decomposition_rule is None


@cache
def catalogue() -> tuple[Case, ...]:
    """All cases in the order in which they are asked."""
    found = [*programs(), *_operator_cases()]
    return tuple(sorted(found, key=lambda case: (STAGES.index(case.stage), case.step)))


def _operator_cases() -> Iterator[Case]:
    for check in suite.CHECKS:
        for call in suite.calls(check):
            yield _case_of(check, call)


def _case_of(check: str, call: suite.Call) -> Case:
    name = call.sample.group.name
    dtype = next(a for a in call.arguments if isinstance(a, DType))
    layout = next((a for a in call.arguments if isinstance(a, str)), "contiguous")
    stage, step = _place(check, name)
    return Case(
        id=f"{check}-{call}",
        stage=stage,
        step=step,
        level=_level(stage, call, dtype, layout),
        call=call,
        operator=name,
        dtype=dtype,
        layout=layout,
        number=call.sample.number,
        needs=call.needs,
    )


def _place(check: str, name: str) -> tuple[str, int]:
    if check in _AUTOGRAD:
        return "autograd", _AUTOGRAD.index(check)
    if check in ("inplace", "out"):
        return "composites", 1
    if is_primitive(name):
        return "primitives", 0 if name in FOUNDATION else 1
    return "composites", 0


def _level(stage: str, call: suite.Call, dtype: DType, layout: str) -> int:
    sample = call.sample
    if layout != "contiguous" or dtype is not sample.group.dtypes[0]:
        return 3
    return 1 if stage == "primitives" and sample.number < _FIRST else 2
