"""The module `cupy` itself: arrays, ufuncs and functions."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from . import cuda as cuda
from . import lacks
from .cupyx import STATE

__version__ = "14.2.0"
Host = np.ndarray[Any, Any]


def get_default_memory_pool() -> cuda.Pool:
    return cuda.pool


def unwrap(x: Any) -> Any:
    """Host arrays of ours; a host array of somebody else is refused, as CuPy refuses it."""
    if isinstance(x, ndarray):
        return x.host
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, (list, tuple)):
        return type(x)(unwrap(item) for item in x)
    return x


def wrap(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(wrap(item) for item in x)
    if isinstance(x, list):
        return [wrap(item) for item in x]
    if isinstance(x, (np.ndarray, np.generic)):
        made = ndarray.__new__(ndarray)
        made.host = np.asarray(x)
        return made
    return x


class ndarray:
    """An array on the device."""

    host: Host
    __array_ufunc__ = None

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None
    ) -> None:
        if memptr is None:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            memptr = cuda.MemoryPointer(cuda.Memory(np.empty(size, np.uint8), counted=True), 0)
        self.host = np.ndarray(shape, dtype, memptr.mem.bytes, memptr.offset, strides)
        self._pointer = memptr

    @property
    def data(self) -> cuda.MemoryPointer:
        if not hasattr(self, "_pointer"):
            base = self.host
            while isinstance(base.base, np.ndarray):
                base = base.base
            flat = base.reshape(-1) if base.flags.c_contiguous else base.ravel(order="K")
            at = self.host.ctypes.data - base.ctypes.data
            memory = cuda.Memory(flat.view(np.uint8))
            self._pointer = cuda.MemoryPointer(memory, at)
        return self._pointer

    def __array__(self, *args: Any, **kwargs: Any) -> Host:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`")

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return wrap(func(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()}))

    # -- what NumPy's arrays have too

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    itemsize = property(lambda self: self.host.itemsize)
    nbytes = property(lambda self: self.host.nbytes)
    strides = property(lambda self: self.host.strides)
    flags = property(
        lambda self: SimpleNamespace(
            c_contiguous=self.host.flags.c_contiguous, f_contiguous=self.host.flags.f_contiguous
        )
    )
    T = property(lambda self: wrap(self.host.T))
    real = property(lambda self: wrap(self.host.real))
    imag = property(lambda self: wrap(self.host.imag))

    def get(self) -> Host:
        return self.host.copy()

    def take(self, indices: Any, axis: int | None = None) -> ndarray:
        if not self.size and unwrap(indices).size:
            raise IndexError("cannot do a non-empty take from an empty axes.")
        return wrap(self.host.take(unwrap(indices), axis=axis, mode="wrap"))

    def sort(self, axis: int = -1) -> None:
        if not self.ndim:
            raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
        self.host.sort(axis=axis, kind="stable")

    def partition(self, kth: int, axis: int = -1) -> None:
        self.host.partition(kth, axis=axis)

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None,
        copy: bool = True,
    ) -> ndarray:  # fmt: skip
        return wrap(self.host.astype(dtype, order=order, copy=copy))  # type: ignore[call-overload]

    def _wrapped(self, key: Any) -> Any:
        """A subscript whose index arrays are brought into range."""
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(unwrap(part) for part in parts)
        if builtins.any(isinstance(part, list) for part in parts):
            raise TypeError("Lists are no subscripts")
        taken = builtins.sum(
            part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1
            for part in parts
            if part is not None and part is not Ellipsis
        )
        found, d = [], 0
        for part in parts:
            if part is Ellipsis:
                d += self.ndim - taken
            elif part is not None:
                if isinstance(part, np.ndarray) and part.dtype == bool:
                    d += part.ndim - 1
                elif isinstance(part, np.ndarray) and self.shape[d]:
                    part = part % self.shape[d]
                d += 1
            found.append(part)
        return tuple(found)

    def __getitem__(self, key: Any) -> ndarray:
        return wrap(self.host[self._wrapped(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.host[self._wrapped(key)] = unwrap(value)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __index__(self) -> int:
        return operator.index(self.host.item())

    def __float__(self) -> float:
        return float(self.host)

    def __complex__(self) -> complex:
        return complex(self.host)

    def __repr__(self) -> str:
        return f"standin({self.host!r})"


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return wrap(
            getattr(self.host, name)(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()})
        )

    return method


for _name in """reshape view copy transpose swapaxes conj sum prod max min any all argmax argmin
             ravel squeeze item tolist nonzero cumsum fill dot""".split():
    setattr(ndarray, _name, _method(_name))
for _name in """add sub mul truediv floordiv mod pow and or xor lshift rshift eq ne lt le gt ge
             matmul neg abs invert pos radd rsub rmul rtruediv rfloordiv rmod rpow rand ror rxor
             rlshift rrshift""".split():
    setattr(ndarray, f"__{_name}__", _method(f"__{_name}__"))


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def method(self: ndarray, other: Any) -> ndarray:
        self.host = function(self.host, unwrap(other))
        return self

    return method


for _name in "iadd isub imul itruediv iand ior ixor ilshift irshift".split():
    setattr(ndarray, f"__{_name}__", _in_place(_name))


class ufunc:
    """One of CuPy's ufuncs."""

    def __init__(self, theirs: np.ufunc) -> None:
        self.theirs = theirs
        self.__name__ = theirs.__name__

    def __call__(self, *args: Any, out: Any = None) -> Any:
        for x in args:
            dtype = x.dtype if isinstance(x, ndarray) else None
            if dtype is None:
                continue
            absent = dtype.kind == "c" and self.__name__ in lacks.COMPLEX
            if absent or (dtype == ml_dtypes.bfloat16 and self.__name__ in lacks.BFLOAT16):
                raise TypeError(f"cupy_{self.__name__} has no loop for {dtype}")
        if out is not None:
            self.theirs(*unwrap(args), out=out.host)
            return out
        return wrap(self.theirs(*unwrap(args)))

    def reduce(
        self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        return wrap(self.theirs.reduce(array.host, axis, dtype, None, keepdims))

    def outer(self, x: ndarray, y: ndarray) -> ndarray:
        return wrap(self.theirs.outer(x.host, y.host))

    def at(self, *args: Any) -> None:
        raise NotImplementedError(f"`cupy_{self.__name__}.at` is not to be used")


def where(condition: Any, x: Any, y: Any) -> ndarray:
    for operand in (x, y):
        if getattr(operand, "dtype", None) == ml_dtypes.bfloat16:
            raise TypeError("cupy_where has no loop for bfloat16")
    return wrap(np.where(unwrap(condition), unwrap(x), unwrap(y)))


def any(a: ndarray, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    assert a.dtype != ml_dtypes.bfloat16
    return wrap(np.any(a.host, axis=axis, keepdims=keepdims))


def all(a: ndarray, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    assert a.dtype != ml_dtypes.bfloat16
    return wrap(np.all(a.host, axis=axis, keepdims=keepdims))


def argsort(a: ndarray, axis: int = -1, kind: str | None = None) -> ndarray:
    assert kind in (None, "stable")
    if a.dtype == ml_dtypes.bfloat16:
        raise TypeError("Sorting arrays of dtype bfloat16 is not supported")
    return wrap(np.argsort(a.host, axis=axis, kind="stable"))


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def array(obj: Any, dtype: Any = None) -> ndarray:
    made = np.array(obj.host if isinstance(obj, ndarray) else obj, dtype)
    counted = ndarray(made.shape, made.dtype)
    counted.host[...] = made
    return counted


def asarray(a: Any, dtype: Any = None) -> ndarray:
    return wrap(np.asarray(a.host if isinstance(a, ndarray) else a, dtype))


def _function(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return wrap(theirs(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()}))

    return function


def _checked(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def function(x: ndarray, *args: Any, **kwargs: Any) -> Any:
        if x.dtype.itemsize < 4:
            raise TypeError("float16 is unsupported in linalg")
        try:
            return wrap(theirs(x.host, *unwrap(args), **kwargs))
        except np.linalg.LinAlgError:
            if STATE["linalg"] == "raise":
                raise
            return wrap(np.full_like(x.host, np.nan))

    return function


for _name in "float32 float64 int32 int64 uint32 uint64 bool_ uint8".split():
    globals()[_name] = getattr(np, _name)
for _name in """arange argmax argmin ascontiguousarray bincount broadcast_arrays broadcast_to
             concatenate copyto cumprod cumsum diagonal empty_like eye flip full full_like matmul
             max min moveaxis nonzero ones ones_like outer roll searchsorted sort stack
             take_along_axis transpose tril zeros zeros_like sum prod""".split():
    globals()[_name] = _function(getattr(np, _name))
for _name in dir(np):
    if isinstance(getattr(np, _name), np.ufunc) and _name not in globals():
        globals()[_name] = ufunc(getattr(np, _name))
linalg = SimpleNamespace(
    **{
        name: _checked(getattr(np.linalg, name))
        for name in "cholesky det eig eigh eigvals eigvalsh inv qr slogdet solve svd".split()
    }
)
fft = SimpleNamespace(
    **{name: _function(getattr(np.fft, name)) for name in "fftn ifftn irfftn rfftn".split()}
)
