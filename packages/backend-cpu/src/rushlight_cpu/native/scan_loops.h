/* The loops of scan.c for one type T, vectors V of LANES elements and their masks M. */

static const __typeof__(((M){0})[0]) F(numbers)[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                       8, 9, 10, 11, 12, 13, 14, 15};

/* What adding does not change: -0 of floats, for 0 would turn a -0 into 0. */
static inline V F(nothing)(void) { return (V){0} * (T)-1; }

/* v moved by s lanes to the end (to the front if reversed), with nothing behind.  The mask is made
   by vector operations, which compilers take out of loops. */
static inline V F(moved)(V v, int s, bool reversed) {
    M from;
    memcpy(&from, F(numbers), sizeof from);
    from += reversed ? s : -s;
    M inside = (from >= 0) & (from < LANES);
    return __builtin_shuffle(v, F(nothing)(), (from & inside) | (LANES & ~inside));
}

/* One lane in all of them. */
static inline V F(spread)(V v, int lane) {
    M mask = (M){0} + lane;
    return __builtin_shuffle(v, mask);
}

static inline V F(scanned)(V v, bool reversed) {
#pragma GCC unroll 8
    for (int s = 1; s < LANES; s *= 2) v += F(moved)(v, s, reversed);
    return v;
}

static inline void F(row)(const T *x, T *out, int64_t n, bool reversed) {
    T carry;
    int64_t whole = n / LANES * LANES;
    if (!reversed) {
        V before = F(nothing)();
        for (int64_t i = 0; i < whole; i += LANES) {
            V v;
            memcpy(&v, x + i, sizeof v);
            v = F(scanned)(v, false);
            V sum = before + v;
            memcpy(out + i, &sum, sizeof v);
            before += F(spread)(v, LANES - 1); /* only an addition waits for the vector before */
        }
        carry = before[0];
        for (int64_t i = whole; i < n; i++) out[i] = carry += x[i];
        return;
    }
    V after = F(nothing)();
    int64_t i = n;
    for (; i >= LANES; i -= LANES) {
        V v;
        memcpy(&v, x + i - LANES, sizeof v);
        v = F(scanned)(v, true);
        V sum = after + v;
        memcpy(out + i - LANES, &sum, sizeof v);
        after += F(spread)(v, 0);
    }
    carry = after[0];
    while (i--) out[i] = carry += x[i];
}

static void F(rows)(const scan *s, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
        const T *x = (const T *)s->x + r * s->n;
        T *out = (T *)s->out + r * s->n;
        if (s->reversed) F(row)(x, out, s->n, true);
        else F(row)(x, out, s->n, false);
    }
}

/* Columns [first, last) of a block (n, inner). */
static void F(columns)(const scan *s, int64_t outer, int64_t first, int64_t last) {
    int64_t inner = s->inner, at = s->reversed ? s->n - 1 : 0, step = s->reversed ? -1 : 1;
    const T *x = (const T *)s->x + outer * s->n * inner;
    T *out = (T *)s->out + outer * s->n * inner;
    memcpy(out + at * inner + first, x + at * inner + first, sizeof(T) * (size_t)(last - first));
    for (int64_t k = 1; k < s->n; k++) {
        const T *before = out + at * inner;
        at += step;
        const T *now = x + at * inner;
        T *restrict into = out + at * inner;
        for (int64_t i = first; i < last; i++) into[i] = before[i] + now[i];
    }
}

/* A piece of one long row, then what the pieces before it sum to. */
static void F(piece)(const scan *s, int64_t begin, int64_t end) {
    if (s->reversed) F(row)((const T *)s->x + begin, (T *)s->out + begin, end - begin, true);
    else F(row)((const T *)s->x + begin, (T *)s->out + begin, end - begin, false);
}

static void F(carries)(const scan *s, int64_t pieces) {
    T *carry = s->carries, sum = F(nothing)()[0];
    const T *out = s->out;
    for (int64_t k = 0; k < pieces; k++) {
        int64_t p = s->reversed ? pieces - 1 - k : k, begin = p * PIECE, end = begin + PIECE;
        if (end > s->n) end = s->n;
        carry[p] = sum;
        sum += out[s->reversed ? begin : end - 1];
    }
}

static void F(raise)(const scan *s, int64_t begin, int64_t end) {
    T carry = ((const T *)s->carries)[begin / PIECE], *out = s->out;
    for (int64_t i = begin; i < end; i++) out[i] += carry;
}
