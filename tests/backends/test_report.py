"""`python -m rushlight`: one line for each plugin, whatever it does to its process.

Each test installs distributions of its own: a folder with a module and a real *.dist-info.
"""

import ast
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight.__main__ import _device_line, _kernel_line, _wrapped, main, shown
from rushlight.backend import (
    API_VERSION,
    ArrayDevice,
    Backend,
    OptionalDuties,
    _duties,
    _registry,
    optional_duties,
    register,
    report,
)
from rushlight.backend._tables import bytes_text, table
from rushlight.testing.owed import owed

SPOKEN = ".".join(map(str, API_VERSION))

GOOD = """
    from rushlight.backend import ArrayDevice, Backend, Manifest, hookimpl
    from rushlight.backend.arrays import array_kernels
    from rushlight._dtypes import float32, bool_, int64
    import numpy

    print("noise on the standard output", end="")

    class Device(ArrayDevice):
        def describe(self):
            return {"name": "Abacus 9000", "memory": 3 * 2**30, "beads": 90}

        def stream(self, priority=0):
            return None

        def stream_done(self, stream):
            return True

        def use_stream(self, stream):
            return None

    kernels = array_kernels(numpy)
    del kernels["cumsum"]
    backend = Backend("good", device=lambda index: Device(), kernels=kernels, count=lambda: 2,
                      manifest=Manifest(dtypes=frozenset((float32, bool_, int64)), notes="wood"))

    @hookimpl
    def rushlight_backend():
        return backend
"""


def add(folder: Path, device: str, source: str) -> None:
    """A distribution that claims a device type."""
    (folder / f"plugin_{device}.py").write_text(textwrap.dedent(source))
    info = folder / f"rushlight_{device}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: rushlight-{device}\nVersion: 1.2\n"
        "Requires-Dist: numpy>=1\nRequires-Dist: no_such_thing[extra]; python_version > '3'\n"
        "Requires-Dist: another; extra == 'more'\n"
    )
    (info / "entry_points.txt").write_text(f"[rushlight.backends]\n{device} = plugin_{device}\n")


def run(folder: Path, *options: str) -> str:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "rushlight", *options], text=True, cwd=folder,
        capture_output=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def backend_of(found: dict[str, Any], kind: str) -> dict[str, Any]:
    (one,) = (b for b in found["backends"] if b["type"] == kind)
    return dict(one)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of an installation with every kind of plugin."""
    folder = tmp_path_factory.mktemp("plugins")
    add(folder, "good", GOOD)
    add(folder, "absent", "import no_such_driver\n")
    add(folder, "segfault", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    add(folder, "leaves", "import os\nprint('bye', flush=True)\nos._exit(7)\n")
    add(folder, "exits", "import sys\nsys.exit('no licence')\n")
    add(
        folder,
        "empty",
        GOOD.replace('"good"', '"empty"').replace("count=lambda: 2", "count=lambda: 0"),
    )
    add(folder, "ill", GOOD.replace('"good"', '"ill"').replace(
        "lambda index: Device()", "lambda index: 1 // index"))  # fmt: skip
    add(folder, "wrong", GOOD.replace('"good"', '"wrong"').replace(
        'del kernels["cumsum"]', 'kernels["add"] = kernels["mul"]'))  # fmt: skip
    add(folder, "future", GOOD.replace('"good"', '"future", api=(2, 0)'))
    made: dict[str, Any] = json.loads(run(folder, "--json"))
    return made


def test_versions(found: dict[str, Any]) -> None:
    assert found["rushlight"] == rushlight.__version__
    assert found["protocol"] == list(API_VERSION)
    assert found["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["numpy"] == np.__version__
    assert {"rushlight-core", "rushlight-cpu", "ml-dtypes", "pluggy"} <= set(found["packages"])
    assert found["packages"]["rushlight-good"] == "1.2"
    assert found["packages"]["no-such-thing"] is None
    assert "another" not in found["packages"]


def test_good_backend(found: dict[str, Any]) -> None:
    one = backend_of(found, "good")
    assert one["status"] == "ok" and one["api"] == list(API_VERSION)
    assert one["providers"] == [{"distribution": "rushlight-good", "version": "1.2"}]
    assert one["dtypes"] == ["bool", "float32", "int64"]
    assert one["missing"] == ["cumsum"]
    assert [d["label"] for d in one["devices"]] == ["good:0", "good:1"]
    assert one["devices"][0]["name"] == "Abacus 9000"
    assert one["devices"][0]["duties"] == ["description", "streams"]
    assert "cause" not in one["devices"][0]


def test_cpu_lacks_nothing(found: dict[str, Any]) -> None:
    one = backend_of(found, "cpu")
    assert one["status"] == "ok" and one["missing"] == []
    assert one["notes"]


def test_plugin_that_cannot_be_imported(found: dict[str, Any]) -> None:
    one = backend_of(found, "absent")
    assert one["status"] == "failed"
    assert one["cause"] == "ModuleNotFoundError: No module named 'no_such_driver'"
    assert "pip install --upgrade rushlight-absent, or uninstall it" in one["fix"]
    assert "import no_such_driver" in one["traceback"]


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_plugin_that_crashes_its_process(found: dict[str, Any]) -> None:
    one = backend_of(found, "segfault")
    assert one["status"] == "crashed"
    assert one["cause"] == "the process was ended by SIGSEGV while it tried the backend"
    assert one["fix"].startswith("pip install --upgrade rushlight-segfault")
    assert "plugin_segfault.py" in one["traceback"]


def test_plugin_that_leaves(found: dict[str, Any]) -> None:
    one = backend_of(found, "leaves")
    assert one["status"] == "crashed"
    assert one["cause"] == "the process ended with exit code 7 while it tried the backend"
    assert one["traceback"] == "bye"
    exits = backend_of(found, "exits")
    assert (exits["status"], exits["cause"]) == ("failed", "SystemExit: no licence")


def test_plugin_that_hangs(tmp_path: Path) -> None:
    add(tmp_path, "hangs", "def wait_for_ever():\n    while True: pass\nwait_for_ever()\n")
    begun = time.monotonic()
    found = json.loads(run(tmp_path, "--json", "--timeout", "8"))
    assert 8 <= time.monotonic() - begun < 60
    one = backend_of(found, "hangs")
    assert one["status"] == "timeout"
    assert one["cause"] == "did not answer within 8 s"
    assert one["fix"] == "pip install --upgrade rushlight-hangs, or pip uninstall rushlight-hangs"
    assert "in wait_for_ever" in one["traceback"].splitlines()[1]  # it says where


def test_devices_that_cannot_be_used(found: dict[str, Any]) -> None:
    assert backend_of(found, "empty")["devices"] == []
    first, second = backend_of(found, "ill")["devices"]
    assert first["cause"].startswith("ZeroDivisionError: ")
    assert second["cause"].startswith("a trial failed: ")
    assert backend_of(found, "wrong")["devices"][0]["cause"] == "a trial failed: 1 + 1 gave 1.0"


def test_plugin_of_another_protocol(found: dict[str, Any]) -> None:
    one = backend_of(found, "future")
    assert one["status"] == "failed"
    assert f"it was written for protocol 2.0, this core speaks {SPOKEN}" in one["cause"]


def test_report_for_people(found: dict[str, Any]) -> None:
    text = shown(found)
    lines = text.splitlines()
    assert lines[0] == f"rushlight {rushlight.__version__}, backend protocol {SPOKEN}"
    assert f"numpy {np.__version__}" in text and "no-such-thing (absent)" in text
    assert f"good: rushlight-good 1.2, protocol {SPOKEN}; wood" in lines
    start = lines.index(f"good: rushlight-good 1.2, protocol {SPOKEN}; wood")
    one = backend_of(found, "good")
    assert lines[start + 1] == (
        f"  kernels:  {len(one['kernels'])}, {one['primitives'] - 1} of {one['primitives']} "
        "primitives among them; no cumsum"
    )
    assert lines[start + 2].startswith("  dtypes:   all but ") and "float64," in text
    device = "  good:0: works; Abacus 9000; memory 3.0 GiB; beads 90; offers description, streams"
    assert device in lines
    assert "  devices:  none found on this machine" in lines
    assert "leaves: rushlight-leaves 1.2, CAN'T BE USED" in lines
    cause = "the process ended with exit code 7 while it tried the backend"
    assert f"  cause:    {cause}" in lines
    assert any(line.startswith("  to fix:   pip install --upgrade rushlight-") for line in lines)
    assert "CAN'T BE USED: a trial failed: 1 + 1 gave 1.0" in text


def test_report_tells_a_few_missing_kernels_and_keeps_to_the_page() -> None:
    missing = [f"operator_{n}" for n in range(30)]
    told = _kernel_line(["add"] * 12, 40, missing)
    assert told.startswith("  kernels:  12, 10 of 40 primitives among them; no operator_0, ")
    assert told.endswith("operator_7 and 22 more, which --json lists")
    assert _kernel_line(["add"] * 12, 9, []) == "  kernels:  12, all 9 primitives among them"
    lines = _wrapped("  " + "word, " * 60)
    assert max(map(len, lines)) <= 100 and lines[1].startswith("      word, ")


def test_report_without_foreign_plugins(tmp_path: Path) -> None:
    lines = run(tmp_path).splitlines()
    assert "meta: part of rushlight-core (shapes and dtypes only)" in lines
    assert any(line.startswith("cpu: rushlight-cpu ") for line in lines)
    assert any(line.startswith("  cpu: works; ") for line in lines)


def test_time_limit_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--timeout", "0"])
    assert "--timeout must be a positive number of seconds" in capsys.readouterr().err


def test_device_without_a_name() -> None:
    assert _device_line({"label": "a:0", "duties": []}) == "a:0: works"


def test_primitives_are_what_the_array_family_has() -> None:
    from rushlight.backend.arrays import array_kernels

    owes = set(owed())
    assert owes <= set(array_kernels(np))
    assert {"add", "full", "mm", "nonzero"} <= owes
    assert not {"view", "copy_", "detach", "to_kind", "sum_to", "transfer"} & owes


def test_report_in_this_process_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rushlight.ones(1)
    monkeypatch.setattr(_registry, "_loaded", {"cpu": _registry._loaded["cpu"]})
    told = report()
    assert "cpu: rushlight-cpu" in told
    assert "sim" not in told  # devices for tests are loaded when asked for, and not offered
    assert set(_registry._loaded) == {"cpu"}


# -- protocol -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("core", "api", "accepted"),
    [
        ((1, 0), (1, 0), True),
        ((1, 5), (1, 5), True),
        ((1, 5), (1, 4), True),
        ((1, 5), (1, 3), True),
        ((1, 5), (1, 2), False),
        ((1, 5), (1, 6), False),
        ((1, 1), (1, 0), True),
        ((2, 0), (1, 9), False),
        ((2, 1), (2, 0), True),
        ((1, 5), (2, 5), False),
        ((1, 12), (1, 10), True),
        ((1, 10), (1, 9), True),
    ],
)
def test_backends_of_the_previous_two_minors_keep_working(
    core: tuple[int, int], api: tuple[int, int], accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_registry, "API_VERSION", core)
    backend = Backend("of_another_time", device=lambda index: ArrayDevice(), api=api)
    if accepted:
        _registry._check_version(backend)
        return
    with pytest.raises(RuntimeError) as raised:
        register(backend)
    assert "of_another_time" not in _registry._loaded
    older = api < core
    assert str(raised.value).splitlines() == [
        f"backend 'of_another_time': it was written for protocol {api[0]}.{api[1]}, this core "
        f"speaks {core[0]}.{core[1]}",
        f"  expected: {core[0]}.{max(core[1] - 2, 0)} to {core[0]}.{core[1]}",
        "  to fix:   "
        + ("upgrade the backend's package" if older else "pip install --upgrade rushlight-core"),
    ]


@pytest.mark.parametrize("api", ["1.0", (1,), (1, 0, 0), 1.0, (1, "0"), (True, 0), None])
def test_protocol_version_that_cannot_be_read(api: Any) -> None:
    with pytest.raises(TypeError) as raised:
        register(Backend("odd", device=lambda index: None, api=api))
    assert str(raised.value).splitlines() == [
        "backend 'odd': its protocol version can't be read",
        f"  given:    api={api!r}",
        "  expected: two integers, major and minor",
        f"  to fix:   write api={API_VERSION}",
    ]


def test_optional_duties_are_declared_and_documented() -> None:
    names = [name for group in _duties.OPTIONAL.values() for name in group]
    tree = ast.parse(Path(_duties.__file__).read_text("utf-8"))
    (cls,) = (n for n in tree.body if isinstance(n, ast.ClassDef))
    declared = [f.name for f in cls.body if isinstance(f, ast.FunctionDef)]
    assert cls.name == OptionalDuties.__name__
    assert declared == names
    for name in (*names, *_duties.OPTIONAL):
        assert name in (_duties.__doc__ or ""), name
    assert all(getattr(OptionalDuties, name).__doc__ for name in names)


def test_a_duty_counts_when_all_of_it_is_there() -> None:
    class Partly(ArrayDevice):
        def stream(self, priority: int = 0) -> None: ...
        def pinned(self, nbytes: int) -> None: ...

    assert optional_duties(Partly()) == ["pinned memory"]


def test_tables_and_sizes() -> None:
    assert table(["a", "n"], [["x", 1], ["yy", 20]], right="n") == "a    n\nx    1\nyy  20"
    assert [bytes_text(n) for n in (0, 1023, 1024, 1 << 20, 5 << 30, 1 << 50)] == [
        "0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 GiB", "1024.0 TiB",
    ]  # fmt: skip
