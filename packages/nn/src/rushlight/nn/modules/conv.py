"""Convolution layers: `Conv1d` to `Conv3d`, their transposes, and their lazy kinds."""

from __future__ import annotations

import math
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from ._members import kind_of
from ._sizes import ntuple
from .lazy import LazyModuleMixin
from .module import Module

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What convolutions of all dimensions share."""

    __constants__ = [
        "stride", "padding", "dilation", "groups", "padding_mode", "output_padding",
        "in_channels", "out_channels", "kernel_size",
    ]  # fmt: skip

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None
    # How `F.pad` writes the padding: a pair for each dimension, the last one first.
    _reversed_padding_repeated_twice: list[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._check(in_channels, out_channels, groups, padding, stride, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._pad_widths()
        shape = self._weight_shape()
        self.weight = Parameter(rushlight.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(rushlight.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        padding: str | tuple[int, ...],
        stride: tuple[int, ...],
        padding_mode: str,
    ) -> None:
        who = kind_of(self)
        if groups <= 0:
            raise error(ValueError, who, "groups must be a positive integer", given=f"{groups=}")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise error(
                    ValueError,
                    who,
                    f"{name} must be divisible by groups",
                    given=f"{name}={channels}, {groups=}",
                )
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise error(
                    ValueError,
                    who,
                    f"Invalid padding string {padding!r}, should be one of 'same', 'valid'",
                )
            if padding == "same" and any(step != 1 for step in stride):
                raise error(
                    ValueError,
                    who,
                    "padding='same' is not supported for strided convolutions",
                    given=f"{stride=}",
                )
        if padding_mode not in PADDING_MODES:
            raise error(
                ValueError,
                who,
                f"padding_mode must be one of {PADDING_MODES}, but got {padding_mode=}",
            )

    def _weight_shape(self) -> tuple[int, ...]:
        if self.transposed:
            channels = (self.in_channels, self.out_channels // self.groups)
        else:
            channels = (self.out_channels, self.in_channels // self.groups)
        return (*channels, *self.kernel_size)

    def _pad_widths(self) -> list[int]:
        if isinstance(self.padding, str):
            widths = []
            sizes = zip(reversed(self.dilation), reversed(self.kernel_size), strict=False)
            for dilation, kernel in sizes:
                total = dilation * (kernel - 1) if self.padding == "same" else 0
                # An odd total puts the extra element behind.
                widths += [total // 2, total - total // 2]
            return widths
        return [width for width in reversed(self.padding) for _ in range(2)]

    def reset_parameters(self) -> None:
        """Draws weight and bias anew, uniform within 1 / sqrt(fan_in)."""
        # With a = sqrt(5) the Kaiming bound is 1 / sqrt(fan_in), the same as the bias's.
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        n = len(self.kernel_size)
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * len(self.padding):
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


class _Conv(_ConvNd):
    """A convolution; subclasses say how many dimensions it has."""

    _n: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        n = self._n
        super().__init__(
            in_channels,
            out_channels,
            ntuple(kernel_size, n),
            ntuple(stride, n),
            padding if isinstance(padding, str) else ntuple(padding, n),
            ntuple(dilation, n),
            False,
            (0,) * n,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[self._n - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * self._n
        result: Tensor = convolve(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )
        return result

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the input with the weight, plus the bias."""
        return self._conv_forward(input, self.weight, self.bias)


_ARGUMENTS = """
    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one for all dimensions or one each.
        stride: Steps of the kernel.
        padding: Zeros added on both sides; or "same" (no stride then), or "valid" for none.
        dilation: Distance between elements of the kernel.
        groups: Into how many groups channels are split; each sees only its own.
        bias: Whether to add a bias.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: Where the parameters are made.
        dtype: Their dtype; None for the default one.
    Attributes:
        weight: Of shape (out_channels, in_channels / groups, *kernel_size).
        bias: Of shape (out_channels,), or None. Both are uniform within 1 / sqrt(in_channels /
            groups * kernel elements).
"""


class Conv1d(_Conv):
    __doc__ = f"""Convolution over signals of shape (N, C, L) or (C, L).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.Conv1d(16, 33, 3, stride=2)(rushlight.randn(20, 16, 50)).shape
        rushlight.Size([20, 33, 24])
    """
    _n = 1


class Conv2d(_Conv):
    __doc__ = f"""Convolution over images of shape (N, C, H, W) or (C, H, W).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.Conv2d(3, 8, 3, padding="same")(rushlight.randn(2, 3, 7, 9)).shape
        rushlight.Size([2, 8, 7, 9])
    """
    _n = 2


class Conv3d(_Conv):
    __doc__ = f"""Convolution over volumes of shape (N, C, D, H, W) or (C, D, H, W).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.Conv3d(1, 2, 3)(rushlight.randn(1, 1, 5, 6, 7)).shape
        rushlight.Size([1, 2, 3, 4, 5])
    """
    _n = 3


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution; subclasses say how many dimensions it has."""

    _n: int
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise error(
                ValueError,
                kind_of(self),
                f'only "zeros" padding mode is supported for {kind_of(self)}',
                given=f"{padding_mode=}",
            )
        n = self._n
        super().__init__(
            in_channels,
            out_channels,
            ntuple(kernel_size, n),
            ntuple(stride, n),
            ntuple(padding, n),
            ntuple(dilation, n),
            True,
            ntuple(output_padding, n),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(
        self, input: Tensor, output_size: list[int] | tuple[int, ...] | None
    ) -> tuple[int, ...]:
        """What to add on one side so that the output has the size asked for."""
        if output_size is None:
            return self.output_padding
        n = self._n
        batched = input.dim() == n + 2
        wanted = list(output_size)
        if len(wanted) == n + (2 if batched else 1):
            wanted = wanted[-n:]
        if len(wanted) != n:
            raise error(
                ValueError,
                kind_of(self),
                f"output_size has {len(output_size)} elements for an input of {input.dim()} "
                f"dimensions",
                expected=f"{n}, or the whole shape",
            )
        extra = []
        for i in range(n):
            least = (
                (input.size(input.dim() - n + i) - 1) * self.stride[i]
                - 2 * self.padding[i]
                + self.dilation[i] * (self.kernel_size[i] - 1)
                + 1
            )
            if not least <= wanted[i] <= least + self.stride[i] - 1:
                raise error(
                    ValueError,
                    kind_of(self),
                    f"an output of size {wanted[i]} in dimension {i} is not possible",
                    given=f"output_size={tuple(output_size)}, input of {tuple(input.shape)}",
                    expected=f"from {least} to {least + self.stride[i] - 1}",
                )
            extra.append(wanted[i] - least)
        return tuple(extra)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The transposed convolution.

        Args:
            input: The signal.
            output_size: Which of the possible output sizes to give; None for the one that
                `output_padding` says.
        """
        convolve: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self._n - 1]
        result: Tensor = convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )
        return result


_TRANSPOSE_ARGUMENTS = """
    It is the gradient of a convolution by its input, and maps shapes the other way.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one for all dimensions or one each.
        stride: Steps of the kernel on the output.
        padding: Cut from both sides of the output.
        output_padding: Added to one side of the output.
        groups: Into how many groups channels are split; each sees only its own.
        bias: Whether to add a bias.
        dilation: Distance between elements of the kernel.
        padding_mode: Only "zeros".
        device: Where the parameters are made.
        dtype: Their dtype; None for the default one.
    Attributes:
        weight: Of shape (in_channels, out_channels / groups, *kernel_size).
        bias: Of shape (out_channels,), or None.
"""


class ConvTranspose1d(_ConvTransposeNd):
    __doc__ = f"""Transposed convolution over signals of shape (N, C, L) or (C, L).
{_TRANSPOSE_ARGUMENTS}    Example:
        >>> rushlight.nn.ConvTranspose1d(4, 2, 3, stride=2)(rushlight.randn(1, 4, 5)).shape
        rushlight.Size([1, 2, 11])
    """
    _n = 1


class ConvTranspose2d(_ConvTransposeNd):
    __doc__ = f"""Transposed convolution over images of shape (N, C, H, W) or (C, H, W).
{_TRANSPOSE_ARGUMENTS}    Example:
        >>> layer = rushlight.nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
        >>> layer(rushlight.randn(1, 4, 5, 5), output_size=[10, 10]).shape
        rushlight.Size([1, 2, 10, 10])
    """
    _n = 2


class ConvTranspose3d(_ConvTransposeNd):
    __doc__ = f"""Transposed convolution over volumes of shape (N, C, D, H, W) or (C, D, H, W).
{_TRANSPOSE_ARGUMENTS}    Example:
        >>> rushlight.nn.ConvTranspose3d(2, 1, 2)(rushlight.randn(1, 2, 3, 3, 3)).shape
        rushlight.Size([1, 1, 4, 4, 4])
    """
    _n = 3


class _LazyConvXdMixin(LazyModuleMixin):
    """Takes `in_channels` from the first input."""

    # `Any`: attributes of the convolution class that the mixin is combined with.
    groups: Any
    in_channels: Any
    out_channels: Any
    weight: Any
    bias: Any
    _n: int

    def _make_lazy(self: Any, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self._check(0, out_channels, self.groups, self.padding, self.stride, self.padding_mode)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self: Any) -> None:
        """Draws weight and bias anew, once they have a shape."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes."""
        if self.has_uninitialized_params():
            self.in_channels = self._get_in_channels(input)
            self._check(
                self.in_channels, self.out_channels, self.groups, self.padding, self.stride,
                self.padding_mode,
            )  # fmt: skip
            self.weight.materialize(self._weight_shape())
            if self.bias is not None:
                self.bias.materialize((self.out_channels,))
            self.reset_parameters()
        if self.in_channels == 0:
            # The parameters came from a state dict: the sizes follow from them.
            first, second = self.weight.shape[:2]
            self.in_channels = first if self.transposed else second * self.groups

    def _get_in_channels(self, input: Tensor) -> int:
        n = self._n
        if input.dim() not in (n + 1, n + 2):
            raise error(
                RuntimeError,
                kind_of(self),
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input, but got input of "
                f"size: {tuple(input.shape)}",
            )
        return int(input.shape[-n - 1])


class _LazyConv(_LazyConvXdMixin):
    def __init__(
        self: Any,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        # No channels and no bias: the real parameters are put in their places by _make_lazy.
        super().__init__(
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        self._make_lazy(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConvXdMixin):
    def __init__(
        self: Any,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    """A `Conv1d` that takes `in_channels` from its first input; other arguments as there.

    Example:
        >>> rushlight.nn.LazyConv1d(2, 3)(rushlight.randn(1, 4, 5)).shape
        rushlight.Size([1, 2, 3])
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A `Conv2d` that takes `in_channels` from its first input; other arguments as there."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A `Conv3d` that takes `in_channels` from its first input; other arguments as there."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A `ConvTranspose1d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A `ConvTranspose2d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A `ConvTranspose3d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose3d
