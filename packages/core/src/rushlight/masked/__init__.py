"""`rushlight.masked`: reductions and normalizations that leave out what a mask leaves out."""

from .._ops import install

install(globals(), "masked")
