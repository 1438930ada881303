"""Which kernels a backend owes, and which it may do without."""

from __future__ import annotations

from functools import cache

from .._operator import Operator
from .._registered import operators

#: Factorizations, Fourier transforms, results whose shape depends on data, and the special
#: functions that few programs use: where a device has no kernel, calls say so, and that is all.
_OPTIONAL = """
    geqrf lu_permutation nonzero unique unique_consecutive masked_select bincount histc
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx gcd lcm i0 i0e i1 i1e igamma igammac
    log_ndtr modified_bessel_k0 modified_bessel_k1 ndtri polygamma scaled_modified_bessel_k0
    scaled_modified_bessel_k1 spherical_bessel_j0 zeta
"""
_FAMILIES = ("linalg_", "fft_")
_POLYNOMIALS = "_polynomial_"


@cache
def is_optional(name: str) -> bool:
    """Whether a device may lack an operator."""
    return name in _OPTIONAL.split() or name.startswith(_FAMILIES) or _POLYNOMIALS in name


def is_owed(op: Operator) -> bool:
    """Whether a backend owes a kernel: views are geometry, writes are copies."""
    # Names for what a plain function of the core does in terms of other operators.
    is_name_only = op.function is not op and op.meta_rule is None
    has_rule = op.decomposition_rule is not None or op.view_rule is not None
    return not (has_rule or op.writes or is_name_only)


def owed() -> list[str]:
    """Names of the operators that every backend has a kernel of, optional ones among them."""
    return sorted(op.name for op in operators.values() if is_owed(op))
