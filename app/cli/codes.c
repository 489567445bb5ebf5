/* feavis codes: a picture to codes (FILE.csv), and codes to a picture (FILE.png). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "app/cli/places.h"
#include "feavis/codes.h"

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

static fv_status save_encoded(const fv_codes *codes, const fv_picture *back, const char *out,
                              const char *decoder)
{
    if (!*out) return FV_OK;
    if (!ends_in(out, ".csv")) return fv_picture_write(back, out, NULL);
    if (codes->at) return fv_codes_write(codes, out);
    return fv_fail(FV_ERR_ARGUMENT,
                   "%s: %s has no codes, its latent is continuous: --decoder FILE gives one with "
                   "codes, a VQGAN",
                   out, *decoder ? decoder : "the decoder that ships, vqgan-mini,");
}

static int distinct(const fv_codes *codes)
{
    int found = 0;
    bool *seen = calloc((size_t)codes->count + 1, sizeof *seen);
    for (int i = 0; seen && i < codes->width * codes->height; i++) {
        found += !seen[codes->at[i]];
        seen[codes->at[i]] = true;
    }
    free(seen);
    return found;
}

/* decibels: of a picture that was decoded again; NAN where codes became a picture. */
static void print_json(const fv_codes *codes, const fv_picture *p, double error)
{
    json_begin("codes");
    json_whole("width", p->width);
    json_whole("height", p->height);
    json_whole("codes_wide", codes->width);
    json_whole("codes_high", codes->height);
    json_whole("distinct", codes->at ? distinct(codes) : 0);
    json_whole("of", codes->at ? codes->count : 0);
    json_number("decibels", -10 * log10(error));
    json_number("mean_square", error);
    json_end();
}

/* At the default size a picture may be cut and scaled. */
static void tell_size(const cli *c, const fv_picture *back)
{
    fv_picture p;
    struct stat st;
    printf("%d x %d pixels", back->width, back->height);
    if (!fv_options_is_default(c->options, "size")) return;
    if (stat(c->words, &st) != 0 || !S_ISREG(st.st_mode)) return; /* a pipe is read once */
    if (fv_picture_read(&p, c->words) < 0) return;
    if (p.width != back->width || p.height != back->height)
        printf(" of a picture of %d x %d (--size WIDTHxHEIGHT)", p.width, p.height);
    fv_picture_free(&p);
}

static fv_status encode(cli *c, const char *out)
{
    fv_codes codes;
    fv_picture back;
    double error;
    if (*out && !ends_in(out, ".csv")) FV_TRY(cli_check_picture(out));
    FV_TRY(fv_options_set(c->options, "start", c->words));
    FV_TRY(fv_codes_encode(&codes, &back, &error, c->options));
    fv_status s = save_encoded(&codes, &back, out, fv_options_get(c->options, "decoder"));
    if (s >= 0 && json_on())
        print_json(&codes, &back, error);
    else if (s >= 0) {
        tell_size(c, &back);
        if (codes.at)
            printf(": %d x %d codes, %d of %d", codes.width, codes.height, distinct(&codes),
                   codes.count);
        printf("; decoded again %.2f dB (mean square %.6f)\n", -10 * log10(error), error);
    }
    fv_codes_free(&codes);
    fv_picture_free(&back);
    return s;
}

static fv_status decode(cli *c, const char *out)
{
    fv_codes codes;
    fv_picture picture = {0};
    if (!*out) return fv_fail(FV_ERR_ARGUMENT, "codes make a picture: give --out FILE.png");
    FV_TRY(cli_check_picture(out));
    FV_TRY(fv_codes_read(&codes, c->words));
    fv_status s = fv_codes_decode(&picture, &codes, c->options);
    if (s >= 0) s = fv_picture_write(&picture, out, NULL);
    if (s >= 0 && json_on())
        print_json(&codes, &picture, NAN);
    else if (s >= 0)
        printf("%d x %d codes: %d x %d pixels\n", codes.width, codes.height, picture.width,
               picture.height);
    fv_codes_free(&codes);
    fv_picture_free(&picture);
    return s;
}

int command_codes(cli *c)
{
    const char *out = fv_options_get(c->options, "out");
    fv_status s = c->words ? FV_OK
                           : fv_fail(FV_ERR_ARGUMENT, "codes needs a picture or FILE.csv, and "
                                                      "--decoder FILE");
    if (s >= 0) s = place_apart(out, "--out", c->words, "what it is made of");
    if (s >= 0) s = ends_in(c->words, ".csv") ? decode(c, out) : encode(c, out);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
