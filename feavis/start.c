/* From a picture to parameters: the parameterisations of parameterise.c turned round. See
 * start.h.
 *
 *   pixel     the picture itself, minus the grey that the start already has
 *   fourier   colours^-1 (logit) -> DCT -> divided by the scale of each frequency
 *   multires  colours^-1 (logit) -> from coarse to fine, each size takes what the coarser ones
 *             left over
 *   maco      colours^-1 (logit) -> DFT -> the phases alone */
#include "feavis/start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/parameterise.h"

/* --- the file --- */

static void hash_picture(const fv_picture *p, char out[17])
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    h = (h ^ (uint64_t)p->width) * 1099511628211u;
    h = (h ^ (uint64_t)p->height) * 1099511628211u;
    for (size_t i = 0; i < n; i++) h = (h ^ p->rgb[i]) * 1099511628211u;
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

fv_status fv_start_hash(const char *path, char out[17])
{
    fv_picture p;
    FV_TRY(fv_picture_read(&p, path));
    hash_picture(&p, out);
    fv_picture_free(&p);
    return FV_OK;
}

fv_status fv_start_note(fv_options *o)
{
    char hash[17];
    if (!*o->start) return FV_OK;
    FV_TRY(fv_options_check_lost(o, FV_OPTION_ONE));
    FV_TRY(fv_start_hash(o->start, hash));
    if (*o->start_hash && strcmp(o->start_hash, hash) != 0)
        return fv_fail(FV_ERR_FORMAT,
                       "start picture %s is not the one of the recipe (its hash is %s, not %s)",
                       o->start, hash, o->start_hash);
    char *path = realpath(o->start, NULL);
    if (path) {
        free(o->start);
        o->start = path;
    }
    return fv_options_set(o, "start-hash", hash);
}

/* The central square of the picture, [side * side * 3] in [0, 1]. */
static fv_status read_square(const fv_options *o, float *out)
{
    fv_picture p, square;
    FV_TRY(fv_picture_read(&p, o->start));
    int side = p.width < p.height ? p.width : p.height;
    int left = (p.width - side) / 2, top = (p.height - side) / 2;
    square = (fv_picture){side, side, malloc((size_t)side * (size_t)side * 3)};
    if (square.rgb) {
        for (int y = 0; y < side; y++)
            memcpy(square.rgb + (size_t)y * (size_t)side * 3,
                   p.rgb + ((size_t)(top + y) * (size_t)p.width + (size_t)left) * 3,
                   (size_t)side * 3);
        fv_picture_to_tensor(&square, o->size, out);
    }
    fv_picture_free(&p);
    bool ok = square.rgb != NULL;
    fv_picture_free(&square);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
}

/* --- out of [0, 1], and out of RGB --- */

static void invert3(double out[9], const float m[9])
{
    double det = 0;
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        det += (double)m[i] * ((double)m[3 + a] * m[6 + b] - (double)m[3 + b] * m[6 + a]);
        for (int j = 0; j < 3; j++) {
            int c = (j + 1) % 3, d = (j + 2) % 3;
            out[3 * i + j] =
                (double)m[3 * c + a] * m[3 * d + b] - (double)m[3 * c + b] * m[3 * d + a];
        }
    }
    for (int i = 0; i < 9; i++) out[i] /= det;
}

static void unfinish(const fv_options *o, const float *picture, double *out)
{
    double inverse[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    if (o->colour) invert3(inverse, fv_parameterise_colours);
    size_t n = (size_t)o->size * (size_t)o->size;
    for (size_t i = 0; i < n; i++) {
        double logit[3];
        for (int c = 0; c < 3; c++) {
            /* black and white are at infinity; 2 % from them the gradient still moves */
            double x = fmin(fmax((double)picture[3 * i + (size_t)c], 0.02), 0.98);
            logit[c] = log(x / (1 - x));
        }
        for (int r = 0; r < 3; r++)
            out[3 * i + (size_t)r] = inverse[3 * r] * logit[0] + inverse[3 * r + 1] * logit[1] +
                                     inverse[3 * r + 2] * logit[2];
    }
}

/* y = rows . x . columns^T for x {h,w,3}; rows [m * h], columns [n * w]; scratch [m * w * 3]. */
static void separable(double *y, const double *x, int h, int w, const double *rows, int m,
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

/* --- fourier --- */

static fv_status add_spectrum(const fv_options *o, const double *x, float *values)
{
    int n = o->size;
    size_t cells = (size_t)n * (size_t)n;
    double *m = calloc(cells * 7, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *spectrum = m + cells, *scratch = spectrum + 3 * cells;
    for (int u = 0; u < n; u++) /* rows: frequencies, columns: positions */
        for (int i = 0; i < n; i++)
            m[(size_t)u * (size_t)n + (size_t)i] =
                sqrt((u ? 2.0 : 1.0) / n) * cos(M_PI * (i + 0.5) * u / n);
    separable(spectrum, x, n, n, m, n, m, n, scratch);
    for (int v = 0; v < n; v++)
        for (int u = 0; u < n; u++)
            for (size_t c = 0; c < 3; c++) {
                size_t at = ((size_t)v * (size_t)n + (size_t)u) * 3 + c;
                values[at] += (float)(spectrum[at] / fv_parameterise_amplitude(o, v, u));
            }
    free(m);
    return FV_OK;
}

/* --- multires --- */

/* Mean over the area of each of s equal parts of n pixels: [s * n]. */
static void shrink_matrix(double *m, int s, int n)
{
    double part = (double)n / s;
    for (int i = 0; i < s; i++)
        for (int j = 0; j < n; j++) {
            double low = fmax(i * part, j), high = fmin((i + 1) * part, j + 1);
            m[(size_t)i * (size_t)n + (size_t)j] = high > low ? (high - low) / part : 0;
        }
}

static fv_status add_levels(const fv_options *o, double *rest, float *values)
{
    int n = o->size;
    size_t cells = (size_t)n * (size_t)n;
    double *room = calloc(cells * 11, sizeof *room);
    if (!room) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *shrink = room, *grow = shrink + cells, *level = grow + cells, *back = level + 3 * cells,
           *scratch = back + 3 * cells;
    for (int s = 1;; s = fv_parameterise_next_size(s, n)) {
        size_t count = (size_t)s * (size_t)s * 3;
        double scale = fv_parameterise_level_scale(o, s);
        if (s == n) {
            for (size_t i = 0; i < count; i++) values[i] += (float)(rest[i] / scale);
            break;
        }
        shrink_matrix(shrink, s, n);
        fv_parameterise_resize(grow, n, s);
        separable(level, rest, n, n, shrink, s, shrink, s, scratch);
        separable(back, level, s, s, grow, n, grow, n, scratch);
        for (size_t i = 0; i < count; i++) values[i] += (float)(level[i] / scale);
        for (size_t i = 0; i < 3 * cells; i++) rest[i] -= back[i];
        values += count;
    }
    free(room);
    return FV_OK;
}

/* --- maco --- */

/* Phases of the DFT of x, longer than any noise of the start. */
static fv_status add_phases(const fv_options *o, const double *x, float *values)
{
    int n = o->size, half = n / 2 + 1;
    size_t cells = (size_t)n * (size_t)n;
    double *room = calloc(cells * 17, sizeof *room);
    if (!room) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *cosines = room, *sines = room + cells, *scratch = room + 2 * cells;
    double *parts[4]; /* rows by columns: cos cos, cos sin, sin cos, sin sin */
    for (int k = 0; k < 4; k++) parts[k] = room + (5 + 3 * (size_t)k) * cells;
    for (int u = 0; u < n; u++) /* rows: frequencies, columns: positions */
        for (int i = 0; i < n; i++) {
            double angle = 2 * M_PI * (double)((int64_t)i * u % n) / n;
            cosines[(size_t)u * (size_t)n + (size_t)i] = cos(angle);
            sines[(size_t)u * (size_t)n + (size_t)i] = sin(angle);
        }
    for (int k = 0; k < 4; k++)
        separable(parts[k], x, n, n, k < 2 ? cosines : sines, n, k % 2 ? sines : cosines, half,
                  scratch);
    size_t waves = (size_t)n * (size_t)half;
    for (size_t i = 0; i < waves * 3; i++) {
        float *pair = values + 2 * (i % 3 * waves + i / 3);
        int v = (int)(i / 3) / half, u = (int)(i / 3) % half;
        double a = parts[0][i] - parts[3][i], b = parts[1][i] + parts[2][i], length = hypot(a, b);
        if (2 * v % n == 0 && 2 * u % n == 0) { /* sin is 0 at every pixel: cos is how much */
            double most = fv_parameterise_magnitude(o, v, u, (int)(i % 3));
            a = fmin(fmax(a / ((double)n * n * most), -1), 1);
            b = sqrt(1 - a * a);
            length = 1;
        }
        pair[0] += (float)(length > 0 ? a / length : 1);
        pair[1] += (float)(length > 0 ? b / length : 0);
    }
    free(room);
    return FV_OK;
}

/* --- all --- */

fv_status fv_start_add(const fv_options *o, float *values, size_t count)
{
    if (!*o->start) return FV_OK;
    size_t n = (size_t)o->size * (size_t)o->size * 3;
    float *picture = malloc(n * sizeof *picture);
    double *x = malloc(n * sizeof *x);
    fv_status s = picture && x ? FV_OK : fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    if (s >= 0) s = read_square(o, picture);
    if (s >= 0) switch ((fv_parameterisation)o->parameterisation) {
        case FV_PARAMETERISE_FOURIER:
            unfinish(o, picture, x);
            s = add_spectrum(o, x, values);
            break;
        case FV_PARAMETERISE_MULTIRES:
            unfinish(o, picture, x);
            s = add_levels(o, x, values);
            break;
        case FV_PARAMETERISE_MACO:
            unfinish(o, picture, x);
            s = add_phases(o, x, values);
            break;
        default:
            for (size_t i = 0; i < n && i < count; i++)
                values[i] = fminf(fmaxf(values[i] + picture[i] - 0.5f, 0), 1);
        }
    free(picture);
    free(x);
    return s;
}
