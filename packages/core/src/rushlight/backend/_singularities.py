"""Errors for matrices that can't be factored, in the same words on every device.

A batch is described by what was found in it: per matrix (and diagonal element), on the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import LinAlgError, error

Shape = tuple[int, ...]


def singular(who: str, shape: Shape, zero: np.ndarray[Any, Any]) -> LinAlgError:
    """The error for a batch in which a matrix is singular.

    Args:
        who: The function that was called.
        shape: Shape of the batch of matrices.
        zero: Of U's diagonal, which elements are zero.
    """
    place, element = _first(zero)
    batch = f"(batch element {place}) " if len(shape) > 2 else ""
    return error(
        LinAlgError,
        who,
        f"{batch}the diagonal element {element} is zero, the inversion could not be completed "
        "because the input matrix is singular",
        given=f"a matrix of shape {tuple(shape)}",
        fix="use linalg.pinv or linalg.lstsq, which take singular matrices",
    )


def zero_pivot(shape: Shape, zero: np.ndarray[Any, Any]) -> LinAlgError:
    """The error for a batch in which the second LU factor has a zero on its diagonal."""
    place, element = _first(zero)
    batch = f"(Batch element {place}): " if len(shape) > 2 else ""
    return error(
        LinAlgError,
        "linalg.lu_factor",
        f"{batch}U[{element},{element}] is zero and using it on lu_solve would result in a "
        "division by zero.",
        given=f"a matrix of shape {tuple(shape)}",
        fix="use linalg.lu_factor_ex, which reports instead of raising",
    )


def not_positive(shape: Shape, info: np.ndarray[Any, Any]) -> LinAlgError:
    """The error for a batch in which a matrix is not positive definite.

    Args:
        shape: Shape of the batch of matrices.
        info: Per matrix the order of the first leading minor that is not positive, or 0.
    """
    place = int(np.flatnonzero(info)[0])
    batch = f"(Batch element {place}): " if len(shape) > 2 else ""
    return error(
        LinAlgError,
        "linalg.cholesky",
        f"{batch}The factorization could not be completed because the input is not "
        f"positive-definite (the leading minor of order {int(info.reshape(-1)[place])} is not "
        "positive-definite).",
        given=f"a matrix of shape {tuple(shape)}",
        fix="use linalg.cholesky_ex, which reports instead of raising, or linalg.ldl_factor",
    )


def not_converged(who: str) -> LinAlgError:
    """The error for an iteration that did not come to an end."""
    return error(
        LinAlgError,
        who,
        "the algorithm did not converge",
        fix="look for NaN, infinities or nearly repeated eigenvalues in the input",
    )


def _first(zero: np.ndarray[Any, Any]) -> tuple[int, int]:
    """The first matrix with a zero, and the 1-based place of its first one."""
    flat = zero.reshape(-1, zero.shape[-1])
    place = int(np.flatnonzero(flat.any(axis=1))[0])
    return place, int(np.flatnonzero(flat[place])[0]) + 1
