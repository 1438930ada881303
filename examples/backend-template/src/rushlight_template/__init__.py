"""Rushlight on the device 'template': what the entry point loads when the device is first used."""

from rushlight.backend import Backend, hookimpl

from .device import DTYPES, TemplateDevice
from .kernels import add_kernels

__version__ = "1.0"

# Fails here, at import, if your driver is missing: users of the device are told, nobody else.


def make_backend() -> Backend:
    """The backend: its devices, its limits, its kernels."""
    from rushlight.backend import Manifest

    made = Backend(
        "template",  # the entry point's name, and what users write
        device=TemplateDevice,  # called with the index of a device, when it is first used
        api=(1, 0),  # the protocol this was written for
        count=lambda: 1,  # how many devices there are
        manifest=Manifest(dtypes=DTYPES, host_memory=False, notes="NumPy stands in"),
    )
    add_kernels(made)
    return made


backend = make_backend()


@hookimpl
def rushlight_backend() -> Backend:
    """The hook that Rushlight calls."""
    return backend
