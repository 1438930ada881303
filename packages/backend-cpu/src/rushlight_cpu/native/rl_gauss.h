/* gelu and its slope for float under AVX-512: polynomials of degree 6, one for each half of
   [-8, 8), whose coefficients lie in registers and are chosen by a permutation.

   They are fitted when they are first used, through the zeros of Chebyshev's polynomial, to the
   functions of the C library: there is no table of numbers to trust. */
#ifndef RL_GAUSS_H
#define RL_GAUSS_H

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define RL_GAUSS_DEGREE 6
#define RL_GAUSS_PIECES 32

/* Coefficient d of piece i, which is centred on i / 2, or (i - 32) / 2 in the upper half.  They
   multiply powers of 2 x - i. */
typedef struct {
    float of[RL_GAUSS_DEGREE + 1][RL_GAUSS_PIECES];
} rl_gauss_pieces;

/* The normal distribution's part below x, and the derivative of x times it: what gelu multiplies
   by, and its slope. */
static double rl_gauss_part(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
static double rl_gauss_slope(double x) {
    return rl_gauss_part(x) + x * exp(-0.5 * x * x) * 0.39894228040143267794;
}

/* The polynomial through a function's values at the zeros: Newton's divided differences, then
   powers. */
static void rl_gauss_fit_piece(double (*f)(double), double centre, double *powers) {
    enum { COUNT = RL_GAUSS_DEGREE + 1 };
    double at[COUNT], differences[COUNT];
    for (int j = 0; j < COUNT; j++) {
        at[j] = 0.5 * cos((j + 0.5) * 3.14159265358979323846 / COUNT);
        differences[j] = f(centre + 0.5 * at[j]);
    }
    for (int order = 1; order < COUNT; order++) {
        for (int j = COUNT - 1; j >= order; j--) {
            differences[j] = (differences[j] - differences[j - 1]) / (at[j] - at[j - order]);
        }
    }
    for (int d = 0; d < COUNT; d++) powers[d] = 0;
    for (int j = COUNT - 1; j >= 0; j--) { /* powers = powers * (t - at[j]) + differences[j] */
        for (int d = COUNT - 1; d > 0; d--) powers[d] = powers[d - 1] - at[j] * powers[d];
        powers[0] = differences[j] - at[j] * powers[0];
    }
}

static void rl_gauss_fit(double (*f)(double), rl_gauss_pieces *pieces) {
    for (int i = 0; i < RL_GAUSS_PIECES; i++) {
        int whole = i < RL_GAUSS_PIECES / 2 ? i : i - RL_GAUSS_PIECES;
        double powers[RL_GAUSS_DEGREE + 1] = {0};
        /* The last pieces go on for ever: both functions are 0 there, or 1. */
        bool ends = whole == -RL_GAUSS_PIECES / 2 || whole == RL_GAUSS_PIECES / 2 - 1;
        if (ends) powers[0] = whole > 0;
        else rl_gauss_fit_piece(f, whole / 2.0, powers);
        for (int d = 0; d <= RL_GAUSS_DEGREE; d++) pieces->of[d][i] = (float)powers[d];
    }
}

/* The function that was fitted; NaN for NaN. */
static inline __attribute__((always_inline)) __m512 rl_gauss_at(const rl_gauss_pieces *pieces,
                                                                __m512 x) {
    /* Adding 1.5 * 2^23 leaves the nearest integer in the lowest bits, and permutations look at
       the five lowest only. Order of operands: where one is NaN, the second is taken. */
    const __m512 magic = _mm512_set1_ps(12582912.0f);
    __m512 twice = _mm512_add_ps(x, x);
    twice = _mm512_max_ps(_mm512_set1_ps(-RL_GAUSS_PIECES / 2), twice);
    twice = _mm512_min_ps(_mm512_set1_ps(RL_GAUSS_PIECES / 2 - 1), twice);
    __m512 shifted = _mm512_add_ps(twice, magic);
    __m512 t = _mm512_sub_ps(twice, _mm512_sub_ps(shifted, magic));
    __m512i piece = _mm512_castps_si512(shifted);
    __m512 y = _mm512_setzero_ps();
    _Pragma("GCC unroll 8") for (int d = RL_GAUSS_DEGREE; d >= 0; d--) {
        __m512 low = _mm512_loadu_ps(pieces->of[d]), high = _mm512_loadu_ps(pieces->of[d] + 16);
        __m512 coefficient = _mm512_permutex2var_ps(low, piece, high);
        y = d == RL_GAUSS_DEGREE ? coefficient : _mm512_fmadd_ps(y, t, coefficient);
    }
    return y;
}

#endif
