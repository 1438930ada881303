/* One row of a recurrent cell of float32, forward and backward. */
#ifndef RL_RECURRENT_ROWS_H
#define RL_RECURRENT_ROWS_H

#include "rl_math_types.h"

#include <stdbool.h>
#include <stdint.h>

/* Gates lie side by side, `n` of each. */

/* Gates i, f, g, o from their sums x. */
static inline void lstm_row(int64_t n, const float *restrict x, const float *restrict c,
                            float *restrict h, float *restrict cell, float *restrict active) {
    for (int64_t j = 0; j < n; j++) {
        float i = rl_sigmoid_f32(x[j]), f = rl_sigmoid_f32(x[n + j]);
        float g = rl_tanh_f32(x[2 * n + j]), o = rl_sigmoid_f32(x[3 * n + j]);
        float new = f * c[j] + i * g;
        cell[j] = new;
        h[j] = o * rl_tanh_f32(new);
        active[j] = i, active[n + j] = f, active[2 * n + j] = g, active[3 * n + j] = o;
    }
}

/* Gradients of the gate sums, and of the old cell state, which may replace that of the new. */
static inline void lstm_row_backward(int64_t n, const float *restrict gh, const float *gc,
                                     const float *restrict c, const float *restrict cell,
                                     const float *restrict active, float *restrict dgates,
                                     float *dc) {
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
        float i = active[j], f = active[n + j], g = active[2 * n + j], o = active[3 * n + j];
        float t = rl_tanh_f32(cell[j]), d = gc[j] + gh[j] * o * (1 - t * t);
        dgates[j] = d * g * i * (1 - i);
        dgates[n + j] = d * c[j] * f * (1 - f);
        dgates[2 * n + j] = d * i * (1 - g * g);
        dgates[3 * n + j] = gh[j] * t * o * (1 - o);
        dc[j] = d * f;
    }
}

/* Gates r, z, n from the sums of the input and of the hidden state. */
static inline void gru_row(int64_t n, const float *restrict x, const float *restrict y,
                           const float *restrict h, float *restrict out, float *restrict active) {
    for (int64_t j = 0; j < n; j++) {
        float r = rl_sigmoid_f32(x[j] + y[j]), z = rl_sigmoid_f32(x[n + j] + y[n + j]);
        float new = rl_tanh_f32(x[2 * n + j] + r * y[2 * n + j]);
        out[j] = new + z * (h[j] - new);
        active[j] = r, active[n + j] = z, active[2 * n + j] = new;
    }
}

/* `share` is the hidden state's of the third sum; the gradient of the old state may replace `g`. */
static inline void gru_row_backward(int64_t n, const float *g, const float *restrict share,
                                    const float *restrict h, const float *restrict active,
                                    float *restrict dx, float *restrict dy, float *dh) {
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
        float r = active[j], z = active[n + j], new = active[2 * n + j], gj = g[j];
        float dn = gj * (1 - z) * (1 - new * new);
        float dr = dn * share[j] * r * (1 - r), dz = gj * (h[j] - new) * z * (1 - z);
        dx[j] = dy[j] = dr, dx[n + j] = dy[n + j] = dz;
        dx[2 * n + j] = dn, dy[2 * n + j] = dn * r;
        dh[j] = gj * z;
    }
}

/* RNN: the one gate, which is the new state. */
static inline void rnn_row(int64_t n, bool relu, const float *restrict x, float *restrict out) {
    if (relu) {
        for (int64_t j = 0; j < n; j++) out[j] = x[j] <= 0 ? 0 : x[j]; /* NaN stays */
    } else {
        for (int64_t j = 0; j < n; j++) out[j] = rl_tanh_f32(x[j]);
    }
}

static inline void rnn_row_backward(int64_t n, bool relu, const float *restrict g,
                                    const float *restrict out, float *restrict dx) {
    for (int64_t j = 0; j < n; j++) {
        dx[j] = relu ? out[j] <= 0 ? 0 : g[j] : g[j] * (1 - out[j] * out[j]);
    }
}

#endif
