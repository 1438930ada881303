"""All parameters in one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import rushlight
from rushlight import Tensor
from rushlight._errors import error


def _check_device(who: str, tensors: list[Tensor]) -> None:
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        raise error(
            TypeError,
            who,
            "parameters on different devices are not supported",
            given=", ".join(sorted(str(device) for device in devices)),
        )


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other.

    Example:
        >>> layer = rushlight.nn.Linear(2, 3)
        >>> rushlight.nn.utils.parameters_to_vector(layer.parameters()).shape
        rushlight.Size([9])
    """
    listed = list(parameters)
    _check_device("parameters_to_vector", listed)
    return rushlight.cat([parameter.reshape(-1) for parameter in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Makes parameters lie over parts of a vector, in order.

    Args:
        vec: The vector.
        parameters: Whose data is replaced.
    Raises:
        TypeError: `vec` is no tensor, or the parameters lie on different devices.
    """
    if not isinstance(vec, Tensor):
        raise error(
            TypeError, "vector_to_parameters", f"expected a tensor, but got {type(vec).__name__}"
        )
    listed = list(parameters)
    _check_device("vector_to_parameters", listed)
    start = 0
    for parameter in listed:
        count = parameter.numel()
        parameter.data = vec[start : start + count].view(parameter.shape).data
        start += count
