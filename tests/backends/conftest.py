"""The device `standin`: rushlight-cuda with NumPy in the place of CuPy."""

import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rushlight
from rushlight.backend import register


@pytest.fixture(scope="session")
def cupy_standin() -> ModuleType:
    """The stand-in for CuPy, with a backend of the type `standin` on it."""
    from rushlight_cuda.device import make_backend

    folder = Path(__file__).parent / "cupy_standin"
    spec = util.spec_from_file_location(
        "cupy_standin", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["cupy_standin"] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    register(make_backend(module.cupy, module.cupyx, "standin"))
    return module


@pytest.fixture
def machine(cupy_standin: ModuleType) -> Iterator[Any]:
    """What the stand-in's machine is like; it is as before after the test."""
    found = cupy_standin.cupy.cuda.machine
    rushlight.ones(1, device="standin")
    kept = {name: getattr(found, name) for name in ("devices", "driver", "failure", "memory")}
    found.log.clear()
    yield found
    vars(found).update(kept)
