"""`rushlight.autograd.graph`: the recorded graph, and hooks on what it saves."""

from .._autograd.hooks import disable_saved_tensors_hooks as disable_saved_tensors_hooks
from .._autograd.hooks import get_gradient_edge as get_gradient_edge
from .._autograd.hooks import increment_version as increment_version
from .._autograd.hooks import register_multi_grad_hook as register_multi_grad_hook
from .._autograd.hooks import save_on_cpu as save_on_cpu
from .._autograd.hooks import saved_tensors_hooks as saved_tensors_hooks
from .._node import GradientEdge as GradientEdge
from .._node import Node as Node
