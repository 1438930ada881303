"""Fourier transforms of the kernel-language family on OpenCL, against NumPy in float64."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen import roots, stockham  # noqa: E402
from rushlight.backend.codegen.butterflies import WRITTEN, butterfly, radices  # noqa: E402
from rushlight.backend.codegen.fourier import Fourier, fourier, rows_of  # noqa: E402

RUNTIME = rl.ones(1, device="opencl")._k.runtime
PRECISIONS = [rl.complex64] + ([rl.complex128] if RUNTIME.double else [])
NORMS = ["backward", "ortho", "forward"]
#: Lengths of every kind: one pass, several, primes with and without a pass, matrices, chirps.
LENGTHS = [1, 2, 3, 31, 37, 60, 256, 1001, 1009, 2048, 2310, 4099, 6000]


@functools.cache
def kernel(name, flavour, dtype):
    """The kernel of an operator, in a flavour, on whatever device there is."""
    before = RUNTIME.flavour
    RUNTIME.flavour = flavour
    try:
        kind, operand = ("floating", dtype.to_real()) if name == "r2c" else ("complex", dtype)
        return fourier.table[f"fft_{name}"][kind].make(RUNTIME, operand)
    finally:
        RUNTIME.flavour = before


def random(shape, dtype, seed=0):
    draw = np.random.default_rng(seed)
    parts = draw.standard_normal(shape) + 1j * draw.standard_normal(shape)
    return parts.astype(dtype.numpy)


def run(made, array, **attributes):
    return RUNTIME.to_host(made(RUNTIME.from_host(array), **attributes))


def assert_near(ours, wanted, dtype) -> None:
    """Errors as those of NumPy's own transform in this precision: a few units of the norm."""
    assert ours.shape == wanted.shape
    eps = np.finfo(dtype.to_real().numpy).eps
    assert np.linalg.norm(ours - wanted) <= 4 * eps * np.linalg.norm(wanted)


@pytest.fixture(params=["cpu", "gpu"])
def flavour(request):
    return request.param


@pytest.fixture(params=PRECISIONS, ids=str)
def dtype(request):
    return request.param


@pytest.mark.parametrize("r", WRITTEN)
def test_a_butterfly_is_a_transform(r: int) -> None:
    x = random((r,), rl.complex128)
    places = {f"x{k}{part}": value for k in range(r)
              for part, value in (("r", x[k].real), ("i", x[k].imag))}  # fmt: skip
    exec(butterfly(r).replace("const T ", "").replace("(T)", "").replace(", ", "; "), places)
    y = [places[f"y{k}r"] + 1j * places[f"y{k}i"] for k in range(r)]
    np.testing.assert_allclose(y, np.fft.fft(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 12, 1000, 1024, 2310, 31**3])
def test_butterflies_make_up_the_length(n: int) -> None:
    assert np.prod(radices(n), dtype=int) == n
    assert radices(37 * n) is None


@pytest.mark.parametrize("n", [2049, 1 << 24, 31**4, 3**13])
def test_matrices_have_short_columns(n: int) -> None:
    rows = rows_of(n, 2048)
    assert 1 < rows <= 2048
    assert n % rows == 0


def test_roots_are_right_to_the_last_place() -> None:
    n = 1 << 40
    numbers = np.array([0, 1, n // 8, n // 4, n // 2, n - 1])
    half = np.sqrt(0.5)
    wanted = [1, 1 - 2j * np.pi / n, half - 1j * half, -1j, -1, 1 + 2j * np.pi / n]
    np.testing.assert_allclose(roots.powers(numbers, n), wanted, rtol=0, atol=2e-16)


def test_tables_unused_for_longest_go(monkeypatch) -> None:
    monkeypatch.setattr(roots, "MOST", 1000)
    tables = roots.Roots(RUNTIME, rl.complex64)
    first = tables.all(60)
    assert tables.all(60) is first
    tables.all(61)
    assert tables.all(60) is first
    tables.all(62)  # 61 goes, of which it has been longest
    assert list(tables._tables) == [60, 62]


@pytest.mark.parametrize("n", LENGTHS)
def test_lengths_of_every_kind(n: int, flavour, dtype) -> None:
    x = random((3, n), dtype)
    c2c, r2c, c2r = (kernel(name, flavour, dtype) for name in ("c2c", "r2c", "c2r"))
    wide = x.astype(np.complex128)
    assert_near(run(c2c, x, dim=(1,), forward=True), np.fft.fft(wide), dtype)
    assert_near(run(c2c, x, dim=(1,), forward=False), np.fft.ifft(wide), dtype)
    assert_near(run(r2c, x.real, dim=(1,)), np.fft.rfft(wide.real), dtype)
    assert_near(run(r2c, x.real, dim=(1,), onesided=False), np.fft.fft(wide.real), dtype)
    half = n // 2 + 1
    ours = run(c2r, x[:, :half], dim=(1,), last_dim_size=n)
    assert_near(ours, np.fft.irfft(wide[:, :half], n=n), dtype)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_shapes_strides_dims_and_norms(data) -> None:
    flavour = data.draw(st.sampled_from(["cpu", "gpu"]))
    dtype = data.draw(st.sampled_from(PRECISIONS))
    n = data.draw(st.integers(1, 300))
    others = data.draw(st.lists(st.integers(0, 5), max_size=3))
    place = data.draw(st.integers(0, len(others)))
    shape = (*others[:place], n, *others[place:])
    norm = data.draw(st.sampled_from(NORMS))
    order = data.draw(st.permutations(range(len(shape))))
    step = data.draw(st.integers(1, 2))
    # An array whose dimensions lie in memory in any order, with gaps.
    base = random([shape[d] * step for d in order], dtype, n)
    turned = [order.index(d) for d in range(len(shape))]
    x = np.transpose(base, turned)[tuple(slice(None, None, step) for _ in shape)]
    whole = RUNTIME.from_host(base)
    strides = [whole.strides[t] * step for t in turned]
    native = whole.geometry(shape, tuple(strides), 0)
    if 0 in shape:
        dims = [place]
    else:
        dims = data.draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, unique=True))
    wide = x.astype(np.complex128)
    c2c, r2c, c2r = (kernel(name, flavour, dtype) for name in ("c2c", "r2c", "c2r"))
    settings_ = {"dim": tuple(dims), "norm": norm}
    keywords = {"axes": dims, "norm": norm}

    ours = RUNTIME.to_host(c2c(native, forward=True, **settings_))
    assert_near(ours, np.fft.fftn(wide, **keywords), dtype)
    ours = RUNTIME.to_host(c2c(native, forward=False, **settings_))
    assert_near(ours, np.fft.ifftn(wide, **keywords), dtype)
    assert_near(run(r2c, x.real, **settings_), np.fft.rfftn(wide.real, **keywords), dtype)
    last = data.draw(st.sampled_from([2 * shape[dims[-1]] - 2, 2 * shape[dims[-1]] - 1]))
    if last > 0:
        sizes = [*[shape[d] for d in dims[:-1]], last]
        ours = RUNTIME.to_host(c2r(native, last_dim_size=last, **settings_))
        assert_near(ours, np.fft.irfftn(wide, s=sizes, **keywords), dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [16, 37, 4096])
def test_what_is_not_a_number_stays_in_its_line(bad: float, n: int, flavour) -> None:
    x = random((20, n), rl.complex64)
    wanted = np.fft.fft(x)
    x[7, n // 3] = bad
    ours = run(kernel("c2c", flavour, rl.complex64), x, dim=(1,), forward=True)
    assert not np.isfinite(ours[7]).any()
    rest = np.arange(20) != 7
    assert_near(ours[rest], wanted[rest], rl.complex64)
    ours = run(kernel("r2c", flavour, rl.complex64), x.real, dim=(1,))
    assert not np.isfinite(ours[7]).any()
    assert np.isfinite(ours[rest]).all()


def test_imaginary_parts_that_no_real_line_has_are_left_out(flavour) -> None:
    x = random((2, 9), rl.complex64)
    made = kernel("c2r", flavour, rl.complex64)
    for n in (16, 17):
        wanted = np.fft.irfft(x, n=n)
        other = x.copy()
        other.imag[:, 0] += 5
        if n == 16:
            other.imag[:, 8] -= 3
        assert_near(run(made, other, dim=(1,), last_dim_size=n), wanted, rl.complex64)


@pytest.mark.parametrize("n", [24, 25])
def test_many_lines_are_shared_out(n: int, flavour) -> None:
    c2c, r2c, c2r = (kernel(name, flavour, rl.complex64) for name in ("c2c", "r2c", "c2r"))
    for dim, shape in ((1, (1000, n)), (0, (n, 1000))):
        x = random(shape, rl.complex64)
        half = np.fft.rfft(x.real, axis=dim).astype(np.complex64)
        assert_near(run(c2c, x, dim=(dim,), forward=True), np.fft.fft(x, axis=dim), rl.complex64)
        assert_near(run(r2c, x.real, dim=(dim,)), half, rl.complex64)
        assert_near(run(c2r, half, dim=(dim,), last_dim_size=n), x.real, rl.complex64)


@pytest.mark.parametrize("n", [4096, 2430, 3000])
def test_matrices_whose_rows_are_matrices(n: int, flavour, monkeypatch) -> None:
    monkeypatch.setattr(RUNTIME, "flavour", flavour)
    made = Fourier(RUNTIME, rl.complex64)
    monkeypatch.setattr(made.lines.near, "longest", 16)
    x = random((2, n, 3), rl.complex64)
    native, real = RUNTIME.from_host(x), RUNTIME.from_host(x.real)
    ours = RUNTIME.to_host(made.c2c(native, [1], False, 1 / n))
    assert_near(ours, np.fft.ifft(x, axis=1), rl.complex64)
    half = made.r2c(real, [1], True, 1.0)
    assert_near(RUNTIME.to_host(half), np.fft.rfft(x.real, axis=1), rl.complex64)
    assert_near(RUNTIME.to_host(made.c2r(half, [1], n, 1 / n)), x.real, rl.complex64)


def test_groups_share_lines_and_items_take_16(flavour, monkeypatch) -> None:
    monkeypatch.setattr(RUNTIME, "flavour", flavour)
    made = stockham.Stockham(RUNTIME, rl.float32, roots.Roots(RUNTIME, rl.complex64))
    launched = []
    made._launch = lambda size, local, *arguments: launched.append((size, local))
    x = RUNTIME.empty((100 * 64 * 2,), rl.float32)
    side = stockham.Side(x, (128,), 2)
    made(64, radices(64), (100,), side, side)
    items = min(7, max(1, RUNTIME.parallelism // 4))
    assert launched == ([((7 * 128,), (128,))] if flavour == "gpu" else [((items,), (1,))])


def test_derivatives_are_those_of_the_cpu() -> None:
    x = random((3, 10), rl.complex64)

    def grads(device):
        z = rl.tensor(x, device=device, requires_grad=True)
        r = rl.tensor(x.real.copy(), device=device, requires_grad=True)
        made = rl.fft.irfft(rl.fft.fft2(z), n=9).sin().sum() + rl.fft.rfft(r, n=12).abs().sum()
        first = rl.autograd.grad(made, (z, r), create_graph=True)
        second = rl.autograd.grad(sum(g.abs().square().sum() for g in first), (z, r))
        return [g.detach().cpu().numpy() for g in (*first, *second)]

    for ours, wanted in zip(grads("opencl"), grads("cpu"), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=2e-4)


def test_spectrograms_come_back() -> None:
    x = rl.tensor(random((2, 400), rl.complex64).real.copy(), device="opencl")
    window = rl.hann_window(64, device="opencl")
    spectrum = rl.stft(x, 64, 16, window=window, return_complex=True)
    back = rl.istft(spectrum, 64, 16, window=window, length=400)
    np.testing.assert_allclose(back.cpu().numpy(), x.cpu().numpy(), atol=2e-6)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bits_are_refused_as_on_the_cpu(name: str) -> None:
    said = []
    for device in ("cpu", "opencl"):
        x = rl.ones(4, dtype=getattr(rl, name), device=device)
        with pytest.raises(RuntimeError, match=f"Unsupported dtype {name}") as raised:
            rl.fft.fft(x)
        said.append(str(raised.value).replace("opencl:0", "cpu"))
    assert said[0] == said[1]
