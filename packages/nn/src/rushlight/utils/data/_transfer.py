"""How a batch gets from a worker process to the main one.

Pickle protocol 5 leaves large buffers out of the pickle. Where the system has anonymous memory that
can be sent as a file descriptor (Linux), the buffers go there: the other process maps them without
a copy, and the kernel frees them when the last map is gone, however the processes end. Elsewhere
they go through the pipe.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import rushlight
from rushlight import Tensor

# From this many bytes on, mapping shared pages costs less than two copies through a pipe.
_SHARED_FROM = 1 << 16
# Cache lines: no array shares one with its neighbour.
_ALIGNMENT = 64

# Integers of the same size carry the bits of dtypes that NumPy does not have.
_CARRIERS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
_NUMPY_NAMES = frozenset(
    """bool uint8 uint16 uint32 uint64 int8 int16 int32 int64
    float16 float32 float64 complex64 complex128""".split()
)


def _dtype_name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def _rebuild_tensor(array: np.ndarray[Any, Any], name: str, requires_grad: bool) -> Tensor:
    if not array.flags.writeable:  # buffers that were pickled in band
        array = array.copy()
    tensor = rushlight.from_numpy(array)
    if name:
        tensor = tensor.view(getattr(rushlight, name))
    return tensor.requires_grad_() if requires_grad else tensor


def _reduce_tensor(tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    host = tensor.detach().cpu().contiguous()
    name = _dtype_name(host.dtype)
    if name in _NUMPY_NAMES:
        array, name = host.resolve_conj().resolve_neg().numpy(), ""
    else:
        array = host.view(getattr(rushlight, _CARRIERS[host.element_size()])).numpy()
    leaf_grad = bool(tensor.requires_grad and tensor.is_leaf)
    return _rebuild_tensor, (array, name, leaf_grad)


class _BatchPickler(pickle.Pickler):
    """Pickles tensors as NumPy arrays, whose memory may stay out of the pickle."""

    def __init__(self, file: io.BytesIO, buffer_callback: Callable[[Any], Any]) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            return _reduce_tensor(obj)
        return NotImplemented


def send(connection: Connection, message: Any) -> None:
    """Sends a message; whatever can go wrong in pickling goes wrong before a byte is sent."""
    buffers: list[memoryview] = []

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: stays in the pickle
            return True
        buffers.append(view)
        return False

    file = io.BytesIO()
    _BatchPickler(file, keep_out).dump(message)
    sizes = [view.nbytes for view in buffers]
    offsets, total = _offsets(sizes)
    small = [bytearray(view) for view in buffers] if total < _SHARED_FROM else None
    descriptor = None if small is not None else _shared_copy(buffers, offsets, total)
    shared = descriptor is not None
    connection.send((file.getvalue(), sizes, small, shared))
    if descriptor is not None:
        try:
            _send_descriptor(connection, descriptor)
        finally:
            os.close(descriptor)
    elif small is None:
        for view in buffers:
            connection.send_bytes(view)


def receive(connection: Connection) -> Any:
    """Receives what `send` sent.

    Raises:
        EOFError: The other process is gone.
    """
    pickled, sizes, small, shared = connection.recv()
    buffers: list[Any]
    if small is not None:
        buffers = small
    elif shared:
        offsets, total = _offsets(sizes)
        memory = _mapped(_receive_descriptor(connection), total)
        buffers = [
            memory[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)
        ]
    else:
        buffers = [_received_bytes(connection, size) for size in sizes]
    return pickle.loads(pickled, buffers=buffers)


def _received_bytes(connection: Connection, size: int) -> bytearray:
    buffer = bytearray(size)
    if size:
        connection.recv_bytes_into(buffer)
    else:
        connection.recv_bytes()
    return buffer


def _offsets(sizes: list[int]) -> tuple[list[int], int]:
    """Where each buffer begins in one block of memory, and the size of the block."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return offsets, end


# Anonymous shared memory, where the system has it -----------------------------------------


def _shared_copy(buffers: list[memoryview], offsets: list[int], total: int) -> int | None:
    """A descriptor of memory that holds copies of all buffers; None where that is impossible."""
    create = getattr(os, "memfd_create", None)
    if create is None:
        return None
    try:
        descriptor: int = create("rushlight-batch")
    except OSError:
        return None
    try:
        # Reserving the pages turns a full machine into an error here, not a SIGBUS below.
        os.posix_fallocate(descriptor, 0, total)
        with mmap.mmap(descriptor, total) as memory:
            target = np.frombuffer(memory, dtype=np.uint8)
            for view, offset in zip(buffers, offsets, strict=True):
                target[offset : offset + view.nbytes] = np.frombuffer(view, dtype=np.uint8)
            del target
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _send_descriptor(connection: Connection, descriptor: int) -> None:
    import socket
    from multiprocessing.reduction import sendfds

    with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        sendfds(channel, [descriptor])


def _receive_descriptor(connection: Connection) -> int:
    import socket
    from multiprocessing.reduction import recvfds

    with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        try:
            (descriptor,) = recvfds(channel, 1)
        except RuntimeError as raised:  # cut off in the middle
            raise EOFError from raised
    return int(descriptor)


def _mapped(descriptor: int, total: int) -> memoryview:
    """The memory behind a descriptor, which is closed; the memory lives as long as its views."""
    try:
        return memoryview(mmap.mmap(descriptor, total))
    except OSError:  # too many maps in this process
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return memoryview(bytearray(file.read(total)))
    finally:
        os.close(descriptor)
