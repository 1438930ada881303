"""Mutation testing of the suite: a suite that can't fail says nothing, so we let it fail.

Realistic defects, one at a time, are planted in a backend that is sound otherwise, and the suite of
`rushlight.testing` has to notice each of them.

    python -m rushlight.testing.mutation

A defect is *killed* if a case fails that a sound backend passes.  The operator's own cases are
tried first, because that is fast; whether a defect survives is decided by the whole suite.
"""

from . import (
    _arithmetic as _arithmetic,
)
from . import (
    _chance as _chance,
)
from . import (
    _devices as _devices,
)
from . import (
    _layers as _layers,
)
from . import (
    _reductions as _reductions,
)
from . import (
    _selecting as _selecting,
)
from . import (
    _whole as _whole,
)
from ._defect import DEFECTS as DEFECTS
from ._defect import Defect as Defect
