"""Activations: functions of each element, and the softmax family."""

from __future__ import annotations

import warnings
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ..parameter import Parameter
from .module import Module


class _Plain(Module):
    """An activation without arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class _Inplace(Module):
    """An activation whose only argument is whether to overwrite its input."""

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Says so if it works in place."""
        return "inplace=True" if self.inplace else ""


def _with_inplace(text: str, inplace: bool) -> str:
    return text + (", inplace=True" if inplace else "")


class Threshold(Module):
    """x where it exceeds `threshold`, else `value`.

    Args:
        threshold: Where the identity begins.
        value: What stands below.
        inplace: Overwrite the input.
    Example:
        >>> rushlight.nn.Threshold(0.5, 9.0)(rushlight.tensor([0.0, 1.0]))
        tensor([9., 1.])
    """

    __constants__ = ["threshold", "value", "inplace"]

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        text = f"threshold={self.threshold}, value={self.value}"
        return _with_inplace(text, self.inplace)


class ReLU(_Inplace):
    """max(x, 0).

    Example:
        >>> rushlight.nn.ReLU()(rushlight.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.relu(input, inplace=self.inplace)


class RReLU(Module):
    """x where positive, else a x; a is random in training, and the middle of its range otherwise.

    Args:
        lower: Least a.
        upper: Greatest a.
        inplace: Overwrite the input.
    References:
        Xu et al. (2015), Empirical evaluation of rectified activations in convolutional network.
    """

    __constants__ = ["lower", "upper", "inplace"]

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return _with_inplace(f"lower={self.lower}, upper={self.upper}", self.inplace)


class Hardtanh(Module):
    """x, limited to a range.

    Args:
        min_val: Lower end.
        max_val: Upper end.
        inplace: Overwrite the input.
        min_value: Deprecated name of `min_val`.
        max_value: Deprecated name of `max_val`.
    Example:
        >>> rushlight.nn.Hardtanh()(rushlight.tensor([-3.0, 0.5]))
        tensor([-1.0000,  0.5000])
    """

    __constants__ = ["min_val", "max_val", "inplace"]

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for old, new, value in (("min", "min_val", min_value), ("max", "max_val", max_value)):
            if value is not None:
                message = f"keyword argument `{old}_value` is deprecated, use `{new}`"
                warnings.warn(message, FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise error(
                AssertionError,
                "Hardtanh",
                f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})",
            )

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return _with_inplace(f"min_val={self.min_val}, max_val={self.max_val}", self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6).

    Args:
        inplace: Overwrite the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Says so if it works in place."""
        return "inplace=True" if self.inplace else ""


class Sigmoid(_Plain):
    """1 / (1 + exp(-x)).

    Example:
        >>> rushlight.nn.Sigmoid()(rushlight.tensor([0.0]))
        tensor([0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return rushlight.sigmoid(input)


class Tanh(_Plain):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return rushlight.tanh(input)


class Hardsigmoid(Module):
    """The sigmoid made of straight lines: min(max(x / 6 + 1/2, 0), 1).

    Args:
        inplace: Overwrite the input.
    """

    __constants__ = ["inplace"]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Module):
    """x times its `Hardsigmoid`.

    Args:
        inplace: Overwrite the input.
    References:
        Howard et al. (2019), Searching for MobileNetV3.
    """

    __constants__ = ["inplace"]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.hardswish(input, self.inplace)


class SiLU(_Inplace):
    """x sigmoid(x), also called swish."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.silu(input, inplace=self.inplace)


class Mish(_Inplace):
    """x tanh(softplus(x)).

    References:
        Misra (2019), Mish: a self regularized non-monotonic activation function.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.mish(input, inplace=self.inplace)


class ELU(Module):
    """x where positive, else alpha (exp(x) - 1).

    Args:
        alpha: Minus the limit on the left.
        inplace: Overwrite the input.
    References:
        Clevert et al. (2016), Fast and accurate deep network learning by exponential linear units.
    """

    __constants__ = ["alpha", "inplace"]

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return _with_inplace(f"alpha={self.alpha}", self.inplace)


class CELU(Module):
    """max(x, 0) + min(0, alpha (exp(x / alpha) - 1)).

    Args:
        alpha: Minus the limit on the left.
        inplace: Overwrite the input.
    References:
        Barron (2017), Continuously differentiable exponential linear units.
    """

    __constants__ = ["alpha", "inplace"]

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return _with_inplace(f"alpha={self.alpha}", self.inplace)


class SELU(_Inplace):
    """The ELU scaled so that it keeps mean zero and variance one.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.selu(input, self.inplace)


class GLU(Module):
    """a sigmoid(b), where a and b are the halves of the input.

    Args:
        dim: The dimension to halve.
    Example:
        >>> rushlight.nn.GLU()(rushlight.randn(4, 2)).shape
        rushlight.Size([4, 1])
    """

    __constants__ = ["dim"]

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class GELU(Module):
    """x times the probability that a standard normal variable is below x.

    Args:
        approximate: "none", or "tanh" for the approximation by a hyperbolic tangent.
    References:
        Hendrycks and Gimpel (2016), Gaussian error linear units.
    """

    __constants__ = ["approximate"]

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class Hardshrink(Module):
    """x where its magnitude exceeds `lambd`, else 0.

    Args:
        lambd: Half the width of the gap.
    """

    __constants__ = ["lambd"]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The width."""
        return f"{self.lambd}"


class Softshrink(Module):
    """x moved towards 0 by `lambd`, and 0 where it would cross it.

    Args:
        lambd: How far; not negative.
    """

    __constants__ = ["lambd"]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The distance."""
        return str(self.lambd)


class LeakyReLU(Module):
    """x where positive, else `negative_slope` times x.

    Args:
        negative_slope: Slope on the left.
        inplace: Overwrite the input.
    """

    __constants__ = ["inplace", "negative_slope"]

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return _with_inplace(f"negative_slope={self.negative_slope}", self.inplace)


class LogSigmoid(_Plain):
    """log(sigmoid(x)), without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.logsigmoid(input)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, a smooth `ReLU`.

    Args:
        beta: Sharpness of the bend.
        threshold: Where beta x exceeds it, x itself is returned.
    """

    __constants__ = ["beta", "threshold"]

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class PReLU(Module):
    """x where positive, else a x with a learned slope a.

    Args:
        num_parameters: 1, or the number of channels (dimension 1) for a slope each.
        init: The slope to begin with.
        device: Where the parameter is made.
        dtype: Its dtype; None for the default one.
    Attributes:
        weight: The slopes, of shape (num_parameters,).
    References:
        He et al. (2015), Delving deep into rectifiers.
    """

    __constants__ = ["num_parameters"]

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(rushlight.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets all slopes to `init`."""
        with rushlight.no_grad():
            self.weight.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


class Softsign(_Plain):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.softsign(input)


class Tanhshrink(_Plain):
    """x - tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.tanhshrink(input)


class _Along(Module):
    """A function along one dimension."""

    __constants__ = ["dim"]
    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("dim", None)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmin(_Along):
    """The `Softmax` of -x.

    Args:
        dim: The dimension that sums to one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.softmin(input, self.dim, _stacklevel=5)


class Softmax(_Along):
    """exp(x), divided by its sum along a dimension.

    Args:
        dim: The dimension that sums to one.
    Example:
        >>> rushlight.nn.Softmax(dim=1)(rushlight.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.softmax(input, self.dim, _stacklevel=5)


class Softmax2d(_Plain):
    """`Softmax` over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        if input.dim() not in (3, 4):
            raise error(
                ValueError,
                "Softmax2d",
                f"expected input to be 3D or 4D (got {input.dim()}D instead)",
                given=f"input of shape {tuple(input.shape)}",
            )
        return F.softmax(input, -3, _stacklevel=5)


class LogSoftmax(_Along):
    """The logarithm of `Softmax`, computed without overflow.

    Args:
        dim: The dimension whose probabilities sum to one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of `input`."""
        return F.log_softmax(input, self.dim, _stacklevel=5)
