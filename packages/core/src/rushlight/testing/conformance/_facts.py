"""What a report says of a backend beside results: versions, devices, kernels by class of dtype."""

from __future__ import annotations

import platform
from collections.abc import Collection
from typing import Any

import numpy as np

from ..._dtypes import ALL, DType
from ..._registered import operators
from ...backend._registry import dtypes_of
from ...backend._report import described_backend, owners_of
from ._asking import backend_of

#: The columns of coverage tables: classes of dtypes whose kernels tend to differ.
CLASSES = ("bool", "integer", "16 bit", "float32", "float64", "complex")


def class_of(dtype: DType) -> str:
    """The column of a dtype."""
    if dtype.is_reduced:
        return "16 bit"
    if dtype.is_complex:
        return "complex"
    return dtype.name if dtype.is_inexact or dtype.name == "bool" else "integer"


def facts_of(device: str) -> dict[str, Any]:
    """Plain data about a device and what it was tested with."""
    import rushlight

    found: dict[str, Any] = {
        "rushlight": rushlight.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    try:
        backend, has = backend_of(device), dtypes_of(device)
    except Exception as raised:
        return {**found, "cause": f"{type(raised).__name__}: {raised}"}
    described = described_backend(backend.name)
    owners = " and ".join(f"{o['distribution']} {o['version']}" for o in owners_of(backend.name))
    return {
        **found,
        "provider": owners or "this process",
        "notes": described.get("notes", ""),
        "dtypes": [d.name for d in ALL if d in has],
        "devices": described.get("devices", []),
        "kernels": {
            name: classes for name in operators if (classes := _classes(backend, name, has))
        },
    }


def _classes(backend: Any, name: str, dtypes: Collection[DType]) -> list[str]:
    has = {class_of(d) for d in dtypes if backend.find_kernel(name, d)}
    return [each for each in CLASSES if each in has]
