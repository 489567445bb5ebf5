/* Lays out a depthwise convolution: the phases, the ring, the tasks, and the weights as they are
 * read. See dwconv.h. */
#include <stdlib.h>

#include "kernels/cpu/dwconv.h"

/* Of dx: outputs first, first + s, ... meet taps u = rest, rest + s, ... of k. */
static axis back_axis(int first, int size, int k, int s, int pad)
{
    int rest = (first + pad) % s, taps = rest < k ? divide_up(k - rest, s) : 0;
    int count = first < size ? divide_up(size - first, s) : 0;
    return (axis){first, count, (first + pad - rest) / s - (taps - 1), taps};
}

static fv_status make_weights(fv_backend *be, walk *w)
{
    size_t count = 0;
    for (int i = 0; i < w->phases; i++)
        count += (size_t)(w->phase[i].row.taps * w->phase[i].column.taps);
    count *= (size_t)w->vectors * LANES;
    return be->alloc(be, (count + LANES) * sizeof(float), (void **)&w->weights);
}

/* Phase by phase [vectors][taps][LANES]; for backward with both axes of the taps reversed. */
void ISA(dwconv2d_pack)(const fv_op *op, walk *w, bool back)
{
    int k = op->attr.conv.k, c = op->x->shape.c, s = op->attr.conv.stride;
    const float *from = op->w->data;
    float *to = w->weights;
    for (int i = 0; i < w->phases; i++) {
        phase *p = &w->phase[i];
        int kh = p->row.taps, kw = p->column.taps;
        int rest_u = back ? (p->row.first + op->attr.conv.pad_top) % s : 0;
        int rest_v = back ? (p->column.first + op->attr.conv.pad_left) % s : 0;
        p->w = to;
        for (int b = 0; b < w->vectors; b++)
            for (int t = 0; t < kh * kw; t++, to += LANES) {
                int u = back ? rest_u + s * (kh - 1 - t / kw) : t / kw;
                int v = back ? rest_v + s * (kw - 1 - t % kw) : t % kw;
                for (int n = 0; n < LANES && b * LANES + n < c; n++)
                    to[n] = from[(u * k + v) * c + b * LANES + n];
            }
    }
}

/* The ring and the tasks, when the phases are known; `in` is walked over. */
static void measure(walk *w, fv_shape in)
{
    int bottom = -MAX_KERNEL, right = 0;
    int columns = w->phase[0].column.count; /* others have as many or one less */
    w->top = MAX_KERNEL;
    w->left = w->rows = 0;
    for (int i = 0; i < w->phases; i++) {
        const axis *r = &w->phase[i].row, *c = &w->phase[i].column;
        w->top = min_of(w->top, r->offset);
        bottom = max_of(bottom, r->offset + r->taps);
        w->left = max_of(w->left, -c->offset);
        right = max_of(right, (columns - 1) * w->stride + c->offset + c->taps - in.w);
        w->rows = max_of(w->rows, r->count);
    }
    w->height = max_of(bottom - w->top, 1);
    w->width = w->left + in.w + right;
    w->plane = (size_t)w->height * (size_t)w->width * LANES;
    w->ring = w->plane * TOGETHER;
    w->strips = divide_up(w->rows, STRIP);
    w->vectors = divide_up(in.c, LANES);
    w->groups = min_of(divide_up(w->vectors, TOGETHER), divide_up(TASKS, in.n * w->strips));
}

void ISA(dwconv2d_release)(fv_backend *be, fv_op *op)
{
    walks *w = op->state;
    if (!w) return;
    be->free(be, w->forward.weights);
    be->free(be, w->backward.weights);
    free(w);
    op->state = NULL;
}

fv_status ISA(dwconv2d_prepare)(fv_backend *be, fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape x = op->x->shape, y = op->y->shape;
    if (a->stride * a->stride > MAX_PHASES || a->k > MAX_KERNEL)
        return fv_fail(FV_ERR_UNSUPPORTED, "%s: depthwise kernel %d with stride %d is too large",
                       op->name, a->k, a->stride);
    walks *w = op->state = calloc(1, sizeof *w);
    if (!w) return fv_fail(FV_ERR_MEMORY, "%s: out of memory", op->name);
    w->forward = (walk){.phases = 1, .stride = a->stride, .step = 1};
    w->forward.phase[0] = (phase){{0, y.h, -a->pad_top, a->k}, {0, y.w, -a->pad_left, a->k}, NULL};
    measure(&w->forward, x);
    FV_TRY(make_weights(be, &w->forward));
    ISA(dwconv2d_pack)(op, &w->forward, false);
    size_t ring = w->forward.ring;
    if (op->dx) {
        w->backward = (walk){.stride = 1, .step = a->stride};
        for (int r = 0; r < a->stride; r++)
            for (int c = 0; c < a->stride; c++)
                w->backward.phase[w->backward.phases++] =
                    (phase){back_axis(r, x.h, a->k, a->stride, a->pad_top),
                            back_axis(c, x.w, a->k, a->stride, a->pad_left), NULL};
        measure(&w->backward, y);
        FV_TRY(make_weights(be, &w->backward));
        ISA(dwconv2d_pack)(op, &w->backward, true);
        if (w->backward.ring > ring) ring = w->backward.ring;
    }
    size_t sums = op->fused.mean_y ? (size_t)x.n * dwconv_sums(&w->forward) : 0;
    op->scratch_bytes = ((size_t)be->threads * ring + sums) * sizeof(float);
    w->rings = (size_t)be->threads * ring;
    return FV_OK;
}
