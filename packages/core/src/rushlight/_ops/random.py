"""Random tensors: uniform, normal, integers, permutations, and tensors filled in place."""

from __future__ import annotations

import math
from typing import Any

from .._config import settings
from .._device import device as Device
from .._dispatch import write
from .._dtypes import DType, bool_, float32, float64, int64
from .._errors import error
from .._operator import broadcast_shapes, operator, operators
from .._tensor.construction import placed
from .._tensor.tensor import Tensor
from ..backend import kind_of
from ._public import into, method, public
from ._results import exactly_into
from .creation import cast_op, full
from .draws import draw, draw_integers, draw_true, random_permutation_op, reserved
from .reduction import check_tensor, has_values
from .views import sizes_of

_HALF = math.sqrt(0.5)


def _check_shape(who: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    for n in shape:
        if n < 0:
            raise error(
                RuntimeError,
                who,
                f"Trying to create tensor with negative dimension {n}: {list(shape)}",
            )
    return shape


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


def _made(
    who: str,
    name: str,
    size: tuple[Any, ...],
    generator: Any,
    out: Tensor | None,
    dtype: DType | None,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    shape = _check_shape(who, sizes_of(size))
    if out is not None:
        dtype, device = dtype or out.dtype, out.device
    result = drawn(who, name, shape, dtype or settings.default_dtype, placed(device), generator)
    if out is not None:
        return into(who, result, out)  # type: ignore[no-any-return]
    return result.requires_grad_() if requires_grad else result  # type: ignore[no-any-return]


# -- factories ------------------------------------------------------------------------------


def _sizes_in(size: tuple[Any, ...], keywords: dict[str, Any], who: str) -> tuple[Any, ...]:
    if "size" in keywords:
        size = (keywords.pop("size"),)
    keywords.pop("names", None)
    if keywords:
        raise error(TypeError, who, f"got an unexpected keyword argument {next(iter(keywords))!r}")
    return size


@public(methods=False)
def rand(
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
    """
    size = _sizes_in(size, keywords, "rand")
    return _made("rand", "random_uniform", size, generator, out, dtype, device, requires_grad)


@public(methods=False)
def randn(
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
    """Numbers with the standard normal distribution; arguments as of `rand`.

    Example:
        >>> rushlight.randn(2, 3).shape
        rushlight.Size([2, 3])
    """
    size = _sizes_in(size, keywords, "randn")
    return _made("randn", "random_normal", size, generator, out, dtype, device, requires_grad)


def _check_bounds(who: str, low: Any, high: Any, dtype: DType) -> None:
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
    shape = _check_shape("randint", sizes_of((bound["size"],)))
    dtype = given["dtype"] or (int64 if out is None else out.dtype)
    _check_bounds("randint", low, high, dtype)
    where = placed(given["device"]) if out is None else out.device
    result = _integers("randint", low, high, shape, dtype, where, given["generator"])
    if out is not None:
        return into("randint", result, out)  # type: ignore[no-any-return]
    return result.requires_grad_() if given["requires_grad"] else result  # type: ignore[no-any-return]


def _integers(
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
    return out if drawn_as is dtype else cast_op(out, dtype=dtype)  # type: ignore[no-any-return]


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
    _check_shape("randperm", (n,))
    where = placed(device) if out is None else out.device
    where = kind_of(where, int64).device
    place = reserved("randperm", "random_permutation", (n,), None, where, generator)
    result: Tensor = random_permutation_op(n=int(n), dtype=int64, device=where, **place)
    if out is not None:
        return into("randperm", result, out)  # type: ignore[no-any-return]
    if dtype is not int64:
        result = cast_op(result, dtype=dtype)
    return result.requires_grad_() if requires_grad else result  # type: ignore[no-any-return]


# -- like another tensor --------------------------------------------------------------------


def _like(
    who: str, name: str, input: Tensor, dtype: DType | None, device: Any, requires_grad: bool
) -> Tensor:
    check_tensor(who, input)
    where = input.device if device is None else placed(device)
    result = drawn(who, name, tuple(input.shape), dtype or input.dtype, where, None)
    return result.requires_grad_() if requires_grad else result  # type: ignore[no-any-return]


@public(methods=False)
def rand_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Numbers distributed uniformly over [0, 1), in the shape of another tensor.

    Example:
        >>> rushlight.rand_like(rushlight.ones(2, 3)).shape
        rushlight.Size([2, 3])
    """
    return _like("rand_like", "random_uniform", input, dtype, device, requires_grad)


@public(methods=False)
def randn_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Standard normal numbers in the shape of another tensor.

    Example:
        >>> rushlight.randn_like(rushlight.ones(2, 3)).shape
        rushlight.Size([2, 3])
    """
    return _like("randn_like", "random_normal", input, dtype, device, requires_grad)


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
    _check_bounds("randint_like", first, stop, chosen)
    where = input.device if device is None else placed(device)
    result = _integers("randint_like", first, stop, tuple(input.shape), chosen, where, None)
    return result.requires_grad_() if requires_grad else result  # type: ignore[no-any-return]


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



def _check_std(who: str, std: Any) -> None:
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
    _check_std("normal", std)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if not tensors:
        if size is None:
            raise error(TypeError, "normal", "missing argument 'size': mean and std are numbers")
        shape = _check_shape("normal", sizes_of((size,)))
        where = placed(device) if out is None else out.device
        chosen = dtype or (settings.default_dtype if out is None else out.dtype)
        result = drawn("normal", "random_normal", shape, chosen, where, generator) * std + mean
    else:
        shape = broadcast_shapes("normal", *(tuple(x.shape) for x in tensors))
        like = tensors[0]
        noise = drawn("normal", "random_normal", shape, like.dtype, like.device, generator)
        spread, centre = (x.detach() if isinstance(x, Tensor) else x for x in (std, mean))
        result = _attached((noise * spread + centre).to(like.dtype), *tensors)
    if out is not None:
        return into("normal", result, out)  # type: ignore[no-any-return]
    return result.requires_grad_() if requires_grad else result  # type: ignore[no-any-return]


def _check_probabilities(who: str, p: Any) -> None:
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
    _check_probabilities("bernoulli", chance)
    chance = chance.detach() if isinstance(chance, Tensor) else chance
    ones = draw_true("bernoulli", chance, tuple(input.shape), input.device, generator)
    return _attached(cast_op(ones, dtype=input.dtype), input)


# -- in place -------------------------------------------------------------------------------


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


def normal_(
    self: Tensor, mean: float = 0, std: float = 1, *, generator: Any = None
) -> Tensor:
    """Fills the tensor with normal numbers.

    Raises:
        RuntimeError: `std` is negative.
    Example:
        >>> rushlight.empty(2).normal_(3, 0)
        tensor([3., 3.])
    """
    _check_continuous("normal_", self, "", complex=True)
    _check_std("normal_", std)
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


def cauchy_(
    self: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None
) -> Tensor:
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


def log_normal_(
    self: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None
) -> Tensor:
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
    _check_bounds("random_", low, to, dtype)
    return _filled(
        self, _integers("random_", int(low), int(to), tuple(self.shape), dtype, self.device, generator)
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
    _check_probabilities("bernoulli_", p)
    return _filled(self, draw_true("bernoulli_", p, tuple(self.shape), self.device, generator))


for _function in (
    uniform_, normal_, exponential_, geometric_, cauchy_, log_normal_, random_, bernoulli_,
):  # fmt: skip
    method(_function.__name__, _function)


# -- choices --------------------------------------------------------------------------------


@public()
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """Positions drawn with the probabilities that each row's weights say.

    Args:
        input: Weights, a vector or rows of a matrix; they need not sum to one.
        num_samples: How many to draw from each row.
        replacement: Whether a position may be drawn again.
        generator: Source of randomness.
        out: Receives the result.
    Raises:
        RuntimeError: A weight is negative or not finite, a row's are all zero, or there are fewer
            positions than draws.
    References:
        Efraimidis and Spirakis (2006), Weighted random sampling with a reservoir.
        Information Processing Letters 97(5).
    Example:
        >>> rushlight.multinomial(rushlight.tensor([0.0, 1.0]), 1)
        tensor([1])
    """
    check_tensor("multinomial", input)
    _check_weights(input, num_samples, replacement)
    result = _chosen(input, num_samples, replacement, generator)
    return result if out is None else exactly_into("multinomial", result, out)  # type: ignore[no-any-return]


def _chosen(input: Tensor, num_samples: int, replacement: bool, generator: Any) -> Tensor:
    weights = input.detach()
    if weights.dtype.is_reduced:
        weights = cast_op(weights, dtype=float32)
    shape = tuple(weights.shape)
    if replacement:
        bounds = weights.cumsum(-1)
        places = draw(
            "multinomial", "random_uniform", (*shape[:-1], num_samples), weights.dtype,
            weights.device, generator,
        )  # fmt: skip
        total = bounds.narrow(-1, shape[-1] - 1, 1)
        found = operators["searchsorted"](bounds.contiguous(), places * total, right=True)
        # Rounding may bring a place to the very end, behind the last weight that is not zero.
        last = (weights > 0).to(int64).cumsum(-1).argmax(-1, keepdim=True)
        return operators["minimum"](found, last)  # type: ignore[no-any-return]
    waits = draw(
        "multinomial", "random_exponential", shape, weights.dtype, weights.device, generator
    )
    return (weights / waits).topk(num_samples, -1).indices  # type: ignore[no-any-return]


def _check_weights(x: Tensor, count: int, replacement: bool) -> None:
    problem = None
    if x.ndim not in (1, 2):
        problem = "prob_dist must be 1 or 2 dim"
    elif not x.dtype.is_floating_point:
        problem = f"multinomial only supports floating-point dtypes for input, got: {x.dtype.name}"
    elif count <= 0:
        problem = "cannot sample n_sample <= 0 samples"
    elif not replacement and count > x.shape[-1]:
        problem = "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    elif x.numel() and has_values(x):
        if not bool(((x >= 0) & (x < math.inf)).all()):
            problem = "probability tensor contains either `inf`, `nan` or element < 0"
        elif bool((x.sum(-1) <= 0).any()):
            problem = "invalid multinomial distribution (sum of probabilities <= 0)"
    if problem is not None:
        raise error(
            RuntimeError,
            "multinomial",
            problem,
            given=f"{x.dtype} of shape {tuple(x.shape)}, num_samples={count}",
        )


# Below this rate arrivals are counted one by one; above it a rejection method takes over.
_FEW = 10.0
_MOST_ARRIVALS = 60


@public()
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Numbers of events, Poisson distributed with the rates that the input has.

    Args:
        input: Rates, floating.
        generator: Source of randomness.
    Raises:
        RuntimeError: A rate is negative.
    References:
        Hoermann (1993), The transformed rejection method for generating Poisson random variables.
        Insurance: Mathematics and Economics 12.
    Example:
        >>> rushlight.poisson(rushlight.tensor([0.0, 0.0]))
        tensor([0., 0.])
    """
    check_tensor("poisson", input)
    if not input.dtype.is_floating_point:
        raise error(NotImplementedError, "poisson", f"not implemented for {input.dtype.name}")
    if input.numel() and not bool((input >= 0).all()):
        raise error(
            RuntimeError, "poisson", "invalid Poisson rate, expected rate to be non-negative"
        )
    rate = cast_op(input.detach(), dtype=float64).reshape(-1)
    few = rate < _FEW
    out = full((rate.shape[0],), 0, dtype=float64, device=rate.device)
    if bool(few.any()):
        out = operators["where"](few, _counted_arrivals(rate.clamp(max=_FEW), generator), out)
    if not bool(few.all()):
        out = operators["where"](few, out, _rejected_until_right(rate.clamp(min=_FEW), generator))
    return out.reshape(tuple(input.shape)).to(input.dtype)  # type: ignore[no-any-return]


def _counted_arrivals(rate: Tensor, generator: Any) -> Tensor:
    """Events within the time `rate`, one after the other; more than 60 have a chance of 1e-27."""
    shape = (rate.shape[0], _MOST_ARRIVALS)
    waits = draw("poisson", "random_exponential", shape, float64, rate.device, generator)
    return (waits.cumsum(1) <= rate.unsqueeze(1)).sum(1).to(float64)  # type: ignore[no-any-return]


def _rejected_until_right(rate: Tensor, generator: Any) -> Tensor:
    """Hoermann's PTRS for rates of at least 10: nine in ten proposals are accepted."""
    b = rate.sqrt() * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    log_rate = rate.log()
    out = full((rate.shape[0],), -1, dtype=float64, device=rate.device)
    while bool((out < 0).any()):
        shape = (2, rate.shape[0])
        both = draw("poisson", "random_uniform", shape, float64, rate.device, generator)
        u, v = both.select(0, 0) - 0.5, 1.0 - both.select(0, 1)
        us = 0.5 - u.abs()
        k = ((a * 2 / us + b) * u + rate + 0.43).floor()
        quick = (us >= 0.07) & (v <= v_r)
        exact = (v * inverse_alpha / (a / (us * us) + b)).log() <= (
            k * log_rate - rate - (k + 1).lgamma()
        )
        possible = (k >= 0) & ((us >= 0.013) | (v <= us))
        right = possible & (quick | exact) & (out < 0)
        out = operators["where"](right, k, out)
    return out
