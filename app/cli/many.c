/* See many.h. */
#include "app/cli/many.h"
#include "app/cli/json.h"
#include "app/cli/places.h"
#include "feavis/embed.h"
#include "feavis/files.h"
#include "feavis/names.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- progress --- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

many_progress many_progress_of(const cli *c, const char *what)
{
    cli_catch_interrupts(on_interrupt);
    return (many_progress){.what = what,
                           .quiet = c->quiet,
                           .terminal = isatty(STDERR_FILENO) == 1,
                           .start = now(),
                           .first = -1};
}

bool many_show(void *user, int done, int count, const char *failure)
{
    many_progress *p = user;
    const char *begin = p->terminal ? "\r\033[K" : "";
    if (failure) {
        fprintf(stderr, "%sfeavis: %s\n", begin, cli_shown(failure));
        p->failures++;
        return !interrupted;
    }
    double t = now(), pause = p->terminal ? 0.1 : 5;
    if (p->first < 0) { /* the first batch has start-up in it and is not timed */
        p->first = done;
        p->start = t;
    }
    bool last = done == count;
    if (!p->quiet && (last || t - p->last >= pause)) {
        double rate = t > p->start ? (done - p->first) / (t - p->start) : 0;
        fprintf(stderr, "%s%s %d/%d", begin, p->what, done, count);
        if (rate > 0) fprintf(stderr, "  %.1f a second", rate);
        if (rate > 0 && !last) fprintf(stderr, "  %.0f s left", (count - done) / rate);
        fputs(p->terminal && !last ? "" : "\n", stderr);
        p->last = t;
    }
    return !interrupted;
}

int many_exit(fv_status s)
{
    if (s >= 0) return EXIT_SUCCESS;
    int status = cli_fail();
    return interrupted ? EXIT_INTERRUPTED : status;
}

/* --- embeddings --- */

void many_clear(many *x)
{
    fv_list_clear(&x->list);
    free(x->origin);
    free(x->rows);
    *x = (many){0};
}

static fv_status allocate(many *x, const fv_model *m)
{
    size_t n = (size_t)x->list.count;
    x->asked = x->list.count;
    x->origin = malloc(n * sizeof *x->origin);
    x->rows = malloc(n * (size_t)fv_embed_dim(m) * sizeof *x->rows);
    if (!x->origin || !x->rows)
        return fv_fail(FV_ERR_MEMORY, "embedding %zu things: out of memory", n);
    for (int i = 0; i < x->list.count; i++) x->origin[i] = i;
    return FV_OK;
}

/* Closes the gaps that unreadable pictures leave. */
static void drop_unread(many *x, const bool *read, size_t dim)
{
    int kept = 0;
    for (int i = 0; i < x->list.count; i++) {
        if (!read[i]) {
            free(x->list.at[i]);
            continue;
        }
        x->list.at[kept] = x->list.at[i];
        x->origin[kept] = i;
        memmove(x->rows + (size_t)kept * dim, x->rows + (size_t)i * dim, dim * sizeof *x->rows);
        kept++;
    }
    x->list.count = kept;
}

static fv_status embed_pictures(many *x, const cli *c, fv_model *m)
{
    fv_embedder *e;
    bool *read = calloc((size_t)x->list.count, sizeof *read);
    if (!read) return fv_fail(FV_ERR_MEMORY, "embedding pictures: out of memory");
    fv_status s = fv_embedder_open(&e, m, c->batch);
    if (s >= 0) {
        many_progress p = many_progress_of(c, "pictures");
        s = fv_embed_pictures(e, x->list.at, x->list.count, x->rows, read, many_show, &p);
        fv_embedder_close(e);
    }
    if (s == FV_OK) drop_unread(x, read, (size_t)fv_embed_dim(m));
    free(read);
    if (s == FV_OK && x->list.count == 0)
        return fv_fail(FV_ERR_FORMAT, "none of the %d pictures could be read", x->asked);
    return s == FV_CANCELLED ? fv_fail(FV_ERR_ARGUMENT, "interrupted") : s;
}

fv_status many_list_pictures(fv_list *out, const cli *c)
{
    fv_list notes;
    FV_TRY(fv_list_pictures(out, c->images, c->folder, &notes));
    for (int i = 0; i < notes.count; i++) fprintf(stderr, "feavis: %s\n", cli_shown(notes.at[i]));
    fv_list_clear(&notes);
    return FV_OK;
}

fv_status many_pictures(many *out, const cli *c, fv_model *m)
{
    many x = {0};
    if (!c->images)
        return fv_fail(FV_ERR_ARGUMENT, "which pictures? Give --images FOLDER or a list file");
    FV_TRY(many_list_pictures(&x.list, c));
    fv_status s = allocate(&x, m);
    if (s >= 0) s = embed_pictures(&x, c, m);
    if (s < 0)
        many_clear(&x);
    else
        *out = x;
    return s;
}

static void warn_of(const fv_text_report *r, int number, const char *text, const fv_model *guide,
                    const char *whose)
{
    if (r->dropped)
        fprintf(stderr, "feavis: text %d has %d tokens, %s reads %d: the last %d are not seen\n",
                number, r->used + r->dropped, whose, fv_model_text_length(guide), r->dropped);
    if (r->unknown)
        fprintf(stderr, "feavis: %d of the tokens of text %d are unknown to %s: %s\n", r->unknown,
                number, cli_shown(whose), cli_shown(text));
}

/* reports [guides][count] */
static void warn(const fv_text_report *reports, char *const *texts, int count, fv_model *m)
{
    int guides = fv_model_guide_count(m);
    for (int i = 0; i < guides * count; i++) {
        char label[160];
        const char *whose =
            guides > 1 ? fv_model_label(m, i / count, label, sizeof label) : "the model";
        warn_of(&reports[i], i % count + 1, texts[i % count], fv_model_guide(m, i / count), whose);
    }
}

fv_status many_embed_texts(float *rows, fv_model *m, char *const *texts, int count,
                           many_progress *progress)
{
    size_t guides = (size_t)fv_model_guide_count(m);
    fv_text_report *reports = calloc((size_t)count * guides, sizeof *reports);
    if (!reports) return fv_fail(FV_ERR_MEMORY, "texts: out of memory");
    fv_status s =
        fv_embed_texts(m, texts, count, rows, reports, progress ? many_show : NULL, progress);
    if (s == FV_CANCELLED) s = fv_fail(FV_ERR_ARGUMENT, "interrupted");
    if (s >= 0) warn(reports, texts, count, m);
    free(reports);
    return s;
}

fv_status many_texts(many *out, const cli *c, fv_model *m, const char *path)
{
    many x = {0};
    FV_TRY(fv_list_lines(&x.list, path));
    many_progress p = many_progress_of(c, "texts");
    fv_status s = allocate(&x, m);
    if (s >= 0) s = many_embed_texts(x.rows, m, x.list.at, x.list.count, &p);
    if (s < 0)
        many_clear(&x);
    else
        *out = x;
    return s;
}

/* --- views --- */

int many_views(const fv_model *m)
{
    int guides = fv_model_guide_count(m);
    return guides > 1 ? guides + 1 : 1;
}

many_view many_view_of(fv_model *m, int i)
{
    many_view v = {.guide = i - 1};
    if (i > 0) {
        fv_model_label(m, i - 1, v.title, sizeof v.title);
        return v;
    }
    for (int g = 0; g < fv_model_guide_count(m); g++) {
        size_t at = strlen(v.title);
        if (g) at += (size_t)snprintf(v.title + at, sizeof v.title - at, " + ");
        if (at < sizeof v.title) fv_model_label(m, g, v.title + at, sizeof v.title - at);
    }
    return v;
}

const char *many_view_file(const many_view *v, const char *name, char out[64])
{
    const char *dot = strrchr(name, '.');
    int stem = dot ? (int)(dot - name) : (int)strlen(name);
    if (v->guide < 0)
        snprintf(out, 64, "%s", name);
    else
        snprintf(out, 64, "%.*s-guide%d%s", stem, name, v->guide + 1, dot ? dot : "");
    return out;
}

void many_view_heading(const many_view *v, const fv_model *m)
{
    if (many_views(m) == 1 || json_on()) return;
    if (v->guide < 0)
        printf("%s, weighed\n\n", cli_shown(v->title));
    else
        printf("guide%d: %s\n\n", v->guide + 1, cli_shown(v->title));
}

void many_view_json(const many_view *v, const fv_model *m)
{
    if (many_views(m) > 1) json_whole("guide", v->guide + 1);
}

void many_view_files(const many_view *v, const char *folder, const char *const *names)
{
    char name[64];
    for (; json_on() && *names; names++) json_file("file", folder, many_view_file(v, *names, name));
}

fv_status many_view_scores(const many_view *v, fv_model *m, const float *a, int n, const float *b,
                           int k, float *out)
{
    return v->guide < 0 ? fv_similarities(m, a, n, b, k, out)
                        : fv_similarities_of(m, v->guide, a, n, b, k, out);
}

/* --- results --- */

fv_status many_folder(char **out, const cli *c, const char *name)
{
    const char *asked = fv_options_get(c->options, "out");
    char *path = NULL;
    FV_TRY(place_check_folder(asked));
    if (*asked) {
        if (mkdir(asked, 0777) != 0 && errno != EEXIST)
            return fv_fail(FV_ERR_IO, "making the folder %s: %s", asked, strerror(errno));
        *out = strdup(asked);
        return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "making a folder: out of memory");
    }
    for (int i = 1; i < 10000; i++) {
        int n = i == 1 ? asprintf(&path, "%s", name) : asprintf(&path, "%s-%d", name, i);
        if (n < 0) return fv_fail(FV_ERR_MEMORY, "making a folder: out of memory");
        if (mkdir(path, 0777) == 0) {
            *out = path;
            return FV_OK;
        }
        if (errno != EEXIST) break;
        free(path);
        path = NULL;
    }
    fv_fail(FV_ERR_IO, "making the folder %s: %s", path ? path : name, strerror(errno));
    free(path);
    return FV_ERR_IO;
}

fv_status many_path(char **out, const char *folder, const char *name)
{
    if (asprintf(out, "%s/%s", folder, name) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "saving %s: out of memory", name);
}

void many_tell(const char *folder, const char *name)
{
    if (json_on())
        json_file("file", folder, name);
    else
        printf("%s/%s\n", folder, name);
}

fv_status many_picture(const fv_picture *p, const char *folder, const char *name)
{
    char *path;
    FV_TRY(many_path(&path, folder, name));
    fv_status s = fv_picture_write(p, path, NULL);
    free(path);
    return s;
}

fv_status many_heat_map(const fv_heat *h, const char *folder, const char *name)
{
    fv_picture picture;
    int missing;
    fv_status s = fv_heat_map(&picture, h, &missing);
    if (s == FV_ERR_UNSUPPORTED) { /* the numbers are saved all the same */
        fprintf(stderr, "feavis: %s\n", cli_shown(fv_error()));
        return FV_OK;
    }
    if (s < 0) return s;
    if (missing)
        fprintf(stderr,
                "feavis: no font here has %d characters of the labels in %s; the package "
                "fonts-noto-cjk has Chinese ones\n",
                missing, name);
    s = many_picture(&picture, folder, name);
    fv_picture_free(&picture);
    return s;
}

fv_status many_open(many_file *f)
{
    *f = (many_file){0};
    f->to = open_memstream(&f->text, &f->size);
    return f->to ? FV_OK : fv_fail(FV_ERR_MEMORY, "writing a table: out of memory");
}

fv_status many_save_as(many_file *f, const char *path)
{
    bool whole = !ferror(f->to);
    whole = fclose(f->to) == 0 && whole;
    fv_status s = whole ? fv_text_save(path, f->text, f->size)
                        : fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    free(f->text);
    return s;
}

fv_status many_save(many_file *f, const char *folder, const char *name)
{
    char *path;
    fv_status s = many_path(&path, folder, name);
    if (s < 0) {
        fclose(f->to);
        free(f->text);
        return s;
    }
    s = many_save_as(f, path);
    free(path);
    return s;
}

/* --- text --- */

/* Columns that the character at *at takes on a terminal; steps over it. East Asian wide letters
 * take two (Unicode TR 11, its large blocks). */
static int step(const unsigned char **at)
{
    const unsigned char *p = *at;
    int n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (int i = 1; i < n && p[i]; i++) c = c << 6 | (p[i] & 0x3f);
    while (n > 0 && **at) {
        (*at)++;
        n--;
    }
    return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
                   (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                   (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                   (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
                   (c >= 0x20000 && c <= 0x3fffd)
               ? 2
               : 1;
}

int many_width(const char *text)
{
    int width = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at;) width += step(&at);
    return width;
}

void many_pad(FILE *to, const char *text, int width)
{
    int used = 0;
    const unsigned char *at = (const unsigned char *)cli_shown(text);
    bool whole = many_width((const char *)at) <= width;
    while (*at) {
        const unsigned char *from = at;
        int columns = step(&at);
        if (used + columns > width - !whole) break;
        fwrite(from, 1, (size_t)(at - from), to);
        used += columns;
    }
    if (!whole && used < width) {
        fputs("…", to);
        used++;
    }
    for (; used < width; used++) fputc(' ', to);
}

void many_field(FILE *to, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"') fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

void many_name(FILE *to, const char *path)
{
    char *text = fv_name_escaped(path);
    many_field(to, text ? text : path);
    free(text);
}

void many_print_name(FILE *to, const char *path)
{
    char *text = fv_name_escaped(path);
    fputs(text ? text : "", to);
    fv_free(text);
}

const char *many_stem(const char *path)
{
    static char names[4][1024]; /* four bytes for one at most */
    static int turn;
    char *out = names[turn++ % 4];
    const char *slash = strrchr(path, '/');
    char *text = fv_name_escaped(slash ? slash + 1 : path);
    snprintf(out, sizeof names[0], "%s", text ? text : "");
    free(text);
    char *dot = strrchr(out, '.');
    if (dot && dot != out) *dot = 0;
    return out;
}
