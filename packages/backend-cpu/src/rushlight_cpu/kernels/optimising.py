"""Steps of optimisers for many tensors at once, in blocks that stay in the cache.

Every pass of a ufunc over a block writes into a scratch buffer or the result; constants are 0-d
arrays, which NumPy takes in half the time of Python numbers. Small blocks pay here: a chain of a
dozen passes over four or five arrays has to fit into L2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rushlight_cpu.kernels._common import Array, Kernel
from rushlight_cpu.kernels._parallel import split

# Elements per block: with five arrays and a scratch buffer of float32, 1.5 MiB. Smaller ones would
# fit L2 better, but two threads pass the interpreter's lock too often (10 M parameters: 20 ms with
# these, 41 ms with a quarter).
_BLOCK = 2**16

Row = list[Array]
Step = Callable[[int, Row, Row, Array, Array], None]


def _columns(arrays: tuple[Array, ...], count: int) -> list[tuple[Array, ...]]:
    return [arrays[start : start + count] for start in range(0, len(arrays), count)]


def _flat(arrays: list[Array]) -> list[Array]:
    """The arrays as vectors over the same memory, or as they are if they lie differently."""
    if all(a.flags.c_contiguous for a in arrays):
        return [a.reshape(-1) for a in arrays]
    if all(a.flags.f_contiguous for a in arrays):
        return [a.T.reshape(-1) for a in arrays]
    return arrays


def _tasks(
    operands: list[tuple[Array, ...]], results: list[tuple[Array, ...]]
) -> Iterator[tuple[int, Row, Row]]:
    """Number of the parameter, operands and results of each block."""
    width = len(operands)
    for number, row in enumerate(zip(*operands, *results, strict=True)):
        arrays = list(row)
        size = row[0].size
        if size > _BLOCK:
            arrays = _flat(arrays)
        if size <= _BLOCK or arrays[0].ndim != 1:
            yield number, arrays[:width], arrays[width:]
            continue
        for start in range(0, size, _BLOCK):
            part = [a[start : start + _BLOCK] for a in arrays]
            yield number, part[:width], part[width:]


def _run(
    step: Step, arrays: tuple[Array, ...], count: int, out: tuple[Array, ...] | None, passes: int
) -> tuple[Array, ...]:
    """Runs `step(number, operands, results, scratch, other)` on every block."""
    operands = _columns(arrays, count)
    if out is None:
        out = tuple(np.empty_like(a) for column in (operands[0], *operands[2:]) for a in column)
    if not count:
        return out
    tasks = list(_tasks(operands, _columns(out, count)))

    def part(start: int, stop: int) -> None:
        scratch = other = np.empty(0)
        for number, given, made in tasks[start:stop]:
            first = given[0]
            if scratch.shape != first.shape:
                scratch = np.empty(first.shape, first.dtype)
                other = np.empty(first.shape, first.dtype)
            step(number, given, made, scratch, other)

    split(len(tasks), passes * sum([a.size for a in operands[0]]), part)
    return out


def _penalised(p: Array, g: Array, decay: Array | None, maximize: bool, other: Array) -> Array:
    """The gradient with its sign and with that of the L2 penalty."""
    if maximize:
        g = np.negative(g, out=other)
    if decay is not None:
        if g is other:
            g += p * decay
        else:
            np.multiply(p, decay, out=other)
            other += g
            g = other
    return g


def fused_sgd(
    *arrays: Array, count: int, lr: float, momentum: float, dampening: float, weight_decay: float,
    nesterov: bool, maximize: bool, first: bool, out: tuple[Array, ...] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """See the operator: parameters, gradients, velocities."""
    make = arrays[0].dtype.type if arrays else np.float32
    rate, kept, share = (np.asarray(make(x)) for x in (lr, momentum, 1 - dampening))
    decay = np.asarray(make(weight_decay)) if weight_decay else None

    def step(number: int, given: Row, made: Row, scratch: Array, other: Array) -> None:
        p = given[0]
        g = _penalised(p, given[1], decay, maximize, other)
        if momentum:
            v = made[1]
            if first:
                np.copyto(v, g)
            else:
                np.multiply(given[2], kept, out=v)
                if dampening:
                    np.multiply(g, share, out=scratch)
                    v += scratch
                else:
                    v += g
            if nesterov:
                np.multiply(v, kept, out=scratch)
                scratch += g
                g = scratch
            else:
                g = v
        np.multiply(g, rate, out=scratch)
        np.subtract(p, scratch, out=made[0])

    return _run(step, arrays, count, out, 5 if momentum else 2)


def fused_adam(
    *arrays: Array, count: int, steps: tuple[float, ...], lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool,
    out: tuple[Array, ...] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """See the operator: parameters, gradients, means, means of squares, their maxima."""
    make = arrays[0].dtype.type if arrays else np.float32
    mean_share, kept, share = (np.asarray(make(x)) for x in (1 - beta1, beta2, 1 - beta2))
    decay = np.asarray(make(weight_decay)) if weight_decay and not decoupled else None
    shrink = np.asarray(make(1 - lr * weight_decay)) if weight_decay and decoupled else None

    # The corrections of the two means, moved to where they are constants:
    # m / c1 / (sqrt(v / c2) + eps) = sqrt(c2) / c1 * m / (sqrt(v) + eps * sqrt(c2)).
    constants: dict[float, tuple[Array, Array]] = {}
    for t in set(steps):
        root = (1 - beta2**t) ** 0.5
        rate = np.asarray(make(lr * root / (1 - beta1**t)))
        constants[t] = rate, np.asarray(make(eps * root))

    def step(number: int, given: Row, made: Row, scratch: Array, other: Array) -> None:
        rate, small = constants[steps[number]]
        p, m, v = given[0], made[1], made[2]
        g = _penalised(p, given[1], decay, maximize, other)
        np.subtract(g, given[2], out=scratch)
        np.multiply(scratch, mean_share, out=scratch)
        np.add(given[2], scratch, out=m)
        np.multiply(g, g, out=scratch)
        np.multiply(scratch, share, out=scratch)
        np.multiply(given[3], kept, out=v)
        np.add(v, scratch, out=v)
        if amsgrad:
            v = np.maximum(given[4], v, out=made[3])
        np.sqrt(v, out=scratch)
        np.add(scratch, small, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, rate, out=scratch)
        if shrink is not None:
            p = np.multiply(p, shrink, out=made[0])
        np.subtract(p, scratch, out=made[0])

    return _run(step, arrays, count, out, 12)


def fused_rmsprop(
    *arrays: Array, count: int, lr: float, alpha: float, eps: float, weight_decay: float,
    momentum: float, centered: bool, maximize: bool, out: tuple[Array, ...] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """See the operator: parameters, gradients, means of squares, means, velocities."""
    make = arrays[0].dtype.type if arrays else np.float32
    rate, kept, share, small, inertia = (
        np.asarray(make(x)) for x in (lr, alpha, 1 - alpha, eps, momentum)
    )
    decay = np.asarray(make(weight_decay)) if weight_decay else None

    def step(number: int, given: Row, made: Row, scratch: Array, other: Array) -> None:
        p, v = given[0], made[1]
        g = _penalised(p, given[1], decay, maximize, other)
        np.multiply(g, g, out=scratch)
        np.multiply(scratch, share, out=scratch)
        np.multiply(given[2], kept, out=v)
        np.add(v, scratch, out=v)
        if centered:
            mean = made[2]
            np.subtract(g, given[3], out=scratch)
            np.multiply(scratch, share, out=scratch)
            np.add(given[3], scratch, out=mean)
            np.multiply(mean, mean, out=scratch)
            np.subtract(v, scratch, out=scratch)
            np.sqrt(scratch, out=scratch)
        else:
            np.sqrt(v, out=scratch)
        np.add(scratch, small, out=scratch)
        np.divide(g, scratch, out=scratch)
        if momentum:
            velocity = made[-1]
            np.multiply(given[-1], inertia, out=velocity)
            np.add(velocity, scratch, out=velocity)
            np.multiply(velocity, rate, out=scratch)
        else:
            np.multiply(scratch, rate, out=scratch)
        np.subtract(p, scratch, out=made[0])

    return _run(step, arrays, count, out, 9)


def fused_adagrad(
    *arrays: Array, count: int, steps: tuple[float, ...], lr: float, lr_decay: float, eps: float,
    weight_decay: float, maximize: bool, out: tuple[Array, ...] | None = None,
) -> tuple[Array, ...]:  # fmt: skip
    """See the operator: parameters, gradients, sums of squares."""
    make = arrays[0].dtype.type if arrays else np.float32
    small = np.asarray(make(eps))
    decay = np.asarray(make(weight_decay)) if weight_decay else None
    rates = {t: np.asarray(make(lr / (1 + (t - 1) * lr_decay))) for t in set(steps)}

    def step(number: int, given: Row, made: Row, scratch: Array, other: Array) -> None:
        p, total = given[0], made[1]
        g = _penalised(p, given[1], decay, maximize, other)
        np.multiply(g, g, out=scratch)
        np.add(given[2], scratch, out=total)
        np.sqrt(total, out=scratch)
        np.add(scratch, small, out=scratch)
        np.divide(g, scratch, out=scratch)
        np.multiply(scratch, rates[steps[number]], out=scratch)
        np.subtract(p, scratch, out=made[0])

    return _run(step, arrays, count, out, 7)


# For 16-bit floats the operators' decomposition rounds as the formulas of the optimisers do.
KERNELS: dict[str, dict[str, Kernel]] = {
    "fused_sgd": {"floating": fused_sgd},
    "fused_adam": {"floating": fused_adam},
    "fused_rmsprop": {"floating": fused_rmsprop},
    "fused_adagrad": {"floating": fused_adagrad},
}
ACCEPTS_OUT = frozenset(KERNELS)
