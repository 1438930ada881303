"""Finding and loading backends.

The name of an entry point in the group `rushlight.backends` is the device type, so what is
installed is known without importing any of it.  A backend is loaded when its device is first asked
for; what goes wrong then is kept and told to whoever asks for that device, and to nobody else.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING, Any

from .._device import device
from .._dtypes import DType
from .._errors import error
from ._current import current_index
from ._protocol import API_VERSION, Backend, Failure

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "rushlight.backends"
#: Devices that exist for tests: loaded like any other, but not offered in lists.
TESTING_GROUP = "rushlight.backends.testing"
_lock = RLock()
_loaded: dict[str, Backend] = {}
_failed: dict[str, Failure] = {}


def entry_points(*, testing: bool = False) -> dict[str, list[EntryPoint]]:
    """Installed backends by device type; with `testing` also the devices that exist for tests."""
    # Imported here: it costs 20 ms, which `import rushlight` need not spend.
    from importlib import metadata

    found: dict[str, list[EntryPoint]] = {}
    for group in (GROUP, TESTING_GROUP) if testing else (GROUP,):
        for entry in metadata.entry_points(group=group):
            entries = found.setdefault(entry.name, [])
            if all(_owner(entry) != _owner(other) for other in entries):
                entries.append(entry)
    return found


def _owner(entry: EntryPoint) -> tuple[str, str]:
    if entry.dist is None:
        return entry.value, "unknown"
    return entry.dist.name, entry.dist.version


def _described(entry: EntryPoint) -> str:
    return " ".join(_owner(entry))


def installed_types() -> list[str]:
    """Device types that can be asked for, loaded or not."""
    return sorted({"meta", *_loaded, *entry_points()})


def register(backend: Backend) -> None:
    """Adds a backend to this process, as a plugin does when it is loaded.

    Raises:
        RuntimeError: The backend was written for another protocol, or its type is taken.
    """
    _check_version(backend)
    with _lock:
        if _loaded.get(backend.name, backend) is not backend:
            raise error(
                RuntimeError,
                "rushlight.backend.register",
                f"there is a backend for '{backend.name}' already",
                fix="give the device type another name",
            )
        _loaded[backend.name] = backend


def _check_version(backend: Backend) -> None:
    """Raises unless the core speaks a backend's protocol: the same major, this or two minors ago.

    A core one minor ahead of a backend is the ordinary case, so minors only ever add to the
    protocol; a backend ahead of the core may rely on what is not there yet.
    """
    api: Any = backend.api
    if not (isinstance(api, tuple) and len(api) == 2 and all(type(n) is int for n in api)):
        raise error(
            TypeError,
            f"backend '{backend.name}'",
            "its protocol version can't be read",
            given=f"api={api!r}",
            expected="two integers, major and minor",
            fix=f"write api={API_VERSION}",
        )
    major, minor = api
    if major != API_VERSION[0] or not API_VERSION[1] - 2 <= minor <= API_VERSION[1]:
        older = api < API_VERSION
        raise error(
            RuntimeError,
            f"backend '{backend.name}'",
            f"it was written for protocol {major}.{minor}, this core speaks "
            f"{API_VERSION[0]}.{API_VERSION[1]}",
            expected=f"{API_VERSION[0]}.{max(API_VERSION[1] - 2, 0)} to "
            f"{API_VERSION[0]}.{API_VERSION[1]}",
            fix=_upgrade(backend.name) if older else "pip install --upgrade rushlight-core",
        )


def _upgrade(kind: str) -> str:
    owners = [_owner(entry)[0] for entry in entry_points().get(kind, ())]
    return f"pip install --upgrade {owners[0]}" if owners else "upgrade the backend's package"


def backend_for(kind: str) -> Backend:
    """The backend of a device type, loaded if need be.

    Raises:
        RuntimeError: None is installed, it could not be loaded, or two claim the type.
    """
    found = _loaded.get(kind)
    if found is not None:
        return found
    with _lock:
        if kind in _loaded:
            return _loaded[kind]
        if kind not in _failed:
            entry = _chosen_entry(kind)
            try:
                _loaded[kind] = _load(entry)
                return _loaded[kind]
            except (Exception, SystemExit) as raised:  # no plugin ends the program
                import traceback

                summary = getattr(raised, "summary", None) or raised
                _failed[kind] = Failure(
                    kind,
                    *_owner(entry),
                    f"{type(raised).__name__}: {summary}",
                    "".join(traceback.format_exception(raised)),
                )
                _failed_cause[kind] = raised
        failure, cause = _failed[kind], _failed_cause[kind]
        details = getattr(cause, "given", None)
        raise error(
            RuntimeError,
            f"device '{kind}'",
            f"its backend {failure.distribution} {failure.version} could not be loaded",
            given=failure.cause + (f": {details}" if details else ""),
            expected=getattr(cause, "expected", None),
            fix=_cure(failure, cause) + "; rushlight.backend.report() has the whole traceback",
        ) from cause


def _cure(failure: Failure, cause: BaseException) -> str:
    """How to mend a backend that could not be loaded: what the cause says, if it does."""
    known = getattr(cause, "fix", None)
    return known or f"pip install --upgrade {failure.distribution}, or uninstall it"


_failed_cause: dict[str, BaseException] = {}


def _chosen_entry(kind: str) -> EntryPoint:
    entries = entry_points(testing=True).get(kind, [])
    if not entries:
        raise error(
            RuntimeError,
            f"device '{kind}'",
            "no installed package provides this device type",
            given=f"device type '{kind}'",
            expected="one of " + ", ".join(installed_types()),
            fix=f"pip install rushlight-{kind}, if that is the backend you mean",
        )
    wanted = dict(
        choice.split("=", 1)
        for choice in os.environ.get("RUSHLIGHT_BACKENDS", "").split(",")
        if "=" in choice
    ).get(kind)
    chosen = [entry for entry in entries if wanted in (None, _owner(entry)[0])]
    if len(chosen) != 1:
        names = ", ".join(_described(entry) for entry in entries)
        raise error(
            RuntimeError,
            f"device '{kind}'",
            f"{len(entries)} installed packages provide this device type",
            given=names + (f"; RUSHLIGHT_BACKENDS asks for {wanted}" if wanted else ""),
            expected="one",
            fix=f"uninstall one, or set RUSHLIGHT_BACKENDS={kind}={_owner(entries[0])[0]}",
        )
    return chosen[0]


def _check_hooks(entry: EntryPoint) -> None:
    """Raises if a plugin has a hook that no specification knows: it is misspelt."""
    import pluggy

    from ._hooks import manager

    try:
        manager.check_pending()
    except pluggy.PluginValidationError as raised:
        raise error(
            RuntimeError,
            entry.value,
            str(raised).rstrip("."),
            expected="the hook rushlight_backend()",
            fix="correct the name of the function that is decorated with "
            "rushlight.backend.hookimpl",
        ) from raised


def _load(entry: EntryPoint) -> Backend:
    from ._hooks import manager

    plugin = entry.load()
    manager.register(plugin, name=entry.name)
    try:
        _check_hooks(entry)
        caller = manager.subset_hook_caller(
            "rushlight_backend",
            [other for other in manager.get_plugins() if other is not plugin],
        )
        backends = caller()
        if len(backends) != 1 or not isinstance(backends[0], Backend):
            raise error(
                RuntimeError,
                entry.value,
                "the plugin gave no backend",
                given=repr(backends),
                expected="a hook implementation rushlight_backend() that returns a Backend",
                fix="decorate it with rushlight.backend.hookimpl",
            )
        _check_version(backends[0])
        if backends[0].name != entry.name:
            raise error(
                RuntimeError,
                entry.value,
                "the backend's name is not that of its entry point",
                given=f"name '{backends[0].name}', entry point '{entry.name}'",
                fix="make them equal: it is the device type users write",
            )
    except BaseException:
        manager.unregister(plugin)
        raise
    backend: Backend = backends[0]
    return backend


def normalized(label: device | str | int) -> device:
    """A device label with its index filled in, as tensors report it."""
    made = label if isinstance(label, device) else device(label)  # type: ignore[arg-type]
    if made.type == "meta":
        return device("meta")
    backend = backend_for(made.type)
    if not backend.manifest.indexed:
        if made.index not in (None, 0):
            raise error(
                RuntimeError, f"device '{made}'", "there is only one device of this type",
                fix=f"use '{made.type}'",
            )  # fmt: skip
        return device(made.type)
    index = current_index(made.type) if made.index is None else made.index
    if not 0 <= index < backend.count():
        raise error(
            RuntimeError,
            f"device '{made}'",
            "invalid device ordinal",
            given=str(made),
            expected=f"an index below {backend.count()}",
        )
    return device(made.type, index)


def dtypes_of(label: device | str) -> frozenset[DType]:
    """The dtypes that tensors can have on a device, which is opened for that."""
    where = normalized(label)
    return backend_for(where.type).dtypes(where.index or 0)


def loaded() -> dict[str, Any]:
    """Backends in this process by device type."""
    return dict(_loaded)


def get_num_threads() -> int:
    """How many host threads the kernels of the default device may use.

    Example:
        >>> rushlight.get_num_threads() >= 1
        True
    """
    threads = backend_for("cpu").threads
    return 1 if threads is None else threads[0]()


def set_num_threads(num: int) -> None:
    """Sets how many host threads kernels may use.

    Raises:
        RuntimeError: Not a positive number.
    Example:
        >>> rushlight.set_num_threads(rushlight.get_num_threads())
    """
    if not isinstance(num, int) or num < 1:
        raise error(RuntimeError, "set_num_threads", "expects a positive integer", given=repr(num))
    backend_for("cpu")
    for backend in _loaded.values():
        if backend.threads is not None:
            backend.threads[1](num)
