"""Norms and distances of vectors and matrices, and products of vectors."""

from __future__ import annotations

import math
from typing import Any

from .._dispatch import Spec
from .._dtypes import DType, bfloat16, float16, float32, promote_types
from .._errors import error
from .._operator import operator
from .._promotion import broadcast_shapes
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import over_dims
from ._geometry import check_tensor
from ._matrices import check_inexact, check_matrix, choose, conj, real
from ._public import PUBLIC, public
from .creation import cast_op, full
from .reduction import dims_or_all, reduced_shape, restored
from .spectra import svdvals_op
from .views import check_dim, permute_op

vector_norm_op = operator(
    "linalg_vector_norm(Tensor x, *, Scalar ord, int[] dim, bool keepdim=False) -> Tensor",
    to_real=True,
)


# -- norms of vectors ---------------------------------------------------------------------------


@vector_norm_op.meta
def _(x: Tensor, *, ord: float, dim: tuple[int, ...], keepdim: bool) -> Spec:
    return Spec(reduced_shape(x.shape, dim, keepdim), x.dtype.to_real())


@vector_norm_op.decomposition
def _(x: Tensor, *, ord: float, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if x.dtype in (float16, bfloat16):
        wide = vector_norm_op(cast_op(x, dtype=float32), ord=ord, dim=dim, keepdim=keepdim)
        return cast_op(wide, dtype=x.dtype)  # type: ignore[no-any-return]
    if not dim:
        return cast_op(x != 0, dtype=x.dtype.to_real()) if ord == 0 else x.abs()
    total = operators["sum"]
    if ord == 0:
        return total(cast_op(x != 0, dtype=x.dtype.to_real()), dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    if ord == 2:
        squares = x * x if not x.dtype.is_complex else x.real * x.real + x.imag * x.imag
        return total(squares, dim=dim, keepdim=keepdim).sqrt()  # type: ignore[no-any-return]
    size = x.abs()
    if ord == 1:
        return total(size, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    if math.isinf(ord):
        name = "amax" if ord > 0 else "amin"
        return operators[name](size, dim=dim, keepdim=keepdim)  # type: ignore[no-any-return]
    return total(size**ord, dim=dim, keepdim=keepdim) ** (1 / ord)  # type: ignore[no-any-return]


def _slope(x: Tensor, norm: Tensor, ord: float, dim: tuple[int, ...]) -> Tensor:
    """The norm's derivative by each element; zero where it has none, as at the origin."""
    if ord == 0:
        return full(tuple(x.shape), 0, dtype=x.dtype, device=x.device)
    if ord == 1 or not dim:
        return x.sgn()
    origin = norm == 0
    if ord == 2:
        return choose(origin, 0, x / norm)  # type: ignore[no-any-return]
    size = x.abs()
    if math.isinf(ord):
        # The largest elements share, if there are several.
        found = size == norm
        count = operators["sum"](cast_op(found, dtype=norm.dtype), dim=dim, keepdim=True)
        return choose(found, x.sgn() / count, 0)  # type: ignore[no-any-return]
    if ord < 2:
        powers = choose(size == 0, 0, size ** (ord - 1)) if ord < 1 else size ** (ord - 1)
        slope = x.sgn() * powers
    else:
        slope = x * size ** (ord - 2)
    # The inner choice keeps 0 / 0 out of the second derivative.
    return choose(origin, 0, slope / choose(origin, 1, norm) ** (ord - 1))  # type: ignore[no-any-return]


@vector_norm_op.vjp
def _(
    g: Tensor, *, x: Tensor, out: Tensor, ord: float, dim: tuple[int, ...], keepdim: bool
) -> Tensor:
    shape = tuple(x.shape)
    norm = restored(out, shape, dim, keepdim)
    return restored(g, shape, dim, keepdim) * _slope(x, norm, ord, dim)


@vector_norm_op.jvp
def _(
    primals: Any, tangents: Any, out: Tensor, *, ord: float, dim: tuple[int, ...], keepdim: bool
) -> Tensor:
    x = primals[0]
    slope = _slope(x, restored(out, tuple(x.shape), dim, keepdim), ord, dim)
    change = real(conj(slope) * tangents[0])
    return operators["sum"](change, dim=dim, keepdim=keepdim) if dim else change


vector_norm_op.batching(over_dims(vector_norm_op))


def _in_dtype(who: str, x: Tensor, dtype: DType | None) -> Tensor:
    """The operand in the dtype to compute in."""
    check_inexact(who, x, low=True)
    if dtype is None:
        return x
    if not dtype.is_inexact:
        raise error(
            RuntimeError,
            who,
            f"dtype should be floating point or complex. Got {dtype.name}",
        )
    if dtype.is_complex != x.dtype.is_complex:
        wanted, got = ("complex", "real") if x.dtype.is_complex else ("real", "complex")
        raise error(
            RuntimeError,
            who,
            f"dtype should be {wanted} for {wanted} inputs, but got {dtype.name}",
            given=f"{got} dtype for x of {x.dtype}",
        )
    if promote_types(x.dtype, dtype) is not dtype:
        raise error(
            RuntimeError,
            who,
            f"the dtype of the input ({x.dtype.name}) should be convertible without narrowing to "
            f"the specified dtype ({dtype.name})",
        )
    return x if x.dtype is dtype else cast_op(x, dtype=dtype)


def _number(who: str, ord: Any) -> float:
    if isinstance(ord, (bool, complex)) or not isinstance(ord, (int, float)):
        raise error(
            TypeError if not isinstance(ord, complex) else RuntimeError,
            who,
            f"Expected a non-complex scalar as the order of norm, got {ord!r}",
        )
    return float(ord)


def _norm_of_vectors(
    who: str, x: Any, ord: Any, dim: Any, keepdim: bool, dtype: DType | None
) -> Tensor:
    check_tensor(who, x, "x")
    x = _in_dtype(who, x, dtype)
    order = _number(who, ord)
    dims = dims_or_all(who, dim, x.ndim)
    if (order < 0 or order == math.inf) and x.numel() == 0:
        whole = any(x.shape[d] == 0 for d in dims)
        if whole or dim is None:
            raise error(
                RuntimeError,
                who,
                f"cannot compute the {ord} norm on an empty tensor because the operation does not "
                "have an identity",
                given=f"x of shape {tuple(x.shape)}, dim={dim}",
            )
    return vector_norm_op(x, ord=order, dim=dims, keepdim=bool(keepdim))  # type: ignore[no-any-return]


@public(namespace="linalg", out=True, methods=False, op=vector_norm_op)
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The norm of vectors: (sum of |x|^ord)^(1/ord).

    Args:
        x: Floating or complex tensor.
        ord: Order; inf and -inf give the largest and smallest size, 0 counts what is not zero.
        dim: Dimensions that make up a vector, all by default.
        keepdim: Keeps them with size 1.
        dtype: Converts to this dtype first.
    Example:
        >>> rushlight.linalg.vector_norm(rushlight.tensor([3.0, 4.0]))
        tensor(5.)
    """
    return _norm_of_vectors("linalg.vector_norm", x, ord, dim, keepdim, dtype)


# -- norms of matrices --------------------------------------------------------------------------


def _matrix_dims(who: str, A: Tensor, dim: Any) -> tuple[int, int]:
    dims = tuple(dim) if not isinstance(dim, int) else (dim,)
    if len(dims) != 2:
        raise error(
            RuntimeError, who, f"dim must be a 2-tuple. Got {' '.join(map(str, dims))}",
            given=f"dim={dim}",
        )  # fmt: skip
    first, second = (check_dim(who, d, A.ndim) for d in dims)
    if first == second:
        raise error(RuntimeError, who, f"dims must be different. Got ({dims[0]}, {dims[1]})")
    return first, second


def _norm_of_matrices(
    who: str, A: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: DType | None
) -> Tensor:
    check_matrix(who, A)
    A = _in_dtype(who, A, dtype)
    rows, columns = _matrix_dims(who, A, dim)
    if ord == "fro":
        return vector_norm_op(A, ord=2.0, dim=(rows, columns), keepdim=bool(keepdim))  # type: ignore[no-any-return]
    if isinstance(ord, str) and ord != "nuc":
        raise error(
            RuntimeError, who, f"Order {ord} not supported.",
            expected="'fro', 'nuc', or one of 1, -1, 2, -2, inf, -inf",
        )  # fmt: skip
    order = ord if ord == "nuc" else _number(who, ord)
    if order not in ("nuc", 1.0, -1.0, 2.0, -2.0, math.inf, -math.inf):
        raise error(
            RuntimeError, who, f"Order {ord} not supported.",
            expected="'fro', 'nuc', or one of 1, -1, 2, -2, inf, -inf",
        )  # fmt: skip
    if order in ("nuc", 2.0, -2.0):
        check_inexact(who, A)
        others = [d for d in range(A.ndim) if d not in (rows, columns)]
        values = svdvals_op(permute_op(A, dims=(*others, rows, columns)))
        out = values.sum(-1) if order == "nuc" else _extreme(values, -1, order > 0)
    else:
        if math.isinf(order):
            rows, columns = columns, rows
        sums = vector_norm_op(A, ord=1.0, dim=(rows,), keepdim=False)
        out = _extreme(sums, columns - (columns > rows), order > 0)
        if math.isinf(order):
            rows, columns = columns, rows
    if keepdim:
        for d in sorted((rows, columns)):
            out = out.unsqueeze(d)
    return out


def _extreme(x: Tensor, dim: int, largest: bool) -> Tensor:
    if largest and x.shape[dim] == 0:
        return x.sum(dim)  # zero, the smallest norm there is
    return x.amax(dim) if largest else x.amin(dim)


@public(namespace="linalg", out=True, methods=False)
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of matrices.

    Args:
        A: Tensor of two or more dimensions.
        ord: "fro" (root of the sum of squares), "nuc" (sum of singular values), 2 and -2 (largest
            and smallest singular value), 1 and -1 (of the columns' sums), inf and -inf (of the
            rows' sums).
        dim: The two dimensions of a matrix.
        keepdim: Keeps them with size 1.
        dtype: Converts to this dtype first.
    """
    return _norm_of_matrices("linalg.matrix_norm", A, ord, dim, keepdim, dtype)


@public(namespace="linalg", name="norm", out=True, methods=False)
def _linalg_norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of vectors or matrices.

    Args:
        A: Floating or complex tensor.
        ord: See `vector_norm` and `matrix_norm`; 2 of all elements by default.
        dim: One dimension for vectors, two for matrices; by default what `ord` asks for.
        keepdim: Keeps them with size 1.
        dtype: Converts to this dtype first.
    """
    who = "linalg.norm"
    dims = (dim,) if isinstance(dim, int) else None if dim is None else tuple(dim)
    if ord is None:
        return _norm_of_vectors(who, A, 2, dims, keepdim, dtype)
    if dims is not None and len(dims) not in (1, 2):
        raise error(
            RuntimeError, who, f"If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
        )
    if dims is None and A.ndim not in (1, 2):
        raise error(
            RuntimeError,
            who,
            f"If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.",
            fix="say which dimensions to take with dim=",
        )
    if isinstance(ord, str) or (A.ndim if dims is None else len(dims)) == 2:
        pair = (-2, -1) if dims is None else dims
        return _norm_of_matrices("linalg.matrix_norm", A, ord, pair, keepdim, dtype)
    return _norm_of_vectors(who, A, ord, dims, keepdim, dtype)


# -- distances ----------------------------------------------------------------------------------


@public(methods=False)
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """Distances of all pairs of rows.

    Args:
        x1: (..., P, M).
        x2: (..., R, M).
        p: Order of the norm.
        compute_mode: "use_mm_for_euclid_dist_if_necessary" computes Euclidean distances of more
            than 25 rows through a matrix product, which is faster and less accurate,
            "use_mm_for_euclid_dist" always, "donot_use_mm_for_euclid_dist" never.
    Returns:
        Distances of shape (..., P, R).
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if x.dtype.is_complex or not x.dtype.is_inexact:
            raise error(
                RuntimeError,
                "cdist",
                f"only supports floating-point dtypes, {name} got: {x.dtype.name}",
            )
        if x.ndim < 2:
            raise error(
                RuntimeError,
                "cdist",
                f"only supports at least 2D tensors, {name} got: {x.ndim}D",
            )
    if x1.shape[-1] != x2.shape[-1]:
        raise error(
            RuntimeError,
            "cdist",
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} "
            f"X2: {x2.shape[-1]}",
        )
    if p < 0:
        raise error(RuntimeError, "cdist", f"only supports non-negative p values, got {p}")
    modes = {
        None: 0,
        "use_mm_for_euclid_dist_if_necessary": 0,
        "use_mm_for_euclid_dist": 1,
        "donot_use_mm_for_euclid_dist": 2,
    }
    if compute_mode not in modes:
        raise error(ValueError, "cdist", f"{compute_mode} is not a valid value for compute_mode")
    mode = modes[compute_mode]
    rows = max(x1.shape[-2], x2.shape[-2])
    if p == 2 and (mode == 1 or (mode == 0 and rows > 25)):
        return _euclidean(x1, x2)
    apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if x1.shape[-1] == 0:
        return apart.sum(-1)
    return _norm_of_vectors("cdist", apart, p, -1, False, None)


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x - y| by |x|^2 + |y|^2 - 2 x y."""
    x_squares = (x * x).sum(-1, keepdim=True)
    y_squares = (y * y).sum(-1, keepdim=True)
    product = x @ y.transpose(-2, -1)
    squares = (x_squares + y_squares.transpose(-2, -1) - 2 * product).clamp(min=0)
    # The root has no derivative at zero; there it is taken to be zero.
    apart = squares != 0
    return choose(apart, choose(apart, squares, 1).sqrt(), 0)  # type: ignore[no-any-return]


# -- products of vectors ------------------------------------------------------------------------


def _cross(who: str, input: Tensor, other: Tensor, dim: int) -> Tensor:
    if input.ndim != other.ndim:
        raise error(
            RuntimeError,
            who,
            "inputs must have the same number of dimensions.",
            given=f"shapes {tuple(input.shape)} and {tuple(other.shape)}",
        )
    place = check_dim(who, dim, input.ndim)
    if input.shape[place] != 3 or other.shape[place] != 3:
        raise error(
            RuntimeError,
            who,
            f"inputs dimension {dim} must have length 3. Got {input.shape[place]} and "
            f"{other.shape[place]}",
        )
    broadcast_shapes(who, tuple(input.shape), tuple(other.shape))
    first = input.roll(-1, place) * other.roll(-2, place)
    return first - input.roll(-2, place) * other.roll(-1, place)


@public(namespace="linalg", name="cross", out=True, methods=False)
def _linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of three elements.

    Args:
        input: Vectors along `dim`.
        other: Vectors along `dim`; the other dimensions broadcast.
        dim: The dimension of size 3.
    """
    return _cross("linalg.cross", input, other, dim)


@public(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product along a dimension, the first one of size 3 by default."""
    if dim is None:
        found = [d for d, n in enumerate(input.shape) if n == 3]
        if not found:
            raise error(RuntimeError, "cross", "no dimension of size 3 in input")
        dim = found[0]
    return _cross("linalg.cross", input, other, dim)


@public(namespace="linalg", out=True, methods=False)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The scalar product of vectors along a dimension, the first conjugated."""
    who = "linalg.vecdot"
    check_inexact(who, x, low=True)
    if x.dtype is not y.dtype:
        raise error(
            RuntimeError,
            who,
            f"Expected x and y to have the same dtype, but found x of type {x.dtype.name} and y of "
            f"type {y.dtype.name} instead",
        )
    return (conj(x) * y).sum(dim)


@public(namespace="linalg", name="diagonal", methods=False)
def _linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of matrices; see `rushlight.diagonal`."""
    return PUBLIC[""]["diagonal"](A, offset, dim1, dim2)  # type: ignore[no-any-return]


__all__ = ["cdist", "cross", "vector_norm_op"]
