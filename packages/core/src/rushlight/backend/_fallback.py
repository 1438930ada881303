"""The choice to let the host compute what a device has no kernel for, and the ledger of it.

By default nothing is computed elsewhere than where the tensors lie: an operator without kernel and
without decomposition raises.  Here stand the policy that allows it and the account of what it
cost; `_detour` does the work.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

from .._errors import error
from ._tables import bytes_text, table

Policy = Literal["error", "warn", "allow"]
POLICIES = ("error", "warn", "allow")
_policy: ContextVar[str] = ContextVar("rushlight_fallback", default="error")
#: Ever new shapes would fill the memory with rows; beyond this many, shapes are left out.
MAX_ROWS = 4096


class fallback:
    """What happens where a device has no kernel for an operator, and it has no decomposition.

    Called as a function it holds from then on, in a `with` statement for the block; either way in
    this thread (other threads raise, as at the beginning).  With "warn" and "allow" the operands
    are copied to the host, the host's backend computes the operator, and the results are copied
    back.  That is slow, and each call is entered in `ledger()`.  In-place writes never go this way.

    Args:
        policy: "error" raises `NotImplementedError`; "warn" computes on the host and warns once
            for each operator and line of the program; "allow" does so silently.
    Raises:
        ValueError: Another policy.
    Example:
        >>> with rushlight.backend.fallback("allow"):
        ...     rushlight.backend.fallback_policy()
        'allow'
        >>> rushlight.backend.fallback_policy()
        'error'
    """

    def __init__(self, policy: Policy) -> None:
        if policy not in POLICIES:
            raise error(
                ValueError,
                "fallback",
                "there is no such policy",
                given=repr(policy),
                expected='"error", "warn" or "allow"',
            )
        self.policy = policy
        self._before = _policy.get()
        _policy.set(policy)

    def __enter__(self) -> fallback:
        _policy.set(self.policy)
        return self

    def __exit__(self, *raised: object) -> None:
        _policy.set(self._before)

    def __repr__(self) -> str:
        return f"fallback({self.policy!r})"


def fallback_policy() -> str:
    """The policy that holds now: "error", "warn" or "allow".

    Example:
        >>> rushlight.backend.fallback_policy()
        'error'
    """
    return _policy.get()


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Calls of one operator that the host computed for a device.

    Attributes:
        operator: Its name.
        shapes: Shapes of the operands; None for an absent one.
        dtypes: Names of their dtypes.
        device: The device that has no kernel for it.
        module: Path of the module that called it, such as "Net.encoder.norm"; "" if there is none.
        count: How many calls.
        nbytes: Bytes moved by all of them, to the host and back.
    """

    operator: str
    shapes: tuple[tuple[int, ...] | None, ...]
    dtypes: tuple[str, ...]
    device: str
    module: str
    count: int = 1
    nbytes: int = 0

    @property
    def operands(self) -> str:
        """Dtypes and shapes in one text."""
        if not self.shapes:
            return ", ".join(self.dtypes) + " of several shapes" if self.dtypes else "-"
        pairs = zip(self.dtypes, self.shapes, strict=True)
        return ", ".join("None" if s is None else f"{d} {s}" for d, s in pairs)


class Ledger:
    """What the host computed in place of devices; `len`, iteration and `print` show the rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[LedgerRow, LedgerRow] = {}
        self._warned: set[tuple[str, str, int]] = set()

    def enter(self, row: LedgerRow) -> None:
        """Adds calls to the row of the same operator, operands, device and module."""
        key = replace(row, count=0, nbytes=0)
        with self._lock:
            if key not in self._rows and len(self._rows) >= MAX_ROWS:
                key = replace(key, shapes=())
            known = self._rows.get(key)
            if known is not None:
                row = replace(row, count=known.count + row.count, nbytes=known.nbytes + row.nbytes)
            self._rows[key] = replace(row, shapes=key.shapes)

    def clear(self) -> None:
        """Forgets all rows, and which warnings were given."""
        with self._lock:
            self._rows.clear()
            self._warned.clear()

    def rows(self) -> list[LedgerRow]:
        """The rows, those with the most bytes first."""
        with self._lock:
            found = list(self._rows.values())
        return sorted(found, key=lambda row: (-row.nbytes, -row.count, row.operator))

    @property
    def count(self) -> int:
        """How many calls the host computed."""
        return sum(row.count for row in self.rows())

    @property
    def nbytes(self) -> int:
        """How many bytes were moved for them."""
        return sum(row.nbytes for row in self.rows())

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LedgerRow]:
        return iter(self.rows())

    def __str__(self) -> str:
        rows = self.rows()
        if not rows:
            return "the host computed nothing in place of a device"
        cells = [
            (r.operator, r.operands, r.device, r.module or "-", r.count, bytes_text(r.nbytes))
            for r in rows
        ]
        cells.append(("total", "", "", "", self.count, bytes_text(self.nbytes)))
        header = ("operator", "operands", "device", "module", "calls", "moved")
        return table(header, cells, right="calls,moved")

    # -- warnings ------------------------------------------------------------------------

    def warn(self, operator: str, device: str) -> None:
        """Warns of a call, once for each operator and line outside this library."""
        level, place = _calling_line()
        key = (operator, *place)
        with self._lock:
            if key in self._warned:
                return
        warnings.warn(
            f"{operator}: device '{device}' has no kernel, so the host computes it, with copies "
            "there and back; rushlight.backend.ledger() keeps the account",
            UserWarning,
            stacklevel=level,
        )
        # Only now: where warnings are errors, the next call is to raise again.
        with self._lock:
            self._warned.add(key)


def _calling_line() -> tuple[int, tuple[str, int]]:
    """The innermost line outside this library, and its stack level seen from the caller."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package != "rushlight" and not package.startswith("rushlight_"):
            break
        level, frame = level + 1, frame.f_back
    return level, (frame.f_code.co_filename, frame.f_lineno)


_ledger = Ledger()


def ledger() -> Ledger:
    """The account of what the host computed in place of devices, see `fallback`.

    Example:
        >>> rushlight.backend.ledger().clear()
        >>> print(rushlight.backend.ledger())
        the host computed nothing in place of a device
    """
    return _ledger
