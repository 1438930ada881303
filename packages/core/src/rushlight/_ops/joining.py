"""Joining tensors: cat, stack and their relatives, padding, block matrices, combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _failures
from .._dispatch import Spec, wrapped
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import operator
from .._promotion import result_type
from .._registered import operators
from .._tensor.tensor import (
    PLAIN,
    Tensor,
    contiguous_strides,
    dense,
    native_of,
    refreshed,
    storage_of,
    strides_of,
)
from ._batching import batch_size, front, front_or_expanded
from ._geometry import check_dim, shape_of
from ._public import export, into, public
from .views import reshape, slice_op, unsqueeze_op

cat_op = operator("cat(Tensor[] xs, *, int dim) -> Tensor")
stack_op = operator("stack(Tensor[] xs, *, int dim) -> Tensor")
pad_op = operator("constant_pad(Tensor x, *, int[][] pad, Scalar value) -> Tensor")


# -- cat ------------------------------------------------------------------------------------


@cat_op.meta
def _(*xs: Tensor, dim: int) -> Spec:
    shape = list(xs[0].shape)
    for place, x in enumerate(xs[1:], 1):
        if x.ndim != len(shape):
            raise error(
                RuntimeError,
                "cat",
                f"Tensors must have same number of dimensions: got {len(shape)} and {x.ndim}",
            )
        for d, n in enumerate(x.shape):
            if d == dim:
                shape[d] += n
            elif n != shape[d]:
                raise error(
                    RuntimeError,
                    "cat",
                    f"Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{shape[d]} but got size {n} for tensor number {place} in the list.",
                    given=", ".join(str(tuple(y.shape)) for y in xs),
                )
    return Spec(tuple(shape), xs[0].dtype)


@cat_op.vjp
def _(g: Tensor, *, xs_shapes: Any, dim: int, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    found: list[Any] = []
    start = 0
    for shape, need in zip(xs_shapes, needs, strict=True):
        n = shape[dim]
        found.append(slice_op(g, dim=dim, start=start, length=n, step=1) if need else None)
        start += n
    return tuple(found)


cat_op.jvp("linear")


@cat_op.batching
def _(inputs: Any, bdims: Any, *, dim: int) -> Any:
    size = batch_size(inputs, bdims)
    xs = [front_or_expanded(x, d, size) for x, d in zip(inputs, bdims, strict=True)]
    return cat_op(*xs, dim=dim + 1), 0


def _sequence(who: str, tensors: Any) -> list[Tensor]:
    """The tensors to join, checked."""
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise error(
            TypeError, who, f"argument 'tensors' must be tuple of Tensors, not "
            f"{type(tensors).__name__}", fix=f"use {who}([x, y])",
        )  # fmt: skip
    found = list(tensors)
    if not found:
        raise error(
            RuntimeError if who == "stack" else ValueError,
            who,
            f"{who} expects a non-empty TensorList",
        )
    for place, x in enumerate(found):
        if not isinstance(x, Tensor):
            raise error(
                TypeError,
                who,
                f"expected Tensor as element {place} in argument 0, but got {type(x).__name__}",
            )
    return found


def _one_dtype(xs: list[Tensor]) -> list[Tensor]:
    """The tensors in the dtype that they promote to."""
    dtype = result_type(*xs)
    cast = operators["cast"]
    return [x if x._k.dtype is dtype else cast(x, dtype=dtype) for x in xs]


def _joined(xs: Sequence[Tensor], dim: int) -> Tensor | None:
    """The result, where nothing stands between the call and the kernel."""
    state = STATE.get()
    if state is not GRAD and state is not NO_GRAD:
        return None
    kind = xs[0]._k
    kernel = kind.hot[cat_op.index]
    if kernel is None:
        return None
    recorded = state is GRAD
    natives = []
    for x in xs:
        if x.__class__ not in PLAIN or x._k is not kind:
            return None
        if recorded and (x._req if x._view is None else refreshed(x)):
            return None
        native = x._a
        natives.append(native_of(x) if native is None else native)
    try:
        return wrapped(kind, kernel(*natives, dim=dim))
    except Exception as raised:
        raise _failures.explained(cat_op, tuple(xs), {"dim": dim}, raised) from raised


def _is_legacy_empty(x: Tensor) -> bool:
    # Vectors of no elements join anything, whatever its shape: older programs start from one.
    shape = shape_of(x)
    return len(shape) == 1 and shape[0] == 0


def _check_no_overlap(who: str, xs: Sequence[Tensor], out: Any) -> None:
    """Raises if the result would be written over an operand."""
    if isinstance(out, Tensor) and any(storage_of(x) is storage_of(out) for x in xs):
        raise error(
            RuntimeError,
            who,
            "unsupported operation: some elements of the input tensor and the written-to tensor "
            "refer to a single memory location",
            fix="clone() the tensor before performing the operation",
        )


@public(methods=False, op=cat_op)
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors one after the other along a dimension.

    Args:
        tensors: Tensors of the same shape but for `dim`; dtypes are promoted.
        dim: The dimension.
    Raises:
        RuntimeError: Shapes do not fit, or a tensor has no dimensions.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.cat((rushlight.tensor([1, 2]), rushlight.tensor([3])))
        tensor([1, 2, 3])
    """
    if out is not None:
        made = cat(tensors, dim)
        _check_no_overlap("cat", tensors, out)
        return into("cat", made, out)  # type: ignore[no-any-return]
    xs = _sequence("cat", tensors)
    ndim = None
    for place, x in enumerate(xs):
        shape = shape_of(x)
        if not shape:
            raise error(
                RuntimeError,
                "cat",
                f"zero-dimensional tensor (at position {place}) cannot be concatenated",
                fix="use stack(...)",
            )
        if ndim is None and not _is_legacy_empty(x):
            ndim = len(shape)
    place = check_dim("cat", dim, ndim or 1)
    fast = _joined(xs, place) if ndim == 1 or not any(map(_is_legacy_empty, xs)) else None
    if fast is not None:
        return fast
    xs = _one_dtype(xs)
    if ndim is not None and ndim > 1:
        xs = [x for x in xs if not _is_legacy_empty(x)]
    return cat_op(*xs, dim=place)  # type: ignore[no-any-return]


cat.accepts_out = True  # type: ignore[attr-defined]
export("concat", cat)
export("concatenate", cat)


# -- stack ----------------------------------------------------------------------------------


@stack_op.decomposition
def _(*xs: Tensor, dim: int) -> Tensor:
    return cat_op(*[unsqueeze_op(x, dim=dim) for x in xs], dim=dim)  # type: ignore[no-any-return]


@public(out=True, methods=False, op=stack_op)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension.

    Raises:
        RuntimeError: Shapes differ.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.stack((rushlight.tensor([1, 2]), rushlight.tensor([3, 4])))
        tensor([[1, 2],
                [3, 4]])
    """
    xs = _sequence("stack", tensors)
    shape = tuple(shape_of(xs[0]))
    place = check_dim("stack", dim, len(shape) + 1)
    for number, x in enumerate(xs):
        if tuple(shape_of(x)) != shape:
            raise error(
                RuntimeError,
                "stack",
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(shape_of(x))} at entry {number}",
            )
    made = _joined(xs, place) if place < len(shape) else None
    if made is not None and dense(shape_of(made), strides_of(made)):
        # Joined along a dimension that exists, and that dimension cut in two.
        made._shape = (*shape[:place], len(xs), *shape[place:])
        made._strides, made._a = contiguous_strides(made._shape), None
        return made
    rows = _one_dtype([unsqueeze_op.entry(x, dim=place) for x in xs])
    return cat_op(*rows, dim=place)  # type: ignore[no-any-return]


stack_op.function = stack


def _stacked(name: str, grow: str, dim: int, aliases: tuple[str, ...] = ()) -> None:
    """`hstack`, `vstack` and `dstack`."""

    def join(tensors: Sequence[Tensor]) -> Tensor:
        xs = [_grown(grow, x) for x in _sequence(name, tensors)]
        return cat(xs, 0 if name == "hstack" and xs[0].ndim == 1 else dim)

    join.__name__ = join.__qualname__ = name
    join.__doc__ = f"""Joins tensors as NumPy's `{name}` does.

    Args:
        tensors: The tensors.
    Raises:
        RuntimeError: Shapes do not fit.
    Example:
        >>> rushlight.{name}((rushlight.tensor([1, 2]), rushlight.tensor([3, 4]))).shape
        rushlight.Size([{ {"hstack": "4", "vstack": "2, 2", "dstack": "1, 2, 2"}[name] }])
    """
    public(out=True, methods=False, aliases=aliases)(join)


def _grown(name: str, x: Tensor) -> Tensor:
    from ._public import PUBLIC

    grown: Tensor = PUBLIC[""][name](x)
    return grown


_stacked("hstack", "atleast_1d", 1)
_stacked("vstack", "atleast_2d", 0, ("row_stack",))
_stacked("dstack", "atleast_3d", 2)


@public(out=True, methods=False)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joins matrices side by side; vectors count as columns.

    Raises:
        RuntimeError: Shapes do not fit.
    Example:
        >>> rushlight.column_stack((rushlight.tensor([1, 2]), rushlight.tensor([3, 4])))
        tensor([[1, 3],
                [2, 4]])
    """
    xs = _sequence("column_stack", tensors)
    return cat([reshape(x, x.numel(), 1) if x.ndim <= 1 else x for x in xs], 1)


# -- padding --------------------------------------------------------------------------------


@pad_op.meta
def _(x: Tensor, *, pad: Any, value: Any) -> Spec:
    shape = [n + before + after for n, (before, after) in zip(x.shape, pad, strict=True)]
    return Spec(tuple(shape), x.dtype)


@pad_op.vjp
def _(g: Tensor, *, pad: Any) -> Tensor:
    return pad_op(g, pad=tuple([(-a, -b) for a, b in pad]), value=0)  # type: ignore[no-any-return]


@pad_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, pad: Any, value: Any) -> Tensor:
    return pad_op(tangents[0], pad=pad, value=0)  # type: ignore[no-any-return]


@pad_op.batching
def _(inputs: Any, bdims: Any, *, pad: Any, value: Any) -> Any:
    return pad_op(front(inputs[0], bdims[0]), pad=((0, 0), *pad), value=value), 0


@public(methods=False, op=pad_op)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """The tensor with constant borders; negative amounts cut borders off.

    Args:
        input: The tensor.
        pad: Amounts before and after, last dimension first.
        value: What to fill with.
    Raises:
        RuntimeError: An odd number of amounts, more than the tensor has dimensions, or a size
            below zero.
    Example:
        >>> rushlight.constant_pad_nd(rushlight.tensor([1, 2]), (1, 1))
        tensor([0, 1, 2, 0])
    """
    from ._making import fitting

    amounts = [int(n) for n in pad]
    shape = tuple(shape_of(input))
    if len(amounts) % 2:
        raise error(
            RuntimeError, "constant_pad_nd", f"Length of pad must be even but instead it equals "
            f"{len(amounts)}",
        )  # fmt: skip
    if len(amounts) // 2 > len(shape):
        raise error(
            RuntimeError,
            "constant_pad_nd",
            "Length of pad should be no more than twice the number of dimensions of the input. Pad "
            f"length is {len(amounts)} while the input has {len(shape)} dimensions.",
        )
    pairs = [(0, 0)] * (len(shape) - len(amounts) // 2)
    pairs += [(amounts[i], amounts[i + 1]) for i in range(len(amounts) - 2, -1, -2)]
    for d, (n, (before, after)) in enumerate(zip(shape, pairs, strict=True)):
        if n + before + after < 0:
            raise error(
                RuntimeError,
                "constant_pad_nd",
                f"The input size {n}, plus negative padding {before} and {after} resulted in a "
                "negative output size, which is invalid. Check dimension "
                f"{d} of your input.",
            )
    fill = fitting(value, input.dtype)
    return pad_op(input, pad=tuple(pairs), value=fill)  # type: ignore[no-any-return]


# -- products of sets -----------------------------------------------------------------------


@public(methods=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices along its diagonal and zeros elsewhere.

    Raises:
        RuntimeError: A tensor has more than two dimensions.
    Example:
        >>> rushlight.block_diag(rushlight.tensor([[1]]), rushlight.tensor([[2, 3]]))
        tensor([[1, 0, 0],
                [0, 2, 3]])
    """
    given = _sequence("block_diag", tensors)
    for number, x in enumerate(given):
        if x.ndim > 2:
            raise error(
                RuntimeError,
                "block_diag",
                f"block_diag: Input tensors must have 2 or fewer dimensions. Input {number} "
                f"has {x.ndim} dimensions",
            )
    blocks = _one_dtype([_grown("atleast_2d", x) for x in given])
    width = sum(x.shape[1] for x in blocks)
    rows = []
    start = 0
    for x in blocks:
        n = x.shape[1]
        rows.append(pad_op(x, pad=((0, 0), (start, width - start - n)), value=0))
        start += n
    return cat_op(*rows, dim=0)  # type: ignore[no-any-return]


@public(methods=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, one combination a row.

    Raises:
        RuntimeError: A tensor is not a vector.
    Example:
        >>> rushlight.cartesian_prod(rushlight.tensor([1, 2]), rushlight.tensor([3, 4]))
        tensor([[1, 3],
                [1, 4],
                [2, 3],
                [2, 4]])
    """
    from .shaping import meshgrid

    xs = _sequence("cartesian_prod", tensors)
    for x in xs:
        if x.ndim != 1:
            raise error(
                RuntimeError, "cartesian_prod", "meshgrid: Expect a 1D vector, but got shape "
                f"{list(x.shape)}",
            )  # fmt: skip
    if len(xs) == 1:
        return xs[0]
    grids = meshgrid(*xs, indexing="ij")
    return stack([reshape(x, x.numel()) for x in grids], 1)


@public(methods=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of `r` elements of a vector, one a row.

    Args:
        input: Vector.
        r: Number of elements.
        with_replacement: An element may be taken again.
    Raises:
        RuntimeError: Not a vector, or `r` is negative.
    Example:
        >>> rushlight.combinations(rushlight.tensor([1, 2, 3]))
        tensor([[1, 2],
                [1, 3],
                [2, 3]])
    """
    import itertools

    import numpy as np

    from .._tensor.construction import from_host
    from ._making import unfilled

    if input.ndim != 1:
        raise error(
            RuntimeError, "combinations", f"Expect a 1D vector, but got shape {list(input.shape)}"
        )
    if r < 0:
        raise error(RuntimeError, "combinations", f"Expect a non-negative number, but got {r}")
    if r == 0:
        return unfilled((0,), None, input._k)
    choose: Callable[..., Any] = (
        itertools.combinations_with_replacement if with_replacement else itertools.combinations
    )
    rows = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    places = from_host(rows.reshape(-1), input.device, copy=False)
    return reshape(operators["index_select"](input, places, dim=0), rows.shape)
