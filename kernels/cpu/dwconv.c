/* dwconv2d: y[r,j] = sum over u,v of x[r s + u, j s + v] w[u,v], channel by channel.
 *
 * A few vectors of channels at a time walk down a strip of rows. The rows of x under the kernel
 * lie in a ring of padded rows of just these channels, in L1 and L2: each number is fetched once
 * and in whole runs of lines, zeros around the picture need no care, and the sums of eight
 * neighbouring outputs stay in registers.
 *
 * The gradient is the same walk over dy with w reversed, see dwconv.h. The activation's slope is
 * applied on the way into the ring. */
#include "kernels/cpu/dwconv.h"
#include "kernels/cpu/activation.h"

enum { AHEAD = 6 }; /* pixels to fetch ahead */

typedef struct job {
    const walk *w;
    fv_shape in, out;
    const float *x;    /* walked over; */
    fv_act before;     /* applied to it, */
    const float *kept; /* or if not NULL: it is a gradient, multiplied by undo'(kept) */
    fv_act undo;       /* after x * gate + share * mean, if there is a gate */
    const float *gate, *mean;
    float share;
    float *y, *aux; /* either may be NULL, not both */
    float *sums;    /* NULL, or [n][strips][vectors][LANES] of y */
    const float *bias;
    fv_act act;
    const float *slope; /* like y: in the end its numbers are multiplied by slope_act'(slope) */
    fv_act slope_act;
    bool add;
    float *rings;
} job;

/* Channels channel .. channel + count - 1 of one tensor's pixels. */
typedef struct span {
    size_t channel, count;
    float *sums; /* NULL, or where outputs are added up */
} span;

static size_t lanes_of(span s, size_t vector)
{
    size_t rest = s.count - vector * LANES;
    return rest < LANES ? rest : LANES;
}

static size_t vectors_of(span s)
{
    return (s.count + LANES - 1) / LANES;
}

/* Where a row of the input begins, and what belongs to its channels. */
typedef struct source {
    const float *x, *kept; /* NULL: not a gradient */
    const float *gate, *mean;
    float share;
    size_t channels;
    int count;
} source;

INLINE void fill_vector(const fv_act before, const fv_act undo, const bool gated, float *to,
                        source s, size_t at, size_t lanes)
{
    vf value = load_lanes(s.x + at, lanes);
    if (gated)
        value =
            v_fma(value, load_lanes(s.gate + at, lanes), load_lanes(s.mean + at, lanes) * s.share);
    if (undo != FV_ACT_NONE) value = v_sloped(undo, value, load_lanes(s.kept + at, lanes));
    v_store(to, v_activate(before, value));
}

/* One row into the ring. */
INLINE void fill_row(const fv_act before, const fv_act undo, const bool gated, float *to,
                     size_t plane, source s, span part)
{
    size_t whole = part.count / LANES, rest = part.count % LANES;
    for (int j = 0; j < s.count; j++, to += LANES, s.x += s.channels) {
        for (size_t c = 0; c < part.count; c += 16) {
            __builtin_prefetch(s.x + AHEAD * s.channels + c);
            if (undo != FV_ACT_NONE) __builtin_prefetch(s.kept + AHEAD * s.channels + c);
        }
        for (size_t v = 0; v < whole; v++)
            fill_vector(before, undo, gated, to + v * plane, s, v * LANES, LANES);
        if (rest) fill_vector(before, undo, gated, to + whole * plane, s, whole * LANES, rest);
        if (undo != FV_ACT_NONE) s.kept += s.channels;
    }
}

/* Of an input, of a gradient, of a gradient behind a gate. */
INLINE void fill_input(const fv_act act, float *to, size_t plane, source s, span part)
{
    fill_row(act, FV_ACT_NONE, false, to, plane, s, part);
}

INLINE void fill_gradient(const fv_act act, float *to, size_t plane, source s, span part)
{
    fill_row(FV_ACT_NONE, act, false, to, plane, s, part);
}

INLINE void fill_gated(const fv_act act, float *to, size_t plane, source s, span part)
{
    fill_row(FV_ACT_NONE, act, true, to, plane, s, part);
}

/* sum + the products of kw numbers of a row and its taps. With AVX2 one after the other; else pairs
 * are added up first, for a shorter chain. */
INLINE vf add_products(const int kw, vf sum, const vf *x, const vf *taps)
{
#if defined(__FMA__) && !defined(__AVX512F__)
#pragma GCC unroll 5
    for (int v = 0; v < kw; v++) sum = v_fma(x[v], taps[v], sum);
    return sum;
#else
    if (kw % 2) sum = v_fma(x[kw - 1], taps[kw - 1], sum);
    if (kw < 2) return sum;
    vf pairs = v_fma(x[0], taps[0], x[1] * taps[1]);
    if (kw > 3) pairs += v_fma(x[2], taps[2], x[3] * taps[3]);
    return pairs + sum;
#endif
}

/* Sums of `across` neighbouring outputs, to every `every`th of `to`; rows + at: where the first
 * one's taps begin. */
INLINE void sum_taps(const int kw, const int stride, const int across, const int every,
                     const float *const *rows, size_t at, int kh, const float *w, vf *to)
{
    vf sum[ACROSS];
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) sum[j] = (vf){0};
    for (int u = 0; u < kh; u++, w += kw * LANES) {
        const float *x = rows[u] + at;
        vf taps[5], value[(ACROSS - 1) * 2 + 5];
#pragma GCC unroll 5
        for (int v = 0; v < kw; v++) taps[v] = v_load(w + v * LANES);
#pragma GCC unroll 32
        for (int q = 0; q < (across - 1) * stride + kw; q++) {
            value[q] = v_load(x + q * LANES);
            int first = q - (kw - 1); /* number of the output that is complete now */
            if (first >= 0 && first % stride == 0)
                sum[first / stride] = add_products(kw, sum[first / stride], value + first, taps);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) to[j * every] = sum[j];
}

static void sum_any(int kw, const float *const *rows, size_t at, int kh, const float *w, vf *sum)
{
    vf total = {0};
    for (int u = 0; u < kh; u++)
        for (int v = 0; v < kw; v++, w += LANES)
            total = v_fma(v_load(rows[u] + at + (size_t)v * LANES), v_load(w), total);
    *sum = total;
}

/* `count` finished sums of one vector of channels go to y and aux, `step` numbers apart. Returns
 * their sum after the activation. */
INLINE vf put_each(const fv_act act, const bool add, float *y, float *aux, vf bias, const vf *sum,
                   int count, size_t step, size_t lanes)
{
    vf total = {0};
    for (int j = 0; j < count; j++) {
        size_t at = (size_t)j * step;
        vf v = sum[j];
        if (add) v += load_lanes(y + at, lanes);
        v += bias;
        if (aux) store_lanes(aux + at, v, lanes);
        if (!y) {
            total = v_add_activated(act, total, v);
            continue;
        }
        v = v_activate(act, v);
        store_lanes(y + at, v, lanes);
        total += v;
    }
    return total;
}

/* The commonest cases have loops of their own. */
INLINE void put_sums(const fv_act act, const job *k, const vf *sum, int count, size_t at,
                     size_t step, span part, size_t vector)
{
    size_t lanes = lanes_of(part, vector);
    float *y = k->y ? k->y + at : NULL, *aux = k->aux ? k->aux + at : NULL;
    vf total, bias = {0};
    if (k->bias) bias = load_lanes(k->bias + part.channel + vector * LANES, lanes);
    if (lanes < LANES || k->add)
        total = put_each(act, k->add, y, aux, bias, sum, count, step, lanes);
    else if (!y)
        total = put_each(act, false, NULL, aux, bias, sum, count, step, LANES);
    else if (!aux)
        total = put_each(act, false, y, NULL, bias, sum, count, step, LANES);
    else
        total = put_each(act, false, y, aux, bias, sum, count, step, LANES);
    if (!part.sums) return;
    float *to = part.sums + vector * LANES;
    v_store(to, v_load(to) + total);
}

/* The same for gradients of what goes into an activation. */
INLINE void put_slopes(const fv_act act, const bool add, float *y, const float *slope,
                       const vf *sum, int count, size_t step, size_t lanes)
{
    for (int j = 0; j < count; j++, y += step, slope += step) {
        vf factor, v = v_slope_factors(act, sum[j], load_lanes(slope, lanes), &factor);
#if defined(__AVX512F__)
        store_lanes(y, add ? v_fma(v, factor, load_lanes(y, lanes)) : v * factor, lanes);
#else
        v *= factor;
        if (add) v += load_lanes(y, lanes);
        store_lanes(y, v, lanes);
#endif
    }
}

INLINE void put_sloped(const fv_act act, const job *k, const vf *sum, int count, size_t at,
                       size_t step, size_t lanes)
{
    if (lanes < LANES || k->add)
        put_slopes(act, k->add, k->y + at, k->slope + at, sum, count, step, lanes);
    else
        put_slopes(act, false, k->y + at, k->slope + at, sum, count, step, LANES);
}

static void put(const job *k, const vf *sum, int count, size_t at, size_t step, span part,
                size_t vector)
{
    if (k->slope)
        FV_WITH_ACT(k->slope_act, put_sloped, k, sum, count, at, step, lanes_of(part, vector))
    else
        FV_WITH_ACT(k->act, put_sums, k, sum, count, at, step, part, vector)
}

/* Where the outputs of one row begin, and whose channels they are; pixels of the input that are
 * loaded next and may be fetched meanwhile. */
typedef struct target {
    size_t at; /* floats into y */
    span part;
    size_t next, pixels; /* floats into x */
} target;

/* What every vector of a part asks for while a row is computed, so that few lines are under way at
 * a time: those of some outputs of the next part, `step` floats apart from `at` on, and of some
 * pixels that the ring takes next. */
typedef struct fetch {
    size_t at, step, next;
    int outputs, pixels; /* each time */
} fetch;

INLINE void fetch_outputs(const job *k, size_t at, size_t count)
{
    for (size_t c = at; c < at + count; c += 16) {
        if (k->y) __builtin_prefetch(k->y + c, 1);
        if (k->aux) __builtin_prefetch(k->aux + c, 1);
        if (k->slope && k->slope != k->y) __builtin_prefetch(k->slope + c);
    }
}

INLINE void fetch_turn(const job *k, fetch *f, const target *t)
{
    for (int i = 0; i < f->outputs; i++, f->at += f->step) fetch_outputs(k, f->at, t->part.count);
    for (int i = 0; i < f->pixels; i++, f->next += (size_t)k->in.c)
        for (size_t c = f->next; c < f->next + t->part.count; c += 16) {
            __builtin_prefetch(k->x + c, 0, 2); /* into L2 */
            if (k->kept) __builtin_prefetch(k->kept + c, 0, 2);
        }
}

/* A row of `parts` parts; each has `outputs` outputs at most. */
INLINE fetch fetch_row(const target *t, int parts, int outputs, size_t step)
{
    int vectors = (int)vectors_of(t->part);
    return (fetch){.step = step,
                   .next = t->next,
                   .outputs = divide_up(outputs, vectors),
                   .pixels = divide_up((int)t->pixels, parts * vectors)};
}

/* Where the taps of output `begin` and vector v lie in a row of the ring; v's weights. */
INLINE size_t taps_at(const walk *w, const phase *p, int begin, size_t v)
{
    return v * w->plane + (size_t)(w->left + p->column.offset + begin * w->stride) * LANES;
}

INLINE const float *weights_of(const phase *p, span part, size_t v)
{
    size_t taps = (size_t)(p->row.taps * p->column.taps);
    return p->w + (part.channel + v * LANES) * taps;
}

#define EACH_COUNT(CASE, kw, s)                                                                    \
    CASE(kw, s, 1)                                                                                 \
    CASE(kw, s, 2)                                                                                 \
    CASE(kw, s, 3)                                                                                 \
    CASE(kw, s, 4)                                                                                 \
    CASE(kw, s, 5)                                                                                 \
    CASE(kw, s, 6)                                                                                 \
    CASE(kw, s, 7)                                                                                 \
    CASE(kw, s, 8)

#define ROW_CASE(kw, s, n)                                                                         \
    case n:                                                                                        \
        sum_taps(kw, s, n, 1, rows, taps_at(k->w, p, begin, v), p->row.taps,                       \
                 weights_of(p, t.part, v), sum);                                                   \
        break;

#define ROW_FUNCTION(kw, s)                                                                        \
    static void row_##kw##_##s(const job *k, const phase *p, const float *const *rows, target t)   \
    {                                                                                              \
        int count = p->column.count, parts = divide_up(count, ACROSS);                             \
        size_t step = (size_t)k->w->step * (size_t)k->out.c;                                       \
        fetch f = fetch_row(&t, parts, ACROSS, step);                                              \
        for (int i = 0; i < parts; i++) {                                                          \
            int begin = i * count / parts, n = (i + 1) * count / parts - begin;                    \
            f.at = t.at + (size_t)(begin + n) * step;                                              \
            for (size_t v = 0; v < vectors_of(t.part); v++) {                                      \
                fetch_turn(k, &f, &t);                                                             \
                vf sum[ACROSS];                                                                    \
                switch (n) {                                                                       \
                    EACH_COUNT(ROW_CASE, kw, s)                                                    \
                }                                                                                  \
                put(k, sum, n, t.at + (size_t)begin * step + v * LANES, step, t.part, v);          \
            }                                                                                      \
        }                                                                                          \
    }
ROW_FUNCTION(3, 1)
ROW_FUNCTION(5, 1)
ROW_FUNCTION(3, 2)
ROW_FUNCTION(5, 2)

/* Two phases whose outputs take turns in a row: p's are even columns, and (p + 1)'s odd ones. The
 * last of these may be one too many, and is not stored. */
#define PAIR_CASE(even, odd, n)                                                                    \
    case n:                                                                                        \
        sum_taps(even, 1, n, 2, rows, taps_at(k->w, p, begin, v), p->row.taps,                     \
                 weights_of(p, t.part, v), sum);                                                   \
        sum_taps(odd, 1, n, 2, rows, taps_at(k->w, p + 1, begin, v), p->row.taps,                  \
                 weights_of(p + 1, t.part, v), sum + 1);                                           \
        break;

#define PAIR_FUNCTION(even, odd)                                                                   \
    static void pair_##even##_##odd(const job *k, const phase *p, const float *const *rows,        \
                                    target t)                                                      \
    {                                                                                              \
        int count = p->column.count, parts = divide_up(count, ACROSS);                             \
        size_t step = (size_t)k->out.c;                                                            \
        fetch f = fetch_row(&t, parts, 2 * ACROSS, step);                                          \
        for (int i = 0; i < parts; i++) {                                                          \
            int begin = i * count / parts, n = (i + 1) * count / parts - begin;                    \
            size_t at = t.at + (size_t)(2 * begin) * step;                                         \
            f.at = at + (size_t)(2 * n) * step;                                                    \
            for (size_t v = 0; v < vectors_of(t.part); v++) {                                      \
                fetch_turn(k, &f, &t);                                                             \
                vf sum[2 * ACROSS];                                                                \
                switch (n) {                                                                       \
                    EACH_COUNT(PAIR_CASE, even, odd)                                               \
                }                                                                                  \
                put(k, sum, min_of(2 * n, k->out.w - 2 * begin), at + v * LANES, step, t.part, v); \
            }                                                                                      \
        }                                                                                          \
    }
PAIR_FUNCTION(1, 2)
PAIR_FUNCTION(2, 1)
PAIR_FUNCTION(2, 3)
PAIR_FUNCTION(3, 2)

static void row_any(const job *k, const phase *p, const float *const *rows, target t)
{
    size_t step = (size_t)k->w->step * (size_t)k->out.c;
    for (int j = 0; j < p->column.count; j++, t.at += step)
        for (size_t v = 0; v < vectors_of(t.part); v++) {
            vf sum;
            sum_any(p->column.taps, rows, taps_at(k->w, p, j, v), p->row.taps,
                    weights_of(p, t.part, v), &sum);
            put(k, &sum, 1, t.at + v * LANES, step, t.part, v);
        }
}

typedef void (*row_function)(const job *k, const phase *p, const float *const *rows, target t);

static row_function choose_row(int kw, int stride)
{
    static const row_function one[6] = {[3] = row_3_1, [5] = row_5_1};
    static const row_function two[6] = {[3] = row_3_2, [5] = row_5_2};
    row_function f = kw > 5 || stride > 2 ? NULL : stride == 1 ? one[kw] : two[kw];
    return f ? f : row_any;
}

/* NULL: phase by phase. */
static row_function choose_pair(const walk *w)
{
    static const row_function pairs[4][4] = {
        [1] = {[2] = pair_1_2}, [2] = {[1] = pair_2_1, [3] = pair_2_3}, [3] = {[2] = pair_3_2}};
    int even = w->phase[0].column.taps, odd = w->phase[1].column.taps;
    return w->step != 2 || even > 3 || odd > 3 ? NULL : pairs[even][odd];
}

/* Row `r` of the input into its place in the ring. */
static void load_row(const job *k, float *ring, int n, int r, span s)
{
    const walk *w = k->w;
    int place = ((r - w->top) % w->height + w->height) % w->height;
    float *to = ring + (size_t)place * (size_t)w->width * LANES;
    bool inside = r >= 0 && r < k->in.h;
    size_t left = (size_t)w->left * LANES, middle = (size_t)k->in.w * LANES;
    size_t right = (size_t)w->width * LANES - left - middle;
    for (size_t v = 0; v < vectors_of(s); v++) {
        float *row = to + v * w->plane;
        memset(row, 0, (left + (inside ? 0 : middle)) * sizeof *row);
        memset(row + left + middle, 0, right * sizeof *row);
    }
    if (!inside) return;
    size_t channels = (size_t)k->in.c;
    size_t at = ((size_t)n * (size_t)k->in.h + (size_t)r) * (size_t)k->in.w * channels + s.channel;
    size_t picture = (size_t)n * channels + s.channel;
    source from = {.x = k->x + at,
                   .kept = k->kept ? k->kept + at : NULL,
                   .gate = k->gate ? k->gate + picture : NULL,
                   .mean = k->mean ? k->mean + picture : NULL,
                   .share = k->share,
                   .channels = channels,
                   .count = k->in.w};
    if (k->gate)
        FV_WITH_ACT(k->undo, fill_gated, to + left, w->plane, from, s)
    else if (k->kept)
        FV_WITH_ACT(k->undo, fill_gradient, to + left, w->plane, from, s)
    else
        FV_WITH_ACT(k->before, fill_input, to + left, w->plane, from, s)
}

/* Output rows of step i: each phase's. Meanwhile the input's rows next .. next + count - 1 are
 * fetched. */
static void compute_rows(const job *k, const float *ring, int n, int i, span s, int next, int count)
{
    const walk *w = k->w;
    row_function pair = choose_pair(w);
    int together = pair ? 2 : 1, width = k->in.w, passes = w->phases / together;
    next = (n * k->in.h + next) * width;
    count *= width;
    for (int q = 0; q < w->phases; q += together) {
        const phase *p = &w->phase[q];
        if (i >= p->row.count) continue;
        const float *rows[MAX_KERNEL];
        for (int u = 0; u < p->row.taps; u++) {
            int place = (i * w->stride + p->row.offset - w->top + u) % w->height;
            rows[u] = ring + (size_t)place * (size_t)w->width * LANES;
        }
        size_t r = (size_t)(p->row.first + w->step * i);
        size_t at = ((size_t)n * (size_t)k->out.h + r) * (size_t)k->out.w;
        int done = q / together, begin = count * done / passes, end = count * (done + 1) / passes;
        target t = {.at = (at + (size_t)p->column.first) * (size_t)k->out.c + s.channel,
                    .part = s,
                    .next = (size_t)(next + begin) * (size_t)k->in.c + s.channel,
                    .pixels = (size_t)(end - begin)};
        (pair ? pair : choose_row(p->column.taps, w->stride))(k, p, rows, t);
    }
}

static void walk_strip(const job *k, float *ring, int n, int begin, int end, span s)
{
    const walk *w = k->w;
    int loaded = begin * w->stride + w->top; /* the next row to fetch */
    for (int i = begin; i < end; i++) {
        int first = i * w->stride + w->top;
        for (loaded = max_of(loaded, first); loaded < first + w->height; loaded++)
            load_row(k, ring, n, loaded, s);
        int next = max_of(loaded, 0), last = next;
        if (k->kept && i + 1 < end) last = min_of(loaded + w->stride, k->in.h);
        compute_rows(k, ring, n, i, s, next, max_of(last - next, 0));
    }
}

static void walk_task(void *context, int i)
{
    const job *k = context;
    const walk *w = k->w;
    int group = i % w->groups, strip = i / w->groups % w->strips, n = i / w->groups / w->strips;
    float *ring = k->rings + (size_t)fv_thread() * w->ring;
    int parts = divide_up(w->vectors, TOGETHER);
    for (int v = group * parts / w->groups; v < (group + 1) * parts / w->groups; v++) {
        size_t channel = (size_t)v * TOGETHER * LANES, rest = (size_t)k->in.c - channel;
        span s = {channel, rest < TOGETHER * LANES ? rest : TOGETHER * LANES, NULL};
        if (k->sums) {
            s.sums = k->sums + (size_t)(i / w->groups * w->vectors) * LANES + channel;
            memset(s.sums, 0, vectors_of(s) * LANES * sizeof *s.sums);
        }
        walk_strip(k, ring, n, strip * w->rows / w->strips, (strip + 1) * w->rows / w->strips, s);
    }
}

/* The sums of the strips to means. */
static void finish_means(const fv_op *op, const walk *w, const float *sums)
{
    fv_shape s = op->y->shape;
    float *mean = op->fused.mean_y->data, share = 1 / (float)(s.h * s.w);
    for (int n = 0; n < s.n; n++, sums += dwconv_sums(w))
        for (int c = 0; c < s.c; c++) {
            float sum = 0;
            for (int i = 0; i < w->strips; i++) sum += sums[i * w->vectors * LANES + c];
            *mean++ = sum * share;
        }
}

void ISA(dwconv2d_forward)(fv_backend *be, const fv_op *op)
{
    walks *w = op->state;
    if (op->w->role != FV_ROLE_WEIGHT) ISA(dwconv2d_pack)(op, &w->forward, false);
    job k = {.w = &w->forward,
             .in = op->x->shape,
             .out = op->y->shape,
             .x = op->x->data,
             .before = op->before,
             .sums = op->fused.mean_y ? (float *)op->scratch + w->rings : NULL,
             .y = op->y->data,
             .aux = op->aux ? op->aux->data : NULL,
             .bias = op->b ? op->b->data : NULL,
             .act = op->act,
             .rings = op->scratch};
    fv_parallel(be, op->x->shape.n * w->forward.strips * w->forward.groups, walk_task, &k);
    if (op->fused.mean_y) finish_means(op, &w->forward, k.sums);
}

void ISA(dwconv2d_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    walks *w = op->state;
    if (op->w->role != FV_ROLE_WEIGHT) ISA(dwconv2d_pack)(op, &w->backward, true);
    job k = {.w = &w->backward,
             .in = op->y->shape,
             .out = op->x->shape,
             .x = op->dy->data,
             .kept = fv_slope_from(op)->data,
             .undo = op->act,
             .gate = op->fused.dy_gate ? op->fused.dy_gate->data : NULL,
             .mean = op->fused.dy_mean ? op->fused.dy_mean->data : NULL,
             .share = 1 / (float)(op->y->shape.h * op->y->shape.w),
             .y = op->dx->data,
             .slope = op->before != FV_ACT_NONE ? op->x->data : NULL,
             .slope_act = op->before,
             .add = op->add_dx,
             .rings = op->scratch};
    fv_parallel(be, op->x->shape.n * w->backward.strips * w->backward.groups, walk_task, &k);
}
