"""The device `cpu_numpy`: the CPU without native kernels, for comparing the two tiers in tests."""

from __future__ import annotations

from rushlight.backend import Backend, hookimpl

from ._native import Tier
from .device import make_backend

backend = make_backend("cpu_numpy", Tier(None, "by choice of the device"))


@hookimpl
def rushlight_backend() -> Backend:
    """The backend, for the plugin manager."""
    return backend
