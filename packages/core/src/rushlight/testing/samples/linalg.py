"""Samples of factorizations, solvers and other functions of matrices."""

from typing import Any

import numpy as np

from ..._dtypes import int32, int64
from ..references import in_double
from ._inputs import real, regular, symmetric
from ._table import COMPLEX, FULL, case, samples

_ANY: dict[str, Any] = {"dtypes": (*FULL, *COMPLEX), "tolerance": 256.0}
_REAL: dict[str, Any] = {"dtypes": FULL, "tolerance": 256.0}
_SQUARE = (case(regular(3, 3)), case(regular(2, 2, 2)), case(regular(0, 2, 2)))


def _exponential(x: Any) -> Any:
    term = total = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    for k in range(1, 80):
        term = term @ x / k
        total = total + term
    return total


def _solve_triangular(
    a: Any, b: Any, upper: Any, left: Any = True, unitriangular: Any = False
) -> Any:
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        a = a - a * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
    if left:
        return np.linalg.solve(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


@in_double
def _cholesky(x: Any, upper: Any = False, check_errors: Any = False) -> Any:
    factor = np.linalg.cholesky(x)
    return np.swapaxes(factor, -1, -2) if upper else factor, np.zeros(x.shape[:-2])


@in_double
def _slogdet(x: Any) -> Any:
    sign, size = np.linalg.slogdet(x)
    return sign, size


def _values_only(function: Any, place: Any, count: Any) -> Any:
    """Vectors have a free sign or phase; their factors are left to the backend's own tests."""

    def reference(x: Any, **attributes: Any) -> Any:
        results = [None] * count
        results[place] = function(x)
        return tuple(results)

    return in_double(reference)


_singular = lambda x: np.linalg.svd(x, compute_uv=False)

SAMPLES = [
    samples("linalg_inv", in_double(np.linalg.inv), *_SQUARE, **_ANY),
    samples("linalg_det", in_double(np.linalg.det), *_SQUARE, **_ANY),
    samples("linalg_slogdet", _slogdet, *_SQUARE, result=("same", "real"), **_ANY),
    samples("linalg_matrix_exp", _exponential, *_SQUARE[:2], **_ANY),
    samples(
        "linalg_solve",
        in_double(np.linalg.solve),
        case(regular(3, 3), real(3, 2)),
        case(regular(2, 2, 2), real(2, 2, 1)),
        **_ANY,
    ),
    samples(
        "linalg_solve_triangular",
        in_double(_solve_triangular),
        case(regular(3, 3), real(3, 2), upper=True),
        case(regular(2, 2, 2), real(2, 2, 2), upper=False, left=False),
        case(regular(3, 3), real(3, 1), upper=False, unitriangular=True),
        **_ANY,
    ),
    samples(
        "linalg_lstsq",
        in_double(lambda a, b, rcond=None: (np.linalg.lstsq(a, b)[0], None, None, None)),
        case(regular(4, 2), real(4, 2)),
        dtypes=FULL,
        result=("same", "same", int64, "same"),
        # torch's function leaves out what was not asked for.
        forms=False,
        tolerance=256.0,
        smooth=False,
        batches=(),
    ),
    # Derivatives go along symmetric matrices only, which finite differences leave.
    samples(
        "linalg_cholesky",
        _cholesky,
        case(symmetric(3, 3)),
        case(symmetric(2, 2, 2), upper=True),
        result=("same", int32),
        # torch's function gives the factor alone.
        forms=False,
        smooth=False,
        **_REAL,
    ),
    samples(
        "linalg_eigh",
        _values_only(np.linalg.eigvalsh, 0, 2),
        case(symmetric(3, 3)),
        case(symmetric(2, 2, 2)),
        result=("real", "same"),
        smooth=False,
        **_REAL,
    ),
    samples(
        "linalg_eigvalsh",
        in_double(lambda x, upper=False: np.linalg.eigvalsh(x)),
        case(symmetric(3, 3)),
        case(symmetric(2, 2, 2)),
        smooth=False,
        **_REAL,
    ),
    samples("linalg_svdvals", in_double(_singular), case(regular(3, 2)), **_ANY, result="real"),
    samples(
        "linalg_svd",
        _values_only(_singular, 1, 3),
        case(regular(3, 2), full_matrices=False),
        case(regular(2, 2, 3), full_matrices=False),
        result=("same", "real", "same"),
        smooth=False,
        **_REAL,
    ),
    samples(
        "linalg_qr",
        None,
        case(regular(3, 2)),
        case(regular(2, 2, 2)),
        **_REAL,
    ),
]
