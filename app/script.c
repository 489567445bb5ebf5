/* See script.h. */
#include "app/script.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_SECONDS = 300, SETTLE = 3 /* frames after an event, for the layout to follow */ };

struct script {
    FILE *file;
    char path[1024], line[4096];
    int number;
    int frames;     /* still to pass */
    bool again;     /* the line is a wait that does not hold yet */
    bool held;      /* the line has not been looked at: modifiers were down */
    double since;   /* of that wait */
    Uint64 pressed; /* latency: when the letter was pushed */
    double worst;
};

fv_status script_open(script **out, const char *path)
{
    script *s = calloc(1, sizeof *s);
    if (!s) return fv_fail(FV_ERR_MEMORY, "opening a script: out of memory");
    snprintf(s->path, sizeof s->path, "%s", path);
    s->file = fopen(path, "r");
    if (!s->file) {
        free(s);
        return fv_fail(FV_ERR_IO, "opening script %s: %s", path, strerror(errno));
    }
    s->frames = SETTLE;
    *out = s;
    return FV_OK;
}

void script_close(script *s)
{
    if (!s) return;
    fclose(s->file);
    free(s);
}

static bool fail(script *s, const char *what)
{
    fv_fail(FV_ERR_ARGUMENT, "%s:%d: %s: %s", s->path, s->number, s->line, what);
    return false;
}

/* --- events --- */

static void mouse(app *a, float x, float y)
{
    SDL_Event e = {.motion = {.type = SDL_MOUSEMOTION,
                              .windowID = SDL_GetWindowID(a->window),
                              .x = (int)x,
                              .y = (int)y}};
    SDL_WarpMouseInWindow(a->window, (int)x, (int)y);
    SDL_PushEvent(&e);
}

static void button(app *a, bool down, float x, float y)
{
    SDL_Event e = {.button = {.type = down ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP,
                              .windowID = SDL_GetWindowID(a->window),
                              .button = SDL_BUTTON_LEFT,
                              .state = down ? SDL_PRESSED : SDL_RELEASED,
                              .x = (int)x,
                              .y = (int)y}};
    SDL_PushEvent(&e);
}

static void text_event(app *a, const char *text, bool committed)
{
    SDL_Event e = {0};
    if (committed) {
        e.text =
            (SDL_TextInputEvent){.type = SDL_TEXTINPUT, .windowID = SDL_GetWindowID(a->window)};
        snprintf(e.text.text, sizeof e.text.text, "%s", text);
    } else {
        e.edit =
            (SDL_TextEditingEvent){.type = SDL_TEXTEDITING, .windowID = SDL_GetWindowID(a->window)};
        snprintf(e.edit.text, sizeof e.edit.text, "%s", text);
    }
    SDL_PushEvent(&e);
}

/* An event holds 31 bytes: whole characters at a time. */
static void type(app *a, const char *text)
{
    SDL_SetModState(KMOD_NONE);
    while (*text) {
        char part[SDL_TEXTINPUTEVENT_TEXT_SIZE];
        size_t n = strlen(text) < sizeof part - 1 ? strlen(text) : sizeof part - 1;
        while (n > 1 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        snprintf(part, sizeof part, "%.*s", (int)n, text);
        text_event(a, part, true);
        text += n;
    }
}

static bool key(app *a, const char *name, bool up_too)
{
    Uint16 mod = KMOD_NONE;
    for (const char *plus; (plus = strchr(name, '+')) && plus[1]; name = plus + 1) {
        if (strncmp(name, "Ctrl", 4) == 0) mod |= KMOD_LCTRL;
        if (strncmp(name, "Shift", 5) == 0) mod |= KMOD_LSHIFT;
        if (strncmp(name, "Alt", 3) == 0) mod |= KMOD_LALT;
    }
    SDL_Keycode code = SDL_GetKeyFromName(name);
    if (code == SDLK_UNKNOWN) return false;
    SDL_SetModState(mod);
    for (int up = 0; up <= (up_too ? 1 : 0); up++) {
        SDL_Event e = {.key = {.type = up ? SDL_KEYUP : SDL_KEYDOWN,
                               .windowID = SDL_GetWindowID(a->window),
                               .state = up ? SDL_RELEASED : SDL_PRESSED,
                               .keysym = {SDL_GetScancodeFromKey(code), code, mod, 0}}};
        SDL_PushEvent(&e);
    }
    return true;
}

static void drop(app *a, const char *path)
{
    SDL_Event e = {.drop = {.type = SDL_DROPFILE,
                            .file = SDL_strdup(path),
                            .windowID = SDL_GetWindowID(a->window)}};
    SDL_PushEvent(&e);
}

static const ui_box *find(const char *name)
{
    const ui_box *boxes;
    int n = ui_boxes(&boxes);
    for (int i = 0; i < n; i++) {
        const char *own = strchr(boxes[i].name, '/');
        if (strcmp(boxes[i].name, name) == 0 || (own && strcmp(own + 1, name) == 0))
            return &boxes[i];
    }
    return NULL;
}

/* --- what is so --- */

static const char *const phases[] = {"loading", "idle",  "running", "paused",
                                     "done",    "seeds", "failed"};
static const char *const pages[] = {"imagine", "gallery", "seeds", "match"};

static int boards_filled(const app *a)
{
    int n = 0;
    for (int i = 0; i < WORKER_BOARD; i++) n += a->view.board[i].step >= 24;
    return n;
}

static int panels_done(const app *a)
{
    int n = 0;
    for (int i = 0; i < a->view.panel_count; i++) n += a->view.panels[i].done;
    return n;
}

static bool field(const app *a, const char *name, char *out, size_t size)
{
    const worker_view *v = &a->view;
    struct {
        const char *name;
        double value;
    } const numbers[] = {
        {"step", v->progress.step},
        {"steps", v->progress.steps},
        {"cosine", (double)v->progress.cosine},
        {"queue", v->item_count},
        {"panels", v->panel_count},
        {"panels-done", panels_done(a)},
        {"saves", v->saved_serial},
        {"moments", v->moment_count},
        {"moment", a->shown_moment},
        {"gallery", a->saved_count},
        {"chosen", a->chosen},
        {"seed", a->seed},
        {"neurons", a->neuron_count},
        {"best", v->best_count},
        {"channel", v->channel},
        {"parts", v->part_count},
        {"survived", v->survived},
        {"gradients", v->gradient_serial},
        {"activations", v->activation_serial},
        {"board", boards_filled(a)},
        {"match", v->match_serial},
        {"mode", (double)a->look.mode},
        {"zoom", (double)a->look.zoom},
        {"dark", ui_dark()},
        {"chinese", a->chinese},
        {"undo", a->undo != NULL},
        {"composing", ui_composing()},
        {"typing", ui_typing()},
        {"picture", display_has(a->screen, DISPLAY_SHOWN)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            snprintf(out, size, "%g", numbers[i].value);
            return true;
        }
    struct {
        const char *name, *value;
    } const texts[] = {
        {"phase", phases[v->phase]}, {"page", pages[a->page]}, {"text", a->text},
        {"easel", v->text},          {"llp", v->llp},          {"avoid", a->avoid},
        {"start", a->start},         {"toast", a->toast},      {"saved", v->saved},
        {"quality", a->quality},     {"seed-of", v->seed},     {"search", a->search},
        {"message", v->message},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(name, texts[i].name) == 0) {
            snprintf(out, size, "%s", texts[i].value);
            return true;
        }
    return false;
}

/* 1 it is so, 0 it is not, -1 no such field or operator. */
static int holds(const app *a, const char *condition, char *found, size_t size)
{
    char name[32], op[4];
    int at = 0;
    if (sscanf(condition, "%31s %3s %n", name, op, &at) < 2 || !field(a, name, found, size))
        return -1;
    const char *value = at ? condition + at : "";
    double x = strtod(found, NULL), y = strtod(value, NULL);
    if (strcmp(op, "=") == 0) return strcmp(found, value) == 0;
    if (strcmp(op, "!=") == 0) return strcmp(found, value) != 0;
    if (strcmp(op, "~") == 0) return strstr(found, value) != NULL;
    if (strcmp(op, "<") == 0) return x < y;
    if (strcmp(op, ">") == 0) return x > y;
    if (strcmp(op, ">=") == 0) return x >= y;
    return -1;
}

/* --- layout --- */

static bool scrolls(const char *name)
{
    return strncmp(name, "side", 4) == 0 || strncmp(name, "right", 5) == 0 ||
           strncmp(name, "gallery", 7) == 0 || strncmp(name, "seeds", 5) == 0 ||
           strncmp(name, "match", 5) == 0 || strncmp(name, "poem", 4) == 0;
}

static bool layout(script *s, app *a)
{
    const ui_box *boxes;
    int n = ui_boxes(&boxes), w, h;
    char what[256];
    SDL_GetWindowSize(a->window, &w, &h);
    for (int i = 0; i < n; i++) {
        const ui_box *b = &boxes[i];
        bool wide = b->r.x < -1 || b->r.x + b->r.w > (float)w + 1;
        bool high = (b->r.y < -1 || b->r.y + b->r.h > (float)h + 1) && !scrolls(b->name);
        bool tight = b->needed > b->r.w + 1;
        if (!wide && !high && !tight) continue;
        snprintf(what, sizeof what, "%s at %.0f,%.0f %.0fx%.0f, text %.0f, window %dx%d", b->name,
                 (double)b->r.x, (double)b->r.y, (double)b->r.w, (double)b->r.h, (double)b->needed,
                 w, h);
        return fail(s, what);
    }
    return true;
}

/* --- random input --- */

static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void monkey(app *a, unsigned *state)
{
    static const char *const keys[] = {"Space",     "Escape", "Ctrl+Return", "Ctrl+S", "Ctrl+Z",
                                       "Left",      "Right",  "Up",          "Down",   "Return",
                                       "Backspace", "Ctrl+A", "Ctrl+X",      "Ctrl+V", "Delete",
                                       "Tab",       "Ctrl+1", "Ctrl+2",      "Ctrl+3", "Ctrl+4"};
    static const char *const texts[] = {"月",  "a castle", "白日依山尽", "\\",
                                        "| :", "108",      "雪:-0.5"};
    int w, h;
    SDL_GetWindowSize(a->window, &w, &h);
    float x = (float)(next(state) % (unsigned)w), y = (float)(next(state) % (unsigned)h);
    switch (next(state) % 8) {
    case 0:
    case 1:
    case 2:
        mouse(a, x, y);
        button(a, true, x, y);
        button(a, false, x + (float)(next(state) % 40), y);
        break;
    case 3:
        key(a, keys[next(state) % (sizeof keys / sizeof keys[0])], true);
        break;
    case 4:
        type(a, texts[next(state) % (sizeof texts / sizeof texts[0])]);
        break;
    case 5:
        text_event(a, texts[next(state) % (sizeof texts / sizeof texts[0])], false);
        break;
    case 6: {
        SDL_Event e = {.wheel = {.type = SDL_MOUSEWHEEL,
                                 .windowID = SDL_GetWindowID(a->window),
                                 .y = (int)(next(state) % 7) - 3}};
        mouse(a, x, y);
        SDL_PushEvent(&e);
        break;
    }
    default:
        text_event(a, "", false);
        if (next(state) % 30 == 0)
            SDL_SetWindowSize(a->window, 640 + (int)(next(state) % 900),
                              480 + (int)(next(state) % 500));
    }
}

/* --- commands --- */

static bool pointer(script *s, app *a, const char *command, const char *rest)
{
    char name[64];
    float from = 0.5f, to = 0.5f;
    sscanf(rest, "%63s %f %f", name, &from, &to);
    const ui_box *b = find(name);
    if (!b) return fail(s, "there is no such widget");
    float x = b->r.x + b->r.w * from, y = b->r.y + b->r.h / 2;
    mouse(a, x, y);
    if (strcmp(command, "wheel") == 0) {
        SDL_Event e = {.wheel = {.type = SDL_MOUSEWHEEL,
                                 .windowID = SDL_GetWindowID(a->window),
                                 .y = (int)from}};
        mouse(a, b->r.x + b->r.w / 2, y);
        SDL_PushEvent(&e);
        return true;
    }
    button(a, true, x, y);
    if (strcmp(command, "drag") == 0) {
        x = b->r.x + b->r.w * to;
        mouse(a, x, y);
    }
    button(a, false, x, y);
    if (strcmp(command, "doubleclick") == 0) {
        button(a, true, x, y);
        button(a, false, x, y);
    }
    return true;
}

static bool picture(script *s, app *a, const char *path)
{
    fv_picture p;
    (void)s;
    if (display_screenshot(a->screen, &p) < 0) return false;
    fv_status status = fv_picture_write(&p, path, NULL);
    fv_picture_free(&p);
    return status >= 0;
}

static bool condition(script *s, app *a, const char *command, const char *rest)
{
    char found[APP_TEXT], what[APP_TEXT + 32];
    int so = holds(a, rest, found, sizeof found);
    if (so < 0) return fail(s, "no such field or operator");
    bool waits = strcmp(command, "wait") == 0;
    if (waits && a->view.phase == WORKER_FAILED && !so) return fail(s, a->view.message);
    double now = (double)SDL_GetTicks64() / 1000;
    if (!s->again) s->since = now;
    s->again = waits && !so;
    snprintf(what, sizeof what, "it is \"%s\"", found);
    if (!so && (!waits || now - s->since > WAIT_SECONDS)) return fail(s, what);
    return true;
}

/* No modifier stays down from one command to the next. */
static void release_modifiers(app *a)
{
    SDL_Event e = {.key = {.type = SDL_KEYUP,
                           .windowID = SDL_GetWindowID(a->window),
                           .keysym = {SDL_SCANCODE_LCTRL, SDLK_LCTRL, KMOD_NONE, 0}}};
    SDL_SetModState(KMOD_NONE);
    SDL_PushEvent(&e);
}

static bool run(script *s, app *a)
{
    char command[32] = "";
    int at = 0, w, h;
    float scale;
    unsigned seed;
    sscanf(s->line, "%31s %n", command, &at);
    const char *rest = s->line + at;
    s->frames = SETTLE;
    if (SDL_GetModState() & (KMOD_CTRL | KMOD_SHIFT | KMOD_ALT)) {
        release_modifiers(a);
        s->frames = 1;
        s->held = true;
        return true;
    }
    if (!strcmp(command, "wait") || !strcmp(command, "expect"))
        return condition(s, a, command, rest);
    if (!strcmp(command, "click") || !strcmp(command, "doubleclick") || !strcmp(command, "drag") ||
        !strcmp(command, "wheel"))
        return pointer(s, a, command, rest);
    if (!strcmp(command, "type"))
        type(a, rest);
    else if (!strcmp(command, "compose"))
        text_event(a, rest, false);
    else if (!strcmp(command, "key"))
        return key(a, rest, true) || fail(s, "no such key");
    else if (!strcmp(command, "commit-and-return")) { /* what some input methods send at once */
        text_event(a, "", false);
        type(a, rest);
        key(a, "Return", true);
    } else if (!strcmp(command, "drop"))
        drop(a, rest);
    else if (!strcmp(command, "resize") && sscanf(rest, "%d %d", &w, &h) == 2)
        SDL_SetWindowSize(a->window, w, h), s->frames = 6;
    else if (!strcmp(command, "scale") && sscanf(rest, "%f", &scale) == 1)
        ui_set_scale(scale);
    else if (!strcmp(command, "frames"))
        s->frames = atoi(rest);
    else if (!strcmp(command, "layout"))
        return layout(s, a);
    else if (!strcmp(command, "screenshot"))
        return picture(s, a, rest);
    else if (!strcmp(command, "monkey") && sscanf(rest, "%u %d", &seed, &w) == 2) {
        monkey(a, &seed);
        snprintf(s->line, sizeof s->line, "monkey %u %d", seed, w - 1);
        s->again = w > 1;
        s->frames = 1;
    } else if (!strcmp(command, "latency")) {
        s->pressed = SDL_GetPerformanceCounter();
        type(a, "x");
        s->frames = 1;
    } else if (!strcmp(command, "crash"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(command, "away"))
        mouse(a, 2, 2);
    else if (!strcmp(command, "quit"))
        a->quit = true;
    else
        return fail(s, "no such command");
    return true;
}

int script_pause(const script *s)
{
    return s->again && strncmp(s->line, "wait", 4) == 0 ? 60 : 1;
}

/* The frame that shows the letter has just been presented. */
static bool check_latency(script *s)
{
    double ms = (double)(SDL_GetPerformanceCounter() - s->pressed) * 1000 /
                (double)SDL_GetPerformanceFrequency();
    char what[64];
    s->pressed = 0;
    s->worst = fmax(s->worst, ms);
    printf("input to screen: %.1f ms\n", ms);
    if (ms <= strtod(s->line + strlen("latency "), NULL)) return true;
    snprintf(what, sizeof what, "it took %.1f ms", ms);
    return fail(s, what);
}

bool script_step(script *s, app *a)
{
    if (s->pressed) return check_latency(s);
    if (--s->frames > 0) return true;
    if (!s->again && !s->held) {
        do {
            s->number++;
            if (!fgets(s->line, sizeof s->line, s->file)) {
                a->quit = true;
                return true;
            }
            s->line[strcspn(s->line, "\r\n")] = 0;
        } while (!s->line[0] || s->line[0] == '#');
        if (getenv("FEAVIS_TRACE")) fprintf(stderr, "%d: %s\n", s->number, s->line);
    }
    s->held = false;
    s->again = s->again && strncmp(s->line, "wait", 4) == 0;
    return run(s, a);
}
