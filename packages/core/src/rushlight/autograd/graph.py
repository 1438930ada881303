"""`rushlight.autograd.graph`: hooks on what is saved."""

from .._autograd.hooks import save_on_cpu as save_on_cpu
from .._autograd.hooks import saved_tensors_hooks as saved_tensors_hooks
from .._node import Node as Node
