"""Pooling layers: maxima, averages and p-norms over windows, adaptive and fractional windows."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._members import kind_of
from ._sizes import ntuple
from .module import Module

Size = int | tuple[int, ...]


class _MaxPoolNd(Module):
    """The maximum over each window.

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        padding: Elements of minus infinity on both sides.
        dilation: Distance between elements of the window.
        return_indices: Return the flat positions of the maxima too, for `MaxUnpool`.
        ceil_mode: Round the output size up instead of down.
    """

    __constants__ = [
        "kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode",
    ]  # fmt: skip

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _pooled(self, pool: Any, input: Tensor) -> Any:
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The maximum over windows of (N, C, L) or (C, L); arguments as of `MaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return self._pooled(F.max_pool1d, input)


class MaxPool2d(_MaxPoolNd):
    """The maximum over windows of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        padding: Elements of minus infinity on both sides.
        dilation: Distance between elements of the window.
        return_indices: Return the flat positions of the maxima too, for `MaxUnpool2d`.
        ceil_mode: Round the output size up instead of down.
    Example:
        >>> rushlight.nn.MaxPool2d(3, stride=2)(rushlight.randn(1, 2, 7, 9)).shape
        rushlight.Size([1, 2, 3, 4])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return self._pooled(F.max_pool2d, input)


class MaxPool3d(_MaxPoolNd):
    """The maximum over windows of (N, C, D, H, W) or (C, D, H, W); arguments as of `MaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return self._pooled(F.max_pool3d, input)


class _MaxUnpoolNd(Module):
    """Puts values back where a `MaxPool` of the same arguments found them, zeros elsewhere.

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        padding: Padding of the input of `MaxPool`.
    """

    _n: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, self._n)
        self.stride = ntuple(stride if stride is not None else kernel_size, self._n)
        self.padding = ntuple(padding, self._n)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """The unpooled tensor.

        Args:
            input: The values.
            indices: Their positions, from `MaxPool(..., return_indices=True)`.
            output_size: Which of the possible output sizes to give.
        """
        unpool: Any = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self._n - 1]
        result: Tensor = unpool(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
        return result

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Undoes `MaxPool1d` as far as possible; arguments as there."""

    _n = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """Undoes `MaxPool2d` as far as possible; arguments as there.

    Example:
        >>> pool = rushlight.nn.MaxPool2d(2, return_indices=True)
        >>> pooled, indices = pool(rushlight.randn(1, 1, 4, 4))
        >>> rushlight.nn.MaxUnpool2d(2)(pooled, indices).shape
        rushlight.Size([1, 1, 4, 4])
    """

    _n = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Undoes `MaxPool3d` as far as possible; arguments as there."""

    _n = 3


class _AvgPoolNd(Module):
    """The average over each window."""

    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]
    kernel_size: Size
    stride: Size
    padding: Size

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The average over windows of (N, C, L) or (C, L).

    Args:
        kernel_size: Size of the window.
        stride: Steps of the window; None for its size.
        padding: Zeros on both sides.
        ceil_mode: Round the output size up instead of down.
        count_include_pad: Whether padding counts in the average.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, 1)
        self.stride = ntuple(stride if stride is not None else kernel_size, 1)
        self.padding = ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class _AvgPoolWithDivisor(_AvgPoolNd):
    __constants__ = [*_AvgPoolNd.__constants__, "divisor_override"]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _pooled(self, pool: Any, input: Tensor) -> Any:
        return pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPoolWithDivisor):
    """The average over windows of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        padding: Zeros on both sides.
        ceil_mode: Round the output size up instead of down.
        count_include_pad: Whether padding counts in the average.
        divisor_override: What to divide sums by; None for the number of elements.
    Example:
        >>> rushlight.nn.AvgPool2d(3, stride=2)(rushlight.randn(1, 2, 7, 9)).shape
        rushlight.Size([1, 2, 3, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        result: Tensor = self._pooled(F.avg_pool2d, input)
        return result


class AvgPool3d(_AvgPoolWithDivisor):
    """The average over windows of (N, C, D, H, W) or (C, D, H, W); arguments as of `AvgPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        result: Tensor = self._pooled(F.avg_pool3d, input)
        return result

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name, value in (("padding", 0), ("ceil_mode", False), ("count_include_pad", True)):
            self.__dict__.setdefault(name, value)


class _FractionalMaxPoolNd(Module):
    """The maximum over windows at random places, for any output size.

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        output_size: Size of the output.
        output_ratio: Size of the output as a share of the input's, between 0 and 1; give either.
        return_indices: Return the flat positions of the maxima too.
        _random_samples: The random numbers that place the windows; None to draw them.
    References:
        Graham (2015), Fractional max-pooling.
    """

    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    _n: int

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | tuple[float, ...] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        who = kind_of(self)
        if output_size is None and output_ratio is None:
            raise error(
                ValueError,
                who,
                f"{who} requires specifying either an output size, or a pooling ratio",
            )
        if output_size is not None and output_ratio is not None:
            raise error(
                ValueError, who, "only one of output_size and output_ratio may be specified"
            )
        self.kernel_size = ntuple(kernel_size, self._n)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else ntuple(output_size, self._n)
        self.output_ratio = None if output_ratio is None else ntuple(output_ratio, self._n)
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise error(
                ValueError, who, f"output_ratio must be between 0 and 1 (got {output_ratio})"
            )

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        pool: Any = F.fractional_max_pool2d if self._n == 2 else F.fractional_max_pool3d
        return pool(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The maximum over windows at random places of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: Size of the window, one for all dimensions or one each.
        output_size: Size of the output.
        output_ratio: Size of the output as a share of the input's, between 0 and 1; give either.
        return_indices: Return the flat positions of the maxima too.
        _random_samples: The random numbers that place the windows; None to draw them.
    References:
        Graham (2015), Fractional max-pooling.
    Example:
        >>> rushlight.nn.FractionalMaxPool2d(3, output_size=(5, 6))(
        ...     rushlight.randn(1, 2, 12, 13)
        ... ).shape
        rushlight.Size([1, 2, 5, 6])
    """

    _n = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """`FractionalMaxPool2d` of (N, C, D, H, W) or (C, D, H, W); arguments as there."""

    _n = 3


class _LPPoolNd(Module):
    """The p-norm over each window, that is (sum of x ** p) ** (1 / p).

    Args:
        norm_type: p.
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        ceil_mode: Round the output size up instead of down.
    """

    __constants__ = ["norm_type", "kernel_size", "stride", "ceil_mode"]

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def _pooled(self, pool: Any, input: Tensor) -> Any:
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norm over windows of (N, C, L) or (C, L); arguments as of `LPPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        result: Tensor = self._pooled(F.lp_pool1d, input)
        return result


class LPPool2d(_LPPoolNd):
    """The p-norm over windows of (N, C, H, W) or (C, H, W).

    Args:
        norm_type: p.
        kernel_size: Size of the window, one for all dimensions or one each.
        stride: Steps of the window; None for its size.
        ceil_mode: Round the output size up instead of down.
    Example:
        >>> rushlight.nn.LPPool2d(2, 3, stride=2)(rushlight.randn(1, 2, 7, 9)).shape
        rushlight.Size([1, 2, 3, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        result: Tensor = self._pooled(F.lp_pool2d, input)
        return result


class LPPool3d(_LPPoolNd):
    """The p-norm over windows of (N, C, D, H, W) or (C, D, H, W); arguments as of `LPPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        result: Tensor = self._pooled(F.lp_pool3d, input)
        return result


class _AdaptivePoolNd(Module):
    """A pool whose windows follow from the size of the output."""

    __constants__ = ["output_size"]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size of the output."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPoolNd(_AdaptivePoolNd):
    __constants__ = ["output_size", "return_indices"]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The maximum over as many windows as asked for; arguments as of `AdaptiveMaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The maximum over as many windows as asked for.

    Args:
        output_size: Size of the output, one for all dimensions or one each; None keeps a
            dimension's size.
        return_indices: Return the flat positions of the maxima too.
    Example:
        >>> rushlight.nn.AdaptiveMaxPool2d((5, None))(rushlight.randn(1, 2, 8, 9)).shape
        rushlight.Size([1, 2, 5, 9])
    """

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The maximum over as many windows as asked for; arguments as of `AdaptiveMaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with `return_indices` their positions."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptivePoolNd):
    """The average over as many windows as asked for; argument as of `AdaptiveAvgPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePoolNd):
    """The average over as many windows as asked for.

    Args:
        output_size: Size of the output, one for all dimensions or one each; None keeps a
            dimension's size.
    Example:
        >>> rushlight.nn.AdaptiveAvgPool2d(1)(rushlight.randn(1, 2, 8, 9)).shape
        rushlight.Size([1, 2, 1, 1])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptivePoolNd):
    """The average over as many windows as asked for; argument as of `AdaptiveAvgPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return F.adaptive_avg_pool3d(input, self.output_size)
