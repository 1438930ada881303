"""Finding devices: drivers of the system, and those that pip installed."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .spreading import own_threads, spread

# Distributions and the names of their drivers; beside Intel's lies a script for its debugger.
_PACKAGED = (
    ("pocl-binary-distribution", re.compile(r"libpocl-.*\.so[.\d]*")),
    ("intel-opencl-rt", re.compile(r"libintelocl\.so[.\d]*")),
)
_SYSTEM = Path("/etc/OpenCL/vendors")


@dataclass(frozen=True)
class DeviceInfo:
    """A device as `rushlight_opencl.devices()` lists it.

    Attributes:
        label: What users write, such as "opencl:0".
        name, platform: As the driver names them.
        kind: "cpu", "gpu" or "accelerator".
        memory: Bytes of memory.
        largest: Bytes of the largest buffer.
        units: Compute units.
        float64: It computes in float64.
    """

    label: str
    name: str
    platform: str
    kind: str
    memory: int
    largest: int
    units: int
    float64: bool


def list_drivers() -> None:
    """Tells the OpenCL loader of drivers that pip installed beside those of the system.

    The variable replaces the loader's own search, so the system's drivers are listed too. A
    variable that the user has set stays.
    """
    # PoCL would compile every kernel anew for each size of work-group.
    os.environ.setdefault("POCL_WORK_GROUP_SPECIALIZATION", "0")
    if "OCL_ICD_VENDORS" in os.environ or os.name == "nt":
        return
    found = packaged_drivers()
    if not found:
        return
    folder = Path(tempfile.mkdtemp(prefix="rushlight-icd-"))
    atexit.register(shutil.rmtree, folder, True)
    for number, library in enumerate(found):
        (folder / f"{number}.icd").write_text(library + "\n")
    if _SYSTEM.is_dir():
        for listed in _SYSTEM.glob("*.icd"):
            shutil.copy(listed, folder / f"system-{listed.name}")
    os.environ["OCL_ICD_VENDORS"] = str(folder)


def packaged_drivers() -> list[str]:
    """Paths of the drivers that pip installed."""
    found: list[str] = []
    for distribution, name in _PACKAGED:
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if name.fullmatch(file.name):
                found.append(str(Path(str(file.locate())).resolve()))
                break
    return found


@cache
def found_devices() -> tuple[Any, ...]:
    """pyopencl's devices of all platforms, the chosen ones of `RUSHLIGHT_OPENCL_DEVICE` only."""
    list_drivers()
    import pyopencl as cl

    before = own_threads()
    try:
        platforms = cl.get_platforms()
    except cl.LogicError:  # the loader's way to say that there is none
        platforms = []
    if any(p.name.startswith("Portable Computing Language") for p in platforms):
        spread(own_threads() - before)  # PoCL has started them when it was asked
    # A driver that the loader found in two ways is one platform, not two.
    unique = {(p.name, p.vendor, p.version): p for p in reversed(platforms)}
    devices = [d for p in reversed(unique.values()) for d in p.get_devices()]
    # Graphics cards first; otherwise in the order in which drivers tell them.
    devices.sort(key=lambda d: not d.type & cl.device_type.GPU)
    return tuple(chosen(devices, os.environ.get("RUSHLIGHT_OPENCL_DEVICE", "").strip().lower()))


def chosen(devices: list[Any], wanted: str) -> list[Any]:
    """The devices that a number, or a part of a platform's or a device's name, means."""
    if wanted.isdigit():
        return devices[int(wanted) : int(wanted) + 1]
    # Platforms first: PoCL's device on a processor by Intel has Intel's name too. PoCL's own name
    # stands in its version.
    of_platforms = [
        d for d in devices if wanted in f"{d.platform.name} {d.platform.version}".lower()
    ]
    return of_platforms or [d for d in devices if wanted in d.name.lower()]


def has_double(device: Any) -> bool:
    """A device computes in float64, and the user has not hidden that."""
    if os.environ.get("RUSHLIGHT_OPENCL_FLOAT64", "1") == "0":
        return False
    return bool(device.double_fp_config)


def info(index: int) -> DeviceInfo:
    """Facts of one device."""
    import pyopencl as cl

    device = found_devices()[index]
    kinds = ((cl.device_type.GPU, "gpu"), (cl.device_type.CPU, "cpu"))
    return DeviceInfo(
        label=f"opencl:{index}",
        name=device.name.strip(),
        platform=f"{device.platform.name.strip()} {device.platform.version.strip()}",
        kind=next((name for bit, name in kinds if device.type & bit), "accelerator"),
        memory=device.global_mem_size,
        largest=device.max_mem_alloc_size,
        units=device.max_compute_units,
        float64=has_double(device),
    )
