"""A case: one thing that is asked of a device, and what came of asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..._dtypes import DType

#: The parts of the suite, in the order in which they are asked.
STAGES = (
    "names", "memory", "primitives", "composites", "autograd", "errors", "training",
    "reproducibility", "devices",
)  # fmt: skip


class Skip(Exception):
    """Raised by a case that does not apply to a device; the text says why."""


class Missing(Exception):
    """Raised by a case that asks whether a kernel is there, if it is not."""


@dataclass(frozen=True)
class Case:
    """One thing that is asked of a device.

    Attributes:
        id: Its name, which is unique and stays the same from run to run.
        stage: One of `STAGES`.
        step: Place within the stage: a step is asked when those before it went well.
        level: The lowest level that asks it: 1 takes a minute, 3 is everything.
        call: Asks; raises if the answer is wrong.
        operator: The operator that answers, if it is one.
        dtype, layout, number: Of the sample, if it is one.
        needs: Dtypes that the device must have.
    """

    id: str
    stage: str
    step: int
    level: int
    call: Callable[[str], None] = field(compare=False)
    operator: str | None = None
    dtype: DType | None = None
    layout: str = ""
    number: int | None = None
    needs: frozenset[DType] = frozenset()


#: What can come of a case.
#:   passed, failed     as in any test
#:   crashed, hung      it took its process with it, or did not end
#:   missing            the device has no kernel for it, and nothing to compose it of
#:   blocked            it needs a kernel whose absence is told once, by the case `kernel-NAME`
#:   skipped            it does not apply: a dtype the manifest leaves out, an optional operator
#:   expected           it failed, as the backend's xfails.txt says
#:   unexpected         it passed, and xfails.txt says that it does not
#:   not run            a stage before it is broken, or the run ended
OUTCOMES = (
    "passed", "failed", "crashed", "hung", "missing", "blocked", "skipped", "expected",
    "unexpected", "not run",
)  # fmt: skip
#: After one of these the later stages would say nothing new.
BREAKING = frozenset({"failed", "crashed", "hung"})
#: What the backend's author has to mend.
BAD = BREAKING | {"missing", "unexpected"}


@dataclass
class Result:
    """What came of a case.

    Attributes:
        case: The case.
        outcome: One of `OUTCOMES`.
        reason: Why, in a line or two; empty if it passed.
        details: The traceback, if there is one.
        seconds: How long it took.
    """

    case: Case
    outcome: str
    reason: str = ""
    details: str = ""
    seconds: float = 0.0
