"""Saving and loading: tensors and what holds them, to files that are only data.

Files are safetensors with a description of the nesting in their metadata, so any safetensors
reader sees the tensors, and loading never runs code. PyTorch's checkpoints are read, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ._checkpoint.classes import register_tensor_class as register_tensor_class
from ._errors import error

# The formats are imported where they are used: zip files, pickles and mappings take time to
# import, which programs that save nothing should not spend.

__all__ = ["load", "register_tensor_class", "save"]


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Saves tensors, and plain Python data around them, to a file.

    A file given by its path is replaced in one step when all of it was written: a crash leaves
    the old file as it was. Tensors that share memory are written once and share memory when they
    are loaded. Programs without Rushlight can read the tensors with any safetensors library.

    Args:
        obj: Tensor, NumPy array, number, string, bytes, None, dtype or device, or dicts, lists,
            tuples and sets of these, nested as you like: what `state_dict()` returns.
        f: Path, or a file object opened for writing bytes.

    Raises:
        TypeError: Something in `obj` is not plain data, such as a module or a function.
        ValueError: A container holds itself, or is nested too deeply.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> rushlight.save({"weight": rushlight.ones(2), "epoch": 3}, file)
        >>> _ = file.seek(0)
        >>> rushlight.load(file)
        {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    import json

    from ._checkpoint import container, native
    from ._checkpoint.entries import Plan
    from ._checkpoint.structure import Encoder

    encoder = Encoder()
    try:
        tree = encoder.encode(obj)
        plan = Plan(encoder.leaves)
        told = json.dumps({"version": native.VERSION, "tree": tree, "tensors": plan.specs})
    except RecursionError:
        raise error(
            ValueError,
            "save",
            "the object is nested too deeply",
            fix="flatten it, for example into one dict with dotted keys",
        ) from None
    with _writing(f) as file:
        container.write(file, plan.entries, {native.KEY: told})


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: None = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
) -> Any:
    """Loads what `rushlight.save` or `torch.save` wrote, or a safetensors file.

    Nothing in a file is ever executed: PyTorch's files are read by an interpreter that knows
    tensors and plain containers only. All sizes are checked against the file before memory is
    taken. Tensors return to the devices they were saved from; where there is no such device, to
    the CPU, with a warning.

    Args:
        f: Path, or a file object opened for reading bytes.
        map_location: Where tensors go instead: a device or its name; a dict from saved to new
            device names; or a function of the storage (on the CPU) and the saved location, which
            returns a storage or device, or None for the usual place.
        pickle_module: Must be None: pickles are never executed.
        weights_only: Accepted for programs written for torch; files are only ever data here.
        mmap: Maps the file into memory: its pages are read when they are first needed.

    Returns:
        The saved object; for a safetensors file of another program a dict of its tensors.

    Raises:
        pickle.UnpicklingError: A PyTorch file holds something that is not plain data.
        RuntimeError: The file is damaged.
        ValueError: The format, or a dtype in it, is not supported.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> rushlight.save([rushlight.ones(2), "note"], file)
        >>> _ = file.seek(0)
        >>> rushlight.load(file, map_location="meta")
        [tensor(..., device='meta', size=(2,)), 'note']
    """
    if pickle_module is not None:
        raise error(
            ValueError,
            "load",
            "pickle_module can't be chosen, because no pickle is executed",
            fix="leave it out",
        )
    from ._checkpoint import container, native
    from ._checkpoint.build import Builder
    from ._checkpoint.sources import opened
    from ._checkpoint.torch_zip import ZIP_MAGIC, read_torch, refuse_unknown

    with opened(f, bool(mmap)) as source:
        if source.size == 0:
            raise error(EOFError, "load", f"{source.name} is empty", fix="save it again")
        builder = Builder(source.name, map_location)
        if source.read(0, 4) == ZIP_MAGIC:
            value = read_torch(source)
        elif container.looks_like(source):
            value = native.read(source)
        else:
            raise refuse_unknown(source)
        return builder.build(value)


@contextmanager
def _writing(f: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    """The file to write to; a path gets its new content only if the block succeeds."""
    if not isinstance(f, str | os.PathLike):
        if not hasattr(f, "write"):
            raise error(
                TypeError,
                "save",
                f"can't write to a {type(f).__name__}",
                expected="a path or a file object opened for writing bytes",
            )
        yield f
        return
    target = os.path.realpath(f)  # through links: they stay links
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as device:  # a pipe or a device can't be replaced
            yield device
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
