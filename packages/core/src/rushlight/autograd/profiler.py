"""`rushlight.autograd.profiler`: the name under which programs find `record_function`."""

from .._profiling import record_function as record_function

__all__ = ["record_function"]
