"""The device of each type that a label without index means, in each thread.

As in torch a thread starts with device 0, and what it sets holds for it alone.
"""

from __future__ import annotations

import threading
from typing import Any

#: Device types of which some thread has chosen another device than 0.  What a label without index
#: means may be remembered for all others.
moved: set[str] = set()


class _Chosen(threading.local):
    """What one thread has chosen.

    Attributes:
        indices: Index of the current device, by device type.
        streams: Current stream, by (device type, index); None and absent mean the default one.
        blocks: What `use_stream` gave for the current stream, by the same key.
        before: Devices and streams to go back to, of blocks that are entered.
    """

    def __init__(self) -> None:
        self.indices: dict[str, int] = {}
        self.streams: dict[tuple[str, int], Any] = {}
        self.blocks: dict[tuple[str, int], Any] = {}
        self.before: list[Any] = []


chosen = _Chosen()


def current_index(kind: str) -> int:
    """The index that a label of a device type without index stands for."""
    return chosen.indices.get(kind, 0)
