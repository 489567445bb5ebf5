/* See display.h. The OpenGL calls that SDL does not declare as linked are asked for by name. */
#include "app/window/display.h"

#include <SDL2/SDL_opengl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/shaders.h"

/* clang-format off */
#define GL_CALLS(X)                                                                                \
    X(PFNGLCREATESHADERPROC, glCreateShader) X(PFNGLSHADERSOURCEPROC, glShaderSource)              \
    X(PFNGLCOMPILESHADERPROC, glCompileShader) X(PFNGLGETSHADERIVPROC, glGetShaderiv)              \
    X(PFNGLGETSHADERINFOLOGPROC, glGetShaderInfoLog) X(PFNGLDELETESHADERPROC, glDeleteShader)      \
    X(PFNGLCREATEPROGRAMPROC, glCreateProgram) X(PFNGLATTACHSHADERPROC, glAttachShader)            \
    X(PFNGLLINKPROGRAMPROC, glLinkProgram) X(PFNGLGETPROGRAMIVPROC, glGetProgramiv)                \
    X(PFNGLUSEPROGRAMPROC, glUseProgram) X(PFNGLDELETEPROGRAMPROC, glDeleteProgram)                \
    X(PFNGLGETUNIFORMLOCATIONPROC, glGetUniformLocation) X(PFNGLUNIFORM1IPROC, glUniform1i)        \
    X(PFNGLUNIFORM1FPROC, glUniform1f) X(PFNGLUNIFORM2FPROC, glUniform2f)                          \
    X(PFNGLUNIFORM3FPROC, glUniform3f) X(PFNGLGENVERTEXARRAYSPROC, glGenVertexArrays)              \
    X(PFNGLBINDVERTEXARRAYPROC, glBindVertexArray)                                                 \
    X(PFNGLDELETEVERTEXARRAYSPROC, glDeleteVertexArrays) X(PFNGLACTIVETEXTUREPROC, glActiveTexture)
/* clang-format on */

typedef struct gl_calls {
#define FIELD(type, name) type name;
    GL_CALLS(FIELD)
#undef FIELD
} gl_calls;

typedef struct small_texture { /* what ui_image gets */
    uintptr_t handle;          /* GLuint or SDL_Texture * */
    int width, height;
} small_texture;

enum { MAX_TEXTURES = 512 };

struct display {
    SDL_Window *window;
    SDL_GLContext gl;
    SDL_Renderer *renderer;
    gl_calls f;
    GLuint program, vertices, slots[DISPLAY_SLOTS], map;
    SDL_Texture *composed; /* renderer: the picture as it is to be seen */
    fv_picture pictures[DISPLAY_SLOTS];
    float *map_values;
    int map_width, map_height;
    bool stale;
    display_view composed_view;
    small_texture textures[MAX_TEXTURES];
    int texture_count;
};

/* --- OpenGL --- */

static fv_status compile(display *d, GLenum kind, const char *source, GLuint *out)
{
    GLint ok;
    char log[512] = "";
    GLuint s = d->f.glCreateShader(kind);
    d->f.glShaderSource(s, 1, &source, NULL);
    d->f.glCompileShader(s);
    d->f.glGetShaderiv(s, GL_COMPILE_STATUS, &ok);
    if (!ok) {
        d->f.glGetShaderInfoLog(s, sizeof log, NULL, log);
        d->f.glDeleteShader(s);
        return fv_fail(FV_ERR_DEVICE, "compiling a shader: %s", log);
    }
    *out = s;
    return FV_OK;
}

static fv_status open_gl(display *d)
{
    GLuint vertex, fragment;
    GLint ok;
    void *call;
#define LOAD(type, name)                                                                           \
    if (!(call = SDL_GL_GetProcAddress(#name)))                                                    \
        return fv_fail(FV_ERR_UNSUPPORTED, "OpenGL has no %s", #name);                             \
    memcpy(&d->f.name, &call, sizeof call);
    GL_CALLS(LOAD)
#undef LOAD
    FV_TRY(compile(d, GL_VERTEX_SHADER, shader_picture_vert, &vertex));
    FV_TRY(compile(d, GL_FRAGMENT_SHADER, shader_picture_frag, &fragment));
    d->program = d->f.glCreateProgram();
    d->f.glAttachShader(d->program, vertex);
    d->f.glAttachShader(d->program, fragment);
    d->f.glLinkProgram(d->program);
    d->f.glGetProgramiv(d->program, GL_LINK_STATUS, &ok);
    d->f.glDeleteShader(vertex);
    d->f.glDeleteShader(fragment);
    if (!ok) return fv_fail(FV_ERR_DEVICE, "linking the picture's shaders failed");
    d->f.glGenVertexArrays(1, &d->vertices);
    return FV_OK;
}

static void gl_texture(GLuint *texture, int w, int h, GLenum inside, GLenum format, GLenum type,
                       const void *pixels)
{
    if (!*texture) glGenTextures(1, texture);
    glBindTexture(GL_TEXTURE_2D, *texture);
    glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    glTexImage2D(GL_TEXTURE_2D, 0, (GLint)inside, w, h, 0, format, type, pixels);
}

static void set_int(display *d, const char *name, int value)
{
    d->f.glUniform1i(d->f.glGetUniformLocation(d->program, name), value);
}

static void set_float(display *d, const char *name, float value)
{
    d->f.glUniform1f(d->f.glGetUniformLocation(d->program, name), value);
}

static void set_pair(display *d, const char *name, float x, float y)
{
    d->f.glUniform2f(d->f.glGetUniformLocation(d->program, name), x, y);
}

static display_mode possible(const display *d, display_mode mode)
{
    const fv_picture *a = &d->pictures[DISPLAY_SHOWN], *b = &d->pictures[DISPLAY_OTHER];
    bool alike = b->rgb && a->width == b->width && a->height == b->height;
    if (mode == DISPLAY_MAP) return d->map_values ? mode : DISPLAY_PICTURE;
    return mode == DISPLAY_PICTURE || alike ? mode : DISPLAY_PICTURE;
}

static void draw_gl(display *d, ui_rect canvas, ui_rect place, const display_view *v)
{
    int w, h, dw, dh;
    SDL_GetWindowSize(d->window, &w, &h);
    SDL_GL_GetDrawableSize(d->window, &dw, &dh);
    float density = (float)dw / (float)w;
    const fv_picture *p = &d->pictures[DISPLAY_SHOWN];
    ui_rgb back = ui_colour_of(UI_CANVAS);
    glViewport((int)(canvas.x * density), (int)((float)dh - (canvas.y + canvas.h) * density),
               (int)(canvas.w * density), (int)(canvas.h * density));
    glDisable(GL_BLEND);
    glDisable(GL_SCISSOR_TEST);
    d->f.glUseProgram(d->program);
    d->f.glBindVertexArray(d->vertices);
    for (int i = 0; i < DISPLAY_SLOTS; i++) {
        d->f.glActiveTexture((GLenum)(GL_TEXTURE0 + i));
        glBindTexture(GL_TEXTURE_2D, d->slots[i]);
    }
    d->f.glActiveTexture(GL_TEXTURE2);
    glBindTexture(GL_TEXTURE_2D, d->map);
    set_int(d, "picture", 0);
    set_int(d, "other", 1);
    set_int(d, "map", 2);
    set_int(d, "mode", (int)possible(d, v->mode));
    set_int(d, "crisp", v->crisp);
    set_pair(d, "canvas", canvas.w, canvas.h);
    set_pair(d, "origin", place.x - canvas.x, place.y - canvas.y);
    set_pair(d, "size", (float)p->width, (float)p->height);
    set_float(d, "zoom", place.w / (float)p->width);
    set_float(d, "gain", exp2f(v->stops));
    set_float(d, "split", v->split);
    set_float(d, "strength", v->strength);
    d->f.glUniform3f(d->f.glGetUniformLocation(d->program, "background"), (float)back.r / 255,
                     (float)back.g / 255, (float)back.b / 255);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    d->f.glBindVertexArray(0);
    d->f.glUseProgram(0);
    d->f.glActiveTexture(GL_TEXTURE0);
    glViewport(0, 0, dw, dh);
}

/* --- SDL's renderer: the shader's work, once for every change --- */

static void heat(float v, float out[3])
{
    static const float stops[4][3] = {
        {0.05f, 0.03f, 0.12f}, {0.45f, 0.10f, 0.35f}, {0.90f, 0.38f, 0.18f}, {1.00f, 0.93f, 0.66f}};
    float at = fminf(fmaxf(v, 0), 0.9999f) * 3;
    int i = (int)at;
    for (int c = 0; c < 3; c++)
        out[c] = stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - (float)i);
}

static float map_at(const display *d, int x, int y)
{
    const fv_picture *p = &d->pictures[DISPLAY_SHOWN];
    float u = ((float)x + 0.5f) * (float)d->map_width / (float)p->width - 0.5f;
    float v = ((float)y + 0.5f) * (float)d->map_height / (float)p->height - 0.5f;
    int right = d->map_width - 1, bottom = d->map_height - 1;
    u = fminf(fmaxf(u, 0), (float)right), v = fminf(fmaxf(v, 0), (float)bottom);
    int i = (int)u, j = (int)v, k = i < right ? i + 1 : i, l = j < bottom ? j + 1 : j;
    const float *m = d->map_values;
    int s = d->map_width;
    float top = m[j * s + i] + (m[j * s + k] - m[j * s + i]) * (u - (float)i);
    float low = m[l * s + i] + (m[l * s + k] - m[l * s + i]) * (u - (float)i);
    return top + (low - top) * (v - (float)j);
}

static void compose_pixel(const display *d, const display_view *v, int x, int y, uint8_t out[3])
{
    const fv_picture *p = &d->pictures[DISPLAY_SHOWN], *q = &d->pictures[DISPLAY_OTHER];
    size_t at = ((size_t)y * (size_t)p->width + (size_t)x) * 3;
    float gain = exp2f(v->stops), hot[3] = {0, 0, 0}, t = 0;
    if (v->mode == DISPLAY_MAP) {
        float m = map_at(d, x, y);
        heat(m, hot);
        t = fminf(fmaxf((m - 0.05f) / 0.55f, 0), 1);
        t = v->strength * t * t * (3 - 2 * t);
    }
    for (int c = 0; c < 3; c++) {
        float a = (float)p->rgb[at + (size_t)c] / 255;
        if (v->mode == DISPLAY_DIFFERENCE)
            a = 0.5f + 1.5f * (a - (float)q->rgb[at + (size_t)c] / 255);
        else if (v->mode == DISPLAY_MAP)
            a = a * (1 - 0.75f * v->strength) * (1 - t) + hot[c] * t;
        else if (v->mode == DISPLAY_COMPARE && (float)x + 0.5f < v->split * (float)p->width)
            a = (float)q->rgb[at + (size_t)c] / 255;
        else if (v->mode == DISPLAY_CODES)
            a = 0.45f * a + 0.55f * (float)q->rgb[at + (size_t)c] / 255;
        out[c] = (uint8_t)(fminf(fmaxf(a * gain, 0), 1) * 255 + 0.5f);
    }
}

static void compose(display *d, const display_view *v)
{
    const fv_picture *p = &d->pictures[DISPLAY_SHOWN];
    display_view view = *v;
    int w = 0, h = 0;
    view.mode = possible(d, v->mode);
    if (!d->stale && memcmp(&view, &d->composed_view, sizeof view) == 0) return;
    if (d->composed) SDL_QueryTexture(d->composed, NULL, NULL, &w, &h);
    if (w != p->width || h != p->height) {
        if (d->composed) SDL_DestroyTexture(d->composed);
        d->composed = SDL_CreateTexture(d->renderer, SDL_PIXELFORMAT_RGB24,
                                        SDL_TEXTUREACCESS_STREAMING, p->width, p->height);
    }
    uint8_t *pixels = malloc((size_t)p->width * (size_t)p->height * 3);
    for (int y = 0; pixels && y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            compose_pixel(d, &view, x, y, pixels + ((size_t)y * (size_t)p->width + (size_t)x) * 3);
    if (pixels && d->composed) SDL_UpdateTexture(d->composed, NULL, pixels, p->width * 3);
    free(pixels);
    d->stale = false;
    d->composed_view = view;
}

static void draw_renderer(display *d, ui_rect canvas, ui_rect place, const display_view *v)
{
    int w, h, dw, dh;
    SDL_GetWindowSize(d->window, &w, &h);
    SDL_GetRendererOutputSize(d->renderer, &dw, &dh);
    float density = (float)dw / (float)w;
    compose(d, v);
    if (!d->composed) return;
    SDL_SetTextureScaleMode(d->composed, v->crisp ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
    SDL_RenderSetScale(d->renderer, density, density);
    SDL_Rect clip = {(int)canvas.x, (int)canvas.y, (int)canvas.w, (int)canvas.h};
    SDL_FRect to = {place.x, place.y, place.w, place.h};
    SDL_RenderSetClipRect(d->renderer, &clip);
    SDL_RenderCopyF(d->renderer, d->composed, NULL, &to);
    SDL_RenderSetClipRect(d->renderer, NULL);
    SDL_RenderSetScale(d->renderer, 1, 1);
}

/* --- both --- */

fv_status display_open(display **out, SDL_Window *window, SDL_GLContext gl, SDL_Renderer *renderer)
{
    display *d = calloc(1, sizeof *d);
    if (!d) return fv_fail(FV_ERR_MEMORY, "opening the display: out of memory");
    d->window = window;
    d->gl = gl;
    d->renderer = renderer;
    fv_status s = gl ? open_gl(d) : FV_OK;
    if (s < 0) {
        free(d);
        return s;
    }
    *out = d;
    return FV_OK;
}

static void destroy_texture(display *d, uintptr_t handle)
{
    GLuint name = (GLuint)handle;
    if (d->gl)
        glDeleteTextures(1, &name);
    else
        SDL_DestroyTexture((SDL_Texture *)handle);
}

void display_close(display *d)
{
    if (!d) return;
    for (int i = 0; i < d->texture_count; i++)
        if (d->textures[i].handle) destroy_texture(d, d->textures[i].handle);
    if (d->gl) {
        glDeleteTextures(DISPLAY_SLOTS, d->slots);
        glDeleteTextures(1, &d->map);
        d->f.glDeleteVertexArrays(1, &d->vertices);
        d->f.glDeleteProgram(d->program);
    }
    if (d->composed) SDL_DestroyTexture(d->composed);
    for (int i = 0; i < DISPLAY_SLOTS; i++) fv_picture_free(&d->pictures[i]);
    free(d->map_values);
    free(d);
}

void display_set(display *d, int slot, const fv_picture *p)
{
    fv_picture_free(&d->pictures[slot]);
    d->stale = true;
    if (!p) return;
    size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    fv_picture copy = {p->width, p->height, malloc(bytes)};
    if (!copy.rgb) return;
    memcpy(copy.rgb, p->rgb, bytes);
    d->pictures[slot] = copy;
    if (d->gl)
        gl_texture(&d->slots[slot], p->width, p->height, GL_RGB8, GL_RGB, GL_UNSIGNED_BYTE, p->rgb);
}

void display_set_map(display *d, const float *values, int width, int height)
{
    free(d->map_values);
    d->map_values = NULL;
    d->stale = true;
    if (!values) return;
    size_t n = (size_t)width * (size_t)height;
    d->map_values = malloc(n * sizeof *values);
    if (!d->map_values) return;
    memcpy(d->map_values, values, n * sizeof *values);
    d->map_width = width;
    d->map_height = height;
    if (d->gl) gl_texture(&d->map, width, height, GL_R32F, GL_RED, GL_FLOAT, values);
}

bool display_has(const display *d, int slot)
{
    return d->pictures[slot].rgb != NULL;
}

ui_rect display_place(const display *d, ui_rect canvas, const display_view *v)
{
    const fv_picture *p = &d->pictures[DISPLAY_SHOWN];
    float w = p->rgb ? (float)p->width : 256, h = p->rgb ? (float)p->height : 256;
    float margin = ui_px(20);
    float fit = fminf((canvas.w - 2 * margin) / w, (canvas.h - 2 * margin) / h);
    float zoom = v->zoom > 0 ? v->zoom : fmaxf(fit, 0.05f);
    ui_rect r = {0, 0, w * zoom, h * zoom};
    r.x = floorf(canvas.x + (canvas.w - r.w) / 2 + v->shift_x);
    r.y = floorf(canvas.y + (canvas.h - r.h) / 2 + v->shift_y);
    return r;
}

void display_draw(display *d, ui_rect canvas, const display_view *v)
{
    if (!display_has(d, DISPLAY_SHOWN) || canvas.w < 1 || canvas.h < 1) return;
    ui_rect place = display_place(d, canvas, v);
    if (d->gl)
        draw_gl(d, canvas, place, v);
    else
        draw_renderer(d, canvas, place, v);
}

void display_clear(display *d)
{
    ui_rgb c = ui_colour_of(UI_CANVAS);
    if (d->gl) {
        int w, h;
        SDL_GL_GetDrawableSize(d->window, &w, &h);
        glViewport(0, 0, w, h);
        glDisable(GL_SCISSOR_TEST);
        glClearColor((float)c.r / 255, (float)c.g / 255, (float)c.b / 255, 1);
        glClear(GL_COLOR_BUFFER_BIT);
    } else {
        SDL_SetRenderDrawColor(d->renderer, c.r, c.g, c.b, 255);
        SDL_RenderClear(d->renderer);
    }
}

void display_present(display *d)
{
    if (d->gl)
        SDL_GL_SwapWindow(d->window);
    else
        SDL_RenderPresent(d->renderer);
}

void display_finish(display *d)
{
    if (d->gl)
        glFinish();
    else
        SDL_RenderFlush(d->renderer);
}

/* --- small pictures --- */

static small_texture *find_texture(display *d, void *handle)
{
    for (int i = 0; handle && i < d->texture_count; i++)
        if (d->textures[i].handle == (uintptr_t)handle) return &d->textures[i];
    return NULL;
}

static small_texture *new_texture(display *d)
{
    for (int i = 0; i < d->texture_count; i++)
        if (!d->textures[i].handle) return &d->textures[i];
    return d->texture_count < MAX_TEXTURES ? &d->textures[d->texture_count++] : NULL;
}

void *display_texture(display *d, void *old, const fv_picture *p)
{
    small_texture *t = find_texture(d, old);
    if (t && (t->width != p->width || t->height != p->height)) {
        destroy_texture(d, t->handle);
        t->handle = 0;
    }
    if (!t && !(t = new_texture(d))) return NULL;
    t->width = p->width;
    t->height = p->height;
    if (d->gl) {
        GLuint name = (GLuint)t->handle;
        gl_texture(&name, p->width, p->height, GL_RGB8, GL_RGB, GL_UNSIGNED_BYTE, p->rgb);
        t->handle = name;
    } else {
        SDL_Texture *s = (SDL_Texture *)t->handle;
        if (!s)
            s = SDL_CreateTexture(d->renderer, SDL_PIXELFORMAT_RGB24, SDL_TEXTUREACCESS_STATIC,
                                  p->width, p->height);
        if (s) SDL_SetTextureScaleMode(s, SDL_ScaleModeLinear);
        if (s) SDL_UpdateTexture(s, NULL, p->rgb, p->width * 3);
        t->handle = (uintptr_t)s;
    }
    return (void *)t->handle;
}

void display_drop(display *d, void *texture)
{
    small_texture *t = find_texture(d, texture);
    if (!t) return;
    destroy_texture(d, t->handle);
    t->handle = 0;
}

fv_status display_screenshot(display *d, fv_picture *out)
{
    int w, h;
    if (d->gl)
        SDL_GL_GetDrawableSize(d->window, &w, &h);
    else
        SDL_GetRendererOutputSize(d->renderer, &w, &h);
    size_t row = (size_t)w * 3;
    fv_picture p = {w, h, malloc(row * (size_t)h)};
    uint8_t *line = malloc(row);
    if (!p.rgb || !line) {
        free(p.rgb);
        free(line);
        return fv_fail(FV_ERR_MEMORY, "taking a screenshot: out of memory");
    }
    if (d->gl) {
        glPixelStorei(GL_PACK_ALIGNMENT, 1);
        glReadPixels(0, 0, w, h, GL_RGB, GL_UNSIGNED_BYTE, p.rgb);
        for (int y = 0; y < h / 2; y++) { /* OpenGL's rows go up */
            uint8_t *a = p.rgb + row * (size_t)y, *b = p.rgb + row * (size_t)(h - 1 - y);
            memcpy(line, a, row);
            memcpy(a, b, row);
            memcpy(b, line, row);
        }
    } else {
        SDL_RenderReadPixels(d->renderer, NULL, SDL_PIXELFORMAT_RGB24, p.rgb, (int)row);
    }
    free(line);
    *out = p;
    return FV_OK;
}
