"""`rushlight.random`: seeds and states of the default generators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ._device import device
from ._generator import Generator as Generator
from ._generator import default_generator as default_generator
from ._generator import generator_of
from ._generator import get_rng_state as get_rng_state
from ._generator import initial_seed as initial_seed
from ._generator import manual_seed as manual_seed
from ._generator import seed as seed
from ._generator import set_rng_state as set_rng_state
from .backend._registry import normalized


@contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str | None = None,
) -> Iterator[None]:
    """Puts the generators back to where they were when the block ends.

    Args:
        devices: Devices whose generators are put back besides the CPU's; an int counts among those
            of `device_type`.
        enabled: Without it nothing is put back.
        device_type: Type of the devices that are given as numbers.
    Example:
        >>> with rushlight.random.fork_rng():
        ...     first = rushlight.rand(2)
        >>> bool((first == rushlight.rand(2)).all())
        True
    """
    if not enabled:
        yield
        return
    places = [device("cpu")]
    for each in devices or ():
        place = device(device_type or "cpu", each) if isinstance(each, int) else device(each)
        places.append(normalized(place))
    generators = [generator_of(place) for place in places]
    states = [generator.clone_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.graphsafe_set_state(state)


__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed",
    "seed", "set_rng_state",
]  # fmt: skip
