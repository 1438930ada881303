/* The loops of scattering.c that add, for one type of numbers. */

/* out = base + the rows of src that go to this place, in their order. */
static void F(add_sorted)(const adding *a, int64_t begin, int64_t end) {
    int64_t inner = a->inner;
    for (int64_t row = begin; row < end; row++) {
        int64_t outer = row / a->n, at = row % a->n;
        T *restrict out = (T *)a->out + row * inner;
        const T *src = (const T *)a->src + outer * a->count * inner;
        const T *base = a->base == BASE_DENSE ? (const T *)a->x + row * inner : NULL;
        int32_t i = a->starts[at], stop = a->starts[at + 1];
        T number = a->base == BASE_NUMBER ? *(const T *)a->x : 0;
        if (i == stop) {
            if (base) memcpy(out, base, sizeof(T) * (size_t)inner);
            else if (a->base == BASE_NUMBER) {
                for (int64_t k = 0; k < inner; k++) out[k] = number;
            }
            continue;
        }
        const T *restrict s = src + a->order[i] * inner;
        if (i + 1 < stop) {
            const char *next = (const char *)(src + a->order[i + 1] * inner);
            for (int64_t b = 0; b < (int64_t)sizeof(T) * inner && b < 1024; b += 64) {
                __builtin_prefetch(next + b);
            }
        }
        if (base) {
            for (int64_t k = 0; k < inner; k++) out[k] = base[k] + s[k];
        } else if (a->base == BASE_NUMBER) {
            for (int64_t k = 0; k < inner; k++) out[k] = number + s[k];
        } else {
            for (int64_t k = 0; k < inner; k++) out[k] += s[k];
        }
        while (++i < stop) {
            s = src + a->order[i] * inner;
            for (int64_t k = 0; k < inner; k++) out[k] += s[k];
        }
    }
}

/* The same where rows are short: in the order of the places. */
static void F(add_in_turn)(const adding *a, int64_t outer) {
    int64_t inner = a->inner, block = a->n * inner;
    T *out = (T *)a->out + outer * block;
    const T *src = (const T *)a->src + outer * a->count * inner;
    if (a->base == BASE_DENSE) {
        memcpy(out, (const T *)a->x + outer * block, sizeof(T) * (size_t)block);
    } else if (a->base == BASE_NUMBER) {
        T number = *(const T *)a->x;
        for (int64_t i = 0; i < block; i++) out[i] = number;
    }
    if (inner == 1) {
        for (int64_t j = 0; j < a->count; j++) {
            if (a->places[j] != a->skip) out[a->places[j]] += src[j];
        }
        return;
    }
    for (int64_t j = 0; j < a->count; j++) {
        if (a->places[j] == a->skip) continue;
        T *into = out + a->places[j] * inner;
        for (int64_t k = 0; k < inner; k++) into[k] += src[j * inner + k];
    }
}

/* One line of a scatter along the last dimension. */
static void F(add_line)(T *out, const T *src, const int64_t *index, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[index[i]] += src[i];
}

/* Some columns of a scatter along another dimension. */
static void F(add_columns)(T *out, const T *src, const int64_t *index, int64_t count,
                           int64_t inner, int64_t first, int64_t last) {
    for (int64_t j = 0; j < count; j++) {
        for (int64_t i = first; i < last; i++) {
            out[index[j * inner + i] * inner + i] += src[j * inner + i];
        }
    }
}
