"""Functions of matrices: determinants, exponential, powers, ranks, products of many.

References:
    Giles (2008), An extended collection of matrix derivative results for forward and reverse mode
    algorithmic differentiation. Oxford University, NA-08/01.
    Al-Mohy and Higham (2009), Computing the Fréchet derivative of the matrix exponential.
    SIAM Journal on Matrix Analysis 30(4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, int64
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._matrices import (
    adjoint,
    check_inexact,
    check_matrix,
    check_same_dtype,
    check_square,
    choose,
    conj,
    diagonal,
    fresh_copy,
    identity,
    over_batches,
)
from ._public import export, public
from ._results import result_type_named
from .creation import cast_op, full
from .factorizations import lower_factor, lu_factor_op, permutation_matrix
from .least_squares import is_kept, spectrum_size, tolerances
from .solving import inv, inv_ex, inv_op
from .spectra import svdvals_op

det_op = operator("linalg_det(Tensor x) -> Tensor")
slogdet_op = operator("linalg_slogdet(Tensor x) -> (Tensor, Tensor)")
matrix_exp_op = operator("linalg_matrix_exp(Tensor x) -> Tensor")
householder_product_op = operator("householder_product(Tensor reflectors, Tensor tau) -> Tensor")


# -- determinants -------------------------------------------------------------------------------


@det_op.meta
def _(x: Tensor) -> Spec:
    return Spec(x.shape[:-2], x.dtype)


def _nudged(x: Tensor) -> Tensor:
    """The matrices with zero pivots replaced by tiny ones, so that they have an inverse.

    The product of determinant and inverse, which is the derivative, stays accurate; where no pivot
    is zero nothing changes.
    """
    epsilon = 2.0**-52 if x.dtype.to_real().itemsize == 8 else 2.0**-23
    factors, pivots = lu_factor_op(x.detach())
    tiny = choose(diagonal(factors) == 0, full((), epsilon, dtype=x.dtype, device=x.device), 0)
    # A + P L diag(tiny) has the factors P, L and U + diag(tiny).
    place = permutation_matrix(pivots, x.shape[-1], factors)
    return x + place @ (lower_factor(factors) * tiny.unsqueeze(-2))  # type: ignore[no-any-return]


@det_op.vjp
def _(g: Tensor, *, x: Tensor) -> Tensor:
    if x.numel() == 0:
        return x * 0
    nudged = _nudged(x)
    scale = g * conj(det_op(nudged))
    return scale.unsqueeze(-1).unsqueeze(-1) * adjoint(inv_op(nudged))  # type: ignore[no-any-return]


det_op.batching(over_batches(det_op, 2))


@slogdet_op.meta
def _(x: Tensor) -> tuple[Spec, Spec]:
    return Spec(x.shape[:-2], x.dtype), Spec(x.shape[:-2], x.dtype.to_real())


@slogdet_op.vjp
def _(g: Any, *, x: Tensor, out0: Tensor) -> Any:
    g_sign, g_size = g
    scale = None if g_size is None else cast_op(g_size, dtype=x.dtype)
    if x.dtype.is_complex and g_sign is not None:
        # The sign is exp(i angle): it turns with the imaginary part of the logarithm.
        turn = (conj(g_sign) * out0).imag
        turned = cast_op(turn, dtype=x.dtype) * -1j
        scale = turned if scale is None else scale + turned
    if scale is None:
        return None
    return scale.unsqueeze(-1).unsqueeze(-1) * adjoint(inv_op(x))


slogdet_op.batching(over_batches(slogdet_op, 2))


def _checked_det(who: str, A: Tensor) -> Tensor:
    check_square(who, A)
    check_inexact(who, A)
    return A


@public(namespace="linalg", name="det", out=True, methods=False, op=det_op)
def _linalg_det(A: Tensor) -> Tensor:
    """The determinant of square matrices.

    Args:
        A: Matrices, with any batch dimensions.
    Example:
        >>> rushlight.linalg.det(rushlight.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor(6.)
    """
    return det_op(_checked_det("linalg.det", A))  # type: ignore[no-any-return]


@public()
def det(input: Tensor) -> Tensor:
    """The determinant of square matrices; see `linalg.det`."""
    return det_op(_checked_det("linalg.det", input))  # type: ignore[no-any-return]


@public(namespace="linalg", name="slogdet", out=True, methods=False, op=slogdet_op)
def _linalg_slogdet(A: Tensor) -> Any:
    """Sign and logarithm of the size of the determinant: a named tuple (sign, logabsdet)."""
    found = slogdet_op(_checked_det("linalg.slogdet", A))
    return result_type_named("linalg_slogdet", ("sign", "logabsdet"))(*found)


@public(out=True)
def slogdet(input: Tensor) -> Any:
    """Sign and logarithm of the size of the determinant; see `linalg.slogdet`."""
    found = slogdet_op(_checked_det("linalg.slogdet", input))
    return result_type_named("slogdet", ("sign", "logabsdet"))(*found)


@public()
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant: NaN where a real one is negative."""
    sign, size = slogdet_op(_checked_det("logdet", input))
    if input.dtype.is_complex:
        return sign.log() + size  # type: ignore[no-any-return]
    return choose(sign < 0, math.nan, size)  # type: ignore[no-any-return]


# -- exponential and powers ---------------------------------------------------------------------


@matrix_exp_op.meta
def _(x: Tensor) -> Spec:
    return Spec(x.shape, x.dtype)


def _exp_along(x: Tensor, direction: Tensor) -> Tensor:
    """The derivative of exp at `x` in a direction: a block of the exponential of a block matrix."""
    n, last = x.shape[-1], x.ndim - 1
    cat = operators["cat"]
    above = cat(x, direction, dim=last)
    below = cat(direction * 0, x, dim=last)
    whole = matrix_exp_op(cat(above, below, dim=last - 1))
    return whole.narrow(-2, 0, n).narrow(-1, n, n)  # type: ignore[no-any-return]


matrix_exp_op.vjp(x=lambda g, x: _exp_along(adjoint(x), g))
matrix_exp_op.jvp(lambda primals, tangents, out: _exp_along(primals[0], tangents[0]))
matrix_exp_op.batching(over_batches(matrix_exp_op, 2))


@public(op=matrix_exp_op)
def matrix_exp(input: Tensor) -> Tensor:
    """The exponential of square matrices.

    Args:
        input: Matrices, with any batch dimensions.
    """
    check_square("linalg.matrix_exp", input)
    check_inexact("linalg.matrix_exp", input, low=True)
    return matrix_exp_op(input)  # type: ignore[no-any-return]


@public(namespace="linalg", name="matrix_exp", methods=False)
def _linalg_matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices; see `rushlight.matrix_exp`."""
    return matrix_exp(A)


def constant_of(x: Tensor, value: Tensor) -> Tensor:
    """A value that does not depend on `x`, in its shape and in its history."""
    none = full((), False, dtype=bool_, device=x.device)
    return choose(none, x, value)  # type: ignore[no-any-return]


def _power(who: str, A: Tensor, n: int) -> Tensor:
    check_square(who, A)
    if n < 0:
        A, n = inv(A), -n
    if n == 0:
        return constant_of(A, identity(A.shape[-1], A))
    result: Any = None
    while True:
        if n & 1:
            result = A if result is None else result @ A
        n >>= 1
        if not n:
            return fresh_copy(result) if result is A else result
        A = A @ A


@public(namespace="linalg", name="matrix_power", out=True, methods=False)
def _linalg_matrix_power(A: Tensor, n: int) -> Tensor:
    """Square matrices multiplied with themselves; a negative power is one of the inverse.

    Args:
        A: Matrices, with any batch dimensions.
        n: The exponent.
    """
    return _power("linalg.matrix_power", A, n)


@public(out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """Square matrices multiplied with themselves; see `linalg.matrix_power`."""
    return _power("linalg.matrix_power", input, n)


# -- products -----------------------------------------------------------------------------------


def _best_order(sizes: Sequence[int]) -> list[list[int]]:
    """Where to split each product of neighbours so that the fewest multiplications are made.

    References:
        Cormen, Leiserson, Rivest and Stein (2009), Introduction to Algorithms, 15.2.
    """
    count = len(sizes) - 1
    cost = [[0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


@public(namespace="linalg", out=True, methods=False)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices, in the order that takes the fewest operations.

    Args:
        tensors: Matrices; the first and the last may be vectors.
    """
    who = "linalg.multi_dot"
    count = len(tensors)
    if count < 2:
        raise error(RuntimeError, "multi_dot()", f"expected at least 2 tensors but got {count}")
    for place, x in enumerate(tensors):
        allowed = (1, 2) if place in (0, count - 1) else (2,)
        if x.ndim not in allowed:
            raise error(
                RuntimeError,
                who,
                f"tensor {place} must be {' or '.join(f'{n}D' for n in allowed)} but got {x.ndim}D",
            )
        if x.dtype is not tensors[0].dtype:
            raise error(
                RuntimeError,
                who,
                f"all tensors must have be the same dtype but tensor 0 is {tensors[0].dtype.name} "
                f"and tensor {place} {x.dtype.name}",
            )
    parts = list(tensors)
    shape: tuple[int, ...] = ()
    if parts[0].ndim == 1:
        parts[0] = parts[0].unsqueeze(0)
    else:
        shape = (parts[0].shape[0],)
    if parts[-1].ndim == 1:
        parts[-1] = parts[-1].unsqueeze(-1)
    else:
        shape = (*shape, parts[-1].shape[1])
    for place in range(count - 1):
        if parts[place].shape[1] != parts[place + 1].shape[0]:
            raise error(
                RuntimeError,
                who,
                f"tensors {place} and {place + 1} with shapes {list(tensors[place].shape)} and "
                f"{list(tensors[place + 1].shape)} cannot be multiplied",
            )
    split = _best_order([parts[0].shape[0], *(x.shape[1] for x in parts)])

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return parts[i]
        return product(i, split[i][j]) @ product(split[i][j] + 1, j)

    return product(0, count - 1).reshape(*shape) if len(shape) < 2 else product(0, count - 1)


@public(methods=False)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of two or more matrices; see `linalg.multi_dot`."""
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@householder_product_op.meta
def _(reflectors: Tensor, tau: Tensor) -> Spec:
    return Spec(reflectors.shape, reflectors.dtype)


def _reflectors(packed: Tensor) -> Tensor:
    """The vectors of Householder's reflections, one a column."""
    return packed.tril(-1) + identity(packed.shape[-2], packed, packed.shape[-1])


def _reflected(vectors: Tensor, tau: Tensor, x: Tensor, *, adjoint_of: bool) -> Tensor:
    """The product of reflections 1 - tau v v^H, or its adjoint, times `x`."""
    order = range(tau.shape[-1])
    for k in order if adjoint_of else reversed(order):
        v = vectors.narrow(-1, k, 1)
        weight = tau.narrow(-1, k, 1).unsqueeze(-1)
        x = x - (conj(weight) if adjoint_of else weight) * (v @ (adjoint(v) @ x))
    return x


@householder_product_op.decomposition
def _(reflectors: Tensor, tau: Tensor) -> Tensor:
    unit = identity(reflectors.shape[-2], reflectors, reflectors.shape[-1])
    unit = constant_of(reflectors, unit)
    return _reflected(_reflectors(reflectors), tau, unit, adjoint_of=False)


def _check_reflectors(who: str, A: Tensor, tau: Tensor) -> None:
    check_matrix(who, A, "input")
    check_inexact(who, A)
    check_same_dtype(who, A, tau, ("input", "tau"))
    if A.shape[-2] < A.shape[-1]:
        raise error(
            RuntimeError, who, "input.shape[-2] must be greater than or equal to input.shape[-1]",
            given=f"input of shape {tuple(A.shape)}",
        )  # fmt: skip
    if tau.ndim < 1 or tau.shape[-1] > A.shape[-1]:
        raise error(
            RuntimeError, who, "input.shape[-1] must be greater than or equal to tau.shape[-1]",
            given=f"input of shape {tuple(A.shape)}, tau of shape {tuple(tau.shape)}",
        )  # fmt: skip
    if tuple(tau.shape[:-1]) != tuple(A.shape[:-2]):
        raise error(
            RuntimeError,
            who,
            "Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(tau.shape[:-1])}",
        )


@public(namespace="linalg", out=True, methods=("orgqr",), op=householder_product_op)
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of a product of Householder reflections, as `geqrf` returns them.

    Args:
        A: The vectors, below the diagonal.
        tau: The weights.
    """
    _check_reflectors("linalg.householder_product", A, tau)
    return householder_product_op(A, tau)  # type: ignore[no-any-return]


export("orgqr", householder_product)


@public(out=True)
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """A matrix times the product Q of Householder reflections, as `geqrf` returns them.

    Args:
        input: The vectors, below the diagonal.
        tau: The weights.
        other: Matrices.
        left: Q @ other; otherwise other @ Q.
        transpose: Q^H in place of Q.
    """
    who = "ormqr"
    check_matrix(who, input, "input")
    check_matrix(who, other, "other")
    check_inexact(who, input)
    size = other.shape[-2 if left else -1]
    name = f"other.shape[{-2 if left else -1}]"
    if tau.ndim < 1 or size < tau.shape[-1]:
        raise error(RuntimeError, who, f"{name} must be greater than or equal to tau.shape[-1]")
    if size != input.shape[-2]:
        raise error(RuntimeError, who, f"{name} must be equal to input.shape[-2]")
    if tau.shape[-1] > input.shape[-1]:
        raise error(
            RuntimeError, who, "tau.shape[-1] must be less than or equal to input.shape[-1]"
        )
    batch = tuple(input.shape[:-2])
    for label, shape in (("tau", tau.shape[:-1]), ("other", other.shape[:-2])):
        if tuple(shape) != batch:
            raise error(
                RuntimeError,
                who,
                f"Expected batch dimensions of {label} to be equal to input.shape[:-2], but got "
                f"{list(shape)}",
            )
    check_same_dtype(who, input, tau, ("input", "tau"))
    check_same_dtype(who, input, other, ("input", "other"))
    vectors = _reflectors(input)
    if left:
        return _reflected(vectors, tau, other, adjoint_of=transpose)
    return adjoint(_reflected(vectors, tau, adjoint(other), adjoint_of=not transpose))


# -- ranks and conditions -----------------------------------------------------------------------


@public(namespace="linalg", out=True, methods=False)
def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values are not zero.

    Args:
        A: Matrices, with any batch dimensions.
        tol: Older form of `atol` with `rtol=0`.
        hermitian: A is Hermitian.
        atol: Singular values up to this count as zero.
        rtol: Likewise relative to the largest one; by default max(rows, columns) * epsilon.
    """
    who = "linalg.matrix_rank"
    (check_square if hermitian else check_matrix)(who, A)
    check_inexact(who, A)
    if tol is not None:
        atol, rtol = tol, 0.0
    if A.numel() == 0:
        return full(tuple(A.shape[:-2]), 0, dtype=int64, device=A.device)
    limits = tolerances(who, A, atol, rtol)
    return is_kept(spectrum_size(A, hermitian), *limits).sum(-1)


@public(namespace="linalg", out=True, methods=False)
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number in a matrix norm: the norm of A times that of its inverse.

    Args:
        A: Matrices, with any batch dimensions.
        p: The norm, 2 by default; see `linalg.matrix_norm`.
    """
    who = "linalg.cond"
    check_matrix(who, A)
    if p is None or p in (2, -2):
        check_inexact(who, A)
        if A.numel() == 0:
            return full(tuple(A.shape[:-2]), 0, dtype=A.dtype.to_real(), device=A.device)
        values = svdvals_op(A)
        first, last = values.select(-1, 0), values.select(-1, values.shape[-1] - 1)
        return last / first if p == -2 else first / last  # type: ignore[no-any-return]
    check_square(f"linalg.cond(ord={p})", A)
    check_inexact(who, A)
    from .vector_norms import matrix_norm

    inverse, info = inv_ex(A)
    value = matrix_norm(A, p) * matrix_norm(inverse, p)
    return choose(info == 0, value, math.inf)  # type: ignore[no-any-return]


@public(namespace="linalg", name="vander", methods=False)
def _linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Matrices whose rows are the powers 0, 1, ... of the elements of `x`.

    Args:
        x: Tensor of one or more dimensions.
        N: Number of powers, as many as elements by default.
    """
    x = x.unsqueeze(0) if x.ndim == 0 else x
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise error(RuntimeError, "linalg.vander", "N must be greater than 1.", given=f"N={n}")
    powers = x.unsqueeze(-1).expand(*x.shape, n - 1).cumprod(-1)
    ones = full((*x.shape, 1), 1, dtype=powers.dtype, device=x.device)
    return operators["cat"](ones, powers, dim=x.ndim)  # type: ignore[no-any-return]


__all__ = ["det_op", "householder_product_op", "matrix_exp_op", "slogdet_op"]
