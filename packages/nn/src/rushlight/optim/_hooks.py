"""Hook tables of optimisers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rushlight.utils.hooks import RemovableHandle as RemovableHandle

Hook = Callable[..., Any]
# Hooks by number, in the order in which they run.
HookTable = OrderedDict[int, Hook]


def register(table: HookTable, hook: Hook, *, prepend: bool = False) -> RemovableHandle:
    """Adds `hook` to `table`, in front if `prepend`, and returns its handle."""
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
