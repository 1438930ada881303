"""Copies between tensors of one device, and integers divided by zero."""

from __future__ import annotations

import rushlight as rl

from ._table import program
from .errors import refused


@program("memory", needs=(rl.float32, rl.bool))
def a_copy_to_bool_asks_whether_it_is_zero(device: str) -> None:
    """Whatever is not zero is true, fractions and NaN included."""
    x = rl.zeros(5, dtype=rl.bool, device=device)
    x.copy_(rl.tensor([0.5, 0.0, -0.25, float("nan"), -0.0], device=device))
    assert x.tolist() == [True, False, True, True, False]


@program("memory", needs=(rl.float32,))
def a_copy_within_overlapping_memory(device: str) -> None:
    """The source is read before it is written."""
    x = rl.tensor([0.0, 1.0, 2.0, 3.0, 4.0], device=device)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2, 3]


@program("memory", needs=(rl.float32,))
def a_copy_writes_its_target_only(device: str) -> None:
    """What lies before and behind the target stays as it was."""
    x = rl.zeros(8, device=device)
    x[1:4].copy_(rl.tensor([1.0, 2.0, 3.0], device=device))
    assert x.tolist() == [0, 1, 2, 3, 0, 0, 0, 0]


@program("errors", level=2)
def integers_divided_by_zero(device: str) -> None:
    """A RuntimeError, as in PyTorch."""
    x, zero = rl.tensor([1, 2], device=device), rl.tensor([1, 0], device=device)
    refused(device, lambda: x // zero, RuntimeError)
    refused(device, lambda: x % zero, RuntimeError)
