"""Programs: cases that are not a sample of one operator, written as functions of a device label.

    @program("memory", dtypes=ALL)
    def round_trip(device: str, dtype: DType) -> None:
        '''What is copied to the device and back has the same bits.'''

A program that finds something wrong raises AssertionError; one that does not apply raises Skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from ...._dtypes import DType, float32, int64
from .._case import Case

F = TypeVar("F", bound=Callable[..., None])

PROGRAMS: list[Case] = []


def program(
    stage: str,
    *,
    step: int = 0,
    level: int = 1,
    needs: Iterable[DType] = (float32, int64),
    dtypes: Iterable[DType] | None = None,
    over: dict[str, Any] | None = None,
) -> Callable[[F], F]:
    """Decorator that enters a function into the suite under its own name.

    Args:
        stage, step, level, needs: See `Case`.
        dtypes: Asks once for each of these, which the function gets as its second argument.
        over: Asks once for each of these values, which the function gets as its second argument;
            the keys are part of the names.
    """

    def enter(function: F) -> F:
        name = f"{stage}-{function.__name__}"
        common: dict[str, Any] = {"stage": stage, "step": step, "level": level}
        if dtypes is not None:
            for dtype in dtypes:
                call = partial(_with, function, dtype)
                need = frozenset({dtype, *needs})
                PROGRAMS.append(
                    Case(f"{name}-{dtype.name}", **common, call=call, dtype=dtype, needs=need)
                )
        elif over is not None:
            for key, value in over.items():
                call = partial(_with, function, value)
                PROGRAMS.append(Case(f"{name}-{key}", **common, call=call, needs=frozenset(needs)))
        else:
            PROGRAMS.append(Case(name, **common, call=function, needs=frozenset(needs)))
        return function

    return enter


def _with(function: Callable[..., None], value: Any, device: str) -> None:
    function(device, value)
