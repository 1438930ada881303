"""Samples of comparisons, logic and predicates."""

from typing import Any

import numpy as np

from ..._dtypes import bool_, int64
from ._inputs import mask, values
from ._table import BOOL, EVERY, REAL, binary, case, samples, unary

_SIMPLE: dict[str, Any] = {"dtypes": EVERY, "result": bool_}
_ORDERED: dict[str, Any] = {"dtypes": (*REAL, *BOOL), "result": bool_}
# Random floats are hardly ever equal.
_TIES = case(values(1.0, 2.0, 3.0), values(1.0, 3.0, 2.0))
# Of these, the lower 32 bits are equal.
_WIDE = case(values(1 << 40, 1, 1 << 33), values(0, (1 << 40) + 1, 1 << 33), dtypes=(int64,))


def _compare(name: Any, reference: Any, **options: Any) -> Any:
    plain = binary(name, reference, **options)
    return samples(name, reference, *plain.cases, _TIES, _WIDE, **options)


SAMPLES = [
    _compare("eq", np.equal, **_SIMPLE),
    _compare("ne", np.not_equal, **_SIMPLE),
    _compare("lt", np.less, **_ORDERED),
    _compare("le", np.less_equal, **_ORDERED),
    _compare("gt", np.greater, **_ORDERED),
    _compare("ge", np.greater_equal, **_ORDERED),
    binary("logical_and", np.logical_and, **_SIMPLE),
    binary("logical_or", np.logical_or, **_SIMPLE),
    binary("logical_xor", np.logical_xor, **_SIMPLE),
    samples(
        "logical_not", np.logical_not, values([[0, 1], [2, 0]]), mask(3), values([]), **_SIMPLE
    ),
    unary("isnan", np.isnan, **_SIMPLE),
    unary("isinf", np.isinf, **_SIMPLE),
    unary("isfinite", np.isfinite, **_SIMPLE),
    unary("isposinf", lambda x: np.equal(x, np.inf), **_ORDERED),
    unary("isneginf", lambda x: np.equal(x, -np.inf), **_ORDERED),
    unary("signbit", lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0, **_ORDERED),
]
