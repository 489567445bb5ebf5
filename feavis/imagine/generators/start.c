/* From a picture to parameters: the parameterisations of parameterise.c turned round. See
 * start.h.
 *
 *   pixel     the picture itself, minus the grey that the start already has
 *   fourier   colours^-1 (logit) -> DCT -> divided by the scale of each frequency
 *   multires  colours^-1 (logit) -> from coarse to fine, each size takes what the coarser ones
 *             left over
 *   maco      colours^-1 (logit) -> DFT -> the phases alone */
#include "feavis/imagine/generators/start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/parameterise.h"
#include "feavis/picture.h"

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

/* The middle of the picture, as much of it as has the aspect that is wanted, resized:
 * [height * width * 3] in [0, 1]. */
static fv_status read_middle(const fv_options *o, float *out)
{
    fv_picture p, middle;
    FV_TRY(fv_picture_read(&p, o->start));
    int64_t w = fv_width(o), h = fv_height(o);
    bool wide = p.width * h > p.height * w;
    int width = wide ? (int)(p.height * w / h) : p.width;
    int height = wide ? p.height : (int)(p.width * h / w);
    if (width < 1) width = 1;
    if (height < 1) height = 1;
    int left = (p.width - width) / 2, top = (p.height - height) / 2;
    middle = (fv_picture){width, height, malloc((size_t)width * (size_t)height * 3)};
    if (middle.rgb) {
        for (int y = 0; y < height; y++)
            memcpy(middle.rgb + (size_t)y * (size_t)width * 3,
                   p.rgb + ((size_t)(top + y) * (size_t)p.width + (size_t)left) * 3,
                   (size_t)width * 3);
        fv_picture_resize(&middle, fv_width(o), fv_height(o), out);
    }
    fv_picture_free(&p);
    bool ok = middle.rgb != NULL;
    fv_picture_free(&middle);
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
    size_t n = fv_pixels(o);
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

/* Rows: frequencies, columns: positions. */
static void cosines(double *m, int n)
{
    for (int u = 0; u < n; u++)
        for (int i = 0; i < n; i++)
            m[(size_t)u * (size_t)n + (size_t)i] =
                sqrt((u ? 2.0 : 1.0) / n) * cos(M_PI * (i + 0.5) * u / n);
}

static fv_status add_spectrum(const fv_options *o, const double *x, float *values)
{
    int w = fv_width(o), h = fv_height(o);
    size_t cells = fv_pixels(o), rows = (size_t)h * (size_t)h, columns = (size_t)w * (size_t)w;
    double *m = calloc(rows + columns + cells * 6, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *spectrum = m + rows + columns, *scratch = spectrum + 3 * cells;
    cosines(m, h);
    cosines(m + rows, w);
    separable(spectrum, x, h, w, m, h, m + rows, w, scratch);
    for (int v = 0; v < h; v++)
        for (int u = 0; u < w; u++)
            for (size_t c = 0; c < 3; c++) {
                size_t at = ((size_t)v * (size_t)w + (size_t)u) * 3 + c;
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
    int w = fv_width(o), h = fv_height(o), n = fv_parameterise_long_side(o);
    size_t cells = fv_pixels(o), square = (size_t)n * (size_t)n;
    double *room = calloc(square * 4 + cells * 9, sizeof *room);
    if (!room) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *shrink = room, *shrink_x = shrink + square, *grow = shrink_x + square,
           *grow_x = grow + square, *level = grow_x + square, *back = level + 3 * cells,
           *scratch = back + 3 * cells;
    for (int s = 1;; s = fv_parameterise_next_size(s, n)) {
        int part_w = fv_parameterise_level_side(o, s, w),
            part_h = fv_parameterise_level_side(o, s, h);
        size_t count = (size_t)part_w * (size_t)part_h * 3;
        double scale = fv_parameterise_level_scale(o, s);
        if (s == n) {
            for (size_t i = 0; i < count; i++) values[i] += (float)(rest[i] / scale);
            break;
        }
        shrink_matrix(shrink, part_h, h);
        shrink_matrix(shrink_x, part_w, w);
        fv_parameterise_resize(grow, h, part_h);
        fv_parameterise_resize(grow_x, w, part_w);
        separable(level, rest, h, w, shrink, part_h, shrink_x, part_w, scratch);
        separable(back, level, part_h, part_w, grow, h, grow_x, w, scratch);
        for (size_t i = 0; i < count; i++) values[i] += (float)(level[i] / scale);
        for (size_t i = 0; i < 3 * cells; i++) rest[i] -= back[i];
        values += count;
    }
    free(room);
    return FV_OK;
}

/* --- maco --- */

/* Rows: frequencies, columns: positions. */
static void waves_of(double *cosines, double *sines, int n)
{
    for (int u = 0; u < n; u++)
        for (int i = 0; i < n; i++) {
            double angle = 2 * M_PI * (double)((int64_t)i * u % n) / n;
            cosines[(size_t)u * (size_t)n + (size_t)i] = cos(angle);
            sines[(size_t)u * (size_t)n + (size_t)i] = sin(angle);
        }
}

/* Phases of the DFT of x, longer than any noise of the start. */
static fv_status add_phases(const fv_options *o, const double *x, float *values)
{
    int w = fv_width(o), h = fv_height(o), half = w / 2 + 1;
    size_t cells = fv_pixels(o), rows = (size_t)h * (size_t)h, columns = (size_t)w * (size_t)w;
    double *room = calloc(2 * rows + 2 * columns + cells * 15, sizeof *room);
    if (!room) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *down[2] = {room, room + rows};
    double *across[2] = {room + 2 * rows, room + 2 * rows + columns};
    double *scratch = room + 2 * rows + 2 * columns;
    double *parts[4]; /* rows by columns: cos cos, cos sin, sin cos, sin sin */
    for (int k = 0; k < 4; k++) parts[k] = scratch + (3 + 3 * (size_t)k) * cells;
    waves_of(down[0], down[1], h);
    waves_of(across[0], across[1], w);
    for (int k = 0; k < 4; k++)
        separable(parts[k], x, h, w, down[k / 2], h, across[k % 2], half, scratch);
    size_t waves = (size_t)h * (size_t)half;
    for (size_t i = 0; i < waves * 3; i++) {
        float *pair = values + 2 * (i % 3 * waves + i / 3);
        int v = (int)(i / 3) / half, u = (int)(i / 3) % half;
        double a = parts[0][i] - parts[3][i], b = parts[1][i] + parts[2][i], length = hypot(a, b);
        if (2 * v % h == 0 && 2 * u % w == 0) { /* sin is 0 at every pixel: cos is how much */
            double most = fv_parameterise_magnitude(o, v, u, (int)(i % 3));
            a = fmin(fmax(a / ((double)h * w * most), -1), 1);
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
    size_t n = fv_pixels(o) * 3;
    float *picture = malloc(n * sizeof *picture);
    double *x = malloc(n * sizeof *x);
    fv_status s = picture && x ? FV_OK : fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    if (s >= 0) s = read_middle(o, picture);
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
