/* conv2d of 3x3 taps with stride 1 by Winograd's F(4x4, 3x3): four outputs a side from six inputs,
 * with 36 products for 16 outputs instead of 144 (Winograd 1980; Lavin and Gray 2016).
 *
 *   u[f] = (G w G^T)[f]    36 matrices {in, out}, once a call: four times what w takes
 *   v[f] = (B^T x B)[f]    of 6 x 6 patches that overlap by two
 *   y    = A^T (v . u) A   the products f by f, each an ordinary one over some tiles
 *
 * The points of interpolation are 0, 5/8, -5/8, 3/2, -3/2 and infinity: exact in binary, and near
 * each other's inverses, which keeps the sums small: the error is three times that of a direct sum,
 * where 1 and 2 give seven times. Backward is the same with the taps turned round and in and out
 * exchanged.
 *
 * A task is some tiles, with v and its products in the thread's own room. */
#include "kernels/cpu/gemm.h"

enum {
    OUT = 4,
    IN = 6,
    POINTS = IN * IN,
    ROOM_BYTES = 1 << 20, /* of a thread: its L2 */
    LEAST_TILES = 32,
    TASKS = 8, /* to aim at, with no fewer tiles in one */
    LEAST_WIDE = 16
};

static const float a1 = 0.625f, a2 = 0.390625f, a3 = 0.244140625f; /* powers of 5/8 */
static const float b1 = 1.5f, b2 = 2.25f, b3 = 3.375f;             /* of 3/2 */
static const float product2 = 0.87890625f, sum2 = 2.640625f;       /* of the squares */

typedef struct winograd {
    fv_shape from, to;
    int top, left;         /* zeros before the map */
    int across, down;      /* tiles of a picture */
    size_t tiles, of_task; /* in all, and of a task */
    const float *x, *w;    /* w {outer, 3, 3, inner} */
    bool turned;           /* in is w's outer axis, and the taps run backwards */
    float *u, *rooms;
    size_t u_step, room; /* floats of one matrix of u; of a thread's room */
    float *y, *aux;
    const float *bias, *plus;
    fv_act act;
    bool add;
} winograd;

static size_t tiles_of(int h, int w)
{
    return ceil_divide((size_t)h, OUT) * ceil_divide((size_t)w, OUT);
}

bool ISA(is_winograd)(const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape x = op->x->shape, y = op->y->shape;
    bool pads = a->pad_top <= 2 && a->pad_left <= 2 && a->pad_bottom <= 2 && a->pad_right <= 2;
    return a->k == 3 && a->stride == 1 && pads && (x.c >= LEAST_WIDE || y.c >= LEAST_WIDE) &&
           (size_t)y.n * tiles_of(y.h, y.w) >= LEAST_TILES;
}

/* Floats from one of the 36 matrices of v or m to the next: no multiple of 4096 bytes, which would
 * put 36 lines that are written together into one set of the first cache. */
static size_t step_of(size_t tiles, size_t channels)
{
    return tiles * channels + 16;
}

/* Sizes; memory of `scratch` if it is there. */
static winograd winograd_of(fv_shape from, fv_shape to, float *scratch)
{
    winograd z = {.from = from, .to = to};
    size_t in = (size_t)from.c, out = (size_t)to.c;
    z.across = (to.w + OUT - 1) / OUT;
    z.down = (to.h + OUT - 1) / OUT;
    z.tiles = (size_t)to.n * (size_t)z.across * (size_t)z.down;
    size_t most = ROOM_BYTES / sizeof(float) / (POINTS * (in + out));
    size_t even = ceil_divide(z.tiles, TASKS);
    z.of_task = min_of(most, even);
    if (z.of_task < LEAST_TILES) z.of_task = LEAST_TILES;
    z.of_task = ceil_divide(z.tiles, ceil_divide(z.tiles, z.of_task));
    z.u_step = ISA(packed_count)(out, in);
    z.room = POINTS * (step_of(z.of_task, in) + step_of(z.of_task, out));
    z.u = scratch;
    z.rooms = scratch ? scratch + POINTS * z.u_step : NULL;
    return z;
}

static size_t floats_of(const fv_backend *be, fv_shape from, fv_shape to)
{
    winograd z = winograd_of(from, to, NULL);
    return POINTS * z.u_step + (size_t)be->threads * z.room;
}

size_t ISA(winograd_scratch)(const fv_backend *be, const fv_op *op)
{
    size_t forward = floats_of(be, op->x->shape, op->y->shape);
    size_t backward = op->dx ? floats_of(be, op->y->shape, op->x->shape) : 0;
    return forward > backward ? forward : backward;
}

/* --- u --- */

/* Three taps at the six points. */
INLINE void taps_at(vf to[IN], vf g0, vf g1, vf g2)
{
    const float zero = 1 / 0.87890625f;                        /* a^2 b^2 */
    const float a = 1 / (2 * 0.390625f * (0.390625f - 2.25f)); /* 2 a^2 (a^2 - b^2) */
    const float b = 1 / (2 * 2.25f * (2.25f - 0.390625f));     /* 2 b^2 (b^2 - a^2) */
    vf even = v_fma(v_all(a2), g2, g0) * a, odd = g1 * (a1 * a);
    to[0] = g0 * zero;
    to[1] = even + odd;
    to[2] = even - odd;
    even = v_fma(v_all(b2), g2, g0) * b;
    odd = g1 * (b1 * b);
    to[3] = even + odd;
    to[4] = even - odd;
    to[5] = g2;
}

/* LANES outputs of one input: 9 vectors of taps to 36. */
static void transform_taps(const float *taps, float *u, size_t step)
{
    vf half[3][IN], whole[IN];
    for (int j = 0; j < 3; j++)
        taps_at(half[j], v_load(taps + j * LANES), v_load(taps + (3 + j) * LANES),
                v_load(taps + (6 + j) * LANES));
    for (int i = 0; i < IN; i++) {
        taps_at(whole, half[0][i], half[1][i], half[2][i]);
        for (int j = 0; j < IN; j++) v_store(u + (size_t)(i * IN + j) * step, whole[j]);
    }
}

/* One vector of outputs, all inputs. */
static void taps_task(void *context, int vector)
{
    const winograd *z = context;
    size_t in = (size_t)z->from.c, out = (size_t)z->to.c, first = (size_t)vector * LANES;
    size_t lanes = min_of(LANES, out - first);
    for (size_t c = 0; c < in; c++) {
        float taps[9 * LANES] = {0};
        for (size_t t = 0; t < 9; t++)
            for (size_t k = 0; k < lanes; k++)
                taps[t * LANES + k] = z->turned ? z->w[(c * 9 + (8 - t)) * out + first + k]
                                                : z->w[((first + k) * 9 + t) * in + c];
        transform_taps(taps, z->u + ISA(packed_place)(out, in, c, (size_t)vector), z->u_step);
    }
}

/* --- v --- */

INLINE void inputs_at(vf to[IN], const vf d[IN])
{
    vf even = v_fnma(v_all(b2), d[2], d[4]), odd = v_fnma(v_all(b2), d[1], d[3]);
    to[0] = v_fma(v_all(product2), d[0], v_fnma(v_all(sum2), d[2], d[4]));
    to[1] = v_fma(v_all(a1), odd, even);
    to[2] = v_fnma(v_all(a1), odd, even);
    even = v_fnma(v_all(a2), d[2], d[4]);
    odd = v_fnma(v_all(a2), d[1], d[3]);
    to[3] = v_fma(v_all(b1), odd, even);
    to[4] = v_fnma(v_all(b1), odd, even);
    to[5] = v_fma(v_all(product2), d[1], v_fnma(v_all(sum2), d[3], d[5]));
}

typedef struct place { /* of a tile: its first output */
    int n, row, column;
} place;

static place place_of(const winograd *z, size_t tile)
{
    size_t across = (size_t)z->across, of_picture = across * (size_t)z->down;
    return (place){(int)(tile / of_picture), (int)(tile % of_picture / across) * OUT,
                   (int)(tile % across) * OUT};
}

/* The patch of a tile; rows and columns outside the map are NULL. */
typedef struct patch {
    const float *at[IN][IN];
} patch;

static patch patch_of(const winograd *z, place p)
{
    patch q;
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++) {
            int r = p.row + i - z->top, c = p.column + j - z->left;
            bool inside = r >= 0 && r < z->from.h && c >= 0 && c < z->from.w;
            size_t row = (size_t)p.n * (size_t)z->from.h + (size_t)(inside ? r : 0);
            size_t at = (row * (size_t)z->from.w + (size_t)(inside ? c : 0)) * (size_t)z->from.c;
            q.at[i][j] = inside ? z->x + at : NULL;
        }
    return q;
}

/* `lanes` channels from c on, to v: 36 vectors `step` apart. */
INLINE void transform_patch(const bool whole, const patch *q, size_t c, size_t lanes, float *v,
                            size_t step)
{
    vf half[IN][IN], d[IN], to[IN];
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++) {
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) {
            const float *from = q->at[i][j];
            d[j] = whole ? v_load(from + c) : from ? load_lanes(from + c, lanes) : (vf){0};
        }
        inputs_at(half[i], d);
    }
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) d[i] = half[i][j];
        inputs_at(to, d);
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) {
            float *out = v + (size_t)(i * IN + j) * step;
            if (whole)
                v_store(out, to[i]);
            else
                store_lanes(out, to[i], lanes);
        }
    }
}

static void take_tile(const winograd *z, size_t tile, float *v, size_t step)
{
    place p = place_of(z, tile);
    patch q = patch_of(z, p);
    bool inside = q.at[0][0] && q.at[IN - 1][IN - 1];
    size_t channels = (size_t)z->from.c, c = 0;
    for (; inside && c + LANES <= channels; c += LANES)
        transform_patch(true, &q, c, LANES, v + c, step);
    for (; c < channels; c += LANES)
        transform_patch(false, &q, c, min_of(LANES, channels - c), v + c, step);
}

/* --- y --- */

INLINE void outputs_at(vf to[OUT], const vf m[IN])
{
    vf s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    to[0] = m[0] + (s + s2);
    to[1] = v_fma(v_all(a1), d, b1 * d2);
    to[2] = v_fma(v_all(a2), s, b2 * s2);
    to[3] = v_fma(v_all(a3), d, v_fma(v_all(b3), d2, m[5]));
}

/* What becomes of a sum: bias, activation, residual. */
static void finish(const winograd *z, vf sum, size_t at, size_t k, size_t lanes)
{
    if (z->bias) sum += load_lanes(z->bias + k, lanes);
    if (z->plus) sum += load_lanes(z->plus + at, lanes);
    if (z->add) sum += load_lanes(z->y + at, lanes);
    if (z->act == FV_ACT_NONE && !z->aux) {
        store_lanes(z->y + at, sum, lanes);
        return;
    }
    float numbers[LANES];
    v_store(numbers, sum);
    ISA(activate)(z->act, z->y + at, numbers, z->aux ? z->aux + at : NULL, NULL, lanes, lanes);
}

static void give_tile(const winograd *z, size_t tile, const float *m, size_t step)
{
    place p = place_of(z, tile);
    size_t out = (size_t)z->to.c, row = (size_t)p.n * (size_t)z->to.h + (size_t)p.row;
    size_t corner = (row * (size_t)z->to.w + (size_t)p.column) * out;
    int rows = z->to.h - p.row < OUT ? z->to.h - p.row : OUT;
    int columns = z->to.w - p.column < OUT ? z->to.w - p.column : OUT;
    for (size_t k = 0; k < out; k += LANES) {
        size_t lanes = min_of(LANES, out - k);
        vf half[OUT][IN], d[IN], to[OUT];
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++)
                d[i] = load_lanes(m + (size_t)(i * IN + j) * step + k, lanes);
            outputs_at(to, d);
#pragma GCC unroll 4
            for (int i = 0; i < OUT; i++) half[i][j] = to[i];
        }
        for (int i = 0; i < rows; i++) {
            outputs_at(to, half[i]);
            size_t at = corner + (size_t)i * (size_t)z->to.w * out + k;
            for (int j = 0; j < columns; j++) finish(z, to[j], at + (size_t)j * out, k, lanes);
        }
    }
}

static void tiles_task(void *context, int i)
{
    const winograd *z = context;
    size_t first = (size_t)i * z->of_task, count = min_of(z->of_task, z->tiles - first);
    size_t in = (size_t)z->from.c, out = (size_t)z->to.c;
    size_t v_step = step_of(count, in), m_step = step_of(count, out);
    float *v = z->rooms + (size_t)fv_thread() * z->room, *m = v + POINTS * v_step;
    for (size_t t = 0; t < count; t++) take_tile(z, first + t, v + t * in, v_step);
    for (size_t f = 0; f < POINTS; f++) ISA(product_alone)
    (&(fv_product){.m = count,
                   .n = out,
                   .k = in,
                   .a = v + f * v_step,
                   .lda = in,
                   .b = z->u + f * z->u_step,
                   .c = m + f * m_step});
    for (size_t t = 0; t < count; t++) give_tile(z, first + t, m + t * out, m_step);
}

static void run(fv_backend *be, winograd *z)
{
    fv_parallel(be, (int)ceil_divide((size_t)z->to.c, LANES), taps_task, z);
    fv_parallel(be, (int)ceil_divide(z->tiles, z->of_task), tiles_task, z);
}

void ISA(winograd_forward)(fv_backend *be, const fv_op *op)
{
    winograd z = winograd_of(op->x->shape, op->y->shape, op->scratch);
    z.top = op->attr.conv.pad_top;
    z.left = op->attr.conv.pad_left;
    z.x = op->x->data;
    z.w = op->w->data;
    z.y = op->y->data;
    z.bias = op->b ? op->b->data : NULL;
    z.plus = op->x2 ? op->x2->data : NULL;
    z.act = op->act;
    z.aux = op->aux ? op->aux->data : NULL;
    run(be, &z);
}

enum { PIECE = 16384 };

static void undo_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE, n = min_of(PIECE, fv_count(op->y->shape) - at);
    float *dy = (float *)op->dy->data + at;
    ISA(slope)(op->act, dy, dy, (const float *)fv_slope_from(op)->data + at, n);
}

void ISA(winograd_backward)(fv_backend *be, const fv_op *op)
{
    if (op->act != FV_ACT_NONE)
        fv_parallel(be, (int)ceil_divide(fv_count(op->y->shape), PIECE), undo_task,
                    (void *)(uintptr_t)op);
    winograd z = winograd_of(op->y->shape, op->x->shape, op->scratch);
    z.top = 2 - op->attr.conv.pad_top;
    z.left = 2 - op->attr.conv.pad_left;
    z.x = op->dy->data;
    z.w = op->w->data;
    z.turned = true;
    z.y = op->dx->data;
    z.add = op->add_dx;
    run(be, &z);
}
