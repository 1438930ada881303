"""`rushlight.utils.hooks`: tables of hooks, and the handle that every `register_*_hook` returns."""

from .._hooks import RemovableHandle as RemovableHandle
from .._hooks import add_hook as add_hook
