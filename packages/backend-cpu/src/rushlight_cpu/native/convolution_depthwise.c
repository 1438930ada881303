/* Depthwise convolution: a plane at a time, with a multiply-add per tap. */
#include "convolution.h"

#include <math.h>

#define ROWS 4 /* vectors of outputs in registers */

typedef struct {
    const conv_pass *p;
    int64_t in_plane, out_plane;
    int64_t grid[CONV_DIMS], steps[CONV_DIMS], first[CONV_DIMS], phases[CONV_DIMS], plane, reach;
    int64_t copy; /* floats of the copied planes */
    int64_t x_taps[CONV_MOST_TAPS];
    rl_slots slots;
} plane_work;

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/* The planes with zeros around them, split by the residue of the step. */
static void lay_out(plane_work *w) {
    const conv_pass *p = w->p;
    w->reach = 1;
    for (int d = 0; d < CONV_DIMS; d++) {
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (int64_t t = 0; t < p->taps; t++) {
            least = conv_min(least, floor_div(p->at[t][d], p->in_step[d]));
            most = conv_max(most, floor_div(p->at[t][d], p->in_step[d]));
        }
        w->first[d] = least, w->grid[d] = p->count[d] + most - least;
        w->phases[d] = p->in_step[d];
    }
    w->steps[2] = 1, w->steps[1] = w->grid[2], w->steps[0] = w->grid[1] * w->grid[2];
    w->plane = w->grid[0] * w->steps[0];
    w->copy = w->plane * w->phases[0] * w->phases[1] * w->phases[2];
    for (int d = 0; d < CONV_DIMS; d++) w->reach += (p->count[d] - 1) * w->steps[d];
    for (int64_t t = 0; t < p->taps; t++) {
        int64_t phase = 0, offset = 0;
        for (int d = 0; d < CONV_DIMS; d++) {
            const int64_t whole = floor_div(p->at[t][d], p->in_step[d]);
            phase = phase * w->phases[d] + p->at[t][d] - whole * p->in_step[d];
            offset += (whole - w->first[d]) * w->steps[d];
        }
        w->x_taps[t] = phase * w->plane + offset;
    }
}

static void copy_plane(const plane_work *w, const float *x, float *to) {
    const conv_pass *p = w->p;
    for (int64_t f = 0; f < w->phases[0] * w->phases[1] * w->phases[2]; f++) {
        const int64_t phase[CONV_DIMS] = {f / w->phases[2] / w->phases[1],
                                          f / w->phases[2] % w->phases[1], f % w->phases[2]};
        int64_t start[CONV_DIMS], lo, hi;
        for (int d = 0; d < CONV_DIMS; d++) start[d] = w->first[d] * p->in_step[d] + phase[d];
        conv_inside(start[2], p->in_step[2], p->in_size[2], &lo, &hi);
        const conv_row row = conv_plan_row(lo, hi, w->grid[2], p->in_step[2]);
        for (int64_t a = 0; a < w->grid[0]; a++) {
            const int64_t z = start[0] + a * p->in_step[0];
            for (int64_t b = 0; b < w->grid[1]; b++, to += w->grid[2]) {
                const int64_t y = start[1] + b * p->in_step[1];
                const bool inside = z >= 0 && z < p->in_size[0] && y >= 0 && y < p->in_size[1];
                const float *from = x + (z * p->in_size[1] + y) * p->in_size[2] + start[2];
                conv_copy_planned(&row, to, from, inside);
            }
        }
    }
}

static void plane_task(void *context, int64_t index) {
    plane_work *w = context;
    const conv_pass *p = w->p;
    const float *weight = p->weight + index % p->groups * p->weight_group;
    float *out = p->out + index * w->out_plane;
    int slot;
    float *planes = rl_take_slot(&w->slots, &slot);
    float *sums = planes + w->copy + 2 * RL_LANES * ROWS;
    copy_plane(w, p->x + index * w->in_plane, planes);
    memset(planes + w->copy, 0, 2 * RL_LANES * ROWS * sizeof *planes); /* read, and dropped */
    for (int64_t at = 0; at < w->reach; at += ROWS * RL_LANES) {
        rl_vector s[ROWS] = {0};
        for (int64_t t = 0; t < p->taps; t++) {
            const rl_vector v = rl_splat(weight[p->weight_at[t]]);
            const float *x = planes + at + w->x_taps[t];
            for (int i = 0; i < ROWS; i++) s[i] += v * rl_load(x + i * RL_LANES);
        }
        for (int i = 0; i < ROWS; i++) rl_store(sums + at + i * RL_LANES, s[i]);
    }
    for (int64_t a = 0; a < p->count[0]; a++) {
        for (int64_t b = 0; b < p->count[1]; b++) {
            const float *from = sums + a * w->steps[0] + b * w->steps[1];
            const int64_t z = a * p->out_step[0] + p->base[0], y = b * p->out_step[1] + p->base[1];
            float *to = out + (z * p->out_size[1] + y) * p->out_size[2] + p->base[2];
            const int64_t n = p->count[2], step = p->out_step[2];
            if (step == 1) {
                memcpy(to, from, (size_t)n * sizeof *to);
            } else {
                for (int64_t i = 0; i < n; i++) to[i * step] = from[i];
            }
        }
    }
    rl_give_slot(&w->slots, slot);
}

static size_t room(const plane_work *w) {
    const int64_t slack = 4 * RL_LANES * ROWS;
    return (size_t)(w->copy + w->plane + w->reach + slack) * sizeof(float);
}

bool conv_depthwise_pass(const conv_pass *p) {
    plane_work w = {.p = p};
    w.in_plane = p->in_size[0] * p->in_size[1] * p->in_size[2];
    w.out_plane = p->out_size[0] * p->out_size[1] * p->out_size[2];
    lay_out(&w);
    const int64_t planes = p->batch * p->groups;
    if (!rl_open_slots(&w.slots, room(&w), planes)) return false;
    RL_RELEASE_GIL(true)
    rl_parallel(planes, plane_task, &w);
    RL_TAKE_GIL
    rl_scratch_free(w.slots.base);
    return true;
}

/* The gradient of the weight: one task per channel, which sums over all images. */

typedef struct {
    plane_work plane;
    const conv_shape *s;
    const float *g, *x;
    float *dw;
} weight_work;

/* The pixel that a tap at `first` reads at output `o`, or -1 where that is padding. */
static int64_t pixel_at(const conv_shape *s, const int64_t *first, int64_t o) {
    int64_t place[CONV_DIMS] = {o / s->out[2] / s->out[1], o / s->out[2] % s->out[1],
                                o % s->out[2]};
    int64_t at = 0;
    for (int d = 0; d < CONV_DIMS; d++) {
        const int64_t i = place[d] * s->stride[d] + first[d];
        if (i < 0 || i >= s->size[d]) return -1;
        at = at * s->size[d] + i;
    }
    return at;
}

/* One value, from the pairs that belong to it alone: in the planes an infinity also meets the zeros
   between the rows of g, and that is NaN. */
static float exact_tap(const weight_work *w, int64_t channel, int64_t tap) {
    const conv_shape *s = w->s;
    float total = 0;
    for (int64_t image = 0; image < s->batch; image++) {
        const int64_t plane = image * s->inner + channel;
        const float *x = w->x + plane * s->in_plane, *g = w->g + plane * s->out_plane;
        for (int64_t o = 0; o < s->out_plane; o++) {
            const int64_t at = pixel_at(s, w->plane.p->at[tap], o);
            total += g[o] * (at < 0 ? 0 : x[at]);
        }
    }
    return total;
}

static void weight_task(void *context, int64_t channel) {
    weight_work *w = context;
    const conv_shape *s = w->s;
    plane_work *pw = &w->plane;
    int slot;
    float *planes = rl_take_slot(&pw->slots, &slot);
    float *grid = planes + pw->copy + 2 * RL_LANES * ROWS;
    float *dw = w->dw + channel * s->taps;
    const int64_t padded = conv_ceil(pw->reach, RL_LANES) * RL_LANES;
    memset(grid, 0, (size_t)(padded + RL_LANES) * sizeof *grid);
    memset(planes + pw->copy, 0, 2 * RL_LANES * ROWS * sizeof *planes);
    memset(dw, 0, (size_t)s->taps * sizeof *dw);
    for (int64_t image = 0; image < s->batch; image++) {
        const int64_t plane = image * s->inner + channel;
        copy_plane(pw, w->x + plane * s->in_plane, planes);
        /* The copy spills past its end: values times 0 must be 0. */
        memset(planes + pw->copy, 0, 2 * RL_LANES * ROWS * sizeof *planes);
        const float *g = w->g + plane * s->out_plane;
        for (int64_t a = 0; a < s->out[0]; a++) {
            for (int64_t b = 0; b < s->out[1]; b++, g += s->out[2]) {
                float *to = grid + a * pw->steps[0] + b * pw->steps[1];
                memcpy(to, g, (size_t)s->out[2] * sizeof *to);
            }
        }
        for (int64_t t = 0; t < s->taps; t += ROWS) {
            const int some = (int)conv_min(ROWS, s->taps - t);
            const float *x[ROWS];
            for (int i = 0; i < ROWS; i++) x[i] = planes + pw->x_taps[t + conv_min(i, some - 1)];
            rl_vector sum[ROWS] = {0};
            for (int64_t at = 0; at < padded; at += RL_LANES) {
                const rl_vector v = rl_load(grid + at);
                for (int i = 0; i < ROWS; i++) sum[i] += v * rl_load(x[i] + at);
            }
            for (int i = 0; i < some; i++) {
                float total = 0;
                for (int l = 0; l < RL_LANES; l++) total += sum[i][l];
                dw[t + i] += total;
            }
        }
    }
    for (int64_t t = 0; t < s->taps; t++) {
        if (!isfinite(dw[t])) dw[t] = exact_tap(w, channel, t);
    }
    rl_give_slot(&pw->slots, slot);
}

bool conv_depthwise_weight(const conv_shape *s, const float *g, const float *x, float *dw) {
    conv_pass *p = rl_scratch(sizeof *p);
    if (!p) return false;
    p->taps = s->taps;
    for (int d = 0; d < CONV_DIMS; d++) {
        p->in_size[d] = s->size[d], p->count[d] = s->out[d], p->in_step[d] = s->stride[d];
        for (int64_t t = 0; t < s->taps; t++) {
            int64_t k = t;
            for (int e = CONV_DIMS; --e > d;) k /= s->kernel[e];
            p->at[t][d] = k % s->kernel[d] * s->dilation[d] - s->padding[d];
        }
    }
    weight_work w = {.plane = {.p = p}, .s = s, .g = g, .x = x, .dw = dw};
    lay_out(&w.plane);
    const bool opened = rl_open_slots(&w.plane.slots, room(&w.plane), s->inner);
    if (opened) {
        RL_RELEASE_GIL(true)
        rl_parallel(s->inner, weight_task, &w);
        RL_TAKE_GIL
        rl_scratch_free(w.plane.slots.base);
    }
    rl_scratch_free(p);
    return opened;
}
