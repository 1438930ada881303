"""`rushlight.signal.windows`: the public functions of this namespace; they are made in `_ops`.

Written by tools/interface.py; not edited by hand.
"""

import builtins as _builtins
from builtins import bool as _bool
from builtins import complex as _complex
from builtins import float as _float
from builtins import int as _int
from builtins import object as _object
from builtins import type as _type
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, SupportsIndex
from typing import overload as _overload

import numpy as _numpy
from rushlight._device import device as Device
from rushlight._dtypes import DType
from rushlight._generator import Generator
from rushlight._hooks import RemovableHandle
from rushlight._layout import layout
from rushlight._layout import memory_format
from rushlight._size import Size
from rushlight._storage import Storage
from rushlight._tensor.tensor import Tensor

def bartlett(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def blackman(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def cosine(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def exponential(M: _int, *, center: _float | None = None, tau: _float = ..., sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def gaussian(M: _int, *, std: _float = ..., sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def general_cosine(M: _int, *, a: Sequence[_float], sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def general_hamming(M: _int, *, alpha: _float = ..., sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def hamming(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def hann(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def kaiser(M: _int, *, beta: _float = ..., sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
def nuttall(M: _int, *, sym: _bool = True, dtype: DType | None = None, layout: Any = ..., device: Any = None, requires_grad: _bool = False) -> Tensor: ...
