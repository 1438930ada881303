"""`rushlight.autograd.function`: custom functions and what decorates them."""

from .._autograd.function import Function as Function
from .._autograd.function import FunctionContext as FunctionCtx
from .._autograd.function import once_differentiable as once_differentiable

__all__ = ["Function", "FunctionCtx", "once_differentiable"]
