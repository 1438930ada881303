"""The conformance suite: what every device owes, asked of one of them.

    python -m rushlight.testing NAME
    pytest --pyargs rushlight.testing.conformance --device NAME

or, in this process:

    card = conformance.run("sim", stages=["primitives"], operators=["softmax"])
"""

from ._case import OUTCOMES as OUTCOMES
from ._case import STAGES as STAGES
from ._case import Case as Case
from ._case import Result as Result
from ._case import Skip as Skip
from ._expected import Expected as Expected
from ._expected import parsed as parsed
from ._run import cases as cases
from ._run import run as run
from ._scorecard import Scorecard as Scorecard
