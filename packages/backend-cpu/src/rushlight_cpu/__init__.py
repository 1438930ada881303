"""Rushlight's CPU backend on NumPy: `device="cpu"`."""

from __future__ import annotations

from rushlight.backend import Backend, hookimpl

from .device import make_backend

__version__ = "0.1.0"

backend = make_backend()


@hookimpl
def rushlight_backend() -> Backend:
    """The backend, for the plugin manager."""
    return backend
