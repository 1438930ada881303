"""`rushlight.func`: function transforms."""

from ._apis import functional_call as functional_call
from ._apis import grad as grad
from ._apis import grad_and_value as grad_and_value
from ._apis import jvp as jvp
from ._apis import vjp as vjp
from ._apis import vmap as vmap
from ._capture import Program as Program
from ._capture import capture as capture
