/* The table of generators, and the chosen one at work. See generator.h. */
#include "feavis/imagine/generators/generator.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/generators/tint.h"
#include "feavis/settings/generators.h"

#define DECLARED(name) extern const fv_generator fv_generator_##name;
#define ROW(name)      &fv_generator_##name,
FV_GENERATORS(DECLARED)
static const fv_generator *const rows[] = {FV_GENERATORS(ROW)};

enum { ROWS = sizeof rows / sizeof rows[0], MAX_REGISTERED = 16 };
static const fv_generator *registered[MAX_REGISTERED];
static int registered_count;

fv_status fv_generator_register(const fv_generator *row)
{
    if (registered_count == MAX_REGISTERED)
        return fv_fail(FV_ERR_ARGUMENT, "registering generator %s: there are %d already", row->name,
                       MAX_REGISTERED);
    FV_TRY(fv_options_add_generator(row->name));
    registered[registered_count++] = row;
    return FV_OK;
}

const fv_generator *fv_generator_at(int i)
{
    if (i < 0 || i >= ROWS + registered_count) return NULL;
    return i < ROWS ? rows[i] : registered[i - ROWS];
}

const fv_generator *fv_generator_of(const fv_options *o)
{
    return fv_generator_at(o->generator);
}

/* The decoder for those that need one. */
static const fv_network *lent(const fv_generator *g, const fv_network *decoder)
{
    return g->needs_decoder ? decoder : NULL;
}

static fv_status check_decoder(const fv_generator *g, const fv_network *decoder)
{
    if (!g->needs_decoder || decoder) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT,
                   "%s makes pictures with a decoder: give its file with --decoder FILE", g->name);
}

fv_ref fv_generator_build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    const fv_generator *g = fv_generator_of(o);
    fv_status status = check_decoder(g, decoder);
    if (status < 0) return fv_plan_fail(p, status);
    fv_ref picture = g->build(p, o, lent(g, decoder));
    fv_shape s = fv_plan_shape(p, picture);
    if (picture < 0 || (s.n == 1 && s.h == fv_height(o) && s.w == fv_width(o) && s.c == 3))
        return fv_tint(p, o, picture);
    return fv_plan_fail(p, fv_fail(FV_ERR_SHAPE,
                                   "%s makes a picture of %d x %d pixels in %d channels, expected "
                                   "%d x %d in 3",
                                   g->name, s.w, s.h, s.c, fv_width(o), fv_height(o)));
}

fv_status fv_generator_prepare(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    const fv_generator *g = fv_generator_of(o);
    return g->prepare ? g->prepare(p, o, lent(g, decoder)) : FV_OK;
}

static fv_status start_from_codes(const fv_generator *g, const fv_options *o,
                                  const fv_network *decoder, float *values, size_t count)
{
    fv_codes codes;
    if (!g->from_codes) return fv_fail(FV_ERR_ARGUMENT, "%s takes no codes to start from", g->name);
    FV_TRY(fv_codes_read(&codes, o->start));
    fv_status s = g->from_codes(o, decoder, &codes, values, count);
    fv_codes_free(&codes);
    return s < 0 ? fv_fail_context(s, "codes %s", o->start) : s;
}

static fv_status show_start(const fv_generator *g, const fv_options *o, const fv_network *decoder,
                            fv_backend *be, float *values, size_t count)
{
    if (fv_start_is_codes(o->start)) return start_from_codes(g, o, decoder, values, count);
    if (!g->invert) return fv_fail(FV_ERR_ARGUMENT, "%s takes no picture to start from", g->name);
    float *picture = malloc(fv_pixels(o) * 3 * sizeof *picture);
    if (!picture) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    fv_status s = fv_start_read(o, picture);
    if (s >= 0) fv_tint_undo(o, picture);
    if (s >= 0) s = g->invert(o, decoder, be, picture, values, count);
    free(picture);
    return s;
}

fv_status fv_generator_start(const fv_options *o, const fv_network *decoder, fv_backend *be,
                             float *values, size_t count)
{
    const fv_generator *g = fv_generator_of(o);
    FV_TRY(check_decoder(g, decoder));
    if (g->start)
        FV_TRY(g->start(o, lent(g, decoder), values, count));
    else
        fv_generator_noise(o, values, count);
    return *o->start ? show_start(g, o, lent(g, decoder), be, values, count) : FV_OK;
}

void fv_generator_bounds(const fv_options *o, const fv_network *decoder, float *low, float *high)
{
    const fv_generator *g = fv_generator_of(o);
    *low = -1e30f;
    *high = 1e30f;
    if (g->bounds) g->bounds(o, lent(g, decoder), low, high);
}

fv_status fv_generator_after_step(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    const fv_generator *g = fv_generator_of(o);
    return g->after_step ? g->after_step(p, o, lent(g, decoder)) : FV_OK;
}

fv_status fv_generator_codes(const fv_options *o, const fv_network *decoder, const float *values,
                             size_t count, fv_codes *out)
{
    const fv_generator *g = fv_generator_of(o);
    if (!g->codes)
        return fv_fail(FV_ERR_ARGUMENT, "generator %s makes no pictures of codes", g->name);
    FV_TRY(check_decoder(g, decoder));
    return g->codes(o, lent(g, decoder), values, count, out);
}

int fv_generator_moved(const fv_options *o, const fv_network *decoder, const float *before,
                       const float *after, size_t count)
{
    const fv_generator *g = fv_generator_of(o);
    return g->moved ? g->moved(o, lent(g, decoder), before, after, count) : -1;
}
