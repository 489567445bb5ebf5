/* warp, colour_jitter, penalty: what happens between the params and the network. See op.h. */
#include "kernels/ref/table.h"
#include "kernels/rng.h"

/* Position `at` mirrored into 0 .. size-1 about the centres of the edge pixels. */
static int mirrored(int at, int size)
{
    if (size == 1) return 0;
    int period = 2 * (size - 1);
    at %= period;
    if (at < 0) at += period;
    return at < size ? at : period - at;
}

typedef struct corners {
    size_t at[4];
    double weight[4];
} corners;

/* The four pixels round the source of output (i, j), and their bilinear weights. */
static corners source(const real *m, int i, int j, fv_shape s)
{
    double px = (double)m[0] * j + (double)m[1] * i + m[2];
    double py = (double)m[3] * j + (double)m[4] * i + m[5];
    double fx = floor(px), fy = floor(py), u = px - fx, v = py - fy;
    int x0 = mirrored((int)fx, s.w), x1 = mirrored((int)fx + 1, s.w);
    int y0 = mirrored((int)fy, s.h), y1 = mirrored((int)fy + 1, s.h);
    size_t w = (size_t)s.w, c = (size_t)s.c;
    return (corners){{((size_t)y0 * w + x0) * c, ((size_t)y0 * w + x1) * c,
                      ((size_t)y1 * w + x0) * c, ((size_t)y1 * w + x1) * c},
                     {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u}};
}

/* y[v,i,j] = bilinear x[v or 0] at (m0 j + m1 i + m2, m3 j + m4 i + m5), m = w[v] */
void REF(warp_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t picture = xs.n == 1 ? 0 : (size_t)xs.h * xs.w * xs.c;
    const real *x = op->x->data, *m = op->w->data;
    real *y = op->y->data;
    for (int n = 0; n < ys.n; n++, x += picture, m += 6)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++) {
                corners from = source(m, i, j, xs);
                for (int c = 0; c < xs.c; c++) {
                    double sum = 0;
                    for (int k = 0; k < 4; k++) sum += from.weight[k] * x[from.at[k] + c];
                    *y++ = (real)sum;
                }
            }
}

/* dx[corner] += weight * dy */
void REF(warp_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t picture = xs.n == 1 ? 0 : (size_t)xs.h * xs.w * xs.c;
    const real *dy = op->dy->data, *m = op->w->data;
    real *dx = op->dx->data;
    for (size_t i = 0, n = fv_count(xs); !op->add_dx && i < n; i++) dx[i] = 0;
    for (int n = 0; n < ys.n; n++, dx += picture, m += 6)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++, dy += xs.c) {
                corners from = source(m, i, j, xs);
                for (int k = 0; k < 4; k++)
                    for (int c = 0; c < xs.c; c++)
                        dx[from.at[k] + c] += (real)(from.weight[k] * dy[c]);
            }
}

/* y = x * gain[c] + shift[c] + sigma * noise; element e of a view takes the even or odd half of
 * Philox block e / 2 */
void REF(colour_jitter_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t count = (size_t)s.h * s.w * s.c;
    const real *x = op->x->data, *w = op->w->data;
    const int32_t *key = op->b->data;
    real *y = op->y->data;
    for (int n = 0; n < s.n; n++, w += FV_JITTER_COLUMNS, key += FV_JITTER_KEYS) {
        uint64_t seed =
            (uint32_t)key[FV_JITTER_SEED_LO] | (uint64_t)(uint32_t)key[FV_JITTER_SEED_HI] << 32;
        for (size_t e = 0; e < count; e++) {
            fv_random4 r = fv_philox(seed, (uint32_t)(e / 2), (uint32_t)key[FV_JITTER_STEP],
                                     (uint32_t)key[FV_JITTER_VIEW], FV_STREAM_NOISE);
            real noise = fv_normal(r.v[2 * (e & 1)], r.v[2 * (e & 1) + 1]);
            size_t c = e % 3;
            *y++ =
                *x++ * w[FV_JITTER_GAIN + c] + w[FV_JITTER_SHIFT + c] + w[FV_JITTER_SIGMA] * noise;
        }
    }
}

/* dx = dy * gain[c] */
void REF(colour_jitter_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t count = (size_t)s.h * s.w * s.c;
    const real *dy = op->dy->data, *w = op->w->data;
    real *dx = op->dx->data;
    for (int n = 0; n < s.n; n++, w += FV_JITTER_COLUMNS)
        for (size_t e = 0; e < count; e++)
            put(dx++, op->add_dx, (double)*dy++ * w[FV_JITTER_GAIN + e % 3]);
}

/* Forward differences at (i, j): 0 past the last row and column. */
static void differences(const real *x, fv_shape s, int i, int j, int c, double *right, double *down)
{
    size_t at = ((size_t)i * s.w + j) * s.c + c;
    *right = j + 1 < s.w ? (double)x[at + s.c] - x[at] : 0;
    *down = i + 1 < s.h ? (double)x[at + (size_t)s.w * s.c] - x[at] : 0;
}

/* A penalty of one kind is inlined with its row. */
#define INLINE  static inline __attribute__((always_inline))
#define NUM(c)  (c)
#define ROOT(v) sqrt(v)
INLINE double value_of(fv_penalty kind, double x, double right, double down)
{
    switch (kind) {
        FV_PENALTIES(FV_PENALTY_VALUE)
    case FV_PENALTY_COUNT:
        break;
    }
    return 0;
}

INLINE double slope_of(fv_penalty kind, double x)
{
    switch (kind) {
        FV_PENALTIES(FV_PENALTY_SLOPE)
    case FV_PENALTY_COUNT:
        break;
    }
    return 0;
}

INLINE double root_of(fv_penalty kind, double right, double down)
{
    switch (kind) {
        FV_PENALTIES(FV_PENALTY_ROOT)
    case FV_PENALTY_COUNT:
        break;
    }
    return 1;
}
#undef NUM
#undef ROOT

/* One picture's penalty. */
INLINE double penalise(fv_penalty kind, bool around, const real *x, fv_shape s)
{
    double sum = 0, right, down;
    size_t count = (size_t)s.h * s.w * s.c, at = 0;
    if (!around) {
        for (; at < count; at++) sum += value_of(kind, x[at], 0, 0);
        return sum / (double)count;
    }
    for (int i = 0; i < s.h; i++)
        for (int j = 0; j < s.w; j++)
            for (int c = 0; c < s.c; c++, at++) {
                differences(x, s, i, j, c, &right, &down);
                sum += value_of(kind, x[at], right, down);
            }
    return sum / (double)count;
}

/* Adds its gradient, times g, to dx, or sets it. */
INLINE void pull(fv_penalty kind, bool around, const real *x, fv_shape s, double g, bool add,
                 real *dx)
{
    double right, down;
    size_t count = (size_t)s.h * s.w * s.c, at = 0;
    for (size_t i = 0; i < count; i++) put(&dx[i], add, g * slope_of(kind, x[i]));
    for (int i = 0; around && i < s.h; i++)
        for (int j = 0; j < s.w; j++)
            for (int c = 0; c < s.c; c++, at++) {
                differences(x, s, i, j, c, &right, &down);
                double k = g / root_of(kind, right, down);
                dx[at] -= (real)(k * (right + down));
                if (j + 1 < s.w) dx[at + s.c] += (real)(k * right);
                if (i + 1 < s.h) dx[at + (size_t)s.w * s.c] += (real)(k * down);
            }
}

void REF(penalty_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * s.h * s.w * s.c;
        real *y = (real *)op->y->data + n;
        switch (op->attr.penalty) {
#define ROW(KIND, name, differences, ...)                                                          \
    case FV_PENALTY_##KIND:                                                                        \
        *y = (real)penalise(FV_PENALTY_##KIND, differences, x, s);                                 \
        break;
            FV_PENALTIES(ROW)
#undef ROW
        case FV_PENALTY_COUNT:
            break;
        }
    }
}

void REF(penalty_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t count = (size_t)s.h * s.w * s.c;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + n * count;
        real *dx = (real *)op->dx->data + n * count;
        double g = ((const real *)op->dy->data)[n] / (double)count;
        switch (op->attr.penalty) {
#define ROW(KIND, name, differences, ...)                                                          \
    case FV_PENALTY_##KIND:                                                                        \
        pull(FV_PENALTY_##KIND, differences, x, s, g, op->add_dx, dx);                             \
        break;
            FV_PENALTIES(ROW)
#undef ROW
        case FV_PENALTY_COUNT:
            break;
        }
    }
}
