"""`rushlight.Generator`: a seed and how far its stream has been read, and each device's own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from ._device import device as Device
from ._errors import error
from ._modes import STATE

if TYPE_CHECKING:
    from ._tensor.tensor import Tensor

_LONG = 0xFFFFFFFFFFFFFFFF
# The seed of a new generator, the same number as torch's.
DEFAULT_SEED = 67280421310721
# A state is seed and offset, eight bytes each, lowest byte first.
STATE_BYTES = 16


class Generator:
    """A stream of random numbers: a seed, and an offset that every draw moves on.

    The numbers depend on seed and offset only (Philox4x32-10): not on the device, and not on
    threads. A generator may be shared between threads; each draw then gets a part of its own.

    Args:
        device: Device whose random functions take the generator.
    Example:
        >>> g = rushlight.Generator().manual_seed(1)
        >>> g.initial_seed(), g.get_offset()
        (1, 0)
    """

    __slots__ = ("__weakref__", "_device", "_lock", "_offset", "_seed")

    def __init__(self, device: Device | str = "cpu") -> None:
        self._device = Device(device)
        self._seed = DEFAULT_SEED
        self._offset = 0
        self._lock = threading.Lock()

    @property
    def device(self) -> Device:
        """The device whose random functions take this generator."""
        return self._device

    def reserve(self, blocks: int) -> tuple[int, int]:
        """Takes `blocks` blocks of four words from the stream: (seed, offset of the first).

        This is what a random operator calls, once, with `rushlight._philox.blocks`.
        """
        recorder = STATE.get().recorder
        if recorder is not None:
            return recorder.reserve(self, blocks)  # type: ignore[no-any-return]
        return self.take(blocks)

    def take(self, blocks: int) -> tuple[int, int]:
        """`reserve`, whether a capture listens or not."""
        with self._lock:
            offset = self._offset
            self._offset = offset + blocks & _LONG
            return self._seed, offset

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of a seed.

        Args:
            seed: From -2^63 to 2^64 - 1; a negative number means 2^64 + seed.
        Returns:
            The generator.
        Raises:
            RuntimeError: `seed` is not an integer.
            ValueError: `seed` is out of range.
        """
        self._move(checked_seed("manual_seed", seed), 0)
        return self

    def seed(self) -> int:
        """Starts the stream of a seed taken from the operating system, and returns the seed."""
        seed = fresh_seed()
        self._move(seed, 0)
        return seed

    def initial_seed(self) -> int:
        """The seed, from 0 to 2^64 - 1."""
        return self._seed

    def get_offset(self) -> int:
        """How many blocks of four 32-bit words have been drawn since seeding."""
        return self._offset

    def set_offset(self, offset: int) -> None:
        """Moves to a place in the stream.

        Args:
            offset: From 0 to 2^64 - 1, in blocks of four 32-bit words.
        Raises:
            ValueError: `offset` is out of range.
        """
        if not 0 <= offset <= _LONG:
            raise error(
                ValueError,
                "set_offset",
                f"offset {offset} is outside the stream",
                expected="0 <= offset < 2**64",
                fix="use an offset that get_offset() returned",
            )
        self._move(self._seed, offset)

    def get_state(self) -> Tensor:
        """Seed and offset as a uint8 tensor on the CPU, for `set_state`."""
        from ._dtypes import uint8
        from ._tensor.construction import tensor

        with self._lock:
            seed, offset = self._seed, self._offset
        state = seed.to_bytes(8, "little") + offset.to_bytes(8, "little")
        return tensor(list(state), dtype=uint8, device="cpu")

    def set_state(self, new_state: Tensor) -> None:
        """Goes back to where `get_state` was called.

        Args:
            new_state: What `get_state` returned, of this or another generator.
        Raises:
            TypeError: `new_state` is not a uint8 tensor.
            RuntimeError: It does not have 16 elements.
        """
        state = checked_state(new_state)
        self._move(int.from_bytes(state[:8], "little"), int.from_bytes(state[8:], "little"))

    def clone_state(self) -> Generator:
        """Another generator at the same place of the same stream."""
        return self.__copy__()

    # The state is two numbers that no captured graph holds on to, so these two are the plain ones.
    def graphsafe_get_state(self) -> Generator:
        """A generator at this one's place, for `graphsafe_set_state`."""
        return self.clone_state()

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """Goes to the place of another generator."""
        with state._lock:
            seed, offset = state._seed, state._offset
        self._move(seed, offset)
        return self

    def _move(self, seed: int, offset: int) -> None:
        with self._lock:
            self._seed, self._offset = seed, offset

    def __repr__(self) -> str:
        return f"Generator(device='{self._device}', seed={self._seed}, offset={self._offset})"

    def __copy__(self) -> Generator:
        return Generator(self._device).graphsafe_set_state(self)

    def __deepcopy__(self, memo: object) -> Generator:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (str(self._device), self._seed, self._offset)


def _rebuilt(device: str, seed: int, offset: int) -> Generator:
    made = Generator(device)
    made._move(seed, offset)
    return made


def fresh_seed() -> int:
    """A seed from the operating system's entropy."""
    return int.from_bytes(os.urandom(8), "little")


def checked_seed(who: str, seed: int) -> int:
    """`seed` as a number from 0 to 2^64 - 1."""
    try:
        number = seed.__index__()
    except AttributeError:
        raise error(
            RuntimeError,
            who,
            f"expected an integer seed, but got {type(seed).__name__}",
            given=f"seed={seed!r}",
            expected="an int from -2**63 to 2**64 - 1",
        ) from None
    if not -(1 << 63) <= number <= _LONG:
        raise error(
            ValueError,
            who,
            f"seed {number} does not fit 64 bits",
            expected="-2**63 <= seed < 2**64",
            fix=f"use seed % 2**64, which is {number & _LONG}",
        )
    return number & _LONG


def checked_state(state: Tensor) -> bytes:
    """The bytes of a generator state."""
    from ._dtypes import uint8
    from ._tensor.tensor import Tensor

    if not isinstance(state, Tensor) or state.dtype is not uint8:
        given = state.dtype if isinstance(state, Tensor) else type(state).__name__
        raise error(
            TypeError,
            "set_state",
            "a generator's state is a tensor of dtype uint8",
            given=f"{given}",
            fix="pass what get_state() returned",
        )
    numbers = state.flatten().tolist()
    if len(numbers) != STATE_BYTES:
        raise error(
            RuntimeError,
            "set_state",
            f"a generator's state has {STATE_BYTES} elements, not {len(numbers)}",
            given=f"state of shape {tuple(state.shape)}",
            fix="pass what get_state() returned; states saved by torch belong to another generator",
        )
    return bytes(numbers)


class _Defaults:
    """The generators that random functions use when they are given none, one per device.

    All start from one seed, so a program gives the same numbers on every device. Nothing is asked
    of a device here: its generator is made when it is first used, with the seed that was last set.
    """

    def __init__(self) -> None:
        self.seed = fresh_seed()
        self.by_device: dict[Device, Generator] = {}
        self.lock = threading.Lock()

    def get(self, device: Device) -> Generator:
        found = self.by_device.get(device)
        if found is not None:
            return found
        with self.lock:
            return self.by_device.setdefault(device, _rebuilt(str(device), self.seed, 0))

    def reseed(self, seed: int) -> None:
        with self.lock:
            self.seed = seed
            for generator in self.by_device.values():
                generator._move(seed, 0)


_defaults = _Defaults()

default_generator = _defaults.get(Device("cpu"))


def generator_of(device: Device) -> Generator:
    """The default generator of a device, which the caller gives with its index if it has one."""
    return _defaults.get(device)


def manual_seed(seed: int) -> Generator:
    """Seeds the default generators of all devices; each starts its stream anew.

    Args:
        seed: From -2^63 to 2^64 - 1; a negative number means 2^64 + seed.
    Returns:
        The CPU's default generator.
    Raises:
        ValueError: `seed` is out of range.
    Example:
        >>> rushlight.manual_seed(7).initial_seed()
        7
    """
    _defaults.reseed(checked_seed("manual_seed", int(seed)))
    return default_generator


def seed() -> int:
    """Seeds all default generators from the operating system, and returns the seed."""
    number = fresh_seed()
    _defaults.reseed(number)
    return number


def initial_seed() -> int:
    """The seed of the CPU's default generator, from 0 to 2^64 - 1."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the CPU's default generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Puts the CPU's default generator back to where `get_rng_state` was called.

    Args:
        new_state: What `get_rng_state` returned.
    """
    default_generator.set_state(new_state)
