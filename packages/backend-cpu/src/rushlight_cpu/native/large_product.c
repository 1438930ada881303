/* One large product of float32 matrices, by tiles of the result.

   BLAS packs both operands of each part of a result, and reads them from memory again to use
   them.  Here a strip of b is packed into the second-level cache and used at once.  Rows of a are
   read where they lie, and columns of a transposed a if they are near each other; if not, a is
   packed first, once for all tiles.  Work is cut by sizes only. */
#include "large_product.h"

#include "rl.h"
#include "rl_gemm.h"
#include "rl_slots.h"

#define CACHED_DEPTH 512 /* of a strip */
#define PACKED_ROWS (8 * RL_MR) /* at a time: panels lie too far apart for many to be cached */
#define STAGE (2 * CACHED_DEPTH) /* of a, packed at a time */
#define NEAR 384 /* floats from one row of a transposed a to the next, not to be packed */
#define TILE_ROWS 512
#define TILE_COLUMNS (8 * RL_NR)
#define ENOUGH_TILES 8
#define LEAST_COLUMNS 64
#define LEAST_ROWS 32

typedef struct {
    const rl_large_product *p;
    int64_t tile_rows, tile_columns, across;
    int64_t depth; /* of a strip */
    int64_t first, last; /* of k, at this stage */
    float *panels;       /* a packed, a piece of `depth` after the other; or NULL */
    rl_slots slots;      /* a strip of b each */
} work;

static inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static inline int64_t up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

/* Packing */

static inline int64_t panels_at(const work *w, int64_t k, int64_t i, int64_t depth) {
    return up(w->p->m, RL_MR) * (k - w->first) + i * depth;
}

/* Rows of a transposed a in panels of RL_MR, [k][RL_MR]; rows past the last are 0. */
static void pack_a(void *context, int64_t task) {
    const work *w = context;
    const rl_large_product *p = w->p;
    int64_t i = task * PACKED_ROWS, rows = least(PACKED_ROWS, p->m - i);
    int64_t whole = rows / RL_MR * RL_MR;
    for (int64_t first = w->first; first < w->last; first += w->depth) {
        int64_t depth = least(w->depth, w->last - first);
        float *to = w->panels + panels_at(w, first, i, depth);
        const float *a = p->a + first * p->lda + i;
        rl_pack_rows(to + whole * depth, a + whole, rows - whole, depth, 1, p->lda);
        for (int64_t k = 0; k < depth; k++, a += p->lda) {
            float *at = to + k * RL_MR;
            for (int64_t j = 0; j < rows; j += 16) __builtin_prefetch(a + RL_AHEAD * p->lda + j);
            for (int64_t j = 0; j < whole; j += RL_MR, at += RL_MR * depth) {
                memcpy(at, a + j, sizeof(float) * RL_MR);
            }
        }
    }
}

/* Tiles */

/* c = a b + from, where `from` (rows `from_row` apart) may be c, another matrix, or NULL.  Rows of a
   are `lda` apart, or columns if it is turned: RL_MR where it is packed. */
static inline __attribute__((always_inline)) void tile(const int nv, const bool turned,
                                                       int64_t depth, const float *a, int64_t lda,
                                                       const float *b, float *c, int64_t ldc,
                                                       const float *from, int64_t from_row) {
    rl_vector s[RL_MR][RL_NV];
    _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) {
            s[i][v] = (rl_vector){0};
            __builtin_prefetch(c + i * ldc + v * RL_LANES, 1);
        }
    }
    for (int64_t k = 0; k < depth; k++, b += nv * RL_LANES) {
        rl_vector x[RL_NV];
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) x[v] = rl_load(b + v * RL_LANES);
        _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {
            rl_vector w = rl_splat(turned ? a[k * lda + i] : a[i * lda + k]);
            _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) s[i][v] += w * x[v];
        }
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) {
            rl_vector sum = s[i][v];
            if (from) sum += rl_load(from + i * from_row + v * RL_LANES);
            rl_store(c + i * ldc + v * RL_LANES, sum);
        }
    }
}

typedef struct {
    int64_t rows, depth;
    const float *a;
    int64_t lda, panel; /* from RL_MR rows to the next */
    const float *b;
    float *c;
    int64_t ldc;
    const float *from;
    int64_t from_row;
} strip;

/* All whole panels of RL_MR rows. */
#define PANELS(NAME, NV, TURNED)                                                                  \
    static __attribute__((noinline)) void NAME(strip s) {                                         \
        for (; s.rows >= RL_MR; s.rows -= RL_MR, s.a += s.panel, s.c += RL_MR * s.ldc) {          \
            tile(NV, TURNED, s.depth, s.a, s.lda, s.b, s.c, s.ldc, s.from, s.from_row);           \
            if (s.from) s.from += RL_MR * s.from_row;                                             \
        }                                                                                         \
    }
PANELS(rows_1, 1, false)
PANELS(rows_2, 2, false)
PANELS(columns_1, 1, true)
PANELS(columns_2, 2, true)
#if RL_NV > 2
PANELS(rows_3, 3, false)
PANELS(columns_3, 3, true)
#else
#define rows_3 rows_2
#define columns_3 columns_2
#endif

static void whole_panels(strip s, bool turned, int64_t vectors) {
    (turned ? vectors == 1 ? columns_1 : vectors == 2 ? columns_2 : columns_3
            : vectors == 1 ? rows_1 : vectors == 2 ? rows_2 : rows_3)(s);
}

/* The same for what is no whole panel, or no whole vectors: by way of a tile that is. */
static void border(strip s, bool turned, int64_t columns) {
    _Alignas(64) float whole[RL_MR * RL_NR], rows[RL_MR * CACHED_DEPTH];
    for (; s.rows > 0; s.rows -= RL_MR, s.a += s.panel, s.c += RL_MR * s.ldc) {
        int64_t some = least(s.rows, RL_MR);
        rl_pack_rows(rows, s.a, some, s.depth, turned ? 1 : s.lda, turned ? s.lda : 1);
        whole_panels((strip){RL_MR, s.depth, rows, RL_MR, 0, s.b, whole, RL_NR, NULL, 0}, true,
                     up(columns, RL_LANES) / RL_LANES);
        for (int64_t i = 0; i < some; i++) {
            const float *sums = whole + i * RL_NR;
            const float *more = s.from ? s.from + i * s.from_row : NULL;
            for (int64_t j = 0; j < columns; j++) {
                s.c[i * s.ldc + j] = more ? sums[j] + more[j] : sums[j];
            }
        }
        if (s.from) s.from += RL_MR * s.from_row;
    }
}

static void compute(void *context, int64_t task) {
    work *w = context;
    const rl_large_product *p = w->p;
    int64_t i = task / w->across * w->tile_rows, j = task % w->across * w->tile_columns;
    int64_t rows = least(p->m - i, w->tile_rows), last = least(p->n, j + w->tile_columns);
    int slot;
    float *b = rl_take_slot(&w->slots, &slot);
    for (int64_t k = w->first; k < w->last; k += w->depth) {
        int64_t depth = least(w->depth, w->last - k);
        const float *a = p->turned_a ? p->a + k * p->lda + i : p->a + i * p->lda + k;
        int64_t lda = p->lda, panel = RL_MR * (p->turned_a ? 1 : p->lda);
        if (w->panels) a = w->panels + panels_at(w, k, i, depth), lda = RL_MR, panel = RL_MR * depth;
        for (int64_t column = j, some; column < last; column += some) {
            some = rl_strip_width(last - column);
            const float *from = p->b + (p->turned_b ? column * p->ldb + k : k * p->ldb + column);
            rl_pack_columns(true, b, from, p->ldb, p->turned_b, depth, some);
            float *c = p->c + i * p->ldc + column;
            strip s = {rows, depth, a, lda, panel, b, c, p->ldc, c, p->ldc};
            if (!k) {
                s.from_row = p->start_row;
                s.from = p->start ? p->start + i * p->start_row + column : NULL;
            }
            if (some % RL_LANES == 0) {
                int64_t whole = rows / RL_MR * RL_MR;
                whole_panels(s, p->turned_a, some / RL_LANES);
                s.rows -= whole, s.a += whole / RL_MR * panel, s.c += whole * s.ldc;
                if (s.from) s.from += whole * s.from_row;
            }
            if (s.rows) border(s, p->turned_a, some);
        }
    }
    rl_give_slot(&w->slots, slot);
}

/* The size of `parts` about equal parts, in whole units. */
static inline int64_t part(int64_t size, int64_t parts, int64_t unit) {
    return up((size + parts - 1) / parts, unit);
}

/* Cuts tiles until there are enough for several cores to share evenly; columns first, because
   every tile packs its strips of b. */
static void cut(work *w) {
    const rl_large_product *p = w->p;
    int64_t down = (p->m + TILE_ROWS - 1) / TILE_ROWS;
    w->across = (p->n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    while (down * w->across < ENOUGH_TILES) {
        if (part(p->n, 2 * w->across, RL_LANES) >= LEAST_COLUMNS) w->across *= 2;
        else if (part(p->m, 2 * down, RL_MR) >= LEAST_ROWS) down *= 2;
        else break;
    }
    w->tile_rows = part(p->m, down, RL_MR);
    w->tile_columns = part(p->n, w->across, RL_LANES);
    w->across = (p->n + w->tile_columns - 1) / w->tile_columns;
}

bool rl_is_large_product(int64_t m, int64_t n, int64_t k) {
#ifdef __FMA__
    return m >= 32 && n >= 32 && k >= 32 && m * n * k >= 1 << 22;
#else
    (void)m, (void)n, (void)k;
    return false;
#endif
}

bool rl_multiply_large(const rl_large_product *p) {
    work w = {.p = p};
    int64_t pieces = (p->k + CACHED_DEPTH - 1) / CACHED_DEPTH;
    w.depth = least(up((p->k + pieces - 1) / pieces, RL_LANES), CACHED_DEPTH);
    cut(&w);
    int64_t tiles = (p->m + w.tile_rows - 1) / w.tile_rows * w.across;
    bool packs = p->turned_a && p->lda > NEAR;
    int64_t packings = packs ? (p->m + PACKED_ROWS - 1) / PACKED_ROWS : 0;
    int64_t stage = packings ? STAGE / w.depth * w.depth : p->k;
    size_t room = (size_t)(up(p->m, RL_MR) * least(stage, p->k));
    if (packings && !(w.panels = rl_scratch(sizeof(float) * room))) return false;
    bool enough = rl_open_slots(&w.slots, sizeof(float) * (size_t)(RL_NR * w.depth), tiles);
    if (enough) {
        RL_RELEASE_GIL(true)
        for (; w.first < p->k; w.first = w.last) {
            w.last = least(w.first + stage, p->k);
            rl_parallel(packings, pack_a, &w);
            rl_parallel(tiles, compute, &w);
        }
        RL_TAKE_GIL
        rl_scratch_free(w.slots.base);
    }
    rl_scratch_free(w.panels);
    return enough;
}
