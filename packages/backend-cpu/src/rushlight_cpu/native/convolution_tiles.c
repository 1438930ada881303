/* One pass of a convolution, by register tiles over output pixels.

   Wide planes are copied with zeros around them, flattened, and split by the residue of the step,
   so that each tap is a constant offset and a tile is 48 consecutive positions; those where a row
   ends are dropped.  Where too many would be, on small planes, the windows of 48 pixels, of
   several images if need be, are copied into columns.  Pointwise convolutions read their input
   where it lies. */
#include "convolution.h"

#include <math.h>

/* Costs in multiply-adds of one tile row: copying one element, and beginning a copy. */
#define COPY_ELEMENT 9
#define COPY_RUN 260
#define PLANES ((int64_t)160 << 10) /* floats of copied planes per task */
#define TASKS 16                    /* as many as this are enough to share */
#define NARROW (RL_LANES == 16)     /* half the rows, twice the columns: only with 32 registers */

#if NARROW
CONV_TILE(narrow_2, RL_MR / 2, 2)
CONV_TILE(narrow_4, RL_MR / 2, 4)
CONV_TILE(narrow_6, RL_MR / 2, 6)
#endif

#define MOST_COLUMNS 96
#define MOST_RUNS MOST_COLUMNS
/* Floats past the end of copied planes that tiles may read.  They are 0, as are the columns of a
   tile that has too few: tiny numbers, which memory may hold, take a hundred times as long. */
#define MARGIN (MOST_COLUMNS + RL_LANES)

/* Consecutive columns of a tile that are consecutive in a row of the output. */
typedef struct {
    int64_t column, length;
    int64_t image, j[CONV_DIMS];
} column_run;

typedef struct {
    const conv_pass *p;
    int64_t in_plane, out_plane, pixels; /* pixels: of the box */
    int64_t height, width;               /* of a register tile: rows and most columns */
    int64_t *x_taps;                     /* offsets of taps within a channel */
    int32_t *offsets;                    /* of all taps of all channels */
    int64_t depth;                       /* how many */
    rl_slots slots;
    /* Planes: blocks of the first dimension that has more than one position. */
    int split;
    int64_t block, blocks, grid[CONV_DIMS], steps[CONV_DIMS]; /* grid of a full block */
    int64_t first[CONV_DIMS], plane;              /* first: least tap / in_step */
    int64_t residue[CONV_DIMS], phases[CONV_DIMS]; /* least residue, and how many from it */
    int64_t channel; /* floats from channel to channel of the copy */
    /* A copy for each column of the kernel, of the pixels that it sees alone: then rows of the
       output follow each other without a gap. */
    bool dense;
    int64_t shifts[CONV_MOST_TAPS];
    /* Columns. */
    int64_t total, tiles, pitch, parts; /* parts: of the rows, or of the channels */
    float *shared;                       /* columns made beforehand, or NULL */
} work;

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static void run_tile(const work *w, const conv_depth *depth, const float *const *rows,
                     const float *x, float *c, int64_t ldc, int64_t vectors) {
#if NARROW
    if (w->height < RL_MR) {
        const conv_tile tile = vectors <= 2 ? narrow_2 : vectors <= 4 ? narrow_4 : narrow_6;
        tile(depth, rows, x, c, ldc, false);
        return;
    }
#endif
    conv_tiles[vectors - 1](depth, rows, x, c, ldc, false);
}

/* The rows of the weight from row `m` on; those past the last repeat it. */
static void weight_rows(const work *w, int64_t group, int64_t m, const float **rows) {
    const conv_pass *p = w->p;
    for (int64_t i = 0; i < w->height; i++) {
        rows[i] = p->weight + group * p->weight_group +
                  conv_min(m + i, p->rows - 1) * p->weight_row;
    }
}

/* Where a run of row `m` lies in the output. */
static float *place(const work *w, int64_t group, int64_t m, const column_run *run) {
    const conv_pass *p = w->p;
    int64_t at = (run->image * p->groups + group) * p->rows + m;
    for (int d = 0; d < CONV_DIMS; d++) {
        at = at * p->out_size[d] + run->j[d] * p->out_step[d] + p->base[d];
    }
    return p->out + at;
}

/* Takes the wanted columns of a tile to the output. */
static void store_tile(const work *w, const float *c, int64_t group, int64_t m,
                       const column_run *runs, int count) {
    const int64_t rows = conv_min(w->height, w->p->rows - m), step = w->p->out_step[2];
    for (int r = 0; r < count; r++) {
        const int64_t length = runs[r].length;
        float *to = place(w, group, m, &runs[r]);
        const float *from = c + runs[r].column;
        for (int64_t i = 0; i < rows; i++, to += w->out_plane, from += MOST_COLUMNS) {
            if (step == 1) {
                conv_store_row(to, from, length);
                continue;
            }
            int64_t n = 0;
#if defined(__AVX512F__)
            for (; step == 2 && n < length; n += 8) conv_store_pairs(to + 2 * n, from + n, length - n);
#endif
            for (; n < length; n++) to[n * step] = from[n];
        }
    }
}

/* One tile of columns times rows [from, to) of the weight. */
static void all_rows(const work *w, const conv_depth *depth, int64_t group, int64_t from,
                     int64_t to, const float *x, int64_t columns, const column_run *runs,
                     int count) {
    float c[RL_MR * MOST_COLUMNS] __attribute__((aligned(64)));
    const float *rows[RL_MR];
    int64_t vectors = conv_ceil(columns, RL_LANES);
    if (w->height < RL_MR) vectors += vectors & 1;
    /* A tile of one whole run needs no detour. */
    const bool whole = count == 1 && runs[0].length == vectors * RL_LANES && w->p->out_step[2] == 1;
    for (int64_t m = from; m < to; m += w->height) {
        weight_rows(w, group, m, rows);
        if (whole && m + w->height <= w->p->rows) {
            run_tile(w, depth, rows, x, place(w, group, m, runs), w->out_plane, vectors);
        } else {
            run_tile(w, depth, rows, x, c, MOST_COLUMNS, vectors);
            store_tile(w, c, group, m, runs, count);
        }
    }
}

/* Offsets of all taps of all channels, which are `step` apart. */
static void fill_offsets(const work *w, int32_t *offsets, int64_t step) {
    const int64_t taps = w->p->taps;
    for (int64_t k = 0; k < w->depth; k++) {
        offsets[k] = (int32_t)(k / taps * step + w->x_taps[k % taps]);
    }
}

/* Columns that are computed together, at least. */
static int64_t unit_of(const work *w) { return w->height < RL_MR ? 2 * RL_LANES : RL_LANES; }

/* Where the tiles of some columns begin: they are of about the same width, for those of one vector
   have a load for each multiply-add. */
static int64_t tile_start(const work *w, int64_t columns, int64_t tile) {
    const int64_t unit = unit_of(w), tiles = conv_ceil(columns, w->width);
    return conv_min(tile * conv_ceil(columns, unit) / tiles * unit, columns);
}

/* Planes */

/* Copies the part of an image that positions [begin, end) of the split dimension read. */
static void copy_planes(const work *w, float *to, int64_t image, int64_t group, int64_t begin) {
    const conv_pass *p = w->p;
    const float *x = p->x + (image * p->groups + group) * p->channels * w->in_plane;
    for (int64_t c = 0; c < p->channels; c++, x += w->in_plane) {
        for (int64_t f = 0; f < w->phases[0] * w->phases[1] * w->phases[2]; f++) {
            const int64_t phase[CONV_DIMS] = {f / w->phases[2] / w->phases[1],
                                              f / w->phases[2] % w->phases[1], f % w->phases[2]};
            int64_t start[CONV_DIMS]; /* pixel of the grid's first position */
            for (int d = 0; d < CONV_DIMS; d++) {
                const int64_t j = w->first[d] + (d == w->split ? begin : 0);
                start[d] = j * p->in_step[d] + w->residue[d] + phase[d];
            }
            if (w->dense) start[2] = w->shifts[phase[2]];
            int64_t lo, hi;
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
}

/* The useful columns among positions [begin, end) of a flattened block. */
static int flat_runs(const work *w, const int64_t *counts, int64_t first_row, int64_t image,
                     int64_t begin, int64_t end, column_run *runs) {
    const conv_pass *p = w->p;
    /* Rows that follow each other here and in the output are one run. */
    const bool joined = w->dense && p->out_size[2] == counts[2] && p->out_step[1] == 1;
    int count = 0;
    for (int64_t at = begin; at < end;) {
        const int64_t j[CONV_DIMS] = {at / w->steps[0], at % w->steps[0] / w->steps[1],
                                      at % w->steps[1]};
        const int64_t rows = joined && j[1] < counts[1] ? counts[1] - j[1] : 1;
        if (j[0] < counts[0] && j[1] < counts[1] && j[2] < counts[2]) {
            column_run *run = &runs[count++];
            run->column = at - begin, run->image = image;
            run->length = conv_min((rows - 1) * w->grid[2] + counts[2] - j[2], end - at);
            for (int d = 0; d < CONV_DIMS; d++) run->j[d] = j[d] + (d == w->split ? first_row : 0);
        }
        at += rows * w->grid[2] - j[2];
    }
    return count;
}

static void planes_task(void *context, int64_t index) {
    work *w = context;
    const conv_pass *p = w->p;
    const int64_t block = index % w->blocks, group = index / w->blocks % p->groups;
    const int64_t image = index / w->blocks / p->groups;
    const int64_t begin = block * w->block;
    int64_t counts[CONV_DIMS] = {p->count[0], p->count[1], p->count[2]};
    counts[w->split] = conv_min(w->block, counts[w->split] - begin);
    int slot;
    float *planes = rl_take_slot(&w->slots, &slot);
    copy_planes(w, planes, image, group, begin);
    memset(planes + p->channels * w->channel, 0, MARGIN * sizeof *planes);
    const conv_depth depth = {w->depth, w->offsets};
    int64_t reach = 1;
    for (int d = 0; d < CONV_DIMS; d++) reach += (counts[d] - 1) * w->steps[d];
    column_run runs[MOST_RUNS];
    for (int64_t tile = 0, at = 0; at < reach; tile++, at = tile_start(w, reach, tile)) {
        const int64_t end = tile_start(w, reach, tile + 1);
        const int count = flat_runs(w, counts, begin, image, at, end, runs);
        if (count) all_rows(w, &depth, group, 0, p->rows, planes + at, end - at, runs, count);
    }
    rl_give_slot(&w->slots, slot);
}

/* Finds the columns that taps see, relative to the output's; how many there are. */
static int64_t distinct_shifts(work *w) {
    int64_t count = 0;
    for (int64_t t = 0; t < w->p->taps; t++) {
        int64_t n = 0;
        while (n < count && w->shifts[n] != w->p->at[t][2]) n++;
        w->shifts[n] = w->p->at[t][2];
        if (n == count) count++;
    }
    return count;
}

/* Lays out blocks of about `block` positions of the split dimension. */
static void lay_out(work *w, int64_t block) {
    const conv_pass *p = w->p;
    w->block = block, w->blocks = conv_ceil(p->count[w->split], block);
    for (int d = 0; d < CONV_DIMS; d++) {
        int64_t least = INT64_MAX, most = INT64_MIN, lowest = INT64_MAX, highest = 0;
        for (int64_t t = 0; t < p->taps; t++) {
            least = conv_min(least, floor_div(p->at[t][d], p->in_step[d]));
            most = conv_max(most, floor_div(p->at[t][d], p->in_step[d]));
            const int64_t whole = floor_div(p->at[t][d], p->in_step[d]);
            const int64_t residue = p->at[t][d] - p->in_step[d] * whole;
            lowest = conv_min(lowest, residue), highest = conv_max(highest, residue);
        }
        if (d == 2 && w->dense) {
            w->first[d] = 0, w->grid[d] = p->count[d], w->residue[d] = 0;
            w->phases[d] = distinct_shifts(w);
            continue;
        }
        w->first[d] = least;
        w->grid[d] = (d == w->split ? block : p->count[d]) + most - least;
        w->residue[d] = lowest, w->phases[d] = highest - lowest + 1;
    }
    w->steps[2] = 1, w->steps[1] = w->grid[2], w->steps[0] = w->grid[1] * w->grid[2];
    w->plane = w->grid[0] * w->steps[0];
    w->channel = w->plane * w->phases[0] * w->phases[1] * w->phases[2];
    for (int64_t t = 0; t < p->taps; t++) {
        int64_t phase = 0, offset = 0;
        for (int d = 0; d < CONV_DIMS; d++) {
            if (d == 2 && w->dense) {
                int64_t n = 0;
                while (w->shifts[n] != p->at[t][d]) n++;
                phase = phase * w->phases[d] + n;
                continue;
            }
            const int64_t whole = floor_div(p->at[t][d], p->in_step[d]);
            phase = phase * w->phases[d] + p->at[t][d] - whole * p->in_step[d] - w->residue[d];
            offset += (whole - w->first[d]) * w->steps[d];
        }
        w->x_taps[t] = phase * w->plane + offset;
    }
}

static bool run_planes(work *w) {
    const conv_pass *p = w->p;
    const int64_t rows = p->count[w->split], images = p->batch * p->groups;
    int64_t block = rows;
    lay_out(w, block);
    const int64_t pieces = conv_max(conv_ceil(p->channels * w->channel, PLANES),
                                    conv_ceil(TASKS, images));
    /* Blocks of fewer tiles than this would mostly be tails and copies. */
    const int64_t row = w->plane / w->grid[w->split];
    const int64_t least = conv_ceil(4 * w->width, row);
    block = conv_min(rows, conv_max(conv_ceil(rows, pieces), least));
    block = conv_ceil(rows, conv_ceil(rows, block));
    lay_out(w, block);
    fill_offsets(w, w->offsets, w->channel);
    const int64_t tasks = images * w->blocks;
    const size_t floats = (size_t)(p->channels * w->channel + MARGIN);
    if (!rl_open_slots(&w->slots, floats * sizeof(float), tasks)) return false;
    RL_RELEASE_GIL(true)
    rl_parallel(tasks, planes_task, w);
    RL_TAKE_GIL
    rl_scratch_free(w->slots.base);
    return true;
}

/* Columns */

/* Where the columns [begin, end) of all images' pixels lie, as runs within rows. */
static int column_runs(const work *w, int64_t begin, int64_t end, column_run *runs) {
    const int64_t *n = w->p->count;
    int count = 0;
    for (int64_t at = begin; at < end;) {
        column_run *run = &runs[count++];
        const int64_t pixel = at % w->pixels;
        run->column = at - begin, run->image = at / w->pixels;
        run->j[0] = pixel / (n[1] * n[2]), run->j[1] = pixel / n[2] % n[1];
        run->j[2] = pixel % n[2];
        run->length = conv_min(n[2] - run->j[2], end - at);
        at += run->length;
    }
    return count;
}

/* The rows of one tap, of channels [first, last). */
static void copy_runs(const work *w, float *to, const float *x, const column_run *runs, int count,
                      const int64_t *from, const int64_t *lo, const int64_t *hi, int64_t first,
                      int64_t last) {
    const int64_t row = w->p->taps * w->pitch, step = w->p->in_step[2];
    for (int64_t c = first; c < last; c++) {
        const float *plane = x + c * w->in_plane;
        for (int r = 0; r < count; r++) {
            conv_copy_row(to + c * row + runs[r].column, plane + from[r], lo[r], hi[r],
                          runs[r].length, step);
        }
    }
}

#if defined(__AVX512F__)
/* Vectors that make up a channel's columns: the same for all channels. */
#define MOST_PIECES 1024
typedef struct {
    int count;
    int32_t column[MOST_PIECES];
    int64_t from[MOST_PIECES];
    __mmask16 mask[MOST_PIECES];
} pieces;

static void add_pieces(pieces *all, int64_t column, const column_run *runs, int count,
                       const int64_t *from, const int64_t *lo, const int64_t *hi, int64_t step) {
    for (int r = 0; r < count; r++) {
        for (int64_t i = 0; i < runs[r].length; i += 16) {
            const int64_t begin = conv_min(conv_max(lo[r] - i, 0), 16);
            const int64_t end = conv_min(conv_max(hi[r] - i, begin), 16);
            all->mask[all->count] = (__mmask16)(((1u << end) - 1) & ~((1u << begin) - 1));
            all->column[all->count] = (int32_t)(column + runs[r].column + i);
            all->from[all->count++] = from[r] + i * step;
        }
    }
}
#endif

/* Windows of channels [first, last) as columns: (channel, tap) by `pitch`. The pitch is a vector
   more than a tile is wide, because copies spill. */
static void copy_columns(const work *w, float *to, int64_t group, const column_run *runs, int count,
                         int64_t first, int64_t last) {
    const conv_pass *p = w->p;
    int64_t from[MOST_RUNS], lo[MOST_RUNS], hi[MOST_RUNS]; /* of each run, for one tap */
    const float *x = p->x + group * p->channels * w->in_plane;
    const int64_t image = p->groups * p->channels * w->in_plane, step = p->in_step[2];
    const int64_t used = runs[count - 1].column + runs[count - 1].length;
    const int64_t missing = conv_ceil(used, unit_of(w)) * unit_of(w) - used;
    for (int64_t k = first * p->taps; missing && k < last * p->taps; k++) {
        memset(to + k * w->pitch + used, 0, (size_t)missing * sizeof *to);
    }
#if defined(__AVX512F__)
    pieces all;
    all.count = 0;
    int64_t vectors = 0;
    for (int r = 0; r < count; r++) vectors += conv_ceil(runs[r].length, 16);
    const bool fits = step <= 2 && vectors * p->taps <= MOST_PIECES;
#endif
    for (int64_t t = 0; t < p->taps; t++) {
        for (int r = 0; r < count; r++) {
            int64_t at[CONV_DIMS];
            for (int d = 0; d < CONV_DIMS; d++) at[d] = runs[r].j[d] * p->in_step[d] + p->at[t][d];
            conv_inside(at[2], step, p->in_size[2], &lo[r], &hi[r]);
            const bool inside = at[0] >= 0 && at[0] < p->in_size[0] && at[1] >= 0 &&
                                at[1] < p->in_size[1];
            hi[r] = inside ? conv_min(hi[r], runs[r].length) : 0;
            from[r] = runs[r].image * image +
                      (at[0] * p->in_size[1] + at[1]) * p->in_size[2] + at[2];
        }
#if defined(__AVX512F__)
        /* Channel by channel if it can be had: then both sides are gone through in order. */
        if (fits) {
            add_pieces(&all, t * w->pitch, runs, count, from, lo, hi, step);
            continue;
        }
#endif
        copy_runs(w, to + t * w->pitch, x, runs, count, from, lo, hi, first, last);
    }
#if defined(__AVX512F__)
    for (int64_t c = first; fits && c < last; c++) {
        const float *plane = x + c * w->in_plane;
        float *into = to + c * p->taps * w->pitch;
        for (int i = 0; i < all.count; i++) {
            const float *piece = plane + all.from[i];
            _mm512_storeu_ps(into + all.column[i],
                             step == 1 ? _mm512_maskz_loadu_ps(all.mask[i], piece)
                                       : conv_load_pairs(all.mask[i], piece));
        }
    }
#endif
}

/* Makes a share of the columns that all tasks read later. */
static void columns_task(void *context, int64_t index) {
    const work *w = context;
    const int64_t channels = w->p->channels;
    const int64_t part = index % w->parts, tile = index / w->parts % w->tiles;
    const int64_t group = index / w->parts / w->tiles;
    column_run runs[MOST_RUNS];
    const int64_t begin = tile_start(w, w->total, tile), end = tile_start(w, w->total, tile + 1);
    const int count = column_runs(w, begin, end, runs);
    copy_columns(w, w->shared + (group * w->tiles + tile) * channels * w->p->taps * w->pitch, group,
                 runs, count, part * channels / w->parts, (part + 1) * channels / w->parts);
}

static void tile_task(void *context, int64_t index) {
    work *w = context;
    const conv_pass *p = w->p;
    const int64_t part = index % w->parts, tile = index / w->parts % w->tiles;
    const int64_t group = index / w->parts / w->tiles;
    column_run runs[MOST_RUNS];
    const int64_t begin = tile_start(w, w->total, tile), end = tile_start(w, w->total, tile + 1);
    const int count = column_runs(w, begin, end, runs);
    const conv_depth depth = {w->depth, w->offsets};
    const int64_t panels = conv_ceil(p->rows, w->height);
    const int64_t from = part * panels / w->parts * w->height;
    const int64_t to = conv_min((part + 1) * panels / w->parts * w->height, p->rows);
    int slot = -1;
    float *columns;
    if (w->shared) {
        columns = w->shared + (group * w->tiles + tile) * p->channels * p->taps * w->pitch;
    } else {
        columns = rl_take_slot(&w->slots, &slot);
        copy_columns(w, columns, group, runs, count, 0, p->channels);
    }
    all_rows(w, &depth, group, from, to, columns, end - begin, runs, count);
    if (!w->shared) rl_give_slot(&w->slots, slot);
}

static bool run_columns(work *w) {
    const conv_pass *p = w->p;
    w->total = p->batch * w->pixels, w->tiles = conv_ceil(w->total, w->width);
    w->pitch = w->width + RL_LANES;
    for (int64_t t = 0; t < p->taps; t++) {
        w->x_taps[t] = t * w->pitch;
    }
    fill_offsets(w, w->offsets, p->taps * w->pitch);
    const int64_t tiles = p->groups * w->tiles;
    const size_t bytes = (size_t)(p->channels * p->taps * w->pitch) * sizeof(float);
    /* Few tiles are shared out by rows too, and their columns made first. */
    w->parts = conv_min(conv_ceil(TASKS, tiles), conv_ceil(p->rows, w->height));
    void *room = NULL;
    if (w->parts > 1) {
        room = w->shared = rl_scratch(bytes * (size_t)tiles);
    } else if (rl_open_slots(&w->slots, bytes, tiles)) {
        room = w->slots.base;
    }
    if (!room) return false;
    RL_RELEASE_GIL(true)
    if (w->parts > 1) {
        const int64_t parts = w->parts;
        w->parts = conv_min(conv_ceil(TASKS, tiles), p->channels);
        rl_parallel(tiles * w->parts, columns_task, w);
        w->parts = parts;
    }
    rl_parallel(tiles * w->parts, tile_task, w);
    RL_TAKE_GIL
    rl_scratch_free(room);
    return true;
}

/* Pointwise: the input is its own columns */

static void point_task(void *context, int64_t index) {
    work *w = context;
    const conv_pass *p = w->p;
    const int64_t block = index % w->blocks, group = index / w->blocks % p->groups;
    const int64_t image = index / w->blocks / p->groups;
    const int64_t stop = conv_min((block + 1) * w->block, w->pixels);
    const float *x = p->x + (image * p->groups + group) * p->channels * w->in_plane;
    const bool last = image == p->batch - 1 && group == p->groups - 1;
    const int64_t begin = block * w->block;
    for (int64_t tile = 0, at = begin; at < stop;
         tile++, at = begin + tile_start(w, stop - begin, tile)) {
        const int64_t end = begin + tile_start(w, stop - begin, tile + 1);
        const column_run run = {0, end - at, image, {0, 0, at}};
        const conv_depth depth = {w->depth, w->offsets};
        if (last && at + w->width > w->pixels) { /* would read past the end of the array */
            int slot;
            float *columns = rl_take_slot(&w->slots, &slot);
            copy_columns(w, columns, group, &run, 1, 0, p->channels);
            const conv_depth copied = {w->depth, w->offsets + w->depth};
            all_rows(w, &copied, group, 0, p->rows, columns, end - at, &run, 1);
            rl_give_slot(&w->slots, slot);
        } else {
            all_rows(w, &depth, group, 0, p->rows, x + at, end - at, &run, 1);
        }
    }
}

static bool run_points(work *w) {
    const conv_pass *p = w->p;
    w->x_taps[0] = 0;
    w->pitch = w->width + RL_LANES;
    fill_offsets(w, w->offsets, w->in_plane);
    fill_offsets(w, w->offsets + w->depth, w->pitch); /* of columns, at the very end */
    const int64_t tiles = conv_ceil(w->pixels, w->width), images = p->batch * p->groups;
    const int64_t most = conv_max(1, PLANES / (p->channels * w->width));
    const int64_t pieces = conv_max(conv_ceil(tiles, most), conv_ceil(TASKS, images));
    w->block = conv_ceil(tiles, conv_min(pieces, tiles)) * w->width;
    w->blocks = conv_ceil(w->pixels, w->block);
    const size_t floats = (size_t)(p->channels * w->pitch);
    if (!rl_open_slots(&w->slots, floats * sizeof(float), 1)) return false;
    RL_RELEASE_GIL(true)
    rl_parallel(images * w->blocks, point_task, w);
    RL_TAKE_GIL
    rl_scratch_free(w->slots.base);
    return true;
}

/* How many times the time of the pixels alone all positions take.  Tiles of fewer vectors have more
   loads for each multiply-add, and take more than their share. */
static double wasted(const work *w, int64_t positions) {
    const int64_t vectors = conv_ceil(positions, RL_LANES);
    const int64_t missing = conv_ceil(positions, w->width) * (w->width / RL_LANES) - vectors;
    const double more = vectors == 1 ? 0.6 : 0.3 * (double)missing;
    return ((double)vectors + more) * RL_LANES / (double)w->pixels;
}

/* Cost per pixel and tap of a layout of planes. */
static double planes_cost(work *w, double rows, double copy) {
    const conv_pass *p = w->p;
    lay_out(w, p->count[w->split]);
    int64_t reach = 1;
    for (int d = 0; d < CONV_DIMS; d++) reach += (p->count[d] - 1) * w->steps[d];
    const int64_t copies = w->phases[0] * w->phases[1] * w->phases[2];
    return rows * wasted(w, reach) + copy * (double)copies / (double)p->taps;
}

static bool run_pass(const conv_pass *p) {
    int64_t x_taps[CONV_MOST_TAPS];
    work w = {.p = p, .x_taps = x_taps, .depth = p->channels * p->taps};
    w.in_plane = p->in_size[0] * p->in_size[1] * p->in_size[2];
    w.out_plane = p->out_size[0] * p->out_size[1] * p->out_size[2];
    w.pixels = p->count[0] * p->count[1] * p->count[2];
    const bool narrow = NARROW && p->rows <= RL_MR / 2;
    w.height = narrow ? RL_MR / 2 : RL_MR;
    w.width = narrow ? MOST_COLUMNS : RL_NR;
    while (w.split < CONV_DIMS - 1 && p->count[w.split] == 1) w.split++;

    const bool points = p->taps == 1 && w.in_plane == w.pixels && w.out_plane == w.pixels &&
                        p->count[2] == w.pixels && p->in_step[2] == 1;
    const double rows = (double)(conv_ceil(p->rows, w.height) * w.height);
    const double run = (double)conv_min(p->count[2], w.width);
    const double copy = COPY_ELEMENT + COPY_RUN / run;
    w.dense = true;
    const double dense_cost = w.split == 2 ? INFINITY : planes_cost(&w, rows, copy);
    w.dense = false;
    const double flat_cost = points ? rows * wasted(&w, w.pixels) : planes_cost(&w, rows, copy);
    w.dense = dense_cost < flat_cost && !points;
    const double columns_cost = rows + copy;
    w.offsets = rl_scratch((size_t)w.depth * 2 * sizeof *w.offsets);
    if (!w.offsets) return false;
    const bool done = columns_cost < fmin(flat_cost, dense_cost) ? run_columns(&w)
                      : points                   ? run_points(&w)
                                                 : run_planes(&w);
    rl_scratch_free(w.offsets);
    return done;
}

/* Rows of a weight in the order that tiles read them, where that is not how it lies. */
typedef struct {
    const conv_pass *p;
    float *to;
} gathering;

static void gather_rows(void *context, int64_t begin, int64_t end) {
    const gathering *c = context;
    const conv_pass *p = c->p;
    const int64_t row = p->channels * p->taps;
    bool whole = true; /* all taps in their order */
    for (int64_t t = 0; t < p->taps; t++) whole &= p->weight_at[t] == t;
    int64_t n = 0;
#if defined(__AVX512F__)
    const bool near = !whole && p->weight_channel <= INT32_MAX / 16;
    const __m512i lane =
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from_step = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)p->weight_channel));
    const __m512i to_step = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)p->taps));
    for (; near && n + 16 <= p->channels; n += 16) {
        for (int64_t i = begin; i < end; i++) {
            const float *from = p->weight + i / p->rows * p->weight_group +
                                i % p->rows * p->weight_row + n * p->weight_channel;
            float *to = c->to + i * row + n * p->taps;
            for (int64_t t = 0; t < p->taps; t++) {
                _mm512_i32scatter_ps(to + t, to_step,
                                     _mm512_i32gather_ps(from_step, from + p->weight_at[t], 4), 4);
            }
        }
    }
#endif
    for (; n < p->channels; n++) {
        for (int64_t i = begin; i < end; i++) { /* whole cache lines of the source, by turns */
            const float *from = p->weight + i / p->rows * p->weight_group +
                                i % p->rows * p->weight_row + n * p->weight_channel;
            float *to = c->to + i * row + n * p->taps;
            if (whole) {
                conv_store_row(to, from, p->taps);
                continue;
            }
            for (int64_t t = 0; t < p->taps; t++) to[t] = from[p->weight_at[t]];
        }
    }
}

bool conv_run_pass(const conv_pass *p) {
    bool ready = p->weight_channel == p->taps;
    for (int64_t t = 0; t < p->taps; t++) ready &= p->weight_at[t] == t;
    if (ready) return run_pass(p);
    /* Backwards, a row's values lie apart: each read would be a cache line of its own. */
    const int64_t rows = p->groups * p->rows, row = p->channels * p->taps;
    gathering c = {p, rl_scratch((size_t)(rows * row) * sizeof(float))};
    if (!c.to) return false;
    RL_RELEASE_GIL(true)
    rl_parallel_range(rows, conv_max(16, conv_ceil(1 << 14, row)), gather_rows, &c);
    RL_TAKE_GIL
    conv_pass *own = rl_scratch(sizeof *own);
    bool done = false;
    if (own) {
        *own = *p;
        own->weight = c.to, own->weight_channel = p->taps;
        own->weight_row = row, own->weight_group = p->rows * row;
        for (int64_t t = 0; t < p->taps; t++) own->weight_at[t] = t;
        done = run_pass(own);
        rl_scratch_free(own);
    }
    rl_scratch_free(c.to);
    return done;
}
