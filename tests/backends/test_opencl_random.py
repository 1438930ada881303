"""Random numbers on OpenCL: the frozen bits, and those of the processor in any number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight import _dtypes
from rushlight.testing.golden import FROZEN

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

DRAWS = [
    (place, draw, bits)
    for place, draws in FROZEN.items()
    for draw, bits in draws.items()
    if not draw.startswith("random_bits")
]


@pytest.mark.parametrize(("place", "draw", "bits"), DRAWS)
def test_frozen_bits(place: tuple[int, int], draw: str, bits: str) -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    name, *arguments = draw.split()
    kernel = device.kernels_of(name, _dtypes.float32)
    at: dict[str, Any] = {"seed": place[0], "offset": place[1]}
    read = device.to_host
    if name == "random_permutation":
        assert read(kernel(**at, n=12)).tolist() == [int(i) for i in bits.split()]
    elif name == "random_bernoulli":
        assert read(kernel(0.3, **at, shape=(24,))).tolist() == [bit == "1" for bit in bits]
    elif name == "random_integers":
        low, high = map(int, arguments)
        out = kernel(**at, shape=(4,), low=low, high=high, dtype=_dtypes.int64)
        assert read(out).tolist() == [int(i) for i in bits.split()]
    else:
        dtype = _dtypes.dtype_named(arguments[0])
        out = read(kernel(**at, shape=(len(bits.split()),), dtype=dtype))
        assert out.view(f"u{dtype.itemsize}").tolist() == [int(w, 16) for w in bits.split()]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("draw", ["rand", "randn", "exponential"])
def test_draws_of_any_length(draw: str, dtype: str) -> None:
    def drawn(device: str) -> Any:
        rl.manual_seed(5)
        rl.rand(3, device=device)
        if draw == "exponential":
            x = rl.empty(10_001, dtype=getattr(rl, dtype), device=device).exponential_()
        else:
            x = getattr(rl, draw)(10_001, dtype=getattr(rl, dtype), device=device)
        return x.cpu().double().numpy()

    np.testing.assert_array_equal(drawn("opencl"), drawn("cpu"))


@pytest.mark.parametrize("name", ["dropout", "bernoulli", "randperm", "multinomial", "randint"])
def test_what_is_made_of_draws(name: str) -> None:
    def drawn(device: str) -> Any:
        rl.manual_seed(5)
        made = {
            "dropout": lambda: rl.nn.functional.dropout(rl.ones(7, 9, device=device).t(), 0.3),
            "bernoulli": lambda: rl.bernoulli(rl.linspace(0, 1, 101, device=device)),
            "randperm": lambda: rl.randperm(1003, device=device),
            "multinomial": lambda: rl.multinomial(rl.ones(30, device=device), 5),
            "randint": lambda: rl.randint(-(2**63), 2**63 - 1, (101,), device=device),
        }[name]()
        return made.cpu().numpy()

    np.testing.assert_array_equal(drawn("opencl"), drawn("cpu"))
