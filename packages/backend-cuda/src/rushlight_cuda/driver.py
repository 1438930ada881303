"""What has to be there before `device="cuda"` works: CuPy, a driver, a card.

CuPy is imported here and nowhere else, when the device is first asked for. What is missing is
told with its cure.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import Any

from rushlight._errors import error

OLDEST, NEWEST = (14, 2), (15, 0)
_WHO = "rushlight-cuda"
_INSTALL = 'pip install "rushlight-cuda[cuda13]", or [cuda12] if the driver is for CUDA 12'

# What CUDA's runtime answers where it can't count the devices.
_INSUFFICIENT_DRIVER = 35
_NO_DEVICE = 100


def opened() -> tuple[Any, Any]:
    """The modules `cupy` and `cupyx`, on a machine where they can compute.

    Raises:
        RuntimeError: CuPy, the driver or the card is missing.
    """
    cupy = _imported()
    _check_version(str(cupy.__version__))
    _check_devices(cupy)
    return cupy, import_module("cupyx")


def _imported() -> Any:
    try:
        return import_module("cupy")
    except ModuleNotFoundError as missing:
        if missing.name != "cupy":
            raise _not_importable(missing) from missing
        raise error(
            RuntimeError,
            _WHO,
            "CuPy is not installed",
            expected=f"CuPy from {_dotted(OLDEST)} to below {_dotted(NEWEST)}",
            fix=_INSTALL,
        ) from None
    except Exception as raised:  # CuPy's own checks raise what they like
        raise _not_importable(raised) from raised


def _not_importable(raised: Exception) -> Exception:
    first, _, _ = str(raised).strip().partition("\n")
    return error(
        RuntimeError,
        _WHO,
        "CuPy can't be imported",
        given=f"{type(raised).__name__}: {first}",
        fix="python -c 'import cupy' shows the whole failure; then " + _INSTALL,
    )


def _check_version(version: str) -> None:
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not OLDEST <= found < NEWEST:
        raise error(
            RuntimeError,
            _WHO,
            f"CuPy {version} is too {'old' if found < OLDEST else 'new'}",
            given=f"CuPy {version}",
            expected=f"from {_dotted(OLDEST)} to below {_dotted(NEWEST)}",
            fix=_INSTALL if found < OLDEST else "upgrade rushlight-cuda, or install an older CuPy",
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _check_devices(cupy: Any) -> None:
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as raised:
        if raised.status == _INSUFFICIENT_DRIVER:
            raise _no_driver(runtime) from None
        if raised.status == _NO_DEVICE:
            raise _no_device() from None
        raise error(
            RuntimeError,
            _WHO,
            "CUDA can't count the devices",
            given=str(raised),
            fix="nvidia-smi shows whether driver and card work; restart the machine if it fails",
        ) from raised
    if not count:
        raise _no_device()


def _no_driver(runtime: Any) -> Exception:
    driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if not driver:
        return error(
            RuntimeError,
            _WHO,
            "no NVIDIA driver is installed",
            expected=f"a driver for CUDA {cuda_version(built)} or newer, which nvidia-smi shows",
            fix="install NVIDIA's driver, or use another device, for example 'cpu'",
        )
    return error(
        RuntimeError,
        _WHO,
        "the NVIDIA driver is too old for this CuPy",
        given=f"a driver for CUDA {cuda_version(driver)}",
        expected=f"CUDA {cuda_version(built)} or newer",
        fix="update the driver, or install the CuPy for its version of CUDA: " + _INSTALL,
    )


def _no_device() -> Exception:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return error(
        RuntimeError,
        _WHO,
        "there is a driver, but no CUDA device",
        given=None if hidden is None else f"CUDA_VISIBLE_DEVICES={hidden!r}",
        fix="use another device, for example 'cpu'"
        if hidden is None
        else "unset CUDA_VISIBLE_DEVICES, which hides devices",
    )


def cuda_version(number: int) -> str:
    """CUDA's version as people write it: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
