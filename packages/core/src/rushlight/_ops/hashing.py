"""`hash_tensor`: all elements' bits joined by exclusive or."""

from __future__ import annotations

from collections.abc import Sequence

from .._dtypes import Category, float64, int64, uint64
from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_dims
from ._public import public


@public(out=True)
def hash_tensor(
    input: Tensor, dim: int | Sequence[int] | None = None, *, keepdim: bool = False, mode: int = 0
) -> Tensor:
    """A number made of the bits of all elements, by which tensors can be told apart.

    The elements are widened to 64 bits, and the bits joined by exclusive or.

    Args:
        input: Real tensor.
        dim: Dimensions to reduce; all by default.
        keepdim: Keeps reduced dimensions, of size 1.
        mode: 0, the only one there is.
    Returns:
        Tensor of uint64.
    Raises:
        RuntimeError: Another mode, a complex tensor, or a dimension that appears twice.
        IndexError: No such dimension.
    Example:
        >>> rushlight.hash_tensor(rushlight.tensor([5, 5, 7]))
        tensor(7, dtype=rushlight.uint64)
    """
    if mode != 0:
        raise error(RuntimeError, "hash_tensor", "the only mode is 0", given=f"mode={mode}")
    if input.dtype.category is Category.COMPLEX:
        raise error(
            RuntimeError, "hash_tensor", "complex tensors have no 64-bit form",
            fix="hash rushlight.view_as_real(input)",
        )  # fmt: skip
    dims = check_dims("hash_tensor", dim if dim != () else None, input.ndim)
    wide = float64 if input.dtype.is_floating_point else int64
    bits = input.detach().to(wide).contiguous().view(int64)
    kept = [d for d in range(bits.ndim) if d not in dims]
    rows = bits.permute(*kept, *dims).reshape(*(bits.shape[d] for d in kept), -1)
    folded = _folded(rows)
    if keepdim:
        folded = folded.reshape([1 if d in dims else n for d, n in enumerate(input.shape)])
    return folded.view(uint64)


def _folded(rows: Tensor) -> Tensor:
    """Exclusive or over the last dimension: halves are joined until one element is left."""
    count = rows.shape[-1]
    if count == 0:
        return rows.new_zeros(rows.shape[:-1])
    xor = operators["bitwise_xor"]
    while count > 1:
        half = count // 2
        joined = xor(rows[..., :half], rows[..., half : 2 * half])
        if count % 2:
            last = xor(joined[..., :1], rows[..., -1:])
            joined = operators["cat"](last, joined[..., 1:], dim=joined.ndim - 1)
        rows, count = joined, half
    return rows[..., 0].contiguous()
