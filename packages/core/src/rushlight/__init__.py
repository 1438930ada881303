"""Rushlight: tensors and automatic differentiation on whatever hardware is at hand."""

from __future__ import annotations

import gc
import os.path
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In an editable install the nn distribution's part of this package lies elsewhere.  Wheels share
# one folder; then nothing may be added, or a folder named `rushlight` in the working directory
# would join.
if not os.path.isdir(os.path.join(os.path.dirname(__file__), "nn")):
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)

# What this imports stays; searching it for garbage would be a sixth of the time to import.
_collects = gc.isenabled()
gc.disable()
try:
    # NumPy first, from here: from the depth of the imports below it takes 30 ms longer.
    import numpy as _numpy

    from . import _ops
finally:
    if gc.get_freeze_count() == 0:
        gc.freeze()  # together with the next line: all objects count as old, nothing is searched
        gc.unfreeze()
    if _collects:
        gc.enable()

# Overflow and division by zero are answered by IEEE 754, silently as in torch.  The filter is for
# rushlight's own modules only, and costs nothing where nothing overflows.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"rushlight")

from . import autograd as autograd
from . import backend as backend
from . import fft as fft
from . import linalg as linalg
from . import ops as ops
from . import special as special
from . import utils as utils
from ._autograd.grad_modes import enable_grad as enable_grad
from ._autograd.grad_modes import inference_mode as inference_mode
from ._autograd.grad_modes import is_anomaly_enabled as is_anomaly_enabled
from ._autograd.grad_modes import is_grad_enabled as is_grad_enabled
from ._autograd.grad_modes import is_inference_mode_enabled as is_inference_mode_enabled
from ._autograd.grad_modes import no_grad as no_grad
from ._autograd.grad_modes import set_grad_enabled as set_grad_enabled
from ._autocast import autocast as autocast
from ._autocast import get_autocast_dtype as get_autocast_dtype
from ._autocast import is_autocast_enabled as is_autocast_enabled
from ._config import get_default_device as get_default_device
from ._config import get_default_dtype as get_default_dtype
from ._config import set_default_device as set_default_device
from ._config import set_default_dtype as set_default_dtype
from ._device import device as device
from ._dtypes import DType as dtype
from ._dtypes import bfloat16 as bfloat16
from ._dtypes import bool_ as bool
from ._dtypes import can_cast as can_cast
from ._dtypes import complex64 as cfloat
from ._dtypes import complex64 as complex64
from ._dtypes import complex128 as cdouble
from ._dtypes import complex128 as complex128
from ._dtypes import float16 as float16
from ._dtypes import float16 as half
from ._dtypes import float32 as float
from ._dtypes import float32 as float32
from ._dtypes import float64 as double
from ._dtypes import float64 as float64
from ._dtypes import int8 as int8
from ._dtypes import int16 as int16
from ._dtypes import int16 as short
from ._dtypes import int32 as int
from ._dtypes import int32 as int32
from ._dtypes import int64 as int64
from ._dtypes import int64 as long
from ._dtypes import promote_types as promote_types
from ._dtypes import uint8 as uint8
from ._dtypes import uint16 as uint16
from ._dtypes import uint32 as uint32
from ._dtypes import uint64 as uint64
from ._errors import OutOfMemoryError as OutOfMemoryError
from ._layout import channels_last as channels_last
from ._layout import channels_last_3d as channels_last_3d
from ._layout import contiguous_format as contiguous_format
from ._layout import layout as layout
from ._layout import memory_format as memory_format
from ._layout import preserve_format as preserve_format
from ._layout import sparse_bsc as sparse_bsc
from ._layout import sparse_bsr as sparse_bsr
from ._layout import sparse_coo as sparse_coo
from ._layout import sparse_csc as sparse_csc
from ._layout import sparse_csr as sparse_csr
from ._layout import strided as strided
from ._device_finder import install as _find_devices
from ._limits import finfo as finfo
from ._limits import iinfo as iinfo
from ._promotion import result_type as result_type
from ._preflight import preflight as preflight
from ._size import Size as Size
from ._streams import Event as Event
from ._streams import Stream as Stream
from ._tensor.printing import get_printoptions as get_printoptions
from ._tensor.printing import set_printoptions as set_printoptions
from ._tensor.tensor import Tensor as Tensor
from .backend._registry import get_num_threads as get_num_threads
from .backend._registry import set_num_threads as set_num_threads
from .serialization import load as load
from .serialization import save as save

_ops.install(globals())
_find_devices()

from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi

newaxis = None

if TYPE_CHECKING:
    from rushlight import accelerator as accelerator
    from rushlight import nn as nn
    from rushlight import optim as optim
    from rushlight import profiler as profiler
else:
    _LAZY = (
        "nn", "optim", "testing", "func", "random", "signal", "masked", "accelerator", "profiler",
    )  # fmt: skip

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            import importlib

            return importlib.import_module(f"{__name__}.{name}")
        if not name.startswith("_"):
            from . import _device_module

            if name == "get_device_module":
                return _device_module.get_device_module
            if _device_module.is_device_type(name):
                return _device_module.device_module(name)
        raise AttributeError(f"module 'rushlight' has no attribute {name!r}")
