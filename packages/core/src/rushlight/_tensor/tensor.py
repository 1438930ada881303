"""Tensor: what it holds, and the parts of its interface that no operator provides.

A tensor is (storage, offset, shape, strides) on a `Kind`, which is its device and dtype.  A fresh
result is only a native array: shape, strides and storage are filled in when somebody asks.  A view
is only geometry: its native array is made when a kernel asks.
"""

from __future__ import annotations

from typing import Any

from .._device import device
from .._dtypes import DType
from .._errors import error
from .._modes import STATE, with_modes
from .._size import Size
from .._storage import Storage
from ..backend import Kind
from ._methods import TensorMethods

_new = object.__new__


class Tensor(TensorMethods):
    """A multi-dimensional array of one dtype on one device.

    Make tensors with `rushlight.tensor`, `rushlight.zeros` and the like; `Tensor(2, 3)` makes an
    uninitialised one and `Tensor([1, 2])` one of the default dtype, as in torch.

    Example:
        >>> rushlight.tensor([[1, 2], [3, 4]]).sum()
        tensor(10)
    """

    __slots__ = (
        "__dict__", "__weakref__", "_a", "_grad", "_k", "_node", "_offset", "_req",
        "_shape", "_storage", "_strides", "_view",
    )  # fmt: skip

    _a: Any
    _k: Kind
    _req: bool
    _node: Any
    _offset: int
    _shape: Any
    _storage: Storage | None
    _strides: tuple[int, ...] | None
    _view: Any
    _grad: Tensor | None

    def __init_subclass__(cls, *, plain: bool = False, **keywords: Any) -> None:
        """Notes a subclass; a `plain` one, such as Parameter, overrides no operator and takes the
        fast way through dispatch."""
        super().__init_subclass__(**keywords)
        if plain:
            PLAIN.add(cls)

    @classmethod
    def __rushlight_function__(
        cls, func: Any, types: tuple[type, ...], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """What a subclass may override: gets every call with one of its tensors among the inputs.

        By default the call goes through and its results become tensors of the subclass.
        """
        with with_modes(overrides=False):
            result = func(*args, **(kwargs or {}))
        return _as_subclass(result, cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        from .construction import legacy_tensor

        return legacy_tensor(cls, *args, **kwargs)

    # -- geometry ------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Size of each dimension."""
        shape = self._shape
        if shape.__class__ is not Size:
            shape = self._shape = Size(self._a.shape if shape is None else shape)
        return shape

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        shape = tuple(self.shape)  # items of a plain tuple are reached faster
        if not -max(len(shape), 1) <= dim < max(len(shape), 1) or not shape:
            raise error(
                IndexError,
                "size",
                f"Dimension out of range (expected to be in range of "
                f"[{-max(len(shape), 1)}, {max(len(shape), 1) - 1}], but got {dim})",
                given=f"x of shape {tuple(shape)}, dim={dim}",
            )
        return shape[dim]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    ndimension = dim

    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """Strides in elements, or that of one dimension."""
        strides = strides_of(self)
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Position of the first element in the storage, in elements."""
        storage_of(self)
        return self._offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in order, without gaps."""
        if memory_format is not None and memory_format.name != "contiguous_format":
            return bool(memory_format.matches(self.shape, strides_of(self)))
        return dense(self.shape, strides_of(self))

    # -- kind ----------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return self._k.dtype

    @property
    def device(self) -> device:
        """Where the elements lie."""
        return self._k.device

    def get_device(self) -> int:
        """Index of the device, -1 for a device without index."""
        index = self._k.device.index
        return -1 if index is None else index

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._k.dtype.itemsize

    def element_size(self) -> int:
        """Bytes per element."""
        return self._k.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements together."""
        return self.numel() * self._k.dtype.itemsize

    @property
    def is_meta(self) -> bool:
        """Whether there is a shape but no data."""
        return self._k.is_meta

    @property
    def is_cpu(self) -> bool:
        """Whether the elements lie in the host's memory."""
        return self._k.device.type == "cpu"

    @property
    def is_sparse(self) -> bool:
        """False: all tensors are strided."""
        return False

    is_quantized = is_sparse_csr = is_mkldnn = is_sparse
    is_nested = is_sparse

    @property
    def layout(self) -> Any:
        """Always `rushlight.strided`."""
        from .._layout import strided

        return strided

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point type."""
        return self._k.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self._k.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative values."""
        return self._k.dtype.is_signed

    def is_conj(self) -> bool:
        """False: conjugation is never delayed."""
        return False

    is_neg = is_inference = is_conj

    def resolve_conj(self) -> Tensor:
        """The tensor: conjugation is never delayed."""
        return self

    resolve_neg = resolve_conj

    # -- memory --------------------------------------------------------------------------

    def untyped_storage(self) -> Storage:
        """The memory under the tensor."""
        return storage_of(self)

    storage = untyped_storage

    def data_ptr(self) -> int:
        """An integer that is the same for the same memory."""
        return storage_of(self).data_ptr() + self._offset * self.itemsize if self.numel() else 0

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the tensor lies in host memory that an accelerator reads by itself."""
        from .pinning import is_pinned_array

        return is_pinned_array(native_of(self)) if self.is_cpu else False

    def pin_memory(self, device: Any = None) -> Tensor:
        """A copy in host memory that an accelerator reads by itself.

        Args:
            device: Which accelerator; by default the current one.
        Returns:
            The copy; the tensor itself if it lies there, or the accelerator has no such memory.
        Raises:
            RuntimeError: The tensor is not in host memory, or there is no accelerator.
        """
        from .pinning import pinned_copy

        return pinned_copy(self, device)

    def record_stream(self, stream: Any) -> None:
        """Says that another stream uses the tensor: its memory is not given away before that has
        run.

        Args:
            stream: A `rushlight.Stream`.
        """
        from ..backend._duties import has_duty

        runtime: Any = self._k.runtime
        if has_duty(runtime, "stream memory"):
            runtime.record_stream(storage_of(self).buffer, stream.native_handle)

    @property
    def _version(self) -> int:
        return version_of(self)

    @property
    def _base(self) -> Tensor | None:
        return base_of(self)

    def _is_view(self) -> bool:
        return self._view is not None

    # -- autograd ------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operators on this tensor are recorded."""
        if self._view is not None:
            refreshed(self)
        return self._req

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Starts or stops the recording of operators on this tensor.

        Raises:
            RuntimeError: The dtype has no derivatives, or the tensor is the result of a recorded
                call (use `detach` there).
        """
        if requires_grad and not self._k.dtype.is_inexact:
            raise error(
                RuntimeError,
                "requires_grad_",
                "only Tensors of floating point and complex dtype can require gradients",
                given=f"x of dtype {self._k.dtype}",
                fix="convert it first, for example x.to(rushlight.float32)",
            )
        if not requires_grad and self._node is not None:
            raise error(
                RuntimeError,
                "requires_grad_",
                "you can only change requires_grad flags of leaf variables",
                given="a result of a recorded call",
                fix="use x.detach() for a tensor that is not recorded",
            )
        if getattr(self, "is_level_tensor", False):
            raise error(
                RuntimeError,
                "requires_grad_",
                "You are attempting to call Tensor.requires_grad_() inside of a function being "
                "transformed by vmap or jvp",
                fix="use rushlight.func.grad for gradients inside a transform",
            )
        self._req = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded call made this tensor."""
        if self._view is not None:
            refreshed(self)
        return self._node is None

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, None before the first backward."""
        try:
            return self._grad
        except AttributeError:
            return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            _check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def grad_fn(self) -> Any:
        """The recorded call that made this tensor, None for a leaf."""
        if self._view is not None:
            refreshed(self)
        node = self._node
        return getattr(node, "node", node) if node.__class__ is not None.__class__ else None

    @property
    def output_nr(self) -> int:
        """Which result of `grad_fn` this is."""
        return getattr(self._node, "index", 0)

    @property
    def data(self) -> Tensor:
        """The same memory without history; assigning another tensor takes its memory over.

        Its writes are not counted: autograd does not notice them, as in torch.
        """
        if getattr(self, "is_level_tensor", False):
            return self.detached()  # type: ignore[attr-defined, no-any-return]
        storage = storage_of(self)
        if STATE.get().recorder is None:
            storage = Storage(storage.runtime, storage.native, storage._buffer)
        # `_shape`, not `shape`: a lazy parameter has memory but tells no shape.
        made = over(self._k, storage, self._offset, tuple(self._shape), strides_of(self))
        made._a = self._a
        return made

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise error(TypeError, "data", f"expected a Tensor, got {type(value).__name__}")
        node, view = self._node, self._view
        share(self, value)
        self._node, self._view = node, view

    # -- Python --------------------------------------------------------------------------

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of a 0-d tensor")
        return shape[0]

    def __repr__(self) -> str:
        from .printing import tensor_repr

        return tensor_repr(self)

    def __hash__(self) -> int:
        return id(self)

    @classmethod
    def _make_subclass(cls, subclass: Any, data: Tensor, require_grad: bool = False) -> Any:
        """A tensor of a subclass that shares the memory of `data`, detached from its history."""
        made = _new(subclass)
        share(made, data)
        made._req = False
        if require_grad:
            made.requires_grad_(True)
        return made

    def as_subclass(self, cls: Any) -> Any:
        """The same data and history as a tensor of a subclass."""
        made = _new(cls)
        share(made, self)
        made._req, made._node, made._view = self._req, self._node, self._view
        return made


#: Classes whose operators need no look at overrides or levels; `Parameter` joins.
PLAIN: set[Any] = {Tensor}


def _as_subclass(result: Any, cls: Any) -> Any:
    if isinstance(result, tuple):
        parts = [_as_subclass(item, cls) for item in result]
        fields = getattr(result, "_make", None)
        return tuple(parts) if fields is None else fields(parts)
    return result.as_subclass(cls) if type(result) is Tensor else result


def _check_grad(x: Tensor, grad: Any) -> None:
    if not isinstance(grad, Tensor):
        raise error(
            TypeError,
            "grad",
            f"assigned grad expected to be a Tensor or None but got grad of type "
            f"{type(grad).__name__}",
        )
    if grad is x:
        raise error(RuntimeError, "grad", "can't assign Variable as its own grad")
    if grad.device != x.device or grad.dtype is not x.dtype:
        raise error(
            RuntimeError,
            "grad",
            "assigned grad has data of a different type",
            given=f"grad of {grad.dtype} on {grad.device}",
            expected=f"{x.dtype} on {x.device}",
        )
    if grad.shape != x.shape:
        raise error(
            RuntimeError,
            "grad",
            "assigned grad has data of a different size",
            given=f"grad of shape {tuple(grad.shape)}",
            expected=f"{tuple(x.shape)}",
        )


# -- data: the functions that everything below the interface uses ---------------------------


def fresh(kind: Kind, native: Any) -> Tensor:
    """A tensor around a native array that nothing else holds."""
    made: Tensor = _new(Tensor)
    made._k = kind
    made._a = native
    made._req = False
    made._node = None
    made._storage = None
    made._view = None
    made._shape = None
    return made


def over(
    kind: Kind,
    storage: Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> Tensor:
    """A tensor over existing storage, without history."""
    made: Tensor = _new(Tensor)
    made._k = kind
    made._a = None
    made._req = False
    made._node = None
    made._storage = storage
    made._view = None
    made._shape = shape
    made._strides = strides
    made._offset = offset
    return made


def meta_tensor(kind: Kind, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> Tensor:
    """A tensor without data."""
    steps = contiguous_strides(shape) if strides is None else strides
    return over(kind, Storage(kind.runtime, None), 0, shape, steps)


def share(made: Tensor, data: Tensor) -> None:
    """Makes a new tensor lie over the memory of another."""
    made._storage = storage_of(data)
    made._k, made._a, made._shape = data._k, data._a, data.shape
    made._strides, made._offset = strides_of(data), data._offset
    made._node = made._view = None


def native_of(x: Tensor) -> Any:
    """The native array of a tensor, made now if it is a view that no kernel has read yet."""
    native = x._a
    if native is None:
        kind = x._k
        storage = x._storage
        if kind.is_meta or storage is None:
            raise error(
                NotImplementedError,
                "meta",
                "Cannot copy out of meta tensor; no data!",
                fix="make the tensor on a device with memory, or use x.to_empty(device=...)",
            )
        strides: Any = x._strides
        native = x._a = kind.runtime.view(storage.buffer, x._offset, x._shape, strides, kind.dtype)
    return native


def storage_of(x: Tensor) -> Storage:
    """The storage under a tensor, made now if nothing needed it before."""
    storage = x._storage
    if storage is None:
        runtime, native = x._k.runtime, x._a
        storage = x._storage = Storage(runtime, native)
        x._strides = None
        x._offset = 0
        if x._shape is None:
            x._shape = native.shape
    return storage


def strides_of(x: Tensor) -> tuple[int, ...]:
    """Strides of a tensor in elements."""
    if x._storage is None:
        storage_of(x)
    strides = x._strides
    if strides is None:
        strides = x._strides = x._k.runtime.strides_of(x._a)
    return strides


def version_of(x: Tensor) -> int:
    """How often the memory under a tensor was written in place."""
    storage = x._storage
    return 0 if storage is None else storage.version


def base_of(x: Tensor) -> Tensor | None:
    """The tensor that owns the memory of a view."""
    if x._view is None:
        return None
    base: Tensor = x._view[0]
    while base._view is not None:
        base = base._view[0]
    return base


def refreshed(x: Tensor) -> bool:
    """Brings the history of a view up to date; whether it is recorded.

    After a write through one view has changed the base's history, the others still point to what
    they were made from.  They are made again from the base, step by step, when somebody looks.
    """
    parent, op, attributes, seen = x._view
    storage = x._storage
    if storage is not None and seen != storage.rewrites:
        if parent._view is not None:
            refreshed(parent)
        op.review(x, parent, attributes)
    return x._req


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a row-major tensor, in elements."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


_DENSE: dict[Any, bool] = {}
_MANY = 4096


def dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether a geometry is row-major without gaps; remembered, for programs have few of them."""
    known = _DENSE.get((shape, strides))
    if known is None:
        if len(_DENSE) >= _MANY:
            _DENSE.clear()
        known = _DENSE[shape, strides] = _is_dense(shape, strides)
    return known


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n != 1:
            if s != step:
                return False
            step *= n
    return True
