"""Tables of hooks, and the handle that takes a hook out again."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import Any


class RemovableHandle:
    """What registering a hook returns: `remove()` undoes the registration.

    Also a context manager that removes the hook at the end of the block.

    Args:
        hooks_dict: The table the hook was put into, under `id`.
        extra_dict: One table, or several, that may hold a note under the same `id`.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id: int = next(RemovableHandle._ids)
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        extra = () if extra_dict is None else extra_dict
        extra = extra if isinstance(extra, (list, tuple)) else (extra,)
        self.extra_dict_ref = tuple(weakref.ref(table) for table in extra)

    def remove(self) -> None:
        """Takes the hook out; a second call does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        hooks, self.id, extra = state
        # A table that was dropped before pickling comes back as an empty one nobody else holds.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(table) for table in extra if table is not None)


def add_hook(
    table: OrderedDict[int, Any],
    hook: Any,
    *notes: OrderedDict[int, Any],
    prepend: bool = False,
) -> RemovableHandle:
    """Puts a hook into a table, in front if `prepend`, and a note of it into other tables."""
    handle = RemovableHandle(table, extra_dict=notes)
    table[handle.id] = hook
    for note in notes:
        note[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
