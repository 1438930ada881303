"""Sums of products written with labels: einsum, tensordot, inner, kron."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from .._errors import error
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import into, public
from .matmul import bmm_op, check_operands, matmul_op
from .reduction import accumulated, sum_op
from .views import check_dim

# Labels are numbers: 0 to 51 for letters (as in torch's sublist form), from 52 on the dimensions
# that an ellipsis stands for.
_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_ELLIPSIS = -1
Labels = list[int]


# -- reading --------------------------------------------------------------------------------


def _read_letters(text: str, what: str) -> Labels:
    """Labels of one operand of an equation."""
    labels: Labels = []
    text = text.replace(" ", "")
    place = 0
    while place < len(text):
        if text.startswith("...", place):
            if _ELLIPSIS in labels:
                raise error(
                    RuntimeError, "einsum", f"found '.' for {what} for which an ellipsis was "
                    "already found",
                )  # fmt: skip
            labels.append(_ELLIPSIS)
            place += 3
            continue
        letter = text[place]
        if letter not in _LETTERS:
            raise error(
                RuntimeError,
                "einsum",
                f"invalid subscript given at index {place} in the equation string, subscripts must "
                f"be in [a-zA-Z], got {letter!r}",
            )
        labels.append(_LETTERS.index(letter))
        place += 1
    return labels


def _read_equation(equation: str, count: int) -> tuple[list[Labels], Labels | None]:
    left, arrow, right = equation.partition("->")
    inputs = [_read_letters(part, "an operand") for part in left.split(",")]
    if len(inputs) != count:
        more = "fewer" if len(inputs) > count else "more"
        raise error(
            RuntimeError,
            "einsum",
            f"{more} operands were provided than specified in the equation",
            given=f"{count} operands, equation {equation!r}",
        )
    return inputs, _read_letters(right, "the output") if arrow else None


def _read_sublists(arguments: Sequence[Any]) -> tuple[list[Tensor], list[Labels], Labels | None]:
    """Operands and labels of `einsum(x, [0, 1], y, [1, 2], [0, 2])`."""

    def read(sublist: Any) -> Labels:
        labels: Labels = []
        for label in sublist:
            if label is Ellipsis:
                labels.append(_ELLIPSIS)
            elif isinstance(label, int) and 0 <= label < 52:
                labels.append(label)
            else:
                raise error(
                    ValueError,
                    "einsum",
                    f"subscript {label!r} is not within the valid range [0, 52)",
                )
        return labels

    output = read(arguments[-1]) if len(arguments) % 2 else None
    pairs = len(arguments) // 2
    operands = [arguments[2 * i] for i in range(pairs)]
    return operands, [read(arguments[2 * i + 1]) for i in range(pairs)], output


# -- preparing ------------------------------------------------------------------------------


def _spelled_out(
    operands: list[Tensor], inputs: list[Labels], output: Labels | None
) -> tuple[list[Labels], Labels]:
    """Labels with every ellipsis replaced by labels of its own, and the output's labels."""
    covered = 0
    for x, labels in zip(operands, inputs, strict=True):
        named = len(labels) - (_ELLIPSIS in labels)
        if named > x.ndim or (_ELLIPSIS not in labels and named != x.ndim):
            raise error(
                RuntimeError,
                "einsum",
                f"the number of subscripts in the equation ({named}) does not match the number of "
                f"dimensions ({x.ndim}) for an operand",
                given=f"operand of shape {tuple(x.shape)}",
            )
        if _ELLIPSIS in labels:
            covered = max(covered, x.ndim - named)
    dots = [52 + i for i in range(covered)]

    def spell(labels: Labels, count: int) -> Labels:
        if _ELLIPSIS not in labels:
            return labels
        at = labels.index(_ELLIPSIS)
        return labels[:at] + dots[covered - count :] + labels[at + 1 :]

    spelled = [
        spell(labels, x.ndim - len(labels) + 1) for x, labels in zip(operands, inputs, strict=True)
    ]
    known = [label for labels in spelled for label in labels]
    if output is None:
        once = [label for label in sorted(set(known)) if label < 52 and known.count(label) == 1]
        return spelled, dots + once
    result = spell(output, covered)
    for label in result:
        if result.count(label) > 1:
            raise error(RuntimeError, "einsum", f"output subscript {_name(label)} appears "
                "more than once in the output")  # fmt: skip
        if label not in known:
            raise error(RuntimeError, "einsum", f"output subscript {_name(label)} does not appear "
                "in the equation for any input operand")  # fmt: skip
    return spelled, result


def _name(label: int) -> str:
    return _LETTERS[label] if label < 52 else "..."


def _without_repeats(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """The diagonal where an operand has a label twice."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise error(
                    RuntimeError,
                    "einsum",
                    f"subscript {_name(label)} is repeated for an operand but the sizes don't "
                    f"match, {x.shape[second]} != {x.shape[first]}",
                )
            x = x.diagonal(0, first, second)
            labels = [e for place, e in enumerate(labels) if place not in (first, second)] + [label]
    return x, labels


def _sizes(operands: list[Tensor], inputs: list[Labels]) -> dict[int, int]:
    """The size of each label; sizes of 1 broadcast."""
    sizes: dict[int, int] = {}
    for x, labels in zip(operands, inputs, strict=True):
        for n, label in zip(x.shape, labels, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and n not in (1, known):
                raise error(
                    RuntimeError,
                    "einsum",
                    f"subscript {_name(label)} has size {n} for an operand which does not "
                    f"broadcast with previously seen size {known}",
                )
            sizes[label] = n if known == 1 else known
    return sizes


# -- computing ------------------------------------------------------------------------------


def _summed(x: Tensor, labels: Labels, keep: set[int]) -> tuple[Tensor, Labels]:
    """Sums over the labels that nobody needs any more."""
    dims = tuple(place for place, label in enumerate(labels) if label not in keep)
    if not dims:
        return x, labels
    return sum_op(x, dim=dims, keepdim=False), [label for label in labels if label in keep]


def _ordered(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    return x if labels == order else x.permute(*[labels.index(label) for label in order])


def _squeezed(x: Tensor, labels: Labels, others: dict[int, int]) -> tuple[Tensor, Labels]:
    """Without the dimensions of size 1 that broadcast against the other operand's."""
    dims = tuple(
        place
        for place, label in enumerate(labels)
        if x.shape[place] == 1 and others.get(label, 1) != 1
    )
    if not dims:
        return x, labels
    kept = [label for place, label in enumerate(labels) if place not in dims]
    return x.squeeze(dims), kept


def _contracted(
    x: Tensor, a: Labels, y: Tensor, b: Labels, keep: set[int]
) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over what both have and nobody needs: one `bmm`."""
    x, a = _squeezed(x, a, dict(zip(b, y.shape, strict=True)))
    y, b = _squeezed(y, b, dict(zip(a, x.shape, strict=True)))
    x, a = _summed(x, a, keep | set(b))
    y, b = _summed(y, b, keep | set(a))
    batch = [label for label in a if label in b and label in keep]
    summed = [label for label in a if label in b and label not in keep]
    left = [label for label in a if label not in b]
    right = [label for label in b if label not in a]
    sizes = {**dict(zip(b, y.shape, strict=True)), **dict(zip(a, x.shape, strict=True))}
    order = batch + left + right
    if not summed:
        # Nothing to sum: an ordinary product, which broadcasts.
        first = _ordered(x, a, batch + left)
        first = first.reshape(*first.shape, *[1] * len(right))
        second = _ordered(y, b, batch + right)
        middle = [1] * len(left)
        second = second.reshape(*second.shape[: len(batch)], *middle, *second.shape[len(batch) :])
        return first * second, order

    def count(labels: Labels) -> int:
        total = 1
        for label in labels:
            total *= sizes[label]
        return total

    first = _ordered(x, a, batch + left + summed).reshape(count(batch), count(left), count(summed))
    second = _ordered(y, b, batch + summed + right).reshape(
        count(batch), count(summed), count(right)
    )
    if batch:
        out = bmm_op(first, second)
    else:
        out = matmul_op(first.select(0, 0), second.select(0, 0))
    return out.reshape([sizes[label] for label in order]), order


def sum_of_products(operands: list[Tensor], inputs: list[Labels], output: Labels) -> Tensor:
    """The operands' product summed over all labels that are not in the output."""
    parts = [_without_repeats(x, labels) for x, labels in zip(operands, inputs, strict=True)]
    x, a = parts[0]
    for place, (y, b) in enumerate(parts[1:], start=1):
        keep = set(output).union(*(labels for _, labels in parts[place + 1 :]))
        x, a = _contracted(x, a, y, b, keep)
    if len(parts) == 1 and len(a) > len(output):
        x = accumulated(x, None)  # a plain sum: integers in int64, as in torch
    x, a = _summed(x, a, set(output))
    return _ordered(x, a, output)


@public(methods=False)
def einsum(*args: Any) -> Tensor:
    """Sum of products of operands, written with a letter for each dimension.

    Args:
        *args: An equation such as "bij,bjk->bik" and the operands; or each operand followed by the
            list of its labels (numbers below 52, `...`), and at the end, if given, the output's.
    Returns:
        The product summed over the letters that the right side does not have; without a right side
        over those that occur more than once.
    Raises:
        RuntimeError: Equation and operands do not fit.
    Example:
        >>> x = rushlight.tensor([[1, 2], [3, 4]])
        >>> rushlight.einsum("ij,j->i", x, rushlight.tensor([1, 1]))
        tensor([3, 7])
    """
    if not args:
        raise error(
            ValueError, "einsum", "must specify the equation string and at least one operand"
        )
    output: Labels | None
    if isinstance(args[0], str):
        operands = list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        if not operands:
            raise error(
                ValueError if len(args) == 1 else RuntimeError,
                "einsum",
                "must provide at least one operand",
            )
        for x in operands:
            check_tensor("einsum", x)
        inputs, output = _read_equation(args[0], len(operands))
    else:
        if len(args) < 2:
            raise error(ValueError, "einsum", "must specify an operand and its sublist")
        operands, inputs, output = _read_sublists(args)
        for x in operands:
            check_tensor("einsum", x)
    spelled, result = _spelled_out(operands, inputs, output)
    _sizes([_without_repeats(x, s)[0] for x, s in zip(operands, spelled, strict=True)],
           [_without_repeats(x, s)[1] for x, s in zip(operands, spelled, strict=True)])  # fmt: skip
    return sum_of_products(operands, spelled, result)


# -- relatives ------------------------------------------------------------------------------


def _contraction_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    """The dimensions of both operands that are summed over."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise error(RuntimeError, "tensordot", f"expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise error(
                RuntimeError,
                "tensordot",
                f"expects dims < ndim_a or ndim_b, but got dims={dims}",
                given=f"shapes {tuple(a.shape)} and {tuple(b.shape)}",
            )
        return list(range(a.ndim - dims, a.ndim)), list(range(dims))
    first, second = ([each] if isinstance(each, int) else list(each) for each in dims)
    if len(first) != len(second):
        raise error(RuntimeError, "tensordot", "both dimension lists should have same length",
            given=f"dims={dims}")  # fmt: skip
    return (
        [check_dim("tensordot", d, a.ndim) for d in first],
        [check_dim("tensordot", d, b.ndim) for d in second],
    )


@public(methods=False)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Product of two tensors summed over pairs of dimensions.

    Args:
        a, b: Tensors of one dtype.
        dims: How many last dimensions of `a` meet the first of `b`; or the two lists of dimensions.
        out: Receives the result.
    Raises:
        RuntimeError: Sizes that meet differ.
    Example:
        >>> rushlight.tensordot(rushlight.ones(2, 3), rushlight.ones(3, 2), dims=1)
        tensor([[3., 3.],
                [3., 3.]])
    """
    check_operands("tensordot", a, b)
    first, second = _contraction_dims(a, b, dims)
    for d, e in zip(first, second, strict=True):
        if a.shape[d] != b.shape[e] and 1 not in (a.shape[d], b.shape[e]):
            raise error(
                RuntimeError,
                "tensordot",
                f"contracted dimensions need to match, but first has size {a.shape[d]} in dim {d} "
                f"and second has size {b.shape[e]} in dim {e}",
            )
    left = list(range(a.ndim))
    right = list(range(a.ndim, a.ndim + b.ndim))
    for d, e in zip(first, second, strict=True):
        right[e] = left[d]
    output = [x for d, x in enumerate(left) if d not in first] + [
        x for e, x in enumerate(right) if e not in second
    ]
    result = sum_of_products([a, b], [left, right], output)
    return result if out is None else into("tensordot", result, out)


@public(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Dot products of the last dimensions of two tensors.

    Raises:
        RuntimeError: The last sizes differ.
    Example:
        >>> rushlight.inner(rushlight.tensor([1, 2, 3]), rushlight.tensor([0, 2, 1]))
        tensor(7)
    """
    check_operands("inner", input, other)
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise error(
            RuntimeError,
            "inner",
            "the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}",
        )
    return tensordot(input, other, ([-1], [-1]))


@public(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker product: each element of the first tensor replaced by its product with the second.

    Example:
        >>> rushlight.kron(rushlight.tensor([1, 2]), rushlight.tensor([1, 10]))
        tensor([ 1, 10,  2, 20])
    """
    check_tensor("kron", input)
    check_tensor("kron", other, "other")
    ndim = max(input.ndim, other.ndim)
    a = [1] * (ndim - input.ndim) + list(input.shape)
    b = [1] * (ndim - other.ndim) + list(other.shape)
    first = input.reshape([n for pair in zip(a, [1] * ndim, strict=True) for n in pair])
    second = other.reshape([n for pair in zip([1] * ndim, b, strict=True) for n in pair])
    return (first * second).reshape([n * m for n, m in zip(a, b, strict=True)])
