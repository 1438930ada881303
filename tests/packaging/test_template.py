"""The template backend: it works, it has what the guide says, and frozen it keeps working."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).with_name("hostile")))

import wheels

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples/backend-template"
FROZEN = sorted((ROOT / "tests/frozen").glob("*.whl"))
LEVELS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import backend_levels as levels
needed = {level.__name__: names for level, names in levels.needed().items()}
print(json.dumps([needed, levels.page_with(levels.table()) == levels.PAGE.read_text("utf-8")]))
"""
TRAIN = """
import rushlight as rl
from rushlight import nn
rl.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to("template")
optimizer = rl.optim.SGD(model.parameters(), lr=0.1)
x, target = rl.randn(6, 4).to("template"), rl.arange(6, device="template") % 3
losses = []
for _ in range(2):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[1] < losses[0], losses
assert "rushlight_template" in __import__("sys").modules["rushlight_template"].__file__
print(rl.backend.report())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template installed."""
    folder = tmp_path_factory.mktemp("template")
    wheels.install([wheels.wheel_of_project(TEMPLATE, tmp_path_factory.mktemp("wheel"))], folder)
    return folder


@pytest.fixture(scope="module")
def levels() -> tuple[dict[str, list[str]], bool]:
    """The kernels each level needs, and whether the guide says the same."""
    out = subprocess.run(
        [sys.executable, "-c", LEVELS, str(ROOT / "tools")], stdout=subprocess.PIPE, check=True
    )
    needed, is_current = json.loads(out.stdout)
    return needed, is_current


def test_template_has_at_most_300_lines() -> None:
    files = [
        path
        for path in TEMPLATE.rglob("*")
        if path.suffix in {".py", ".toml", ".yml", ".md"} and ".pytest_cache" not in path.parts
    ]
    assert len(files) >= 8
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 300


def test_template_passes_its_own_tests(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TEMPLATE)],
        capture_output=True, text=True, cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout


def test_template_has_the_kernels_of_every_level(
    installed: Path, levels: tuple[dict[str, list[str]], bool]
) -> None:
    out = wheels.python(
        installed, "import rushlight_template as t; print(*t.backend.kernel_names())"
    )
    assert {name for names in levels[0].values() for name in names} <= {*out.stdout.split()}


def test_levels_of_the_guide_are_current(levels: tuple[dict[str, list[str]], bool]) -> None:
    assert levels[1], "run: python tools/backend_levels.py --write"


@pytest.mark.parametrize("wheel", FROZEN, ids=lambda path: path.stem)
def test_frozen_backend_trains_with_this_core(wheel: Path, tmp_path: Path) -> None:
    wheels.install([wheel], tmp_path)
    done = wheels.python(tmp_path, TRAIN)
    assert done.returncode == 0, done.stderr
    assert "template: rushlight-template 1.0, loaded, " in done.stdout


def test_every_protocol_of_the_promise_has_a_frozen_backend() -> None:
    from rushlight.backend import API_VERSION

    major, minor = API_VERSION
    for kept in range(max(minor - 2, 0), minor + 1):
        assert [path for path in FROZEN if f"-{major}.{kept}protocol-" in path.name]


@pytest.mark.parametrize("minor", [2, 3])
@pytest.mark.parametrize("wheel", FROZEN, ids=lambda path: path.stem)
def test_frozen_backend_under_a_core_of_later_protocol(
    wheel: Path, minor: int, tmp_path: Path
) -> None:
    """Two minors on it still works, three minors on it is refused with the way out."""
    wheels.install([wheel], tmp_path)
    written = int(wheel.name.split("protocol-")[0].rpartition(".")[2])
    done = wheels.python(
        tmp_path,
        f"""
import rushlight as rl
rl.backend._registry.API_VERSION = (1, {minor})
try:
    print((rl.ones(2, device="template") + 1).tolist())
except RuntimeError as raised:
    print(raised)
""",
    )
    assert done.returncode == 0, done.stderr
    if minor - written <= 2:
        assert done.stdout == "[2.0, 2.0]\n"
        return
    assert f"written for protocol 1.{written}, this core speaks 1.{minor}" in done.stdout
    assert "pip install --upgrade rushlight-template" in done.stdout


# What the template relies on.


def test_kernel_for_every_dtype_is_not_called_with_integers_that_become_floating() -> None:
    out = wheels.python(
        ROOT,
        """
import numpy, rushlight as rl
from rushlight.backend import ArrayDevice, Backend, register
from rushlight.backend.arrays import array_kernels
kernels = {**array_kernels(numpy), "sqrt": numpy.sqrt, "div": numpy.true_divide}
register(Backend("every", device=lambda index: ArrayDevice(numpy), kernels=kernels))
x = rl.tensor([1, 4]).to("every")
print(*(y.dtype.name for y in (x.sqrt(), x / x, x / 2, x.double().sqrt())))
""",
    )
    assert out.stdout.split() == ["float32"] * 3 + ["float64"], out.stderr


def test_failure_of_a_kernel_of_one_operand_names_operator_and_operand() -> None:
    out = wheels.python(
        ROOT,
        """
import numpy, rushlight as rl
from rushlight.backend import ArrayDevice, Backend, register
def lost(x):
    raise RuntimeError("queue 3 was lost")
register(Backend("lossy", device=lambda index: ArrayDevice(numpy), kernels={"exp": lost}))
try:
    rl.tensor([1.0]).to("lossy").exp()
except RuntimeError as raised:
    print(raised)
""",
    )
    assert out.stdout.splitlines() == [
        "exp: queue 3 was lost",
        "  given:    float32 of shape (1,) on lossy:0",
    ], out.stderr
