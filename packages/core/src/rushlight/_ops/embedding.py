"""Embedding: rows of a table, and the sum of gradients by row."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import int32, int64
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import front
from ._public import export

# The attributes only say how the gradient is made.
embedding_op = operator(
    "embedding(Tensor weight, Tensor indices, *, int? padding_idx, bool scale_grad_by_freq) "
    "-> Tensor"
)
embedding_backward_op = operator(
    "embedding_backward(Tensor g, Tensor indices, *, int num_embeddings, int? padding_idx, "
    "bool scale_grad_by_freq) -> Tensor"
)


@embedding_op.meta
def _(
    weight: Tensor, indices: Tensor, *, padding_idx: int | None, scale_grad_by_freq: bool
) -> Spec:
    if weight.ndim != 2:
        raise error(
            RuntimeError,
            "embedding",
            "'weight' must be 2-D",
            given=f"weight of shape {tuple(weight.shape)}",
            expected="weight of shape (num_embeddings, embedding_dim)",
        )
    if indices.dtype is not int64 and indices.dtype is not int32:
        raise error(
            RuntimeError,
            "embedding",
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {indices.dtype} instead",
            fix="convert it with .to(rushlight.int64)",
        )
    return Spec((*indices.shape, weight.shape[1]), weight.dtype)


@embedding_backward_op.meta
def _(g: Tensor, indices: Tensor, *, num_embeddings: int, **settings: Any) -> Spec:
    return Spec((num_embeddings, g.shape[-1]), g.dtype)


@embedding_op.decomposition
def _(weight: Tensor, indices: Tensor, **settings: Any) -> Tensor:
    rows = weight.index_select(0, indices.reshape(-1))
    return rows.reshape(*indices.shape, weight.shape[1])


@embedding_backward_op.decomposition
def _(
    g: Tensor, indices: Tensor, *, num_embeddings: int, padding_idx: int | None,
    scale_grad_by_freq: bool,
) -> Tensor:  # fmt: skip
    where = indices.reshape(-1).to(int64)
    rows = g.reshape(where.shape[0], g.shape[-1])
    if scale_grad_by_freq:
        ones = g.new_ones(where.shape)
        counts = g.new_zeros((num_embeddings,)).index_add(0, where, ones)
        rows = rows / counts.index_select(0, where).unsqueeze(1)
    if padding_idx is not None and padding_idx >= 0:
        rows = rows.masked_fill((where == padding_idx).unsqueeze(1), 0)
    return g.new_zeros((num_embeddings, g.shape[-1])).index_add(0, where, rows)


@embedding_op.vjp
def _(
    g: Tensor, *, indices: Tensor, weight_shape: Any, padding_idx: int | None,
    scale_grad_by_freq: bool,
) -> Any:  # fmt: skip
    found = embedding_backward_op(
        g,
        indices,
        num_embeddings=weight_shape[0],
        padding_idx=padding_idx,
        scale_grad_by_freq=scale_grad_by_freq,
    )
    return {"weight": found}


@embedding_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, **settings: Any) -> Tensor:
    return embedding_op(tangents[0], primals[1], **settings)  # type: ignore[no-any-return]


@embedding_op.batching
def _(
    inputs: Any, dims: Any, *, padding_idx: int | None, scale_grad_by_freq: bool
) -> tuple[Tensor, int]:
    (weight, indices), (dw, di) = inputs, dims
    settings = {"padding_idx": padding_idx, "scale_grad_by_freq": scale_grad_by_freq}
    if dw is None and not scale_grad_by_freq:
        return embedding_op(weight, front(indices, di), **settings), 0
    # Several tables, or frequencies that count within an item: item by item.
    select, size = operators["select"], (weight.shape[dw] if di is None else indices.shape[di])
    items = [
        embedding_op(
            weight if dw is None else select(weight, dim=dw, index=i),
            indices if di is None else select(indices, dim=di, index=i),
            **settings,
        )
        for i in range(size)
    ]
    return operators["stack"].function(items), 0


def _embedding(
    weight: Tensor,
    indices: Tensor,
    *,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Tensor:
    """Rows of `weight`; `padding_idx` counts from the front."""
    return embedding_op.entry(  # type: ignore[no-any-return]
        weight, indices, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq
    )


export("embedding", _embedding, "ops")


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table; see `nn.functional.embedding`.

    Args:
        weight: Matrix of shape `(num_embeddings, embedding_dim)`.
        indices: int32 or int64 tensor of any shape.
        padding_idx: Row that receives no gradient; none if negative.
        scale_grad_by_freq: Divides each row's gradient by how often it is used here.
        sparse: Accepted for compatibility; gradients are dense.
    Raises:
        RuntimeError: `weight` is not a matrix, or `indices` does not hold int32 or int64.
        IndexError: An index is out of range.
    Example:
        >>> table = rushlight.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> rushlight.embedding(table, rushlight.tensor([1]))
        tensor([[2., 3.]])
    """
    padding = padding_idx if padding_idx >= 0 else None
    settings = {"padding_idx": padding, "scale_grad_by_freq": scale_grad_by_freq}
    embedding_op.meta_rule(weight, indices, **settings)  # type: ignore[misc]
    return embedding_op(weight, indices, **settings)  # type: ignore[no-any-return]


export("embedding", embedding)
