"""What the NumPy kernels do with large arrays: memory from a pool, and work in several threads."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import CpuDevice, make_backend
from rushlight_cpu.kernels import (
    _memory,
    _parallel,
    _strips,
    _windows,
    convolution,
    elementwise,
    lstm_layers,
    normalization,
    products,
)
from rushlight_cpu.kernels._memory import LEAST, Pool

MIB = 2**20
BACKEND = make_backend("cpu", _native.Tier(None, "for tests"))


def kernel(name: str, dtype: Any = rushlight.float32) -> Any:
    found = BACKEND.find_kernel(name, dtype)
    assert found is not None
    return found


# The pool


def test_large_arrays_are_aligned_and_found_again() -> None:
    pool = Pool(limit=64 * MIB)
    x = pool.empty((1024, 512), np.float32)
    assert x.flags.c_contiguous and x.flags.writeable and x.ctypes.data % 64 == 0
    where = x.ctypes.data
    del x
    y = pool.empty((2 * MIB,), np.int8)
    assert y.ctypes.data == where
    assert pool.stats() == {
        "allocated": 2 * MIB, "peak": 2 * MIB, "reserved": 2 * MIB, "idle": 0,
        "reused": 1, "fresh": 1,
    }  # fmt: skip


def test_small_arrays_are_numpys_own() -> None:
    pool = Pool()
    assert pool.empty(LEAST - 1, np.int8).base is None
    assert pool.empty((), np.float32).shape == () and pool.empty((0, 5), np.float64).size == 0
    assert pool.stats()["fresh"] == 0


def test_bfloat16_has_its_dtype() -> None:
    x = Pool().empty((MIB,), ml_dtypes.bfloat16)
    x[...] = 1.5
    assert x.dtype == ml_dtypes.bfloat16 and float(x.sum(dtype=np.float32)) == 1.5 * MIB


@pytest.mark.parametrize("alias", ["slice", "transpose", "memoryview", "bytes", "tensor"])
def test_memory_is_not_handed_out_while_anything_sees_it(alias: str) -> None:
    pool = Pool(limit=64 * MIB)
    x = pool.empty((1024, 256), np.float32)
    where = x.ctypes.data
    seen: Any = {
        "slice": lambda x: x[3:4, ::2][0, :1],
        "transpose": lambda x: x.T.reshape(256, 1024)[::-1],
        "memoryview": lambda x: memoryview(x)[5:6],
        "bytes": lambda x: x.view(np.uint8).reshape(-1)[7:8],
        "tensor": lambda x: rushlight.from_numpy(x)[0, 0],
    }[alias](x)
    del x
    assert pool.empty((1024, 256), np.float32).ctypes.data != where
    del seen
    found = {a.ctypes.data for a in [pool.empty((1024, 256), np.float32) for _ in range(2)]}
    assert where in found


def test_idle_memory_stays_within_the_limit() -> None:
    pool = Pool(limit=3 * MIB)
    arrays = [pool.empty(MIB, np.int8) for _ in range(8)]
    assert pool.stats()["reserved"] == 8 * MIB
    del arrays
    keep = pool.empty(2 * MIB, np.int8)  # of another size: the oldest of the idle ones go
    stats = pool.stats()
    assert stats["allocated"] == keep.nbytes and stats["idle"] <= 3 * MIB
    pool.set_limit(0)
    assert pool.stats()["idle"] == 0


def test_a_program_that_repeats_itself_finds_its_memory_again() -> None:
    pool = Pool()

    layers = {1: 5, 5: 10}, {4: 2, 6: 4}, {6: 3, 5: 1}  # MiB, and how many at once

    def step() -> int:
        """How many buffers had to be made."""
        before = pool.stats()["fresh"]
        for layer in layers:
            held = [pool.empty(size * MIB, np.int8) for size, n in layer.items() for _ in range(n)]
            held.clear()
        return pool.stats()["fresh"] - before

    steps = [step() for _ in range(30)]
    assert steps[1] > 0 and steps[-1] == 0


def test_emptying_the_cache_frees_what_is_idle_and_nothing_else() -> None:
    pool = Pool()
    keep, gone = pool.empty(MIB, np.int8), pool.empty(MIB, np.int8)
    keep[...] = 7
    del gone
    pool.empty_cache()
    assert pool.stats()["reserved"] == MIB and (keep == 7).all()
    pool.reset_peak()
    assert pool.stats()["peak"] == MIB


def test_steady_use_makes_no_new_buffers() -> None:
    pool = Pool(limit=256 * MIB)
    sizes = [MIB, 5 * MIB, 3 * MIB, 9 * MIB]
    for step in range(6):
        arrays = [pool.empty(size, np.int8) for size in sizes for _ in range(3)]
        if step == 0:
            fresh = pool.stats()["fresh"]
        del arrays
    assert pool.stats()["fresh"] == fresh == 12


def test_threads_never_share_a_buffer() -> None:
    pool = Pool(limit=64 * MIB)
    wrong: list[int] = []

    def use(number: int) -> None:
        for _ in range(100):
            x = pool.empty((MIB,), np.uint8)
            x[::4096] = number
            if (x[::4096] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and pool.stats()["allocated"] == 0


def _child(answers: Any) -> None:
    x = rushlight.ones(1024, 1024, device="cpu_numpy")
    answers.put(float(((x @ x) + x).sum()))


def test_a_forked_child_computes() -> None:
    _child(local := _Answers())
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_child, args=(answers,))
    child.start()
    assert answers.get(timeout=60) == local.found
    child.join(60)


class _Answers:
    found = 0.0

    def put(self, value: float) -> None:
        self.found = value


def test_the_device_tells_and_empties_the_pool() -> None:
    device = rushlight.device("cpu_numpy")
    runtime = CpuDevice(_native.Tier(None, "for tests"))
    x = rushlight.empty(4 * MIB, dtype=rushlight.uint8, device=device)
    assert runtime.memory_stats()["allocated"] >= x.nbytes
    del x
    runtime.empty_cache()
    runtime.reset_peak()
    stats = runtime.memory_stats()
    assert stats["reserved"] == stats["allocated"] == stats["peak"]


# Work in several threads


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Splits among so many threads whatever can be split."""
    before, split = _parallel.thread_count(), _parallel.split

    def eager(size: int, work: float, task: Any, enough: float = 0) -> Any:
        return split(size, 1e18, task)

    for module in (_parallel,):
        monkeypatch.setattr(module, "split", eager)
    _parallel.set_thread_count(request.param)
    yield request.param
    _parallel.set_thread_count(before)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 3.0]
SIZE = 2**18 + 4711  # several units, and a rest


def numbers(dtype: Any = np.float32) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(SIZE).astype(dtype) for _ in range(2))
    for at in (0, 2**16 - 4, SIZE - 8):
        x[at : at + 8] = SPECIAL
        y[at : at + 8] = SPECIAL[::-1]
    return x, y


def ufunc(name: str) -> Any:
    return {"mul": np.multiply, "div": np.true_divide, "gt": np.greater, "neg": np.negative}.get(
        name
    ) or getattr(np, name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["exp", "tanh", "sqrt", "log1p", "neg", "isnan", "abs"])
def test_unary_functions_in_parts(threads: int, name: str) -> None:
    x, _ = numbers()
    run, expected = kernel(name), ufunc(name)(x)
    np.testing.assert_array_equal(run(x), expected)
    into = np.empty_like(expected)
    assert run(x, out=into) is into
    np.testing.assert_array_equal(into, expected)
    run(x, out=x) if expected.dtype == x.dtype else None
    halves = np.ascontiguousarray(numbers()[0][::2])
    np.testing.assert_array_equal(run(numbers()[0][::2]), ufunc(name)(halves))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "gt"])
def test_binary_functions_in_parts(threads: int, name: str) -> None:
    x, y = numbers()
    run, theirs = kernel(name), ufunc(name)
    np.testing.assert_array_equal(run(x, y), theirs(x, y))
    np.testing.assert_array_equal(run(x, np.array(3, np.float32)), theirs(x, np.float32(3)))
    np.testing.assert_array_equal(run(np.array(3, np.float32), y), theirs(np.float32(3), y))
    wide, row = x[: 2**18].reshape(512, 512), y[:512]
    for a, b in (
        (wide, row),
        (row, wide),
        (wide, row[:, None]),
        (wide, wide.T),
        (row, row[:, None]),
    ):
        np.testing.assert_array_equal(run(a, b), theirs(a, b))
    cube = x[: 2**18].reshape(4, 256, 256)
    np.testing.assert_array_equal(run(cube, cube[:1]), theirs(cube, cube[:1]))


def test_operands_that_overlap_the_result_are_read_before_they_are_written(threads: int) -> None:
    x = np.arange(2.0**19, dtype=np.float32)
    expected = x[:-1] + x[:-1]
    kernel("add")(x[:-1], x[:-1].copy(), out=x[1:])
    np.testing.assert_array_equal(x[1:], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_and_its_gradient(threads: int, dtype: Any) -> None:
    g, y = numbers(dtype)
    kind = rushlight.float32 if dtype == np.float32 else rushlight.float64
    np.testing.assert_array_equal(kernel("relu", kind)(y), np.maximum(y, 0))
    found = kernel("relu_backward", kind)(g, y)
    np.testing.assert_array_equal(found, np.where(y > 0, g, 0))
    assert not np.signbit(found[~(y > 0)]).any()
    small = elementwise.relu_backward(g[:6].reshape(2, 3), y[:6].reshape(2, 3).T.copy().T)
    np.testing.assert_array_equal(small, np.where(y[:6] > 0, g[:6], 0).reshape(2, 3))


@pytest.mark.parametrize("name", ["mm", "linear", "linear_weight", "matmul", "bmm"])
def test_products_do_not_depend_on_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((700, 600)).astype(np.float32) for _ in range(2))
    arguments: dict[str, tuple[Any, ...]] = {
        "mm": (a, b.T),
        "matmul": (a.reshape(7, 100, 600), b.T),
        "linear": (a.reshape(7, 100, 600), b, b[:, 0].copy()),
        "linear_weight": (a, b),
        "bmm": (a.reshape(7, 100, 600), b.reshape(7, 100, 600).swapaxes(1, 2)),
    }
    before = _parallel.thread_count()
    found = []
    try:
        for count in (1, 2, 5):
            _parallel.set_thread_count(count)
            found.append(kernel(name)(*arguments[name]))
    finally:
        _parallel.set_thread_count(before)
    x, y, *bias = (v.astype(np.float64) for v in arguments[name])
    exact = {
        "linear": lambda: x @ y.T + bias[0], "linear_weight": lambda: x.T @ y,
    }.get(name, lambda: x @ y)()  # fmt: skip
    np.testing.assert_allclose(found[0], exact, atol=1e-3)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_products_of_transposed_stacks() -> None:
    rng = np.random.default_rng(0)
    g = rng.standard_normal((9, 70, 600)).astype(np.float32).swapaxes(0, 1)
    x = rng.standard_normal((70, 9, 500)).astype(np.float32)
    for a, b in ((g, x), (x, g)):
        rows = a.reshape(630, -1).astype(np.float64), b.reshape(630, -1).astype(np.float64)
        found = kernel("linear_weight")(a, b)
        np.testing.assert_allclose(found, rows[0].T @ rows[1], atol=1e-3)
    for columns in (300, 700):  # a result that is narrower than the operand, and a wider one
        matrix = rng.standard_normal((600, columns)).astype(np.float32)
        found = kernel("matmul")(g, matrix)
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, g.astype(np.float64) @ matrix, atol=1e-3)


def test_channel_statistics_are_those_of_the_whole_batch(threads: int) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((6, 5, 40, 41)) * 3 + 1000).astype(np.float32)
    x[2] += 50  # images whose means differ
    mean, variance = normalization.batch_norm_stats(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, wide.var(axis=(0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("shape", [(40, 6, 31, 33), (9, 700, 12), (300, 2, 1, 600)], ids=str)
def test_sums_over_all_but_the_channels(
    threads: int, shape: tuple[int, ...], keepdim: bool
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[1, 1] = np.inf
    dim = (*range(2, x.ndim), 0)
    for y in (x, np.ascontiguousarray(x.T).T):
        found = kernel("sum")(y, dim=dim, keepdim=keepdim)
        expected = x.astype(np.float64).sum(axis=dim, keepdims=keepdim)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-3)
    _parallel.set_thread_count(1)
    np.testing.assert_array_equal(kernel("sum")(y, dim=dim, keepdim=keepdim), found)


def test_an_error_in_one_part_reaches_the_caller_when_all_are_done(threads: int) -> None:
    done = []

    def part(start: int, stop: int) -> None:
        if start == 0:
            raise ValueError("of the first part")
        done.append(start)

    with pytest.raises(ValueError, match="first part"):
        _parallel.split(threads, 1.0, part)
    assert len(done) == threads - 1


@pytest.mark.parametrize("shape", [(1024, 1024), (3, 700, 500), (0, 5), ()])
def test_copies_fills_and_casts(threads: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    turned = x.T
    for y in (x, turned):
        copy = kernel("clone", rushlight.float64)(y)
        assert copy.flags.c_contiguous and not np.may_share_memory(copy, x)
        np.testing.assert_array_equal(copy, y)
        cast = kernel("cast", rushlight.float64)(y, dtype=rushlight.float32)
        assert cast.dtype == np.float32 and cast.flags.c_contiguous
        np.testing.assert_array_equal(cast, y.astype(np.float32))
    full = kernel("full")(shape=shape, value=2.5, dtype=rushlight.float32)
    assert full.shape == shape and full.dtype == np.float32 and (full == 2.5).all()


def test_memory_of_products_comes_from_the_pool() -> None:
    x = np.ones((600, 600), np.float32)
    before = _memory.POOL.stats()["allocated"]
    kept = products.mm(x, x)
    assert _memory.POOL.stats()["allocated"] > before and (kept == 600).all()


@pytest.mark.parametrize("strips", [1, 3000, 2**20], ids=["bands", "few-images", "whole"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 1), (5, 2), (1, 4)], ids=str)
def test_convolution_over_strips(
    monkeypatch: pytest.MonkeyPatch, kernel_size: tuple[int, int], stride: int, strips: int
) -> None:
    monkeypatch.setattr(_strips, "STRIPS", strips)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3, 13, 9))[:, :, ::-1]
    x[2, 1, 4, 4] = np.inf
    weight = rng.standard_normal((4, 3, *kernel_size))
    for padding in ((0, 0), (2, 1), (0, 3)):
        for dilation in ((1, 1), (1, 2)):
            settings: Any = ((stride, stride), padding, dilation)
            size = convolution._output_size(x.shape[2:], kernel_size, *settings)
            found, expected = (np.full((5, 4, *size), 7.0) for _ in range(2))
            _strips.conv(x, weight, *settings, found, 1e9)
            _windows.conv(x, weight, *settings, expected, 1.0)
            np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("strips", [1, 3000, 2**20], ids=["bands", "few-images", "whole"])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_weights_over_strips(
    monkeypatch: pytest.MonkeyPatch, threads: int, stride: int, strips: int
) -> None:
    monkeypatch.setattr(_strips, "STRIPS", strips)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 2, 13, 9))
    settings: Any = ((3, 4), (stride, stride), (2, 1), (1, 2))
    size = convolution._output_size(x.shape[2:], *settings)
    g = rng.standard_normal((5, 4, *size))
    found = _strips.conv_grad_weight(g, x, *settings, 1e9)
    expected = _windows.conv_grad_weight(g, x, *settings, lambda part: [part(0, 5)])
    np.testing.assert_allclose(found, expected, atol=1e-11)
    _parallel.set_thread_count(1)
    np.testing.assert_array_equal(found, _strips.conv_grad_weight(g, x, *settings, 1e9))


@pytest.mark.parametrize("spread", [1, 2**19], ids=["one-image", "whole"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (1, 3)], ids=str)
@pytest.mark.parametrize("kernel_size", [(3, 3), (1, 1), (5, 2), (4,)], ids=str)
def test_gradients_of_inputs_spread_from_strips(
    monkeypatch: pytest.MonkeyPatch,
    kernel_size: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    stride: int,
    spread: int,
) -> None:
    monkeypatch.setattr(_strips, "SPREAD", spread)
    rng = np.random.default_rng(0)
    dims = len(kernel_size)
    settings: Any = (kernel_size, (stride,) * dims, padding[-dims:], dilation[-dims:])
    size = (13, 9)[-dims:]
    out = convolution._output_size(size, *settings)
    weight, g = rng.standard_normal((4, 3, *kernel_size)), rng.standard_normal((5, 4, *out))
    found = np.full((5, 3, *size), 7.0)
    _strips.conv_grad_input(g, weight, *settings[1:], found, 1e9)
    # The gradient is the adjoint of the convolution.
    x = rng.standard_normal(found.shape)
    y = kernel("conv", rushlight.float64)(
        x, weight, stride=settings[1], padding=settings[2], dilation=settings[3], groups=1
    )
    np.testing.assert_allclose((found * x).sum(), (y * g).sum(), rtol=1e-10)


@pytest.mark.parametrize(
    ("channels", "outer", "groups", "width"),
    [(24, 16, 1, 3), (4, 8, 2, 3), (24, 40, 1, 1), (24, 24, 24, 3)],
    ids=["windows", "planes", "pointwise", "depthwise"],
)
def test_gradients_of_weights_do_not_depend_on_the_number_of_threads(
    channels: int, outer: int, groups: int, width: int
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((23, channels, 60, 60)).astype(np.float32)
    g = rng.standard_normal((23, outer, 60, 60)).astype(np.float32)
    weight = rng.standard_normal((outer, channels // groups, width, width)).astype(np.float32)
    settings: Any = {
        "stride": (1, 1), "padding": (width // 2,) * 2, "dilation": (1, 1), "groups": groups,
    }  # fmt: skip
    before = _parallel.thread_count()
    found = []
    try:
        for count in (1, 2, 5):
            _parallel.set_thread_count(count)
            found.append((
                kernel("conv_grad_weight")(g, x, kernel_size=(width, width), **settings),
                kernel("conv_grad_input")(g, weight, input_size=(60, 60), **settings),
                kernel("conv")(x, weight, **settings),
            ))  # fmt: skip
    finally:
        _parallel.set_thread_count(before)
    for others in found[1:]:
        for other, one in zip(others, found[0], strict=True):
            np.testing.assert_array_equal(other, one)


def test_convolution_with_padding_beyond_the_image() -> None:
    x, weight = np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
    out = kernel("conv", rushlight.float64)(
        x, weight, stride=(1, 1), padding=(4, 4), dilation=(1, 1), groups=1
    )
    assert out.shape == (1, 1, 8, 8) and out.sum() == 36 and out[0, 0, :2].sum() == 0


# Recurrent layers


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(0, 2, 4), (3, 0, 4), (3, 2, 0), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("device", ["cpu", "cpu_numpy"])
def test_layers_over_nothing(
    device: str, name: str, sizes: tuple[int, int, int], reverse: bool
) -> None:
    steps, rows, hidden = sizes
    wide = {"lstm": 4, "gru": 3, "rnn": 1}[name] * hidden
    shapes = [(steps, rows, wide), (wide, hidden), (rows, hidden)]
    shapes[2:2] = [(wide,)] if name == "gru" else []
    shapes += [(rows, hidden)] if name == "lstm" else []
    operands = [rushlight.ones(*shape, device=device, requires_grad=True) for shape in shapes]
    settings = {"relu": False} if name == "rnn" else {}
    found = getattr(rushlight.ops, f"{name}_sequence")(*operands, reverse=reverse, **settings)
    out = found if name == "rnn" else found[0]
    assert out.shape == (steps, rows, hidden)
    out.sum().backward()
    for operand in operands:
        assert operand.grad.shape == operand.shape and (operand.grad == 0).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("rows", "hidden"), [(40, 256), (16, 64), (1, 64), (35, 48)])
def test_an_lstm_layer_in_panels_and_runs_of_rows(
    monkeypatch: pytest.MonkeyPatch, rows: int, hidden: int, reverse: bool
) -> None:
    monkeypatch.setattr(lstm_layers, "_CHUNK", 3 * 4 * hidden * min(rows, 20))  # some steps
    rng = np.random.default_rng(0)
    steps = 5
    gates = rng.standard_normal((rows, steps, 4 * hidden)).swapaxes(0, 1)  # as of rows first
    weight = rng.standard_normal((4 * hidden, hidden)) / 16
    h, c = (rng.standard_normal((rows, hidden)) for _ in range(2))
    g, gc = (rng.standard_normal((steps, rows, hidden)) for _ in range(2))
    ga = rng.standard_normal(gates.shape)
    f64 = rushlight.float64
    results = kernel("lstm_sequence", f64)(gates, weight, h, c, reverse=reverse)
    found = kernel("lstm_sequence_backward", f64)(
        g, gc, ga, weight, h, c, *results, reverse=reverse
    )
    operands = [rushlight.from_numpy(a).requires_grad_() for a in (weight, h, c)]
    x = rushlight.from_numpy(gates.copy()).requires_grad_()
    w, hidden_state, cell = operands
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    expected: Any = {}
    for t in order:
        sums = x[t] + hidden_state @ w.T
        hidden_state, cell, active = rushlight.ops.lstm_pointwise(sums, cell)
        expected[t] = (hidden_state, cell, active)
    for place, (mine, cotangent) in enumerate(zip(results, (g, gc, ga), strict=True)):
        theirs = rushlight.stack([expected[t][place] for t in range(steps)])
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-12)
        theirs.backward(rushlight.from_numpy(cotangent), retain_graph=True)
    for mine, operand in zip(found, (x, *operands), strict=True):
        np.testing.assert_allclose(mine, operand.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize(("rows", "hidden"), [(32, 256), (70, 96)])
def test_an_lstm_layer_does_not_depend_on_the_number_of_threads(rows: int, hidden: int) -> None:
    rng = np.random.default_rng(0)

    def real(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    operands = real(9, rows, 4 * hidden), real(4 * hidden, hidden) / 16, real(rows, hidden)
    g, c = real(9, rows, hidden), real(rows, hidden)
    before = _parallel.thread_count()
    found = []
    try:
        for count in (1, 2, 5):
            _parallel.set_thread_count(count)
            states = kernel("lstm_sequence")(*operands, c, reverse=False)
            found.append(
                [*states, *kernel("lstm_sequence_backward")(
                    g, None, None, *operands[1:], c, *states, reverse=False
                )]
            )  # fmt: skip
    finally:
        _parallel.set_thread_count(before)
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kernel_size", [(2, 2), (2, 300), (2, 1)], ids=str)
def test_maxima_of_pairs_of_rows_and_where_they_were(kernel_size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 3, 6, 600)).astype(np.float32)  # many equal: the first one counts
    x[0, 0, 1, 3] = x[1, 2, 4, 7] = np.nan
    values, where = kernel("max_pool")(
        x, kernel_size=kernel_size, stride=kernel_size, padding=(0, 0), dilation=(1, 1),
        ceil_mode=False,
    )  # fmt: skip
    rows, width = kernel_size
    cut = x.reshape(2, 3, 6 // rows, rows, 600 // width, width).swapaxes(3, 4)
    flat = cut.reshape(*cut.shape[:4], -1)
    best = flat.argmax(-1)  # NumPy's also takes a NaN for the greatest
    np.testing.assert_array_equal(values, np.take_along_axis(flat, best[..., None], -1)[..., 0])
    down, right = np.divmod(best, width)
    corner = (np.arange(6 // rows)[:, None] * rows + down) * 600
    np.testing.assert_array_equal(where, corner + np.arange(600 // width) * width + right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("size", [(2, 2), (7, 5), (6, 8), (5, 1201)], ids=str)
def test_of_equal_numbers_of_a_pair_of_pairs_the_first_counts(
    size: tuple[int, int], dtype: Any
) -> None:
    x = np.random.default_rng(0).integers(-1, 2, (3, 40, *size)).astype(dtype)
    values, where = kernel("max_pool", rushlight.float32)(
        x, kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1), ceil_mode=False
    )
    rows, columns = size[0] // 2, size[1] // 2
    cut = x[:, :, : 2 * rows, : 2 * columns].reshape(3, 40, rows, 2, columns, 2)
    flat = cut.swapaxes(3, 4).reshape(3, 40, rows, columns, 4).astype(np.float64)
    np.testing.assert_array_equal(values.astype(np.float64), flat.max(-1))
    down, right = np.divmod(flat.argmax(-1), 2)
    corner = 2 * np.arange(rows)[:, None] * size[1] + 2 * np.arange(columns)
    np.testing.assert_array_equal(where, corner + down * size[1] + right)
