"""What this process knows of the installed backends, for people and as plain data."""

from __future__ import annotations

from typing import Any

from .._errors import Explained
from . import _registry
from ._duties import has_duty, optional_duties
from ._registry import _described, _owner, backend_for, entry_points


def report() -> str:
    """Says of each installed backend whether it is loaded, and if it can't be, why.

    Loads nothing; `python -m rushlight` tries every backend, each in a process of its own.

    Example:
        >>> "meta" in rushlight.backend.report()
        True
    """
    lines = ["meta: part of rushlight-core (shapes and dtypes only)"]
    entries, loaded, failed = entry_points(), _registry._loaded, _registry._failed
    for kind in sorted({*entries, *loaded}):
        owners = ", ".join(_described(entry) for entry in entries.get(kind, ())) or "this process"
        if kind in failed:
            lines += [f"{kind}: {owners}, FAILED: {failed[kind].cause}", failed[kind].traceback]
        elif len(entries.get(kind, ())) > 1:
            lines.append(f"{kind}: claimed by {owners}")
        elif kind in loaded:
            backend = loaded[kind]
            notes = f"; {backend.manifest.notes}" if backend.manifest.notes else ""
            lines.append(f"{kind}: {owners}, loaded, {len(backend.kernel_names())} kernels{notes}")
        else:
            lines.append(f"{kind}: {owners}, not loaded yet")
    return "\n".join(lines)


def owners_of(kind: str) -> list[dict[str, str]]:
    """Distributions that provide a device type."""
    pairs = [_owner(entry) for entry in entry_points().get(kind, ())]
    return [{"distribution": name, "version": version} for name, version in pairs]


def described_backend(kind: str) -> dict[str, Any]:
    """All about a backend as plain data; it is loaded, and each of its devices opened.

    Keys: "status" ("ok" or "failed"); for a failure "cause", "fix" and "traceback"; else "api",
    "notes", "kernels" (names), "dtypes" (names) and "devices", each with "label", "duties" and
    what it says of itself, or "cause" if it can't be opened.
    """
    try:
        backend = backend_for(kind)
        count = backend.count()
        devices = [_described_device(kind, index) for index in range(count)]
    except Exception as raised:
        return failure(raised, kind)
    manifest = backend.manifest
    return {
        "status": "ok",
        "api": list(backend.api),
        "notes": manifest.notes,
        "host_memory": manifest.host_memory,
        "kernels": backend.kernel_names(),
        "dtypes": sorted(dtype.name for dtype in manifest.dtypes),
        "devices": devices,
    }


def failure(raised: Exception, kind: str) -> dict[str, Any]:
    """Why a backend can't be used, as plain data."""
    known = _registry._failed.get(kind)
    if known is not None:
        # A backend that says itself what is missing has said all there is to know.
        told = isinstance(_registry._failed_cause.get(kind), Explained)
        cause, traceback = known.cause, "" if told else known.traceback
    elif isinstance(raised, Explained):
        cause, traceback = f"{raised.summary} ({raised.given})", ""
    else:
        cause, traceback = f"{type(raised).__name__}: {raised}", ""
    fix = raised.fix if isinstance(raised, Explained) else None
    return {"status": "failed", "cause": cause, "fix": fix or advice(kind), "traceback": traceback}


def _described_device(kind: str, index: int) -> dict[str, Any]:
    backend = backend_for(kind)
    label = f"{kind}:{index}" if backend.manifest.indexed else kind
    found: dict[str, Any] = {"label": label}
    try:
        runtime = backend.runtime(index)
        describe = getattr(runtime, "describe", None)
        if callable(describe):
            found.update(describe())
        found["duties"] = optional_duties(runtime)
        if has_duty(runtime, "dtypes"):
            found["dtypes"] = sorted(dtype.name for dtype in backend.dtypes(index))
    except Exception as raised:
        found["cause"] = f"{type(raised).__name__}: {raised}"
    return found


def advice(kind: str) -> str:
    owners = [owner["distribution"] for owner in owners_of(kind)]
    if not owners:
        return f"install a package that provides '{kind}'"
    return f"pip install --upgrade {owners[0]}, or pip uninstall {owners[0]}"
