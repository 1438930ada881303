"""View operators: geometry rules, their inverses, and the functions built on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._dispatch import detached
from .._errors import error
from .._operator import operators, view_operator
from .._tensor.tensor import Tensor, contiguous_strides, strides_of
from ._public import export, method, public

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]


def check_dim(who: str, dim: int, ndim: int) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: There is no such dimension.
    """
    extent = max(ndim, 1)
    if not isinstance(dim, int):
        try:
            dim = dim.__index__()
        except AttributeError:
            raise error(TypeError, who, f"dim must be int, not {type(dim).__name__}") from None
    if not -extent <= dim < extent:
        raise error(
            IndexError,
            who,
            f"Dimension out of range (expected to be in range of [{-extent}, {extent - 1}], but "
            f"got {dim})",
            given=f"a tensor of {ndim} dimensions, dim={dim}",
        )
    return dim % extent


def check_dims(who: str, dims: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from the front; None means all of them.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: One appears twice.
    """
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    found = tuple(check_dim(who, dim, ndim) for dim in dims)
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise error(
            RuntimeError, who, f"dim {twice} appears multiple times in the list of dims",
            given=f"dim={tuple(dims)}",
        )  # fmt: skip
    return found if ndim else ()


def sizes_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given as one sequence or one by one."""
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__"):
        return tuple(int(n) for n in size[0])
    return tuple(n if n.__class__ is int else n.__index__() for n in size)


def infer_size(who: str, size: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape with its -1 replaced.

    Raises:
        RuntimeError: The shape does not have `count` elements.
    """
    known, unknown = 1, None
    for place, n in enumerate(size):
        if n == -1 and unknown is None:
            unknown = place
        elif n < 0:
            what = "only one dimension can be inferred" if n == -1 else f"invalid shape dimension {n}"
            raise error(RuntimeError, who, what, given=f"shape {list(size)}")
        else:
            known *= n
    if unknown is not None:
        if known == 0 and count == 0:
            raise error(
                RuntimeError,
                who,
                f"cannot reshape tensor of 0 elements into shape {list(size)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous",
            )
        if known == 0 or count % known:
            raise _bad_shape(who, size, count)
        return (*size[:unknown], count // known, *size[unknown + 1 :])
    if known != count:
        raise _bad_shape(who, size, count)
    return size


def _bad_shape(who: str, size: tuple[int, ...], count: int) -> Exception:
    return error(
        RuntimeError,
        who,
        f"shape '{list(size)}' is invalid for input of size {count}",
        fix="use a shape with as many elements, or -1 for one size to be found",
    )


def view_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], size: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides of the same memory seen in another shape, None where that needs a copy.

    Runs of dimensions that lie in memory without gaps are cut anew; each new dimension must fit
    into one run.
    """
    if 0 in shape:
        return contiguous_strides(size)
    runs: list[tuple[int, int]] = []  # (elements, innermost stride), outermost first
    for n, step in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * step:
            runs[-1] = (runs[-1][0] * n, step)
        else:
            runs.append((n, step))
    result = [1] * len(size)
    place = len(size) - 1
    for count, step in reversed(runs):
        while count > 1:
            if place < 0:
                return None
            n = size[place]
            if n != 1 and count % n:
                return None
            result[place] = step
            step *= n
            count //= n
            place -= 1
    while place >= 0:
        result[place] = result[place + 1] * size[place + 1] if place + 1 < len(size) else 1
        place -= 1
    return tuple(result)


# -- primitive views ------------------------------------------------------------------------

view_op = view_operator("view(Tensor(a) x, *, int[] size) -> Tensor(a)")
expand_op = view_operator("expand(Tensor(a) x, *, int[] size) -> Tensor(a)")
permute_op = view_operator("permute(Tensor(a) x, *, int[] dims) -> Tensor(a)")
select_op = view_operator("select(Tensor(a) x, *, int dim, int index) -> Tensor(a)")
slice_op = view_operator("slice(Tensor(a) x, *, int dim, int start, int length, int step) -> Tensor(a)")
unsqueeze_op = view_operator("unsqueeze(Tensor(a) x, *, int dim) -> Tensor(a)")
squeeze_op = view_operator("squeeze(Tensor(a) x, *, int[] dims) -> Tensor(a)")
diagonal_op = view_operator("diagonal(Tensor(a) x, *, int offset, int dim1, int dim2) -> Tensor(a)")
unfold_op = view_operator("unfold(Tensor(a) x, *, int dim, int size, int step) -> Tensor(a)")
as_strided_op = view_operator(
    "as_strided(Tensor(a) x, *, int[] size, int[] stride, int offset) -> Tensor(a)"
)


@view_op.view
def _(shape: Any, strides: Any, offset: int, *, size: tuple[int, ...]) -> Geometry:
    steps = view_strides(shape, strides, size)
    if steps is None:
        raise error(
            RuntimeError,
            "view",
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces)",
            given=f"shape {tuple(shape)}, strides {strides}, size {size}",
            fix="use reshape(...), which copies where it must",
        )
    return size, steps, offset


@view_op.scatter
def _(x: Tensor, src: Tensor, *, size: tuple[int, ...]) -> Tensor:
    return reshape(src, tuple(x.shape))


view_op.vjp(x=lambda g, x_shape: reshape(g, x_shape))


@expand_op.view
def _(shape: Any, strides: Any, offset: int, *, size: tuple[int, ...]) -> Geometry:
    lead = len(size) - len(shape)
    steps = [0] * lead
    for n, step, wanted in zip(shape, strides, size[lead:], strict=True):
        steps.append(step if n == wanted else 0)
    return size, tuple(steps), offset


expand_op.vjp(x=lambda g, x_shape: sum_to(g, x_shape))


@expand_op.scatter
def _(x: Tensor, src: Tensor, *, size: tuple[int, ...]) -> Tensor:
    return sum_to(src, tuple(x.shape))


expand_op.vjp(x=lambda g, x_shape: sum_to(g, x_shape))


@permute_op.view
def _(shape: Any, strides: Any, offset: int, *, dims: tuple[int, ...]) -> Geometry:
    return tuple([shape[d] for d in dims]), tuple([strides[d] for d in dims]), offset


def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


@permute_op.scatter
def _(x: Tensor, src: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    return permute_op(src, dims=_inverse(dims))  # type: ignore[no-any-return]


permute_op.vjp(x=lambda g, dims: permute_op(g, dims=_inverse(dims)))


@select_op.view
def _(shape: Any, strides: Any, offset: int, *, dim: int, index: int) -> Geometry:
    return (
        (*shape[:dim], *shape[dim + 1 :]),
        (*strides[:dim], *strides[dim + 1 :]),
        offset + index * strides[dim],
    )


@slice_op.view
def _(
    shape: Any, strides: Any, offset: int, *, dim: int, start: int, length: int, step: int
) -> Geometry:
    return (
        (*shape[:dim], length, *shape[dim + 1 :]),
        (*strides[:dim], strides[dim] * step, *strides[dim + 1 :]),
        offset + start * strides[dim],
    )


@unsqueeze_op.view
def _(shape: Any, strides: Any, offset: int, *, dim: int) -> Geometry:
    step = strides[dim] * shape[dim] if dim < len(shape) else 1
    return (*shape[:dim], 1, *shape[dim:]), (*strides[:dim], step, *strides[dim:]), offset


@squeeze_op.view
def _(shape: Any, strides: Any, offset: int, *, dims: tuple[int, ...]) -> Geometry:
    kept = [d for d in range(len(shape)) if d not in dims]
    return tuple([shape[d] for d in kept]), tuple([strides[d] for d in kept]), offset


@diagonal_op.view
def _(shape: Any, strides: Any, start: int, *, offset: int, dim1: int, dim2: int) -> Geometry:
    n, m = shape[dim1], shape[dim2]
    length = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    if length:
        start += offset * strides[dim2] if offset >= 0 else -offset * strides[dim1]
    kept = [d for d in range(len(shape)) if d not in (dim1, dim2)]
    return (
        (*(shape[d] for d in kept), length),
        (*(strides[d] for d in kept), strides[dim1] + strides[dim2]),
        start,
    )


@unfold_op.view
def _(shape: Any, strides: Any, offset: int, *, dim: int, size: int, step: int) -> Geometry:
    if not shape:
        return (size,), (1,), offset
    windows = (shape[dim] - size) // step + 1
    return (
        (*shape[:dim], windows, *shape[dim + 1 :], size),
        (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim]),
        offset,
    )


@as_strided_op.view
def _(
    shape: Any, strides: Any, start: int, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Geometry:
    return tuple(size), tuple(stride), offset


def _scatter_through(op: Any) -> Any:
    """The inverse of a view whose elements are all different places of the base."""

    def scatter(x: Tensor, src: Tensor, **attributes: Any) -> Tensor:
        out = operators["clone"](x)
        op(out, **attributes).copy_(src)
        return out  # type: ignore[no-any-return]

    return scatter


for _op in (select_op, slice_op, diagonal_op):
    _op.scatter(_scatter_through(_op))


@unsqueeze_op.scatter
def _(x: Tensor, src: Tensor, *, dim: int) -> Tensor:
    return squeeze_op(src, dims=(dim,))  # type: ignore[no-any-return]


@squeeze_op.scatter
def _(x: Tensor, src: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    return reshape(src, tuple(x.shape))


unsqueeze_op.vjp(x=lambda g, dim: squeeze_op(g, dims=(dim,)))
squeeze_op.vjp(x=lambda g, x_shape: reshape(g, x_shape))


# -- functions ------------------------------------------------------------------------------


def sum_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sums over the dimensions along which `shape` was broadcast to the tensor's."""
    lead = x.ndim - len(shape)
    dims = tuple(range(lead)) + tuple(
        lead + place
        for place, (n, m) in enumerate(zip(shape, x.shape[lead:], strict=True))
        if n == 1 and m != 1
    )
    if dims:
        x = operators["sum"](x, dim=dims, keepdim=True)
    return view_op(x, size=tuple(shape)) if lead else x


def view(self: Tensor, *size: Any) -> Tensor:
    """The same memory in another shape, or reinterpreted as another dtype.

    Raises:
        RuntimeError: The shape has another number of elements, or needs a copy.
    Example:
        >>> rushlight.arange(4).view(2, -1)
        tensor([[0, 1],
                [2, 3]])
    """
    wanted = sizes_of(size)
    for n in wanted:
        if n < 0:
            wanted = infer_size("view", wanted, self.numel())
            break
    else:
        count = 1
        for n in wanted:
            count *= n
        if count != self.numel():
            raise _bad_shape("view", wanted, self.numel())
    return view_op.entry(self, size=wanted)  # type: ignore[no-any-return]


method("view", view)


@public()
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape: a view where possible, else a copy.

    Raises:
        RuntimeError: The shape has another number of elements.
    """
    size = infer_size("reshape", sizes_of(shape), input.numel())
    if view_strides(input.shape, strides_of(input), size) is None:
        input = operators["clone"](input)
    return view_op.entry(input, size=size)  # type: ignore[no-any-return]


@public(function=False)
def expand(self: Tensor, *size: Any) -> Tensor:
    """A view in which dimensions of size 1 are repeated; -1 keeps a size.

    Raises:
        RuntimeError: A size other than 1 would change.
    """
    wanted = list(sizes_of(size))
    lead = len(wanted) - self.ndim
    if lead < 0:
        raise error(
            RuntimeError,
            "expand",
            f"the number of sizes provided ({len(wanted)}) must be greater or equal to the number "
            f"of dimensions in the tensor ({self.ndim})",
            given=f"x of shape {tuple(self.shape)}, size {tuple(wanted)}",
        )
    for place, n in enumerate(wanted):
        old = self.shape[place - lead] if place >= lead else None
        if n == -1 and old is not None:
            wanted[place] = old
        elif n < 0 or (old is not None and old not in (1, n)):
            raise error(
                RuntimeError,
                "expand",
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at "
                f"non-singleton dimension {place}",
                given=f"x of shape {tuple(self.shape)}, size {tuple(wanted)}",
            )
    return expand_op.entry(self, size=tuple(wanted))  # type: ignore[no-any-return]


@public()
def permute(input: Tensor, *dims: Any) -> Tensor:
    """A view with its dimensions in another order."""
    wanted = check_dims("permute", sizes_of(dims), input.ndim)
    if len(wanted) != input.ndim:
        raise error(
            RuntimeError,
            "permute",
            "number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = "
            f"{len(wanted)}",
        )
    return permute_op.entry(input, dims=wanted)  # type: ignore[no-any-return]


@public(aliases=("swapaxes", "swapdims"))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged."""
    ndim = input.ndim
    a, b = check_dim("transpose", dim0, ndim), check_dim("transpose", dim1, ndim)
    if ndim == 0:
        return view_op.entry(input, size=())  # type: ignore[no-any-return]
    order = list(range(ndim))
    order[a], order[b] = b, a
    return permute_op.entry(input, dims=tuple(order))  # type: ignore[no-any-return]


@public(inplace=False)
def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
    return detached(input)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`input.expand(size)`."""
    return expand(input, *size)


export("broadcast_to", broadcast_to)
method("broadcast_to", broadcast_to)
