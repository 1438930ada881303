"""Memory by hand: as_strided, resize_, set_, and copies under the names of views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import error
from .._operator import view_operator
from .._registered import operators
from .._storage import Storage
from .._tensor.construction import from_host
from .._tensor.tensor import Tensor, contiguous_strides, storage_of, strides_of
from . import shaping
from ._batching import front
from ._geometry import Geometry, shape_of, sizes_of
from ._indexed import zeros
from ._making import unfilled
from ._public import METHODS, method, public, resize
from .views import expand, permute, reshape, transpose, view

# The strides and offset of what was viewed are attributes: only from them follows which element
# of the input each element of the view is, and derivatives have other strides.
as_strided_op = view_operator(
    "as_strided(Tensor(a) x, *, int[] size, int[] stride, int offset, int[] of_stride, "
    "int of_offset) -> Tensor(a)"
)
_as_view = as_strided_op.entry


@as_strided_op.view
def _(
    shape: Any, strides: Any, start: int, *, size: Any, stride: Any, offset: int, **of: Any
) -> Geometry:
    return size, stride, offset


def _entry(x: Tensor, **attributes: Any) -> Tensor:
    """A view where the input lies as it did, else the elements that would be seen."""
    same = tuple(strides_of(x)) == attributes["of_stride"] and x._offset == attributes["of_offset"]
    return _as_view(x, **attributes) if same else _gathered(x, **attributes)


as_strided_op.entry = _entry


def _positions(shape: Any, strides: Any, offset: int) -> np.ndarray[Any, Any]:
    """Places in the storage of all elements of a geometry, in order."""
    places = np.full((1,), offset, np.int64)
    for n, step in zip(shape, strides, strict=True):
        places = (places[:, None] + np.arange(n, dtype=np.int64) * step).reshape(-1)
    return places


def _places(shape: Any, a: dict[str, Any], x: Tensor) -> tuple[Tensor, Tensor, int, Any]:
    """Places of the input's elements and the view's, counted from the first, and how many."""
    inner = _positions(shape, a["of_stride"], a["of_offset"])
    outer = _positions(a["size"], a["stride"], a["offset"])
    everything = np.concatenate([inner, outer])
    low = int(everything.min()) if everything.size else 0
    span = int(everything.max()) - low + 1 if everything.size else 0
    counts = np.bincount(inner - low, minlength=span)[inner - low] if inner.size else inner
    overlap = counts if inner.size and counts.max() > 1 else None

    def at(places: np.ndarray[Any, Any]) -> Tensor:
        return from_host(places - low, x.device, copy=False)

    return at(inner), at(outer), span, overlap


def _gathered(x: Tensor, **a: Any) -> Tensor:
    """The elements that `as_strided` would show if the tensor lay in memory as the original did."""
    inner, outer, span, overlap = _places(tuple(x.shape), a, x)
    values = reshape(x, -1)
    if overlap is not None:
        values = values / from_host(overlap, x.device, copy=False)
    memory = operators["index_add"](zeros((span,), x), inner, values, dim=0)
    return reshape(operators["index_select"](memory, outer, dim=0), a["size"])


@as_strided_op.vjp
def _(
    g: Tensor, *, x_shape: Any, size: Any, stride: Any, offset: int, of_stride: Any, of_offset: int
) -> Tensor:
    a = {"size": size, "stride": stride, "offset": offset}
    a |= {"of_stride": of_stride, "of_offset": of_offset}
    inner, outer, span, overlap = _places(x_shape, a, g)
    memory = operators["index_add"](zeros((span,), g), outer, reshape(g, -1), dim=0)
    found = operators["index_select"](memory, inner, dim=0)
    if overlap is not None:
        found = found / from_host(overlap, g.device, copy=False)
    return reshape(found, x_shape)


@as_strided_op.batching
def _(
    inputs: Any, bdims: Any, *, size: Any, stride: Any, offset: int, of_stride: Any, of_offset: int
) -> Any:
    x = front(inputs[0], bdims[0])
    steps = strides_of(x)
    return as_strided_op(
        x, size=(x.shape[0], *size), stride=(steps[0], *stride), offset=offset,
        of_stride=(steps[0], *of_stride), of_offset=of_offset,
    ), 0  # fmt: skip


def _scatter(x: Tensor, src: Tensor, **attributes: Any) -> Tensor:
    """A copy of a tensor, laid out as it, with a value where `as_strided` looks."""
    inner, outer, span, _ = _places(tuple(x.shape), attributes, x)
    memory = operators["index_copy"](zeros((span,), x), inner, reshape(x, -1), dim=0)
    values = reshape(src if src.dtype is x.dtype else src.to(x.dtype), -1)
    memory = operators["index_copy"](memory, outer, values, dim=0)
    return reshape(operators["index_select"](memory, inner, dim=0), tuple(x.shape))


as_strided_op.scatter(_scatter)


def _attributes(x: Tensor, size: Any, stride: Any, storage_offset: Any, who: str) -> dict[str, Any]:
    """The attributes of a call, checked."""
    sizes, steps = sizes_of((tuple(size),)), sizes_of((tuple(stride),))
    if len(sizes) != len(steps):
        raise error(
            RuntimeError, who, "mismatch in length of strides and shape",
            given=f"size={list(sizes)}, stride={list(steps)}",
        )  # fmt: skip
    if any(step < 0 for step in steps):
        raise error(
            RuntimeError,
            who,
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(steps)}",
        )
    storage = storage_of(x)
    start = x._offset if storage_offset is None else int(storage_offset)
    if start < 0:
        raise error(RuntimeError, who, f"Tensor: invalid storage offset {start}")
    last = start + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
    if 0 not in sizes and not x.is_meta and (last + 1) * x.itemsize > storage.nbytes():
        raise error(
            RuntimeError,
            who,
            f"setStorage: sizes {list(sizes)}, strides {list(steps)}, storage offset {start}, and "
            f"itemsize {x.itemsize} requiring a storage size of {(last + 1) * x.itemsize} are out "
            f"of bounds for storage of size {storage.nbytes()}",
        )
    return {
        "size": sizes, "stride": steps, "offset": start,
        "of_stride": tuple(strides_of(x)), "of_offset": x._offset,
    }  # fmt: skip


@public()
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of a tensor's memory with any sizes, strides and offset.

    Args:
        input: The tensor.
        size: Sizes of the view.
        stride: Strides in elements; elements may be shown more than once.
        storage_offset: Place of the first element, that of `input` by default.
    Raises:
        RuntimeError: The view would reach beyond the memory.
    Example:
        >>> rushlight.as_strided(rushlight.arange(4), (3, 2), (1, 1))
        tensor([[0, 1],
                [1, 2],
                [2, 3]])
    """
    attributes = _attributes(input, size, stride, storage_offset, "as_strided")
    return as_strided_op(input, **attributes)  # type: ignore[no-any-return]


shaping.inplace_view("as_strided_", as_strided)


@public(methods=False, out=True)
def as_strided_copy(
    input: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of what `as_strided` shows."""
    return operators["clone"](as_strided(input, size, stride, storage_offset))  # type: ignore[no-any-return]


@public(out=True)
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of a tensor with `src` where `as_strided` would look.

    Raises:
        RuntimeError: The shape of `src` is not `size`.
    """
    attributes = _attributes(input, size, stride, storage_offset, "as_strided_scatter")
    if tuple(src.shape) != attributes["size"]:
        raise error(
            RuntimeError,
            "as_strided_scatter",
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(attributes['size'])}",
        )
    return _scatter(input, src, **attributes)


# -- parts replaced -------------------------------------------------------------------------


def _check_part(who: str, part: Tensor, src: Tensor) -> None:
    if tuple(part.shape) != tuple(src.shape):
        raise error(
            RuntimeError,
            who,
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(part.shape)}",
        )


@public(out=True)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of a tensor with `src` at one index of a dimension.

    Raises:
        IndexError: There is no such dimension or index.
        RuntimeError: `src` has another shape than `input.select(dim, index)`.
    Example:
        >>> rushlight.select_scatter(rushlight.zeros(2, 2), rushlight.ones(2), 0, 0)
        tensor([[1., 1.],
                [0., 0.]])
    """
    part = shaping.select(input, dim, index)
    _check_part("select_scatter", part, src)
    dim %= input.ndim
    rule: Any = operators["select"].scatter_rule
    return rule(input, src, dim=dim, index=index % input.shape[dim])  # type: ignore[no-any-return]


@public(out=True)
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of a tensor with `src` in the place of a slice along a dimension.

    Raises:
        IndexError: There is no such dimension.
        RuntimeError: `src` has another shape than the slice, or `step` is not positive.
    Example:
        >>> rushlight.slice_scatter(rushlight.zeros(4), rushlight.ones(2), start=1, end=3)
        tensor([0., 1., 1., 0.])
    """
    from ._geometry import check_dim

    dim = check_dim("slice_scatter", dim, input.ndim)
    if step <= 0:
        raise error(
            RuntimeError, "slice_scatter", "slice step must be positive", given=f"step={step}"
        )
    first, stop, _ = slice(start, end, step).indices(input.shape[dim])
    length = len(range(first, stop, step))
    attributes = {"dim": dim, "start": first, "length": length, "step": step}
    op = operators["slice"]
    _check_part("slice_scatter", op(input, **attributes), src)
    rule: Any = op.scatter_rule
    return rule(input, src, **attributes)  # type: ignore[no-any-return]


# -- memory changed in place ----------------------------------------------------------------


def _check_no_history(who: str, x: Tensor, what: str) -> None:
    if getattr(x, "is_level_tensor", False):
        raise error(
            RuntimeError, who, "the memory of a tensor inside a transform can't be changed",
            fix="use the operator that returns a new tensor",
        )  # fmt: skip
    if x.requires_grad:
        raise error(
            RuntimeError, who, f"cannot {what} variables that require grad",
            fix="use x.detach(), or the operator that returns a new tensor",
        )  # fmt: skip


@public(function=False)
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape; elements keep their places in memory, new ones are not set.

    Raises:
        RuntimeError: The tensor requires grad, or a size is negative.
    """
    wanted = sizes_of(sizes)
    _check_no_history("resize_", self, "resize")
    if any(n < 0 for n in wanted):
        raise error(
            RuntimeError, "resize_", "requested resize to a shape with a negative dimension",
            given=f"{list(wanted)}",
        )  # fmt: skip
    storage_of(self)
    if tuple(self.shape) != wanted:
        resize(self, wanted)
    if memory_format is not None and memory_format.strides(wanted) is not None:
        self._strides, self._a = memory_format.strides(wanted), None
    return self


@public(function=True)
def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`input.resize_(the_template.shape)`."""
    return resize_(input, tuple(the_template.shape), memory_format=memory_format)


@public(function=False)
def set_(
    self: Tensor,
    source: Any = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """Makes the tensor lie over the memory of another tensor, or over a storage.

    Args:
        source: A tensor or a storage; nothing makes the tensor empty.
        storage_offset: Place of the first element.
        size: Sizes, those of `source` by default.
        stride: Strides, row-major by default.
    Raises:
        RuntimeError: Another dtype or device.
    """
    _check_no_history("set_", self, "set_")
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    if source is None:
        storage = storage_of(unfilled((0,), None, self._k))
        offset, shape, steps = 0, (0,), (1,)
    elif isinstance(source, Tensor):
        if source.dtype is not self.dtype or source.device != self.device:
            raise error(
                RuntimeError, "set_", f"Could not set tensor of type {source.dtype.name} on "
                f"{source.device} to a tensor of type {self.dtype.name} on {self.device}",
            )  # fmt: skip
        storage = storage_of(source)
        offset = source._offset if size is None else storage_offset
        shape = tuple(shape_of(source)) if size is None else sizes_of((tuple(size),))
        steps = tuple(strides_of(source)) if size is None else _steps(shape, stride)
    elif isinstance(source, Storage):
        storage, offset = source, storage_offset
        count = source.nbytes() // self.itemsize - storage_offset
        shape = (count,) if size is None else sizes_of((tuple(size),))
        steps = _steps(shape, stride)
    else:
        raise error(
            TypeError, "set_", f"expected a Tensor or a storage, got {type(source).__name__}"
        )
    self._storage, self._offset, self._shape, self._strides = storage, offset, shape, steps
    self._a = self._view = self._node = None
    return self


def _steps(shape: tuple[int, ...], stride: Any) -> tuple[int, ...]:
    return contiguous_strides(shape) if stride is None or not tuple(stride) else tuple(stride)


# -- copies under the names of views --------------------------------------------------------


def _copy_form(name: str, function: Callable[..., Tensor]) -> None:
    """`permute_copy` and its relatives: what a view shows, in memory of its own."""

    def copying(input: Tensor, *args: Any, **keywords: Any) -> Tensor:
        return operators["clone"](function(input, *args, **keywords))  # type: ignore[no-any-return]

    copying.__name__ = copying.__qualname__ = name
    copying.__doc__ = f"A copy of what `{name[:-5]}` shows."
    public(methods=False, out=True)(copying)


for _name, _function in (
    ("alias_copy", lambda input: input),
    ("expand_copy", lambda input, size, *, implicit=False: expand(input, size)),
    ("permute_copy", permute),
    ("view_copy", view),
    ("transpose_copy", transpose),
    ("t_copy", shaping.t),
    ("squeeze_copy", shaping.squeeze),
    ("unsqueeze_copy", shaping.unsqueeze),
    ("select_copy", shaping.select),
    ("unfold_copy", lambda *args, **keywords: METHODS["unfold"](*args, **keywords)),
    ("diagonal_copy", lambda *args, **keywords: METHODS["diagonal"](*args, **keywords)),
):
    _copy_form(_name, _function)


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors are the same view of the same memory."""
    return (
        storage_of(self) is storage_of(tensor)
        and self._offset == tensor._offset
        and tuple(self.shape) == tuple(tensor.shape)
        and tuple(strides_of(self)) == tuple(strides_of(tensor))
    )


method("is_set_to", is_set_to)
