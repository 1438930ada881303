"""`rushlight.special`: the public functions of this namespace; their stories stand in `_ops`.

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
from typing import Any, Literal

import numpy as _numpy
from .._device import device as Device
from .._dtypes import DType as DType
from .._generator import Generator as Generator
from .._layout import layout as layout
from .._layout import memory_format as memory_format
from .._size import Size as Size
from .._storage import Storage as Storage
from .._tensor.tensor import Tensor as Tensor

def log_softmax(input: Tensor, dim: _int, *, dtype: DType | None = None) -> Tensor: ...
def softmax(input: Tensor, dim: _int, *, dtype: DType | None = None) -> Tensor: ...
