"""Saving and loading: what comes back, what is shared, and what a hostile file can't do."""

import builtins
import copy
import io
import json
import math
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import rushlight as rl
from rushlight.serialization import register_tensor_class

DATA = Path(__file__).parents[1] / "data"
DTYPES = """bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64
    complex64 complex128""".split()


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    rl.save(obj, file)
    return file.getvalue()


def again(obj: Any, **options: Any) -> Any:
    """The object after a way through a file that the reference library accepts."""
    data = saved(obj)
    safetensors.deserialize(data)
    return rl.load(io.BytesIO(data), **options)


def same(x: Any, y: Any) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tolist() == y.tolist()


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(
    "layout", ["dense", "scalar", "empty", "transposed", "strided", "expanded", "permuted cut"]
)
def test_every_dtype_in_every_layout(name: str, layout: str) -> None:
    base = rl.arange(24).to(getattr(rl, name))
    value = {
        "dense": lambda: base.reshape(2, 3, 4),
        "scalar": lambda: base[3],
        "empty": lambda: base[:0].reshape(0, 3),
        "transposed": lambda: base.reshape(4, 6).t(),
        "strided": lambda: base[1::3],
        "expanded": lambda: base[1:3].reshape(2, 1).expand(2, 5),
        "permuted cut": lambda: base.reshape(2, 3, 4)[:, 1:, ::2].permute(2, 0, 1),
    }[layout]()
    found = again({"x": value})["x"]
    assert same(found, value)
    if layout in ("dense", "transposed", "expanded"):
        assert found.stride() == value.stride()


def test_plain_data_comes_back_as_it_was() -> None:
    value = {
        "none": None,
        "flags": [True, False],
        "numbers": (1, -(2**80), 0.1, math.inf, 1e-310),
        "complex": complex(1, -math.inf),
        "text": "ü\u2028\ud800",
        3: {"nested": [{}, (), []]},
        (1, "key"): {1, 2},
        None: b"\x00\xff",
        "size": rl.Size([2, 3]),
        "dtype": rl.bfloat16,
        "device": rl.device("cpu"),
        "array": bytearray(b"ab"),
    }
    found = again(value)
    assert found == value
    assert [type(item) for item in found.values()] == [type(item) for item in value.values()]
    assert math.isnan(again(math.nan))


def test_numpy_values_come_back_as_numpy() -> None:
    found = again({"a": np.arange(6).reshape(2, 3).T, "s": np.float32(2.5), "b": np.array(True)})
    assert isinstance(found["a"], np.ndarray) and found["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert type(found["s"]) is np.float32 and found["s"] == 2.5
    assert found["b"].dtype == np.bool_ and found["b"].shape == ()


def test_state_dict_metadata_is_kept() -> None:
    state: Any = OrderedDict(weight=rl.ones(2))
    state._metadata = OrderedDict({"": {"version": 2}})
    found = again(state)
    assert type(found) is OrderedDict and found._metadata == {"": {"version": 2}}


def test_optimizer_like_state() -> None:
    value = {
        "state": {0: {"step": rl.tensor(3.0), "exp_avg": rl.ones(2)}},
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0], "fused": None}],
    }
    found = again(value)
    assert found["param_groups"] == value["param_groups"] and list(found["state"]) == [0]
    assert same(found["state"][0]["exp_avg"], rl.ones(2))


def test_requires_grad_is_kept_and_history_is_not() -> None:
    leaf = rl.ones(2, requires_grad=True)
    found = again([leaf, leaf * 2, rl.ones(1)])
    assert [x.requires_grad for x in found] == [True, True, False]
    assert all(x.is_leaf for x in found)
    (found[0] * 3).sum().backward()
    assert found[0].grad.tolist() == [3.0, 3.0]


def test_loaded_tensors_can_be_written_to_under_autograd() -> None:
    found, weight = again(rl.ones(2)), rl.ones(2, requires_grad=True)
    found.mul_(weight * 3)
    found.sum().backward()
    assert weight.grad.tolist() == [3.0, 3.0]


def test_meta_tensors_are_kept_without_data() -> None:
    found = again(rl.empty(3, 4, device="meta").t())
    assert found.device.type == "meta" and found.shape == (4, 3) and found.stride() == (1, 4)


# --- shared memory ----------------------------------------------------------------------------


def test_the_same_tensor_twice_is_one_tensor() -> None:
    x = rl.ones(3)
    found = again({"a": x, "b": [x]})
    assert found["a"] is found["b"][0]


def test_views_are_saved_with_their_base_and_share_memory() -> None:
    base = rl.arange(12.0)
    data = saved({"row": base.reshape(3, 4)[1], "base": base, "t": base.reshape(3, 4).t()})
    assert safetensors.numpy.load(data).keys() == {"base"}
    found = rl.load(io.BytesIO(data))
    found["base"].zero_()
    assert found["row"].tolist() == [0.0] * 4 and found["t"].sum().item() == 0


def test_overlapping_views_of_several_dtypes_share_memory() -> None:
    base = rl.arange(8.0)
    found = again([base[1:4], base[2:6].view(rl.int32), base.view(rl.uint8)[17:19]])
    found[0].fill_(1.0)
    assert found[1].view(rl.float32).tolist() == [1.0, 1.0, 4.0, 5.0]
    assert found[2].tolist() == base.view(rl.uint8)[17:19].tolist()


def test_a_small_view_does_not_drag_its_storage_along() -> None:
    base = rl.zeros(100_000)
    assert len(saved([base[:2], base[99_000:99_002], base[::50_000]][:2])) < 1000
    assert len(saved(base[::50_000])) < 1000


def test_an_expanded_tensor_stays_small() -> None:
    assert len(saved(rl.ones(1).expand(100_000))) < 1000


def test_names_are_those_of_the_state_dict() -> None:
    data = saved(
        {"layer": {"weight": rl.ones(2)}, "layer.weight": rl.zeros(3), "b": rl.ones(1) > 0}
    )
    found = safetensors.numpy.load(data)
    assert found.keys() == {"layer.weight", "layer.weight#2", "b"}
    assert found["layer.weight"].tolist() == [1.0, 1.0]


# --- registered classes -----------------------------------------------------------------------


class Mass(rl.Tensor):
    """A tensor class of the user's."""


def test_a_subclass_must_be_registered() -> None:
    mass = rl.ones(2).as_subclass(Mass)
    with pytest.raises(TypeError, match="can't be saved as such"):
        saved(mass)


def test_a_registered_class_comes_back() -> None:
    class Charge(rl.Tensor):
        def __new__(cls, data: Any, requires_grad: bool = False) -> Any:
            return data.as_subclass(cls)

    register_tensor_class("test.Charge", Charge)
    assert type(again(Charge(rl.ones(2)))) is Charge
    with pytest.raises(ValueError, match=r"'test\.Charge' is taken"):
        register_tensor_class("test.Charge", Mass)


# --- files ------------------------------------------------------------------------------------


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "model.rl"
    rl.save(rl.ones(2), path)
    with pytest.raises(TypeError, match="not plain data"):
        rl.save({"x": rl.ones(3), "f": print}, path)
    assert rl.load(str(path)).tolist() == [1.0, 1.0]
    assert os.listdir(tmp_path) == ["model.rl"]


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.rl"
    rl.save(rl.ones(2), path)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        rl.save(rl.zeros(2), path)
    assert rl.load(path).tolist() == [1.0, 1.0] and os.listdir(tmp_path) == ["model.rl"]


def test_links_stay_links(tmp_path: Path) -> None:
    target, link = tmp_path / "a", tmp_path / "b"
    rl.save(1, target)
    link.symlink_to(target)
    rl.save(2, link)
    assert link.is_symlink() and rl.load(target) == 2


def test_mapped_files_are_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "model.rl"
    rl.save({"a": rl.ones(3), "b": rl.tensor(2)}, path)
    before = path.read_bytes()
    found = rl.load(path, mmap=True)
    found["a"].zero_()
    assert found["b"].item() == 2 and path.read_bytes() == before


def test_mmap_needs_a_path() -> None:
    with pytest.raises(ValueError, match="given by its path"):
        rl.load(io.BytesIO(saved(1)), mmap=True)


def test_files_of_other_programs_are_dicts(tmp_path: Path) -> None:
    arrays = {"x": np.arange(3, dtype=np.uint16), "y": np.ones((2, 2))}
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors", {"author": "someone"})
    found = rl.load(tmp_path / "x.safetensors")
    assert found.keys() == {"x", "y"}
    assert found["x"].dtype == rl.uint16 and found["y"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


# --- map_location -----------------------------------------------------------------------------


def test_map_location_takes_devices_tables_and_functions() -> None:
    x = rl.ones(2)
    seen = []

    def place(storage: Any, location: str) -> Any:
        seen.append((storage.nbytes(), location))
        return storage

    assert again(x, map_location="meta").device.type == "meta"
    assert again(x, map_location=rl.device("cpu")).tolist() == [1.0, 1.0]
    assert again(x, map_location={"cpu": "meta"}).device.type == "meta"
    assert again(x, map_location={"other:0": "meta"}).device.type == "cpu"
    assert again(x, map_location=place).tolist() == [1.0, 1.0] and seen == [(8, "cpu")]
    assert again(x, map_location=lambda storage, location: None).device.type == "cpu"
    with pytest.raises(TypeError, match="map_location can't be a int"):
        again(x, map_location=0)


# --- what save refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (print, "the object is a builtins.builtin_function_or_method"),
        ({"a": [object()]}, "the item at 'a.0' is a builtins.object"),
        (np.array(["a"]), "NumPy value of dtype"),
        ({"a": np.datetime64(1, "s")}, "the item at 'a' is a NumPy value"),
    ],
)
def test_save_refuses_what_is_not_plain_data(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=r"^save: ") as caught:
        saved(value)
    assert message in str(caught.value)


def test_save_refuses_cycles_and_endless_nesting() -> None:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    with pytest.raises(ValueError, match=r"item at '1\.again' contains itself"):
        saved(cycle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        saved(deep)


# --- damaged and hostile safetensors files ----------------------------------------------------


def container(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def native(tree: Any, specs: list[Any], version: int = 1) -> bytes:
    told = json.dumps({"version": version, "tree": tree, "tensors": specs})
    return container({"__metadata__": {"rushlight": told}, "x": entry([2], 0, 8)}, bytes(8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (container({"x": entry([2], 0, 8)}, bytes(7)), "bytes long"),
        (container({"x": entry([2], 0, 8)}, bytes(9)), "bytes long"),
        (container({"x": entry([3], 0, 8)}, bytes(8)), "takes 8 bytes"),
        (container({"x": entry([-2], 0, 8)}, bytes(8)), "has shape"),
        (container({"x": entry([2**62], 0, 2**64)}), "has shape"),
        (container({"x": entry([2], 0, 8), "y": entry([2], 4, 12)}, bytes(12)), "begins at byte"),
        (container({"x": entry([1], 4, 8)}, bytes(8)), "begins at byte"),
        (container({"x": {"dtype": "F32"}}), "lacks dtype, shape or data_offsets"),
        (container({"x": entry([1], 0, 1, "BOOL")}, b"\x02"), "neither 0 nor 1"),
        (container({"__metadata__": {"a": 1}}), "not a table of strings"),
        (container(b'{"x":1,"x":1}'), "a name occurs twice"),
        (container(b"{" + b"[" * 10), "not valid JSON"),
        (container(b'{"x":' + b"[" * 100_000), "not valid JSON"),
        ((2**40).to_bytes(8, "little") + b"{", "its header claims"),
        (native({"tensor": 1}, [{"entry": "x"}]), "there is no tensor 1"),
        (native({"tensor": -1}, [{"entry": "x"}]), "there is no tensor -1"),
        (native({"tensor": 0}, [{"entry": "y"}]), "KeyError"),
        (native({"tensor": 0}, [{"entry": "x", "shape": [3]}]), "reaches to byte 12"),
        (native({"tensor": 0}, [{"entry": "x", "offset": 1}]), "reaches to byte 12"),
        (native({"tensor": 0}, [{"entry": "x", "offset": -1}]), "are not all valid"),
        (native({"tensor": 0}, [{"entry": "x", "stride": [-1]}]), "are not all valid"),
        (native({"tensor": 0}, [{"entry": "x", "stride": [2**61]}]), "reaches to byte"),
        (native({"tensor": 0}, [{"entry": "x", "dtype": "object"}]), "not supported"),
        (native({"tensor": 0}, [{"entry": "x", "order": [1]}]), "order"),
        (native({"eval": "1"}, []), "KeyError: 'eval'"),
        (native({"array": 0}, [{"entry": "x"}]), "of another kind"),
        (native({}, []), "ValueError"),
    ],
)
def test_damaged_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(RuntimeError, match="is damaged") as caught:
        rl.load(io.BytesIO(data))
    assert message in str(caught.value)


def test_unsupported_files_are_refused() -> None:
    with pytest.raises(ValueError, match="unsupported dtype 'F4'"):
        rl.load(io.BytesIO(container({"x": entry([2], 0, 1, "F4")}, bytes(1))))
    with pytest.raises(ValueError, match="newer Rushlight"):
        rl.load(io.BytesIO(native(None, [], version=2)))
    with pytest.raises(EOFError, match="is empty"):
        rl.load(io.BytesIO())
    with pytest.raises(pickle.UnpicklingError, match="of no format that can be loaded"):
        rl.load(io.BytesIO(b"a,b\n1,2\n"))
    with pytest.raises(pickle.UnpicklingError, match="is a pickle"):
        rl.load(io.BytesIO(pickle.dumps([1])))
    with pytest.raises(pickle.UnpicklingError, match=r"PyTorch's format from before 1\.6"):
        rl.load(DATA / "torch_before_1_6.pt")
    with pytest.raises(ValueError, match="pickle_module can't be chosen"):
        rl.load(io.BytesIO(saved(1)), pickle_module=pickle)  # type: ignore[arg-type]


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.rl"
    path.write_bytes(saved(rl.ones(100))[:-4])
    with pytest.raises(RuntimeError, match=r"broken\.rl' is damaged or was not written completely"):
        rl.load(path)


# --- PyTorch's checkpoints --------------------------------------------------------------------


class Name:
    """A global, written into a pickle by name only."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        """Makes the pickler accept it as the function of a REDUCE."""


class Call:
    """The result of calling a global while unpickling, and the state it gets."""

    def __init__(self, name: Name, *args: Any, state: Any = None) -> None:
        self.name, self.args, self.state = name, args, state


class Storage:
    """A persistent id."""

    def __init__(self, kind: str, key: str, location: str, count: int) -> None:
        self.pid = ("storage", Name("torch", kind), key, location, count)


class Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Pickles as torch.save does, without torch."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save_reduce(obj.name, obj.args, obj.state)
        else:
            super().save(obj, save_persistent_id)


def checkpoint(obj: Any, storages: dict[str, bytes] | None = None, **records: bytes) -> bytes:
    program = io.BytesIO()
    if isinstance(obj, bytes):
        program.write(obj)
    else:
        Writer(program, 2).dump(obj)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", program.getvalue())
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in {"version": b"3\n", **records}.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
ORDERED = Name("collections", "OrderedDict")


def tensor_of(storage: Storage, offset: int, size: Any, stride: Any, grad: Any = False) -> Call:
    return Call(REBUILD, storage, offset, size, stride, grad, Call(ORDERED))


FLOATS = np.arange(6, dtype=np.float32).tobytes()
SIX = Storage("FloatStorage", "0", "cpu", 6)


def test_a_real_checkpoint_of_torch() -> None:
    found = rl.load(DATA / "torch_checkpoint.pt")
    weight = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert type(found["model"]) is OrderedDict and found["model"]._metadata[""] == {"version": 1}
    assert found["model"]["weight"].tolist() == weight and found["parameter"].requires_grad
    assert same(found["half"], rl.tensor([1.5, -2.0], dtype=rl.bfloat16))
    assert same(found["wide"], rl.tensor([1, 2**32 - 1], dtype=rl.uint32))
    assert found["transposed"].stride() == (1, 3) and found["step"].item() == 7
    found["base"][1] = 9.0
    assert found["row"].tolist() == [9.0, 2.0]
    assert (found["epoch"], found["betas"]) == (3, (0.9, 0.999))
    assert found["dtype"] is rl.float16 and type(found["size"]) is rl.Size
    assert found["device"] == rl.device("cpu")


def test_a_real_checkpoint_mapped() -> None:
    found = rl.load(DATA / "torch_checkpoint.pt", mmap=True, weights_only=False)
    assert found["transposed"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_tensors_without_torch() -> None:
    value = {
        "a": tensor_of(SIX, 1, (2, 2), (2, 1)),
        "p": Call(
            Name("torch._utils", "_rebuild_parameter"),
            tensor_of(SIX, 0, (6,), (1,)),
            True,
            Call(ORDERED),
        ),
        "meta": tensor_of(Storage("HalfStorage", "9", "meta", 4), 0, (4,), (1,)),
        "state": Call(ORDERED, [("k", 1)], state={"_metadata": {"": 1}}),
        "set": Call(Name("__builtin__", "set"), [1, 2]),
        "bytes": Call(Name("_codecs", "encode"), "\xff", "latin1"),
    }
    found = rl.load(io.BytesIO(checkpoint(value, {"0": FLOATS})))
    assert found["a"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert found["p"].requires_grad and found["meta"].dtype == rl.float16
    assert found["state"] == {"k": 1} and found["state"]._metadata == {"": 1}
    assert found["set"] == {1, 2} and found["bytes"] == b"\xff"


def test_tensors_from_an_absent_device_come_to_the_cpu_with_a_warning() -> None:
    away = Storage("FloatStorage", "0", "npu:0", 6)
    data = checkpoint(tensor_of(away, 0, (6,), (1,)), {"0": FLOATS})
    with pytest.warns(UserWarning, match=r"'npu:0', which can't be\s+used here"):
        assert rl.load(io.BytesIO(data)).device.type == "cpu"
    assert rl.load(io.BytesIO(data), map_location="cpu").tolist() == list(range(6))
    assert rl.load(io.BytesIO(data), map_location={"npu:0": "cpu"}).device.type == "cpu"


@pytest.mark.parametrize(
    "name",
    [
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("os", "system"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("collections", "OrderedDict.fromkeys"),
        ("rushlight.serialization", "os.system"),
    ],
)
def test_globals_off_the_list_are_refused(name: tuple[str, str]) -> None:
    for program in (
        f"c{name[0]}\n{name[1]}\n(X\x01\x00\x00\x001tR.".encode(),
        pickle.dumps(name[0], 4)[:-1] + pickle.dumps(name[1], 4)[2:-1] + b"\x93.",
    ):
        with pytest.raises(pickle.UnpicklingError, match=r"refers to|not valid") as caught:
            rl.load(io.BytesIO(checkpoint(program)))
        assert "<BytesIO>" in str(caught.value)


@pytest.mark.parametrize(
    "program",
    [
        b"(X\x01\x00\x00\x001i__builtin__\neval\n.",  # INST
        b"(c__builtin__\neval\nX\x01\x00\x00\x001o.",  # OBJ
        b"c__builtin__\neval\n)\x81.",  # NEWOBJ
        b"\x82\x01.",  # EXT1
        b"Pname\n.",  # PERSID
        b"X\x01\x00\x00\x00a(tR.",  # REDUCE of a string
        b"ctorch\nFloatStorage\n)R.",  # REDUCE of a storage class
        b"ctorch\nFloatStorage\n.",  # a storage class as a value
        b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00aNsb.",  # state for a global
        b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb.",  # attributes for a dict
        b"Nr\xff\xff\xff\x7f.",  # a memo of 2**31 places
        b"\x8a\xff\x01.",  # a truncated number
        b"(" * 1000,
        b"",
        b"X\x01\x00\x00\x00aQ.",  # BINPERSID of a string
    ],
)
def test_no_other_program_runs(program: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="<BytesIO>"):
        rl.load(io.BytesIO(checkpoint(program)))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"(X\x01\x00\x00\x001icollections\nOrderedDict\n.", "the opcode INST"),
        (b"(ccollections\nOrderedDict\no.", "the opcode OBJ"),
        (b"ccollections\nOrderedDict\n)\x81.", "the opcode NEWOBJ"),
        (b"\x82\x01.", "the opcode EXT1"),
        (b"Nr\xff\xff\xff\x7f.", "memoizes at 2147483647"),
        (b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00aNsb.", "a state for a Global"),
        (b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb.", "with attributes"),
    ],
)
def test_programs_are_refused_before_they_run(program: bytes, message: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=message):
        rl.load(io.BytesIO(checkpoint(program)))


def test_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(builtins, "eval", called.append)
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.eval|__builtin__\.eval"):
        rl.load(io.BytesIO(checkpoint(Call(Name("__builtin__", "eval"), "1"))))
    assert called == []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (tensor_of(SIX, 0, (7,), (1,)), "reaches to byte 28"),
        (tensor_of(SIX, 5, (2,), (1,)), "reaches to byte 28"),
        (tensor_of(SIX, 0, (2,), (2**62,)), "reaches to byte"),
        (tensor_of(SIX, -1, (2,), (1,)), "are not all valid"),
        (tensor_of(SIX, 5, (2,), (-1,)), "are not all valid"),
        (tensor_of(SIX, 0, (2, 1), (1,)), "differ in length"),
        (tensor_of(SIX, 0, (2,), (1,), grad=1), "requires_grad=1"),
        (tensor_of(SIX, 0, (2.0,), (1,)), "are not all valid"),
        (Call(REBUILD, 3, 0, (1,), (1,), False, None), "without a storage"),
        (Call(REBUILD, SIX, 0, (1,), (1,), False, None, {"conj": True}), "with the bits"),
        ({tensor_of(SIX, 0, (1,), (1,)): 1}, "a tensor as a key"),
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(tensor: Any, message: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match="its pickle is not valid") as caught:
        rl.load(io.BytesIO(checkpoint(tensor, {"0": FLOATS})))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (Storage("FloatStorage", "0", "cpu", 2**40), "has 24 bytes"),
        (Storage("DoubleStorage", "0", "cpu", 6), "has 24 bytes"),
        (Storage("FloatStorage", "0", "cpu", -1), "has 24 bytes"),
        (Storage("FloatStorage", "1", "cpu", 6), "storage '1' is missing"),
    ],
)
def test_storages_must_be_in_the_file(storage: Storage, message: str) -> None:
    data = checkpoint(tensor_of(storage, 0, (1,), (1,)), {"0": FLOATS})
    with pytest.raises(RuntimeError, match="is damaged") as caught:
        rl.load(io.BytesIO(data))
    assert message in str(caught.value)


def test_archives_of_other_kinds_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="TorchScript archive"):
        rl.load(io.BytesIO(checkpoint(1, **{"constants.pkl": b""})))
    with pytest.raises(ValueError, match="big-endian"):
        rl.load(io.BytesIO(checkpoint(1, byteorder=b"big")))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "hello")
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"not of torch\.save"):
        rl.load(file)
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000))
    file.seek(0)
    with pytest.raises(RuntimeError, match="is compressed"):
        rl.load(file)


def test_archives_that_claim_the_same_bytes_twice_are_refused() -> None:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(1, 2))
        archive.writestr("archive/data/0", bytes(10_000))
        again = copy.copy(archive.filelist[-1])
        again.filename = "archive/data/1"
        archive.filelist.append(again)
    file.seek(0)
    with pytest.raises(RuntimeError, match="members of its zip archive overlap"):
        rl.load(file)


@pytest.mark.parametrize("keep", [10, 100, 1000, 3000])
def test_cut_checkpoints_are_refused(keep: int) -> None:
    data = (DATA / "torch_checkpoint.pt").read_bytes()[:keep]
    with pytest.raises(RuntimeError, match="is damaged"):
        rl.load(io.BytesIO(data))


def test_flipped_bytes_never_go_unnoticed_in_the_data() -> None:
    data = bytearray(checkpoint(tensor_of(SIX, 0, (6,), (1,)), {"0": FLOATS}))
    place = data.index(FLOATS)
    data[place + 9] ^= 1
    with pytest.raises(RuntimeError, match="is damaged"):
        rl.load(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("kind", ["native", "torch"])
def test_no_flipped_byte_raises_anything_unexpected(kind: str) -> None:
    data = (DATA / "torch_checkpoint.pt").read_bytes()
    if kind == "native":
        data = saved({"w": rl.arange(6.0).reshape(2, 3).t(), "n": (1, 0.5), "o": {0: rl.ones(1)}})
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a device's name may be hit
        for _ in range(300):
            flipped, raised = bytearray(data), None
            flipped[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
            try:
                rl.load(io.BytesIO(bytes(flipped)))
            except (RuntimeError, ValueError, pickle.UnpicklingError) as found:
                raised = found
            assert raised is None or hasattr(raised, "summary"), raised


def test_nested_dags_do_not_explode() -> None:
    value: Any = [1]
    for _ in range(60):
        value = [value, value]
    found = rl.load(io.BytesIO(checkpoint(value)))
    assert found[0] is found[1]
