"""`rushlight.testing`: comparing tensors, making random ones, and the suites of a backend.

`samples` holds sample inputs and references of every operator, `checks` what is checked of each.
"""

from ._comparison import assert_close as assert_close
from ._creation import make_tensor as make_tensor
