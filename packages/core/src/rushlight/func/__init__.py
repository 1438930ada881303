"""`rushlight.func`: function transforms."""

from ._apis import functional_call as functional_call
from ._apis import grad as grad
from ._apis import grad_and_value as grad_and_value
from ._apis import jvp as jvp
from ._apis import vjp as vjp
from ._apis import vmap as vmap
from ._capture import Program as Program
from ._capture import capture as capture
from ._jacobians import hessian as hessian
from ._jacobians import jacfwd as jacfwd
from ._jacobians import jacrev as jacrev
from ._jacobians import linearize as linearize
from ._jacobians import stack_module_state as stack_module_state
