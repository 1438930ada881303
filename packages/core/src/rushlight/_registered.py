"""All operators by name, for layers that reach operators without knowing their families."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._operator import Operator

operators: dict[str, Operator] = {}
