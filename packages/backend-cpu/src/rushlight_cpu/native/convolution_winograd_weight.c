/* The gradient of a 3x3 weight in the domain of Winograd's transforms.

   Transposed, the transforms of the convolution give this sum: at each of the (m + 2)^2 points, of
   tiles of m x m gradients and of the input they come from, a matrix product sums over tiles what
   windows would sum over pixels.

       dw = G' (sum over tiles of (A g A') * (B' x B)) G

   Points of gradients have consecutive tiles, points of the input consecutive channels; tiles are
   taken in strips of 48.  Where all sums fit a core's cache, each task adds up a share of the
   strips by itself.  Else the steps are done for many strips in turn, and a task multiplies at one
   point. */
#include "convolution_winograd.h"

#include <stdatomic.h>

#define SEGMENT 32                     /* pixels of outputs transformed together */
#define PATCH (SEGMENT + 2 + RL_LANES) /* ... of inputs, and a vector more */
#define OWN_SUMS ((int64_t)640 << 10)  /* bytes of sums that a core keeps */
#define ALL_FLOATS ((int64_t)8 << 20)  /* of points of many strips */
#define MOST_CHUNKS 16
#define CHUNK_STRIPS 5
#define ROW_BLOCK 64
#define CHANNEL_BLOCK 64
#define MOST_PIECES (4 * (4 * WINO_STRIP / RL_LANES + WINO_STRIP))
/* Costs in multiply-adds, as those of the convolution. */
#define TRANSFORM 30
#define TRANSFORM_SUM 30
#define START 3e5
#define PLAIN 1.2

typedef struct {
    const conv_shape *s;
    wino_grid grid;
    int n, points;
    int64_t rows, columns;              /* of the sums of one point, rounded up */
    int64_t vectors, panels;            /* of columns */
    int64_t g_point, x_point, sum_point; /* floats of one point */
    int64_t chunks, begin, end;         /* shares of the strips, or the strips at work */
    const float *g, *x;
    float *dw, *sums, *g_points, *x_points;
    rl_slots slots;
    atomic_int bad;
} work;

/* Products: c = a b, plus c where `add`. Rows of a are a strip long, those of b `step` floats. */
#define PRODUCT(NAME, NV)                                                                         \
    static void NAME(int64_t depth, const float *a, const float *b, int64_t step, float *c,       \
                     int64_t ldc, bool add) {                                                     \
        rl_vector s[RL_MR][NV];                                                                   \
        _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                                 \
            _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) {                                \
                s[i][v] = add ? rl_load(c + i * ldc + v * RL_LANES) : (rl_vector){0};             \
            }                                                                                     \
        }                                                                                         \
        for (int64_t k = 0; k < depth; k++, a++, b += step) {                                     \
            rl_vector y[NV];                                                                      \
            _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) y[v] = rl_load(b + v * RL_LANES); \
            _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                             \
                const rl_vector x = rl_splat(a[i * WINO_STRIP]);                                  \
                _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) s[i][v] += x * y[v];         \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                                 \
            _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) {                                \
                rl_store(c + i * ldc + v * RL_LANES, s[i][v]);                                    \
            }                                                                                     \
        }                                                                                         \
    }

PRODUCT(product_1, 1)
PRODUCT(product_2, 2)
#if RL_NV == 3
PRODUCT(product_3, 3)
static void (*const products[])(int64_t, const float *, const float *, int64_t, float *, int64_t,
                                bool) = {product_1, product_2, product_3};
#else
static void (*const products[])(int64_t, const float *, const float *, int64_t, float *, int64_t,
                                bool) = {product_1, product_2};
#endif

/* The first vector of a panel of columns. */
static int64_t panel_start(const work *w, int64_t panel) { return panel * w->vectors / w->panels; }

/* Adds a strip of `tiles` to rows [from, to) of the sums of one point. */
static void multiply(const work *w, int64_t tiles, const float *g, const float *x, float *sums,
                     int64_t from, int64_t to, bool add) {
    for (int64_t panel = 0; panel < w->panels; panel++) {
        const int64_t start = panel_start(w, panel), some = panel_start(w, panel + 1) - start;
        const float *b = x + start * RL_LANES * WINO_STRIP;
        for (int64_t row = from; row < to; row += RL_MR) {
            products[some - 1](tiles, g + row * WINO_STRIP, b, some * RL_LANES,
                               sums + row * w->columns + start * RL_LANES, w->columns, add);
        }
    }
}

/* Points of the gradients */

WINO_INLINE void gradient_points(const work *w, int m, const float *lines, float *to,
                                 int64_t vectors) {
    const int n = m + 2;
    for (int64_t i = 0; i < vectors; i++, to += RL_LANES) {
        rl_vector d[4 * 4], half[WINO_MOST * 4], v[WINO_MOST];
        _Pragma("GCC unroll 4") for (int y = 0; y < m; y++) {
            wino_split(m, lines + y * WINO_LINE + i * m * RL_LANES, d + y * m, m);
        }
        _Pragma("GCC unroll 4") for (int x = 0; x < m; x++) wino_gradient(m, d + x, half + x, m, m);
        _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
            wino_gradient(m, half + y * m, v, 1, 1);
            _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) {
                rl_store(to + (y * n + x) * w->g_point, v[x]);
            }
        }
    }
}

/* ... of output channels [from, to) of a strip. */
static void transform_gradient(const work *w, const wino_strip *s, float *points, int64_t from,
                               int64_t to) {
    const conv_shape *c = w->s;
    wino_piece pieces[MOST_PIECES];
    float lines[4 * WINO_LINE] __attribute__((aligned(64)));
    int count = 0;
    for (int y = 0; y < w->grid.m; y++) {
        count += wino_find_pieces(&w->grid, s, y, 0, c->out[1], c->out[2], c->outer * c->out_plane,
                                  y * WINO_LINE, pieces + count);
    }
    memset(lines, 0, sizeof lines);
    const int64_t vectors = conv_ceil(s->tiles, RL_LANES);
    for (int64_t row = from; row < conv_min(to, c->outer); row++) {
        const float *g = w->g + row * c->out_plane;
        for (int i = 0; i < count; i++) wino_copy(lines, g, &pieces[i]);
        if (w->grid.m == 2) {
            gradient_points(w, 2, lines, points + row * WINO_STRIP, vectors);
        } else {
            gradient_points(w, 4, lines, points + row * WINO_STRIP, vectors);
        }
    }
    for (int64_t row = c->outer; row < to; row++) { /* rows that fill up a panel */
        for (int point = 0; point < w->points; point++) {
            memset(points + point * w->g_point + row * WINO_STRIP, 0, WINO_STRIP * sizeof *points);
        }
    }
}

/* Points of the input */

/* `pixels` of a row from x on, of up to RL_LANES channels, with the channels last. */
static void copy_pixels(float *to, const float *x, int64_t plane, int64_t channels, int64_t lo,
                        int64_t hi, int64_t pixels) {
    memset(to, 0, (size_t)(pixels * RL_LANES) * sizeof *to);
    hi = conv_min(hi, pixels);
    int64_t i = lo;
#if defined(__AVX512F__)
    for (; channels == RL_LANES && i + 16 <= hi; i += 16) {
        conv_transpose_16(to + i * 16, 16, x + i, plane);
    }
    const __m512i step = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32((int)plane));
    const __mmask16 mask = (__mmask16)((1u << channels) - 1);
    for (; i < hi; i++) {
        _mm512_storeu_ps(to + i * 16,
                         _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, step, x + i, 4));
    }
#endif
    for (; i < hi; i++) {
        for (int64_t c = 0; c < channels; c++) to[i * RL_LANES + c] = x[c * plane + i];
    }
}

/* Points of a vector of channels, of some tiles that follow each other. */
WINO_INLINE void input_points(const work *w, int m, const float *patch, float *to, int64_t step,
                              int64_t tiles) {
    const int n = m + 2;
    for (int64_t t = 0; t < tiles; t++, patch += m * RL_LANES, to += step) {
        rl_vector d[WINO_MOST * WINO_MOST];
        _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
            _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) {
                d[y * n + x] = rl_load(patch + (y * PATCH + x) * RL_LANES);
            }
        }
        wino_input_tile(m, d, to, w->x_point);
    }
}

/* ... of input channels [from, to) of a strip, `from` a multiple of RL_LANES. */
static void transform_input(const work *w, const wino_strip *s, float *points, int64_t from,
                            int64_t to) {
    const conv_shape *c = w->s;
    const int m = w->grid.m;
    float patch[WINO_MOST * PATCH * RL_LANES] __attribute__((aligned(64)));
    for (int64_t channel = from; channel < to; channel += RL_LANES) {
        const int64_t vector = channel / RL_LANES, some = conv_min(c->inner - channel, RL_LANES);
        int64_t panel = 0;
        while (panel_start(w, panel + 1) <= vector) panel++;
        const int64_t start = panel_start(w, panel);
        const int64_t step = (panel_start(w, panel + 1) - start) * RL_LANES;
        float *at = points + (start * WINO_STRIP + vector - start) * RL_LANES;
        for (int r = 0; r < s->count; r++) {
            const wino_run *run = &s->runs[r];
            const float *image = c->size[1] * c->size[2] * (run->image * c->inner + channel) + w->x;
            for (int64_t i = 0; i < run->length; i += SEGMENT / m) {
                const int64_t tiles = conv_min(run->length - i, SEGMENT / m);
                const int64_t x = (run->x + i) * m - c->padding[2];
                for (int line = 0; line < w->n; line++) {
                    const int64_t y = run->y * m + line - c->padding[1];
                    const bool inside = y >= 0 && y < c->size[1];
                    const int64_t lo = inside ? conv_max(-x, 0) : 0;
                    const int64_t hi = inside ? conv_max(c->size[2] - x, lo) : 0;
                    copy_pixels(patch + line * PATCH * RL_LANES, image + y * c->size[2] + x,
                                c->size[1] * c->size[2], some, lo, hi, tiles * m + 2);
                }
                float *into = at + (run->column + i) * step;
                if (m == 2) {
                    input_points(w, 2, patch, into, step, tiles);
                } else {
                    input_points(w, 4, patch, into, step, tiles);
                }
            }
        }
    }
}

/* Chunks */

static void chunk_task(void *context, int64_t chunk) {
    work *w = context;
    int slot;
    float *g = rl_take_slot(&w->slots, &slot), *x = g + w->points * w->g_point;
    float *sums = w->sums + chunk * w->points * w->sum_point;
    const int64_t first = chunk * w->grid.strips / w->chunks;
    for (int64_t at = first; at < (chunk + 1) * w->grid.strips / w->chunks; at++) {
        wino_strip s;
        wino_find_runs(&w->grid, at, &s);
        transform_gradient(w, &s, g, 0, w->rows);
        transform_input(w, &s, x, 0, w->columns);
        for (int point = 0; point < w->points; point++) {
            multiply(w, s.tiles, g + point * w->g_point, x + point * w->x_point,
                     sums + point * w->sum_point, 0, w->rows, at > first);
        }
    }
    rl_give_slot(&w->slots, slot);
}

/* Step by step */

/* Points of a block of channels, of the gradients and then of the input, of a strip. */
static void points_task(void *context, int64_t index) {
    work *w = context;
    const int64_t outer = conv_ceil(w->rows, CHANNEL_BLOCK);
    const int64_t blocks = outer + conv_ceil(w->columns, CHANNEL_BLOCK);
    const int64_t strip = index / blocks, block = index % blocks;
    wino_strip s;
    wino_find_runs(&w->grid, w->begin + strip, &s);
    if (block < outer) {
        transform_gradient(w, &s, w->g_points + strip * w->points * w->g_point,
                           block * CHANNEL_BLOCK,
                           conv_min((block + 1) * CHANNEL_BLOCK, w->rows));
    } else {
        transform_input(w, &s, w->x_points + strip * w->points * w->x_point,
                        (block - outer) * CHANNEL_BLOCK,
                        conv_min((block - outer + 1) * CHANNEL_BLOCK, w->columns));
    }
}

static void sum_task(void *context, int64_t index) {
    work *w = context;
    const int64_t blocks = conv_ceil(w->rows, ROW_BLOCK), point = index / blocks;
    const int64_t from = index % blocks * ROW_BLOCK, to = conv_min(from + ROW_BLOCK, w->rows);
    for (int64_t strip = w->begin; strip < w->end; strip++) {
        const int64_t tiles = conv_min(w->grid.tiles - strip * WINO_STRIP, WINO_STRIP);
        const int64_t at = (strip - w->begin) * w->points + point;
        multiply(w, tiles, w->g_points + at * w->g_point, w->x_points + at * w->x_point,
                 w->sums + point * w->sum_point, from, to, strip > 0);
    }
}

/* The weight's gradient from the sums */

WINO_INLINE void taps_of_row(const work *w, int m, int64_t row, rl_vector *seen) {
    const int n = m + 2;
    const int64_t inner = w->s->inner;
    for (int64_t channel = 0; channel < inner; channel += RL_LANES) {
        const float *from = w->sums + row * w->columns + channel;
        rl_vector u[WINO_MOST], half[3 * WINO_MOST], g[9];
        _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) {
            _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
                u[y] = rl_load(from + (y * n + x) * w->sum_point);
                for (int64_t k = 1; k < w->chunks; k++) {
                    u[y] += rl_load(from + (k * w->points + y * n + x) * w->sum_point);
                }
            }
            wino_taps(m, u, half + x, 1, n);
        }
        float *to = w->dw + (row * inner + channel) * 9;
        const int64_t some = conv_min(inner - channel, RL_LANES);
        _Pragma("GCC unroll 3") for (int y = 0; y < 3; y++) {
            wino_taps(m, half + y * n, g + 3 * y, 1, 1);
        }
        for (int t = 0; t < 9; t++) {
#if defined(__AVX512F__)
            const __m512i nine = _mm512_set_epi32(135, 126, 117, 108, 99, 90, 81, 72, 63, 54, 45,
                                                  36, 27, 18, 9, 0);
            const __mmask16 mask = (__mmask16)((1u << some) - 1);
            _mm512_mask_i32scatter_ps(to + t, mask, nine, (__m512)g[t], 4);
#else
            for (int64_t l = 0; l < some; l++) to[l * 9 + t] = g[t][l];
#endif
            *seen += g[t] * rl_splat(0);
        }
    }
}

static void finish(void *context, int64_t begin, int64_t end) {
    work *w = context;
    rl_vector seen = {0};
    for (int64_t row = begin; row < end; row++) {
        if (w->grid.m == 2) {
            taps_of_row(w, 2, row, &seen);
        } else {
            taps_of_row(w, 4, row, &seen);
        }
    }
    for (int l = 0; l < RL_LANES; l++) {
        if (seen[l] != seen[l]) atomic_store_explicit(&w->bad, 1, memory_order_relaxed);
    }
}

/* A call */

static bool is_window(const conv_shape *s) {
    for (int d = 0; d < CONV_DIMS; d++) {
        if (s->stride[d] != 1 || s->dilation[d] != 1) return false;
        if (s->kernel[d] != (d ? 3 : 1)) return false;
    }
    return s->groups == 1 && s->size[0] == 1 && s->out[0] == 1;
}

static double cost(const conv_shape *s, int m) {
    const double inner = (double)s->inner, outer = (double)s->outer, n = m + 2;
    const double tiles = (double)(s->batch * conv_ceil(s->out[1], m) * conv_ceil(s->out[2], m));
    return START + n * n * (tiles * (inner * outer + TRANSFORM * (inner + outer)) +
                            TRANSFORM_SUM * inner * outer);
}

/* Outputs along a dimension of a tile, or 0 where the plain way is quicker. */
static int choose(const conv_shape *s) {
    const double pixels = (double)(s->batch * s->out_plane);
    const double plain = PLAIN * 9 * pixels * (double)(s->inner * s->outer);
    const double small = cost(s, 2), large = cost(s, 4);
    if (large < 0.9 * small && large < plain) return 4;
    return small < plain ? 2 : 0;
}

/* The steps, once there is room. */
static void run(work *w, int64_t together) {
    if (w->slots.base) {
        rl_parallel(w->chunks, chunk_task, w);
    } else {
        for (int64_t begin = 0; begin < w->grid.strips; begin += together) {
            w->begin = begin, w->end = conv_min(begin + together, w->grid.strips);
            const int64_t blocks =
                conv_ceil(w->rows, CHANNEL_BLOCK) + conv_ceil(w->columns, CHANNEL_BLOCK);
            rl_parallel((w->end - begin) * blocks, points_task, w);
            rl_parallel(w->points * conv_ceil(w->rows, ROW_BLOCK), sum_task, w);
        }
    }
    rl_parallel_range(w->s->outer, conv_ceil(1 << 12, w->columns), finish, w);
}

bool conv_winograd_weight(const conv_shape *s, const float *g, const float *x, float *dw,
                          bool *done) {
    work w = {.s = s, .g = g, .x = x, .dw = dw};
    *done = false;
    if (!is_window(s)) return true;
    const int m = choose(s);
    if (!m) return true;
    w.grid = wino_make_grid(m, s->batch, s->out[1], s->out[2]);
    w.n = m + 2, w.points = w.n * w.n;
    w.rows = conv_ceil(s->outer, RL_MR) * RL_MR;
    w.vectors = conv_ceil(s->inner, RL_LANES), w.columns = w.vectors * RL_LANES;
    w.panels = conv_ceil(w.vectors, RL_NV);
    w.g_point = w.rows * WINO_STRIP + WINO_PAD, w.x_point = w.columns * WINO_STRIP + WINO_PAD;
    w.sum_point = w.rows * w.columns + WINO_PAD;
    const size_t real = sizeof(float), points = (size_t)w.points;
    const bool whole = w.points * w.sum_point * (int64_t)real <= OWN_SUMS;
    int64_t together = conv_max(1, ALL_FLOATS / (w.points * (w.g_point + w.x_point)));
    together = conv_min(together, w.grid.strips), w.chunks = 1;
    bool room;
    if (whole) {
        w.chunks = conv_max(1, conv_min(MOST_CHUNKS, w.grid.strips / CHUNK_STRIPS));
        room = rl_open_slots(&w.slots, points * (size_t)(w.g_point + w.x_point) * real, w.chunks);
    } else {
        w.g_points = rl_scratch(points * (size_t)(together * w.g_point) * real);
        w.x_points = w.g_points ? rl_scratch(points * (size_t)(together * w.x_point) * real) : NULL;
        room = w.x_points != NULL;
    }
    w.sums = room ? rl_scratch(points * (size_t)(w.chunks * w.sum_point) * real) : NULL;
    if (w.sums) {
        RL_RELEASE_GIL(true)
        run(&w, together);
        RL_TAKE_GIL
        *done = !atomic_load(&w.bad);
    }
    room = w.sums != NULL;
    rl_scratch_free(w.sums);
    rl_scratch_free(w.x_points);
    rl_scratch_free(w.g_points);
    rl_scratch_free(w.slots.base);
    return room;
}
