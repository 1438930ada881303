"""Scaled dot-product attention in tiles of queries: the score matrix is never whole.

References:
    Rabe and Staats (2021), Self-attention does not need O(n^2) memory.
    Dao et al. (2022), FlashAttention (backward from the saved log-sum-exp).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, zeros

# Scores in work at a time: they pass through five ufuncs and two products in the L2 cache.
SCORES = 2**17
# Shortest useful tile: below, the products lose more than the cache wins.
LEAST = 64


class _Tiles:
    """How heads and queries are cut, and the masked scores of a tile."""

    def __init__(
        self, lead: tuple[int, ...], queries: int, keys: int, mask: Array | None, causal: bool
    ) -> None:
        self.lead, self.queries, self.keys, self.causal = lead, queries, keys, causal
        self.mask = None if mask is None else np.broadcast_to(mask, (*lead, queries, keys))
        self.tile = min(queries, max(LEAST, SCORES // max(1, keys)))
        self.heads = max(1, SCORES // max(1, self.tile * keys)) if self.tile == queries else 1

    def cuts(self, start: int, stop: int) -> Iterator[tuple[slice, slice, int]]:
        """Heads, queries, and how many keys the tile may see."""
        for head in range(start, stop, self.heads):
            some = slice(head, min(head + self.heads, stop))
            for first in range(0, self.queries, self.tile):
                last = min(first + self.tile, self.queries)
                yield some, slice(first, last), min(last, self.keys) if self.causal else self.keys

    def hide(self, scores: Array, heads: slice, rows: slice) -> None:
        """Applies the mask and the causal rule to the scores (heads, rows, keys seen)."""
        seen = scores.shape[2]
        if self.mask is not None:
            for place, head in enumerate(range(heads.start, heads.stop)):
                at = np.unravel_index(head, self.lead) if self.lead else ()
                part = self.mask[at][rows, :seen]
                if part.dtype == np.bool_:
                    np.copyto(scores[place], -np.inf, where=~part)
                else:
                    scores[place] += part
        if self.causal:
            first = min(rows.start, seen)
            late = np.arange(first, seen) > np.arange(rows.start, rows.stop)[:, None]
            np.copyto(scores[:, :, first:], -np.inf, where=late)


def _flat(x: Array) -> Array:
    return x.reshape(prod(x.shape[:-2]), *x.shape[-2:])


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
    out: Array = zeros((*lead, queries, v.shape[-1]), q.dtype)
    lse: Array = np.full((*lead, queries), -np.inf, q.dtype)
    if out.size == 0 or keys == 0:
        return out, lse
    qs, ks, vs, outs = _flat(q), _flat(k), _flat(v), _flat(out)
    lses = lse.reshape(-1, queries)
    tiles = _Tiles(lead, queries, keys, mask, is_causal)

    def part(start: int, stop: int) -> None:
        heads = min(tiles.heads, stop - start)
        room = empty(heads * tiles.tile * keys, q.dtype)
        for some, rows, seen in tiles.cuts(start, stop):
            shape = (some.stop - some.start, rows.stop - rows.start, seen)
            scores = room[: prod(shape)].reshape(shape)
            scaled = qs[some, rows] * q.dtype.type(scale)
            np.matmul(scaled, ks[some, :seen].swapaxes(1, 2), out=scores)
            tiles.hide(scores, some, rows)
            top = scores.max(axis=2, keepdims=True)
            if tiles.mask is not None:
                # A fully masked row: unshifted, its exponentials are zeros instead of NaN.
                np.copyto(top, 0, where=top == -np.inf)
            scores -= top
            np.exp(scores, out=scores)
            total = scores.reshape(-1, seen) @ np.ones(seen, q.dtype)
            total = total.reshape(*shape[:2], 1)
            lses[some, rows] = (np.log(total) + top)[:, :, 0]
            np.copyto(total, 1, where=total == 0)
            result = np.matmul(scores, vs[some, :seen])
            np.divide(result, total, out=outs[some, rows])

    _parallel.split(len(qs), 6.0 * len(qs) * queries * keys, part)
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
    dq, dk, dv = (zeros(a.shape, q.dtype) for a in (q, k, v))
    if g.size == 0 or keys == 0:
        return dq, dk, dv
    qs, ks, vs, gs = _flat(q), _flat(k), _flat(v), _flat(g)
    dqs, dks, dvs = _flat(dq), _flat(dk), _flat(dv)
    lses = lse.reshape(-1, queries, 1)
    # A query that saw no key has lse -inf: +inf makes its weights exp(-inf), which is zero.
    lses = np.where(lses == -np.inf, q.dtype.type(np.inf), lses)
    delta = np.einsum("hqf,hqf->hq", gs, _flat(out))[:, :, None]
    tiles = _Tiles(lead, queries, keys, mask, is_causal)
    factor = q.dtype.type(scale)

    def part(start: int, stop: int) -> None:
        heads = min(tiles.heads, stop - start)
        rooms = empty((2, heads * tiles.tile * keys), q.dtype)
        for some, rows, seen in tiles.cuts(start, stop):
            shape = (some.stop - some.start, rows.stop - rows.start, seen)
            weights, slopes = (room[: prod(shape)].reshape(shape) for room in rooms)
            key, value = ks[some, :seen], vs[some, :seen]
            scaled, grad = qs[some, rows] * factor, gs[some, rows]
            np.matmul(scaled, key.swapaxes(1, 2), out=weights)
            tiles.hide(weights, some, rows)
            weights -= lses[some, rows]
            np.exp(weights, out=weights)
            dvs[some, :seen] += np.matmul(weights.swapaxes(1, 2), grad)
            np.matmul(grad, value.swapaxes(1, 2), out=slopes)
            slopes -= delta[some, rows]
            slopes *= weights
            dqs[some, rows] = np.matmul(slopes, key) * factor
            dks[some, :seen] += np.matmul(slopes.swapaxes(1, 2), scaled)

    _parallel.split(len(qs), 12.0 * len(qs) * queries * keys, part)
    return dq, dk, dv


KERNELS: dict[str, Kernel] = {
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "attention_backward": attention_backward,
}
