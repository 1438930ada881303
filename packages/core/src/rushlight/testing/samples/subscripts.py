"""Samples of basic subscripts."""

from typing import Any

from ._inputs import real
from ._table import BOOL, FLOATING, case, samples


def _subscript(x: Any, key: Any) -> Any:
    """Entries as in `_ops/subscripts.py`: int, (start, length, step), None, True."""
    index: list[Any] = []
    for entry in key:
        if entry is True:
            index.append(None)
        elif entry is None:
            index.append(slice(None))
        elif isinstance(entry, tuple):
            start, length, step = entry
            index.append(slice(start, start + length * step, step))
        else:
            index.append(entry)
    return x[tuple(index)]


SAMPLES = [
    samples(
        "subscript",
        _subscript,
        case(real(3, 4), key=(1,)),
        case(real(3, 4), key=(None, (1, 2, 2))),
        case(real(2, 3, 2), key=(0, True, None, 1)),
        case(real(3, 2), key=((3, 0, 1),)),
        dtypes=(*FLOATING, *BOOL),
        tolerance=0.0,
    ),
]
