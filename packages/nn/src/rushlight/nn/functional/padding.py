"""Padding: with a constant, by reflection, by repetition and around a circle."""

from __future__ import annotations

from collections.abc import Sequence

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import shape_of


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Extends (or, with negative amounts, crops) the last dimensions.

    Args:
        input: Tensor of any shape; for modes other than `"constant"` the last one, two or three
            dimensions of an input with one or two more.
        pad: Amounts before and after, for the last dimension first.
        mode: `"constant"`, `"reflect"` (without repeating the edge), `"replicate"` (the edge) or
            `"circular"`.
        value: The constant; zero unless given.

    Raises:
        RuntimeError: `pad` has an odd number of elements or too many, or an amount does not fit.
        NotImplementedError: `mode` is unknown, or does not support this number of dimensions.

    Example:
        >>> row = rushlight.tensor([[1.0, 2.0, 3.0]])
        >>> rushlight.nn.functional.pad(row, (1, 2), "circular")
        tensor([[3., 1., 2., 3., 1., 2.]])
    """
    amounts = list(pad)
    given = f"input of shape {shape_of(input)}, pad={tuple(amounts)}, mode={mode!r}"
    if len(amounts) % 2 or len(amounts) > 2 * input.ndim:
        raise error(
            RuntimeError,
            "pad",
            "Padding length must be divisible by 2 and at most twice the number of dimensions",
            given=given,
        )
    if mode == "constant":
        return rushlight.constant_pad_nd(input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise error(
            RuntimeError,
            "pad",
            f"Padding mode {mode!r} doesn't take in value argument",
            given=given,
        )
    spatial = len(amounts) // 2
    if mode not in ("reflect", "replicate", "circular"):
        raise error(
            NotImplementedError,
            "pad",
            f"Unrecognised padding mode {mode}",
            expected="'constant', 'reflect', 'replicate' or 'circular'",
        )
    if spatial not in (1, 2, 3) or input.ndim - spatial not in (1, 2):
        raise error(
            NotImplementedError,
            "pad",
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now",
            given=given,
            expected="amounts for all but the first one or two dimensions",
        )
    sides = [(input.ndim - 1 - i, amounts[2 * i], amounts[2 * i + 1]) for i in range(spatial)]
    for dim, before, after in sides:
        _check_amounts(mode, input.shape[dim], before, after, given)
    for dim, before, after in sides:
        index = _source_index(mode, input.shape[dim], before, after, input)
        input = input.index_select(dim, index)
    return input


def _check_amounts(mode: str, size: int, before: int, after: int, given: str) -> None:
    limit = {"reflect": size - 1, "circular": size}.get(mode)
    if limit is not None and max(before, after) > limit:
        raise error(
            RuntimeError,
            "pad",
            "Padding size should be less than the corresponding input dimension"
            if mode == "reflect"
            else "Padding value causes wrapping around more than once",
            given=given,
            expected=f"at most {limit} for a dimension of size {size}",
        )
    if size + before + after < (0 if mode == "circular" else 1) or size == 0:
        raise error(
            RuntimeError,
            "pad",
            "the padded dimension would be empty, or is empty already",
            given=given,
        )


def _source_index(mode: str, size: int, before: int, after: int, input: Tensor) -> Tensor:
    """Where each element of the padded dimension comes from."""
    places = rushlight.arange(-before, size + after, device=input.device)
    if mode == "replicate":
        return places.clamp(0, size - 1)
    if mode == "circular":
        # What is cropped away at one side does not come back at the other.
        cut = max(-before, 0)
        return (places - cut) % (size - cut - max(-after, 0)) + cut
    return size - 1 - (size - 1 - places.abs()).abs()
