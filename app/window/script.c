/* See script.h. */
#include "app/window/script.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/window/script_events.h"
#include "app/window/script_fields.h"

enum {
    WAIT_SECONDS = 120, /* for a field to be so */
    REACH_SECONDS = 30, /* for a widget to be where it can be pressed */
    SETTLE = 3,         /* frames after an event, for the layout to follow */
    MAX_LATENCIES = 1000
};

/* Something done at a moment that the loop cannot foresee, until a field is another. */
typedef struct measured {
    event_list events;
    _Atomic Uint64 pressed; /* 0: not yet */
    bool running;
    char field[32], before[APP_TEXT];
    double ms[MAX_LATENCIES];
    int count, wanted;
} measured;

struct script {
    FILE *file;
    char path[1024], line[4096];
    int number;
    int frames;    /* still to pass */
    bool again;    /* the line stays: it waits, or has more to do */
    bool waiting;  /* this is not its first time */
    double since;  /* of its first time */
    ui_rect place; /* of the widget to press, a frame ago */
    double noted;
    measured measured;
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

/* 1 it is so, 0 it is not, -1 no such field or operator. */
static int holds(const script *s, const app *a, const char *condition, char *found, size_t size)
{
    char name[32], op[4];
    int at = 0;
    if (sscanf(condition, "%31s %3s %n", name, op, &at) < 2 || !script_field(a, name, found, size))
        return -1;
    const char *value = at ? condition + at : "";
    char noted[32];
    if (strncmp(value, "noted", 5) == 0) {
        snprintf(noted, sizeof noted, "%g", s->noted + strtod(value + 5, NULL));
        value = noted;
    }
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

static bool inside(ui_rect r, ui_rect of)
{
    return r.x >= of.x - 1 && r.y >= of.y - 1 && r.x + r.w <= of.x + of.w + 1 &&
           r.y + r.h <= of.y + of.h + 1;
}

/* Two that can be pressed, in one area, one over the other. */
static bool overlap(const ui_box *a, const ui_box *b)
{
    size_t area = strcspn(a->name, "/");
    if (strncmp(a->name, b->name, area + 1) != 0) return false;
    if (!strcmp(a->name + area, "/area") || !strcmp(b->name + area, "/area")) return false;
    return a->r.x + a->r.w > b->r.x + 1 && b->r.x + b->r.w > a->r.x + 1 &&
           a->r.y + a->r.h > b->r.y + 1 && b->r.y + b->r.h > a->r.y + 1;
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
        bool fills = strstr(b->name, "/area") || strstr(b->name, "/picture"); /* its margins too */
        bool cut = !fills && !scrolls(b->name) && !inside(b->r, b->clip);
        const char *over = NULL;
        for (int k = 0; k < i && !over; k++) over = overlap(b, &boxes[k]) ? boxes[k].name : NULL;
        if (!wide && !high && !tight && !cut && !over) continue;
        snprintf(what, sizeof what, "%s at %.0f,%.0f %.0fx%.0f, text %.0f, window %dx%d%s%s",
                 b->name, (double)b->r.x, (double)b->r.y, (double)b->r.w, (double)b->r.h,
                 (double)b->needed, w, h,
                 over  ? ", over "
                 : cut ? ", cut off by its area"
                       : "",
                 over ? over : "");
        return fail(s, what);
    }
    return true;
}

/* --- commands --- */

/* The line stays for the next frame, at most so long. */
static bool wait_more(script *s, int seconds, const char *why)
{
    double now = (double)SDL_GetTicks64() / 1000;
    if (!s->waiting) s->since = now;
    if (now - s->since > seconds) return fail(s, why);
    s->again = true;
    return true;
}

/* As a person looks for it: it has to be there, allowed, and at rest; if its area has been
 * scrolled away from it, the wheel brings it back. True: press it now. */
static bool reached(script *s, app *a, const ui_box *b, const char **why)
{
    *why = "there is no such widget";
    if (!b) return false;
    const ui_rect r = b->r, last = s->place, clip = b->clip;
    s->place = r;
    *why = "the widget is disabled";
    if (!b->enabled) return false;
    *why = "the widget never comes to rest";
    if (r.x != last.x || r.y != last.y || r.w != last.w || r.h != last.h) return false;
    *why = "the widget is out of reach";
    float middle = r.y + r.h / 2;
    if (middle >= clip.y && middle < clip.y + clip.h) return true;
    if (clip.h > 0)
        event_wheel(a, clip.x + clip.w / 2, clip.y + clip.h / 2, middle < clip.y ? 1 : -1);
    return false;
}

static bool pointer(script *s, app *a, const char *command, const char *rest)
{
    char name[64] = "";
    const char *why;
    float from = 0.5f, to = 0.5f;
    sscanf(rest, "%63s %f %f", name, &from, &to);
    const ui_box *b = find(name);
    if (!reached(s, a, b, &why)) {
        s->frames = 2;
        return wait_more(s, REACH_SECONDS, why);
    }
    float x = b->r.x + b->r.w * from, y = b->r.y + b->r.h / 2;
    s->place = (ui_rect){0, 0, 0, 0};
    if (strcmp(command, "wheel") == 0) {
        event_wheel(a, b->r.x + b->r.w / 2, y, (int)from);
        return true;
    }
    event_mouse(a, x, y);
    event_button(a, true, x, y);
    if (strcmp(command, "drag") == 0) {
        x = b->r.x + b->r.w * to;
        event_mouse(a, x, y);
    }
    event_button(a, false, x, y);
    if (strcmp(command, "doubleclick") == 0) {
        event_button(a, true, x, y);
        event_button(a, false, x, y);
    }
    return true;
}

/* What changes from run to run is covered before it is compared with anything. */
static void cover(fv_picture *p, ui_rect r, float density)
{
    int x0 = (int)(r.x * density), y0 = (int)(r.y * density);
    int x1 = (int)((r.x + r.w) * density + 1), y1 = (int)((r.y + r.h) * density + 1);
    x0 = x0 < 0 ? 0 : x0, y0 = y0 < 0 ? 0 : y0;
    x1 = x1 > p->width ? p->width : x1, y1 = y1 > p->height ? p->height : y1;
    for (int y = y0; y < y1 && x0 < x1; y++)
        memset(p->rgb + ((size_t)y * (size_t)p->width + (size_t)x0) * 3, 128,
               (size_t)(x1 - x0) * 3);
}

static bool screenshot(script *s, app *a, const char *rest)
{
    fv_picture p;
    char path[1024], name[64];
    int at = 0, w, h;
    if (sscanf(rest, "%1023s %n", path, &at) != 1) return fail(s, "no path");
    if (display_screenshot(a->screen, &p) < 0) return false;
    SDL_GetWindowSize(a->window, &w, &h);
    for (rest += at; sscanf(rest, "%63s %n", name, &at) == 1; rest += at) {
        const ui_box *b = find(name);
        if (b) cover(&p, b->r, (float)p.width / (float)w);
    }
    fv_status status = fv_picture_write(&p, path, NULL);
    fv_picture_free(&p);
    return status >= 0;
}

static bool condition(script *s, app *a, const char *command, const char *rest)
{
    char found[APP_TEXT], what[APP_TEXT + 32];
    int so = holds(s, a, rest, found, sizeof found);
    if (so < 0) return fail(s, "no such field or operator");
    if (so) return true;
    bool waits = strcmp(command, "wait") == 0;
    if (waits && a->view.phase == WORKER_FAILED) return fail(s, a->view.message);
    snprintf(what, sizeof what, "it is \"%s\"", found);
    return waits ? wait_more(s, WAIT_SECONDS, what) : fail(s, what);
}

/* --- measuring --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* On a thread of SDL's, some time after it was asked for. */
static Uint32 press(Uint32 interval, void *user)
{
    measured *m = user;
    (void)interval;
    atomic_store(&m->pressed, SDL_GetPerformanceCounter());
    for (int i = 0; i < m->events.count; i++) SDL_PushEvent(&m->events.events[i]);
    return 0;
}

static bool dispatch(script *s, app *a, const char *line);

/* latency N FIELD COMMAND: the command N times at moments unknown to the loop, each until a frame
 * with another value of the field is on the screen. */
static bool latency(script *s, app *a, const char *rest)
{
    measured *m = &s->measured;
    int at = 0;
    static unsigned seed = 1;
    if (!m->wanted) m->count = 0;
    if (sscanf(rest, "%d %31s %n", &m->wanted, m->field, &at) < 2 || !at ||
        m->wanted > MAX_LATENCIES || !script_field(a, m->field, m->before, sizeof m->before))
        return fail(s, "latency N FIELD COMMAND");
    atomic_store(&m->pressed, 0);
    events_hold(&m->events);
    bool ok = dispatch(s, a, rest + at);
    events_hold(NULL);
    if (!ok) return false;
    seed = seed * 1664525u + 1013904223u;
    m->running = true;
    return SDL_AddTimer(40 + (seed >> 8) % 60, press, m) || fail(s, SDL_GetError());
}

/* After each frame while one is measured. */
static bool watch(script *s, app *a)
{
    measured *m = &s->measured;
    char now[APP_TEXT];
    Uint64 pressed = atomic_load(&m->pressed);
    double unit = 1000 / (double)SDL_GetPerformanceFrequency();
    if (!pressed || !script_field(a, m->field, now, sizeof now) || strcmp(now, m->before) == 0)
        return !pressed || (double)(SDL_GetPerformanceCounter() - pressed) * unit < 30000 ||
               fail(s, "the field stays as it is");
    display_finish(a->screen);
    m->ms[m->count++] = (double)(SDL_GetPerformanceCounter() - pressed) * unit;
    m->running = false;
    s->again = m->count < m->wanted;
    s->waiting = s->again;
    s->frames = SETTLE;
    if (s->again) return true;
    qsort(m->ms, (size_t)m->count, sizeof *m->ms, by_size);
    printf("%s: %d times, median %.1f ms, 95 %% %.1f ms, worst %.1f ms\n", s->line, m->count,
           m->ms[m->count / 2], m->ms[(m->count * 95 - 1) / 100], m->ms[m->count - 1]);
    m->wanted = 0;
    return true;
}

static bool note(script *s, app *a, const char *rest)
{
    char name[32] = "", value[APP_TEXT];
    sscanf(rest, "%31s", name);
    if (!script_field(a, name, value, sizeof value)) return fail(s, "no such field");
    s->noted = strtod(value, NULL);
    return true;
}

static bool print(script *s, app *a, const char *rest)
{
    char name[32], value[APP_TEXT];
    int at = 0;
    for (; sscanf(rest, "%31s %n", name, &at) == 1; rest += at) {
        if (!script_field(a, name, value, sizeof value)) return fail(s, "no such field");
        printf("%s %s  ", name, value);
    }
    printf("\n");
    fflush(stdout);
    return true;
}

/* monkey SEED N, or monkey SEED Ns: events, or seconds; the line carries the generator on. */
static bool monkey(script *s, app *a, const char *rest)
{
    unsigned seed;
    int count;
    char unit = 0;
    double now = (double)SDL_GetTicks64() / 1000;
    if (sscanf(rest, "%u %d%c", &seed, &count, &unit) < 2) return fail(s, "monkey SEED N");
    event_monkey(a, &seed);
    if (!s->waiting) s->since = now;
    s->again = unit == 's' ? now - s->since < count : count > 1;
    snprintf(s->line, sizeof s->line, "monkey %u %d%s", seed, unit == 's' ? count : count - 1,
             unit == 's' ? "s" : "");
    s->frames = 1;
    return true;
}

/* --- the lines --- */

static bool dispatch(script *s, app *a, const char *line)
{
    char command[32] = "";
    int at = 0, w, h;
    float scale;
    sscanf(line, "%31s %n", command, &at);
    const char *rest = line + at;
    if (!strcmp(command, "wait") || !strcmp(command, "expect"))
        return condition(s, a, command, rest);
    if (!strcmp(command, "click") || !strcmp(command, "doubleclick") || !strcmp(command, "drag") ||
        !strcmp(command, "wheel"))
        return pointer(s, a, command, rest);
    if (!strcmp(command, "type"))
        event_type(a, rest);
    else if (!strcmp(command, "compose"))
        event_text(a, rest, false);
    else if (!strcmp(command, "key"))
        return event_key(a, rest) || fail(s, "no such key");
    else if (!strcmp(command, "commit-and-return")) { /* what some input methods send at once */
        event_text(a, "", false);
        event_type(a, rest);
        event_key(a, "Return");
    } else if (!strcmp(command, "drop"))
        event_drop(a, rest);
    else if (!strcmp(command, "resize") && sscanf(rest, "%d %d", &w, &h) == 2)
        SDL_SetWindowSize(a->window, w, h), s->frames = 6;
    else if (!strcmp(command, "scale") && sscanf(rest, "%f", &scale) == 1)
        ui_set_scale(scale);
    else if (!strcmp(command, "frames"))
        s->frames = atoi(rest);
    else if (!strcmp(command, "layout"))
        return layout(s, a);
    else if (!strcmp(command, "screenshot"))
        return screenshot(s, a, rest);
    else if (!strcmp(command, "monkey"))
        return monkey(s, a, rest);
    else if (!strcmp(command, "latency"))
        return latency(s, a, rest);
    else if (!strcmp(command, "note"))
        return note(s, a, rest);
    else if (!strcmp(command, "print"))
        return print(s, a, rest);
    else if (!strcmp(command, "crash"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(command, "away"))
        event_mouse(a, 2, 2);
    else if (!strcmp(command, "quit"))
        a->quit = true;
    else
        return fail(s, "no such command");
    return true;
}

static bool next_line(script *s)
{
    do {
        s->number++;
        if (!fgets(s->line, sizeof s->line, s->file)) return false;
        s->line[strcspn(s->line, "\r\n")] = 0;
    } while (!s->line[0] || s->line[0] == '#');
    if (getenv("FEAVIS_TRACE")) fprintf(stderr, "%d: %s\n", s->number, s->line);
    return true;
}

int script_pause(const script *s)
{
    if (s->measured.running) return -1;
    return s->again && strncmp(s->line, "wait", 4) == 0 ? 60 : 1;
}

bool script_step(script *s, app *a)
{
    if (s->measured.running) return watch(s, a);
    if (--s->frames > 0) return true;
    s->frames = SETTLE;
    if (SDL_GetModState() & (KMOD_CTRL | KMOD_SHIFT | KMOD_ALT)) {
        event_release_modifiers(a);
        s->frames = 1;
        return true;
    }
    if (!s->again && !next_line(s)) {
        a->quit = true;
        return true;
    }
    s->waiting = s->again;
    s->again = false;
    return dispatch(s, a, s->line);
}
