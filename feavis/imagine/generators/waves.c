/* A latent as waves. See waves.h. */
#include "feavis/imagine/generators/waves.h"

#include <math.h>
#include <stdlib.h>

#include "feavis/imagine/generators/separable.h"

/* s [h * w * C]; NULL: no memory. */
static double *spectrum(const fv_network *decoder, fv_shape latent)
{
    int h = latent.h, w = latent.w, channels = latent.c;
    double *s = malloc(fv_count(latent) * sizeof *s);
    for (int c = 0; s && c < channels; c++) {
        double squares = 0;
        for (int i = 0; i < h * w; i++) {
            /* of waves over the longer side; one that does not wave is as long as that side */
            double longer = h > w ? h : w, y = i / w * longer / h, x = i % w * longer / w;
            double f = fmax(sqrt(x * x + y * y), 1), size = pow(f, (double)-decoder->decays[c]);
            s[(size_t)i * (size_t)channels + (size_t)c] = size;
            squares += size * size;
        }
        double whole = sqrt((double)h * w / squares);
        for (int i = 0; i < h * w; i++) s[(size_t)i * (size_t)channels + (size_t)c] *= whole;
    }
    return s;
}

fv_ref fv_waves(fv_plan *p, const fv_network *decoder, fv_ref param)
{
    fv_shape latent = fv_plan_shape(p, param);
    fv_ref scale = fv_separable_weight(p, "latent.spectrum", latent, spectrum(decoder, latent));
    fv_ref x = fv_affine(p, "latent.scaled", param, scale, FV_NONE);
    return fv_separable(p, "latent.waves", x, fv_cosine_weight(p, "latent.rows", latent.h),
                        fv_cosine_weight(p, "latent.columns", latent.w));
}

/* to [n] = m [n * n] . from, both with a stride */
static void transform(const double *m, size_t n, const double *from, double *to, size_t stride)
{
    for (size_t u = 0; u < n; u++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += m[u * n + i] * from[i * stride];
        to[u * stride] = sum;
    }
}

fv_status fv_waves_invert(const fv_network *decoder, fv_shape shape, float *values)
{
    size_t h = (size_t)shape.h, w = (size_t)shape.w, c = (size_t)shape.c, count = h * w * c;
    double *s = spectrum(decoder, shape);
    double *rows = malloc((h * h + w * w + 2 * count) * sizeof *rows);
    if (!s || !rows) {
        free(s);
        free(rows);
        return fv_fail(FV_ERR_MEMORY, "a latent's waves: out of memory");
    }
    double *columns = rows + h * h, *x = columns + w * w, *y = x + count;
    fv_cosines(rows, shape.h, 1, h);
    fv_cosines(columns, shape.w, 1, w);
    for (size_t i = 0; i < count; i++) x[i] = (double)values[i];
    for (size_t i = 0; i < w * c; i++) transform(rows, h, x + i, y + i, w * c);
    for (size_t i = 0; i < h * c; i++)
        transform(columns, w, y + i / c * w * c + i % c, x + i / c * w * c + i % c, c);
    for (size_t i = 0; i < count; i++) values[i] = (float)(x[i] / s[i]);
    free(s);
    free(rows);
    return FV_OK;
}
