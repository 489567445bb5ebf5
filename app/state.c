/* What the window remembers: sizes, language, theme, the text, the settings of the next picture.
 * Written whole, whenever it changed, so a crash loses seconds at most. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"

static fv_status make_folders(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at && *at != '/') continue;
        char end = *at;
        *at = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return fv_fail(FV_ERR_IO, "making the folder %s: %s", path, strerror(errno));
        *at = end;
        if (!end) return FV_OK;
    }
}

fv_status state_folder(char out[1024])
{
    const char *own = getenv("FEAVIS_STATE"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    int n = own && *own       ? snprintf(out, 1024, "%s", own)
            : state && *state ? snprintf(out, 1024, "%s/feavis", state)
                              : snprintf(out, 1024, "%s/.local/state/feavis", home ? home : ".");
    if (n < 0 || n >= 1024) return fv_fail(FV_ERR_ARGUMENT, "the state folder's path is too long");
    return make_folders(out);
}

static const char *const remembered[] = {"steps", "size", "views", "param", "tv", "rate"};
enum { REMEMBERED = sizeof remembered / sizeof remembered[0] };

void state_load(app *a)
{
    const fv_settings *s = a->settings;
    const char *language = getenv("LANG");
    bool chinese = language && strncmp(language, "zh", 2) == 0;
    a->chinese = strcmp(fv_settings_get(s, "language", chinese ? "zh" : "en"), "zh") == 0;
    ui_set_dark(strcmp(fv_settings_get(s, "theme", "dark"), "dark") == 0);
    snprintf(a->text, sizeof a->text, "%s", fv_settings_get(s, "text", ""));
    snprintf(a->avoid, sizeof a->avoid, "%s", fv_settings_get(s, "avoid", ""));
    snprintf(a->quality, sizeof a->quality, "%s", fv_settings_get(s, "quality", "draft"));
    a->avoid_weight = strtof(fv_settings_get(s, "avoid-weight", "0.3"), NULL);
    a->seed = atoi(fv_settings_get(s, "seed", "1"));
    a->look.crisp = strcmp(fv_settings_get(s, "crisp", "no"), "yes") == 0;
    for (int i = 0; i < REMEMBERED; i++) {
        const char *value = fv_settings_get(s, remembered[i], NULL);
        if (value && fv_options_set(a->options, remembered[i], value) < 0) app_fail(a);
    }
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
    fv_settings_set(s, "quality", a->quality);
    fv_settings_set(s, "crisp", a->look.crisp ? "yes" : "no");
    snprintf(number, sizeof number, "%.2f", (double)a->avoid_weight);
    fv_settings_set(s, "avoid-weight", number);
    snprintf(number, sizeof number, "%d", a->seed);
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
    if (fv_settings_save(s) < 0) app_fail(a);
}
