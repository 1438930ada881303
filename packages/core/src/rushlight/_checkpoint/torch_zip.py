"""PyTorch's checkpoints, read as data.

A checkpoint is a zip archive: `data.pkl` holds the structure as a pickle, `data/<key>` the bytes
of each storage. A pickle is a program, so this one is checked before it runs: its opcodes must be
on a list, and every global it names must be on another. What those globals return are notes,
which can't be called and have no state to set, so there is nothing else a program could reach.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final, NoReturn

from .._errors import Explained, error
from .._size import Size
from . import api
from .notes import DTYPES, StorageNote, TensorNote, problem
from .sources import Bytes, Source, damaged, read_exactly

ZIP_MAGIC: Final = b"PK\x03\x04"

_OPCODES: Final = frozenset(
    (
        "PROTO STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG "
        "LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 STRING "
        "BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST APPEND APPENDS "
        "LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET "
        "ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE FRAME GLOBAL "
        "STACK_GLOBAL REDUCE BUILD BINPERSID"
    ).split()
)
# Storage classes of `torch` and of its device modules, by the dtype of their elements.
_STORAGES: Final = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


def read_torch(source: Source) -> Any:
    """The object in a file of `torch.save`, with notes in place of tensors.

    Raises:
        pickle.UnpicklingError: It holds something that is not plain data.
        RuntimeError: It is damaged.
    """
    try:
        archive = zipfile.ZipFile(source.file)
        records = _records(source, archive)
        program = _record(source, archive, records["data.pkl"]).tobytes()
        _check_program(source, program)
        storages = _Storages(source, archive, records)
        return _plain(_Unpickler(program, source, storages).load(), {})
    except Explained:
        raise
    except (zipfile.BadZipFile, NotImplementedError, OSError) as reason:
        raise damaged(source.name, f"it is not a complete zip archive ({reason})") from None
    except RecursionError:
        raise error(pickle.UnpicklingError, "load", f"{source.name} is nested too deeply") from None
    except Exception as reason:  # a pickle can go wrong with any type; none of it is the user's
        raise _refused(source, f"its pickle is not valid ({reason})") from None


def refuse_unknown(source: Source) -> Exception:
    """The error for a file of no format we know, with a word on those we recognise."""
    start = source.read(0, 64)
    if start.startswith(b"\x80") or b"\x2e/" in start or b"ustar" in start:
        return error(
            pickle.UnpicklingError,
            "load",
            f"{source.name} is a pickle, perhaps PyTorch's format from before 1.6",
            expected="a safetensors file, or a zip file of torch.save",
            fix="load and save it again with a current PyTorch; only do so if you trust its "
            "origin, since reading it runs code",
        )
    return error(
        pickle.UnpicklingError,
        "load",
        f"{source.name} is of no format that can be loaded",
        given=f"a file of {source.size} bytes beginning with {start[:8]!r}",
        expected="a safetensors file, or a zip file of torch.save",
    )


def _refused(source: Source, what: str, *, given: str | None = None) -> Exception:
    return error(
        pickle.UnpicklingError,
        "load",
        f"{source.name}: {what}",
        given=given,
        expected="tensors, storages, dtypes, sizes, devices, and plain containers of them",
        fix="save the model's state_dict() in PyTorch, rather than the model or other objects",
    )


def _records(source: Source, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by their path below its one top folder."""
    infos = archive.infolist()
    top = infos[0].filename.partition("/")[0] + "/" if infos else ""
    records: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removeprefix(top)
        # torch never compresses; refusing to do so means no member is larger than the file.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > source.size:
            raise damaged(source.name, f"its member {info.filename!r} is compressed")
        if name in records:
            raise damaged(source.name, f"its member {info.filename!r} occurs twice")
        records[name] = info
    if sum(info.file_size for info in infos) > source.size:
        raise damaged(source.name, "members of its zip archive overlap")
    if "data.pkl" not in records:
        raise error(
            pickle.UnpicklingError,
            "load",
            f"{source.name} is a zip archive, but not of torch.save",
            expected=f"a member {top}data.pkl",
        )
    if "constants.pkl" in records or any(name.startswith("code/") for name in records):
        raise _refused(source, "it is a TorchScript archive, which holds code")
    if "byteorder" in records and _record(source, archive, records["byteorder"]).tobytes() != (
        b"little"
    ):
        raise error(
            ValueError,
            "load",
            f"{source.name} was written on a big-endian machine",
            fix="save it again there with torch.serialization.set_default_load_endianness, or as "
            "safetensors",
        )
    return records


def _record(source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Bytes:
    """The bytes of a member; the archive's checksum is verified while they are read."""
    try:
        with archive.open(info) as file:
            return read_exactly(file, info.file_size, source.name)
    except Explained:
        raise
    except Exception as reason:  # zipfile raises many types for what a flipped bit can do
        raise damaged(source.name, f"{reason}") from None


def _check_program(source: Source, program: bytes) -> None:
    """Raises unless a pickle is well formed and uses harmless opcodes only."""
    operations = pickletools.genops(program)
    for count, (opcode, argument, _) in enumerate(operations):
        if opcode.name == "GLOBAL":
            _global(source, *str(argument).split(" ", 1))  # named before any use of it is refused
        if opcode.name not in _OPCODES:
            raise _refused(source, f"its pickle uses the opcode {opcode.name}")
        # The memo is an array as long as its greatest index.
        memoizes = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if memoizes and not 0 <= int(argument or 0) <= count:
            raise _refused(source, f"its pickle memoizes at {argument}")


def _global(source: Source, module: str, name: str) -> _Inert:
    """What stands for a global; anything not on the list is refused."""
    found = _lookup(module, name)
    if found is None:
        raise _refused(
            source,
            f"it refers to {module}.{name}, which is not plain data",
            given=f"global {module}.{name}",
        )
    return found


class _Storages:
    """Notes for the storages of an archive, one per key."""

    def __init__(
        self, source: Source, archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo]
    ) -> None:
        self._source = source
        self._archive = archive
        self._records = records
        self._notes: dict[str, StorageNote] = {}

    def note(self, dtype: str, key: Any, location: Any, count: Any) -> StorageNote | None:
        """The note for a persistent id; None for the device "meta", which keeps no data."""
        if type(key) is not str or type(location) is not str or type(count) is not int:
            raise ValueError("a storage is named wrongly")
        if location == "meta":
            return None
        info = self._records.get(f"data/{key}")
        if info is None:
            raise damaged(self._source.name, f"its storage {key!r} is missing")
        needed = count * DTYPES[dtype][0]
        if not 0 <= needed <= info.file_size:
            raise damaged(
                self._source.name,
                f"its storage {key!r} has {info.file_size} bytes",
                expected=f"{needed} bytes",
            )
        if key not in self._notes:
            self._notes[key] = StorageNote(info.file_size, location, self._reader(info))
        return self._notes[key]

    def _reader(self, info: zipfile.ZipInfo) -> Callable[[], Bytes]:
        source = self._source
        if not source.mapped:
            return lambda: _record(source, self._archive, info)
        # A member's own header stands before it, and its length only in there.
        header = source.read(info.header_offset, 30)
        extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        begin = info.header_offset + len(header) + extra
        if begin + info.file_size > source.size:
            raise damaged(source.name, f"its member {info.filename!r} reaches beyond its end")
        return lambda: source.array(begin, info.file_size)


class _Unpickler(pickle.Unpickler):
    """Runs a checked pickle that can reach the names of `_Global` only."""

    def __init__(self, program: bytes, source: Source, storages: _Storages) -> None:
        super().__init__(io.BytesIO(program), encoding="utf-8")
        self._source = source
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global."""
        return _global(self._source, module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ("storage", class, key, location, number of elements)."""
        word, kind, key, location, count = pid
        if word != "storage" or not isinstance(kind, _StorageClass):
            raise ValueError(f"unknown persistent id {word!r}")
        return _Storage(self._storages.note(kind.dtype, key, location, count), kind.dtype)


class _Inert:
    """Base of what a pickle gets hold of: no attributes to set, no state to restore."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise ValueError(f"a state for a {type(self).__name__.strip('_')}")


class _Table(OrderedDict[Any, Any]):
    """Stands for an OrderedDict; its only state is the `_metadata` of a state_dict."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise ValueError("an OrderedDict with attributes")
        self.__dict__.update(state)


class _StorageClass(_Inert):
    """Stands for a storage class: it only says the dtype."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class _Storage(_Inert):
    """A storage as a tensor's constructor gets it."""

    __slots__ = ("dtype", "note")

    def __init__(self, note: StorageNote | None, dtype: str) -> None:
        self.note = note
        self.dtype = dtype


class _Tensor(_Inert):
    """A tensor as the pickle passes it around."""

    __slots__ = ("note",)

    def __init__(self, note: TensorNote) -> None:
        self.note = note


class _DtypeName(_Inert):
    """Stands for a dtype."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _DeviceName(_Inert):
    """Stands for a device."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Global(_Inert):
    """Stands for a function or class: calling it is all a pickle can do with it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    dtype: Any = None,
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    name = dtype.name if isinstance(dtype, _DtypeName) else storage.dtype
    note = TensorNote(storage.note, name, tuple(size), tuple(stride), offset, _flag(requires_grad))
    wrong = problem(note)
    if wrong is not None:
        raise ValueError(f"a tensor is described wrongly: {wrong}")
    return _Tensor(note)


def _tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, metadata: Any = None
) -> _Tensor:
    if metadata:
        raise ValueError(f"a tensor with the bits {metadata}")
    return _tensor(storage, offset, size, stride, grad)


def _tensor_v3(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> _Tensor:
    if metadata:
        raise ValueError(f"a tensor with the bits {metadata}")
    return _tensor(storage, offset, size, stride, grad, None, dtype)


def _meta_tensor(dtype: Any, size: Any, stride: Any, requires_grad: Any) -> _Tensor:
    return _tensor(_Storage(None, dtype.name), 0, size, stride, requires_grad)


def _parameter(data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> _Tensor:
    note = data.note
    return _Tensor(
        TensorNote(
            note.storage,
            note.dtype,
            note.shape,
            note.stride,
            note.offset,
            _flag(requires_grad),
            "parameter",
        )
    )


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"requires_grad={value!r}")
    return value


def _device(kind: Any, index: Any = None) -> _DeviceName:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise ValueError("a device is named wrongly")
    return _DeviceName(kind if index is None else f"{kind}:{index}")


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding != "latin1":
        raise ValueError("bytes are written wrongly")
    return text.encode("latin1")


_FUNCTIONS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("collections", "OrderedDict"): lambda *items: _Table(*items),
    ("collections", "Counter"): lambda *items: Counter(*items),
    ("builtins", "set"): lambda *items: set(*items),
    ("builtins", "complex"): lambda real, imag: complex(float(real), float(imag)),
    ("builtins", "bytearray"): lambda data=b"", *how: bytearray(
        _latin1(data, *how) if how or type(data) is not bytes else data
    ),
    ("_codecs", "encode"): _latin1,
    ("torch", "Size"): lambda sizes=(): Size(sizes),
    ("torch", "device"): _device,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _meta_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _lookup(module: str, name: str) -> _Inert | None:
    """What stands for a global of the allow-list, made anew: nothing lasts between loads."""
    module = {"__builtin__": "builtins"}.get(module, module)
    function = _FUNCTIONS.get((module, name))
    if function is not None:
        return _Global(function)
    if name in _STORAGES and module.partition(".")[0] == "torch":
        return _StorageClass(_STORAGES[name])
    if module == "torch" and name in DTYPES:
        return _DtypeName(name)
    return None


def _plain(value: Any, made: dict[int, tuple[Any, Any]]) -> Any:
    """The unpickled value with notes, dtypes and devices in place of their stand-ins."""
    rushlight = api()
    if isinstance(value, _Tensor):
        return value.note
    if isinstance(value, _DtypeName):
        return getattr(rushlight, value.name)
    if isinstance(value, _DeviceName):
        return rushlight.device(value.name)
    if isinstance(value, _Inert):
        raise ValueError(f"a {type(value).__name__.strip('_')} by itself")
    if isinstance(value, list | dict | set | frozenset) or type(value) is tuple:
        if id(value) not in made:
            made[id(value)] = (value, value)
            made[id(value)] = (value, _plain_container(value, made))
        return made[id(value)][1]
    return value


def _plain_container(value: Any, made: dict[int, tuple[Any, Any]]) -> Any:
    if isinstance(value, list):
        value[:] = [_plain(item, made) for item in value]
        return value
    if type(value) is tuple:
        return tuple(_plain(item, made) for item in value)
    if any(isinstance(_plain(key, made), TensorNote) for key in value):
        raise ValueError("a tensor as a key or in a set")
    if isinstance(value, set | frozenset):
        return type(value)(_plain(item, made) for item in value)
    return _plain_dict(value, made)


def _plain_dict(value: dict[Any, Any], made: dict[int, tuple[Any, Any]]) -> dict[Any, Any]:
    plain: dict[Any, Any] = OrderedDict() if isinstance(value, _Table) else type(value)()
    made[id(value)] = (value, plain)  # before its items, which may lead back to it
    for key, item in value.items():
        plain[_plain(key, made)] = _plain(item, made)
    if isinstance(value, _Table) and "_metadata" in value.__dict__:
        plain._metadata = _plain(value.__dict__["_metadata"], made)  # type: ignore[attr-defined]
    return plain
