"""View operators: geometry, inverses, `vmap` rules, and the functions closest to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _writes
from .._dtypes import int64, is_dtype
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import Operator, view_operator
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, strides_of
from .._views import detached, placed_view
from ._batching import front
from ._geometry import RESHAPES, Geometry, infer_size, named_sizes, shape_of, view_strides
from ._geometry import check_dim as check_dim
from ._geometry import check_dims as check_dims
from ._geometry import sizes_of as sizes_of
from ._public import export, method, public

# -- primitive views ------------------------------------------------------------------------

view_op = view_operator("view(Tensor(a) x, *, int[] size) -> Tensor(a)")
expand_op = view_operator("expand(Tensor(a) x, *, int[] size) -> Tensor(a)")
permute_op = view_operator("permute(Tensor(a) x, *, int[] dims) -> Tensor(a)")
select_op = view_operator("select(Tensor(a) x, *, int dim, int index) -> Tensor(a)")
slice_op = view_operator(
    "slice(Tensor(a) x, *, int dim, int start, int length, int step) -> Tensor(a)"
)
unsqueeze_op = view_operator("unsqueeze(Tensor(a) x, *, int dim) -> Tensor(a)")
squeeze_op = view_operator("squeeze(Tensor(a) x, *, int[] dims) -> Tensor(a)")
diagonal_op = view_operator("diagonal(Tensor(a) x, *, int offset, int dim1, int dim2) -> Tensor(a)")
unfold_op = view_operator("unfold(Tensor(a) x, *, int dim, int size, int step) -> Tensor(a)")


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


def writable_copy(x: Tensor, src: Tensor) -> Tensor:
    """A copy of a tensor into which a part of `src` may be written.

    Under `vmap` or `jvp` it must carry the batch dimension or tangent of both, so something made
    from `src` joins in.
    """
    if STATE.get().interpreters:
        return x + operators["new_full"](  # type: ignore[no-any-return]
            src, shape=tuple(x.shape), value=0, dtype=x.dtype, device=x.device
        )
    return operators["clone"](x)  # type: ignore[no-any-return]


def scatter_through(op: Operator) -> Callable[..., Tensor]:
    """The inverse of a view whose elements are all different places of the base."""

    def scatter(x: Tensor, src: Tensor, **attributes: Any) -> Tensor:
        out = writable_copy(x, src)
        _writes.write(op(out, **attributes), src)
        return out

    return scatter


def into_zeros(op: Operator, g: Tensor, shape: tuple[int, ...], **attributes: Any) -> Tensor:
    """The gradient of a view: zeros, with `g` where the view looked."""
    zeros: Tensor = operators["full"].function(shape, 0, dtype=g.dtype, device=g.device)
    if STATE.get() is NO_GRAD:
        _writes.write(op(zeros, **attributes), g)
        return zeros
    rule: Any = op.scatter_rule
    return rule(zeros, g, **attributes)  # type: ignore[no-any-return]


for _op in (select_op, slice_op, diagonal_op, unfold_op):
    _op.scatter(scatter_through(_op))
for _op in (select_op, slice_op, diagonal_op):
    _op.selects = True

select_op.vjp(
    x=lambda g, x_shape, dim, index: into_zeros(select_op, g, x_shape, dim=dim, index=index)
)
slice_op.vjp(
    x=lambda g, x_shape, dim, start, length, step: into_zeros(
        slice_op, g, x_shape, dim=dim, start=start, length=length, step=step
    )
)
diagonal_op.vjp(
    x=lambda g, x_shape, offset, dim1, dim2: into_zeros(
        diagonal_op, g, x_shape, offset=offset, dim1=dim1, dim2=dim2
    )
)


@unsqueeze_op.scatter
def _(x: Tensor, src: Tensor, *, dim: int) -> Tensor:
    return squeeze_op(src, dims=(dim,))  # type: ignore[no-any-return]


@squeeze_op.scatter
def _(x: Tensor, src: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    return reshape(src, tuple(x.shape))


unsqueeze_op.vjp(x=lambda g, dim: squeeze_op(g, dims=(dim,)))
squeeze_op.vjp(x=lambda g, x_shape: reshape(g, x_shape))


def added_at(x_shape: tuple[int, ...], g: Tensor, seen: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of a view that shows elements more than once: sums over their appearances.

    Args:
        x_shape: Shape of what was viewed.
        g: Gradient of the view.
        seen: The view; applied to the numbers of the elements, it says which element lies where.
    """
    count = 1
    for n in x_shape:
        count *= n
    numbers = operators["arange"](start=0, step=1, length=count, dtype=int64, device=g.device)
    places = reshape(seen(view_op(numbers, size=tuple(x_shape))), -1)
    zeros = operators["full"].function((count,), 0, dtype=g.dtype, device=g.device)
    total = operators["index_add"](zeros, places, reshape(g, -1), dim=0)
    return reshape(total, x_shape)


unfold_op.vjp(
    x=lambda g, x_shape, dim, size, step: added_at(
        x_shape, g, lambda numbers: unfold_op(numbers, dim=dim, size=size, step=step)
    )
)


# -- vmap -----------------------------------------------------------------------------------


def shifted(op: Operator, *names: str) -> None:
    """Gives a view the `vmap` rule: batch dimension in front, dimensions moved up by one."""

    @op.batching
    def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], **attributes: Any) -> Any:
        for name in names:
            attributes[name] += 1
        return op(front(inputs[0], bdims[0]), **attributes), 0


shifted(select_op, "dim")
shifted(slice_op, "dim")
shifted(unsqueeze_op, "dim")
shifted(diagonal_op, "dim1", "dim2")


@view_op.batching
def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, size: tuple[int, ...]) -> Any:
    x = front(inputs[0], bdims[0])
    return view_op(x, size=(x.shape[0], *size)), 0


@expand_op.batching
def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, size: tuple[int, ...]) -> Any:
    x = front(inputs[0], bdims[0])
    while x.ndim <= len(size):
        x = unsqueeze_op(x, dim=1)
    return expand_op(x, size=(x.shape[0], *size)), 0


@permute_op.batching
def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, dims: tuple[int, ...]) -> Any:
    x = front(inputs[0], bdims[0])
    return permute_op(x, dims=(0, *[d + 1 for d in dims])), 0


@squeeze_op.batching
def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, dims: tuple[int, ...]) -> Any:
    return squeeze_op(front(inputs[0], bdims[0]), dims=tuple([d + 1 for d in dims])), 0


@unfold_op.batching
def _(inputs: tuple[Tensor, ...], bdims: tuple[int, ...], *, dim: int, size: int, step: int) -> Any:
    x = front(inputs[0], bdims[0])
    if x.ndim > 1:
        return unfold_op(x, dim=dim + 1, size=size, step=step), 0
    windows = unfold_op(unsqueeze_op(x, dim=1), dim=1, size=size, step=step)
    return select_op(windows, dim=1, index=0), 0


# -- functions ------------------------------------------------------------------------------


def sum_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sums over the dimensions along which `shape` was broadcast to the tensor's."""
    own = shape_of(x)
    total = operators["sum"].entry
    lead = len(own) - len(shape)
    if own[lead:] == shape:  # whole dimensions were added in front, as for a bias
        return total(x, dim=tuple(range(lead)), keepdim=False)  # type: ignore[no-any-return]
    dims = [*range(lead), *(d for d in range(lead, len(own)) if own[d] != shape[d - lead])]
    x = total(x, dim=tuple(dims), keepdim=True)
    return view_op(x, size=shape) if lead else x


def all_selected(x: Tensor, dim: int) -> list[Tensor]:
    """The view of every index of a dimension, with what they share found once."""
    state = STATE.get()
    shape = shape_of(x)
    if x.__class__ not in PLAIN or not (state is GRAD or state is NO_GRAD):
        return [select_op.entry(x, dim=dim, index=i) for i in range(shape[dim])]
    strides, grad, kind = strides_of(x), state is GRAD, x._k
    offset, step = x._offset, strides[dim]
    rest, steps = shape[:dim] + shape[dim + 1 :], strides[:dim] + strides[dim + 1 :]
    return [
        placed_view(
            select_op, x, {"dim": dim, "index": i}, kind, rest, steps, offset + i * step, grad
        )
        for i in range(shape[dim])
    ]


select_op.function = all_selected

_new = object.__new__


def _in_another_shape(x: Tensor, size: tuple[int, ...]) -> Any:
    """(shape, strides or None, attributes) of a tensor in a shape that is looked up, or None."""
    for n in size:
        if n.__class__ is not int:
            return None
    strides = x._strides if x._storage is not None else None
    if strides is None:
        strides = strides_of(x)
    return RESHAPES.get((x._shape, strides, size))


def view(self: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory in another shape, or its bytes read as another dtype.

    Args:
        *shape: Sizes, one of which may be -1; or a dtype.
        size: The sizes as one sequence.
        dtype: The dtype.
    Raises:
        RuntimeError: The shape has another number of elements, or needs a copy.
    Example:
        >>> rushlight.arange(4).view(2, -1)
        tensor([[0, 1],
                [2, 3]])
    """
    if self.__class__ in PLAIN:
        state = STATE.get()
        if state is GRAD or state is NO_GRAD:
            for n in shape:
                if n.__class__ is not int:
                    break
            else:
                storage = self._storage
                if storage is None or self._strides is None:
                    strides_of(self)
                    storage = self._storage
                found = RESHAPES.get((self._shape, self._strides, shape))
                if found is not None and found[1] is not None:
                    made, strides, attributes = found
                    if self._req or self._view is not None:
                        return placed_view(
                            view_op, self, attributes, self._k, made, strides, self._offset,
                            state is GRAD,
                        )  # fmt: skip
                    # `placed_view` for what has no history: the call would take a tenth more.
                    out: Tensor = _new(Tensor)
                    out._k = self._k
                    out._a = None
                    out._storage = storage
                    out._shape = made
                    out._strides = strides
                    out._offset = self._offset
                    out._view = (self, view_op, attributes, storage.rewrites)  # type: ignore[union-attr]
                    out._req = False
                    out._node = None
                    return out
    if size is not None or dtype is not None or not shape:
        shape = named_sizes("view", shape, dtype if size is None else size, "size")
    if len(shape) == 1 and is_dtype(shape[0]):
        return operators["view_dtype"].function(self, shape[0])  # type: ignore[no-any-return]
    wanted = infer_size("view", sizes_of(shape), self.numel())
    _remember(self, wanted)
    return view_op.entry(self, size=wanted)  # type: ignore[no-any-return]


method("view", view)


def _remember(x: Tensor, size: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of a tensor in another shape, kept for the next time."""
    return RESHAPES[tuple(x.shape), tuple(strides_of(x)), size][1]  # type: ignore[no-any-return]


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape: a view where possible, else a copy.

    Raises:
        RuntimeError: The shape has another number of elements.
    Example:
        >>> rushlight.reshape(rushlight.arange(4), (2, 2))
        tensor([[0, 1],
                [2, 3]])
    """
    if input.__class__ in PLAIN:
        state = STATE.get()
        if state is GRAD or state is NO_GRAD:
            size = sizes[0] if len(sizes) == 1 and sizes[0].__class__ is tuple else sizes
            found = _in_another_shape(input, size)
            if found is not None and found[1] is not None:
                return placed_view(
                    view_op,
                    input,
                    found[2],
                    input._k,
                    found[0],
                    found[1],
                    input._offset,
                    state.grad,
                )
    if shape is not None or not sizes:
        sizes = named_sizes("reshape", sizes, shape, "shape")
    wanted = infer_size("reshape", sizes_of(sizes), input.numel())
    if _remember(input, wanted) is None:
        input = operators["clone"](input)
    return view_op.entry(input, size=wanted)  # type: ignore[no-any-return]


public()(reshape)


@public(function=False)
def expand(self: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """A view in which dimensions of size 1 are repeated; -1 keeps a size.

    Raises:
        RuntimeError: A size other than 1 would change.
    Example:
        >>> rushlight.tensor([1, 2]).expand(2, -1)
        tensor([[1, 2],
                [1, 2]])
    """
    if size is not None:
        sizes = named_sizes("expand", sizes, size, "size")
    wanted = list(sizes_of(sizes))
    shape = shape_of(self)
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise error(
            RuntimeError,
            "expand",
            f"the number of sizes provided ({len(wanted)}) must be greater or equal to the number "
            f"of dimensions in the tensor ({len(shape)})",
            given=f"x of shape {tuple(shape)}, size {tuple(wanted)}",
        )
    for place, n in enumerate(wanted):
        old = shape[place - lead] if place >= lead else None
        if n == old:
            continue
        if n == -1 and old is not None:
            wanted[place] = old
        elif n < 0 or (old is not None and old != 1):
            raise error(
                RuntimeError,
                "expand",
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at "
                f"non-singleton dimension {place}",
                given=f"x of shape {tuple(shape)}, size {tuple(wanted)}",
            )
    return expand_op.entry(self, size=tuple(wanted))  # type: ignore[no-any-return]


@public()
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A view with its dimensions in another order.

    Raises:
        RuntimeError: Not every dimension is named once.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.permute(rushlight.zeros(2, 3, 4), (2, 0, 1)).shape
        rushlight.Size([4, 2, 3])
    """
    if dims is not None:
        order = named_sizes("permute", order, dims, "dims")
    ndim = len(shape_of(input))
    given = sizes_of(order)
    if len(given) != ndim:
        raise error(
            RuntimeError,
            "permute",
            "number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
            f"{len(given)}",
        )
    return permute_op.entry(input, dims=check_dims("permute", given, ndim))  # type: ignore[no-any-return]


_EXCHANGED: dict[str, tuple[int, ...]] = {"dims": (1, 0)}


def _exchanged(items: Sequence[int], a: int, b: int) -> tuple[int, ...]:
    found = list(items)
    if a != b:
        found[a], found[b] = found[b], found[a]
    return tuple(found)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged.

    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.transpose(rushlight.zeros(2, 3), 0, 1).shape
        rushlight.Size([3, 2])
    """
    shape = shape_of(input)
    ndim = len(shape)
    a, b = check_dim("transpose", dim0, ndim), check_dim("transpose", dim1, ndim)
    if a != b and input.__class__ in PLAIN:
        state = STATE.get()
        if state is GRAD or state is NO_GRAD:
            strides, dims = strides_of(input), _EXCHANGED
            if ndim == 2:  # a matrix, the usual case
                shape, strides = (shape[1], shape[0]), (strides[1], strides[0])
            else:
                dims = {"dims": _exchanged(range(ndim), a, b)}
                shape, strides = _exchanged(shape, a, b), _exchanged(strides, a, b)
            return placed_view(
                permute_op, input, dims, input._k, shape, strides, input._offset, state is GRAD
            )
    return permute_op.entry(input, dims=_exchanged(range(ndim), a, b))  # type: ignore[no-any-return]


def _swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose(input, axis0, axis1)`, with NumPy's names."""
    return transpose(input, axis0, axis1)


for _name, _function in (
    ("transpose", transpose),
    ("swapdims", transpose),
    ("swapaxes", _swapaxes),
):
    export(_name, _function)
    method(_name, _function)


@public(inplace=False)
def detach(input: Tensor) -> Tensor:
    """The same memory without history.

    Example:
        >>> rushlight.ones(2, requires_grad=True).detach().requires_grad
        False
    """
    return detached(input)


@public()
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`input.expand(size)`.

    Example:
        >>> rushlight.broadcast_to(rushlight.tensor([1, 2]), (2, 2))
        tensor([[1, 2],
                [1, 2]])
    """
    return expand(input, size)
