"""Sample inputs: what an operand looks like, as data; its values follow from a dtype and a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._dtypes import Category, DType, bool_, int64
from ..._tensor.construction import convert

HostArray = np.ndarray[Any, Any]
Fill = Callable[[np.random.Generator, tuple[int, ...]], HostArray]

# What floats are multiplied with before they are rounded to integers: real() gives -4..4 then.
INTEGER_SCALE = 2.0


@dataclass(frozen=True)
class Input:
    """An operand of a sample.

    Attributes:
        shape: Its shape.
        fill: Draws float64 (or integer) values of that shape.
        dtype: Its dtype; None where it follows the sample's.
        varies: Whether derivatives by it are checked.
        loose: Whether layouts that change its values (expanded) suit it.
    """

    shape: tuple[int, ...]
    fill: Fill
    dtype: DType | None = None
    varies: bool = True
    loose: bool = True

    def values(self: Any, dtype: DType, seed: Sequence[int]) -> HostArray:
        """A host array of its values."""
        random = np.random.default_rng(seed)
        values = self.fill(random, self.shape)
        if self.dtype is not None:
            return convert(np.asarray(values), self.dtype)
        if dtype.is_complex and values.dtype.kind != "c":
            values = values + 1j * self.fill(random, self.shape)
        elif dtype.category is Category.INTEGER and values.dtype.kind == "f":
            values = np.rint(values * INTEGER_SCALE)
            values = values if dtype.is_signed else np.abs(values)
        elif dtype is bool_:
            values = values > 0
        return convert(np.asarray(values), dtype)


def constant(made: Input) -> Input:
    """An operand that the result is not differentiated by."""
    return replace(made, varies=False)


def real(*shape: int) -> Input:
    """Numbers of magnitude 0.1 to 2 of either sign: none where sign, abs and relu have a kink."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        return np.asarray(random.uniform(0.1, 2.0, shape) * random.choice((-1.0, 1.0), shape))

    return Input(shape, fill)


def within(low: float, high: float) -> Callable[..., Input]:
    """Maker of numbers from `low` to `high`: `within(0, 1)(2, 3)`."""

    def make(*shape: int) -> Input:
        return Input(shape, lambda random, shape: random.uniform(low, high, shape))

    return make


positive = within(0.25, 2.0)
unit = within(-0.9, 0.9)
chance = within(0.05, 0.95)


def near(center: float, *shape: int) -> Input:
    """Numbers close to a large one: what overflows or cancels in a naive formula."""
    return Input(shape, lambda random, shape: center + random.uniform(-1.0, 1.0, shape))


def distinct(*shape: int) -> Input:
    """Numbers of which no two are equal or close, in random order."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        count = int(np.prod(shape))
        return (random.permutation(count) - count // 2 + 0.25).reshape(shape) / 2

    return replace(Input(shape, fill), loose=False)


def values(*rows: Any) -> Input:
    """These very numbers: one nested list, or several numbers.

    Integers stay what they are in every dtype; floats are scaled where the dtype is an integer's.
    """
    array = np.array(rows[0] if len(rows) == 1 else rows)
    return Input(array.shape, lambda random, shape: array.copy())


def special() -> Input:
    """NaN, infinities, zeros of both signs, and numbers about 1."""
    inf, nan = float("inf"), float("nan")
    return values(nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 100.0)


def special_pairs(place: int) -> Input:
    """Operand 0 or 1 of all pairs of special numbers."""
    inf, nan = float("inf"), float("nan")
    numbers = np.array([nan, inf, -inf, 0.0, -0.0, 1.0, -2.5])
    array = np.stack(np.meshgrid(numbers, numbers, indexing="ij"))[place].ravel()
    return values(array)


def with_number(number: float, *shape: int) -> Input:
    """Real numbers with `number` (NaN, an infinity) in the first place."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        array = random.uniform(-2.0, 2.0, shape)
        array.flat[0] = number
        return array

    return Input(shape, fill)


def with_nan(*shape: int) -> Input:
    """Real numbers with a NaN."""
    return with_number(float("nan"), *shape)


def with_inf(*shape: int) -> Input:
    """Real numbers with an infinity."""
    return with_number(float("inf"), *shape)


def index(size: int, *shape: int, dtype: DType = int64, unique: bool = False) -> Input:
    """Indices into a dimension of that size; `unique` for those of which none occurs twice."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        if unique:
            count = int(np.prod(shape))
            return random.permutation(size)[:count].reshape(shape)
        return random.integers(0, max(size, 1), shape)

    return Input(shape, fill, dtype=dtype, varies=False, loose=not unique)


def unique_along(size: int, dim: int, *shape: int) -> Input:
    """Indices of which none occurs twice along `dim`."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        ranks = np.argsort(random.random((*shape[:dim], size, *shape[dim + 1 :])), axis=dim)
        return np.take(ranks, np.arange(shape[dim]), axis=dim)

    return Input(shape, fill, dtype=int64, varies=False, loose=False)


def fixed(*rows: Any, dtype: DType = int64) -> Input:
    """These very values in this dtype, whatever the sample's."""
    array = np.array(rows[0] if len(rows) == 1 else rows)
    return Input(
        array.shape, lambda random, shape: array.copy(), dtype=dtype, varies=False, loose=False
    )


def mask(*shape: int) -> Input:
    """Bools, about half of them True."""
    return Input(
        shape, lambda random, shape: random.integers(0, 2, shape), dtype=bool_, varies=False
    )


def symmetric(*shape: int) -> Input:
    """Symmetric (Hermitian, where complex) positive definite matrices with distinct eigenvalues."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        factor = random.uniform(-0.4, 0.4, shape)
        diagonal = np.eye(shape[-1]) * (1.0 + np.arange(shape[-1]))
        return factor @ np.swapaxes(factor, -1, -2) + diagonal

    return Input(shape, fill, loose=False)


def regular(*shape: int) -> Input:
    """Matrices that are far from singular and have distinct singular values."""

    def fill(random: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        n, m = shape[-2:]
        return random.uniform(-0.3, 0.3, shape) + np.eye(n, m) * (1.0 + np.arange(m))

    return Input(shape, fill, loose=False)
