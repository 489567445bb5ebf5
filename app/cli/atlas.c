/* feavis atlas: every channel of a layer at small size, as one page. Pictures grow into a folder,
 * ATLAS_CHUNK of them a file; what is there stays, so a run that was killed goes on, and workers of
 * --shard share the files. The page is made of them in a second step (--page: that alone). See
 * atlas.h. */
#include "app/cli/atlas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/shard.h"
#include "feavis/files.h"
#include "feavis/gallery.h"

static const char manifest[] = "atlas.yml";

/* --- what the pictures are of --- */

static fv_status read_number(int *out, const char *text, int low, int high, const char *what)
{
    char *end;
    errno = 0;
    long x = strtol(text, &end, 10);
    if (errno || end == text || *end || x < low || x > high)
        return fv_fail(FV_ERR_ARGUMENT, "%s is \"%.40s\", expected a number from %d to %d", what,
                       text, low, high);
    *out = (int)x;
    return FV_OK;
}

static fv_status read_channels(atlas_settings *h, const char *text, const char *what)
{
    int end = 0;
    if (sscanf(text, "%9d-%9d%n", &h->first, &h->last, &end) == 2 && !text[end] && h->first >= 0 &&
        h->last >= h->first)
        return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s is \"%.40s\", expected the first and the last, as 0-63",
                   what, text);
}

enum { KEYS = 7 };
static const char *const keys[KEYS] = {"model", "weights", "layer", "channels",
                                       "size",  "steps",   "seed"};

/* One line of the manifest, or one flag. */
static fv_status take(atlas_settings *h, const char *key, const char *value, const char *what)
{
    if (strcmp(key, "layer") == 0) {
        if (!*value) return fv_fail(FV_ERR_ARGUMENT, "%s is empty, expected a layer, as LLP", what);
        if (strlen(value) >= sizeof h->layer)
            return fv_fail(FV_ERR_ARGUMENT, "%s: \"%.80s\" is too long", what, value);
        strcpy(h->layer, value);
    } else if (strcmp(key, "channels") == 0) {
        return read_channels(h, value, what);
    } else if (strcmp(key, "size") == 0) {
        return read_number(&h->side, value, 32, 512, what);
    } else if (strcmp(key, "steps") == 0) {
        return read_number(&h->steps, value, 1, 100000, what);
    } else if (strcmp(key, "seed") == 0) {
        h->seed = strtoull(value, NULL, 10);
    } else if (strcmp(key, "model") == 0) {
        snprintf(h->model, sizeof h->model, "%s", value);
    } else if (strcmp(key, "weights") == 0) {
        snprintf(h->weights, sizeof h->weights, "%s", value);
    }
    return FV_OK;
}

static const char *value_of(const atlas_settings *h, const char *key, char out[160])
{
    if (strcmp(key, "model") == 0) snprintf(out, 160, "%s", h->model);
    if (strcmp(key, "weights") == 0) snprintf(out, 160, "%s", h->weights);
    if (strcmp(key, "layer") == 0) snprintf(out, 160, "%s", h->layer);
    if (strcmp(key, "channels") == 0) snprintf(out, 160, "%d-%d", h->first, h->last);
    if (strcmp(key, "size") == 0) snprintf(out, 160, "%d", h->side);
    if (strcmp(key, "steps") == 0) snprintf(out, 160, "%d", h->steps);
    if (strcmp(key, "seed") == 0) snprintf(out, 160, "%" PRIu64, h->seed);
    return out;
}

static fv_status read_lines(atlas_settings *h, char *text)
{
    char what[64];
    bool said[KEYS] = {false};
    for (char *line; (line = strsep(&text, "\n"));) {
        char *colon = strstr(line, ": ");
        if (*line == '#' || !colon) continue;
        *colon = 0;
        snprintf(what, sizeof what, "its %.40s", line);
        FV_TRY(take(h, line, colon + 2, what));
        for (int i = 0; i < KEYS; i++) said[i] = said[i] || strcmp(keys[i], line) == 0;
    }
    for (int i = 0; i < KEYS; i++)
        if (!said[i]) return fv_fail(FV_ERR_FORMAT, "it does not say its %s", keys[i]);
    return FV_OK;
}

/* The manifest's settings over *h; *found: there is one. */
static fv_status read_manifest(const atlas *a, atlas_settings *h, bool *found)
{
    char *path, *text;
    FV_TRY(many_path(&path, a->folder, manifest));
    *found = access(path, F_OK) == 0;
    fv_status s = *found ? fv_text_read(&text, path) : FV_OK;
    if (*found && s >= 0) {
        s = read_lines(h, text);
        if (s < 0) fv_fail_context(s, "%s", path);
        free(text);
    }
    free(path);
    return s;
}

static fv_status save_manifest(const atlas *a)
{
    many_file f;
    char value[160];
    FV_TRY(many_open(&f));
    fputs("# what feavis atlas has grown here; the same command goes on, --page makes the page\n",
          f.to);
    for (int i = 0; i < KEYS; i++)
        fprintf(f.to, "%s: %s\n", keys[i], value_of(&a->how, keys[i], value));
    return many_save(&f, a->folder, manifest);
}

static fv_status take_flags(const cli *c, atlas_settings *h)
{
    static const char *const options[] = {"size", "steps", "seed"};
    if (c->layer) FV_TRY(take(h, "layer", c->layer, "--layer"));
    if (c->channels) FV_TRY(take(h, "channels", c->channels, "--channels"));
    for (int i = 0; i < 3; i++) {
        char what[16];
        snprintf(what, sizeof what, "--%s", options[i]);
        if (cli_has_flag(c, options[i]))
            FV_TRY(take(h, options[i], fv_options_get(c->options, options[i]), what));
    }
    return FV_OK;
}

/* What is asked for now is what the folder is of. */
static fv_status same_run(const atlas *a, const atlas_settings *there, bool grows)
{
    char now[160], then[160];
    for (int i = 1; i < KEYS; i++) {
        if (strcmp(value_of(&a->how, keys[i], now), value_of(there, keys[i], then)) == 0) continue;
        bool weights = strcmp(keys[i], "weights") == 0;
        if (weights && !grows) continue; /* words may be another model's, of the same trunk */
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s/%s is of another run: its %s is %s, and this one's is %s; give another "
                       "--out",
                       a->folder, manifest, keys[i], then, now);
    }
    return FV_OK;
}

/* --- files of pictures --- */

static int chunk_count(const atlas *a)
{
    return a->how.last / ATLAS_CHUNK - a->how.first / ATLAS_CHUNK + 1;
}

/* Its channels: all of a chunk's, but those that nobody asked for. */
static int chunk_channels(const atlas *a, int chunk, int out[ATLAS_CHUNK])
{
    int base = (a->how.first / ATLAS_CHUNK + chunk) * ATLAS_CHUNK, count = 0;
    for (int k = base; k < base + ATLAS_CHUNK; k++)
        if (k >= a->how.first && k <= a->how.last) out[count++] = k;
    return count;
}

static fv_status chunk_path(const atlas *a, int chunk, char **out)
{
    int channels[ATLAS_CHUNK];
    chunk_channels(a, chunk, channels);
    if (asprintf(out, "%s/channels-%05d.png", a->folder, channels[0]) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "naming pictures: out of memory");
}

/* The file of a chunk; false if it is not there or not whole, which is said with what becomes of
 * it, "grown again" say; NULL: nothing is said. */
static bool read_chunk(const atlas *a, int chunk, fv_picture *out, const char *fate)
{
    int channels[ATLAS_CHUNK], count = chunk_channels(a, chunk, channels), side = a->how.side;
    char *path;
    if (chunk_path(a, chunk, &path) < 0) return false;
    bool good = access(path, F_OK) == 0;
    if (good && fv_picture_read(out, path) < 0) {
        if (fate) fprintf(stderr, "feavis: %s is %s: %s\n", path, fate, fv_error());
        good = false;
    } else if (good && (out->width != count * side || out->height != side)) {
        if (fate)
            fprintf(stderr, "feavis: %s is %s: it is %d x %d, expected %d x %d\n", path, fate,
                    out->width, out->height, count * side, side);
        fv_picture_free(out);
        good = false;
    }
    free(path);
    return good;
}

static bool is_made(const atlas *a, int chunk, const char *fate)
{
    fv_picture p;
    if (!read_chunk(a, chunk, &p, fate)) return false;
    fv_picture_free(&p);
    return true;
}

/* Pictures side by side; frees them. */
static fv_status save_chunk(const atlas *a, int chunk, fv_picture *pictures, int count)
{
    size_t row = (size_t)a->how.side * 3, side = (size_t)a->how.side;
    fv_picture strip = {count * a->how.side, a->how.side, malloc((size_t)count * row * side)};
    for (size_t y = 0; strip.rgb && y < side; y++)
        for (size_t i = 0; i < (size_t)count; i++)
            memcpy(strip.rgb + (y * (size_t)count + i) * row, pictures[i].rgb + y * row, row);
    for (int i = 0; i < count; i++) fv_picture_free(&pictures[i]);
    char *path = NULL;
    fv_status s = strip.rgb ? chunk_path(a, chunk, &path)
                            : fv_fail(FV_ERR_MEMORY, "saving pictures: out of memory");
    if (s >= 0) s = fv_picture_write(&strip, path, NULL);
    fv_picture_free(&strip);
    free(path);
    return s;
}

/* --- growing --- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool not_interrupted(void *user)
{
    (void)user;
    return !grow_interrupted();
}

static void tell_chunk(const atlas *a, int chunk, const int *channels, int count, double took,
                       double left)
{
    char *path;
    if (!a->c->quiet)
        fprintf(stderr, "channels %d-%d of %s  %.2f s a channel  %.0f s left\n", channels[0],
                channels[count - 1], a->how.layer, took / count, left);
    if (!json_on() || chunk_path(a, chunk, &path) < 0) return;
    json_begin("channels");
    json_path("path", path);
    json_whole("first", channels[0]);
    json_whole("last", channels[count - 1]);
    json_number("seconds", took);
    json_end();
    cli_flush();
    free(path);
}

static fv_status grow_chunk(const atlas *a, fv_atlas *grower, int chunk, double *took)
{
    fv_picture pictures[ATLAS_CHUNK];
    int channels[ATLAS_CHUNK], count = chunk_channels(a, chunk, channels);
    double start = seconds();
    fv_status s = fv_atlas_grow(grower, channels, count, pictures, NULL, not_interrupted, NULL);
    *took = seconds() - start;
    return s == FV_OK ? save_chunk(a, chunk, pictures, count) : s;
}

static fv_status grow_all(const atlas *a, fv_atlas *grower, const bool *wanted, int left)
{
    double all = 0;
    for (int i = 0, done = 0; i < chunk_count(a) && !cli_unread(); i++) {
        double took;
        int channels[ATLAS_CHUNK], count = chunk_channels(a, i, channels);
        if (!wanted[i]) continue;
        fv_status s = grow_chunk(a, grower, i, &took);
        if (s != FV_OK) return s;
        all += took;
        done++;
        tell_chunk(a, i, channels, count, took, all / done * (left - done));
    }
    return FV_OK;
}

/* Which files this worker has to make; *lacking: that nobody has. */
static int list_wanted(const atlas *a, int part, int of, bool *wanted, int *lacking)
{
    int mine = 0;
    *lacking = 0;
    for (int i = 0; i < chunk_count(a); i++) {
        bool lacks = !is_made(a, i, NULL);
        wanted[i] = lacks && (!of || i % of == part - 1);
        *lacking += lacks;
        mine += wanted[i];
    }
    return mine;
}

static fv_status open_grower(atlas *a, fv_atlas **out)
{
    fv_atlas_settings s = {.layer = a->how.layer,
                           .side = a->how.side,
                           .batch = ATLAS_CHUNK,
                           .steps = a->how.steps,
                           .seed = a->how.seed};
    FV_TRY(fv_atlas_open(out, a->model, &s));
    a->channels = fv_atlas_layer(*out).channels;
    if (a->how.last < 0) a->how.last = a->channels - 1;
    if (a->how.last < a->channels) return FV_OK;
    fv_status status = fv_fail(FV_ERR_ARGUMENT, "layer %s has no channel %d: there are 0 to %d",
                               a->how.layer, a->how.last, a->channels - 1);
    fv_atlas_close(*out);
    return status;
}

/* Settings of the folder and of the flags; grows what lacks. *lacking: files nobody has. */
static fv_status grow(atlas *a, fv_atlas *grower, const atlas_settings *there, int *lacking)
{
    int part, of;
    FV_TRY(cli_read_shard(a->c, &part, &of));
    bool *wanted = calloc((size_t)chunk_count(a), sizeof *wanted);
    if (!wanted) return fv_fail(FV_ERR_MEMORY, "growing an atlas: out of memory");
    fv_status s = there ? same_run(a, there, false) : save_manifest(a);
    int mine = s >= 0 ? list_wanted(a, part, of, wanted, lacking) : 0;
    if (a->c->page) mine = 0;
    if (s >= 0 && mine && there) s = same_run(a, there, true);
    for (int i = 0; s >= 0 && mine && i < chunk_count(a); i++)
        if (wanted[i]) (void)is_made(a, i, "grown again");
    if (s >= 0 && mine && !a->c->quiet)
        fprintf(stderr, "feavis: %d of %d files of pictures lack, %d of them are grown now\n",
                *lacking, chunk_count(a), mine);
    if (s >= 0 && mine) s = grow_all(a, grower, wanted, mine);
    free(wanted);
    if (s == FV_OK) *lacking -= mine;
    return s;
}

/* --- the page --- */

static void cut(fv_picture *out, const fv_picture *strip, int side, int at)
{
    size_t row = (size_t)side * 3;
    *out = (fv_picture){side, side, malloc(row * (size_t)side)};
    for (size_t y = 0; out->rgb && y < (size_t)side; y++)
        memcpy(out->rgb + y * row,
               strip->rgb + (y * (size_t)strip->width + (size_t)at * (size_t)side) * 3, row);
}

static fv_status load(atlas *a)
{
    a->at = calloc((size_t)(a->how.last - a->how.first + 1), sizeof *a->at);
    if (!a->at) return fv_fail(FV_ERR_MEMORY, "an atlas: out of memory");
    for (int i = 0; i < chunk_count(a); i++) {
        fv_picture strip;
        int channels[ATLAS_CHUNK], count = chunk_channels(a, i, channels);
        if (!read_chunk(a, i, &strip, "left out")) continue;
        for (int k = 0; k < count; k++) {
            atlas_channel *one = &a->at[a->count];
            one->number = channels[k];
            cut(&one->picture, &strip, a->how.side, k);
            if (!one->picture.rgb) {
                fv_picture_free(&strip);
                return fv_fail(FV_ERR_MEMORY, "an atlas: out of memory");
            }
            a->count++;
        }
        fv_picture_free(&strip);
    }
    return a->count ? FV_OK
                    : fv_fail(FV_ERR_ARGUMENT,
                              "%s holds no whole pictures of channels: feavis atlas "
                              "without --page grows them",
                              a->folder);
}

static fv_status make_page(atlas *a, int lacking)
{
    const char *text = fv_options_get(a->c->options, "text");
    FV_TRY(load(a));
    if (lacking && !a->c->quiet)
        fprintf(stderr, "feavis: %d files of pictures lack: the page is without them\n", lacking);
    FV_TRY(atlas_look(a));
    if (*text) return atlas_search(a, text);
    FV_TRY(atlas_photos(a));
    FV_TRY(atlas_words(a));
    FV_TRY(atlas_arrange(a));
    return atlas_save_page(a);
}

/* --- the command --- */

/* The first model alone, for texts of few tokens: they are words. */
static fv_status open_model(atlas *a)
{
    fv_options *o;
    FV_TRY(fv_options_guide_count(a->c->options) ? fv_options_guide(&o, a->c->options, 0)
                                                 : fv_options_copy(&o, a->c->options));
    fv_status s = fv_model_open(&a->model, o);
    fv_options_free(o);
    return s;
}

/* What the page is made with can be read: before pictures grow for it. */
static fv_status check_lists(const cli *c)
{
    fv_list list = {0};
    if (c->photos && access(c->photos, R_OK) != 0)
        return fv_fail(FV_ERR_IO, "opening %s: %s", *c->photos ? c->photos : "\"\" (--photos)",
                       strerror(errno));
    if (c->photos) FV_TRY(fv_list_pictures(&list, c->photos, NULL, NULL));
    fv_list_clear(&list);
    if (c->words_file) FV_TRY(fv_list_lines(&list, c->words_file));
    fv_list_clear(&list);
    return FV_OK;
}

static fv_status check(const atlas *a)
{
    const cli *c = a->c;
    const char *text = fv_options_get(c->options, "text");
    if (c->shard && (c->page || *text))
        return fv_fail(FV_ERR_ARGUMENT, "--shard grows pictures: it takes no --page and no text");
    return check_lists(c);
}

static fv_status run(atlas *a)
{
    cli *c = a->c;
    bool found;
    fv_atlas *grower;
    int lacking = 0;
    if (c->words) FV_TRY(fv_options_set(c->options, "text", c->words));
    FV_TRY(check(a));
    a->folder = *fv_options_get(c->options, "out") ? fv_options_get(c->options, "out") : "atlas";
    if (!(a->folder = strdup(a->folder))) return fv_fail(FV_ERR_MEMORY, "atlas: out of memory");
    a->how = (atlas_settings){.layer = "LLP", .last = -1, .side = 96, .steps = 48, .seed = 1};
    FV_TRY(read_manifest(a, &a->how, &found));
    atlas_settings there = a->how;
    if (!found && (c->page || *fv_options_get(c->options, "text")))
        return fv_fail(FV_ERR_IO, "%s holds no atlas: there is no %s in it", a->folder, manifest);
    FV_TRY(take_flags(c, &a->how));
    FV_TRY(open_model(a));
    snprintf(a->how.model, sizeof a->how.model, "%s", fv_model_title(a->model));
    snprintf(a->how.weights, sizeof a->how.weights, "%s", fv_model_fingerprint(a->model));
    FV_TRY(open_grower(a, &grower));
    fv_status s = fv_gallery_prepare(a->folder);
    bool search = *fv_options_get(c->options, "text") != 0;
    if (search) c->page = true;
    if (s >= 0) s = grow(a, grower, found ? &there : NULL, &lacking);
    fv_atlas_close(grower);
    if (s != FV_OK) return s;
    if (c->shard) {
        if (!c->quiet && !lacking)
            fprintf(stderr, "feavis: all are there; --page makes the page\n");
        return FV_OK;
    }
    return make_page(a, lacking);
}

int command_atlas(cli *c)
{
    atlas a = {.c = c};
    grow_catch_interrupts();
    fv_status s = run(&a);
    for (int i = 0; i < a.count; i++) fv_picture_free(&a.at[i].picture);
    for (int i = 0; a.small && i < a.photos.count; i++) fv_picture_free(&a.small[i]);
    fv_list_clear(&a.words);
    fv_list_clear(&a.photos);
    free(a.at);
    free(a.rows);
    free(a.small);
    free(a.grid);
    free((char *)a.folder);
    fv_model_close(a.model);
    if (s == FV_CANCELLED && !c->quiet)
        fprintf(stderr, "feavis: stopped; the same command goes on\n");
    if (grow_interrupted()) return EXIT_INTERRUPTED;
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
