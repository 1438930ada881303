"""Tensors filled with random numbers in place."""

from __future__ import annotations

import math
from typing import Any

from .._dtypes import bool_, float32, float64
from .._errors import error
from .._tensor.tensor import Tensor
from .._writes import write
from ._public import method
from .creation import cast_op
from .draws import draw, draw_true
from .random import check_bounds, check_probabilities, check_std, drawn, integers


def _filled(x: Tensor, values: Tensor) -> Tensor:
    return write(x, values if values.dtype is x.dtype else cast_op(values, dtype=x.dtype))


def _check_continuous(who: str, x: Tensor, what: str, *, complex: bool = False) -> None:
    if not (x.dtype.is_floating_point or (complex and x.dtype.is_complex)):
        raise error(
            RuntimeError if what else NotImplementedError,
            who,
            f"{what or who} needs a floating-point dtype but you specified {x.dtype.name}",
        )


def _from(keywords: dict[str, Any], positional: Any, who: str) -> Any:
    """The argument that torch calls `from`, a word that Python keeps for itself."""
    value = keywords.pop("from", positional)
    if keywords:
        raise error(TypeError, who, f"got an unexpected keyword argument {next(iter(keywords))!r}")
    return value


def _on(x: Tensor, name: str, who: str, generator: Any) -> Tensor:
    return drawn(who, name, tuple(x.shape), x.dtype, x.device, generator)


def uniform_(
    self: Tensor, from_: float = 0, to: float = 1, *, generator: Any = None, **keywords: Any
) -> Tensor:
    """Fills the tensor with numbers distributed uniformly over [from, to).

    Raises:
        RuntimeError: `from` exceeds `to`.
    Example:
        >>> rushlight.empty(2).uniform_(3, 3)
        tensor([3., 3.])
    """
    low = _from(keywords, from_, "uniform_")
    _check_continuous("uniform_", self, "", complex=True)
    if not low <= to:
        raise error(
            RuntimeError,
            "uniform_",
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}",
        )
    values = _on(self, "random_uniform", "uniform_", generator)
    if low == 0 and to == 1:
        return _filled(self, values)
    return _filled(self, values * (to - low) + low)


def normal_(self: Tensor, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
    """Fills the tensor with normal numbers.

    Raises:
        RuntimeError: `std` is negative.
    Example:
        >>> rushlight.empty(2).normal_(3, 0)
        tensor([3., 3.])
    """
    _check_continuous("normal_", self, "", complex=True)
    check_std("normal_", std)
    values = _on(self, "random_normal", "normal_", generator)
    if std != 1:
        values = values * std
    return _filled(self, values if mean == 0 else values + mean)


def exponential_(self: Tensor, lambd: float = 1, *, generator: Any = None) -> Tensor:
    """Fills the tensor with numbers of the exponential distribution of rate `lambd`.

    Raises:
        RuntimeError: The rate is not positive, or the dtype not floating.
    Example:
        >>> bool((rushlight.empty(8).exponential_() > 0).all())
        True
    """
    _check_continuous("exponential_", self, "Exponential distribution")
    if not lambd > 0:
        raise error(
            RuntimeError,
            "exponential_",
            f"exponential_ expects lambda > 0.0, but found lambda={lambd}",
        )
    values = _on(self, "random_exponential", "exponential_", generator)
    return _filled(self, values if lambd == 1 else values / lambd)


def geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Fills the tensor with the number of trials until one of probability `p` succeeds.

    Raises:
        RuntimeError: `p` lies outside (0, 1).
    Example:
        >>> bool((rushlight.empty(8).geometric_(0.5) >= 1).all())
        True
    """
    if not 0 < p < 1:
        raise error(
            RuntimeError, "geometric_", f"geometric_ expects p to be in (0, 1), but got p={p}"
        )
    if self.dtype is bool_ or self.dtype.is_complex:
        raise error(NotImplementedError, "geometric_", f"not implemented for {self.dtype.name}")
    dtype = float64 if self.dtype is float64 or not self.dtype.is_floating_point else float32
    waits = draw(
        "geometric_", "random_exponential", tuple(self.shape), dtype, self.device, generator
    )
    return _filled(self, (waits / -math.log1p(-p)).ceil().clamp(min=1))


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    """Fills the tensor with numbers of the Cauchy distribution.

    Raises:
        RuntimeError: `sigma` is not positive, or the dtype not floating.
    Example:
        >>> rushlight.empty(3).cauchy_().shape
        rushlight.Size([3])
    """
    _check_continuous("cauchy_", self, "Cauchy distribution")
    if not sigma > 0:
        raise error(
            RuntimeError, "cauchy_", f"cauchy_ expects sigma > 0.0, but found sigma={sigma}"
        )
    turns = _on(self, "random_uniform", "cauchy_", generator) - 0.5
    return _filled(self, (turns * math.pi).tan() * sigma + median)


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    """Fills the tensor with exponentials of normal numbers.

    Raises:
        RuntimeError: `std` is not positive, or the dtype not floating.
    Example:
        >>> bool((rushlight.empty(8).log_normal_() > 0).all())
        True
    """
    _check_continuous("log_normal_", self, "log_normal_")
    if not std > 0:
        raise error(
            RuntimeError, "log_normal_", f"log_normal_ expects std > 0.0, but found std={std}"
        )
    values = _on(self, "random_normal", "log_normal_", generator)
    return _filled(self, (values * std + mean).exp())


# How many bits of an integer each floating dtype holds exactly.
_MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def random_(
    self: Tensor, from_: Any = None, to: Any = None, *, generator: Any = None, **keywords: Any
) -> Tensor:
    """Fills the tensor with integers from `from` to `to - 1`; all that the dtype holds by default.

    Args:
        from_: Lowest integer, `from` in torch; alone, it is `to`.
        to: Upper bound.
        generator: Source of randomness.
        **keywords: `from`.
    Raises:
        RuntimeError: There is no such integer.
    Example:
        >>> rushlight.empty(2).random_(3, 4)
        tensor([3., 3.])
    """
    named = "from" in keywords
    low = _from(keywords, from_, "random_")
    if low is not None and to is None and not named:
        low, to = 0, low
    dtype = self.dtype
    if to is None:
        bits = 8 * dtype.itemsize - dtype.is_signed
        most = 2 if dtype is bool_ else 1 << bits
        to = (1 << _MANTISSA[dtype.name]) + 1 if dtype.is_floating_point else most
    low = 0 if low is None else low
    check_bounds("random_", low, to, dtype)
    return _filled(
        self,
        integers("random_", int(low), int(to), tuple(self.shape), dtype, self.device, generator),
    )


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fills the tensor with ones, each with probability `p`, and zeros.

    Args:
        p: A number, or a tensor that broadcasts to this one's shape.
        generator: Source of randomness.
    Raises:
        RuntimeError: A probability lies outside [0, 1].
    Example:
        >>> rushlight.empty(2).bernoulli_(1.0)
        tensor([1., 1.])
    """
    check_probabilities("bernoulli_", p)
    return _filled(self, draw_true("bernoulli_", p, tuple(self.shape), self.device, generator))


for _function in (
    uniform_, normal_, exponential_, geometric_, cauchy_, log_normal_, random_, bernoulli_,
):  # fmt: skip
    method(_function.__name__, _function)
