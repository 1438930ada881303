"""Samples of scattering along a dimension."""

from typing import Any

import numpy as np

from ._inputs import distinct, index, positive, real, unique_along
from ._table import FULL, INTEGER, case, samples

_JOIN: dict[str | None, Any] = {
    None: lambda old, new: new,
    "sum": lambda old, new: old + new,
    "prod": lambda old, new: old * new,
    "mean": lambda old, new: old + new,
    "amax": max,
    "amin": min,
}


def _scatter(
    x: Any, index: Any, src: Any, dim: Any, reduce: Any = None, include_self: Any = True
) -> Any:
    out, counts = x.copy(), np.ones(x.shape, int)
    places = [
        (place, tuple(index[place] if d == dim else i for d, i in enumerate(place)))
        for place in np.ndindex(index.shape)
    ]
    if not include_self:
        first = {"prod": 1, "amax": -np.inf, "amin": np.inf}.get(reduce, 0)
        for _, target in places:
            out[target], counts[target] = first, 0
    for place, target in places:
        out[target] = _JOIN[reduce](out[target], src[place])
        counts[target] += 1
    return out / counts if reduce == "mean" else out


SAMPLES = [
    samples(
        "scatter",
        _scatter,
        case(real(3, 4), unique_along(4, 1, 3, 2), real(3, 2), dim=1),
        # As torch says, derivatives want a src of the index's shape.
        case(real(4, 2), unique_along(4, 0, 3, 2), real(3, 3), dim=0, smooth=False),
        case(real(3, 4), index(4, 3, 5), real(3, 5), dim=1, reduce="sum"),
        case(real(3, 2), index(3, 4, 2), real(4, 2), dim=0, reduce="sum", include_self=False),
        case(positive(2, 3), index(3, 2, 4), positive(2, 4), dim=1, reduce="prod"),
        case(positive(2, 3), index(3, 2, 4), positive(2, 4), dim=1, reduce="mean", dtypes=FULL),
        case(distinct(2, 3), index(3, 2, 4), real(2, 4), dim=1, reduce="amax"),
        case(distinct(2, 3), index(3, 2, 4), real(2, 4), dim=1, reduce="amin"),
        case(real(2, 3), index(3, 2, 0), real(2, 0), dim=1),
        dtypes=(*FULL, *INTEGER[:1]),
        forms=False,
        tolerance=16.0,
    ),
]
