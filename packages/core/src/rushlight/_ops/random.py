"""Random tensors: uniform, normal, integers, permutations, and tensors filled in place."""

from __future__ import annotations

import math
from typing import Any

from .._config import settings
from .._device import device as Device
from .._dtypes import DType, bool_, int64
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._registered import operators
from .._tensor.construction import placed
from .._tensor.tensor import Tensor
from ..backend import kind_of
from ._geometry import check_tensor
from ._making import check_sizes, delivered, finished, sizes_given
from ._public import public
from .creation import cast_op, full
from .draws import draw, draw_integers, draw_true, random_permutation_op, reserved
from .reduction import has_values
from .views import sizes_of

_HALF = math.sqrt(0.5)


def drawn(
    who: str, name: str, shape: tuple[int, ...], dtype: DType, where: Device, generator: Any
) -> Tensor:
    """A draw of a floating or complex dtype; of a complex one, both parts independently."""
    if not dtype.is_inexact:
        raise error(
            NotImplementedError,
            who,
            f"not implemented for {dtype.name}: the distribution is continuous",
            expected="a floating or complex dtype",
        )
    if not dtype.is_complex:
        return draw(who, name, shape, dtype, where, generator)
    parts = draw(who, name, (*shape, 2), dtype.to_real(), where, generator)
    if name == "random_normal":
        parts = parts * _HALF
    return operators["view_as_complex"](parts)  # type: ignore[no-any-return]


# -- factories ------------------------------------------------------------------------------


def _factory(name: str, distribution: str, doc: str) -> None:
    """`rand` and `randn`."""

    def factory(
        *size: Any,
        generator: Any = None,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **keywords: Any,
    ) -> Tensor:
        shape = check_sizes(sizes_given(name, size, keywords), name)
        if out is not None:
            dtype, device = dtype or out.dtype, out.device
        where = placed(device)
        made = drawn(name, distribution, shape, dtype or settings.default_dtype, where, generator)
        return delivered(name, made, out, requires_grad)

    _publish(factory, name, doc)


def _publish(function: Any, name: str, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    public(methods=False)(function)


_factory(
    "rand", "random_uniform",
    """Numbers distributed uniformly over [0, 1).

    Args:
        *size: The shape, as numbers or as one sequence.
        generator: Source of randomness; the device's own by default.
        out: Receives the result.
        dtype: Floating or complex dtype; the default dtype by default.
        layout, pin_memory: Accepted for compatibility.
        device: Where to make the tensor.
        requires_grad: Whether the result is a leaf that wants a gradient.
        **keywords: `size`, the shape as one sequence.
    Example:
        >>> rushlight.rand(2, 3).shape
        rushlight.Size([2, 3])
    """,
)  # fmt: skip
_factory(
    "randn", "random_normal",
    """Numbers with the standard normal distribution; arguments as of `rand`.

    Example:
        >>> rushlight.randn(2, 3).shape
        rushlight.Size([2, 3])
    """,
)  # fmt: skip


def check_bounds(who: str, low: Any, high: Any, dtype: DType) -> None:
    if low >= high:
        raise error(
            RuntimeError,
            who,
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}",
        )
    if dtype.is_inexact:
        return
    bits = 8 * dtype.itemsize
    least = -(1 << (bits - 1)) if dtype.is_signed else 0
    most = 1 if dtype is bool_ else (1 << (bits - 1 if dtype.is_signed else bits)) - 1
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise error(
                RuntimeError, who, f"{name} is out of bounds for {dtype.name}", given=f"{value}"
            )


def randint(*args: Any, **keywords: Any) -> Tensor:
    """Integers distributed uniformly: `randint(low=0, high, size, *, ...)`.

    Args:
        *args: `high, size` or `low, high, size`.
        **keywords: The same by name; `generator`, `out`, `dtype` (int64 by default), `device`,
            `requires_grad`, and for compatibility `layout` and `pin_memory`.
    Raises:
        RuntimeError: There is no integer between the bounds, or the dtype can't hold one.
    Example:
        >>> rushlight.randint(0, 10, (2, 3)).shape
        rushlight.Size([2, 3])
    """
    given = {
        name: keywords.pop(name, default)
        for name, default in (
            ("generator", None), ("out", None), ("dtype", None), ("device", None),
            ("requires_grad", False), ("layout", None), ("pin_memory", False),
        )
    }  # fmt: skip
    names = ["low", "high", "size"] if len(args) == 3 or "low" in keywords else ["high", "size"]
    if len(args) == 2 and "size" in keywords:
        names = ["low", "high"]
    bound = {"low": 0, **dict(zip(names, args, strict=False)), **keywords}
    if set(bound) != {"low", "high", "size"} or len(args) > 3:
        raise error(
            TypeError,
            "randint",
            "received an invalid combination of arguments",
            given=", ".join([*map(repr, args), *keywords]),
            expected="(high, size) or (low, high, size)",
        )
    out = given["out"]
    low, high = (_whole("randint", bound[name]) for name in ("low", "high"))
    shape = check_sizes(sizes_of((bound["size"],)), "randint")
    dtype = given["dtype"] or (int64 if out is None else out.dtype)
    check_bounds("randint", low, high, dtype)
    where = placed(given["device"]) if out is None else out.device
    result = integers("randint", low, high, shape, dtype, where, given["generator"])
    return delivered("randint", result, out, given["requires_grad"])


def integers(
    who: str,
    low: int,
    high: int,
    shape: tuple[int, ...],
    dtype: DType,
    where: Device,
    generator: Any,
) -> Tensor:
    """Integers of any dtype; bool and complex by way of int64."""
    drawn_as = int64 if dtype is bool_ or dtype.is_complex else dtype
    out = draw_integers(who, low, high, shape, drawn_as, where, generator)
    return out if drawn_as is dtype else cast_op(out, dtype=dtype)


def _whole(who: str, value: Any) -> int:
    if isinstance(value, float):
        if not value.is_integer():
            raise error(TypeError, who, f"bounds must be int, not float: {value}")
        return int(value)
    return int(value.__index__()) if hasattr(value, "__index__") else int(value)


public(methods=False)(randint)


@public(methods=False)
def randperm(
    n: int,
    *,
    generator: Any = None,
    out: Tensor | None = None,
    dtype: DType = int64,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers from 0 to n - 1 in random order.

    Raises:
        RuntimeError: `n` is negative.
    Example:
        >>> rushlight.randperm(4).sort().values
        tensor([0, 1, 2, 3])
    """
    check_sizes((n,), "randperm")
    where = placed(device) if out is None else out.device
    where = kind_of(where, int64).device
    place = reserved("randperm", "random_permutation", (n,), None, where, generator)
    result: Tensor = random_permutation_op(n=int(n), dtype=int64, device=where, **place)
    if out is None and dtype is not int64:
        result = cast_op(result, dtype=dtype)
    return delivered("randperm", result, out, requires_grad)


# -- like another tensor --------------------------------------------------------------------


def _like(name: str, distribution: str, what: str) -> None:
    """`rand_like` and `randn_like`."""

    def factory(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        check_tensor(name, input)
        where = input.device if device is None else placed(device)
        made = drawn(name, distribution, tuple(input.shape), dtype or input.dtype, where, None)
        return finished(made, requires_grad)

    doc = f"""{what} in the shape of another tensor.

    Example:
        >>> rushlight.{name}(rushlight.ones(2, 3)).shape
        rushlight.Size([2, 3])
    """
    _publish(factory, name, doc)


_like("rand_like", "random_uniform", "Numbers distributed uniformly over [0, 1),")
_like("randn_like", "random_normal", "Standard normal numbers")


@public(methods=False)
def randint_like(
    input: Tensor,
    low: Any = None,
    high: Any = None,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Integers from `low` (or 0) to `high - 1` in the shape and dtype of another tensor.

    Example:
        >>> rushlight.randint_like(rushlight.ones(2, 3), 10).shape
        rushlight.Size([2, 3])
    """
    check_tensor("randint_like", input)
    if high is None:
        low, high = 0, low
    if high is None:
        raise error(TypeError, "randint_like", "missing argument 'high'")
    first, stop = _whole("randint_like", low or 0), _whole("randint_like", high)
    chosen = dtype or input.dtype
    check_bounds("randint_like", first, stop, chosen)
    where = input.device if device is None else placed(device)
    result = integers("randint_like", first, stop, tuple(input.shape), chosen, where, None)
    return finished(result, requires_grad)


# -- normal, bernoulli ----------------------------------------------------------------------

constant_of_op = operator("constant_of(Tensor value, Tensor x) -> Tensor")


@constant_of_op.decomposition
def _(value: Tensor, x: Tensor) -> Tensor:
    return operators["clone"](value)  # type: ignore[no-any-return]


constant_of_op.vjp(
    value=lambda g: g,
    x=lambda g, x_shape: full(x_shape, 0, dtype=g.dtype, device=g.device),
)


def _attached(value: Tensor, *parameters: Tensor) -> Tensor:
    """A draw with a history that gives its parameters the gradient 0, as torch has it."""
    for x in parameters:
        if x.requires_grad:
            value = constant_of_op(value, x)
    return value


def check_std(who: str, std: Any) -> None:
    if isinstance(std, Tensor):
        if std.is_complex():
            raise error(RuntimeError, who, "normal expects standard deviation to be non-complex")
        if std.numel() and has_values(std) and bool((std < 0).any()):
            raise error(RuntimeError, who, "normal expects all elements of std >= 0.0")
    elif not std >= 0:
        raise error(RuntimeError, who, f"normal expects std >= 0.0, but found std {std}")


@public(methods=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers with normal distributions.

    Args:
        mean: Mean: a number, or a tensor with one for each element.
        std: Standard deviation, likewise.
        size: The shape, where both are numbers.
        generator: Source of randomness.
        out: Receives the result.
        dtype, device, requires_grad: As of `rand`, where `size` is given.
        layout, pin_memory: Accepted for compatibility.
    Raises:
        RuntimeError: A standard deviation is negative.
    Example:
        >>> rushlight.normal(rushlight.tensor([1.0, 2.0]), 0.0)
        tensor([1., 2.])
    """
    check_std("normal", std)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if not tensors:
        if size is None:
            raise error(TypeError, "normal", "missing argument 'size': mean and std are numbers")
        shape = check_sizes(sizes_of((size,)), "normal")
        where = placed(device) if out is None else out.device
        chosen = dtype or (settings.default_dtype if out is None else out.dtype)
        result = drawn("normal", "random_normal", shape, chosen, where, generator) * std + mean
    else:
        shape = broadcast_shapes("normal", *(tuple(x.shape) for x in tensors))
        like = tensors[0]
        noise = drawn("normal", "random_normal", shape, like.dtype, like.device, generator)
        spread, centre = (x.detach() if isinstance(x, Tensor) else x for x in (std, mean))
        result = _attached((noise * spread + centre).to(like.dtype), *tensors)
    return delivered("normal", result, out, requires_grad)


def check_probabilities(who: str, p: Any) -> None:
    if isinstance(p, Tensor):
        if not p.dtype.is_floating_point:
            raise error(
                NotImplementedError, who, f"probabilities must be floating, not {p.dtype.name}"
            )
        if p.numel() and has_values(p) and not bool(((p >= 0) & (p <= 1)).all()):
            raise error(RuntimeError, who, "Expected p_in >= 0 && p_in <= 1 to be true")
    elif not 0 <= p <= 1:
        raise error(RuntimeError, who, f"bernoulli_ expects p to be in [0, 1], but got p={p}")


@public(out=True)
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """Ones and zeros, a one with the probability that the input has there.

    Args:
        input: Probabilities; only shape and dtype count if `p` is given.
        p: One probability for all elements.
        generator: Source of randomness.
    Raises:
        RuntimeError: A probability lies outside [0, 1].
    Example:
        >>> rushlight.bernoulli(rushlight.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    check_tensor("bernoulli", input)
    chance = input if p is None else p
    check_probabilities("bernoulli", chance)
    chance = chance.detach() if isinstance(chance, Tensor) else chance
    ones = draw_true("bernoulli", chance, tuple(input.shape), input.device, generator)
    return _attached(cast_op(ones, dtype=input.dtype), input)
