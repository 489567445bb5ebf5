/* The wall of an atlas by likeness. See atlas.h.
 *
 * The rectangle of cells is cut in two across its longer side, and the channels along the direction
 * in which their pictures' embeddings differ most, each half into its part; and so on, down to a
 * channel a cell. Then cells are swapped while that brings neighbours nearer to each other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/atlas.h"

enum { TURNS = 12, SWEEPS = 40 };

typedef struct wall {
    const float *rows;
    int dim, count, columns, lines;
    int *order;  /* [count] channels, as they are sorted */
    float *keys; /* [count] of each channel */
    float *axis, *mean;
    int *cell; /* [columns * lines] channel, or -1 */
} wall;

typedef struct rectangle {
    int left, top, width, height;
} rectangle;

static const float *row(const wall *w, int i)
{
    return w->rows + (size_t)i * (size_t)w->dim;
}

/* The first principal component of these channels, by power iteration; `keys`: along it. */
static void project(wall *w, const int *at, int count)
{
    memset(w->mean, 0, (size_t)w->dim * sizeof *w->mean);
    for (int i = 0; i < count; i++)
        for (int d = 0; d < w->dim; d++) w->mean[d] += row(w, at[i])[d] / (float)count;
    for (int d = 0; d < w->dim; d++) w->axis[d] = row(w, at[0])[d] - w->mean[d];
    for (int turn = 0; turn < TURNS; turn++) {
        float base = atlas_dot(w->mean, w->axis, w->dim);
        for (int i = 0; i < count; i++)
            w->keys[at[i]] = atlas_dot(row(w, at[i]), w->axis, w->dim) - base;
        if (turn + 1 == TURNS) break;
        memset(w->axis, 0, (size_t)w->dim * sizeof *w->axis);
        for (int i = 0; i < count; i++)
            for (int d = 0; d < w->dim; d++)
                w->axis[d] += w->keys[at[i]] * (row(w, at[i])[d] - w->mean[d]);
        float length = sqrtf(atlas_dot(w->axis, w->axis, w->dim));
        for (int d = 0; d < w->dim; d++) w->axis[d] /= length > 0 ? length : 1;
    }
}

/* Shell's sort; of equal keys the lower channel first. */
static void sort_by_key(int *at, int count, const float *keys)
{
    for (int gap = count / 2; gap > 0; gap /= 2)
        for (int i = gap; i < count; i++) {
            int one = at[i], k = i;
            for (; k >= gap && (keys[at[k - gap]] > keys[one] ||
                                (keys[at[k - gap]] == keys[one] && at[k - gap] > one));
                 k -= gap)
                at[k] = at[k - gap];
            at[k] = one;
        }
}

static void place(wall *w, int *at, int count, rectangle r)
{
    if (!count) return;
    if (r.width * r.height == 1) {
        w->cell[r.top * w->columns + r.left] = at[0];
        return;
    }
    project(w, at, count);
    sort_by_key(at, count, w->keys);
    rectangle a = r, b = r;
    if (r.width >= r.height) {
        a.width = r.width / 2;
        b.width = r.width - a.width;
        b.left += a.width;
    } else {
        a.height = r.height / 2;
        b.height = r.height - a.height;
        b.top += a.height;
    }
    int room_a = a.width * a.height;
    int first = count < room_a ? count : room_a; /* cells that stay empty are the last ones */
    place(w, at, first, a);
    place(w, at + first, count - first, b);
}

/* How unlike channel i would be to what is around cell c. */
static float strain(const wall *w, int i, int c, int not_at)
{
    static const int steps[8][2] = {{-1, -1}, {0, -1}, {1, -1}, {-1, 0},
                                    {1, 0},   {-1, 1}, {0, 1},  {1, 1}};
    float sum = 0;
    if (i < 0) return 0;
    for (int k = 0; k < 8; k++) {
        int x = c % w->columns + steps[k][0], y = c / w->columns + steps[k][1];
        if (x < 0 || y < 0 || x >= w->columns || y >= w->lines) continue;
        int other = w->cell[y * w->columns + x];
        if (other >= 0 && other != i && y * w->columns + x != not_at)
            sum -= atlas_dot(row(w, i), row(w, other), w->dim);
    }
    return sum;
}

/* Swaps each cell with another that is `far` cells on, if that makes neighbours more alike. */
static bool sweep(wall *w, int far)
{
    bool any = false;
    int cells = w->columns * w->lines;
    for (int c = 0; c + far < cells; c++) {
        int d = c + far, i = w->cell[c], k = w->cell[d];
        if (i < 0 || k < 0) continue;
        float now = strain(w, i, c, d) + strain(w, k, d, c);
        float then = strain(w, i, d, c) + strain(w, k, c, d);
        if (then >= now - 1e-4f) continue;
        w->cell[c] = k;
        w->cell[d] = i;
        any = true;
    }
    return any;
}

/* About 16:10, with few empty cells. */
static int choose_columns(int count)
{
    int best = count;
    double lowest = 1e9;
    for (int columns = 1; columns <= count; columns++) {
        int lines = (count + columns - 1) / columns, empty = columns * lines - count;
        double far = fabs(log((double)columns / lines / 1.6)) + 5.0 * empty / count;
        if (far >= lowest) continue;
        best = columns;
        lowest = far;
    }
    return best;
}

static fv_status make_wall(atlas *a)
{
    size_t n = (size_t)a->count, dim = (size_t)fv_model_dim(a->model);
    int columns = choose_columns(a->count);
    int lines = (a->count + columns - 1) / columns;
    wall w = {
        .rows = a->rows, .dim = (int)dim, .count = a->count, .columns = columns, .lines = lines};
    size_t cells = (size_t)columns * (size_t)lines;
    w.order = malloc(n * sizeof *w.order);
    w.keys = malloc(n * sizeof *w.keys);
    w.axis = malloc(dim * sizeof *w.axis);
    w.mean = malloc(dim * sizeof *w.mean);
    w.cell = malloc(cells * sizeof *w.cell);
    a->grid = malloc(n * sizeof *a->grid);
    a->grid_columns = columns;
    fv_status s = w.order && w.keys && w.axis && w.mean && w.cell && a->grid
                      ? FV_OK
                      : fv_fail(FV_ERR_MEMORY, "arranging channels: out of memory");
    if (s >= 0) {
        for (int i = 0; i < a->count; i++) w.order[i] = i;
        for (size_t i = 0; i < cells; i++) w.cell[i] = -1;
        place(&w, w.order, a->count, (rectangle){0, 0, columns, lines});
        for (int i = 0; i < SWEEPS; i++)
            sweep(&w, i % 2 ? 1 + i / 2 % 3 : columns * (1 + i / 2 % 3));
        for (size_t i = 0; i < cells; i++)
            if (w.cell[i] >= 0) a->grid[w.cell[i]] = (int)i;
    }
    free(w.order);
    free(w.keys);
    free(w.axis);
    free(w.mean);
    free(w.cell);
    return s;
}

fv_status atlas_arrange(atlas *a)
{
    int dim = fv_model_dim(a->model);
    for (int i = 0; i < a->count; i++) {
        fv_hit best[ATLAS_LIKE];
        int found = 0;
        for (int k = 0; k < a->count; k++)
            if (k != i)
                fv_top_offer(best, ATLAS_LIKE, &found, k,
                             atlas_dot(a->rows + (size_t)i * (size_t)dim,
                                       a->rows + (size_t)k * (size_t)dim, dim));
        a->at[i].like_count = found;
        for (int k = 0; k < found; k++) a->at[i].like[k] = best[k].index;
    }
    return make_wall(a);
}
