"""Weight and spectral normalization under their older names, as parametrizations."""

from __future__ import annotations

import warnings

from ..modules.module import Module
from . import parametrizations, parametrize


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Deprecated name of `parametrizations.weight_norm`; arguments as there."""
    warnings.warn(
        "`nn.utils.weight_norm` is deprecated in favor of `nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    return parametrizations.weight_norm(module, name, dim)


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Makes a weight-normalized weight an ordinary parameter again.

    Args:
        module: The module.
        name: Name of the weight.
    """
    return parametrize.remove_parametrizations(module, name)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Older name of `parametrizations.spectral_norm`; arguments as there."""
    return parametrizations.spectral_norm(module, name, n_power_iterations, eps, dim)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes a spectrally normalized weight an ordinary parameter again.

    Args:
        module: The module.
        name: Name of the weight.
    """
    return parametrize.remove_parametrizations(module, name)
