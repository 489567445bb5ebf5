/* See palette.h. Colours are counted in 32 x 32 x 32 cells. Boxes of cells are cut where they err
 * most, across their longest spread at its mean (Wan, Wong and Prusinkiewicz, 1988), and the
 * colours then settle by a few rounds of k-means. */
#include "feavis/image/palette.h"

#include <stdlib.h>
#include <string.h>

enum {
    CELLS = 32 * 32 * 32,
    FINE = 64, /* cells a side of the table of nearest colours */
    ROUNDS = 4,
    UNKNOWN = -1
};

typedef struct cell {
    float mean[3]; /* of the pixels in it */
    float weight;
} cell;

typedef struct box {
    int begin, end; /* of the cells */
    int axis;       /* of the largest spread */
    float mean[3];
    double error; /* sum of squared distances to the mean */
} box;

struct fv_palette {
    uint64_t sums[CELLS][3];
    uint64_t counts[CELLS];
    cell *cells; /* [cell_count], those that hold pixels */
    int cell_count;
    uint8_t colours[FV_PALETTE_MAX][3];
    int count;
    int16_t nearest[FINE * FINE * FINE];
};

fv_status fv_palette_new(fv_palette **out)
{
    fv_palette *p = calloc(1, sizeof *p);
    if (!p) return fv_fail(FV_ERR_MEMORY, "choosing colours: out of memory");
    p->cells = malloc(CELLS * sizeof *p->cells);
    if (!p->cells) {
        free(p);
        return fv_fail(FV_ERR_MEMORY, "choosing colours: out of memory");
    }
    *out = p;
    return FV_OK;
}

void fv_palette_free(fv_palette *p)
{
    if (!p) return;
    free(p->cells);
    free(p);
}

void fv_palette_add(fv_palette *p, const fv_picture *picture, int weight)
{
    size_t n = (size_t)picture->width * (size_t)picture->height;
    const uint8_t *rgb = picture->rgb;
    for (size_t i = 0; i < n; i++, rgb += 3) {
        int at = (rgb[0] >> 3) << 10 | (rgb[1] >> 3) << 5 | rgb[2] >> 3;
        p->counts[at] += (uint64_t)weight;
        for (int k = 0; k < 3; k++) p->sums[at][k] += (uint64_t)weight * rgb[k];
    }
}

static void gather(fv_palette *p)
{
    p->cell_count = 0;
    for (int i = 0; i < CELLS; i++) {
        if (!p->counts[i]) continue;
        cell *c = &p->cells[p->cell_count++];
        c->weight = (float)p->counts[i];
        for (int k = 0; k < 3; k++)
            c->mean[k] = (float)((double)p->sums[i][k] / (double)p->counts[i]);
    }
}

static box measure(const fv_palette *p, int begin, int end)
{
    box b = {.begin = begin, .end = end};
    double weight = 0, sum[3] = {0}, spread[3] = {0};
    for (int i = begin; i < end; i++) {
        weight += (double)p->cells[i].weight;
        for (int k = 0; k < 3; k++)
            sum[k] += (double)p->cells[i].weight * (double)p->cells[i].mean[k];
    }
    for (int k = 0; k < 3; k++) b.mean[k] = (float)(sum[k] / weight);
    for (int i = begin; i < end; i++)
        for (int k = 0; k < 3; k++) {
            double d = (double)(p->cells[i].mean[k] - b.mean[k]);
            spread[k] += (double)p->cells[i].weight * d * d;
        }
    for (int k = 0; k < 3; k++) {
        if (spread[k] > spread[b.axis]) b.axis = k;
        b.error += spread[k];
    }
    return b;
}

/* Cells below the mean of the longest axis first; where the second part begins. */
static int partition(fv_palette *p, const box *b)
{
    int middle = b->begin;
    for (int i = b->begin; i < b->end; i++) {
        if (p->cells[i].mean[b->axis] > b->mean[b->axis]) continue;
        cell swap = p->cells[middle];
        p->cells[middle++] = p->cells[i];
        p->cells[i] = swap;
    }
    return middle;
}

static int cut_boxes(fv_palette *p, box boxes[FV_PALETTE_MAX], int most)
{
    int count = 1;
    boxes[0] = measure(p, 0, p->cell_count);
    while (count < most) {
        int worst = 0;
        for (int i = 1; i < count; i++)
            if (boxes[i].error > boxes[worst].error) worst = i;
        if (!(boxes[worst].error > 0)) break;
        box b = boxes[worst];
        int middle = partition(p, &b);
        if (middle == b.begin || middle == b.end) { /* only by rounding */
            boxes[worst].error = 0;
            continue;
        }
        boxes[worst] = measure(p, b.begin, middle);
        boxes[count++] = measure(p, middle, b.end);
    }
    return count;
}

static int closest(float means[][3], int count, const float colour[3])
{
    int best = 0;
    float lowest = 1e30f;
    for (int i = 0; i < count; i++) {
        float r = means[i][0] - colour[0], g = means[i][1] - colour[1], b = means[i][2] - colour[2];
        float d = r * r + g * g + b * b;
        if (d < lowest) {
            lowest = d;
            best = i;
        }
    }
    return best;
}

static void settle(const fv_palette *p, float means[][3], int count)
{
    double sums[FV_PALETTE_MAX][4];
    memset(sums, 0, sizeof sums);
    for (int i = 0; i < p->cell_count; i++) {
        const cell *c = &p->cells[i];
        double *to = sums[closest(means, count, c->mean)];
        for (int k = 0; k < 3; k++) to[k] += (double)c->weight * (double)c->mean[k];
        to[3] += (double)c->weight;
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 3 && sums[i][3] > 0; k++)
            means[i][k] = (float)(sums[i][k] / sums[i][3]);
}

int fv_palette_choose(fv_palette *p, int most)
{
    box boxes[FV_PALETTE_MAX];
    float means[FV_PALETTE_MAX][3];
    gather(p);
    p->count = 0;
    for (int i = 0; i < FINE * FINE * FINE; i++) p->nearest[i] = UNKNOWN;
    if (!p->cell_count) return 0;
    p->count = cut_boxes(p, boxes, most < FV_PALETTE_MAX ? most : FV_PALETTE_MAX);
    for (int i = 0; i < p->count; i++) memcpy(means[i], boxes[i].mean, sizeof means[i]);
    for (int i = 0; i < ROUNDS; i++) settle(p, means, p->count);
    for (int i = 0; i < p->count; i++)
        for (int k = 0; k < 3; k++) p->colours[i][k] = (uint8_t)(means[i][k] + 0.5f);
    return p->count;
}

const uint8_t *fv_palette_colour(const fv_palette *p, int i)
{
    return p->colours[i];
}

int fv_palette_nearest(fv_palette *p, int r, int g, int b)
{
    int x = r >> 2, y = g >> 2, z = b >> 2;
    int16_t *known = &p->nearest[(x * FINE + y) * FINE + z];
    if (*known != UNKNOWN) return *known;
    int lowest = 1 << 30;
    for (int i = 0; i < p->count; i++) { /* from the middle of the cell */
        int dr = 4 * x + 2 - p->colours[i][0], dg = 4 * y + 2 - p->colours[i][1],
            db = 4 * z + 2 - p->colours[i][2], d = dr * dr + dg * dg + db * db;
        if (d >= lowest) continue;
        lowest = d;
        *known = (int16_t)i;
    }
    return *known;
}
