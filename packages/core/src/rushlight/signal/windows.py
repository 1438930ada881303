"""`rushlight.signal.windows`: the public functions of this namespace; they are made in `_ops`."""

from .._ops import install

install(globals(), "signal.windows")
