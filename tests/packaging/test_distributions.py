"""The distributions fit together: versions, licences, READMEs, files that must not collide."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))]
CORE = ROOT / "packages/core/src"
NN = ROOT / "packages/nn/src"
SHARED_WITH_CORE = ["rushlight/__init__.py", "rushlight/utils/__init__.py", "rushlight/py.typed"]
names = pytest.mark.parametrize("folder", PROJECTS, ids=lambda path: path.name)


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    return table["project"]


def own_requirements(project: dict[str, Any]) -> dict[str, str]:
    """What a project asks of its siblings: name to version specifier."""
    pattern = re.compile(r"(rushlight-[\w-]+)\s*(.*)")
    return {m[1]: m[2] for text in project["dependencies"] if (m := pattern.fullmatch(text))}


def collisions(ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    return sorted(set(ours) & set(theirs))


def files(source: Path) -> list[str]:
    return [
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_all_distributions_have_one_version() -> None:
    import rushlight

    versions = {project(folder)["name"]: project(folder)["version"] for folder in PROJECTS}
    assert set(versions.values()) == {rushlight.__version__}, versions


@names
def test_siblings_are_required_at_the_version_they_have(folder: Path) -> None:
    version = project(folder)["version"]
    minor = int(version.split(".")[1])
    allowed = {f"=={version}", f">={version},<0.{minor + 1}"}
    assert set(own_requirements(project(folder)).values()) <= allowed


def test_the_shared_folder_is_pinned() -> None:
    version = project(NN.parent)["version"]
    assert own_requirements(project(NN.parent)) == {"rushlight-core": f"=={version}"}


@names
def test_python_version_and_licence_agree(folder: Path) -> None:
    root = project(ROOT)
    for key in ("requires-python", "license", "license-files"):
        assert project(folder)[key] == root[key]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", PROJECTS[1:], ids=lambda path: path.name)
def test_package_readme_has_at_most_twenty_lines(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    assert text.startswith(f"# {project(folder)['name']}\n")
    assert len(text.splitlines()) <= 20


def test_no_file_of_nn_is_also_in_the_core() -> None:
    ours = files(NN)
    assert ours, "nn has files"
    assert collisions(ours, files(CORE)) == []
    assert collisions(ours, SHARED_WITH_CORE) == []


def test_type_information_is_declared_in_each_folder_nn_ships() -> None:
    shipped = ["rushlight/nn", "rushlight/optim", "rushlight/utils/data"]
    assert [part for part in shipped if not (NN / part / "py.typed").is_file()] == []
    elsewhere = [name for name in files(NN) if not name.startswith(tuple(shipped))]
    assert elsewhere == [], "the wheel would leave these out"


def test_collisions_are_seen() -> None:
    assert collisions(["rushlight/nn/a.py", "rushlight/py.typed"], SHARED_WITH_CORE) == [
        "rushlight/py.typed"
    ]


def test_requirements_of_siblings_are_read() -> None:
    wanted = {"dependencies": ["numpy>=1.26", "rushlight-core==0.1.0", "rushlight-cpu >=0.1,<0.2"]}
    assert own_requirements(wanted) == {"rushlight-core": "==0.1.0", "rushlight-cpu": ">=0.1,<0.2"}
