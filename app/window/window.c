/* The window: SDL, the frame, keys. It draws when there is something new and sleeps otherwise, so
 * that it takes next to nothing from the steps. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/cli.h"
#include "app/window/app.h"
#include "app/window/script.h"

typedef struct handles {
    SDL_Window *window;
    SDL_GLContext gl;
    SDL_Renderer *renderer;
} handles;

/* --- opening --- */

static const char *find_font(void)
{
    static const char *const paths[] = {
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/opentype/source-han-sans/SourceHanSansSC-Regular.otf",
        "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
        "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
        "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
        "/usr/share/fonts/truetype/arphic/uming.ttc",
    };
    const char *own = getenv("FEAVIS_FONT");
    if (own && access(own, R_OK) == 0) return own;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], R_OK) == 0) return paths[i];
    return NULL;
}

/* OpenGL 3.3 if it can be had, else SDL's renderer. FEAVIS_RENDERER=sdl takes the latter. */
static fv_status open_window(handles *h, int width, int height)
{
    Uint32 flags = SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI;
    const char *wanted = getenv("FEAVIS_RENDERER");
    const int at = SDL_WINDOWPOS_CENTERED;
    if (!wanted || strcmp(wanted, "sdl") != 0) {
        SDL_GL_SetAttribute(SDL_GL_CONTEXT_MAJOR_VERSION, 3);
        SDL_GL_SetAttribute(SDL_GL_CONTEXT_MINOR_VERSION, 3);
        SDL_GL_SetAttribute(SDL_GL_CONTEXT_PROFILE_MASK, SDL_GL_CONTEXT_PROFILE_CORE);
        SDL_GL_SetAttribute(SDL_GL_DOUBLEBUFFER, 1);
        h->window = SDL_CreateWindow("feavis", at, at, width, height, flags | SDL_WINDOW_OPENGL);
        h->gl = h->window ? SDL_GL_CreateContext(h->window) : NULL;
        if (h->gl) {
            SDL_GL_SetSwapInterval(1);
            return FV_OK;
        }
        if (h->window) SDL_DestroyWindow(h->window);
    }
    h->window = SDL_CreateWindow("feavis", at, at, width, height, flags);
    h->renderer = h->window ? SDL_CreateRenderer(h->window, -1, 0) : NULL;
    return h->renderer ? FV_OK : fv_fail(FV_ERR_DEVICE, "opening a window: %s", SDL_GetError());
}

/* --- a frame --- */

/* What the display holds for the page of one picture. */
static void take_picture(app *a)
{
    const worker_view *v = &a->view;
    fv_picture p;
    if (!v->picture_serial && a->shown_serial) {
        display_set(a->screen, DISPLAY_SHOWN, NULL);
        if (!a->pinned) display_set(a->screen, DISPLAY_OTHER, NULL);
        display_set_map(a->screen, NULL, 0, 0);
        a->shown_serial = a->map_serial = a->start_serial = 0;
        a->shown_frame = a->shown_panel = -1;
    }
    bool frame = a->shown_frame >= 0 && a->shown_frame < v->frame_count;
    bool panel = a->shown_panel >= 0 && a->shown_panel < v->panel_count;
    int wanted = frame ? -1 - a->shown_frame : panel ? -1000 - a->shown_panel : v->picture_serial;
    if (v->picture_serial && wanted != a->shown_serial &&
        (frame   ? worker_frame(a->worker, a->shown_frame, &p)
         : panel ? worker_panel_picture(a->worker, a->shown_panel, &p)
                 : worker_picture(a->worker, &p))) {
        display_set(a->screen, DISPLAY_SHOWN, &p);
        fv_picture_free(&p);
        a->shown_serial = wanted;
    }
    if (a->look.mode == DISPLAY_DIFFERENCE && !a->pinned && !a->start_serial &&
        worker_start_picture(a->worker, &p)) {
        display_set(a->screen, DISPLAY_OTHER, &p);
        fv_picture_free(&p);
        a->start_serial = 1;
    }
    app_show_words(a);
    int serial = a->map == MAP_GRADIENT ? v->gradient_serial : v->activation_serial;
    if (a->look.mode == DISPLAY_MAP && a->xray_shown < 0 && serial && serial != a->map_serial) {
        float *map;
        int width, height;
        bool has = a->map == MAP_GRADIENT ? worker_gradient(a->worker, &map, &width, &height)
                                          : worker_activation(a->worker, &map, &width, &height);
        if (has) {
            display_set_map(a->screen, map, width, height);
            free(map);
            a->map_serial = serial;
        }
    }
    app_take_codes(a);
}

static void take_news(app *a)
{
    const worker_view *v = &a->view;
    worker_look(a->worker, &a->view);
    app_show_two(a);
    if (a->page != PAGE_TWO) take_picture(a);
    app_check_term(a);
    app_take_dropped(a);
    if (v->message_serial != a->message_serial) {
        app_toast(a, v->message, true);
        a->message_serial = v->message_serial;
    }
    if (v->saved_serial != a->toast_saved_serial) {
        char text[1200];
        snprintf(text, sizeof text, "%s  %s", tr(a, W_SAVED), v->saved);
        app_toast(a, text, false);
        a->toast_saved_serial = v->saved_serial;
    }
    if (a->page == PAGE_GALLERY && a->saved_serial != v->saved_serial + 1) {
        app_refresh_gallery(a);
        a->saved_serial = v->saved_serial + 1;
    }
}

/* Over the lower end of the place where pictures are, where nothing is to be pressed. */
static void draw_toast(app *a, ui_rect over)
{
    if ((double)SDL_GetTicks64() / 1000 >= a->toast_until) return;
    float width = ui_px(ui_text_width(a->toast, UI_SMALL) + 32);
    if (width > over.w - ui_px(16)) width = over.w - ui_px(16);
    ui_rect r = {over.x + (over.w - width) / 2, over.y + over.h - ui_px(36 + 8), width, ui_px(36)};
    ui_area_begin("toast", r, UI_CANVAS, false);
    ui_fill(r, UI_FIELD, 0.97f, 8);
    ui_line(r.x + ui_px(2), r.y + ui_px(8), r.x + ui_px(2), r.y + r.h - ui_px(8),
            a->toast_bad ? UI_WARNING : UI_ROBUSTNESS, 3);
    ui_write(r.x + ui_px(14), r.y + ui_px(11), a->toast, UI_SMALL, UI_TEXT);
    ui_area_end();
}

void page_top(app *a, ui_rect r)
{
    static const word labels[PAGES] = {W_IMAGINE, W_GALLERY, W_SEEDS, W_MATCH, W_TWO, W_QUIZ};
    static const char *const names[PAGES] = {"page-imagine", "page-gallery", "page-seeds",
                                             "page-match",   "page-two",     "page-quiz"};
    ui_area_begin("top", r, UI_PANEL, false);
    for (int i = 0; i < PAGES; i++) {
        if (i) ui_beside();
        if (ui_tab(names[i], tr(a, labels[i]), a->page == (app_page)i)) {
            a->page = (app_page)i;
            a->saved_serial = 0;
        }
    }
    char model[224];
    snprintf(model, sizeof model, "%s · %s", a->view.model, a->view.backend);
    float buttons = ui_text_width(tr(a, W_LANGUAGE), UI_BODY) + 24 + 8 + 32;
    float width = ui_text_width(model, UI_SMALL);
    float x = r.x + r.w - ui_px(16 + buttons);
    if (*a->view.model && r.w > ui_px(900))
        ui_write(x - ui_px(width + 16), r.y + ui_px(21), model, UI_SMALL, UI_MUTED);
    ui_rect end = {x, r.y + ui_px(8), ui_px(buttons + 8), ui_px(34)};
    ui_area_end();
    ui_area_begin("corner", (ui_rect){end.x - ui_px(16), r.y, end.w + ui_px(24), r.h}, UI_PANEL,
                  false);
    if (ui_button("language", tr(a, W_LANGUAGE), UI_NO_ICON, UI_QUIET, 0, true))
        a->chinese = !a->chinese;
    ui_beside();
    if (ui_button("theme", "", ui_dark() ? UI_ICON_SUN : UI_ICON_MOON, UI_QUIET, 32, true))
        ui_set_dark(!ui_dark());
    ui_hint(tr(a, W_THEME));
    ui_area_end();
}

/* Wide windows have both sides; narrow ones one, with tabs. */
static ui_rect draw_sides(app *a, ui_rect r)
{
    bool narrow = r.w < ui_px(1060);
    float left = ui_px(narrow ? 270 : 300), right = narrow ? 0 : ui_px(290);
    ui_rect side = {r.x, r.y, left, r.h};
    ui_area_begin("side", side, UI_PANEL, true);
    if (narrow) {
        bool text = !a->side_tab_measures && !a->side_tab_neurons;
        if (ui_chip("tab-text", tr(a, W_TEXT), text))
            a->side_tab_measures = a->side_tab_neurons = false;
        ui_beside();
        if (ui_chip("tab-measures", tr(a, W_MEASURES), a->side_tab_measures))
            a->side_tab_measures = true, a->side_tab_neurons = false;
        ui_beside();
        if (ui_chip("tab-neurons", tr(a, W_NEURONS), a->side_tab_neurons))
            a->side_tab_neurons = true, a->side_tab_measures = false;
    }
    if (narrow && a->side_tab_measures)
        page_measures(a);
    else if (narrow && a->side_tab_neurons)
        page_neurons(a);
    else
        page_text(a);
    ui_area_end();
    if (!narrow) {
        ui_area_begin("right", (ui_rect){r.x + r.w - right, r.y, right, r.h}, UI_PANEL, true);
        page_measures(a);
        page_neurons(a);
        ui_area_end();
    }
    return (ui_rect){r.x + left, r.y, r.w - left - right, r.h};
}

static void draw_frame(app *a)
{
    int width, height;
    SDL_GetWindowSize(a->window, &width, &height);
    float w = (float)width, h = (float)height, top = ui_px(48), tree = tree_height(a),
          bottom = ui_px(60) + tree;
    ui_rect middle = {0, top, w, h - top - bottom};
    ui_rect canvas = {0, 0, 0, 0};
    a->frame++;
    take_news(a);
    display_clear(a->screen);
    ui_begin();
    page_top(a, (ui_rect){0, 0, w, top});
    middle.h += a->page == PAGE_IMAGINE ? 0 : bottom;
    switch (a->page) {
    case PAGE_GALLERY:
        page_gallery(a, middle);
        break;
    case PAGE_SEEDS:
        page_seeds(a, middle);
        break;
    case PAGE_MATCH:
        page_match(a, middle);
        break;
    case PAGE_TWO:
        canvas = page_two(a, middle);
        break;
    case PAGE_QUIZ:
        page_quiz(a, middle);
        break;
    default: {
        ui_rect r = draw_sides(a, middle);
        page_canvas(a, r);
        page_controls(a, (ui_rect){0, h - bottom, w, bottom - tree});
        if (tree > 0) page_controls_tree(a, (ui_rect){0, h - tree, w, tree});
        canvas = canvas_of(a, r);
    }
    }
    ui_area_begin("lines", (ui_rect){0, 0, 1, 1}, UI_CANVAS, false);
    ui_area_end();
    bool shows = a->page == PAGE_IMAGINE || a->page == PAGE_TWO;
    draw_toast(a, shows ? canvas : middle);
    display_view look = a->page == PAGE_TWO ? a->two_look : a->look;
    if (a->page == PAGE_IMAGINE && a->xray_shown >= 0) look.mode = DISPLAY_MAP;
    if (shows) display_draw(a->screen, canvas, &look);
    if (ui_refused()) app_toast(a, tr(a, W_TOO_LONG), true);
    ui_end();
    display_present(a->screen);
}

/* --- events --- */

static void handle(app *a, const SDL_Event *e)
{
    bool escape = e->type == SDL_KEYDOWN && e->key.keysym.sym == SDLK_ESCAPE;
    bool enter = e->type == SDL_KEYDOWN && e->key.keysym.sym == SDLK_RETURN &&
                 (e->key.keysym.mod & KMOD_CTRL);
    bool composing = ui_composing();
    bool tab = e->type == SDL_KEYDOWN && e->key.keysym.sym == SDLK_TAB;
    if (!escape && !enter && !tab) ui_event(e);
    switch (e->type) {
    case SDL_QUIT:
        a->quit = true;
        break;
    case SDL_KEYDOWN:
        if (!composing) app_key(a, &e->key);
        break;
    case SDL_DROPFILE:
        if (!app_drop_model(a, e->drop.file)) app_dropped(a, e->drop.file);
        SDL_free(e->drop.file);
        break;
    case SDL_WINDOWEVENT:
        if (e->window.event == SDL_WINDOWEVENT_FOCUS_LOST) state_save(a);
        break;
    default:
        break;
    }
}

/* --- the loop --- */

static atomic_bool notify_waiting; /* one event for any number of notifications */
static Uint32 notify_event;

static void on_notify(void *user)
{
    (void)user;
    if (atomic_exchange(&notify_waiting, true)) return;
    SDL_Event e = {.type = notify_event};
    SDL_PushEvent(&e);
}

/* ImGui sees states, not events: a press and its release, or two presses, need a frame each. */
static bool needs_own_frame(const SDL_Event *e, bool pressed)
{
    return pressed &&
           (e->type == SDL_KEYUP || e->type == SDL_MOUSEBUTTONUP || e->type == SDL_MOUSEBUTTONDOWN);
}

/* Everything that has happened until something needs a frame of its own. */
static void handle_batch(app *a, SDL_Event *e)
{
    static SDL_Event held;
    static bool has_held;
    bool pressed = false;
    if (has_held) handle(a, &held);
    pressed = has_held && held.type == SDL_MOUSEBUTTONUP;
    has_held = false;
    do {
        if (e->type == notify_event) atomic_store(&notify_waiting, false);
        if (needs_own_frame(e, pressed)) {
            held = *e;
            has_held = true;
            SDL_Event wake = {.type = notify_event};
            SDL_PushEvent(&wake);
            return;
        }
        pressed = pressed || e->type == SDL_KEYDOWN || e->type == SDL_MOUSEBUTTONDOWN;
        handle(a, e);
    } while (!a->quit && SDL_PollEvent(e));
}

static bool loop(app *a, script *s)
{
    double saved = 0;
    int extra = 3; /* frames to come, for the layout to settle */
    notify_event = a->notify_event = SDL_RegisterEvents(1);
    worker_on_notify(a->worker, on_notify, NULL);
    while (!a->quit) {
        SDL_Event e;
        double now = (double)SDL_GetTicks64() / 1000;
        bool paced = s && script_pause(s) >= 0;
        bool soon = paced || extra > 0 || ui_wants_frame();
        int wait = paced ? script_pause(s) : soon ? 15 : now < a->toast_until ? 250 : 2000;
        bool toast = now < a->toast_until;
        if (SDL_WaitEventTimeout(&e, wait)) {
            handle_batch(a, &e);
            extra = 2;
        } else if (extra > 0)
            extra--;
        else if (!soon && !toast && !s)
            continue;
        draw_frame(a);
        if (s && !script_step(s, a)) return false;
        if (now - saved > 5) {
            state_save(a);
            saved = now;
        }
    }
    return true;
}

/* --- the command --- */

/* SDL falls back to drivers that show nothing; they count only when somebody names them. Without
 * the names of a display it is not even asked: the libraries it tries would print of their own. */
static const char *missing_display(void)
{
    static const char *const blind[] = {"offscreen", "dummy", "evdev", "KMSDRM"};
    if (!getenv("SDL_VIDEODRIVER") && !getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
        return "neither X11 nor Wayland";
    if (SDL_Init(SDL_INIT_VIDEO) != 0) return SDL_GetError();
    const char *driver = SDL_GetCurrentVideoDriver();
    for (size_t i = 0; driver && i < sizeof blind / sizeof blind[0]; i++)
        if (!getenv("SDL_VIDEODRIVER") && strcmp(driver, blind[i]) == 0)
            return "neither X11 nor Wayland";
    return NULL;
}

static int without_display(cli *c, const char *why)
{
    static const char example[] = "月光下的山";
    if (!c->words) c->words = strdup(example);
    fprintf(stderr, "feavis: there is no display (%s); imagining \"%s\" without a window\n", why,
            c->words ? c->words : "");
    return command_imagine(c);
}

/* Flags that say more than with which model and where. */
static bool asks_for_settings(const cli *c)
{
    bool asks = c->preset;
    for (int i = 0; i < c->flag_count; i += 2) {
        const fv_option *option = fv_option_find(c->flags[i]);
        asks = asks || (strcmp(option->group, "Model") != 0 && strcmp(option->group, "Files") != 0);
    }
    return asks;
}

static fv_status run_window(app *a, const cli *c, script *s, bool *done)
{
    handles h = {0};
    FV_TRY(fv_options_copy(&a->options, c->options));
    FV_TRY(state_open(a));
    float scale = strtof(fv_settings_get(a->settings, "scale", "0"), NULL);
    int width = atoi(fv_settings_get(a->settings, "width", "1280"));
    int height = atoi(fv_settings_get(a->settings, "height", "800"));
    FV_TRY(open_window(&h, width < 400 ? 1280 : width, height < 300 ? 800 : height));
    a->window = h.window;
    SDL_SetWindowMinimumSize(h.window, 640, 480);
    SDL_EventState(SDL_DROPFILE, SDL_ENABLE);
    fv_status status = FV_OK;
    if (!ui_open(h.window, h.gl, h.renderer, find_font()))
        status = fv_fail(FV_ERR_DEVICE, "opening the window's widgets failed");
    if (status >= 0) status = display_open(&a->screen, h.window, h.gl, h.renderer);
    if (status >= 0) {
        ui_set_scale(scale > 0 ? scale : app_guess_scale(h.window));
        state_load(a, asks_for_settings(c));
        if (c->words) app_take(a, a->text, sizeof a->text, c->words);
        ui_enter_field("text");
        *done = loop(a, s);
        state_save(a);
        if (!*done) status = FV_ERR_ARGUMENT; /* said by the script */
    }
    worker_stop(a->worker);
    a->worker = NULL;
    display_close(a->screen);
    ui_close();
    if (h.gl) SDL_GL_DeleteContext(h.gl);
    if (h.renderer) SDL_DestroyRenderer(h.renderer);
    SDL_DestroyWindow(h.window);
    return status;
}

int command_window(cli *c)
{
    static app a; /* some hundred kilobytes, zeroed */
    script *s = NULL;
    bool done = true;
    a = (app){.lock_fd = -1,
              .shown_frame = -1,
              .shown_panel = -1,
              .chosen = -1,
              .text_weight = 1,
              .avoid_weight = 0.3f,
              .seed = 1,
              .two_seed = 2,
              .xray_word = -1,
              .xray_shown = -1};
    a.look = (display_view){.split = 0.5f, .strength = 0.85f};
    a.two_look = (display_view){.mode = DISPLAY_COMPARE, .split = 0.5f};
    SDL_SetHint(SDL_HINT_IME_SHOW_UI, "1");
#ifdef SDL_HINT_IME_SUPPORT_EXTENDED_TEXT
    SDL_SetHint(SDL_HINT_IME_SUPPORT_EXTENDED_TEXT, "1");
#endif
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "0");
    const char *missing = missing_display();
    if (missing) return without_display(c, missing);
    fv_status status = c->script ? script_open(&s, c->script) : FV_OK;
    if (status >= 0) status = run_window(&a, c, s, &done);
    int result = status < 0 ? cli_fail() : EXIT_SUCCESS;
    worker_stop(a.worker);
    script_close(s);
    fv_gallery_list_free(a.saved, a.saved_count);
    for (int i = 0; i < a.undo_count; i++) free(a.undo[i]);
    for (int i = 0; i < APP_THUMBS; i++) free(a.thumbs[i].path);
    app_forget_own(&a);
    fv_codes_free(&a.codes);
    worker_matched_clear(&a.matched);
    fv_quiz_close(a.quiz);
    fv_study_free(a.tallies, a.tally_count);
    state_close(&a);
    fv_options_free(a.options);
    SDL_Quit();
    return result;
}
