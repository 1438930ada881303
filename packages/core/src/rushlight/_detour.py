"""The detour over the host: an operator that a device has no kernel for, computed there by choice.

Nothing comes here but calls without kernel and without decomposition, so it may take its time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ._device import device
from ._errors import path_of
from ._failures import missing_kernel
from ._tensor.construction import from_host, to_host
from ._tensor.tensor import Tensor
from .backend import Kind, kind_of
from .backend._fallback import LedgerRow, fallback_policy, ledger

if TYPE_CHECKING:
    from ._operator import Operator

HOST = device("cpu")


def detour(op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind) -> Any:
    """What the host computes in place of a device that can't, where `fallback` allows it.

    Raises:
        NotImplementedError: It does not, or the host has no kernel either.
    """
    if op.meta_rule is not None:
        op.meta_rule(*inputs, **attributes)  # knows better words, if the operands are bad
    policy = fallback_policy()
    if policy == "error" or kind.device == HOST or any(p.alias for p in op.schema.inputs):
        raise missing_kernel(op, kind)
    there = kind_of(HOST, kind.dtype)
    if there.t[op.index] is None:
        raise missing_kernel(op, kind, host_too=True)
    where = str(kind.device)
    if policy == "warn":
        ledger().warn(op.name, where)
    results, nbytes = _computed(op, inputs, attributes, kind.device, there)
    present = [x for x in inputs if x is not None]
    ledger().enter(
        LedgerRow(
            op.name,
            tuple(None if x is None else tuple(x.shape) for x in inputs),
            tuple("None" if x is None else x.dtype.name for x in inputs)
            if present
            else (kind.dtype.name,),
            where,
            calling_module(),
            nbytes=nbytes,
        )
    )
    return results


def _computed(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], away: device, there: Kind
) -> tuple[Any, int]:
    """Results on the device `away` from kernels of the kind `there`, and how many bytes moved."""
    from ._dispatch import execute_kernel

    moved = 0

    def carried(x: Tensor | None, target: device) -> Tensor | None:
        nonlocal moved
        if x is None:
            return None
        array = to_host(x)
        moved += array.nbytes
        # Kernels never write to operands, so memory that the host can reach need not be copied.
        return from_host(array, target, copy=target is not HOST)

    operands = tuple(carried(x, HOST) for x in inputs)
    local = {n: HOST if isinstance(value, device) else value for n, value in attributes.items()}
    results = execute_kernel(op, operands, local, there)
    if isinstance(results, tuple):
        return tuple(carried(out, away) for out in results), moved
    return carried(results, away), moved


def calling_module() -> str:
    """Dotted path of the module whose `forward` is running, "" outside of modules.

    It is read off the Python stack, so that calls which need no path pay nothing for it.
    """
    modules: list[Any] = []
    frame = sys._getframe(1)
    while frame is not None:
        names = frame.f_code.co_varnames[: min(1, frame.f_code.co_argcount)]
        owner = frame.f_locals.get(names[0]) if names == ("self",) else None
        if hasattr(type(owner), "named_modules") and (not modules or modules[-1] is not owner):
            modules.append(owner)
        frame = frame.f_back  # type: ignore[assignment]
    return path_of(modules[::-1])
