"""Upsampling layers."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor

from .. import functional as F
from .module import Module


class Upsample(Module):
    """Resizes (N, C, *) by interpolation.

    Args:
        size: Size of the output, one for all dimensions or one each; or give
        scale_factor: Size of the output over that of the input.
        mode: "nearest", "linear", "bilinear", "bicubic" or "trilinear".
        align_corners: Whether corner elements, rather than their outer edges, are aligned.
        recompute_scale_factor: Take the factor from the rounded output size.
    Example:
        >>> rushlight.nn.Upsample(scale_factor=2)(rushlight.randn(1, 1, 2, 3)).shape
        rushlight.Size([1, 1, 4, 6])
    """

    __constants__ = [
        "size", "scale_factor", "mode", "align_corners", "name", "recompute_scale_factor",
    ]  # fmt: skip

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        factor: Any = scale_factor
        if isinstance(scale_factor, tuple):
            factor = tuple(float(each) for each in scale_factor)
        elif scale_factor is not None:
            factor = float(scale_factor) if scale_factor else None
        self.scale_factor = factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The resized input."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("recompute_scale_factor", True)

    def extra_repr(self) -> str:
        """Size or factor, and the mode."""
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of (N, C, H, W) that repeats the nearest element.

    Args:
        size: Size of the output; or give
        scale_factor: Size of the output over that of the input.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of (N, C, H, W), bilinear with aligned corners.

    Args:
        size: Size of the output; or give
        scale_factor: Size of the output over that of the input.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
