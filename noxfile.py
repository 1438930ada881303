"""Every job of this repository, each in an environment of its own (`python3 run.py SESSION`)."""

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

ROOT = Path(__file__).parent
PACKAGES = [
    "packages/core",
    "packages/backend-cpu",
    "packages/backend-cuda",
    "packages/backend-opencl",
    "packages/nn",
]
SOURCES = [f"{package}/src" for package in PACKAGES]
PYPROJECT = nox.project.load_toml("pyproject.toml")
# What the tests need: the root leaves out the packages for devices that not everybody has.
ALL = ["rushlight", "rushlight-cuda", "rushlight-opencl"]
DEMO = PYPROJECT["project"]["optional-dependencies"]["demo"]
TORCH = "torch==2.13.0"  # the version whose behaviour Rushlight reproduces

# One BLAS thread per process: pytest already runs one process per core, and results do not then
# depend on the number of cores.
TEST_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def group(name: str) -> list[str]:
    return nox.project.dependency_groups(PYPROJECT, name)


def install_editable(session: nox.Session, *more: str, native: str = "") -> None:
    """Installs the whole of Rushlight from the working tree, and `more` from the index.

    `native` limits the variants of the native kernels that are built; all by default.
    """
    editable = [word for path in [*PACKAGES, "."] for word in ("--editable", path)]
    session.install(*editable, *more, env={"RUSHLIGHT_CPU_BUILD": native} if native else None)


@nox.session
def demo(session: nox.Session) -> None:
    """Train a small network on handwritten digits and draw what it learnt (a minute)."""
    install_editable(session, *DEMO)
    session.run("python", "examples/digits.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the doctests and the tests; arguments go to pytest."""
    install_editable(session, *group("test"), *DEMO)
    if not session.posargs:
        run_doctests(session)
    workers = [] if "-n" in session.posargs else ["-n", "2"]
    session.run("pytest", *workers, *session.posargs, env=TEST_ENVIRONMENT)
    if not session.posargs:  # the same results without the native kernels
        values = ("tests/ops/test_generic_values.py", "-k", "test_value", "--device", "cpu_numpy")
        session.run("pytest", "-q", "-n", "2", *values, env=TEST_ENVIRONMENT)


def run_doctests(session: nox.Session) -> None:
    # Of the modules one is a test itself, and wants a device.
    tests = "packages/core/src/rushlight/testing/conformance/test_conformance.py"
    examples = ("--doctest-modules", f"--ignore={tests}", *SOURCES)
    session.run("pytest", "-q", *examples, env=TEST_ENVIRONMENT)


@nox.session(name="tests-wheels")
def tests_wheels(session: nox.Session) -> None:
    """Build the wheels, test each package alone with what it declares, then all of them."""
    wheels = Path(session.create_tmp()).resolve() / "wheels"
    for old in wheels.glob("*.whl"):
        old.unlink()
    session.install("pip>=23", "packaging")
    build = ["python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels)]
    session.run(*build, *[f"./{package}" for package in PACKAGES], ".")
    session.run("python", "tests/packaging/check_wheels.py", str(wheels))

    names = ("core", "cpu", "cuda", "opencl", "nn")
    alone = {name: f"rushlight-{name}" for name in names}
    for name, distribution in alone.items():
        python = clean_environment(session, name, wheels, distribution)
        session.run(python, f"tests/packaging/alone/{name}.py", external=True)
    python = clean_environment(session, "all", wheels, *ALL, *group("test"), *DEMO)
    pytest = [python, "-m", "pytest", "-n", "2", *session.posargs]
    session.run(*pytest, env=TEST_ENVIRONMENT, external=True)


def clean_environment(session: nox.Session, name: str, wheels: Path, *install: str) -> str:
    """A new environment that holds `install`, ours from `wheels`; returns its Python."""
    folder = Path(session.create_tmp()).resolve() / name
    session.run("python", "-m", "venv", "--clear", str(folder))
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    pip = [python, "-m", "pip", "install", "--quiet", "--find-links", str(wheels)]
    session.run(*pip, *install, external=True)
    return python


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the annotations of all packages with mypy --strict."""
    install_editable(session, *group("types"), native="none")
    # Paths, not `-p rushlight`, which would check only the core's part of the package.
    session.run("mypy", "--strict", *(session.posargs or SOURCES))


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples in docstrings and documents; show the change log to come."""
    install_editable(session, *group("test"), *group("docs"))
    run_doctests(session)
    pages = ["README.md", "CONTRIBUTING.md", "docs"]
    session.run("pytest", "-q", "--doctest-glob=*.md", *pages, env=TEST_ENVIRONMENT)
    session.run("towncrier", "build", "--draft")


@nox.session
def mutation(session: nox.Session) -> None:
    """Plant defects in backends, one at a time: does the suite notice? (about 3 minutes)

    Arguments are names of defects, or options such as `--markdown docs/mutation.md`.
    """
    install_editable(session, *group("test"))
    session.run(
        "python", "-m", "rushlight.testing.mutation", *session.posargs, env=TEST_ENVIRONMENT
    )


@nox.session
def conformance(session: nox.Session) -> None:
    """Ask the conformance suite of a device: `conformance -- sim`; of cpu and sim by default.

    Without arguments it also writes docs/coverage.md. docs/coverage-opencl.md is written by
    `conformance -- opencl --jobs 2 --timeout 600 --markdown docs/coverage-opencl.md`.
    """
    install_editable(session, *group("test"))
    runs = [session.posargs] if session.posargs else [
        ["cpu", "--jobs", "2", "--markdown", "docs/coverage.md"], ["sim", "--jobs", "2"],
    ]  # fmt: skip
    for arguments in runs:
        session.run("python", "-m", "rushlight.testing", *arguments, env=TEST_ENVIRONMENT)


@nox.session
def bench(session: nox.Session) -> None:
    """Time Rushlight against torch; arguments go to benchmarks/run.py (`--help` lists them)."""
    install_editable(session, TORCH)
    session.run("python", "benchmarks/run.py", *session.posargs)
    if not session.posargs:
        session.run("python", "benchmarks/imports.py")
        session.run("python", "benchmarks/neighbours.py")


@nox.session
def oracle(session: nox.Session) -> None:
    """Compare with torch by the oracle programs in the folder RUSHLIGHT_ORACLE.

    Arguments: a program and its options (`ops.py --ops softmax`); all three programs otherwise.
    """
    folder = os.environ.get("RUSHLIGHT_ORACLE")
    if not folder:
        session.error("set RUSHLIGHT_ORACLE to the folder of the oracle programs")
    install_editable(session, TORCH, "expecttest")
    if session.posargs:
        program, *options = session.posargs
        session.run("python", str(Path(folder, program)), *options)
        return
    for program in ("ops.py", "modules.py", "optimizers.py"):
        session.run("python", str(Path(folder, program)), success_codes=[0, 1])
