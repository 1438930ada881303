"""Backends that nobody wants installed beside theirs, as wheels."""

from pathlib import Path

from wheels import write_wheel

GOOD = """
import numpy
from rushlight.backend import ArrayDevice, Backend, hookimpl
from rushlight.backend.arrays import array_kernels

backend = Backend({device!r}, device=lambda index: ArrayDevice(numpy),
                  kernels=array_kernels(numpy), api={api})

@hookimpl
def rushlight_backend():
    return backend
"""


def good(device: str, api: tuple[int, int] = (1, 0)) -> str:
    """The source of a backend that works."""
    return GOOD.format(device=device, api=api)


# By distribution: the device type it claims, and its module's source.
NEIGHBOURS = {
    "rushlight-raising": ("raising", "raise OSError('driver 12.1 is too old, 12.4 is needed')\n"),
    "rushlight-quitting": ("quitting", "import sys\nsys.exit('no licence found')\n"),
    "rushlight-unreadable": ("unreadable", "def rushlight_backend(:\n"),
    "rushlight-misspelt": (
        "misspelt",
        good("misspelt").replace("def rushlight_backend(", "def rushlight_backened("),
    ),
    "rushlight-future": ("future", good("future", api=(99, 0))),
    "rushlight-deadly": ("deadly", "import os\nos._exit(86)\n"),
    "first-claimant": ("claimed", good("claimed")),
    "second-claimant": ("claimed", good("claimed")),
    "rushlight-slow": ("slow", "import time\ntime.sleep(0.5)\n" + good("slow")),
}


def module_of(distribution: str) -> str:
    """The module of a distribution."""
    return "neighbour_" + distribution.replace("-", "_")


def write_wheels(folder: Path) -> list[Path]:
    """One wheel for each; their paths."""
    return [
        write_wheel(
            folder, name, "0.3", {f"{module_of(name)}.py": source}, {device: module_of(name)}
        )
        for name, (device, source) in NEIGHBOURS.items()
    ]
