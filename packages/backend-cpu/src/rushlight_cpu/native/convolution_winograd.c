/* 3x3 convolution with steps of 1 in the domain of Winograd's transforms (their header says which).

   The input of every tile of m x m outputs becomes (m + 2)^2 points, so does the weight, and at
   each point the channels are summed by a matrix product.  Tiles are taken in strips of 48, whose
   points are rows of consecutive tiles.  Where the weight's points stay in a core's cache, a strip
   goes through all three steps in one task.  Else the steps are done for many strips in turn, and
   a task multiplies at one point.

   A transform mixes the pixels of a tile, so that an infinity or a NaN would reach outputs that do
   not see it: whoever calls is told when a result is not finite, and computes the plain way. */
#include "convolution_winograd.h"

#include <stdatomic.h>

#define TOGETHER (RL_LANES / RL_MR) /* channels of a vector of the weight */
#define SPAN 64 /* channels that are summed in a row */
#define MOST_PIECES (2 * WINO_MOST * (4 * WINO_STRIP / RL_LANES + WINO_STRIP))
#define OWN_CACHE ((int64_t)1200 << 10)   /* bytes of a weight's points that a core keeps */
#define BLOCK_FLOATS ((int64_t)56 << 10)  /* of products between two steps */
#define ALL_FLOATS ((int64_t)8 << 20)     /* of points and products of many strips */
#define CHANNEL_BLOCK 64
#define MOST_STEP (INT32_MAX / RL_LANES) /* lanes of a weight have offsets of 32 bits */
/* Costs in multiply-adds: of a value to and fro, of one of the weight, of a pass, and of a
   multiply-add done the plain way. */
#define TRANSFORM 25
#define TRANSFORM_WEIGHT 28
#define START 3e5
#define PLAIN 1.15

typedef struct {
    const conv_pass *p;
    wino_grid grid;
    int n, points;
    int64_t in_plane, out_plane, first[2];  /* first: pixel that output 0 begins at */
    int64_t depth, rows;                    /* channels and rows, rounded up */
    int64_t u_point, v_point, c_point;      /* floats of one point */
    int64_t block;                          /* rows between two steps */
    int64_t begin, end;                     /* strips at work */
    float *u, *v, *c;
    rl_slots slots;
    atomic_int bad;
} work;

/* Products */

/* c = a b, with RL_MR rows of packed a and NV vectors of columns.  Sums of SPAN channels are added
   up: rounding errors then hardly grow with the number of channels. */
#define PRODUCT(NAME, NV)                                                                         \
    static void NAME(int64_t depth, const float *a, const float *b, float *c) {                   \
        for (int64_t begin = 0; begin < depth; begin += SPAN) {                                   \
            rl_vector s[RL_MR][NV] = {0};                                                         \
            const int64_t some = conv_min(depth - begin, SPAN);                                   \
            for (int64_t k = 0; k < some; k++, a += RL_MR, b += RL_NR) {                          \
                rl_vector y[NV];                                                                  \
                _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) {                            \
                    y[v] = rl_load(b + v * RL_LANES);                                             \
                }                                                                                 \
                _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                         \
                    const rl_vector x = rl_splat(a[i]);                                           \
                    _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) s[i][v] += x * y[v];     \
                }                                                                                 \
            }                                                                                     \
            _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                             \
                _Pragma("GCC unroll 3") for (int v = 0; v < NV; v++) {                            \
                    float *to = c + i * WINO_STRIP + v * RL_LANES;                                     \
                    rl_store(to, begin ? s[i][v] + rl_load(to) : s[i][v]);                        \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }

PRODUCT(product_1, 1)
PRODUCT(product_2, 2)
#if RL_NV == 3
PRODUCT(product_3, 3)
#endif

/* Rows [from, to) of one point of a strip. */
static void multiply(const work *w, int point, const float *v, float *c, int64_t from, int64_t to,
                     int64_t vectors) {
    const float *u = w->u + point * w->u_point;
    const int64_t depth = w->p->channels;
    for (int64_t row = from; row < to; row += RL_MR, c += RL_MR * WINO_STRIP) {
        for (int panel = 0; panel * RL_NV < vectors; panel++) {
            const float *a = u + row * w->depth, *b = v + panel * depth * RL_NR;
            const int64_t some = vectors - panel * RL_NV;
            if (some == 1) {
                product_1(depth, a, b, c + panel * RL_NR);
            } else if (some == 2 || RL_NV == 2) {
                product_2(depth, a, b, c + panel * RL_NR);
            } else {
#if RL_NV == 3
                product_3(depth, a, b, c + panel * RL_NR);
#endif
            }
        }
    }
}

/* The weight's points */

/* Values of RL_MR rows of TOGETHER channels; those that are not there are 0. */
typedef struct {
    wino_lanes at;
    uint32_t there; /* a bit for each */
} lanes;

static lanes weight_lanes(const conv_pass *p, int64_t rows, int64_t channels) {
    lanes all = {0};
    for (int l = 0; l < RL_LANES; l++) {
        const int64_t i = l % RL_MR, c = l / RL_MR;
        if (i >= rows || c >= channels) continue;
        all.at[l] = (int32_t)(i * p->weight_row + c * p->weight_channel), all.there |= 1u << l;
    }
    return all;
}

static inline rl_vector load_weight(const float *x, const lanes *all) {
#if defined(__AVX512F__)
    return (rl_vector)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), (__mmask16)all->there,
                                               (__m512i)all->at, x, 4);
#else
    rl_vector v = {0};
    for (int l = 0; l < RL_LANES; l++) {
        if (all->there >> l & 1) v[l] = x[all->at[l]];
    }
    return v;
#endif
}

WINO_INLINE void weight_points(const work *w, int m, int64_t row) {
    const conv_pass *p = w->p;
    const int n = m + 2;
    int64_t taps[9];
    for (int t = 0; t < 9; t++) {
        const int64_t y = p->at[t][1] - w->first[0], x = p->at[t][2] - w->first[1];
        taps[y * 3 + x] = p->weight_at[t];
    }
    for (int64_t channel = 0; channel < w->depth; channel += TOGETHER) {
        const lanes all = weight_lanes(p, p->rows - row, p->channels - channel);
        const float *x = p->weight + row * p->weight_row + channel * p->weight_channel;
        rl_vector g[9], half[WINO_MOST * 3], u[WINO_MOST * WINO_MOST];
        _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) {
            g[t] = load_weight(x + taps[t], &all);
        }
        _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) wino_weight(m, g + j, half + j, 3, 3);
        _Pragma("GCC unroll 6") for (int i = 0; i < n; i++) {
            wino_weight(m, half + 3 * i, u + n * i, 1, 1);
        }
        float *to = w->u + row * w->depth + channel * RL_MR;
        _Pragma("GCC unroll 36") for (int i = 0; i < n * n; i++) {
            rl_store(to + i * w->u_point, u[i]);
        }
    }
}

static void weight_task(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t panel = begin; panel < end; panel++) {
        if (w->grid.m == 2) {
            weight_points(w, 2, panel * RL_MR);
        } else {
            weight_points(w, 4, panel * RL_MR);
        }
    }
}

/* The input's points */

/* Tiles read m + 2 pixels of a row and begin m after each other: the first m, and the m after
   those, of all tiles of a strip are put together. */
static int find_pieces(const work *w, const wino_strip *s, wino_piece *pieces) {
    const conv_pass *p = w->p;
    int count = 0;
    for (int line = 0; line < 2 * w->n; line++) {
        const int64_t y = w->first[0] + line / 2, x = w->first[1] + line % 2 * w->grid.m;
        count += wino_find_pieces(&w->grid, s, y, x, p->in_size[1], p->in_size[2],
                                  p->channels * w->in_plane, line * WINO_LINE, pieces + count);
    }
    return count;
}

/* Points of one channel; `v` is where its first vector of the first point goes. */
WINO_INLINE void input_points(const work *w, int m, const float *lines, float *v,
                              int64_t vectors) {
    const int n = m + 2;
    for (int i = 0; i < vectors; i++) {
        rl_vector d[WINO_MOST * WINO_MOST];
        const float *at = lines + i * m * RL_LANES;
        _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
            wino_split(m, at + 2 * y * WINO_LINE, d + y * n, m);
            wino_split(m, at + (2 * y + 1) * WINO_LINE, d + y * n + m, 2);
        }
        wino_input_tile(m, d, v + i / RL_NV * w->p->channels * RL_NR + i % RL_NV * RL_LANES,
                        w->v_point);
    }
}

/* Points of channels [from, to) of a strip. */
static void transform_input(const work *w, const wino_strip *s, float *v, int64_t from,
                            int64_t to) {
    wino_piece pieces[MOST_PIECES];
    float lines[2 * WINO_MOST * WINO_LINE] __attribute__((aligned(64)));
    const int count = find_pieces(w, s, pieces);
    memset(lines, 0, sizeof lines);
    for (int64_t c = from; c < to; c++) {
        const float *x = w->p->x + c * w->in_plane;
        for (int i = 0; i < count; i++) wino_copy(lines, x, &pieces[i]);
        if (w->grid.m == 2) {
            input_points(w, 2, lines, v + c * RL_NR, conv_ceil(s->tiles, RL_LANES));
        } else {
            input_points(w, 4, lines, v + c * RL_NR, conv_ceil(s->tiles, RL_LANES));
        }
    }
}

/* The outputs */

/* Pixels that follow each other in a row. */
typedef struct {
    int64_t to;
    int32_t from, length;
} span;

static int find_spans(const work *w, const wino_strip *s, span *spans) {
    const conv_pass *p = w->p;
    int count = 0;
    for (int r = 0; r < s->count; r++) {
        const wino_run *run = &s->runs[r];
        const int64_t x = run->x * w->grid.m;
        for (int i = 0; i < w->grid.m; i++) {
            const int64_t y = run->y * w->grid.m + i;
            if (y >= p->out_size[1]) break;
            span *one = &spans[count++];
            one->to = run->image * p->rows * w->out_plane + y * p->out_size[2] + x;
            one->from = (int32_t)(i * WINO_LINE + run->column * w->grid.m);
            one->length = (int32_t)conv_min(run->length * w->grid.m, p->out_size[2] - x);
        }
    }
    return count;
}

/* Lines of outputs of one row of products; `seen` becomes NaN if one is not finite. */
WINO_INLINE void output_lines(const work *w, int m, const float *c, float *lines, int64_t vectors,
                              rl_vector *seen) {
    const int n = m + 2;
    for (int i = 0; i < vectors; i++, c += RL_LANES, lines += m * RL_LANES) {
        rl_vector d[WINO_MOST], half[4 * WINO_MOST];
        _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) {
            _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
                d[y] = rl_load(c + (y * n + x) * w->c_point);
            }
            wino_output(m, d, half + x, 1, n);
        }
        _Pragma("GCC unroll 4") for (int y = 0; y < m; y++) {
            rl_vector out[4];
            wino_output(m, half + y * n, out, 1, 1);
            _Pragma("GCC unroll 4") for (int x = 0; x < m; x++) *seen += out[x] * rl_splat(0);
            wino_join(m, out, lines + y * WINO_LINE);
        }
    }
}

/* Outputs of rows [from, to) of a strip. */
static void transform_output(work *w, const wino_strip *s, const float *c, int64_t from,
                             int64_t to) {
    span spans[4 * WINO_STRIP];
    float lines[4 * WINO_LINE] __attribute__((aligned(64)));
    const int count = find_spans(w, s, spans);
    rl_vector seen = {0};
    for (int64_t row = from; row < to; row++, c += WINO_STRIP) {
        if (w->grid.m == 2) {
            output_lines(w, 2, c, lines, conv_ceil(s->tiles, RL_LANES), &seen);
        } else {
            output_lines(w, 4, c, lines, conv_ceil(s->tiles, RL_LANES), &seen);
        }
        float *out = w->p->out + row * w->out_plane;
        for (int i = 0; i < count; i++) {
            conv_store_row(out + spans[i].to, lines + spans[i].from, spans[i].length);
        }
    }
    for (int l = 0; l < RL_LANES; l++) {
        if (seen[l] != seen[l]) atomic_store_explicit(&w->bad, 1, memory_order_relaxed);
    }
}

/* A strip at once */

static void strip_task(void *context, int64_t strip) {
    work *w = context;
    int slot;
    float *v = rl_take_slot(&w->slots, &slot), *c = v + w->points * w->v_point;
    wino_strip s;
    wino_find_runs(&w->grid, strip, &s);
    transform_input(w, &s, v, 0, w->p->channels);
    for (int64_t row = 0; row < w->p->rows; row += w->block) {
        const int64_t to = conv_min(row + w->block, w->p->rows);
        for (int point = 0; point < w->points; point++) {
            multiply(w, point, v + point * w->v_point, c + point * w->c_point, row, to, conv_ceil(s.tiles, RL_LANES));
        }
        transform_output(w, &s, c, row, to);
    }
    rl_give_slot(&w->slots, slot);
}

/* Step by step */

static void input_task(void *context, int64_t index) {
    work *w = context;
    const int64_t blocks = conv_ceil(w->p->channels, CHANNEL_BLOCK), strip = index / blocks;
    const int64_t from = index % blocks * CHANNEL_BLOCK;
    wino_strip s;
    wino_find_runs(&w->grid, w->begin + strip, &s);
    transform_input(w, &s, w->v + strip * w->points * w->v_point, from,
                    conv_min(from + CHANNEL_BLOCK, w->p->channels));
}

static void point_task(void *context, int64_t index) {
    work *w = context;
    const int64_t blocks = conv_ceil(w->p->rows, w->block);
    const int point = (int)(index / blocks);
    const int64_t from = index % blocks * w->block, to = conv_min(from + w->block, w->p->rows);
    for (int64_t strip = 0; strip < w->end - w->begin; strip++) {
        const int64_t tiles = conv_min(w->grid.tiles - (w->begin + strip) * WINO_STRIP, WINO_STRIP);
        const float *v = w->v + (strip * w->points + point) * w->v_point;
        float *c = w->c + (strip * w->points + point) * w->c_point + from * WINO_STRIP;
        multiply(w, point, v, c, from, to, conv_ceil(tiles, RL_LANES));
    }
}

static void output_task(void *context, int64_t index) {
    work *w = context;
    const int64_t blocks = conv_ceil(w->p->rows, CHANNEL_BLOCK), strip = index / blocks;
    const int64_t from = index % blocks * CHANNEL_BLOCK;
    wino_strip s;
    wino_find_runs(&w->grid, w->begin + strip, &s);
    transform_output(w, &s, w->c + strip * w->points * w->c_point + from * WINO_STRIP, from,
                     conv_min(from + CHANNEL_BLOCK, w->p->rows));
}

/* A pass */

/* Whether a pass is a 3x3 window in steps of 1 over two dimensions, which `first` begins. */
static bool is_window(const conv_pass *p, int64_t *first) {
    if (p->taps != 9 || p->groups != 1 || p->count[0] != 1 || p->in_size[0] != 1) return false;
    if (conv_max(p->weight_row, p->weight_channel) > MOST_STEP) return false;
    for (int d = 0; d < CONV_DIMS; d++) {
        if (p->in_step[d] != 1 || p->out_step[d] != 1 || p->base[d]) return false;
        if (p->count[d] != p->out_size[d]) return false;
    }
    for (int d = 0; d < 2; d++) {
        first[d] = p->at[0][d + 1];
        for (int t = 0; t < 9; t++) first[d] = conv_min(first[d], p->at[t][d + 1]);
    }
    int seen = 0;
    for (int t = 0; t < 9; t++) {
        const int64_t y = p->at[t][1] - first[0], x = p->at[t][2] - first[1];
        if (p->at[t][0] || y > 2 || x > 2) return false;
        seen |= 1 << (y * 3 + x);
    }
    return seen == 0x1ff;
}

/* Multiply-adds, and what takes as long, of a pass with tiles of m x m outputs. */
static double cost(const conv_pass *p, int m) {
    const double channels = (double)p->channels, rows = (double)p->rows, n = m + 2;
    const int64_t tiles = p->batch * conv_ceil(p->out_size[1], m) * conv_ceil(p->out_size[2], m);
    const double columns = (double)(conv_ceil(tiles, RL_LANES) * RL_LANES);
    return START + n * n * (columns * (channels * rows + TRANSFORM * (channels + rows)) +
                            TRANSFORM_WEIGHT * channels * rows);
}

/* Outputs along a dimension of a tile, or 0 where the plain way is quicker. */
static int choose(const conv_pass *p) {
    const double outputs = (double)(p->batch * p->out_size[1] * p->out_size[2]);
    const double plain = PLAIN * 9 * outputs * (double)(p->channels * p->rows);
    const double small = cost(p, 2), large = cost(p, 4);
    /* The larger tile is the less exact one, the more so with few channels. */
    if (p->channels >= 32 && large < 0.9 * small && large < plain) return 4;
    return small < plain ? 2 : 0;
}

bool conv_winograd_pass(const conv_pass *p, bool *done) {
    work w = {.p = p};
    *done = false;
    if (!is_window(p, w.first)) return true;
    const int m = choose(p);
    if (!m) return true;
    w.grid = wino_make_grid(m, p->batch, p->out_size[1], p->out_size[2]);
    w.n = m + 2, w.points = w.n * w.n;
    w.in_plane = p->in_size[1] * p->in_size[2], w.out_plane = p->out_size[1] * p->out_size[2];
    w.depth = conv_ceil(p->channels, TOGETHER) * TOGETHER;
    w.rows = conv_ceil(p->rows, RL_MR) * RL_MR;
    w.u_point = w.rows * w.depth + WINO_PAD, w.v_point = p->channels * WINO_STRIP + WINO_PAD;
    const int64_t u_bytes = w.points * w.u_point * (int64_t)sizeof(float);
    const bool whole = u_bytes <= OWN_CACHE && w.grid.strips >= 16;
    const size_t real = sizeof(float);
    int64_t together = 0;
    if (whole) {
        w.block = conv_min(w.rows, conv_max(RL_MR, BLOCK_FLOATS / w.points / WINO_STRIP / RL_MR * RL_MR));
        w.c_point = w.block * WINO_STRIP + WINO_PAD;
        const size_t floats = (size_t)(w.points * (w.v_point + w.c_point));
        if (!rl_open_slots(&w.slots, floats * real, w.grid.strips)) return false;
    } else {
        w.block = conv_min(w.rows, CHANNEL_BLOCK), w.c_point = w.rows * WINO_STRIP + WINO_PAD;
        together = conv_max(1, ALL_FLOATS / (w.points * (w.v_point + w.c_point)));
        together = conv_min(together, w.grid.strips);
        w.v = rl_scratch((size_t)(together * w.points * w.v_point) * real);
        w.c = w.v ? rl_scratch((size_t)(together * w.points * w.c_point) * real) : NULL;
    }
    w.u = whole || w.c ? rl_scratch((size_t)u_bytes) : NULL;
    const bool room = w.u != NULL;
    if (room) {
        RL_RELEASE_GIL(true)
        rl_parallel_range(w.rows / RL_MR, 1, weight_task, &w);
        if (whole) {
            rl_parallel(w.grid.strips, strip_task, &w);
        }
        for (int64_t begin = 0; !whole && begin < w.grid.strips; begin += together) {
            w.begin = begin, w.end = conv_min(begin + together, w.grid.strips);
            const int64_t strips = w.end - begin;
            rl_parallel(strips * conv_ceil(p->channels, CHANNEL_BLOCK), input_task, &w);
            rl_parallel(w.points * conv_ceil(p->rows, w.block), point_task, &w);
            rl_parallel(strips * conv_ceil(p->rows, CHANNEL_BLOCK), output_task, &w);
        }
        RL_TAKE_GIL
        *done = !atomic_load(&w.bad);
    }
    rl_scratch_free(w.u);
    rl_scratch_free(w.c);
    rl_scratch_free(w.v);
    rl_scratch_free(w.slots.base);
    return room;
}
