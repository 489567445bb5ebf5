/* Separable transforms. See separable.h. */
#include "feavis/imagine/generators/separable.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_ref fv_separable_weight(fv_plan *p, const char *name, fv_shape shape, double *values)
{
    if (!values) return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "building %s: out of memory", name));
    fv_ref r = fv_plan_weight_f64(p, name, shape, values);
    free(values);
    return r;
}

void fv_cosines(double *m, int n, size_t position, size_t frequency)
{
    for (int i = 0; i < n; i++)
        for (int u = 0; u < n; u++)
            m[(size_t)i * position + (size_t)u * frequency] =
                sqrt((u ? 2.0 : 1.0) / n) * cos(M_PI * (i + 0.5) * u / n);
}

fv_ref fv_cosine_weight(fv_plan *p, const char *name, int n)
{
    double *m = malloc((size_t)n * (size_t)n * sizeof *m);
    if (m) fv_cosines(m, n, (size_t)n, 1);
    return fv_separable_weight(p, name, (fv_shape){1, 1, n, n}, m);
}

void fv_separable_apply(double *y, const double *x, int h, int w, const double *rows, int m,
                        const double *columns, int n, double *scratch)
{
    size_t width = (size_t)w * 3;
    for (int i = 0; i < m; i++) {
        double *row = scratch + (size_t)i * width;
        memset(row, 0, width * sizeof *row);
        for (int k = 0; k < h; k++) {
            double a = rows[(size_t)i * (size_t)h + (size_t)k];
            const double *from = x + (size_t)k * width;
            for (size_t j = 0; a != 0 && j < width; j++) row[j] += a * from[j];
        }
        for (int j = 0; j < n; j++) {
            double sum[3] = {0, 0, 0};
            for (int k = 0; k < w; k++) {
                double b = columns[(size_t)j * (size_t)w + (size_t)k];
                for (int c = 0; c < 3; c++) sum[c] += b * row[3 * (size_t)k + (size_t)c];
            }
            memcpy(y + ((size_t)i * (size_t)n + (size_t)j) * 3, sum, sizeof sum);
        }
    }
}

double fv_wave_frequency(const fv_options *o, int v, int u, int n)
{
    double x = (double)u * n / fv_width(o), y = (double)v * n / fv_height(o);
    return sqrt(x * x + y * y);
}
