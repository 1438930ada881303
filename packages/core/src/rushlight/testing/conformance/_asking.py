"""Asking one case of one device, in this process."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from ..._device import device as Device
from ..._errors import Explained
from ...backend import Backend, backend_for
from ...backend._registry import dtypes_of
from ..suite import Call
from ._case import Case, Missing, Result, Skip


def backend_of(label: str) -> Backend:
    """The backend of a device label such as "cpu" or "sim:1"."""
    return backend_for(Device(label).type)


def ask(case: Case, device: str) -> Result:
    """Asks a case of a device; says what came of it and raises nothing but KeyboardInterrupt.

    Args:
        case: The case.
        device: A device label.
    """
    begun = time.perf_counter()
    try:
        outcome, reason, details = _asked(case, device)
    except KeyboardInterrupt:
        raise
    except Skip as raised:
        outcome, reason, details = "skipped", str(raised), ""
    except Missing as raised:
        outcome, reason, details = "missing", str(raised), ""
    except NotImplementedError as raised:
        outcome, reason = _absence(case, device, raised)
        details = "" if outcome == "blocked" else _traced(raised)
    except BaseException as raised:
        # SystemExit too: no kernel ends the run.
        outcome, reason, details = "failed", told(raised), _traced(raised)
    return Result(case, outcome, reason, details, time.perf_counter() - begun)


def _asked(case: Case, device: str) -> tuple[str, str, str]:
    if case.needs:
        has = dtypes_of(device)
        lacking = case.needs - has
        if lacking:
            narrowed = case.call.narrowed() if isinstance(case.call, Call) else None
            if narrowed is not None and narrowed.needs <= has:
                narrowed(device)
                return "passed", "", ""
            names = ", ".join(sorted(dtype.name for dtype in lacking))
            raise Skip(f"the device has no {names}")
    case.call(device)
    return "passed", "", ""


def _absence(case: Case, device: str, raised: NotImplementedError) -> tuple[str, str]:
    """What a NotImplementedError means: a kernel that is not there at all is told once."""
    if isinstance(raised, Explained) and "has no kernel" in raised.summary:
        if raised.who not in kernels_of(device):
            return "blocked", f"needs a kernel of {raised.who}"
        return "missing", told(raised)
    return "failed", told(raised)


def kernels_of(device: str) -> frozenset[str]:
    """Names of the operators that the device has a kernel of, for any dtype."""
    return frozenset(backend_of(device).kernel_names())


def told(raised: BaseException) -> str:
    """What an exception says; where a bare assertion stood, and where in a kernel it began."""
    first, _, rest = str(raised).strip().partition("\n")
    where = traceback.extract_tb(raised.__traceback__)
    if not first and isinstance(raised, AssertionError) and where:
        first = str(where[-1].line)
    cause = raised
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if cause is not raised and (where := traceback.extract_tb(cause.__traceback__)):
        place = f"{Path(where[-1].filename).name}:{where[-1].lineno}"
        first += f"  [{type(cause).__name__} at {place}]"
    text = f"{first}\n{rest}" if rest else first
    return f"{type(raised).__name__}: {text}" if text else type(raised).__name__


def _traced(raised: BaseException) -> str:
    return "".join(traceback.format_exception(raised))
