"""Scaled dot-product attention in tiles of queries: the score matrix is never whole.

Scores lie with keys down and queries across, so that maxima and sums over the keys are passes over
whole rows.  Operands are read where they lie, heads of one run at a time, and results lie as their
operands do: in models, heads are views of a product's columns.

References:
    Rabe and Staats (2021), Self-attention does not need O(n^2) memory.
    Dao et al. (2022), FlashAttention (backward from the saved log-sum-exp).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, rooms

# Scores in work at a time: they pass through five ufuncs and two products in the L2 cache.
SCORES = 2**17
# Shortest useful tile: below, the products lose more than the cache wins. Causal tiles are at most
# twice as long, since keys after the last query are not looked at.
LEAST = 64


class _Tiles:
    """How heads and queries are cut, and the masked scores of a tile.

    Heads are in stacks, (stacks, heads, L, E): one stack of all heads where arrays are whole.
    """

    def __init__(
        self, lead: tuple[int, ...], queries: int, keys: int, mask: Array | None, causal: bool,
        flat: bool,
    ) -> None:  # fmt: skip
        self.heads = prod(lead) if flat or not lead else lead[-1]
        self.stacks = prod(lead) // max(1, self.heads)
        self.lead, self.queries, self.keys, self.causal = lead, queries, keys, causal
        self.mask = None if mask is None else np.broadcast_to(mask, (*lead, queries, keys))
        self.tile = min(queries, max(LEAST, SCORES // max(1, keys)))
        if causal:
            self.tile = min(self.tile, max(LEAST, min(2 * LEAST, queries // 4)))
        most = max(1, SCORES // max(1, self.tile * keys)) if self.tile >= min(queries, LEAST) else 1
        parts = -(-self.heads // most)
        bounds = [self.heads * part // parts for part in range(parts + 1)]
        self.most = max(b - a for a, b in zip(bounds, bounds[1:], strict=False))
        self.groups = [
            (stack, slice(a, b))
            for stack in range(self.stacks)
            for a, b in zip(bounds, bounds[1:], strict=False)
        ]

    def stacked(self, x: Array) -> Array:
        return x.reshape(self.stacks, self.heads, *x.shape[len(self.lead) :])

    def rows(self) -> Iterator[tuple[slice, int]]:
        """Queries, the last ones first, and how many keys they may see."""
        for first in reversed(range(0, self.queries, self.tile)):
            last = min(first + self.tile, self.queries)
            yield slice(first, last), min(last, self.keys) if self.causal else self.keys

    def hide(self, scores: Array, stack: int, heads: slice, rows: slice) -> None:
        """Applies the mask and the causal rule to the scores (heads, keys seen, rows)."""
        seen = scores.shape[1]
        if self.mask is not None:
            for place, head in enumerate(range(heads.start, heads.stop)):
                number = stack * self.heads + head
                at = np.unravel_index(number, self.lead) if self.lead else ()
                part = self.mask[at][rows, :seen].T
                if part.dtype == np.bool_:
                    np.copyto(scores[place], -np.inf, where=~part)
                else:
                    scores[place] += part
        if self.causal and rows.start < seen:
            late = np.arange(rows.start, seen)[:, None] > np.arange(rows.start, rows.stop)
            np.copyto(scores[:, rows.start :], -np.inf, where=late)


def _whole(*arrays: Array) -> bool:
    return all(x.flags.c_contiguous for x in arrays)


def _like(x: Array, columns: int) -> Array:
    """An array that lies as `x`, with another number of columns."""
    order = sorted(range(x.ndim - 1), key=lambda dim: -x.strides[dim])
    made = empty((*(x.shape[dim] for dim in order), columns), x.dtype)
    back = [order.index(dim) for dim in range(x.ndim - 1)]
    return made.transpose(*back, x.ndim - 1)


def _with_column(x: Array, column: Any, scale: Any = 1) -> Array:
    """(heads, rows, columns) times a number, and one more column."""
    wide: Array = np.empty((*x.shape[:2], x.shape[2] + 1), x.dtype)
    np.multiply(x, scale, out=wide[..., :-1])
    wide[..., -1] = column
    return wide


@reduced_precision(keep=(1,))
def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, mask: Array | None, *, is_causal: bool, scale: float
) -> tuple[Array, Array]:
    """softmax(scale * q k^T + mask) v, and the log-sum-exp of each query's scores.

    `q` is (*lead, L, E), `k` (*lead, S, E), `v` (*lead, S, F); the mask broadcasts to
    (*lead, L, S), True or a finite number where a key may be seen. A query that sees no key
    gives zeros.
    """
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    out = _like(q, v.shape[-1])
    lse: Array = np.full((*lead, queries), -np.inf, q.dtype)
    if out.size == 0 or keys == 0:
        out[...] = 0
        return out, lse
    tiles = _Tiles(lead, queries, keys, mask, is_causal, _whole(q, k, v))
    qs, ks, vs, outs, lses = map(tiles.stacked, (q, k, v, out, lse))
    factor, ones = q.dtype.type(scale), np.ones((1, keys), q.dtype)
    into = outs if np.may_share_memory(outs, out) else np.empty_like(outs)

    def part(start: int, stop: int) -> None:
        (room,) = rooms(q.dtype, (tiles.most * tiles.tile * keys,))
        for stack, heads in tiles.groups[start:stop]:
            key, value = ks[stack, heads], vs[stack, heads]
            for rows, seen in tiles.rows():
                shape = (len(key), seen, rows.stop - rows.start)
                scores = room[: prod(shape)].reshape(shape)
                scaled = qs[stack, heads, rows] * factor
                np.matmul(key[:, :seen], scaled.swapaxes(1, 2), out=scores)
                tiles.hide(scores, stack, heads, rows)
                top = scores.max(axis=1)
                if tiles.mask is not None:
                    # A fully masked row: unshifted, its exponentials are zeros instead of NaN.
                    np.copyto(top, 0, where=top == -np.inf)
                np.subtract(scores, top[:, None], out=scores)
                np.exp(scores, out=scores)
                total = np.matmul(ones[:, :seen], scores)[:, 0]
                lses[stack, heads, rows] = np.log(total) + top
                np.copyto(total, 1, where=total == 0)
                result = np.matmul(scores.swapaxes(1, 2), value[:, :seen])
                np.divide(result, total[:, :, None], out=into[stack, heads, rows])

    _parallel.split(len(tiles.groups), 6.0 * prod(lead) * queries * keys, part)
    if into is not outs:
        out[...] = into.reshape(out.shape)
    return out, lse


@reduced_precision()
def attention_backward(
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    out: Array,
    lse: Array,
    *,
    is_causal: bool,
    scale: float,
) -> tuple[Array, Array, Array]:
    """Gradients towards q, k and v; the weights are recomputed tile by tile from `lse`."""
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    results = [_like(x, x.shape[-1]) for x in (q, k, v)]
    if g.size == 0 or keys == 0:
        for x in results:
            x[...] = 0
        return results[0], results[1], results[2]
    tiles = _Tiles(lead, queries, keys, mask, is_causal, _whole(q, k, v, g, out))
    qs, ks, vs, gs, outs, lses = map(tiles.stacked, (q, k, v, g, out, lse))
    made = [tiles.stacked(x) for x in results]
    made = [
        x if np.may_share_memory(x, y) else np.empty_like(x)
        for x, y in zip(made, results, strict=True)
    ]
    dqs, dks, dvs = made
    factor = q.dtype.type(scale)

    def part(start: int, stop: int) -> None:
        some_rooms = rooms(q.dtype, *((tiles.most * tiles.tile * keys,),) * 2)
        for stack, heads in tiles.groups[start:stop]:
            key, value = _with_column(ks[stack, heads], 1), _with_column(vs[stack, heads], 1)
            dk, dv = dks[stack, heads], dvs[stack, heads]
            begun = False
            for rows, seen in tiles.rows():
                shape = (len(key), seen, rows.stop - rows.start)
                weights, slopes = (room[: prod(shape)].reshape(shape) for room in some_rooms)
                # What is subtracted from the scores and slopes of a query is one more product.
                # A query that saw no key has lse -inf: -infinity makes its weights zero.
                known, grad = lses[stack, heads, rows], gs[stack, heads, rows]
                known = np.where(known == -np.inf, -np.inf, -known).astype(q.dtype, copy=False)
                delta = np.einsum("hqf,hqf->hq", grad, outs[stack, heads, rows])
                scaled = _with_column(qs[stack, heads, rows], known, factor)
                np.matmul(key[:, :seen], scaled.swapaxes(1, 2), out=weights)
                tiles.hide(weights, stack, heads, rows)
                np.exp(weights, out=weights)
                grads = _with_column(grad, -delta)
                np.matmul(value[:, :seen], grads.swapaxes(1, 2), out=slopes)
                np.multiply(slopes, weights, out=slopes)
                found = np.matmul(weights, grad), np.matmul(slopes, scaled[..., :-1])
                for total, more in zip((dv, dk), found, strict=True):
                    if begun:
                        total[:, :seen] += more
                    else:
                        total[:, :seen], total[:, seen:] = more, 0
                begun = True
                result = np.matmul(slopes.swapaxes(1, 2), key[:, :seen, :-1])
                np.multiply(result, factor, out=dqs[stack, heads, rows])

    _parallel.split(len(tiles.groups), 12.0 * prod(lead) * queries * keys, part)
    for x, y in zip(results, made, strict=True):
        if not np.may_share_memory(x, y):
            x[...] = y.reshape(x.shape)
    return results[0], results[1], results[2]


KERNELS: dict[str, Kernel] = {
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "attention_backward": attention_backward,
}
