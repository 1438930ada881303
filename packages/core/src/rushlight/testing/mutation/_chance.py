"""Defects of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel

_F = "random numbers"
_FLOATS = "random_uniform random_normal random_exponential"
_ALL = f"{_FLOATS} random_integers random_bernoulli random_permutation dropout"


@in_kernel(_F, "every draw begins at offset 0", _ALL)
def generator_offset_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*xs, **{**a, "offset": 0})


@in_kernel(_F, "the upper half of the seed is dropped", _ALL)
def seed_cut_to_32_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*xs, **{**a, "seed": a["seed"] & 0xFFFFFFFF})


@in_kernel(_F, "the counter has 32 bits", _ALL)
def counter_cut_to_32_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*xs, **{**a, "offset": a["offset"] & 0xFFFFFFFF})


@in_kernel(_F, "numbers come from the host's own generator", _FLOATS)
def own_generator(kernel: Kernel, dtype: DType) -> Kernel:
    random = np.random.default_rng(0)
    return lambda *xs, **a: kernel(*xs, **{**a, "seed": int(random.integers(1 << 40))})


@in_kernel(_F, "the four words of a block come in another order", "random_uniform")
def lanes_exchanged(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(**attributes: Any) -> Any:
        out = kernel(**attributes)
        flat = out.reshape(-1).copy()
        whole = flat.size // 4 * 4
        flat[:whole] = flat[:whole].reshape(-1, 4)[:, ::-1].reshape(-1)
        return flat.reshape(out.shape)

    return wrong


@in_kernel(_F, "every block of four repeats the first", "random_uniform random_normal")
def block_repeated(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(**attributes: Any) -> Any:
        out = kernel(**attributes)
        return np.resize(out.reshape(-1)[:4], out.shape) if out.size else out

    return wrong


@in_kernel(_F, "draws of more than 1024 numbers repeat themselves", "random_uniform random_normal")
def long_draws_repeat(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(**attributes: Any) -> Any:
        out = kernel(**attributes)
        return np.resize(out.reshape(-1)[:1024], out.shape) if out.size > 1024 else out

    return wrong


@in_kernel(_F, "sine and cosine of a pair are exchanged", "random_normal")
def normal_pairs_exchanged(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(**attributes: Any) -> Any:
        out = kernel(**attributes)
        flat = out.reshape(-1).copy()
        whole = flat.size // 2 * 2
        flat[:whole] = flat[:whole].reshape(-1, 2)[:, ::-1].reshape(-1)
        return flat.reshape(out.shape)

    return wrong


@in_kernel(
    _F,
    "normal numbers are right to the last bit but one",
    "random_normal",
)
def normal_last_bit(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(**attributes: Any) -> Any:
        out = kernel(**attributes)
        if out.dtype != np.float32:
            return out
        return np.nextafter(out, np.float32(0))

    return wrong


@in_kernel(_F, "a Bernoulli draw is true where it should be false", "random_bernoulli dropout")
def bernoulli_inverted(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        if "p" in attributes:
            return kernel(x, **{**attributes, "p": 1 - attributes["p"]})
        return ~kernel(1 - x, **attributes)

    return wrong


@in_kernel(_F, "integers include the upper bound", "random_integers")
def integers_too_high(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda **a: kernel(**{**a, "high": a["high"] + 1})


@in_kernel(_F, "a permutation of more than two moves nothing", "random_permutation")
def permutation_in_order(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda **a: np.sort(kernel(**a))


@in_kernel(_F, "what dropout keeps is not scaled", "dropout")
def dropout_not_scaled(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, p: float, seed: int, offset: int) -> Any:
        _, keep = kernel(x, p=p, seed=seed, offset=offset)
        return np.where(keep, x, x.dtype.type(0)), keep

    return wrong
