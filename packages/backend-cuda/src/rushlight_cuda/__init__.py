"""Rushlight's CUDA backend on CuPy: `device="cuda"`."""

from __future__ import annotations

from rushlight.backend import Backend, hookimpl

from .device import make_backend
from .driver import opened

__version__ = "0.1.0"


@hookimpl
def rushlight_backend() -> Backend:
    """The backend, for the plugin manager; raises where there is no card to work on."""
    return make_backend(*opened())
