/* What the window remembers: sizes, language, theme, the text, the settings of the next picture.
 * Written whole, whenever it changed, so a crash loses seconds at most.
 *
 *   lock            held while a window is open
 *   window.yml      settings
 *   queue/          what is to be made
 *   window-2/ ...   the same, of windows that find the lock held; what is left in their queues by
 *                   a crash is taken over by the next window that has the folder for itself
 *
 * Where nothing can be written the window works without remembering, and says so. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/window/app.h"
#include "feavis/files.h"
#include "feavis/queue.h"

enum { MAX_WINDOWS = 32 };

static fv_status state_folder(char out[APP_PATH])
{
    const char *own = getenv("FEAVIS_STATE"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    int n = own && *own ? snprintf(out, APP_PATH, "%s", own)
            : state && *state
                ? snprintf(out, APP_PATH, "%s/feavis", state)
                : snprintf(out, APP_PATH, "%s/.local/state/feavis", home ? home : ".");
    if (n < 0 || n >= APP_PATH - 64) /* room for the names in it */
        return fv_fail(FV_ERR_ARGUMENT, "the state folder's path is too long");
    return fv_folders_make(out);
}

/* --- one window a folder --- */

typedef enum lock { LOCK_MINE, LOCK_HELD, LOCK_IMPOSSIBLE } lock;

/* LOCK_IMPOSSIBLE: no file can be made, with a message. Some file systems cannot lock; two windows
 * on one of them still give each item of the queue a file of its own. */
static lock take_lock(const char *folder, int *fd)
{
    char path[APP_PATH + 16];
    snprintf(path, sizeof path, "%s/lock", folder);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) {
        fv_fail(FV_ERR_IO, "%s: %s", path, strerror(errno));
        return LOCK_IMPOSSIBLE;
    }
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return LOCK_MINE;
    close(*fd);
    *fd = -1;
    return LOCK_HELD;
}

/* Into the settings and the queue of a window beside others. */
static lock take_place_beside(const char *folder, char out[APP_PATH], int *fd)
{
    for (int i = 2; i <= MAX_WINDOWS; i++) {
        snprintf(out, APP_PATH, "%.*s/window-%d", APP_PATH - 32, folder, i);
        if (mkdir(out, 0777) != 0 && errno != EEXIST) {
            fv_fail(FV_ERR_IO, "making the folder %s: %s", out, strerror(errno));
            return LOCK_IMPOSSIBLE;
        }
        lock l = take_lock(out, fd);
        if (l != LOCK_HELD) return l;
    }
    fv_fail(FV_ERR_IO, "%s: %d windows are open", folder, MAX_WINDOWS);
    return LOCK_IMPOSSIBLE;
}

static fv_status move_items(const char *from, const char *to)
{
    fv_queue *a = NULL, *b = NULL;
    struct stat st;
    if (stat(from, &st) != 0) return FV_OK;
    fv_status s = fv_queue_open(&a, from);
    if (s >= 0 && fv_queue_count(a)) s = fv_queue_open(&b, to);
    while (s >= 0 && fv_queue_count(a)) {
        s = fv_queue_add(b, fv_queue_at(a, 0));
        if (s >= 0) s = fv_queue_remove(a, 0);
    }
    fv_queue_close(a);
    fv_queue_close(b);
    return s;
}

/* What windows that are gone have left to be made. */
static fv_status take_over(const char *folder)
{
    char beside[APP_PATH], from[APP_PATH + 16], to[APP_PATH + 16];
    snprintf(to, sizeof to, "%s/queue", folder);
    for (int i = 2; i <= MAX_WINDOWS; i++) {
        int fd;
        struct stat st;
        snprintf(beside, sizeof beside, "%.*s/window-%d", APP_PATH - 32, folder, i);
        if (stat(beside, &st) != 0 || take_lock(beside, &fd) != LOCK_MINE) continue;
        snprintf(from, sizeof from, "%s/queue", beside);
        fv_status s = move_items(from, to);
        close(fd);
        FV_TRY(s);
    }
    return FV_OK;
}

/* --- opening --- */

/* A window beside another begins with that one's settings. */
static void copy_settings(const char *from, const char *to)
{
    char path[APP_PATH + 16];
    struct stat st;
    snprintf(path, sizeof path, "%s/window.yml", to);
    if (stat(path, &st) == 0) return;
    snprintf(path, sizeof path, "%s/window.yml", from);
    FILE *f = fopen(path, "rb");
    char *text = f && fstat(fileno(f), &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    snprintf(path, sizeof path, "%s/window.yml", to);
    if (text && fread(text, 1, (size_t)st.st_size, f) == (size_t)st.st_size)
        (void)fv_text_save(path, text, (size_t)st.st_size); /* else it begins with the defaults */
    free(text);
    if (f) fclose(f);
}

static void note(app *a, const char *text)
{
    free(a->state_note);
    a->state_note = strdup(text);
}

static fv_status open_settings(app *a, const char *folder)
{
    char path[APP_PATH + 16], aside[APP_PATH + 32];
    snprintf(path, sizeof path, "%s/window.yml", folder);
    if (fv_settings_open(&a->settings, path) >= 0) return FV_OK;
    note(a, fv_error());
    snprintf(aside, sizeof aside, "%s.bad", path); /* damaged: begin afresh, keep it */
    if (rename(path, aside) == 0 && fv_settings_open(&a->settings, path) >= 0) return FV_OK;
    a->forgets = true;
    return fv_settings_open(&a->settings, NULL);
}

/* Everything in memory, for the reason that fv_error() says. */
static fv_status open_forgetful(app *a)
{
    note(a, fv_error());
    a->forgets = true;
    if (!a->settings) FV_TRY(fv_settings_open(&a->settings, NULL));
    return worker_start(&a->worker, a->options, NULL);
}

fv_status state_open(app *a)
{
    char folder[APP_PATH], own[APP_PATH], queue[APP_PATH + 16];
    if (state_folder(folder) < 0) return open_forgetful(a);
    lock l = take_lock(folder, &a->lock_fd);
    snprintf(own, sizeof own, "%s", folder);
    if (l == LOCK_HELD) {
        l = take_place_beside(folder, own, &a->lock_fd);
        a->beside = l == LOCK_MINE;
    }
    if (l == LOCK_IMPOSSIBLE) { /* what was remembered can perhaps be read */
        note(a, fv_error());
        FV_TRY(open_settings(a, folder));
        fv_fail(FV_ERR_IO, "%s", a->state_note ? a->state_note : "");
        return open_forgetful(a);
    }
    if (a->beside) {
        copy_settings(folder, own);
        note(a, own);
    } else if (take_over(folder) < 0)
        note(a, fv_error());
    FV_TRY(open_settings(a, own));
    snprintf(queue, sizeof queue, "%s/queue", own);
    if (worker_start(&a->worker, a->options, queue) >= 0) return FV_OK;
    return open_forgetful(a); /* what should be the queue's folder is none */
}

void state_close(app *a)
{
    fv_settings_close(a->settings);
    free(a->state_note);
    if (a->lock_fd >= 0) close(a->lock_fd);
    a->settings = NULL;
    a->state_note = NULL;
    a->lock_fd = -1;
}

/* What is to be known of it when the window opens. */
static void tell_state(app *a)
{
    char *text;
    if (!a->state_note || asprintf(&text, "%s%s%s",
                                   a->forgets  ? tr(a, W_FORGETS)
                                   : a->beside ? tr(a, W_BESIDE)
                                               : "",
                                   a->forgets || a->beside ? ": " : "", a->state_note) < 0)
        return;
    app_toast(a, text, true);
    free(text);
}

static const char *const remembered[] = {"steps", "size", "views", "param", "tv", "rate"};
enum { REMEMBERED = sizeof remembered / sizeof remembered[0] };

/* What is not remembered by itself: the settings of the preset, beside which the rest was set. */
static void load_preset(app *a, bool asked)
{
    const fv_settings *s = a->settings;
    bool first = !fv_settings_get(s, "quality", NULL) && !asked;
    const char *name = fv_settings_get(s, "preset", first ? "draft" : "");
    app_take(a, a->generator, sizeof a->generator, fv_settings_get(s, "generator", ""));
    if (!*name) return;
    app_use_preset_for(a, name, a->generator);
    snprintf(a->preset, sizeof a->preset, "%s", name);
}

void state_load(app *a, bool asked)
{
    const fv_settings *s = a->settings;
    load_preset(a, asked);
    const char *language = getenv("LANG");
    bool chinese = language && strncmp(language, "zh", 2) == 0;
    a->chinese = strcmp(fv_settings_get(s, "language", chinese ? "zh" : "en"), "zh") == 0;
    ui_set_dark(strcmp(fv_settings_get(s, "theme", "dark"), "dark") == 0);
    app_take(a, a->text, sizeof a->text, fv_settings_get(s, "text", ""));
    app_take(a, a->avoid, sizeof a->avoid, fv_settings_get(s, "avoid", ""));
    app_take(a, a->term, sizeof a->term, fv_settings_get(s, "term", ""));
    app_take(a, a->at, sizeof a->at, fv_settings_get(s, "at", ""));
    snprintf(a->quality, sizeof a->quality, "%s", fv_settings_get(s, "quality", "draft"));
    a->avoid_weight = strtof(fv_settings_get(s, "avoid-weight", "0.3"), NULL);
    a->seed = strtoull(fv_settings_get(s, "seed", "1"), NULL, 10);
    a->look.crisp = strcmp(fv_settings_get(s, "crisp", "no"), "yes") == 0;
    for (int i = 0; i < REMEMBERED; i++) {
        const char *value = fv_settings_get(s, remembered[i], NULL);
        if (value && fv_options_set(a->options, remembered[i], value) < 0) app_fail(a);
    }
    tell_state(a);
}

void state_save(app *a)
{
    char number[32];
    int w, h;
    fv_settings *s = a->settings;
    fv_settings_set(s, "language", a->chinese ? "zh" : "en");
    fv_settings_set(s, "theme", ui_dark() ? "dark" : "light");
    fv_settings_set(s, "text", a->text);
    fv_settings_set(s, "avoid", a->avoid);
    fv_settings_set(s, "term", a->term);
    fv_settings_set(s, "at", a->at);
    fv_settings_set(s, "quality", a->quality);
    fv_settings_set(s, "preset", a->preset);
    fv_settings_set(s, "generator", a->generator);
    fv_settings_set(s, "crisp", a->look.crisp ? "yes" : "no");
    snprintf(number, sizeof number, "%.2f", (double)a->avoid_weight);
    fv_settings_set(s, "avoid-weight", number);
    snprintf(number, sizeof number, "%" PRIu64, a->seed);
    fv_settings_set(s, "seed", number);
    snprintf(number, sizeof number, "%.2f", (double)ui_scale());
    fv_settings_set(s, "scale", number);
    SDL_GetWindowSize(a->window, &w, &h);
    snprintf(number, sizeof number, "%d", w);
    fv_settings_set(s, "width", number);
    snprintf(number, sizeof number, "%d", h);
    fv_settings_set(s, "height", number);
    for (int i = 0; i < REMEMBERED; i++)
        fv_settings_set(s, remembered[i], fv_options_get(a->options, remembered[i]));
    bool saved = fv_settings_save(s) >= 0;
    if (!saved && !a->told_unsaved) app_fail(a); /* once, not every few seconds */
    a->told_unsaved = !saved;
}
