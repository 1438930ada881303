"""`rushlight.autograd.functional`: Jacobians and products with them, through the engine."""

from .._autograd.functional import hessian as hessian
from .._autograd.functional import hvp as hvp
from .._autograd.functional import jacobian as jacobian
from .._autograd.functional import jvp as jvp
from .._autograd.functional import vhp as vhp
from .._autograd.functional import vjp as vjp
