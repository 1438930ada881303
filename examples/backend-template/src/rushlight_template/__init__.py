"""Rushlight on the device 'template': the module that is loaded when the device is first used.

Import your driver here or below. If it is missing, users of the device are told; others never are.
"""

from rushlight.backend import Backend, Manifest, hookimpl

from .device import DTYPES, TemplateDevice
from .kernels import KERNELS

__version__ = "1.0"

backend = Backend(
    "template",  # the entry point's name, and what users write
    device=TemplateDevice,  # called with a device's index when that device is first used
    api=(1, 2),  # the protocol this was written for
    count=lambda: 1,  # how many devices there are
    manifest=Manifest(dtypes=DTYPES, host_memory=False, notes="NumPy stands in"),
    kernels=KERNELS,
)


@hookimpl
def rushlight_backend() -> Backend:
    """The hook that Rushlight calls."""
    return backend
