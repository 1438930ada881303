"""A backend some of whose kernels crash, hang, exit, print, or are wrong; the rest is NumPy's."""

import os
import sys
import time
from typing import Any

import numpy as np

from rushlight.backend import ArrayDevice, Backend, register
from rushlight.backend.arrays import array_kernels

kernels = dict(array_kernels(np))
backend = Backend("hostile", device=lambda index: Separate(np), kernels=kernels)


class Separate(ArrayDevice):
    """Memory that the host does not see."""

    def to_host(self, native: Any) -> Any:
        return np.array(native)


@backend.kernel("sinh")
def crashes(x: Any) -> Any:
    os.abort()


@backend.kernel("cosh")
def hangs(x: Any) -> Any:
    time.sleep(3600)


@backend.kernel("tan")
def exits(x: Any) -> Any:
    os._exit(3)


@backend.kernel("asinh")
def raises_what_ends_programs(x: Any) -> Any:
    sys.exit(4)


@backend.kernel("acosh")
def talks(x: Any) -> Any:
    print('{"outcome": "passed"}', flush=True)
    return np.arccosh(x)


@backend.kernel("atanh")
def is_wrong(x: Any) -> Any:
    return np.arctanh(x) * 1.01


del backend._kernels["lgamma"]
register(backend)
