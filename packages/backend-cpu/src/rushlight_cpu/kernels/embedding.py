"""Embedding: rows of a table by index, and the scatter-add of gradients back into it."""

from __future__ import annotations

import numpy as np

from rushlight._errors import error
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import zeros

# Rounds of unique indices before the rest is summed index by index.
ROUNDS = 32
# Up to this many columns, one weighted histogram per column is fastest.
NARROW = 4


def check_rows(who: str, indices: Array, count: int) -> None:
    """Raises torch's IndexError unless every index names one of `count` rows."""
    if indices.size == 0:
        return
    low, high = indices.min(), indices.max()
    if low < 0 or high >= count:
        raise error(
            IndexError,
            who,
            "index out of range in self",
            given=f"index {low if low < 0 else high}, a table of {count} rows",
            expected=f"0 <= index < {count}",
        )


def embedding(
    weight: Array,
    indices: Array,
    *,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Array:
    """Rows of `weight` (V, D) at `indices`, in shape (*indices, D).

    The settings only concern the gradient.
    """
    check_rows("embedding", indices, weight.shape[0])
    # The bounds are known to hold: "clip" only avoids the buffered copy of the default mode.
    out: Array = np.take(weight, indices, axis=0, mode="clip" if weight.shape[0] else "raise")
    return out


@reduced_precision()
def embedding_backward(
    g: Array,
    indices: Array,
    *,
    num_embeddings: int,
    padding_idx: int | None,
    scale_grad_by_freq: bool,
) -> Array:
    """Sums the rows of `g` (*indices, D) by index into a table (num_embeddings, D)."""
    check_rows("embedding", indices, num_embeddings)
    width = g.shape[-1]
    where = indices.reshape(-1)
    rows = g.reshape(prod(indices.shape), width)
    if scale_grad_by_freq and where.size:
        counts = np.bincount(where, minlength=num_embeddings)
        rows = rows / counts[where].astype(g.dtype)[:, None]
    out = scatter_add_rows(rows, where, num_embeddings)
    if padding_idx is not None and padding_idx >= 0:
        out[padding_idx] = 0
    return out


def scatter_add_rows(rows: Array, where: Array, count: int) -> Array:
    """Table of `count` rows: sums of the `rows` whose entry in `where` is the table's row.

    Works in rounds: round r adds every row that is the r-th of its index, so indices within a
    round are unique and one indexed addition does them all. Frequent indices, which would need
    many rounds, are summed one by one from where sorting put them together.
    """
    width = rows.shape[1]
    out: Array = zeros((count, width), rows.dtype)
    if rows.size == 0:
        return out
    if width <= NARROW and rows.dtype.kind == "f":
        for column in range(width):
            out[:, column] = np.bincount(where, rows[:, column], count)
        return out
    order = np.argsort(where, kind="stable")
    ordered = where[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.append(starts, len(ordered)))
    index = ordered[starts]
    out[index] = rows[order[starts]]
    for rank in range(1, min(int(lengths.max()), ROUNDS)):
        more = lengths > rank
        starts, lengths, index = starts[more], lengths[more], index[more]
        out[index] += rows[order[starts + rank]]
    for at, start, length in zip(index, starts, lengths, strict=True):
        if length > ROUNDS:
            out[at] += rows[order[start + ROUNDS : start + length]].sum(axis=0)
    return out


KERNELS: dict[str, Kernel] = {
    "embedding": embedding,
    "embedding_backward": embedding_backward,
}
