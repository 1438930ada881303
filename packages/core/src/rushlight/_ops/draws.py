"""The random operators: pure functions of a seed and a place in its stream."""

from __future__ import annotations

from typing import Any

from .. import _generator
from .._device import device as Device
from .._dispatch import Spec
from .._dtypes import DType, bool_, float32, int64
from .._errors import error
from .._generator import Generator, generator_of
from .._modes import STATE
from .._operator import operator
from .._philox import blocks
from .._promotion import number_tensor
from .._tensor.tensor import Tensor
from ..backend import kind_of
from ._public import export

_WHERE = "int seed, int offset, int[] shape, dtype dtype, Device device"
_DRAWS = {"creates": True, "differentiable": False, "is_random": True}
random_uniform_op = operator(f"random_uniform(*, {_WHERE}) -> Tensor", **_DRAWS)
random_normal_op = operator(f"random_normal(*, {_WHERE}) -> Tensor", **_DRAWS)
random_exponential_op = operator(f"random_exponential(*, {_WHERE}) -> Tensor", **_DRAWS)
random_integers_op = operator(
    "random_integers(*, int seed, int offset, int[] shape, int low, int high, dtype dtype,"
    " Device device) -> Tensor",
    **_DRAWS,
)
random_permutation_op = operator(
    "random_permutation(*, int seed, int offset, int n, dtype dtype, Device device) -> Tensor",
    **_DRAWS,
)
random_bernoulli_op = operator(
    "random_bernoulli(Tensor p, *, int seed, int offset, int[] shape) -> Tensor",
    differentiable=False,
    is_random=True,
)


def _shaped(*, shape: tuple[int, ...], dtype: DType, **_: Any) -> Spec:
    return Spec(shape, dtype)


for _op in (random_uniform_op, random_normal_op, random_exponential_op, random_integers_op):
    _op.meta(_shaped)


@random_permutation_op.meta
def _(*, seed: int, offset: int, n: int, dtype: DType, device: Device) -> Spec:
    return Spec((n,), int64)


@random_bernoulli_op.meta
def _(p: Tensor, *, seed: int, offset: int, shape: tuple[int, ...]) -> Spec:
    return Spec(shape, bool_)


# -- drawing --------------------------------------------------------------------------------


def checked_generator(who: str, generator: Any, where: Device) -> Generator:
    """The generator to draw from: the one given, or the device's own.

    Raises:
        TypeError: It is no generator.
        RuntimeError: It belongs to another type of device.
    """
    if generator is None:
        return generator_of(where)
    if not isinstance(generator, Generator):
        raise error(
            TypeError,
            who,
            f"argument 'generator' must be Generator, not {type(generator).__name__}",
        )
    if generator.device.type != where.type:
        raise error(
            RuntimeError,
            who,
            f"Expected a '{where.type}' device type for generator but found "
            f"'{generator.device.type}'",
            fix=f"use rushlight.Generator(device='{where.type}')",
        )
    return generator


def batched_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """What is really drawn for `shape`: a `vmap` whose items differ draws for all of them."""
    levels = STATE.get().interpreters
    sizes = [v.size for v in levels if getattr(v, "randomness", None) == "different"]
    return (*sizes, *shape)


def under_vmap() -> bool:
    """Whether a `vmap` is active, which decides itself how random numbers are drawn."""
    return any(hasattr(level, "randomness") for level in STATE.get().interpreters)


def reserved(
    who: str,
    name: str,
    shape: tuple[int, ...],
    dtype: DType | None,
    where: Device,
    generator: Any,
    span: int = 0,
) -> dict[str, int]:
    """Seed and offset of a draw, whose part of the stream is then taken."""
    source = checked_generator(who, generator, where)
    seed, offset = source.reserve(blocks(name, batched_shape(shape), dtype, span=span))
    return {"seed": seed, "offset": offset}


_REAL_DRAWS = {
    "random_uniform": random_uniform_op,
    "random_normal": random_normal_op,
    "random_exponential": random_exponential_op,
}


def draw(
    who: str,
    name: str,
    shape: tuple[int, ...],
    dtype: DType,
    where: Device,
    generator: Any = None,
) -> Tensor:
    """Floating numbers of one of the three distributions that devices draw themselves."""
    where = kind_of(where, dtype).device
    place = reserved(who, name, shape, dtype, where, generator)
    return _REAL_DRAWS[name](shape=shape, dtype=dtype, device=where, **place)  # type: ignore[no-any-return]


def draw_integers(
    who: str,
    low: int,
    high: int,
    shape: tuple[int, ...],
    dtype: DType,
    where: Device,
    generator: Any = None,
) -> Tensor:
    """Integers from `low` to `high - 1`."""
    where = kind_of(where, dtype).device
    place = reserved(who, "random_integers", shape, dtype, where, generator, high - low)
    return random_integers_op(  # type: ignore[no-any-return]
        shape=shape, low=low, high=high, dtype=dtype, device=where, **place
    )


def draw_true(
    who: str, p: Any, shape: tuple[int, ...], where: Device, generator: Any = None
) -> Tensor:
    """True with probability `p`, a number or a tensor that broadcasts to `shape`."""
    if not isinstance(p, Tensor):
        kind = kind_of(where, float32)
        where, p = kind.device, number_tensor(kind, float(p))
    place = reserved(who, "random_bernoulli", shape, None, where, generator)
    return random_bernoulli_op(p, shape=shape, **place)  # type: ignore[no-any-return]


for _name in (
    "Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state",
):  # fmt: skip
    export(_name, getattr(_generator, _name))
