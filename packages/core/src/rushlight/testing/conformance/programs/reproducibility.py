"""Reproducibility: a seed gives the same bits on every device, and so does a program run twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl

from ...._device import device as Device
from ...._dtypes import DType, dtype_named, float32, int64
from ...._registered import operators
from ....backend._registry import normalized
from ... import checks
from ...golden import FROZEN
from .._asking import backend_of
from .._case import Case, Skip
from ._table import PROGRAMS, program

HostArray = np.ndarray[Any, Any]


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def _frozen(place: tuple[int, int], draw: str, bits: str, device: str) -> None:
    """What a draw gives is what every release of a major version gives, bit by bit."""
    name, *arguments = draw.split()
    at: dict[str, Any] = {"seed": place[0], "offset": place[1]}
    where = Device(normalized(device))
    if name == "random_permutation":
        drawn = operators[name](**at, n=12, dtype=int64, device=where)
        assert drawn.tolist() == [int(i) for i in bits.split()], drawn.tolist()
    elif name == "random_bernoulli":
        chance = rl.full((), 0.3, device=device)
        drawn = operators[name](chance, **at, shape=(24,))
        assert [int(bool(x)) for x in drawn.tolist()] == [int(bit) for bit in bits]
    elif name == "random_integers":
        low, high = map(int, arguments)
        drawn = operators[name](**at, shape=(4,), low=low, high=high, dtype=int64, device=where)
        assert drawn.tolist() == [int(i) for i in bits.split()], drawn.tolist()
    else:
        dtype = dtype_named(arguments[0])
        drawn = operators[name](**at, shape=(len(bits.split()),), dtype=dtype, device=where)
        host = checks.host_of(drawn)
        assert host.dtype == dtype.numpy
        found = host.view(f"u{dtype.itemsize}").tolist()
        told = " ".join(f"{word:0{2 * dtype.itemsize}x}" for word in found)
        assert found == _words(bits), f"{told}, expected {bits}"


def _needs(name: str, arguments: list[str]) -> frozenset[DType]:
    if name in ("random_permutation", "random_integers"):
        return frozenset({int64})
    return frozenset({float32 if name == "random_bernoulli" else dtype_named(arguments[0])})


for _number, (_place, _draws) in enumerate(FROZEN.items()):
    for _draw, _bits in _draws.items():
        _name, *_arguments = _draw.split()
        if _name in operators:
            PROGRAMS.append(
                Case(
                    f"golden-{_draw.replace(' ', '_')}-{_number}",
                    "reproducibility",
                    0,
                    2,
                    partial(_frozen, _place, _draw, _bits),
                    operator=_name,
                    needs=_needs(_name, _arguments),
                )
            )

_DRAWS: dict[str, Callable[[str, Any], rl.Tensor]] = {
    "rand": lambda d, g: rl.rand(1027, device=d, generator=g),
    "randn": lambda d, g: rl.randn(1027, device=d, generator=g),
    "randint": lambda d, g: rl.randint(0, 1000, (1027,), device=d, generator=g),
    "randperm": lambda d, g: rl.randperm(1027, device=d, generator=g),
    "bernoulli": lambda d, g: rl.full((1027,), 0.3, device=d).bernoulli(generator=g),
}


def _generator(device: str, seed: int) -> rl.Generator:
    return rl.Generator(normalized(device)).manual_seed(seed)


@program("reproducibility", level=2, over=_DRAWS)
def same_seed_same_numbers(device: str, draw: Callable[[str, Any], rl.Tensor]) -> None:
    """A seed gives the same numbers again, and another seed others."""
    first = draw(device, _generator(device, 7)).tolist()
    assert draw(device, _generator(device, 7)).tolist() == first
    assert draw(device, _generator(device, 8)).tolist() != first


@program("reproducibility", level=2, over=_DRAWS)
def same_numbers_as_the_host(device: str, draw: Callable[[str, Any], rl.Tensor]) -> None:
    """A seed gives the numbers that it gives on the host, in any amount."""
    _needs_host(device)
    there = draw(device, _generator(device, 11))
    assert there.tolist() == draw("cpu", _generator("cpu", 11)).tolist()


@program("reproducibility", level=2, dtypes=(rl.float32, rl.float64, rl.float16, rl.bfloat16))
def dropout(device: str, dtype: DType) -> None:
    """Dropout keeps what the same draws of `random_bernoulli` keep, scaled, and so its gradient."""
    host = np.linspace(1, 2, 67 * 31).reshape(67, 31)
    x = rl.tensor(host.tolist(), dtype=dtype, device=device)
    for p in (0.0, 0.25, 0.8, 1.0):
        leaf = x.detach().requires_grad_()
        out, kept = operators["dropout"](leaf, p=p, seed=5, offset=9)
        chance = rl.full((), 1 - p, device=device)
        drawn = operators["random_bernoulli"](chance, seed=5, offset=9, shape=(67, 31))
        mask = checks.host_of(kept)
        assert kept.dtype is rl.bool and (mask == (checks.host_of(drawn) != 0)).all()
        scale = mask / (1 - p) if p < 1 else mask * 0.0
        (gradient,) = rl.autograd.grad(out.sum(), leaf)
        assert gradient is not None
        for found, wanted in ((out.detach(), wide(x) * scale), (gradient, scale)):
            near = np.isclose(wide(found), wanted, rtol=4 * float(rl.finfo(dtype).eps), atol=0)
            assert near.all(), f"p={p}: {wide(found)[~near][:3]}, expected {wanted[~near][:3]}"


def wide(x: rl.Tensor) -> HostArray:
    """A tensor's values in double precision."""
    return checks.host_of(x).astype(np.float64)


def _needs_host(device: str) -> None:
    if backend_of(device).name == "cpu":
        raise Skip("the device is the host")
    try:
        backend_of("cpu")
    except RuntimeError as raised:
        raise Skip("there is no backend of the host: pip install rushlight-cpu") from raised


@program("reproducibility", level=2)
def states_of_generators(device: str) -> None:
    """A generator goes back to a state, and goes on from there as before."""
    g = _generator(device, 3)
    rl.rand(5, device=device, generator=g)
    state = g.get_state()
    first = rl.randn(5, device=device, generator=g).tolist()
    rl.rand(100, device=device, generator=g)
    g.set_state(state)
    assert rl.randn(5, device=device, generator=g).tolist() == first


@program("reproducibility", level=2)
def a_program_run_twice(device: str) -> None:
    """Sums, products and scattered sums give the same bits every time."""
    random = np.random.default_rng(0)
    x = rl.tensor(random.standard_normal((67, 129)).tolist(), device=device)
    index = rl.tensor(random.integers(0, 13, 67).tolist(), device=device)

    def once() -> list[bytes]:
        found = [
            x.sum(), x.mean(0), x @ x.t(), x.softmax(1), x.cumsum(1),
            rl.zeros(13, 129, device=device).index_add(0, index, x),
        ]  # fmt: skip
        return [checks.host_of(each).tobytes() for each in found]

    first = once()
    for _ in range(3):
        assert once() == first, "two runs differ"
