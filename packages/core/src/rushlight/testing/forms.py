"""Checks of what `_public` derives from an operator: the in-place form and `out=`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .. import _dtypes
from .._autograd.engine import grad
from .._device import device as Device
from .._dispatch import detached
from .._dtypes import DType, can_cast
from .._operator import operators
from .._ops import METHODS, PUBLIC
from .._tensor.construction import from_host
from .._tensor.tensor import Tensor, storage_of
from .checks import arguments, assert_same, host_of, is_smooth, run
from .samples import Sample
