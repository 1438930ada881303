"""`rushlight.autograd`: reverse mode, its modes, hooks, custom functions and checks."""

from typing import Any

from .._autograd.engine import backward as backward
from .._autograd.engine import grad as grad
from .._autograd.function import Function as Function
from .._autograd.function import FunctionContext as FunctionContext
from .._autograd.grad_modes import detect_anomaly as detect_anomaly
from .._autograd.grad_modes import enable_grad as enable_grad
from .._autograd.grad_modes import inference_mode as inference_mode
from .._autograd.grad_modes import no_grad as no_grad
from .._autograd.grad_modes import set_detect_anomaly as set_detect_anomaly
from .._autograd.grad_modes import set_grad_enabled as set_grad_enabled
from . import function as function
from . import functional as functional
from . import graph as graph
from ._gradcheck import GradcheckError as GradcheckError
from ._gradcheck import gradcheck as gradcheck
from ._gradcheck import gradgradcheck as gradgradcheck


def __getattr__(name: str) -> Any:
    if name == "profiler":  # imported when it is wanted
        from importlib import import_module

        return import_module(f"{__name__}.profiler")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
