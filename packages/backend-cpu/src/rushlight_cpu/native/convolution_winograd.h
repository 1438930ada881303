/* Winograd's minimal filtering of 3x3 windows (Lavin and Gray, "Fast algorithms for convolutional
   neural networks", 2016): the transforms, on vectors of tiles.

   m x m outputs of a tile cost (m + 2)^2 products instead of 9 m^2.  With 4 x 4 outputs the usual
   points 0, 1, -1, 2, -2 lose more than a decimal; with 0, 3/4, -3/4, 3/2, -3/2 the error is about
   twice that of the sum over windows, and with 2 x 2 (points 0, 1, -1) it is smaller. */
#ifndef RL_CONVOLUTION_WINOGRAD_H
#define RL_CONVOLUTION_WINOGRAD_H

#include "convolution.h"

#define WINO_MOST 6  /* points along a dimension */
#define WINO_STRIP 48 /* tiles; a multiple of all RL_NR */
#define WINO_PAD 16   /* floats: else points lie in the same cache sets */
#define WINO_LINE (4 * WINO_STRIP + RL_LANES)
#define WINO_INLINE static inline __attribute__((always_inline))

/* The points of 4 x 4 outputs besides 0 and infinity are +-P and +-Q. */
#define WINO_P 0.75f
#define WINO_Q 1.5f

/* v = B' d along one dimension: `d` and `v` in steps of `step` vectors. */
WINO_INLINE void wino_input(int m, const rl_vector *d, rl_vector *v, int step) {
    if (m == 2) {
        const rl_vector a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
        v[0] = a - c, v[step] = b + c, v[2 * step] = c - b, v[3 * step] = b - e;
        return;
    }
    const rl_vector p = rl_splat(WINO_P), q = rl_splat(WINO_Q);
    const rl_vector pp = rl_splat(WINO_P * WINO_P), qq = rl_splat(WINO_Q * WINO_Q);
    const rl_vector both = rl_splat(WINO_P * WINO_P * WINO_Q * WINO_Q);
    const rl_vector sum = rl_splat(WINO_P * WINO_P + WINO_Q * WINO_Q);
    const rl_vector a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step];
    const rl_vector even_p = f - qq * c, odd_p = p * (e - qq * b);
    const rl_vector even_q = f - pp * c, odd_q = q * (e - pp * b);
    v[0] = both * a - sum * c + f;
    v[step] = even_p + odd_p, v[2 * step] = even_p - odd_p;
    v[3 * step] = even_q + odd_q, v[4 * step] = even_q - odd_q;
    v[5 * step] = both * b - sum * e + d[5 * step];
}

/* B' d B of the pixels of a tile, stored `point` floats apart; `d` is overwritten. */
WINO_INLINE void wino_input_tile(int m, rl_vector *d, float *to, int64_t point) {
    const int n = m + 2;
    rl_vector half[WINO_MOST * WINO_MOST];
    _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) wino_input(m, d + x, half + x, n);
    _Pragma("GCC unroll 6") for (int y = 0; y < n; y++) {
        wino_input(m, half + y * n, d + y * n, 1);
        _Pragma("GCC unroll 6") for (int x = 0; x < n; x++) {
            rl_store(to + (y * n + x) * point, d[y * n + x]);
        }
    }
}

/* y = A' v: m outputs. */
WINO_INLINE void wino_output(int m, const rl_vector *v, rl_vector *y, int v_step, int y_step) {
    const rl_vector a = v[0], b = v[v_step], c = v[2 * v_step], e = v[3 * v_step];
    if (m == 2) {
        y[0] = a + b + c, y[y_step] = b - c - e;
        return;
    }
    const float p = WINO_P, q = WINO_Q;
    const rl_vector f = v[4 * v_step];
    const rl_vector even_p = b + c, odd_p = b - c, even_q = e + f, odd_q = e - f;
    y[0] = a + even_p + even_q;
    y[y_step] = rl_splat(p) * odd_p + rl_splat(q) * odd_q;
    y[2 * y_step] = rl_splat(p * p) * even_p + rl_splat(q * q) * even_q;
    y[3 * y_step] =
        rl_splat(p * p * p) * odd_p + rl_splat(q * q * q) * odd_q + v[5 * v_step];
}

/* v = A y: points of m gradients of outputs. */
WINO_INLINE void wino_gradient(int m, const rl_vector *y, rl_vector *v, int y_step, int v_step) {
    const rl_vector a = y[0], b = y[y_step];
    if (m == 2) {
        v[0] = a, v[v_step] = a + b, v[2 * v_step] = a - b, v[3 * v_step] = -b;
        return;
    }
    const rl_vector c = y[2 * y_step], e = y[3 * y_step];
    const rl_vector p = rl_splat(WINO_P), q = rl_splat(WINO_Q), pp = p * p, qq = q * q;
    const rl_vector even_p = a + pp * c, odd_p = p * (b + pp * e);
    const rl_vector even_q = a + qq * c, odd_q = q * (b + qq * e);
    v[0] = a, v[v_step] = even_p + odd_p, v[2 * v_step] = even_p - odd_p;
    v[3 * v_step] = even_q + odd_q, v[4 * v_step] = even_q - odd_q, v[5 * v_step] = e;
}

/* g = G' u: the gradients of 3 taps. */
WINO_INLINE void wino_taps(int m, const rl_vector *u, rl_vector *g, int u_step, int g_step) {
    const rl_vector a = u[0], b = u[u_step], c = u[2 * u_step], e = u[3 * u_step];
    if (m == 2) {
        const rl_vector half = rl_splat(0.5f), even = half * (b + c);
        g[0] = a + even, g[g_step] = half * (b - c), g[2 * g_step] = even + e;
        return;
    }
    const float pp = WINO_P * WINO_P, qq = WINO_Q * WINO_Q;
    const rl_vector f = u[4 * u_step];
    const rl_vector even_p = rl_splat(1 / (2 * pp * (pp - qq))) * (b + c);
    const rl_vector odd_p = rl_splat(1 / (2 * WINO_P * (pp - qq))) * (b - c);
    const rl_vector even_q = rl_splat(1 / (2 * qq * (qq - pp))) * (e + f);
    const rl_vector odd_q = rl_splat(1 / (2 * WINO_Q * (qq - pp))) * (e - f);
    g[0] = rl_splat(1 / (pp * qq)) * a + even_p + even_q;
    g[g_step] = odd_p + odd_q;
    g[2 * g_step] = rl_splat(pp) * even_p + rl_splat(qq) * even_q + u[5 * u_step];
}

/* u = G g: from 3 taps. */
WINO_INLINE void wino_weight(int m, const rl_vector *g, rl_vector *u, int g_step, int u_step) {
    const rl_vector a = g[0], b = g[g_step], c = g[2 * g_step];
    if (m == 2) {
        const rl_vector half = rl_splat(0.5f), even = half * (a + c), odd = half * b;
        u[0] = a, u[u_step] = even + odd, u[2 * u_step] = even - odd, u[3 * u_step] = c;
        return;
    }
    const float pp = WINO_P * WINO_P, qq = WINO_Q * WINO_Q;
    const rl_vector even_p = rl_splat(1 / (2 * pp * (pp - qq))) * (a + rl_splat(pp) * c);
    const rl_vector odd_p = rl_splat(1 / (2 * WINO_P * (pp - qq))) * b;
    const rl_vector even_q = rl_splat(1 / (2 * qq * (qq - pp))) * (a + rl_splat(qq) * c);
    const rl_vector odd_q = rl_splat(1 / (2 * WINO_Q * (qq - pp))) * b;
    u[0] = rl_splat(1 / (pp * qq)) * a;
    u[u_step] = even_p + odd_p, u[2 * u_step] = even_p - odd_p;
    u[3 * u_step] = even_q + odd_q, u[4 * u_step] = even_q - odd_q;
    u[5 * u_step] = c;
}

#if RL_LANES == 16
typedef int32_t wino_lanes __attribute__((vector_size(64)));
#define WINO_EVEN {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}
#define WINO_ODD {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31}
#define WINO_LOW {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}
#define WINO_HIGH {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31}
#elif RL_LANES == 8
typedef int32_t wino_lanes __attribute__((vector_size(32)));
#define WINO_EVEN {0, 2, 4, 6, 8, 10, 12, 14}
#define WINO_ODD {1, 3, 5, 7, 9, 11, 13, 15}
#define WINO_LOW {0, 8, 1, 9, 2, 10, 3, 11}
#define WINO_HIGH {4, 12, 5, 13, 6, 14, 7, 15}
#else
typedef int32_t wino_lanes __attribute__((vector_size(16)));
#define WINO_EVEN {0, 2, 4, 6}
#define WINO_ODD {1, 3, 5, 7}
#define WINO_LOW {0, 4, 1, 5}
#define WINO_HIGH {2, 6, 3, 7}
#endif

WINO_INLINE rl_vector wino_even(rl_vector a, rl_vector b) {
    return __builtin_shuffle(a, b, (wino_lanes)WINO_EVEN);
}
WINO_INLINE rl_vector wino_odd(rl_vector a, rl_vector b) {
    return __builtin_shuffle(a, b, (wino_lanes)WINO_ODD);
}

/* The first `count` of every m floats at x, of RL_LANES groups: d[i] has the i-th of each. */
WINO_INLINE void wino_split(int m, const float *x, rl_vector *d, int count) {
    const rl_vector a = rl_load(x), b = rl_load(x + RL_LANES);
    if (m == 2) {
        d[0] = wino_even(a, b), d[1] = wino_odd(a, b);
        return;
    }
    const rl_vector c = rl_load(x + 2 * RL_LANES), e = rl_load(x + 3 * RL_LANES);
    const rl_vector even = wino_even(a, b), odd = wino_odd(a, b);
    const rl_vector even_2 = wino_even(c, e), odd_2 = wino_odd(c, e);
    d[0] = wino_even(even, even_2), d[1] = wino_even(odd, odd_2);
    if (count > 2) d[2] = wino_odd(even, even_2), d[3] = wino_odd(odd, odd_2);
}

/* The inverse: m vectors, `step` apart, side by side. */
WINO_INLINE void wino_join(int m, const rl_vector *y, float *to) {
    const wino_lanes low = WINO_LOW, high = WINO_HIGH;
    if (m == 2) {
        rl_store(to, __builtin_shuffle(y[0], y[1], low));
        rl_store(to + RL_LANES, __builtin_shuffle(y[0], y[1], high));
        return;
    }
    const rl_vector even = __builtin_shuffle(y[0], y[2], low);
    const rl_vector even_2 = __builtin_shuffle(y[0], y[2], high);
    const rl_vector odd = __builtin_shuffle(y[1], y[3], low);
    const rl_vector odd_2 = __builtin_shuffle(y[1], y[3], high);
    rl_store(to, __builtin_shuffle(even, odd, low));
    rl_store(to + RL_LANES, __builtin_shuffle(even, odd, high));
    rl_store(to + 2 * RL_LANES, __builtin_shuffle(even_2, odd_2, low));
    rl_store(to + 3 * RL_LANES, __builtin_shuffle(even_2, odd_2, high));
}

/* Tiles and strips */

/* Tiles of m x m outputs, of all images. */
typedef struct {
    int m;
    int64_t high, wide, tiles, strips;
} wino_grid;

static inline wino_grid wino_make_grid(int m, int64_t batch, int64_t height, int64_t width) {
    wino_grid g = {.m = m, .high = conv_ceil(height, m), .wide = conv_ceil(width, m)};
    g.tiles = batch * g.high * g.wide, g.strips = conv_ceil(g.tiles, WINO_STRIP);
    return g;
}

/* Tiles that follow each other in a row of tiles. */
typedef struct {
    int64_t image, y, x, length, column;
} wino_run;

typedef struct {
    int count;
    int64_t tiles;
    wino_run runs[WINO_STRIP];
} wino_strip;

static inline void wino_find_runs(const wino_grid *g, int64_t strip, wino_strip *s) {
    const int64_t begin = strip * WINO_STRIP, end = conv_min(begin + WINO_STRIP, g->tiles);
    s->count = 0, s->tiles = end - begin;
    for (int64_t at = begin; at < end;) {
        wino_run *run = &s->runs[s->count++];
        run->image = at / (g->high * g->wide), run->column = at - begin;
        run->y = at / g->wide % g->high, run->x = at % g->wide;
        run->length = conv_min(g->wide - run->x, end - at);
        at += run->length;
    }
}

/* A vector of consecutive pixels, of which lanes [lo, hi) lie in the image; the same for all
   channels. */
typedef struct {
    int64_t from;
    int32_t to;
    uint16_t mask;
    uint8_t lo, hi;
} wino_piece;

/* Of the m pixels of each tile that are (y, x) from its first, the pieces; how many. */
static inline int wino_find_pieces(const wino_grid *g, const wino_strip *s, int64_t y, int64_t x,
                                   int64_t height, int64_t width, int64_t image, int64_t to,
                                   wino_piece *pieces) {
    int count = 0;
    for (int r = 0; r < s->count; r++) {
        const wino_run *run = &s->runs[r];
        const int64_t row = run->y * g->m + y, first = run->x * g->m + x;
        const int64_t length = run->length * g->m;
        for (int64_t i = 0; i < length; i += RL_LANES) {
            const int64_t some = conv_min(length - i, RL_LANES);
            const int64_t lo = conv_min(conv_max(-first - i, 0), some);
            const int64_t hi = conv_min(conv_max(width - first - i, lo), some);
            wino_piece *one = &pieces[count++];
            const bool inside = row >= 0 && row < height;
            one->from = run->image * image + row * width + first + i;
            one->to = (int32_t)(to + run->column * g->m + i);
            one->lo = (uint8_t)(inside ? lo : 0), one->hi = (uint8_t)(inside ? hi : 0);
            one->mask = (uint16_t)(((1u << one->hi) - 1) & ~((1u << one->lo) - 1));
        }
    }
    return count;
}

/* Copies one, zeros where it is outside. */
static inline void wino_copy(float *lines, const float *x, const wino_piece *one) {
#if defined(__AVX512F__)
    _mm512_storeu_ps(lines + one->to, _mm512_maskz_loadu_ps(one->mask, x + one->from));
#else
    if (one->hi - one->lo == RL_LANES) {
        rl_store(lines + one->to, rl_load(x + one->from));
        return;
    }
    rl_store(lines + one->to, (rl_vector){0});
    for (int l = one->lo; l < one->hi; l++) lines[one->to + l] = x[one->from + l];
#endif
}

#endif
