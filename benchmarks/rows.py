"""What a benchmark row is, and how results of two contenders are compared.

A row is written once, against a torch-like module and a device.  `prepare(lib, device)` makes the
data and returns the call to be timed.  Data come from NumPy, so that every contender gets the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Prepare = Callable[[Any, str], Callable[[], Any]]

SAMPLED = 256  # elements of each result that are compared one by one


@dataclass(frozen=True)
class Row:
    """One case: how to prepare it and how closely the contenders' results must agree.

    Args:
        name: What it is called in tables, unique over all groups.
        group: Table it stands in.
        prepare: Makes the data on a device and returns the call to be timed.
        tolerance: Largest accepted difference, as a part of the result's largest magnitude.
        calls: How often the call is made before the last result is compared (training steps).
        random: The result is drawn at random: only its shape, mean and spread are compared.
        compared: False for calls that give nothing to compare.
    """

    name: str
    group: str
    prepare: Prepare
    tolerance: float = 1e-4
    calls: int = 1
    random: bool = False
    compared: bool = True


def real(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normally distributed float32."""
    draw = np.random.default_rng([seed, *shape])
    return draw.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def distinct(count: int) -> np.ndarray:
    """float32 in random order, no two equal: where ties go is open in a sort that is not stable."""
    return np.random.default_rng(count).permutation(count).astype(np.float32)


def integers(*shape: int, high: int, seed: int = 0) -> np.ndarray:
    """Integers from 0 to high - 1."""
    return np.random.default_rng([seed, high, *shape]).integers(0, high, shape)


def named_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Starting values of a parameter: the same for every library, of a usual size."""
    if len(shape) < 2:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    fan_in = math.prod(shape[1:])
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    bound = 1.0 / math.sqrt(fan_in)
    return draw.uniform(-bound, bound, shape).astype(np.float32)


def summary(result: Any) -> list[dict[str, Any]]:
    """What is compared of a result: per array its shape, mean, root mean square and a sample."""
    results = result if isinstance(result, (list, tuple)) else [result]
    return [_summary_of_array(as_numpy(each)) for each in results]


def as_numpy(value: Any) -> np.ndarray:
    """Any library's array, or a number, as float64."""
    if hasattr(value, "detach"):
        value = value.detach()
        if value.dtype.itemsize < 4:  # bfloat16 has no NumPy twin
            value = value.float()
        if hasattr(value, "cpu"):  # tinygrad's arrays come by `numpy` from wherever they are
            value = value.cpu()
    if hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value, dtype=np.float64)


def _summary_of_array(x: np.ndarray) -> dict[str, Any]:
    flat = x.reshape(-1)
    step = max(1, flat.size // SAMPLED)
    return {
        "shape": list(x.shape),
        "mean": float(flat.mean()) if flat.size else 0.0,
        "rms": float(np.sqrt(np.square(flat).mean())) if flat.size else 0.0,
        "sample": flat[::step][: SAMPLED + 1].tolist(),
    }


def difference(row: Row, expected: list[Any], found: list[Any]) -> str | None:
    """What separates a contender's result from the reference's; None where they agree."""
    if not row.compared:
        return None
    if len(expected) != len(found):
        return f"{len(found)} results instead of {len(expected)}"
    for number, (want, have) in enumerate(zip(expected, found, strict=True)):
        if want["shape"] != have["shape"]:
            return f"result {number} has shape {have['shape']} instead of {want['shape']}"
        keys = ("mean", "rms") if row.random else ("mean", "rms", "sample")
        for key in keys:
            a, b = np.atleast_1d(want[key]), np.atleast_1d(have[key])
            scale = max(float(np.nanmax(np.abs(want["sample"]), initial=0.0)), want["rms"], 1e-30)
            close = np.isclose(a, b, rtol=0.0, atol=row.tolerance * scale, equal_nan=True)
            if not close.all():
                worst = float(np.nanmax(np.abs(a - b), initial=0.0) / scale)
                return f"{key} of result {number} is off by {worst:.1e} of its largest magnitude"
    return None
