"""What to raise when operands, devices and kernels do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._dtypes import ALL
from ._errors import Explained, OutOfMemoryError, error
from ._modes import STATE
from ._tensor.tensor import Tensor
from .backend import Kind

if TYPE_CHECKING:
    from ._operator import Operator


def wrong_device(op: Operator, inputs: tuple[Any, ...]) -> Exception:
    """The error for operands on several devices."""
    places = sorted({str(x.device) for x in inputs if x is not None})
    return error(
        RuntimeError,
        op.name,
        "Expected all tensors to be on the same device, but found at least two devices, "
        + " and ".join(places),
        given=described(inputs),
        expected="all tensors on one device",
        fix=f"move one, for example x.to('{places[0]}')",
    )


def missing_kernel(op: Operator, kind: Kind, *, host_too: bool = False) -> Exception:
    """The error for an operator that a device does not have.

    Args:
        op: The operator.
        kind: The device, and the dtype of the first operand.
        host_too: The host was to compute it, but has no kernel either.
    """
    backend = kind.backend
    others = (
        []
        if backend is None
        else [
            d
            for d in ALL
            if d in backend.dtypes(kind.device.index or 0) and backend.find_kernel(op.name, d)
        ]
    )
    fix = "compute this operator on another device"
    if others:
        fix = "convert the operands to another dtype, or " + fix
    if backend is not None and not host_too and backend.name != "cpu":
        fix += ", or let the host do so: rushlight.backend.fallback('allow')"
    return error(
        NotImplementedError,
        op.name,
        f"device '{kind.device}' has no kernel for {kind.dtype}, and there is no decomposition"
        + ("; the host has no kernel either" if host_too else ""),
        given=f"{kind.dtype} on {kind.device}",
        expected="one of " + ", ".join(d.name for d in others) if others else None,
        fix=fix,
    )


def described(inputs: tuple[Any, ...]) -> str:
    """Inputs as they appear in errors."""
    parts = []
    for x in inputs:
        if isinstance(x, Tensor):
            parts.append(f"{x.dtype.name} of shape {tuple(x.shape)} on {x.device}")
        elif x is not None:
            parts.append(repr(x))
    return ", ".join(parts)


def explained(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], raised: Exception
) -> Exception:
    """What to raise when a kernel refused its operands.

    The meta function knows what is wrong in the user's terms; if it finds nothing, the kernel's
    own words stand, with the operator and the operands.
    """
    if isinstance(raised, Explained):
        return raised
    if isinstance(raised, MemoryError):
        return out_of_memory(op.name, raised, inputs)
    if op.meta_rule is not None:
        try:
            op.meta_rule(*inputs, **attributes)
        except Exception as better:
            return better
    kind = type(raised)
    if kind not in (ValueError, TypeError, IndexError, RuntimeError, OutOfMemoryError):
        kind = NotImplementedError if isinstance(raised, NotImplementedError) else RuntimeError
    return error(kind, op.name, str(raised), given=described(inputs))


def out_of_memory(who: str, raised: MemoryError, inputs: tuple[Any, ...]) -> Exception:
    """The error for a call that needs more memory than its device has."""
    return error(
        OutOfMemoryError,
        who,
        f"out of memory{f': {raised}' if str(raised) else ''}",
        given=described(inputs) or None,
        fix="use smaller batches, or delete tensors that are not needed any more",
    )


def check_inside(x: Any, who: str) -> None:
    """Raises if a tensor is the wrapper of a transform that is not active."""
    if getattr(x, "is_level_tensor", False) and x.level not in STATE.get().interpreters:
        raise error(
            RuntimeError,
            who,
            "a tensor has left the transform that made it",
            fix="return it from the transformed function instead of keeping it aside",
        )
