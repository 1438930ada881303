"""`rushlight.utils.hooks`: the handle that every `register_*_hook` returns."""

from .._hooks import RemovableHandle as RemovableHandle
