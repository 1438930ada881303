"""`norm` in torch's older form, distance of two tensors, and slices scaled to a bounded norm."""

from __future__ import annotations

from typing import Any

from .._config import settings
from .._dtypes import DType
from .._errors import error
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import PUBLIC, into, public
from .creation import cast_op
from .reduction import EVERY_DIM
from .vector_norms import vector_norm_op
from .views import check_dim


@public()
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Norm of vectors, or of matrices; `rushlight.linalg.norm` says more clearly which.

    Args:
        input: Floating or complex tensor.
        p: A number, "fro" (2 of all elements) or "nuc" (sum of singular values).
        dim: Dimensions of one vector; the two of a matrix for "nuc".
        keepdim: Keeps these dimensions with size 1.
        out: Receives the result.
        dtype: Converts to this dtype first.
    Raises:
        RuntimeError: The dtype is not floating or complex, or `p` and `dim` do not fit.
    Example:
        >>> rushlight.norm(rushlight.tensor([3.0, 4.0]))
        tensor(5.)
    """
    check_tensor("norm", input)
    dims = (dim,) if isinstance(dim, int) else None if dim is None else tuple(dim)
    matrix, vector = PUBLIC["linalg"]["matrix_norm"], PUBLIC["linalg"]["vector_norm"]
    if p == "nuc":
        pair = EVERY_DIM[input.ndim] if dims is None else dims
        result = matrix(input, "nuc", pair, bool(keepdim), dtype=dtype)
    elif isinstance(p, str) and p != "fro":
        raise error(RuntimeError, "norm", f"only 'fro', 'nuc' and numbers are norms, not {p!r}")
    else:
        order = 2 if p is None or p == "fro" else p
        result = vector(input, order, dims or None, bool(keepdim), dtype=dtype)
    return result if out is None else into("norm", result, out)  # type: ignore[no-any-return]


@public()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference of two tensors.

    Example:
        >>> rushlight.dist(rushlight.tensor([1.0, 1.0]), rushlight.tensor([4.0, 5.0]))
        tensor(5.)
    """
    check_tensor("dist", input)
    difference = input - other
    if not difference.dtype.is_inexact:
        difference = cast_op(difference, dtype=settings.default_dtype)
    dims = EVERY_DIM[difference.ndim]
    return vector_norm_op(difference, ord=float(p), dim=dims, keepdim=False)  # type: ignore[no-any-return]


@public(out=True, inplace=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The tensor with slices along a dimension scaled down to a p-norm of at most `maxnorm`.

    Raises:
        RuntimeError: `p` is not positive, `maxnorm` is negative, or there is only one dimension.
    Example:
        >>> rushlight.renorm(rushlight.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1)
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """
    check_tensor("renorm", input)
    if not input.dtype.is_inexact:
        raise error(RuntimeError, "renorm", f"not implemented for {input.dtype.name}")
    if isinstance(p, complex) or isinstance(maxnorm, complex):
        raise error(RuntimeError, "renorm", "norm and maxnorm must be real-valued")
    if not p > 0:
        raise error(RuntimeError, "renorm", f"non-positive norm not supported: p is {p}")
    if not maxnorm >= 0:
        raise error(RuntimeError, "renorm", f"expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise error(
            RuntimeError,
            "renorm",
            f"input needs at least 2 dimensions, got {input.ndim} dimensions",
        )
    place = check_dim("renorm", dim, input.ndim)
    others = tuple(d for d in range(input.ndim) if d != place)
    length = vector_norm_op(input, ord=float(p), dim=others, keepdim=True)
    # The small summand keeps the quotient below the bound after rounding, as in torch.
    scale = (float(maxnorm) / (length + 1e-7)).masked_fill(length <= maxnorm, 1)
    return input * cast_op(scale, dtype=input.dtype)  # type: ignore[no-any-return]
