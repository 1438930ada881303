"""`rushlight.linalg`: the public functions of this namespace; their stories stand in `_ops`."""

from .._errors import LinAlgError as LinAlgError
from .._ops import install

install(globals(), "linalg")
