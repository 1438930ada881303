"""Weights of convolutions in another memory format."""

from __future__ import annotations

from typing import Any, TypeVar

from ..modules import conv
from ..modules.module import Module

M = TypeVar("M", bound=Module)


def _convert(module: M, memory_format: Any, kinds: tuple[type, ...]) -> M:
    for each in module.modules():
        if isinstance(each, kinds):
            each.weight.data = each.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Converts the weights of all 2-D convolutions in a module.

    Args:
        module: The module.
        memory_format: The format, such as `rushlight.channels_last`.
    """
    return _convert(module, memory_format, (conv.Conv2d, conv.ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Converts the weights of all 3-D convolutions in a module.

    Args:
        module: The module.
        memory_format: The format, such as `rushlight.channels_last_3d`.
    """
    return _convert(module, memory_format, (conv.Conv3d, conv.ConvTranspose3d))
