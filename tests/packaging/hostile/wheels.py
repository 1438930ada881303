"""Builds wheels of pure Python without any build tool, and installs them into a folder.

A wheel is a zip archive with the files, METADATA, WHEEL, entry_points.txt and RECORD. The archive
has fixed dates and a fixed order: the same files give the same bytes.
"""

import base64
import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

GROUP = "rushlight.backends"
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    backends: Mapping[str, str],
    *,
    requires: Sequence[str] = (),
    tag: str = "",
) -> Path:
    """Writes one wheel; its path.

    Args:
        folder: Where it is put.
        name: The distribution.
        version: Its version.
        files: Texts by path inside the wheel.
        backends: Modules with the hook by device type.
        requires: Requirements.
        tag: A build tag, which stands in the file's name and means nothing else.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    entries = [f"{device} = {module}" for device, module in backends.items()]
    contents = {
        **files,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: rushlight-tests\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{GROUP}]\n" + "\n".join(entries) + "\n",
    }
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    path = folder / ("-".join(part for part in (stem, tag, "py3-none-any") if part) + ".whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, text in contents.items():
            archive.writestr(zipfile.ZipInfo(inside, LONG_AGO), text, zipfile.ZIP_DEFLATED)
    return path


def _record(contents: Mapping[str, str], itself: str) -> str:
    lines = []
    for inside, text in contents.items():
        digest = hashlib.sha256(text.encode()).digest()
        checksum = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        lines.append(f"{inside},sha256={checksum},{len(text.encode())}")
    return "\n".join([*lines, f"{itself},,"]) + "\n"


def wheel_of_project(project: Path, folder: Path, *, tag: str = "") -> Path:
    """The wheel of a project with one package under src."""
    table = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    source = project / "src"
    files = {
        path.relative_to(source).as_posix(): path.read_text("utf-8")
        for path in sorted([*source.rglob("*.py"), *source.rglob("*.txt")])
    }
    return write_wheel(
        folder,
        table["name"],
        table["version"],
        files,
        table["entry-points"][GROUP],
        requires=table["dependencies"],
        tag=tag,
    )


def install(wheels: Sequence[Path], folder: Path) -> None:
    """Installs wheels into a folder by pip, without the network and without what they require."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--target", str(folder), *map(str, wheels)], check=True
    )


def environment(folder: Path) -> dict[str, str]:
    """The environment of a program that sees what is installed in a folder."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new interpreter that sees what is installed in a folder."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, timeout=60, cwd=folder, env=environment(folder),
    )  # fmt: skip
