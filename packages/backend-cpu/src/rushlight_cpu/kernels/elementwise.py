"""Large results of the array family's ufuncs: memory from the pool, work side by side.

Small ones go to the ufunc as they are: the wrapper costs them some tens of nanoseconds.
"""

from __future__ import annotations

import numpy as np

from rushlight.backend.arrays import array_kernels
from rushlight_cpu.kernels import _memory, _parallel
from rushlight_cpu.kernels._common import Array, Kernel

# Elements that stay together.  Loops of sixteen at a time may round otherwise than what is left at
# an end, so cuts lie where loops would begin anew anyway, whatever the number of threads.
_UNIT = 2**16
# What other ufuncs cost, in such passes.
_COSTS = {
    **dict.fromkeys("exp exp2 log log2 log10 tanh sin cos".split(), 1.5),
    **dict.fromkeys("expm1 log1p tan sinh cosh asin acos atan asinh acosh atanh pow".split(), 8.0),
    **dict.fromkeys("atan2 hypot logaddexp logaddexp2".split(), 8.0),
}
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_BOOLS = frozenset("eq ne lt le gt ge logical_and logical_or logical_xor logical_not".split())


def _writable(out: Array, *operands: Array) -> bool:
    """Whether parts may be written while others are still to be read."""
    return bool(out.flags.c_contiguous) and not any(
        x is not out and np.may_share_memory(x, out) for x in operands
    )


def unary(ufunc: Kernel, cost: float = 1.0, result: type | None = None) -> Kernel:
    """The ufunc of one array, for large ones in parts."""

    def kernel(x: Array, out: Array | None = None) -> Array:
        if x.nbytes < _memory.LEAST or not x.flags.c_contiguous:
            found: Array = ufunc(x, out=out)
            return found
        if out is None:
            out = _memory.empty(x.shape, result or x.dtype)
        elif not _writable(out, x):
            return ufunc(x, out=out)  # type: ignore[no-any-return]
        flat, into = x.reshape(-1), out.reshape(-1)

        def part(start: int, stop: int) -> None:
            some = slice(start * _UNIT, stop * _UNIT)
            ufunc(flat[some], out=into[some])

        _parallel.split(-(-x.size // _UNIT), cost * x.size, part, enough=_parallel.PASSES)
        return out

    return kernel


def binary(ufunc: Kernel, cost: float = 1.0, result: type | None = None) -> Kernel:
    """The ufunc of two arrays, for large ones in parts."""

    def kernel(x: Array, y: Array, out: Array | None = None) -> Array:
        try:
            small = x.nbytes < _memory.LEAST and y.nbytes < _memory.LEAST
        except AttributeError:  # a Python number
            small = True
        found: Array = ufunc(x, y, out=out) if small else large(x, y, out)
        return found

    def large(x: Array, y: Array, out: Array | None) -> Array:
        shape = np.broadcast_shapes(x.shape, y.shape)
        fits = (
            x.dtype == y.dtype
            and x.dtype in _FLOATS
            and (x.flags.c_contiguous and y.flags.c_contiguous)
            # K order: the result lies as the operands do, so one of them must be whole.
            and (x.shape == shape or y.shape == shape)
            and (out is None or (out.shape == shape and _writable(out, x, y)))
        )
        if not fits:
            return ufunc(x, y, out=out)  # type: ignore[no-any-return]
        if out is None:
            out = _memory.empty(shape, result or x.dtype)
        if all(a.shape == shape or a.ndim == 0 for a in (x, y)):
            step, units = _UNIT, -(-out.size // _UNIT)
            x, y, into = (a.reshape(-1) if a.ndim else a for a in (x, y, out))
        else:
            step, units, into = 1, shape[0], out

        def cut(a: Array, some: slice) -> Array:
            return a[some] if a.ndim == into.ndim and len(a) == len(into) else a

        def part(start: int, stop: int) -> None:
            some = slice(start * step, stop * step)
            ufunc(cut(x, some), cut(y, some), out=into[some])

        _parallel.split(units, cost * out.size, part, enough=_parallel.PASSES)
        return out

    return kernel


def _large_kernels() -> dict[str, dict[str, Kernel]]:
    """A wrapper for each kernel of the array family that is a ufunc of floating numbers."""
    made = {}
    for name, entry in array_kernels(np).items():
        kernel = entry.get("floating") or entry.get("default") if isinstance(entry, dict) else entry
        if not isinstance(kernel, np.ufunc) or kernel.nout != 1 or kernel.signature:
            continue
        wrap = {1: unary, 2: binary}.get(kernel.nin)
        if wrap is not None:
            result = bool if name in _BOOLS else None
            made[name] = {"floating": wrap(kernel, _COSTS.get(name, 1.0), result)}
    return made


# Where a maximum is zero and what came of it, in bits: a choice by a mask, without a branch per
# element, which would cost 5 ns where signs are mixed.
_BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def relu_backward(g: Array, y: Array) -> Array:
    """`g` where `y` is positive, else 0."""
    bits = _BITS.get(g.dtype)
    small = g.size < 1024
    if bits is None or small or g.dtype != y.dtype or g.shape != y.shape:
        return np.where(np.greater(y, 0), g, g.dtype.type(0))
    flat, shown = np.ascontiguousarray(g).reshape(-1), np.ascontiguousarray(y).reshape(-1)
    out = _memory.empty(g.shape, g.dtype)
    into = out.reshape(-1).view(bits)
    seen = flat.view(bits)

    def part(start: int, stop: int) -> None:
        for at in range(start, stop):
            some = slice(at * _UNIT, (at + 1) * _UNIT)
            positive = np.greater(shown[some], 0)
            np.copyto(into[some], positive.view(np.int8))
            np.negative(into[some], into[some])
            np.bitwise_and(into[some], seen[some], into[some])

    _parallel.split(-(-g.size // _UNIT), 2.0 * g.size, part, enough=_parallel.PASSES)
    return out


def _relu() -> Kernel:
    zeros = {kind: np.zeros((), kind) for kind in _FLOATS}

    def maximum(x: Array, out: Array | None = None) -> Array:
        # In this order the result of -0 is -0, as in torch.
        found: Array = np.maximum(zeros[x.dtype], x, out=out)
        return found

    return unary(maximum)


KERNELS: dict[str, dict[str, Kernel]] = {
    **_large_kernels(),
    "relu": {"floating": _relu()},
    "relu_backward": {"floating": relu_backward},
}
