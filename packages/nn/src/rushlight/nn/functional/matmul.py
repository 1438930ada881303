"""Products of groups of matrices, as mixtures of experts use them."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import shape_of


def grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: rushlight.dtype | None = None,
) -> Tensor:
    """Multiplies groups of matrices that lie one after the other.

    Args:
        mat_a: Matrices `(G, M, K)`, or one matrix whose rows (`mat_b` has three dimensions) or
            columns (`mat_b` has two) are cut into groups.
        mat_b: Matrices `(G, K, N)`, or one matrix whose columns (`mat_a` has three dimensions)
            or rows are cut into groups.
        offs: int32 end of every group in the dimension that is cut.
        bias: Not supported, as in torch.
        out_dtype: Dtype of the result, which must be `mat_a`'s.

    Raises:
        RuntimeError: The shapes do not fit each other, or an option is not supported.

    Example:
        >>> rows, experts = rushlight.ones(3, 2), rushlight.ones(2, 2, 1)
        >>> ends = rushlight.tensor([1, 3], dtype=rushlight.int32)
        >>> rushlight.nn.functional.grouped_mm(rows, experts, offs=ends).flatten()
        tensor([2., 2., 2.])
    """
    given = f"mat_a of shape {shape_of(mat_a)}, mat_b of shape {shape_of(mat_b)}"

    def refuse(what: str) -> Exception:
        return error(RuntimeError, "grouped_mm", what, given=given)

    if mat_a.ndim not in (2, 3) or mat_b.ndim not in (2, 3):
        raise refuse("both matrices need two or three dimensions")
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise refuse("contraction dimension of mat_a and mat_b must match")
    if bias is not None:
        raise refuse("bias is not supported yet")
    if out_dtype is not None and out_dtype != mat_a.dtype:
        raise refuse("the result's dtype must be mat_a's")
    if mat_a.ndim == 3 and mat_b.ndim == 3:
        if offs is not None:
            raise refuse("offs goes with a two-dimensional matrix only")
        return rushlight.bmm(mat_a, mat_b)
    if offs is None:
        raise refuse("a two-dimensional matrix needs offs")
    ends = [int(end) for end in offs.tolist()]
    spans = [slice(start, end) for start, end in zip([0, *ends], ends)]
    if mat_b.ndim == 3:
        return _joined([mat_a[s] @ mat_b[g] for g, s in enumerate(spans)], 0, mat_a.shape[0])
    if mat_a.ndim == 3:
        pieces = [mat_a[g] @ mat_b[:, s] for g, s in enumerate(spans)]
        return _joined(pieces, 1, mat_b.shape[1])
    return rushlight.stack([mat_a[:, s] @ mat_b[s] for s in spans])


def _joined(pieces: list[Tensor], dim: int, size: int) -> Tensor:
    """The groups side by side; what lies behind the last group is zero."""
    whole = rushlight.cat(pieces, dim)
    rest = size - whole.shape[dim]
    if rest == 0:
        return whole
    return rushlight.constant_pad_nd(whole, [0, 0, 0, rest] if dim == 0 else [0, rest], 0)
