"""Sizes that may be given as one number or as one per dimension."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def ntuple(value: Any, n: int) -> tuple[Any, ...]:
    """`value` as a tuple: its items if it has some, else `n` times itself.

    Example:
        >>> ntuple(3, 2)
        (3, 3)
    """
    return tuple(value) if isinstance(value, Iterable) else (value,) * n
