"""Initial values of parameters. All functions fill a tensor in place and return it.

They do so without recording for autograd. Names without the trailing underscore are deprecated.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

# `Any`: the core's generator class.
Generator = Any


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity should be larger.

    Args:
        nonlinearity: "linear", "conv1d" and the like, "sigmoid", "tanh", "relu", "leaky_relu" or
            "selu".
        param: Slope of "leaky_relu"; None for 0.01.
    Raises:
        ValueError: The name is unknown, or the slope is no number.
    Example:
        >>> rushlight.nn.init.calculate_gain("relu")
        1.4142135623730951
    """
    linear = ["linear"] + [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    if nonlinearity in linear or nonlinearity == "sigmoid":
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise error(ValueError, "calculate_gain", f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    raise error(
        ValueError,
        "calculate_gain",
        f"Unsupported nonlinearity {nonlinearity}",
        expected=", ".join([*linear, "sigmoid", "tanh", "relu", "leaky_relu", "selu"]),
    )


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None) -> Tensor:
    """Draws from the uniform distribution on [a, b).

    Args:
        tensor: What to fill.
        a: Lower end.
        b: Upper end.
        generator: Source of the draws; None for the default one.
    Example:
        >>> float(rushlight.nn.init.uniform_(rushlight.empty(3, 5), 2.0, 3.0).min()) >= 2.0
        True
    """
    with rushlight.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None
) -> Tensor:
    """Draws from the normal distribution.

    Args:
        tensor: What to fill.
        mean: Mean.
        std: Standard deviation.
        generator: Source of the draws; None for the default one.
    """
    with rushlight.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
) -> Tensor:
    """Draws from the normal distribution, of which only the part in [a, b] is left.

    Args:
        tensor: What to fill.
        mean: Mean before the cut.
        std: Standard deviation before the cut.
        a: Lower end.
        b: Upper end.
        generator: Source of the draws; None for the default one.
    Example:
        >>> float(rushlight.nn.init.trunc_normal_(rushlight.empty(99)).abs().max()) <= 2.0
        True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_: the distribution of "
            "the values may be incorrect.",
            stacklevel=2,
        )
    lower = _normal_cdf((a - mean) / std)
    upper = _normal_cdf((b - mean) / std)
    with rushlight.no_grad():
        # The inverse of the distribution function, applied to uniform draws between its values
        # at both ends; erfinv wants -1 to 1.
        tensor.uniform_(2 * lower - 1, 2 * upper - 1, generator=generator)
        tensor.erfinv_()
        tensor.mul_(std * math.sqrt(2.0)).add_(mean)
        # Rounding can step over an end.
        return tensor.clamp_(min=a, max=b)


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fills with `val`.

    Example:
        >>> rushlight.nn.init.constant_(rushlight.empty(2), 0.5)
        tensor([0.5000, 0.5000])
    """
    with rushlight.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fills with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fills with zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Makes a matrix the identity, as far as its sizes allow.

    Raises:
        ValueError: The tensor has not two dimensions.
    """
    if tensor.dim() != 2:
        raise _wrong_dims("eye_", tensor, "2")
    with rushlight.no_grad():
        tensor.fill_(0)
        tensor.diagonal().fill_(1)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Makes the weight of a convolution pass channels on unchanged, as many as it can.

    Args:
        tensor: A weight of three to five dimensions.
        groups: Groups of output channels, in each of which input channels count from 0.
    Raises:
        ValueError: The dimensions are not three to five, or `groups` does not divide the first.
    """
    if tensor.dim() not in (3, 4, 5):
        raise _wrong_dims("dirac_", tensor, "3, 4 or 5")
    if tensor.size(0) % groups:
        raise error(ValueError, "dirac_", "dim 0 must be divisible by groups", given=f"{groups=}")
    per_group = tensor.size(0) // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    with rushlight.no_grad():
        tensor.fill_(0)
        for group in range(groups):
            for channel in range(min(per_group, tensor.size(1))):
                tensor[(group * per_group + channel, channel, *centre)] = 1
    return tensor


def _wrong_dims(who: str, tensor: Tensor, expected: str) -> ValueError:
    return error(
        ValueError,
        who,
        f"only tensors with {expected} dimensions are supported",
        given=f"tensor of shape {tuple(tensor.shape)}",
    )


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs reach an output of a layer with this weight, and the reverse."""
    if tensor.dim() < 2:
        raise error(
            ValueError,
            "fan in and fan out",
            "can not be computed for a tensor with fewer than 2 dimensions",
            given=f"tensor of shape {tuple(tensor.shape)}",
        )
    receptive = math.prod(tensor.shape[2:])
    return tensor.size(1) * receptive, tensor.size(0) * receptive


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise error(
            ValueError,
            "kaiming initialization",
            f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']",
        )
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draws uniformly within gain * sqrt(6 / (fan_in + fan_out)).

    Args:
        tensor: A weight of at least two dimensions.
        gain: See `calculate_gain`.
        generator: Source of the draws; None for the default one.
    References:
        Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural
        networks.
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """Draws normally with deviation gain * sqrt(2 / (fan_in + fan_out)).

    Args:
        tensor: A weight of at least two dimensions.
        gain: See `calculate_gain`.
        generator: Source of the draws; None for the default one.
    References:
        Glorot and Bengio (2010), as for `xavier_uniform_`.
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _is_empty(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draws uniformly within gain * sqrt(3 / fan).

    Args:
        tensor: A weight of at least two dimensions.
        a: Slope of the leaky rectifier behind the layer.
        mode: "fan_in" keeps the size of signals, "fan_out" that of gradients.
        nonlinearity: What stands behind the layer; see `calculate_gain`.
        generator: Source of the draws; None for the default one.
    References:
        He et al. (2015), Delving deep into rectifiers.
    """
    if _is_empty(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Draws normally with deviation gain / sqrt(fan); arguments as of `kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator = None) -> Tensor:
    """Makes a random matrix with orthonormal rows or columns, times `gain`.

    Args:
        tensor: At least two dimensions; all but the first count as columns.
        gain: A factor.
        generator: Source of the draws; None for the default one.
    References:
        Saxe et al. (2013), Exact solutions to the nonlinear dynamics of learning in deep linear
        neural networks.
    """
    if tensor.dim() < 2:
        raise _wrong_dims("orthogonal_", tensor, "2 or more")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.size(0)
    columns = tensor.numel() // rows
    with rushlight.no_grad():
        flat = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator)
        q, r = rushlight.linalg.qr(flat.t() if rows < columns else flat)
        # The signs make the distribution uniform: Mezzadri (2007).
        q = q * rushlight.diagonal(r).sign()
        if rows < columns:
            q = q.t()
        return tensor.copy_(q.reshape(tensor.shape)).mul_(gain)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator = None
) -> Tensor:
    """Draws normally, then zeroes a share of each column.

    Args:
        tensor: A matrix.
        sparsity: The share.
        std: Standard deviation of the others.
        generator: Source of the draws; None for the default one.
    References:
        Martens (2010), Deep learning via Hessian-free optimization.
    """
    if tensor.dim() != 2:
        raise _wrong_dims("sparse_", tensor, "2")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with rushlight.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            chosen = rushlight.randperm(rows, generator=generator)[:zeros]
            tensor[chosen.to(tensor.device), column] = 0
    return tensor


def _deprecated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    old = function.__name__.removesuffix("_")

    def renamed(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{function.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    renamed.__name__ = old
    renamed.__doc__ = f"Deprecated name of `{function.__name__}`."
    return renamed


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
