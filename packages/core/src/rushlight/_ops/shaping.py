"""Functions that change how dimensions are arranged: adding, dropping, joining and moving them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .._errors import error
from .._promotion import broadcast_shapes as _broadcast_shapes
from .._registered import operators
from .._size import Size
from .._tensor.tensor import Tensor, storage_of
from ._geometry import check_dim, check_dims, check_tensor, shape_of, sizes_of
from ._public import export, method, public
from .elementwise import conj
from .views import (
    all_selected,
    expand,
    expand_op,
    permute_op,
    reshape,
    select_op,
    slice_op,
    squeeze_op,
    transpose,
    unsqueeze_op,
    view,
    view_op,
)

# -- dimensions of size 1 -------------------------------------------------------------------


@public()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dimension of size 1.

    Raises:
        IndexError: There is no such place.
    Example:
        >>> rushlight.unsqueeze(rushlight.tensor([1, 2]), 1).shape
        rushlight.Size([2, 1])
    """
    dim = check_dim("unsqueeze", dim, len(shape_of(input)) + 1)
    return unsqueeze_op.entry(input, dim=dim)  # type: ignore[no-any-return]


@public()
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """A view without dimensions of size 1: all of them, or those that are named.

    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.squeeze(rushlight.zeros(1, 2, 1), 0).shape
        rushlight.Size([2, 1])
    """
    shape = shape_of(input)
    dims = check_dims("squeeze", dim, len(shape))
    return squeeze_op.entry(input, dims=tuple([d for d in dims if shape[d] == 1]))  # type: ignore[no-any-return]


# -- joining and cutting dimensions ---------------------------------------------------------


@public()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The tensor with dimensions joined into one.

    Raises:
        RuntimeError: `start_dim` lies behind `end_dim`.
    Example:
        >>> rushlight.flatten(rushlight.zeros(2, 3, 4), 1).shape
        rushlight.Size([2, 12])
    """
    shape = shape_of(input)
    ndim = len(shape)
    first, last = check_dim("flatten", start_dim, ndim), check_dim("flatten", end_dim, ndim)
    if first > last:
        raise error(
            RuntimeError, "flatten", "flatten() has invalid args: start_dim cannot come after "
            "end_dim",
            given=f"start_dim={start_dim}, end_dim={end_dim}",
        )  # fmt: skip
    if ndim == 0:
        return reshape(input, 1)
    if first == last:
        return input
    return reshape(input, *shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


@public()
def ravel(input: Tensor) -> Tensor:
    """The elements in one dimension; a copy only where needed.

    Example:
        >>> rushlight.ravel(rushlight.tensor([[1, 2], [3, 4]]))
        tensor([1, 2, 3, 4])
    """
    return reshape(input.contiguous(), -1) if input.numel() else reshape(input, 0)


@public()
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """The tensor with one dimension cut into several; one size may be -1.

    Raises:
        RuntimeError: The sizes do not multiply to the dimension's.
    Example:
        >>> rushlight.unflatten(rushlight.zeros(2, 12), 1, (3, 4)).shape
        rushlight.Size([2, 3, 4])
    """
    shape = tuple(shape_of(input))
    dim = check_dim("unflatten", dim, len(shape))
    wanted = sizes_of((sizes,))
    if not wanted:
        raise error(RuntimeError, "unflatten", "sizes must be non-empty")
    n = shape[dim] if shape else 1
    known = -math.prod(wanted) if -1 in wanted else math.prod(wanted)
    if (-1 in wanted and (known == 0 or n % known)) or (-1 not in wanted and known != n):
        raise error(
            RuntimeError,
            "unflatten",
            f"Provided sizes {list(wanted)} don't multiply up to the size of dim {dim} ({n}) in "
            "the input tensor",
        )
    if -1 in wanted:
        wanted = tuple([n // known if m == -1 else m for m in wanted])
    return reshape(input, *shape[:dim], *wanted, *shape[dim + 1 :])


def _other_shape(who: str, function: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def like(self: Tensor, other: Tensor) -> Tensor:
        check_tensor(who, other, "other")
        return function(self, shape_of(other))

    like.__name__ = like.__qualname__ = who
    like.__doc__ = f"`self.{who[:-3]}(other.shape)`."
    method(who, like)
    return like


_other_shape("reshape_as", reshape)
_other_shape("expand_as", expand)
_other_shape("view_as", view)


# -- order of dimensions --------------------------------------------------------------------


@public()
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with dimensions moved to other places, the rest keeping their order.

    Raises:
        RuntimeError: A dimension is named twice, or the counts differ.
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.movedim(rushlight.zeros(2, 3, 4), 0, -1).shape
        rushlight.Size([3, 4, 2])
    """
    ndim = len(shape_of(input))
    sources = (source,) if isinstance(source, int) else tuple(source)
    targets = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(sources) != len(targets):
        raise error(
            RuntimeError,
            "movedim",
            "Invalid source or destination dims: source should have the same number of elements as "
            f"destination, got {list(sources)} and {list(targets)}",
        )
    sources = tuple([check_dim("movedim", d, ndim) for d in sources])
    targets = tuple([check_dim("movedim", d, ndim) for d in targets])
    for name, dims in (("source", sources), ("destination", targets)):
        if len(set(dims)) != len(dims):
            raise error(RuntimeError, "movedim", f"repeated dim in `{name}` ({list(dims)})")
    if ndim == 0:
        return input
    order = [d for d in range(ndim) if d not in sources]
    for target, d in sorted(zip(targets, sources, strict=True)):
        order.insert(target, d)
    return permute_op.entry(input, dims=tuple(order))  # type: ignore[no-any-return]


def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """`movedim`, under NumPy's name."""
    return movedim(input, source, destination)


export("moveaxis", moveaxis)
method("moveaxis", moveaxis)

_SWAPPED = {0: (), 1: (0,), 2: (1, 0)}


@public()
def t(input: Tensor) -> Tensor:
    """A view of a matrix with its dimensions exchanged; vectors and scalars stay.

    Raises:
        RuntimeError: More than two dimensions.
    Example:
        >>> rushlight.t(rushlight.zeros(2, 3)).shape
        rushlight.Size([3, 2])
    """
    dims = _SWAPPED.get(len(shape_of(input)))
    if dims is None:
        raise error(
            RuntimeError, "t", f"t() expects a tensor with <= 2 dimensions, but self is "
            f"{len(shape_of(input))}D", fix="use mT, or permute",
        )  # fmt: skip
    return permute_op.entry(input, dims=dims)  # type: ignore[no-any-return]


def _matrix(who: str, x: Tensor) -> None:
    if x.ndim not in (0, 2):
        raise error(
            RuntimeError, who, f"tensor.{who} is only supported on matrices (2-D tensors). Got "
            f"{x.ndim}-D tensor.", fix="use mT or mH for batches of matrices",
        )  # fmt: skip


def _batch_of_matrices(who: str, x: Tensor) -> None:
    if x.ndim == 1:
        raise error(
            RuntimeError, who, f"tensor.{who} is only supported on matrices or batches of "
            "matrices. Got 1-D tensor.",
        )  # fmt: skip


def _t_property(self: Tensor) -> Tensor:
    """A view with the dimensions in reverse order."""
    return permute_op.entry(self, dims=tuple(range(len(shape_of(self)) - 1, -1, -1)))  # type: ignore[no-any-return]


def _mt_property(self: Tensor) -> Tensor:
    """A view with the last two dimensions exchanged."""
    _batch_of_matrices("mT", self)
    return transpose(self, -2, -1) if self.ndim else self


def _h_property(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix."""
    _matrix("H", self)
    return conj(transpose(self, 0, 1)) if self.ndim else conj(self)


def _mh_property(self: Tensor) -> Tensor:
    """The conjugate transposes of a batch of matrices."""
    _batch_of_matrices("mH", self)
    return conj(transpose(self, -2, -1)) if self.ndim else conj(self)


method("T", property(_t_property))
method("mT", property(_mt_property))
method("H", property(_h_property))
method("mH", property(_mh_property))


@public()
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transposes of a batch of matrices.

    Example:
        >>> rushlight.adjoint(rushlight.tensor([[1j, 2]])).shape
        rushlight.Size([2, 1])
    """
    if input.ndim == 1:
        _batch_of_matrices("adjoint", input)
    return _mh_property(input)


# -- parts ----------------------------------------------------------------------------------


@public()
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of one index of a dimension, which is dropped.

    Raises:
        IndexError: There is no such dimension or index.
    Example:
        >>> rushlight.select(rushlight.tensor([[1, 2], [3, 4]]), 0, 1)
        tensor([3, 4])
    """
    shape = shape_of(input)
    if not shape:
        raise error(IndexError, "select", "select() cannot be applied to a 0-dim tensor.")
    dim = check_dim("select", dim, len(shape))
    n = shape[dim]
    if index.__class__ is not int:
        index = index.__index__()
    if not -n <= index < n:
        raise error(
            IndexError,
            "select",
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension "
            f"{dim}",
        )
    return select_op.entry(input, dim=dim, index=index if index >= 0 else index + n)  # type: ignore[no-any-return]


@public()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of `length` indices of a dimension, from `start` on.

    Args:
        input: The tensor.
        dim: The dimension.
        start: First index, a negative one counts from the end; or a 0-d integer tensor.
        length: Number of indices.
    Raises:
        IndexError: `start` lies outside the dimension.
        RuntimeError: The range reaches beyond its end.
    Example:
        >>> rushlight.narrow(rushlight.arange(5), 0, 1, 3)
        tensor([1, 2, 3])
    """
    shape = shape_of(input)
    if not shape:
        raise error(RuntimeError, "narrow", "narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise error(RuntimeError, "narrow", "narrow(): length must be non-negative.")
    dim = check_dim("narrow", dim, len(shape))
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.is_inexact or start.dtype.name == "bool":
            raise error(RuntimeError, "narrow", "start must be an 0-dim integral Tensor.")
        start = int(start)
    n = shape[dim]
    if not -n <= start <= n:
        raise error(
            IndexError, "narrow", f"start out of range (expected to be in range of [{-n}, {n}], "
            f"but got {start})", given=f"x of shape {tuple(shape)}, dim={dim}",
        )  # fmt: skip
    first = start + n if start < 0 else start
    if first + length > n:
        raise error(
            RuntimeError,
            "narrow",
            f"start ({first}) + length ({length}) exceeds dimension size ({n}).",
            given=f"x of shape {tuple(shape)}, dim={dim}",
            fix=f"use length={n - first}",
        )
    return slice_op.entry(input, dim=dim, start=first, length=length, step=1)  # type: ignore[no-any-return]


@public(out=True)
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of `length` indices of a dimension, from `start` on.

    Example:
        >>> rushlight.narrow_copy(rushlight.arange(5), 0, 1, 3)
        tensor([1, 2, 3])
    """
    if isinstance(start, Tensor):
        raise error(TypeError, "narrow_copy", "argument 'start' must be int, not Tensor")
    return operators["clone"](narrow(input, dim, start, length))  # type: ignore[no-any-return]


@public()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all indices of a dimension.

    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.unbind(rushlight.tensor([[1, 2], [3, 4]]))
        (tensor([1, 2]), tensor([3, 4]))
    """
    shape = shape_of(input)
    if not shape:
        raise error(
            IndexError, "unbind",
            "Dimension specified as 0 but tensor has no dimensions",
        )  # fmt: skip
    dim = check_dim("unbind", dim, len(shape))
    return tuple(all_selected(input, dim))


# -- broadcasting ---------------------------------------------------------------------------


@public(methods=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that shapes broadcast to; an int is a shape of one dimension.

    Raises:
        RuntimeError: They do not broadcast.
    Example:
        >>> rushlight.broadcast_shapes((2, 1), (3,))
        rushlight.Size([2, 3])
    """
    given = [(s,) if isinstance(s, int) else sizes_of((tuple(s),)) for s in shapes]
    for shape in given:
        for n in shape:
            if n < 0:
                raise error(
                    RuntimeError,
                    "broadcast_shapes",
                    f"Trying to create tensor with negative dimension ({n}): ({n})",
                    given=f"shapes {given}",
                )
    return Size(_broadcast_shapes("broadcast_shapes", *given))


@public(methods=False)
def broadcast_tensors(*tensors: Any) -> list[Tensor]:
    """Views of tensors, all expanded to one shape.

    Raises:
        RuntimeError: They do not broadcast.
    Example:
        >>> [
        ...     x.shape
        ...     for x in rushlight.broadcast_tensors(rushlight.zeros(2, 1), rushlight.zeros(3))
        ... ]
        [rushlight.Size([2, 3]), rushlight.Size([2, 3])]
    """
    given = _tensors("broadcast_tensors", tensors)
    shape = _broadcast_shapes("broadcast_tensors", *[tuple(x.shape) for x in given])
    return [expand_op.entry(x, size=shape) for x in given]


def _tensors(who: str, tensors: tuple[Any, ...]) -> Sequence[Tensor]:
    """Tensors given one by one or as one sequence."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    for x in tensors:
        if not isinstance(x, Tensor):
            raise error(TypeError, who, f"expected Tensors, got {type(x).__name__}")
    return tensors


def _at_least(name: str, grow: Callable[[Tensor], Tensor], count: int) -> None:
    """`atleast_1d` and its relatives."""

    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return grow(tensors[0])
        return tuple([grow(x) for x in _tensors(name, tensors)])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""The tensors, each as a view of at least {count} dimensions.

    Example:
        >>> rushlight.{name}(rushlight.tensor(1)).ndim
        {count}
    """
    export(name, function)


def _grow_1(x: Tensor) -> Tensor:
    return x if x.ndim else view_op.entry(x, size=(1,))


def _grow_2(x: Tensor) -> Tensor:
    return unsqueeze_op(_grow_1(x), dim=0) if x.ndim < 2 else x


def _grow_3(x: Tensor) -> Tensor:
    if x.ndim > 2:
        return x
    return unsqueeze_op(_grow_2(x), dim=2)  # type: ignore[no-any-return]


for _name, _grow, _count in (
    ("atleast_1d", _grow_1, 1),
    ("atleast_2d", _grow_2, 2),
    ("atleast_3d", _grow_3, 3),
):
    _at_least(_name, _grow, _count)


@public(methods=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Grids of coordinates: views of vectors, expanded over each other's dimensions.

    Args:
        *tensors: Vectors, or one sequence of them; scalars count as vectors of one element.
        indexing: "ij" (first vector along the first dimension) or "xy" (along the second).
    Raises:
        RuntimeError: A tensor has more than one dimension, or dtypes differ.
    Example:
        >>> rows, columns = rushlight.meshgrid(
        ...     rushlight.tensor([1, 2]), rushlight.tensor([3, 4, 5]), indexing="ij"
        ... )
        >>> rows
        tensor([[1, 1, 1],
                [2, 2, 2]])
    """
    given = list(_tensors("meshgrid", tensors))
    if not given:
        raise error(RuntimeError, "meshgrid", "meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise error(
            RuntimeError, "meshgrid", 'meshgrid: indexing must be one of "xy" or "ij", but '
            f"received: {indexing}",
        )  # fmt: skip
    for x in given:
        if x.ndim > 1:
            raise error(
                RuntimeError, "meshgrid", "meshgrid: Expected 0D or 1D tensor in the tensor "
                f"list but got: shape {tuple(x.shape)}",
            )  # fmt: skip
        if x.dtype is not given[0].dtype:
            raise error(
                RuntimeError,
                "meshgrid",
                "meshgrid expects all tensors to have the same dtype",
            )
        if x.device != given[0].device:
            raise error(
                RuntimeError,
                "meshgrid",
                "meshgrid expects all tensors to have the same device",
            )
    swapped = indexing == "xy" and len(given) > 1
    if swapped:
        given[:2] = given[1], given[0]
    shape = tuple([x.numel() for x in given])
    grids = []
    for place, x in enumerate(given):
        alone = [n if d == place else 1 for d, n in enumerate(shape)]
        grids.append(expand_op.entry(reshape(x, alone), size=shape))
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


# -- in place -------------------------------------------------------------------------------


def become(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Gives a tensor the geometry of a view of itself, and the history that goes with it.

    Raises:
        RuntimeError: The tensor is a leaf that requires grad.
    """
    from .._modes import STATE
    from .._writes import check_history_writable

    if STATE.get().grad and x.requires_grad:
        check_history_writable(x)
    storage_of(x)
    before = object.__new__(type(x))
    names = [n for cls in type(x).__mro__ for n in getattr(cls, "__slots__", ())]
    for name in names:
        if name not in ("__dict__", "__weakref__", "_grad") and hasattr(x, name):
            setattr(before, name, getattr(x, name))
    after = change(before)
    for name in names:
        if name not in ("__dict__", "__weakref__", "_grad", "_view") and hasattr(after, name):
            setattr(x, name, getattr(after, name))
    # A tensor that owns its memory goes on owning it; a view stays one of the same base.
    x._view = None if before._view is None else after._view
    return x


def inplace_view(name: str, function: Callable[..., Tensor]) -> None:
    """Makes `name`, which gives a tensor the geometry of its view `function`."""

    def writing(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become(self, lambda x: function(x, *args, **kwargs))

    writing.__name__ = writing.__qualname__ = name
    writing.__doc__ = f"In-place version of `{name[:-1]}`: changes the tensor's own geometry."
    method(name, writing)


inplace_view("squeeze_", squeeze)
inplace_view("unsqueeze_", unsqueeze)
inplace_view("transpose_", transpose)
inplace_view("swapaxes_", transpose)
inplace_view("swapdims_", transpose)
inplace_view("t_", t)


def detach_(self: Tensor) -> Tensor:
    """Takes the tensor's history away.

    Raises:
        RuntimeError: The tensor is a view.
    """
    if self._view is not None:
        raise error(
            RuntimeError, "detach_", "Can't detach views in-place. Use detach() instead.",
        )  # fmt: skip
    self._node, self._req = None, False
    return self


method("detach_", detach_)
export("detach_", detach_)
