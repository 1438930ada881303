"""Devices: programs on two devices of the type, and beside another backend in one process."""

from __future__ import annotations

import numpy as np

import rushlight as rl

from ...._dtypes import ALL
from ...._tensor.construction import from_host
from ....backend._registry import dtypes_of, normalized
from .. import _asking
from .._case import Skip
from ._table import program
from .errors import refused
from .memory import bits, extremes


def _pair(device: str) -> tuple[str, str]:
    """Labels of this device and of another of its type."""
    backend = _asking.backend_of(device)
    if not backend.manifest.indexed or backend.count() < 2:
        raise Skip("there is one device of the type")
    here = normalized(device).index or 0
    return f"{backend.name}:{here}", f"{backend.name}:{0 if here else 1}"


def _other(device: str) -> tuple[str, str]:
    """Labels of this device and of one of another backend."""
    kind = "sim" if _asking.backend_of(device).name == "cpu" else "cpu"
    try:
        _asking.backend_of(kind)
    except RuntimeError as raised:
        raise Skip(f"there is no backend of '{kind}' in this installation") from raised
    return str(normalized(device)), str(normalized(kind))


_PARTNERS = {"same_type": _pair, "other_backend": _other}


@program("devices", level=2, over=_PARTNERS)
def copies_both_ways(device: str, partner: object) -> None:
    """Bits survive the way to the other device and back, in every dtype both have."""
    here, there = partner(device)  # type: ignore[operator]
    both = dtypes_of(here) & dtypes_of(there)
    for dtype in sorted(both, key=ALL.index):
        host = extremes(dtype)
        x = from_host(host, normalized(here))
        y = x.to(there)
        assert str(y.device) == there
        assert bits(y) == host.tobytes(), f"{dtype.name} to {there}"
        z = y.to(here)
        assert str(z.device) == here
        assert bits(z) == host.tobytes(), f"{dtype.name} to {here}"
    strided = rl.arange(24, device=here).reshape(4, 6).t()[1::2]
    assert strided.to(there).tolist() == strided.tolist()
    target = rl.zeros(6, 4, device=there).t()
    target.copy_(rl.arange(24, device=here).reshape(4, 6))
    assert target.tolist() == np.arange(24).reshape(4, 6).tolist()


@program("devices", level=2, over=_PARTNERS)
def results_stay_where_their_operands_are(device: str, partner: object) -> None:
    """Work on one device leaves the other alone, and results lie where operands do."""
    here, there = partner(device)  # type: ignore[operator]
    x, y = (rl.arange(5.0, device=label) for label in (here, there))
    for _ in range(20):
        x, y = x + 1, y * 2
        x, y = x - 1, y / 2
    assert (str(x.device), str(y.device)) == (here, there)
    assert x.tolist() == y.tolist() == [0, 1, 2, 3, 4]
    assert str(x.sum().device) == here
    assert str(rl.zeros_like(y).device) == there


@program("devices", level=2, over=_PARTNERS)
def tensors_of_two_devices_do_not_mix(device: str, partner: object) -> None:
    """A call with tensors of two devices is refused, and both stay usable."""
    here, there = partner(device)  # type: ignore[operator]
    x, y = rl.ones(3, device=here), rl.ones(3, device=there)
    refused(here, lambda: x + y, RuntimeError)
    refused(there, lambda: rl.cat([y, x]), RuntimeError)
    refused(here, lambda: x.reshape(1, 3).mm(y.reshape(3, 1)), RuntimeError)


@program("devices", level=2, over=_PARTNERS)
def gradients_travel(device: str, partner: object) -> None:
    """A derivative finds its way through a copy to another device and back."""
    here, there = partner(device)  # type: ignore[operator]
    x = rl.arange(3.0, device=here).requires_grad_()
    (x.to(there) * 2).to(here).pow(2).sum().backward()
    assert x.grad is not None
    assert str(x.grad.device) == here
    assert x.grad.tolist() == [0, 8, 16]


@program("devices", level=2)
def each_device_has_its_generator(device: str) -> None:
    """Two devices of a type draw from streams of their own."""
    here, there = _pair(device)
    rl.manual_seed(5)
    first = rl.rand(4, device=here).tolist()
    assert rl.rand(4, device=there).tolist() == first, "the same seed, and so the same numbers"
    assert rl.rand(4, device=here).tolist() != first
