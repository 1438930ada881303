"""Finding backends: what is told when a plugin is missing or broken, and that nobody else suffers.

Each test installs a distribution of its own: a folder with a module and a real *.dist-info.
"""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import rushlight as rl
from rushlight.backend import _hooks, _registry, installed_types, report

GOOD = """
    from rushlight.backend import ArrayDevice, Backend, hookimpl
    from rushlight.backend.arrays import array_kernels
    import numpy

    backend = Backend({name!r}, device=lambda index: ArrayDevice(numpy),
                      kernels=array_kernels(numpy), api={api})

    @hookimpl
    def rushlight_backend():
        return backend
"""


class Plugins:
    """Installs plugins into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, device: str, source: str, *, name: str = "", version: str = "1.2") -> str:
        """A distribution that claims a device type; its module's name."""
        name = name or f"rushlight-{device}"
        module = f"plugin_{name.replace('-', '_')}_{self.folder.name.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[rushlight.backends]\n{device} = {module}\n")
        return module


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    import importlib

    _registry.backend_for("cpu")
    monkeypatch.syspath_prepend(str(tmp_path))
    for table in ("_loaded", "_failed", "_failed_cause"):
        monkeypatch.setattr(_registry, table, dict(getattr(_registry, table)))
    before = set(_hooks.manager.get_plugins())
    importlib.invalidate_caches()
    yield Plugins(tmp_path)
    for plugin in _hooks.manager.get_plugins() - before:
        _hooks.manager.unregister(plugin)
    assert (rl.ones(2) + 1).tolist() == [2.0, 2.0]  # whatever happened, the CPU goes on


def message(device: str) -> str:
    with pytest.raises(RuntimeError) as raised:
        rl.ones(2, device=device)
    return str(raised.value)


def test_good_plugin_is_loaded_on_first_use(plugins: Plugins) -> None:
    module = plugins.add("good1", GOOD.format(name="good1", api=(1, 0)))
    assert "good1" in installed_types()
    assert "good1: rushlight-good1 1.2, not loaded yet" in report()
    assert module not in sys.modules
    x = rl.ones(2, device="good1")
    assert str(x.device) == "good1:0"
    assert (x + x).cpu().tolist() == [2.0, 2.0]
    assert "good1: rushlight-good1 1.2, loaded, " in report()


def test_unknown_device_lists_what_is_installed_and_how_to_install(plugins: Plugins) -> None:
    plugins.add("other1", GOOD.format(name="other1", api=(1, 0)))
    text = message("nowhere")
    assert (
        text.splitlines()[0] == "device 'nowhere': no installed package provides this device type"
    )
    (expected,) = (line for line in text.splitlines() if "expected: one of " in line)
    assert {"cpu", "meta", "other1"} <= set(expected.split("one of ")[1].split(", "))
    assert "pip install rushlight-nowhere" in text


def test_plugin_that_fails_at_import(plugins: Plugins) -> None:
    plugins.add("broken1", "import no_such_driver_library\n")
    for _ in range(2):  # the cause is kept, and told again
        text = message("broken1")
        assert "device 'broken1': its backend rushlight-broken1 1.2 could not be loaded" in text
        assert "ModuleNotFoundError: No module named 'no_such_driver_library'" in text
        assert "pip install --upgrade rushlight-broken1" in text
    told = report()
    assert "broken1: rushlight-broken1 1.2, FAILED: ModuleNotFoundError" in told
    assert "import no_such_driver_library" in told  # the traceback's line
    assert "cpu: rushlight-cpu" in told


def test_error_has_the_real_cause(plugins: Plugins) -> None:
    plugins.add("broken2", "raise OSError('driver too old')\n")
    with pytest.raises(RuntimeError) as raised:
        rl.ones(2, device="broken2")
    assert isinstance(raised.value.__cause__, OSError)


def test_misspelt_hook(plugins: Plugins) -> None:
    plugins.add("broken3", GOOD.format(name="broken3", api=(1, 0)).replace(
        "def rushlight_backend", "def rushlight_backened"))  # fmt: skip
    text = message("broken3")
    assert "unknown hook 'rushlight_backened'" in text
    assert "the hook rushlight_backend()" in text
    assert "correct the name of the function" in text


def test_hook_that_returns_nothing(plugins: Plugins) -> None:
    plugins.add(
        "broken4",
        """
        from rushlight.backend import hookimpl

        @hookimpl
        def rushlight_backend():
            return None
    """,
    )
    text = message("broken4")
    assert "the plugin gave no backend" in text
    assert "rushlight_backend() that returns a Backend" in text


def test_plugin_without_hook(plugins: Plugins) -> None:
    plugins.add("broken5", "x = 1\n")
    text = message("broken5")
    assert "the plugin gave no backend" in text
    assert "rushlight.backend.hookimpl" in text


@pytest.mark.parametrize(
    ("api", "advice"),
    [
        ((0, 9), "pip install --upgrade rushlight-broken609"),
        ((2, 0), "pip install --upgrade rushlight-core"),
        ((1, 7), "pip install --upgrade rushlight-core"),
    ],
)
def test_other_protocol_version(plugins: Plugins, api: tuple[int, int], advice: str) -> None:
    name = f"broken6{api[0]}{api[1]}"
    plugins.add(name, GOOD.format(name=name, api=api))
    text = message(name)
    assert f"it was written for protocol {api[0]}.{api[1]}, this core speaks 1.2" in text
    assert advice in text


def test_backend_with_another_name_than_its_entry_point(plugins: Plugins) -> None:
    plugins.add("broken7", GOOD.format(name="something", api=(1, 0)))
    assert "name 'something', entry point 'broken7'" in message("broken7")


def test_two_distributions_claim_one_type(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.add("twice1", GOOD.format(name="twice1", api=(1, 0)), name="first-one")
    plugins.add("twice1", GOOD.format(name="twice1", api=(1, 0)), name="second-one")
    text = message("twice1")
    assert "2 installed packages provide this device type" in text
    assert "first-one 1.2" in text and "second-one 1.2" in text
    assert "RUSHLIGHT_BACKENDS=twice1=" in text
    assert "twice1: claimed by " in report()
    monkeypatch.setenv("RUSHLIGHT_BACKENDS", "twice1=third-one")
    _registry._failed.pop("twice1", None)
    assert "RUSHLIGHT_BACKENDS asks for third-one" in message("twice1")
    monkeypatch.setenv("RUSHLIGHT_BACKENDS", "cpu=rushlight-cpu,twice1=second-one")
    _registry._failed.pop("twice1", None)
    assert rl.ones(2, device="twice1").cpu().tolist() == [1.0, 1.0]


def test_type_can_be_taken_once_only(plugins: Plugins) -> None:
    from rushlight.backend import Backend, register

    with pytest.raises(RuntimeError, match="there is a backend for 'cpu' already"):
        register(Backend("cpu", device=lambda index: None))


def test_index_out_of_range(plugins: Plugins) -> None:
    plugins.add("good2", GOOD.format(name="good2", api=(1, 0)))
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        rl.ones(1, device="good2:3")
    with pytest.raises(RuntimeError, match="only one device of this type"):
        rl.ones(1, device="cpu:1")


def test_dtype_that_a_device_lacks(plugins: Plugins) -> None:
    source = GOOD.replace(
        "import numpy\n",
        """import numpy
    from rushlight._dtypes import float32, bool_
    from rushlight.backend import Manifest
""",
    ).replace("api={api}", "api={api}, manifest=Manifest(dtypes=frozenset((float32, bool_)))")
    plugins.add("narrow1", source.format(name="narrow1", api=(1, 0)))
    assert rl.ones(1, device="narrow1").dtype is rl.float32
    with pytest.raises(TypeError, match=r"it has no rushlight.float64"):
        rl.ones(1, dtype=rl.float64, device="narrow1")


def test_operator_that_a_device_lacks(plugins: Plugins) -> None:
    source = GOOD.replace("array_kernels(numpy)",
                          "{{'full': array_kernels(numpy)['full']}}")  # fmt: skip
    plugins.add("bare1", source.format(name="bare1", api=(1, 0)))
    x = rl.ones(2, device="bare1")
    with pytest.raises(NotImplementedError, match="device 'bare1:0' has no kernel"):
        x.exp()


def test_tensors_of_two_devices_do_not_mix(plugins: Plugins) -> None:
    plugins.add("good3", GOOD.format(name="good3", api=(1, 0)))
    x, y = rl.ones(2, device="good3"), rl.ones(2)
    with pytest.raises(RuntimeError, match="at least two devices, cpu and good3:0"):
        x + y
    assert (x + rl.tensor(1.0)).cpu().tolist() == [2.0, 2.0]


def test_broken_plugins_do_not_disturb_import(tmp_path: Path) -> None:
    plugins = Plugins(tmp_path)
    plugins.add("broken8", "raise SystemError('at import')\n")
    plugins.add("cpu2", "import nothing_of_this_name\n")
    code = "import rushlight as rl; print((rl.ones(2) + 1).tolist(), rl.backend.installed_types())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True,
        cwd=tmp_path, env={**__import__("os").environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[2.0, 2.0] ['broken8', 'cpu', 'cpu2', ")
