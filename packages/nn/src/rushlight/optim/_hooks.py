"""Hook tables of optimisers, and the handle that takes a hook out again."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

Hook = Callable[..., Any]


class HookTable(OrderedDict[int, Hook]):
    """Hooks by number, in the order in which they run; an OrderedDict that takes weak references."""


class RemovableHandle:
    """Removes the hook it was returned for: by `remove()`, or at the end of a `with` block."""

    _numbers = itertools.count()

    def __init__(self, table: HookTable) -> None:
        self.id = next(RemovableHandle._numbers)
        self._table = weakref.ref(table)

    def remove(self) -> None:
        """Takes the hook out of its table; a second call does nothing."""
        table = self._table()
        if table is not None:
            table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def register(table: HookTable, hook: Hook, *, prepend: bool = False) -> RemovableHandle:
    """Adds `hook` to `table`, in front if `prepend`, and returns its handle."""
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
