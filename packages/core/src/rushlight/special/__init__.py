"""`rushlight.special`: the public functions of this namespace; their stories stand in `_ops`."""

from .._ops import install

install(globals(), "special")
