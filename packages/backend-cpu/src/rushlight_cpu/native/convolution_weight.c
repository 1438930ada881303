/* The gradient of a convolution's weight: sums over pixels of outer products.

   dw[o][tap, c] = sum over pixels of g[o][pixel] * x[pixel + tap][c]

   Tiles keep 8 output channels times 48 (tap, channel) in registers while pixels go by.  For that
   images are copied with their channels last and zeros around; what the taps of a kernel row see
   is then one run.  Where such a run is shorter than a few vectors, the runs of all kernel rows
   are put side by side first.

   Images are cut into chunks with sums of their own, added in order at the end; the number of
   chunks depends on sizes alone. */
#include "convolution.h"

#define CHUNK_PIXELS 2048 /* a chunk of fewer would mostly add sums */
#define MOST_CHUNKS 16
#define TASKS 8
#define BLOCK_PIXELS 192 /* gone through by all tiles before the next; 48 columns of them fit L1 */
#define SHORT_RUN 40
#define MARGIN (RL_NR + RL_LANES) /* floats past the end that tiles may read */

/* Columns that are consecutive in an image's copy. */
typedef struct {
    int64_t offset, length; /* floats */
    int64_t column;         /* in the sums */
} segment;

typedef struct {
    const conv_shape *s;
    const float *g, *x;
    float *dw, *sums, *copies;
    int64_t inner, outer;                /* channels per group */
    int64_t padded[CONV_DIMS], copy;     /* of an image's copy: size, floats */
    int64_t chunks, parts;               /* of the images, of the output channels */
    int64_t columns, sums_size;          /* of one chunk's sums of one group */
    int64_t block;                       /* rows of output pixels gone through at once */
    int64_t row_block;                   /* ... or pixels of a row, if one is enough */
    bool gathered;
    int32_t *offsets;                    /* of the pixels of a block in an image's copy */
    int64_t count;
    segment segments[CONV_MOST_TAPS];
    rl_slots slots;
} work;

/* to[i * ld + j] = x[j * step + i]. */
static void transpose_plain(float *to, int64_t ld, const float *x, int64_t step, int64_t rows,
                            int64_t columns) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) to[i * ld + j] = x[j * step + i];
    }
}

/* A row of pixels of all channels (`plane` apart), with the channels last. */
static void transpose_row(float *to, const float *x, int64_t plane, int64_t pixels,
                          int64_t channels) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= pixels; i += 16) {
        int64_t c = 0;
        for (; c + 16 <= channels; c += 16) {
            conv_transpose_16(to + i * channels + c, channels, x + c * plane + i, plane);
        }
        transpose_plain(to + i * channels + c, channels, x + c * plane + i, plane, 16,
                        channels - c);
    }
#endif
    transpose_plain(to + i * channels, channels, x + i, plane, pixels - i, channels);
}

static void copy_image(const work *w, float *to, int64_t image, int64_t group) {
    const conv_shape *s = w->s;
    const float *x = w->x + (image * s->groups + group) * w->inner * s->in_plane;
    const int64_t row = w->padded[2] * w->inner, left = s->padding[2] * w->inner;
    for (int64_t a = 0; a < w->padded[0]; a++) {
        const int64_t z = a - s->padding[0];
        for (int64_t b = 0; b < w->padded[1]; b++, to += row) {
            const int64_t y = b - s->padding[1];
            if (z < 0 || z >= s->size[0] || y < 0 || y >= s->size[1]) {
                memset(to, 0, (size_t)row * sizeof *to);
                continue;
            }
            memset(to, 0, (size_t)left * sizeof *to);
            transpose_row(to + left, x + (z * s->size[1] + y) * s->size[2], s->in_plane, s->size[2],
                          w->inner);
            memset(to + row - left, 0, (size_t)left * sizeof *to);
        }
    }
}

/* The runs of all kernel rows of some pixels, side by side. */
static void gather(const work *w, float *to, const float *x, int64_t rows, int64_t pixels) {
    const conv_shape *s = w->s;
    const int64_t row = s->stride[1] * w->padded[2] * w->inner, pixel = s->stride[2] * w->inner;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < pixels; i++, to += w->columns) {
            const float *from = x + r * row + i * pixel;
            for (int64_t n = 0; n < w->count; n++) {
                const segment *g = &w->segments[n];
                conv_copy_row(to + g->column, from + g->offset, 0, g->length, g->length, 1);
            }
        }
    }
}

/* Adds some pixels, rows [y, y + rows) and columns [i, i + pixels), to the sums of a part. */
static void add_pixels(const work *w, float *sums, const float *g, const float *x, int64_t rows,
                       int64_t pixels, int64_t first, int64_t last, bool begin, float *room) {
    const conv_shape *s = w->s;
    const conv_depth depth = {rows * pixels, w->offsets};
    const segment whole = {0, w->columns, 0}, *segments = w->segments;
    int64_t count = w->count;
    if (w->gathered) {
        gather(w, room, x, rows, pixels);
        segments = &whole, count = 1, x = room;
    }
    for (int64_t n = 0; n < count; n++) {
        const int64_t vectors = conv_ceil(segments[n].length, RL_LANES);
        const int64_t tiles = conv_ceil(vectors, RL_NV);
        for (int64_t t = 0, v = 0; t < tiles; t++) {
            const int64_t some = (t + 1) * vectors / tiles - v;
            const float *from = x + segments[n].offset + v * RL_LANES;
            float *to = sums + segments[n].column + v * RL_LANES;
            for (int64_t m = first; m < last; m += RL_MR) {
                const float *row[RL_MR];
                for (int64_t i = 0; i < RL_MR; i++) {
                    row[i] = g + conv_min(m + i, w->outer - 1) * s->out_plane;
                }
                conv_tiles[some - 1](&depth, row, from, to + m * w->columns, w->columns, !begin);
            }
            v += some;
        }
    }
}

/* Tiles read whole vectors: what lies past an image's copy, and past the columns of a gathered pixel,
   must be numbers that cost nothing to multiply, unlike the tiny ones that memory may hold. */
static void clear_margins(const work *w, float *copies_end, float *room) {
    memset(copies_end, 0, MARGIN * sizeof(float));
    if (!w->gathered) return;
    const segment *last = &w->segments[w->count - 1];
    const int64_t used = last->column + last->length, pixels = w->block * w->row_block;
    for (int64_t k = 0; k < pixels; k++, room += w->columns) {
        memset(room + used, 0, (size_t)(w->columns - used) * sizeof(float));
    }
    memset(room, 0, MARGIN * sizeof(float));
}

static void copy_task(void *context, int64_t index) {
    const work *w = context;
    copy_image(w, w->copies + index * w->copy, index / w->s->groups, index % w->s->groups);
}

static void sum_task(void *context, int64_t index) {
    work *w = context;
    const conv_shape *s = w->s;
    const int64_t part = index % w->parts, group = index / w->parts % s->groups;
    const int64_t chunk = index / w->parts / s->groups;
    const int64_t panels = conv_ceil(w->outer, RL_MR);
    const int64_t first = part * panels / w->parts * RL_MR;
    const int64_t last = (part + 1) * panels / w->parts * RL_MR;
    float *sums = w->sums + (chunk * s->groups + group) * w->sums_size;
    int slot = -1;
    float *own = NULL, *room = NULL;
    if (w->slots.base) {
        own = rl_take_slot(&w->slots, &slot);
        room = own + (w->copies ? 0 : w->copy + MARGIN);
        clear_margins(w, w->copies ? own : own + w->copy, room);
    }
    bool begin = true;
    const int64_t to = (chunk + 1) * s->batch / w->chunks;
    for (int64_t image = chunk * s->batch / w->chunks; image < to; image++) {
        const float *copy = own;
        if (w->copies) {
            copy = w->copies + (image * s->groups + group) * w->copy;
        } else {
            copy_image(w, own, image, group);
        }
        const float *g = w->g + (image * s->groups + group) * w->outer * s->out_plane;
        for (int64_t z = 0; z < s->out[0]; z++) {
            for (int64_t y = 0; y < s->out[1]; y += w->block) {
                const int64_t rows = conv_min(w->block, s->out[1] - y);
                for (int64_t i = 0; i < s->out[2]; i += w->row_block) {
                    const int64_t pixels = conv_min(w->row_block, s->out[2] - i);
                    const int64_t at = z * s->stride[0] * w->padded[1] + y * s->stride[1];
                    const float *x = copy + (at * w->padded[2] + i * s->stride[2]) * w->inner;
                    add_pixels(w, sums, g + (z * s->out[1] + y) * s->out[2] + i, x, rows, pixels,
                               first, last, begin, room);
                    begin = false;
                }
            }
        }
    }
    if (slot >= 0) rl_give_slot(&w->slots, slot);
}

/* Adds the chunks' sums and puts them in the order of the weight. */
static void finish(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const conv_shape *s = w->s;
    const int64_t width = s->kernel[2], step = w->sums_size * s->groups;
    for (int64_t o = begin; o < end; o++) {
        const float *sums = w->sums + o / w->outer * w->sums_size + o % w->outer * w->columns;
        float *dw = w->dw + o * w->inner * s->taps;
        for (int64_t n = 0; n < w->count; n++) {
            const segment *g = &w->segments[n];
            /* A segment is a kernel row of (tap, channel), or one tap. */
            const int64_t taps = g->length / w->inner;
            const int64_t tap = taps == width ? n * width : n;
            for (int64_t t = 0; t < taps; t++) {
                for (int64_t c = 0; c < w->inner; c++) {
                    const float *from = sums + g->column + t * w->inner + c;
                    float total = *from;
                    for (int64_t k = 1; k < w->chunks; k++) total += from[k * step];
                    dw[c * s->taps + tap + t] = total;
                }
            }
        }
    }
}

/* Where each kernel row, or tap if dilated, finds its run in an image's copy. */
static void lay_out(work *w) {
    const conv_shape *s = w->s;
    const bool joined = s->dilation[2] == 1;
    const int64_t per_row = joined ? 1 : s->kernel[2];
    const int64_t length = (joined ? s->kernel[2] : 1) * w->inner;
    w->gathered = length < SHORT_RUN && s->taps > s->kernel[2] / per_row;
    const int64_t room = w->gathered ? length : conv_ceil(length, RL_LANES) * RL_LANES;
    for (int64_t a = 0; a < s->kernel[0]; a++) {
        for (int64_t b = 0; b < s->kernel[1]; b++) {
            for (int64_t c = 0; c < per_row; c++) {
                const int64_t row = a * s->dilation[0] * w->padded[1] + b * s->dilation[1];
                segment *g = &w->segments[w->count];
                g->offset = (row * w->padded[2] + c * s->dilation[2]) * w->inner;
                g->length = length, g->column = w->count++ * room;
            }
        }
    }
    w->columns = conv_ceil(w->count * room, RL_LANES) * RL_LANES;
    w->sums_size = conv_ceil(w->outer, RL_MR) * RL_MR * w->columns;
}

static void cut(work *w) {
    const conv_shape *s = w->s;
    const int64_t pixels = s->batch * s->out_plane;
    const int64_t most = conv_min(conv_min(s->batch, MOST_CHUNKS), pixels / CHUNK_PIXELS);
    w->chunks = conv_max(1, most);
    const int64_t tasks = w->chunks * s->groups;
    w->parts = tasks >= TASKS ? 1 : conv_min(conv_ceil(TASKS, tasks), conv_ceil(w->outer, RL_MR));
    w->row_block = conv_min(s->out[2], 2 * BLOCK_PIXELS);
    w->row_block = conv_ceil(s->out[2], conv_ceil(s->out[2], w->row_block));
    w->block = conv_max(1, conv_min(s->out[1], BLOCK_PIXELS / w->row_block));
    /* Sums come and go once per block: with few pixels, take them all.  A block of several rows
       has whole rows, for its pixels of g must be consecutive. */
    if (s->out[1] * s->out[2] <= 2 * BLOCK_PIXELS) w->block = s->out[1];
}

bool conv_weight_gradient(const conv_shape *s, const float *g, const float *x, float *dw) {
    work *w = rl_scratch(sizeof *w);
    if (!w) return false;
    memset(w, 0, sizeof *w);
    w->s = s, w->g = g, w->x = x, w->dw = dw;
    w->inner = s->inner / s->groups, w->outer = s->outer / s->groups;
    w->copy = w->inner;
    for (int d = 0; d < CONV_DIMS; d++) {
        w->padded[d] = s->size[d] + 2 * s->padding[d];
        w->copy *= w->padded[d];
    }
    lay_out(w);
    cut(w);
    const int64_t pixels = w->block * w->row_block;
    w->offsets = rl_scratch((size_t)pixels * sizeof *w->offsets);
    for (int64_t k = 0; w->offsets && k < pixels; k++) {
        const int64_t y = k / w->row_block * s->stride[1] * w->padded[2];
        const int64_t at = (y + k % w->row_block * s->stride[2]) * w->inner;
        w->offsets[k] = (int32_t)(w->gathered ? k * w->columns : at);
    }
    const size_t real = sizeof(float);
    size_t own = MARGIN;
    if (w->gathered) own += (size_t)(w->block * w->row_block * w->columns) + MARGIN;
    bool done = false;
    const int64_t tasks = w->chunks * s->groups * w->parts;
    w->sums = rl_scratch((size_t)(w->chunks * s->groups * w->sums_size) * real);
    if (w->parts > 1) {
        const size_t floats = (size_t)(s->batch * s->groups * w->copy);
        w->copies = rl_scratch((floats + MARGIN) * real);
        if (w->copies) memset(w->copies + floats, 0, MARGIN * real);
    } else {
        own += (size_t)w->copy + MARGIN;
    }
    if (w->offsets && w->sums && (w->copies || w->parts == 1) &&
        rl_open_slots(&w->slots, own * real, tasks)) {
        RL_RELEASE_GIL(true)
        if (w->copies) rl_parallel(s->batch * s->groups, copy_task, w);
        rl_parallel(tasks, sum_task, w);
        rl_parallel_range(s->outer, conv_ceil(1 << 14, w->inner * s->taps), finish, w);
        RL_TAKE_GIL
        done = true;
    }
    rl_scratch_free(w->slots.base);
    rl_scratch_free(w->copies);
    rl_scratch_free(w->sums);
    rl_scratch_free(w->offsets);
    rl_scratch_free(w);
    return done;
}
