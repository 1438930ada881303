/* One step of each optimiser over a run of elements, for one real type.  `x` are the operands
   (parameter, gradient, states), `y` the results (parameter, states); they may be the same memory,
   element for element, hence `ivdep` and not `restrict`.  What decides on a store is a constant of
   an inlined function, so that each case gets a loop that compilers turn into vector code; other
   flags choose between values. */

#define IN(k) ((const T *)x[k])
#define OUT(k) ((T *)y[k])
#define EACH _Pragma("GCC ivdep") for (int64_t i = begin; i < end; i++)
#define INLINE static inline __attribute__((always_inline)) void

/* The gradient with its sign and with that of the L2 penalty. */
#define PENALISED(p, g) (penalty ? sign * (g) + decay * (p) : sign * (g))
#define PENALTY                                                                                   \
    const bool penalty = r->penalty;                                                              \
    const T sign = r->maximize ? -1 : 1, decay = (T)r->weight_decay

static void F(sgd)(const rule *r, const double *rate, char *const *x, char *const *y,
                   int64_t begin, int64_t end) {
    const T *ps = IN(0), *gs = IN(1);
    T *p_out = OUT(0);
    const T lr = (T)r->lr, kept = (T)r->momentum, share = (T)(1 - r->dampening);
    const bool first = r->first, nesterov = r->nesterov;
    PENALTY;
    (void)rate;
    if (r->momentum == 0) {
        EACH p_out[i] = ps[i] - lr * PENALISED(ps[i], gs[i]);
        return;
    }
    const T *vs = IN(2);
    T *v_out = OUT(1);
    EACH {
        T p = ps[i], g = PENALISED(p, gs[i]), old = vs[i];
        T v = first ? g : kept * old + share * g;
        v_out[i] = v;
        p_out[i] = p - lr * (nesterov ? g + kept * v : v);
    }
}

INLINE F(adam_of)(bool amsgrad, const rule *r, const double *rate, char *const *x, char *const *y,
                  int64_t begin, int64_t end) {
    const T *ps = IN(0), *gs = IN(1), *ms = IN(2), *vs = IN(3), *tops = amsgrad ? IN(4) : vs;
    T *p_out = OUT(0), *m_out = OUT(1), *v_out = OUT(2), *top_out = amsgrad ? OUT(3) : v_out;
    const T lr = (T)rate[0], eps = (T)rate[1], shrink = (T)r->shrink;
    const T mean_share = (T)(1 - r->beta1), kept = (T)r->beta2, share = (T)(1 - r->beta2);
    PENALTY;
    EACH {
        T p = ps[i], g = PENALISED(p, gs[i]);
        T m = ms[i] + mean_share * (g - ms[i]);
        T v = kept * vs[i] + share * (g * g);
        T top = amsgrad ? tops[i] : v;
        m_out[i] = m;
        v_out[i] = v;
        if (amsgrad) {
            top = top > v || top != top ? top : v; /* NaN wins */
            top_out[i] = top;
        }
        p_out[i] = shrink * p - lr * (m / (F(rl_sqrt)(top) + eps));
    }
}

static void F(adam)(const rule *r, const double *rate, char *const *x, char *const *y,
                    int64_t begin, int64_t end) {
    if (r->amsgrad) F(adam_of)(true, r, rate, x, y, begin, end);
    else F(adam_of)(false, r, rate, x, y, begin, end);
}

INLINE F(rmsprop_of)(bool centered, bool momentum, const rule *r, char *const *x, char *const *y,
                     int64_t begin, int64_t end) {
    const T *ps = IN(0), *gs = IN(1), *vs = IN(2), *means = centered ? IN(3) : vs;
    const T *speeds = momentum ? IN(3 + centered) : vs;
    T *p_out = OUT(0), *v_out = OUT(1), *mean_out = centered ? OUT(2) : v_out;
    T *speed_out = momentum ? OUT(2 + centered) : v_out;
    const T lr = (T)r->lr, kept = (T)r->alpha, share = (T)(1 - r->alpha), eps = (T)r->eps;
    const T inertia = (T)r->momentum;
    PENALTY;
    EACH {
        T p = ps[i], g = PENALISED(p, gs[i]);
        T mean = means[i], speed = speeds[i];
        T v = kept * vs[i] + share * (g * g), variance = v;
        v_out[i] = v;
        if (centered) {
            mean += share * (g - mean);
            mean_out[i] = mean;
            variance = v - mean * mean;
        }
        T move = g / (F(rl_sqrt)(variance) + eps);
        if (momentum) {
            move += inertia * speed;
            speed_out[i] = move;
        }
        p_out[i] = p - lr * move;
    }
}

static void F(rmsprop)(const rule *r, const double *rate, char *const *x, char *const *y,
                       int64_t begin, int64_t end) {
    (void)rate;
    if (r->centered) {
        if (r->momentum != 0) F(rmsprop_of)(true, true, r, x, y, begin, end);
        else F(rmsprop_of)(true, false, r, x, y, begin, end);
    } else if (r->momentum != 0) F(rmsprop_of)(false, true, r, x, y, begin, end);
    else F(rmsprop_of)(false, false, r, x, y, begin, end);
}

static void F(adagrad)(const rule *r, const double *rate, char *const *x, char *const *y,
                       int64_t begin, int64_t end) {
    const T *ps = IN(0), *gs = IN(1), *totals = IN(2);
    T *p_out = OUT(0), *total_out = OUT(1);
    const T lr = (T)rate[0], eps = (T)r->eps;
    PENALTY;
    EACH {
        T p = ps[i], g = PENALISED(p, gs[i]);
        T total = totals[i] + g * g;
        total_out[i] = total;
        p_out[i] = p - lr * (g / (F(rl_sqrt)(total) + eps));
    }
}

#undef IN
#undef OUT
#undef EACH
#undef INLINE
#undef PENALISED
#undef PENALTY
