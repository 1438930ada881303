"""Chooses the native kernels: which build of the extension this CPU runs, or why none.

The extension is optional.  `RUSHLIGHT_CPU_KERNELS` decides: `numpy` leaves it alone, `native`
insists on it, and the name of a variant (`baseline`, `avx2`, `avx512`) on that one.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rushlight._errors import error

#: What a variant asks of a CPU, by NumPy's names of features; the fastest comes first.
VARIANTS: dict[str, tuple[str, ...]] = {
    "avx512": ("AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL", "AVX2", "FMA3", "F16C"),
    "avx2": ("AVX2", "FMA3", "F16C"),
    "baseline": (),
}
_SETTING = "RUSHLIGHT_CPU_KERNELS"
_CACHE = "RUSHLIGHT_CPU_CACHE"


class Tier:
    """The kernels that a process runs.

    Attributes:
        library: The extension module, None for the NumPy tier.
        reason: Why there is no library.
    """

    def __init__(self, library: Any, reason: str = "") -> None:
        self.library = library
        self.reason = reason

    def __str__(self) -> str:
        if self.library is None:
            return f"NumPy kernels ({self.reason})"
        return f"native kernels ({self.library.variant})"


def cache_limit(setting: str | None = None) -> int | None:
    """How many bytes of free memory may be kept for later results; None for the library's choice.

    Raises:
        ValueError: The environment's `RUSHLIGHT_CPU_CACHE` is no number of bytes.
    """
    asked = os.environ.get(_CACHE, "") if setting is None else setting
    if not asked:
        return None
    if not (asked.isascii() and asked.isdecimal()):
        raise error(
            ValueError,
            _CACHE,
            "this is no number of bytes",
            given=f"{_CACHE}={asked}",
            expected="a whole number such as 1073741824; 0 keeps nothing",
        )
    return min(int(asked), 2**62)


def cpu_features() -> frozenset[str]:
    """What this CPU can do, as far as NumPy tells; features that are one are told one by one."""
    core: Any = getattr(np, "_core", None) or np.core  # NumPy 2, NumPy 1
    found: dict[str, bool] = getattr(core._multiarray_umath, "__cpu_features__", {})
    names = {name for name, has in found.items() if has}
    # Later versions of NumPy name groups instead.
    if "X86_V3" in names:
        names |= {"AVX2", "FMA3", "F16C"}
    if names & {"X86_V4", "AVX512_SKX"}:
        names |= {"AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"}
        names |= {"AVX2", "FMA3", "F16C"}
    return frozenset(names)


def load(variant: str) -> Any:
    """The extension module of a variant.

    Raises:
        ImportError: It was not built, or this CPU or NumPy does not run it.
    """
    missing = set(VARIANTS[variant]) - cpu_features()
    if missing:
        raise ImportError(f"this CPU has no {', '.join(sorted(missing))}")
    try:
        library = importlib.import_module(f"rushlight_cpu._native_{variant}")
    except ModuleNotFoundError:
        raise ImportError("not built (no C compiler when the package was installed)") from None
    core: Any = getattr(np, "_core", None) or np.core
    library.find_blas(core._multiarray_umath.__file__)
    return library


def choose(setting: str | None = None) -> Tier:
    """The tier that a setting asks for; by default that of the environment.

    Raises:
        RuntimeError: It asks for native kernels that cannot be had.
        ValueError: It is none we know.
    """
    asked = os.environ.get(_SETTING, "") if setting is None else setting
    if asked == "numpy":
        return Tier(None, f"{_SETTING}=numpy")
    if asked not in ("", "native", *VARIANTS):
        raise error(
            ValueError,
            _SETTING,
            "there are no such kernels",
            given=f"{_SETTING}={asked}",
            expected=f"numpy, native, {', '.join(VARIANTS)}",
        )
    failures: dict[str, str] = {}
    for variant in (asked,) if asked in VARIANTS else VARIANTS:
        try:
            return Tier(load(variant))
        except ImportError as raised:
            failures.setdefault(str(raised), variant)
    reasons = "; ".join(f"{variant}: {reason}" for reason, variant in failures.items())
    if asked:
        raise error(
            RuntimeError,
            _SETTING,
            "the native kernels can't be used",
            given=f"{_SETTING}={asked}; {reasons}",
            fix="install a C compiler and reinstall rushlight-cpu from source "
            "(pip install --no-binary rushlight-cpu --force-reinstall rushlight-cpu), "
            f"or leave {_SETTING} unset",
        )
    return Tier(None, f"no native ones: {reasons}")
