/* THE option table, and options by name. A new option is one field in options.h and one row
 * here; flags, presets, recipes and the window follow. */
#include "feavis/settings/options.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/areas_syntax.h"
#include "feavis/settings/generators.h"
#include "feavis/settings/guides_syntax.h"
#include "feavis/settings/option_values.h"
#include "feavis/settings/terms_syntax.h"
#include "kernels/number.h"
#include "model/text/text.h"

#define ROW(field) .offset = offsetof(fv_options, field)
enum {
    LIVE = FV_OPTION_LIVE,
    RECIPE = FV_OPTION_RECIPE,
    FILES = FV_OPTION_FILE,
    LATER = FV_OPTION_LATER,
    MODEL = FV_OPTION_MODEL,
    ONE = FV_OPTION_ONE,
    PLACE = FV_OPTION_PLACE,
    LIST = FV_OPTION_LIST
};

/* " fourier multires ..", with room for those that are registered. */
#define WORD(name) " " #name
static char generators[512] = FV_GENERATORS(WORD);

static const fv_option table[] = {
    {"text", "What to imagine", "", "the text; several with weights: \"梦:1 | 文字:-0.3\"", NULL, 0,
     0, FV_OPTION_TEXT, RECIPE | LIVE | ONE, ROW(text)},
    {"llp", "What to imagine", "",
     "channels of the last layer before pooling: \"108,456\" or \"108:0.5\"", NULL, 0, 0,
     FV_OPTION_TEXT, RECIPE | LIVE | ONE, ROW(llp)},
    {"llp-reduce", "What to imagine", "mean", "how a channel's positions become one number",
     "mean max", 0, 0, FV_OPTION_CHOICE, RECIPE, ROW(llp_reduce)},
    {"term", "What to imagine", "",
     "any layer: \"blocks.3.1:45\" a channel, \"blocks.3.1\" all of it, \"... *0.5\"; see help "
     "terms",
     NULL, 0, 0, FV_OPTION_TEXT, RECIPE | LIVE | ONE | LATER | LIST, ROW(term)},
    {"at", "What to imagine", "", "texts for places: \"月亮: 4-5,0-1\"; see help places", NULL, 0,
     0, FV_OPTION_TEXT, RECIPE | LIVE | ONE | LATER | LIST, ROW(at)},
    {"guide-weights", "What to imagine", "",
     "instead of the weights in guide, one for each: \"1, 0.5\"", NULL, 0, 0, FV_OPTION_TEXT,
     RECIPE | LIVE | LATER, ROW(guide_weights)},
    {"tv", "What to imagine", "0.5", "weight of total variation: higher is smoother", NULL, 0, 1e4,
     FV_OPTION_FLOAT, RECIPE | LIVE, ROW(tv)},
    {"range", "What to imagine", "0", "weight of the penalty on values outside 0..1", NULL, 0, 1e4,
     FV_OPTION_FLOAT, RECIPE | LIVE, ROW(range)},
    {"grey", "What to imagine", "0", "weight of the penalty on distance from mid-grey", NULL, 0,
     1e4, FV_OPTION_FLOAT, RECIPE | LIVE, ROW(grey)},
    {"plausible", "What to imagine", "",
     "texts go no further than captions of real photos do: a file of feavis gap; see help "
     "plausible",
     NULL, 0, 0, FV_OPTION_TEXT, RECIPE | FILES | LATER, ROW(plausible)},
    {"plausible-hash", "What to imagine", "", "what its numbers have to be; recipes carry it", NULL,
     0, 0, FV_OPTION_TEXT, RECIPE | LATER, ROW(plausible_hash)},
    {"plausible-move", "What to imagine", "yes",
     "with plausible: texts are moved by the mean photo less the mean caption", NULL, 0, 0,
     FV_OPTION_BOOL, RECIPE | LIVE | LATER, ROW(plausible_move)},
    {"plausible-stop", "What to imagine", "0.5",
     "with plausible: nothing is gained past the cosine that this share of photos keeps below (0: "
     "no end)",
     NULL, 0, 1, FV_OPTION_FLOAT, RECIPE | LIVE | LATER, ROW(plausible_stop)},

    {"seed", "Picture", "1",
     "number that decides all that is random, to 2^64-1; or random: one is drawn", NULL, 0,
     18446744073709551615.0, FV_OPTION_SEED, RECIPE | LIVE | ONE, ROW(seed)},
    {"steps", "Picture", "200", "steps of ascent", NULL, 1, 1000000, FV_OPTION_INT, RECIPE | LIVE,
     ROW(steps)},
    {"stop", "Picture", "0", "stop after so many steps of the schedule (0: all)", NULL, 0, 1000000,
     FV_OPTION_INT, RECIPE | ONE, ROW(stop)},
    {"keep", "Picture", "last",
     "which state is the picture: the last, or what survives a blur best", "last best", 0, 0,
     FV_OPTION_CHOICE, RECIPE | LATER, ROW(keep)},
    {"size", "Picture", "256", "side of the picture, pixels; or width and height: 320x224", NULL,
     16, 4096, FV_OPTION_SIZE, RECIPE, ROW(extent)},
    {"param", "Picture", "fourier",
     "what is optimised: frequencies, all resolutions, pixels, only phases, or a decoder's codes",
     &generators[1], 0, 0, FV_OPTION_CHOICE, RECIPE, ROW(generator)},
    {"codes", "Picture", "straight",
     "generator vqgan: decode the nearest codes, become them after each step, or need none",
     "straight projected free", 0, 0, FV_OPTION_CHOICE, RECIPE | LATER, ROW(codes)},
    {"codes-start", "Picture", "random",
     "generator vqgan: begin with random codes, or with noise of their mean and deviation",
     "random noise", 0, 0, FV_OPTION_CHOICE, RECIPE | LATER, ROW(codes_start)},
    {"decay", "Picture", "1.1", "spectrum of the start and of the steps: 1/f^decay", NULL, 0, 4,
     FV_OPTION_FLOAT, RECIPE, ROW(decay)},
    {"contrast", "Picture", "1.5", "how far a unit of the parameters moves a colour", NULL, 0.01,
     1000, FV_OPTION_FLOAT, RECIPE, ROW(contrast)},
    {"start-noise", "Picture", "0.01", "standard deviation of the parameters at the start", NULL, 0,
     100, FV_OPTION_FLOAT, RECIPE, ROW(start_noise)},
    {"start", "Picture", "",
     "picture to start from (its middle) instead of grey; or its codes, .csv", NULL, 0, 0,
     FV_OPTION_TEXT, RECIPE | FILES | ONE, ROW(start)},
    {"start-hash", "Picture", "", "what that picture's pixels have to be; recipes carry it", NULL,
     0, 0, FV_OPTION_TEXT, RECIPE | ONE, ROW(start_hash)},
    {"colour", "Picture", "yes", "optimise decorrelated colours instead of RGB", NULL, 0, 0,
     FV_OPTION_BOOL, RECIPE, ROW(colour)},
    {"saturation", "Picture", "1", "how much of its colours a picture keeps: 0 is grey", NULL, 0, 1,
     FV_OPTION_FLOAT, RECIPE | LATER, ROW(saturation)},
    {"paper", "Picture", "none", "what it is painted on, the colour of its white", "none rice silk",
     0, 0, FV_OPTION_CHOICE, RECIPE | LATER, ROW(paper)},

    {"views", "Views", "2", "how many ways to look at the picture in each step", NULL, 1, 64,
     FV_OPTION_INT, RECIPE, ROW(views)},
    {"scale-min", "Views", "0.75", "smallest share of the picture's side that a view shows", NULL,
     0.02, 4, FV_OPTION_FLOAT, RECIPE | LIVE, ROW(scale_min)},
    {"scale-max", "Views", "1", "largest share", NULL, 0.02, 4, FV_OPTION_FLOAT, RECIPE | LIVE,
     ROW(scale_max)},
    {"scale-end", "Views", "1", "both shares at the end, as a factor: below 1 goes into details",
     NULL, 0.05, 4, FV_OPTION_FLOAT, RECIPE | LIVE | LATER, ROW(scale_end)},
    {"shift", "Views", "32", "largest shift of a view, in its own pixels", NULL, 0, 4096,
     FV_OPTION_FLOAT, RECIPE | LIVE, ROW(shift)},
    {"rotate", "Views", "10", "largest rotation of a view, degrees", NULL, 0, 180, FV_OPTION_FLOAT,
     RECIPE | LIVE, ROW(rotate)},
    {"noise", "Views", "0.1", "noise added to a view at the start, standard deviation", NULL, 0, 2,
     FV_OPTION_FLOAT, RECIPE | LIVE, ROW(noise)},
    {"noise-end", "Views", "0.01", "noise at the end", NULL, 0, 2, FV_OPTION_FLOAT, RECIPE | LIVE,
     ROW(noise_end)},
    {"colour-shift", "Views", "0.1", "random colour shift of a view at the start", NULL, 0, 2,
     FV_OPTION_FLOAT, RECIPE | LIVE, ROW(colour_shift)},
    {"colour-shift-end", "Views", "0", "colour shift at the end", NULL, 0, 2, FV_OPTION_FLOAT,
     RECIPE | LIVE, ROW(colour_shift_end)},
    {"blur", "Views", "3",
     "most that a step's views are blurred at the start, standard deviation in their pixels", NULL,
     0, 32, FV_OPTION_FLOAT, RECIPE, ROW(blur)},
    {"blur-end", "Views", "1", "blur at the end", NULL, 0, 32, FV_OPTION_FLOAT, RECIPE,
     ROW(blur_end)},

    {"rate", "Optimiser", "0.06", "Adam's step size", NULL, 0, 100, FV_OPTION_FLOAT, RECIPE | LIVE,
     ROW(rate)},
    {"rate-end", "Optimiser", "0.25", "step size at the end, as a share (cosine schedule)", NULL, 0,
     1, FV_OPTION_FLOAT, RECIPE | LIVE, ROW(rate_end)},
    {"warmup", "Optimiser", "5", "steps over which the step size rises at the start", NULL, 0,
     100000, FV_OPTION_INT, RECIPE, ROW(warmup)},
    {"beta1", "Optimiser", "0.9", "Adam's memory of the gradient", NULL, 0, 0.9999, FV_OPTION_FLOAT,
     RECIPE | LIVE, ROW(beta1)},
    {"beta2", "Optimiser", "0.99", "Adam's memory of its square", NULL, 0, 0.99999, FV_OPTION_FLOAT,
     RECIPE | LIVE, ROW(beta2)},

    {"guide", "Model", "",
     "models that look together: \"mini:1 | CFG + CHECKPOINT:0.5\"; may be given more than once; "
     "see help guides",
     NULL, 0, 0, FV_OPTION_TEXT, RECIPE | LATER | MODEL | LIST, ROW(guide)},
    {"config", "Model", "", "BriVL's cfg (eval.yml); without: the shipped model", NULL, 0, 0,
     FV_OPTION_TEXT, RECIPE | FILES | MODEL, ROW(config)},
    {"checkpoint", "Model", "", "its weights, .pth or .safetensors", NULL, 0, 0, FV_OPTION_TEXT,
     RECIPE | FILES | MODEL, ROW(checkpoint)},
    {"vocab", "Model", "", "its vocab.txt", NULL, 0, 0, FV_OPTION_TEXT, RECIPE | FILES | MODEL,
     ROW(vocab)},
    {"decoder", "Model", "", "what a generator makes pictures with: weights (none: the shipped)",
     NULL, 0, 0, FV_OPTION_TEXT, RECIPE | FILES | MODEL | LATER, ROW(decoder)},
    {"tower", "Model", "online", "which weights: those trained, or their moving average",
     "online momentum", 0, 0, FV_OPTION_CHOICE, RECIPE | MODEL, ROW(tower)},
    {"text-length", "Model", "0", "tokens a text is padded to (0: 32, or less if the cfg says so)",
     NULL, 0, 4096, FV_OPTION_INT, RECIPE | MODEL, ROW(text_length)},
    {"device", "Model", "auto",
     "where to compute: cpu, cuda, cuda:N; auto: --backend says it, or a GPU if there is one", NULL,
     0, 0, FV_OPTION_TEXT, MODEL, ROW(device)},
    {"backend", "Model", "auto",
     "how: cuda:fp16, :bf16, :tf32 or :fp32; cpu, cpu-v2, cpu-v3, cpu-v4, ref, ref64", NULL, 0, 0,
     FV_OPTION_TEXT, RECIPE | MODEL, ROW(backend)},
    {"threads", "Model", "0", "threads to use (0: one for each processor)", NULL, 0, 1024,
     FV_OPTION_INT, MODEL, ROW(threads)},

    {"gallery", "Files", "gallery", "folder for the pictures", NULL, 0, 0, FV_OPTION_TEXT,
     FILES | PLACE, ROW(gallery)},
    {"out", "Files", "", "save to this file instead of the gallery", NULL, 0, 0, FV_OPTION_TEXT,
     FILES | PLACE, ROW(out)},
    {"state", "Files", "", "also save the state there, to resume from (.safetensors)", NULL, 0, 0,
     FV_OPTION_TEXT, FILES | PLACE, ROW(state)},
    {"save-codes", "Files", "",
     "generator vqgan: also save the picture's codes there (.csv), to start from", NULL, 0, 0,
     FV_OPTION_TEXT, FILES | PLACE, ROW(save_codes)},
};
enum { ROWS = sizeof table / sizeof table[0] };
_Static_assert(ROWS <= 64, "fv_options.lost has a bit for each");

const fv_option *fv_option_table(int *count)
{
    *count = ROWS;
    return table;
}

/* A second name of a row; what is written bears the first. */
static const char *const aliases[][2] = {{"generator", "param"}};

const fv_option *fv_option_at(int i)
{
    return i >= 0 && i < ROWS ? &table[i] : NULL;
}

const fv_option *fv_option_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(aliases[i][0], name) == 0) name = aliases[i][1];
    for (int i = 0; i < ROWS; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

_Static_assert(ROWS <= 64, "a row is a bit of fv_options.lost");
static uint64_t bit(const fv_option *row)
{
    return (uint64_t)1 << (row - table);
}

static void *field(const fv_options *o, const fv_option *row)
{
    return (char *)(uintptr_t)o + row->offset;
}

/* The row whose name needs the fewest edits, for "did you mean". */
static const char *nearest(const char *name)
{
    const char *best = table[0].name;
    int lowest = INT_MAX;
    for (int i = 0; i < ROWS; i++) {
        int needed = fv_edits(name, table[i].name);
        if (needed >= lowest) continue;
        lowest = needed;
        best = table[i].name;
    }
    return best;
}

fv_status fv_options_add_generator(const char *name)
{
    const fv_option *row = fv_option_find("param");
    size_t used = strlen(generators), n = strlen(name);
    if (!n || n > 40 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
        return fv_fail(
            FV_ERR_ARGUMENT,
            "a generator \"%.80s\": expected a word of small letters, digits and hyphens", name);
    if (fv_option_choice(row, name) >= 0)
        return fv_fail(FV_ERR_ARGUMENT, "there is a generator %s already", name);
    if (used + n + 2 > sizeof generators)
        return fv_fail(FV_ERR_ARGUMENT, "a generator %s: there are too many", name);
    snprintf(generators + used, sizeof generators - used, " %s", name);
    return FV_OK;
}

static fv_status set_field(fv_options *o, const fv_option *row, const char *value)
{
    void *at = field(o, row);
    double number;
    switch (row->kind) {
    case FV_OPTION_INT:
        FV_TRY(fv_option_number(row, value, &number));
        *(int *)at = (int)number;
        return FV_OK;
    case FV_OPTION_FLOAT:
        FV_TRY(fv_option_number(row, value, &number));
        *(double *)at = number;
        return FV_OK;
    case FV_OPTION_SEED:
        return fv_option_seed(row, value, at);
    case FV_OPTION_SIZE: {
        int size[2];
        FV_TRY(fv_option_size(row, value, size));
        memcpy(at, size, sizeof size);
        return FV_OK;
    }
    case FV_OPTION_BOOL:
        return fv_option_bool(row, value, at);
    case FV_OPTION_CHOICE: {
        int index = fv_option_choice(row, value);
        if (index < 0)
            return fv_fail(FV_ERR_ARGUMENT, "%s is \"%.80s\", expected one of: %s", row->name,
                           value, row->choices);
        *(int *)at = index;
        return FV_OK;
    }
    default: {
        /* paths are the file system's bytes, all else is UTF-8 */
        if (!(row->flags & FV_OPTION_FILE)) FV_TRY(fv_utf8_check(value, strlen(value), row->name));
        char *copy = strdup(value);
        if (!copy) return fv_fail(FV_ERR_MEMORY, "setting %s: out of memory", row->name);
        free(*(char **)at);
        *(char **)at = copy;
        return FV_OK;
    }
    }
}

static fv_status set_row(fv_options *o, const fv_option *row, const char *value)
{
    FV_TRY(set_field(o, row, value));
    o->lost &= ~bit(row);
    return FV_OK;
}

/* As set_row; text, llp and guide in the form that recipes have. */
static fv_status set_typed(fv_options *o, const fv_option *row, const char *value)
{
    bool guide = row->offset == offsetof(fv_options, guide);
    bool weights = row->offset == offsetof(fv_options, guide_weights);
    bool bars = guide || row->offset == offsetof(fv_options, text);
    char *plain;
    if (row->offset == offsetof(fv_options, term)) FV_TRY(fv_terms_try(value));
    if (row->offset == offsetof(fv_options, at)) {
        FV_TRY(fv_utf8_check(value, strlen(value), row->name));
        FV_TRY(fv_areas_try(value));
    }
    if (!bars && !weights && row->offset != offsetof(fv_options, llp))
        return set_row(o, row, value);
    FV_TRY(fv_weighted_plain(&plain, value, bars ? '|' : ',', row->name));
    fv_guides guides = {.count = 0};
    fv_status s = guide ? fv_guides_parse(&guides, plain) : FV_OK;
    fv_guides_clear(&guides);
    float numbers[FV_MAX_GUIDES];
    if (weights) s = fv_guides_weights(numbers, NULL, plain);
    if (s >= 0) s = set_row(o, row, plain);
    free(plain);
    return s;
}

static const fv_option *find_row(const char *name)
{
    const fv_option *row = fv_option_find(name);
    if (!row)
        fv_fail(FV_ERR_ARGUMENT, "there is no option %.80s; did you mean %s?", name, nearest(name));
    return row;
}

fv_status fv_options_set(fv_options *o, const char *name, const char *value)
{
    const fv_option *row = find_row(name);
    return row ? set_typed(o, row, value) : FV_ERR_ARGUMENT;
}

fv_status fv_options_set_written(fv_options *o, const char *name, const char *value)
{
    const fv_option *row = find_row(name);
    return row ? set_row(o, row, value) : FV_ERR_ARGUMENT;
}

static const char *print_number(char *out, size_t size, double x)
{
    /* the shortest that reads back as the same number */
    for (int digits = 6; digits <= 17; digits++) {
        fv_print(out, size, "%.*g", digits, x);
        if (fv_to_double(out, NULL) == x) break;
    }
    return out;
}

const char *fv_options_get(const fv_options *o, const char *name)
{
    static _Thread_local char texts[8][64];
    static _Thread_local unsigned turn;
    const fv_option *row = fv_option_find(name);
    if (!row) return "";
    const void *at = field(o, row);
    char *out = texts[turn++ % 8];
    switch (row->kind) {
    case FV_OPTION_INT:
        snprintf(out, sizeof texts[0], "%d", *(const int *)at);
        return out;
    case FV_OPTION_SIZE: {
        const int *size = at;
        snprintf(out, sizeof texts[0], size[0] == size[1] ? "%d" : "%dx%d", size[0], size[1]);
        return out;
    }
    case FV_OPTION_SEED:
        snprintf(out, sizeof texts[0], "%" PRIu64, *(const uint64_t *)at);
        return out;
    case FV_OPTION_FLOAT:
        return print_number(out, sizeof texts[0], *(const double *)at);
    case FV_OPTION_BOOL:
        return *(const bool *)at ? "yes" : "no";
    case FV_OPTION_CHOICE: {
        const char *c = row->choices;
        for (int i = *(const int *)at; i > 0; i--) c += strcspn(c, " ") + 1;
        snprintf(out, sizeof texts[0], "%.*s", (int)strcspn(c, " "), c);
        return out;
    }
    default:
        return *(char *const *)at;
    }
}

bool fv_options_is_default(const fv_options *o, const char *name)
{
    const fv_option *row = fv_option_find(name);
    if (!row) return false;
    const char *value = fv_options_get(o, name);
    if (row->kind == FV_OPTION_FLOAT)
        return fv_to_double(value, NULL) == fv_to_double(row->value, NULL);
    return strcmp(value, row->value) == 0;
}

fv_status fv_options_wake_channels(fv_options *o)
{
    bool channels_only = !*o->text && !*o->at && (*o->llp || *o->term);
    if (!channels_only || !fv_options_is_default(o, "start-noise")) return FV_OK;
    return fv_options_set(o, "start-noise", "0.3");
}

/* --- whole sets --- */

fv_status fv_options_new(fv_options **out)
{
    fv_options *o = calloc(1, sizeof *o);
    fv_status s = o ? FV_OK : fv_fail(FV_ERR_MEMORY, "making options: out of memory");
    for (int i = 0; s >= 0 && i < ROWS; i++) s = set_row(o, &table[i], table[i].value);
    if (s < 0) {
        fv_options_free(o);
        return s;
    }
    *out = o;
    return FV_OK;
}

fv_status fv_options_copy(fv_options **out, const fv_options *from)
{
    fv_options *o;
    FV_TRY(fv_options_new(&o));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < ROWS; i++)
        s = set_row(o, &table[i], fv_options_get(from, table[i].name));
    o->lost = from->lost;
    if (s >= 0 && from->lost_recipe && !(o->lost_recipe = strdup(from->lost_recipe)))
        s = fv_fail(FV_ERR_MEMORY, "copying options: out of memory");
    for (int i = 0; s >= 0 && i < from->change_count; i++)
        s = fv_options_add_change(o, from->changes[i].step, from->changes[i].option,
                                  from->changes[i].value);
    if (s >= 0) s = fv_options_copy_terms(o, from);
    if (s < 0) {
        fv_options_free(o);
        return s;
    }
    *out = o;
    return FV_OK;
}

void fv_options_free(fv_options *o)
{
    if (!o) return;
    for (int i = 0; i < ROWS; i++)
        if (table[i].kind == FV_OPTION_TEXT) free(*(char **)field(o, &table[i]));
    for (int i = 0; i < o->change_count; i++) free(o->changes[i].value);
    fv_options_clear_terms(o);
    free(o->changes);
    free(o->notice);
    free(o->lost_recipe);
    free(o);
}

fv_status fv_options_take(fv_options *to, const fv_options *from, unsigned flags)
{
    for (int i = 0; i < ROWS; i++) {
        if (!(table[i].flags & flags)) continue;
        FV_TRY(set_row(to, &table[i], fv_options_get(from, table[i].name)));
        if (from->lost & bit(&table[i])) FV_TRY(fv_options_lose(to, &table[i], from->lost_recipe));
    }
    return FV_OK;
}

/* Weights aside. */
static bool same_guides(const char *a, const char *b)
{
    fv_guides x, y;
    if (strcmp(a, b) == 0) return true;
    if (fv_guides_parse(&x, a) < 0) return false;
    bool same = fv_guides_parse(&y, b) >= 0;
    if (same) {
        same = fv_guides_same(&x, &y);
        fv_guides_clear(&y);
    }
    fv_guides_clear(&x);
    return same;
}

bool fv_options_same_model(const fv_options *a, const fv_options *b)
{
    for (int i = 0; i < ROWS; i++)
        if ((table[i].flags & MODEL) && table[i].offset != offsetof(fv_options, guide) &&
            strcmp(fv_options_get(a, table[i].name), fv_options_get(b, table[i].name)) != 0)
            return false;
    return same_guides(a->guide, b->guide);
}

/* --- files that a recipe names --- */

fv_status fv_options_lose(fv_options *o, const fv_option *row, const char *recipe)
{
    char *copy = strdup(recipe);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", recipe);
    free(o->lost_recipe);
    o->lost_recipe = copy;
    o->lost |= bit(row);
    return FV_OK;
}

fv_status fv_options_check_lost_row(const fv_options *o, const fv_option *row)
{
    if (!(o->lost & bit(row))) return FV_OK;
    return fv_fail(FV_ERR_IO,
                   "the %s of %s, %s, was found neither beside it nor here: give it with --%s FILE",
                   row->name, o->lost_recipe, fv_options_get(o, row->name), row->name);
}

fv_status fv_options_check_lost(const fv_options *o, unsigned flag)
{
    for (int i = 0; i < ROWS; i++)
        if (table[i].flags & flag) FV_TRY(fv_options_check_lost_row(o, &table[i]));
    return FV_OK;
}

fv_status fv_options_add_change(fv_options *o, int step, const fv_option *option, const char *value)
{
    fv_change *changes = realloc(o->changes, ((size_t)o->change_count + 1) * sizeof *o->changes);
    if (changes) o->changes = changes;
    char *copy = changes ? strdup(value) : NULL;
    if (!copy) return fv_fail(FV_ERR_MEMORY, "changing %s: out of memory", option->name);
    int at = o->change_count++; /* behind those of the same step */
    for (; at > 0 && o->changes[at - 1].step > step; at--) o->changes[at] = o->changes[at - 1];
    o->changes[at] = (fv_change){step, option, copy};
    return FV_OK;
}
