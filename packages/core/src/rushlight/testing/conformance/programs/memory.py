"""Memory: bits arrive as they were sent, views share them, and what is freed can be had again."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

import rushlight as rl

from ...._dtypes import ALL, DType, uint8
from ...._registered import operators
from ...._tensor.construction import convert, from_host, to_host
from ....backend._registry import dtypes_of, normalized
from .._asking import backend_of
from .._case import Skip
from ._table import program

HostArray = np.ndarray[Any, Any]
_SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (7,), (0,), (2, 0, 3), (5, 7), (2, 3, 4, 5))
_MEGABYTE = 1 << 20


def bits(x: rl.Tensor) -> bytes:
    """A tensor's values, bit by bit."""
    return np.ascontiguousarray(to_host(x.detach())).tobytes()


def extremes(dtype: DType) -> HostArray:
    """What a dtype can hold at its ends: NaN, infinities, both zeros, subnormal numbers."""
    kind = dtype.numpy
    if dtype.is_complex:
        parts = extremes(dtype.to_real())
        return (parts[:, None] + 1j * parts[None, :]).astype(kind).ravel()
    if dtype.is_inexact:
        tiny = float(rl.finfo(dtype).smallest_normal)
        numbers = [0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, tiny, -tiny, tiny / 2, tiny / 4]
        return np.array([*numbers, float(rl.finfo(dtype).max)]).astype(kind)
    if kind == np.bool_:
        return np.array([True, False])
    info = np.iinfo(kind)
    return np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], kind)


@program("memory", dtypes=ALL)
def round_trip(device: str, dtype: DType) -> None:
    """What is copied to the device and back has the same bits, whatever its shape."""
    x = extremes(dtype)
    assert bits(from_host(x, normalized(device))) == x.tobytes()
    for shape in _SHAPES:
        host = np.resize(x, shape)
        y = from_host(host, normalized(device))
        assert (tuple(y.shape), y.dtype) == (shape, dtype)
        assert bits(y) == host.tobytes(), f"shape {shape}"


@program("memory", needs=(rl.float32,))
def host_memory_is_copied(device: str) -> None:
    """A transfer is a copy: neither side sees what the other does later."""
    if backend_of(device).manifest.host_memory:
        raise Skip("the device's memory is the host's")
    host = np.arange(6, dtype=np.float32)
    x = from_host(host, normalized(device))
    host[:] = -1
    assert x.tolist() == [0, 1, 2, 3, 4, 5], "a change of the host's array reached the device"
    back = to_host(x)
    x.zero_()
    assert back.tolist() == [0, 1, 2, 3, 4, 5], "a change on the device reached what was read"


@program("memory", dtypes=ALL)
def clone(device: str, dtype: DType) -> None:
    """A clone has the same bits in memory of its own."""
    host = extremes(dtype)
    x = from_host(host, normalized(device))
    y = operators["clone"](x)
    x.zero_()
    assert bits(y) == host.tobytes()


@program("memory", dtypes=ALL)
def fill(device: str, dtype: DType) -> None:
    """Factories fill all elements, in any number of them; `fill_` leaves the gaps of a view."""
    for size in (0, 1, 31, 33, 1025):
        assert (to_host(rl.full((size,), 1, dtype=dtype, device=device)) == 1).all()
        assert not to_host(rl.zeros(size, dtype=dtype, device=device)).any()
    x = rl.zeros(4, 5, dtype=dtype, device=device)
    x[1:3, ::2] = 1
    expected = np.zeros((4, 5), dtype.numpy)
    expected[1:3, ::2] = 1
    assert (to_host(x) == expected).all(), to_host(x)


@program("memory", step=1, dtypes=ALL)
def conversion(device: str, dtype: DType) -> None:
    """Casts and casting copies convert alike, to all dtypes."""
    numbers = np.array([0, 1, 2, 3, 77, 100]) % (2 if dtype is rl.bool else 128)
    host = convert(numbers, dtype)
    x = from_host(host, normalized(device))
    for other in sorted(dtypes_of(device), key=ALL.index):
        expected = convert(host, other)
        assert bits(x.to(other)) == expected.tobytes(), f"cast to {other.name}"
        y = rl.zeros(6, dtype=other, device=device)
        assert bits(y.copy_(x)) == expected.tobytes(), f"copy_ to {other.name}"
        z = rl.zeros(12, dtype=other, device=device)[::2]
        assert bits(z.copy_(rl.tensor(host.tolist(), dtype=dtype, device=device))) == (
            expected.tobytes()
        ), f"copy_ into every second element of {other.name}"


@program("memory", step=1)
def float_to_integer_truncates(device: str) -> None:
    """Floats lose their fraction, towards zero; NaN is True."""
    x = rl.tensor([-2.7, -0.5, 0.0, 0.5, 2.7], device=device)
    assert x.to(rl.int64).tolist() == [-2, 0, 0, 0, 2]
    y = rl.tensor([0.0, -0.0, 0.25, float("nan")], device=device)
    assert y.to(rl.bool).tolist() == [False, False, True, True]


@program("memory", step=1)
def views_share_memory(device: str) -> None:
    """A write through a view of a view of a view reaches the base, and nothing beside."""
    x = rl.zeros(4, 6, device=device)
    x.t()[1:5, ::2][2].fill_(3.0)
    expected = np.zeros((4, 6))
    expected.T[1:5, ::2][2] = 3
    assert (to_host(x) == expected).all(), to_host(x)
    x.view(-1)[-1] = 5.0
    assert x[3, 5].item() == 5
    assert x[1].data_ptr() == x.data_ptr() + 24


@program("memory", step=1)
def addresses(device: str) -> None:
    """Memory in use at the same time has different addresses."""
    made = [rl.zeros(n, device=device) for n in range(1, 9)]
    assert len({x.data_ptr() for x in made}) == len(made), [x.data_ptr() for x in made]


@program("memory", step=1, needs=(rl.bool, rl.float32))
def odd_sizes(device: str) -> None:
    """Memory of any number of bytes is as large as was asked, and its own."""
    made = [rl.empty(n, dtype=rl.bool, device=device) for n in range(1, 70)]
    for number, x in enumerate(made):
        x.fill_(number % 2 == 0)
    for number, x in enumerate(made):
        assert x.tolist() == [number % 2 == 0] * len(x), f"{len(x)} bytes were written by others"


@program("memory", step=1)
def strided_copies(device: str) -> None:
    """Copies between different layouts put elements where they belong."""
    host = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    x = from_host(host, normalized(device))
    turned = rl.zeros(5, 4, 3, device=device).permute(2, 1, 0)
    turned.copy_(x)
    assert (to_host(turned) == host).all()
    wide = rl.zeros(3, 8, 10, device=device)
    wide[:, 1::2, ::2].copy_(x)
    expected = np.zeros((3, 8, 10), np.float32)
    expected[:, 1::2, ::2] = host
    assert (to_host(wide) == expected).all()
    wide.copy_(x[:, :1, :1])
    assert (to_host(wide) == np.broadcast_to(host[:, :1, :1], (3, 8, 10))).all()
    windows = rl.as_strided(x, (7, 8), (5, 1), 3)
    seen = np.lib.stride_tricks.as_strided(host.ravel()[3:], (7, 8), (20, 4))
    assert (to_host(operators["clone"](windows)) == seen).all()


@program("memory", step=1)
def large_views(device: str) -> None:
    """The far end of large memory is reached, in both directions of copying."""
    count = 1_500_007
    x = rl.arange(count, device=device)
    tail = x[count - 5 :]
    assert tail.tolist() == list(range(count - 5, count))
    tail.copy_(rl.tensor([1, 2, 3, 4, 5]))
    assert x[count - 6 :].tolist() == [count - 6, 1, 2, 3, 4, 5]
    every = x[::1000]
    assert (to_host(operators["clone"](every)) == np.arange(0, count, 1000)).all()
    assert int(to_host(x).sum()) == sum(range(count - 5)) + 15


@program("memory", step=1)
def reads_wait(device: str) -> None:
    """What is read is what all calls before have computed."""
    x = rl.zeros(1000, device=device)
    for _ in range(100):
        x += 1
    y = x.clone()
    x.zero_()
    assert y.tolist() == [100.0] * 1000
    assert x.tolist() == [0.0] * 1000
    z = rl.ones(1000, device=device)
    copied = z.to("cpu") if device != "cpu" else z.clone()
    z.fill_(7)
    assert copied.tolist() == [1.0] * 1000


@program("memory", step=1, needs=(uint8,))
def memory_is_used_again(device: str) -> None:
    """What is freed can be had again: 300 MiB in pieces of 1 MiB leave nothing behind."""
    runtime = backend_of(device).runtime(normalized(device).index or 0)
    stats = getattr(runtime, "memory_stats", None)

    def held() -> int | None:
        gc.collect()
        runtime.synchronize()
        return None if stats is None else int(stats().get("allocated", 0))

    def turn() -> None:
        x = rl.zeros(_MEGABYTE, dtype=uint8, device=device)
        y = x[10:].clone()
        y[3] = 1
        assert int(y[3].item()) == 1

    turn()
    before = held()
    for _ in range(150):
        turn()
    after = held()
    assert before is None or after is None or after - before < _MEGABYTE, f"{before} to {after}"


@program("memory", step=1, needs=(uint8, rl.float32))
def running_out_is_an_exception(device: str) -> None:
    """What can't be had is refused with an exception, and the device goes on."""
    x = rl.ones(3, device=device)
    try:
        huge = rl.empty(1 << 50, dtype=uint8, device=device)
        huge[-1] = 1
        huge[-1].item()
    except (MemoryError, RuntimeError):
        pass
    else:
        raise AssertionError("the device gave 1 PiB")
    assert x.tolist() == [1, 1, 1]
    assert rl.full((2,), 4.0, device=device).tolist() == [4, 4]
