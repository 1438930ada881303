"""Checks built wheels without installing them: `python check_wheels.py FOLDER`.

Each file belongs to one wheel (or uninstalling one would break the other), `rushlight` holds no
code of its own, and the licence and the markers for type checkers are inside.
"""

import sys
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

EXPECTED = {
    "rushlight": [],
    "rushlight_core": [
        "rushlight/__init__.py",
        "rushlight/utils/__init__.py",
        "rushlight/py.typed",
    ],
    "rushlight_cpu": ["rushlight_cpu/__init__.py", "rushlight_cpu/py.typed"],
    "rushlight_opencl": ["rushlight_opencl/__init__.py", "rushlight_opencl/py.typed"],
    "rushlight_cuda": ["rushlight_cuda/__init__.py", "rushlight_cuda/py.typed"],
    "rushlight_nn": [
        f"rushlight/{folder}/{name}"
        for folder in ("nn", "optim", "utils/data")
        for name in ("__init__.py", "py.typed")
    ],
}


def contents(folder: Path) -> dict[str, list[str]]:
    """Distribution name to the files in its wheel."""
    return {
        path.name.split("-")[0]: ZipFile(path).namelist() for path in sorted(folder.glob("*.whl"))
    }


def problems(wheels: dict[str, list[str]]) -> list[str]:
    found = []
    if set(wheels) != set(EXPECTED):
        found.append(f"expected wheels of {sorted(EXPECTED)}, found {sorted(wheels)}")
    for wheel, names in wheels.items():
        found += [f"{wheel} lacks {name}" for name in EXPECTED.get(wheel, []) if name not in names]
        if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
            found.append(f"{wheel} lacks its licence")
    code = [name for name in wheels.get("rushlight", []) if ".dist-info/" not in name]
    if code:
        found.append(f"rushlight is to hold metadata only, but has {code}")
    sources = [name for name in wheels.get("rushlight_cpu", []) if name.endswith((".c", ".h"))]
    if sources:
        found.append(f"rushlight_cpu is to hold built kernels only, but has {sources}")
    owners = Counter(name for names in wheels.values() for name in names)
    found += [f"{name} is in {count} wheels" for name, count in owners.items() if count > 1]
    return found


if __name__ == "__main__":
    wheels = contents(Path(sys.argv[1]))
    if found := problems(wheels):
        sys.exit("\n".join(found))
    print({wheel: len(names) for wheel, names in wheels.items()})
