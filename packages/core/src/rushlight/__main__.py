"""`python -m rushlight`: versions, devices and kernels, and what can't be used and why.

Each backend is tried in a process of its own, so the report is complete whatever a plugin does.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import rushlight
from rushlight._dtypes import ALL
from rushlight.backend import API_VERSION
from rushlight.backend._probe import answer_probe, probe, watch_time
from rushlight.backend._registry import entry_points
from rushlight.backend._report import described_backend, owners_of
from rushlight.backend._tables import bytes_text
from rushlight.testing.owed import owed

OURS = ("rushlight", "rushlight-core", "rushlight-cpu", "rushlight-nn")
_TIMEOUT = 60.0
_WIDTH = 100
_MISSING_SHOWN = 8


# -- what the child does --------------------------------------------------------------------


def examined(kind: str) -> dict[str, Any]:
    """A backend's description, with the operators it lacks and a trial on each of its devices."""
    found = described_backend(kind)
    if found["status"] == "ok":
        kernels = set(found["kernels"])
        primitives = owed()
        found["primitives"] = len(primitives)
        found["missing"] = sorted(set(primitives) - kernels)
        for one in found["devices"]:
            if "cause" not in one:
                one.update(_tried(one["label"]))
    return found


def _tried(label: str) -> dict[str, str]:
    """Computes a sum on a device; says what went wrong."""
    try:
        x = rushlight.ones(2, device=label)
        got = (x + x).cpu().tolist()
    except Exception as raised:
        return {"cause": f"a trial failed: {type(raised).__name__}: {raised}"}
    if got != [2.0, 2.0]:
        return {"cause": f"a trial failed: 1 + 1 gave {got[0]}"}
    return {}


# -- gathering ------------------------------------------------------------------------------


def gathered(timeout: float) -> dict[str, Any]:
    """Everything the report says, as plain data."""
    kinds = sorted(entry_points())
    # Threads only wait for the children.
    with ThreadPoolExecutor(max_workers=4) as pool:
        probed = list(pool.map(lambda kind: probe(kind, timeout), kinds))
    return {
        "rushlight": rushlight.__version__,
        "protocol": list(API_VERSION),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "platform": platform.platform(),
        },
        "packages": packages(kinds),
        "backends": [
            {"type": kind, "providers": owners_of(kind), **found}
            for kind, found in zip(kinds, probed, strict=True)
        ],
    }


def packages(kinds: list[str]) -> dict[str, str | None]:
    """Versions of rushlight's distributions, the backends' and what these need; None if absent."""
    ours = [*OURS, *(owner["distribution"] for kind in kinds for owner in owners_of(kind))]
    names = {_normal(name): None for name in ours}
    for name in list(names):
        names.update(dict.fromkeys(_needed(name)))
    versions = {name: _version(name) for name in names}
    return {name: v for name, v in versions.items() if v is not None or name not in OURS}


def _needed(distribution: str) -> list[str]:
    """Names of what a distribution requires, extras left out."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    plain = [line for line in lines if "extra ==" not in line]
    cut = str.maketrans(dict.fromkeys("<>=!~;[( ", " "))
    return [_normal(line.translate(cut).split()[0]) for line in plain]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


# -- showing --------------------------------------------------------------------------------


def shown(found: dict[str, Any]) -> str:
    """The report for people."""
    python = found["python"]
    # Non-breaking spaces: a version stays beside its package.
    versions = [
        f"{name}\N{NO-BREAK SPACE}{version or '(absent)'}"
        for name, version in found["packages"].items()
    ]
    lines = [
        f"rushlight {found['rushlight']}, backend protocol {_dotted(found['protocol'])}",
        f"Python {python['version']} ({python['implementation']}), {python['platform']}",
        *_wrapped(f"packages: {', '.join(versions)}"),
        "",
        "meta: part of rushlight-core (shapes and dtypes only)",
    ]
    for backend in found["backends"]:
        lines += _backend_lines(backend)
    return "\n".join(lines)


def _dotted(version: list[int]) -> str:
    return ".".join(map(str, version))


def _wrapped(line: str) -> list[str]:
    """A line cut at spaces, its continuations indented."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    lines = textwrap.wrap(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _backend_lines(backend: dict[str, Any]) -> list[str]:
    owners = ", ".join(" ".join(owner.values()) for owner in backend["providers"])
    if backend["status"] != "ok":
        lines = [f"{backend['type']}: {owners}, CAN'T BE USED"]
        lines += _wrapped(f"  cause:    {backend['cause']}")
        lines += _wrapped(f"  to fix:   {backend['fix']}")
        return lines + [f"    {line}" for line in backend["traceback"].splitlines()]
    notes = f"; {backend['notes']}" if backend["notes"] else ""
    lines = [f"{backend['type']}: {owners}, protocol {_dotted(backend['api'])}{notes}"]
    lines += _wrapped(_kernel_line(backend["kernels"], backend["primitives"], backend["missing"]))
    absent = [dtype.name for dtype in ALL if dtype.name not in backend["dtypes"]]
    lines += _wrapped("  dtypes:   all" + (f" but {', '.join(absent)}" if absent else ""))
    if not backend["devices"]:
        lines.append("  devices:  none found on this machine")
    for one in backend["devices"]:
        lines += _wrapped(f"  {_device_line(one)}")
    return lines


def _kernel_line(kernels: list[str], primitives: int, missing: list[str]) -> str:
    """How many kernels a backend has; those of primitives it must have, others make it fast."""
    if not missing:
        return f"  kernels:  {len(kernels)}, all {primitives} primitives among them"
    told = ", ".join(missing[:_MISSING_SHOWN])
    if len(missing) > _MISSING_SHOWN:
        told += f" and {len(missing) - _MISSING_SHOWN} more, which --json lists"
    have = primitives - len(missing)
    return f"  kernels:  {len(kernels)}, {have} of {primitives} primitives among them; no {told}"


def _device_line(one: dict[str, Any]) -> str:
    facts = {k: v for k, v in one.items() if k not in ("label", "duties", "cause", "name")}
    parts = [f"CAN'T BE USED: {one['cause']}" if "cause" in one else "works"]
    if "name" in one:
        parts.append(str(one["name"]))
    own = facts.pop("dtypes", None)
    if own is not None and (absent := [d.name for d in ALL if d.name not in own]):
        parts.append(f"no {', '.join(absent)}")
    parts += [f"{key} {_told(value)}" for key, value in facts.items()]
    if one.get("duties"):
        parts.append("offers " + ", ".join(one["duties"]))
    return f"{one['label']}: {'; '.join(parts)}"


def _told(value: object) -> str:
    """A fact that a device tells of itself: whole numbers from a million on count bytes."""
    if isinstance(value, int) and value >= 1 << 20:
        return bytes_text(value)
    return " ".join(str(value).split())


def main(arguments: list[str] | None = None) -> int:
    """Prints the report."""
    parser = argparse.ArgumentParser(
        prog="python -m rushlight", description="What this installation of Rushlight can use."
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--timeout", type=float, default=_TIMEOUT, metavar="SECONDS",
        help=f"time that each backend has to answer (default: {_TIMEOUT:g})",
    )  # fmt: skip
    parser.add_argument("--probe", metavar="TYPE", help=argparse.SUPPRESS)
    parser.add_argument("--answer", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.timeout <= 0:
        parser.error("--timeout must be a positive number of seconds")
    if chosen.probe is not None:
        watch_time(chosen.timeout, chosen.begun)
        answer_probe(examined(chosen.probe), chosen.answer)
        return 0
    found = gathered(chosen.timeout)
    print(json.dumps(found, indent=2) if chosen.json else shown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
