/* The quiz: a picture of the gallery without its name, and five texts. What is answered is kept
 * before anything is said of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"
#include "feavis/files.h"

enum { QUESTIONS = 10, HARDEST = 6 };

static void read_tallies(app *a)
{
    fv_tally *all;
    int count;
    if (fv_study_read(&all, &count) < 0) {
        app_fail(a);
        return;
    }
    fv_study_free(a->tallies, a->tally_count);
    a->tallies = all;
    a->tally_count = count;
}

static void show_question(app *a, int i)
{
    fv_picture p;
    a->quiz_at = i;
    a->quiz_answer = -1;
    a->quiz_since = SDL_GetTicks64();
    if (fv_quiz_picture(a->quiz, i, &p) < 0) {
        app_fail(a);
        return;
    }
    a->quiz_texture = display_texture(a->screen, a->quiz_texture, &p);
    fv_picture_free(&p);
}

static void begin(app *a)
{
    fv_quiz *q;
    const char *gallery = fv_options_get(a->options, "gallery");
    if (fv_study_check() < 0 || fv_quiz_open(&q, gallery, a->quiz_seed, QUESTIONS) < 0) {
        app_fail(a);
        return;
    }
    fv_quiz_close(a->quiz);
    a->quiz = q;
    a->quiz_right = a->quiz_asked = 0;
    show_question(a, 0);
}

static void answer(app *a, int k)
{
    double seconds = (double)(SDL_GetTicks64() - a->quiz_since) / 1000;
    if (fv_quiz_answer(a->quiz, a->quiz_at, k, seconds) < 0) {
        app_fail(a);
        return;
    }
    a->quiz_answer = k;
    a->quiz_asked++;
    a->quiz_right += k == fv_quiz_own(a->quiz, a->quiz_at);
    read_tallies(a);
}

static void export_csv(app *a)
{
    char *csv, *path = NULL;
    const char *gallery = fv_options_get(a->options, "gallery");
    if (fv_study_csv(&csv) < 0) {
        app_fail(a);
        return;
    }
    fv_status s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add_text(gallery, "quiz", 1, ".csv", csv, strlen(csv), &path);
    if (s < 0)
        app_fail(a);
    else
        app_toast(a, path, false);
    free(path);
    free(csv);
}

/* --- the page --- */

static void share_line(const char *what, const fv_tally *t)
{
    char value[96];
    if (t->asked)
        snprintf(value, sizeof value, "%d / %d   %.0f %%  [%.0f, %.0f]", t->right, t->asked,
                 100.0 * t->right / t->asked, 100 * t->low, 100 * t->high);
    else
        snprintf(value, sizeof value, "–");
    ui_pair(what, value, UI_TEXT);
}

static void figures(app *a)
{
    fv_tally round = {.asked = a->quiz_asked, .right = a->quiz_right};
    fv_wilson(round.right, round.asked, &round.low, &round.high);
    if (!a->tally_count) read_tallies(a);
    if (!a->tally_count) return;
    ui_space(8);
    share_line(tr(a, W_QUIZ_ROUND), &round);
    share_line(tr(a, W_QUIZ_ALL), &a->tallies[0]);
    ui_paragraph(tr(a, W_QUIZ_CHANCE), UI_MUTED);
    if (a->tallies[0].asked &&
        ui_button("quiz-export", tr(a, W_QUIZ_EXPORT), UI_ICON_KEEP, UI_PLAIN, 0, true))
        export_csv(a);
    if (a->quiz && a->quiz_answer < 0) return; /* texts by name only between questions */
    if (a->tally_count > 1) ui_heading(tr(a, W_QUIZ_TEXTS));
    for (int i = 1; i < a->tally_count && i <= HARDEST; i++)
        share_line(a->tallies[i].text, &a->tallies[i]);
}

static void choices(app *a)
{
    int own = fv_quiz_own(a->quiz, a->quiz_at);
    bool answered = a->quiz_answer >= 0;
    for (int k = 0; k < FV_QUIZ_CHOICES; k++) {
        char name[24];
        snprintf(name, sizeof name, "choice-%d", k + 1);
        bool mark = answered && k == own;
        const char *text = app_fit(fv_quiz_choice(a->quiz, a->quiz_at, k), ui_px(ui_room() - 24));
        if (ui_button(name, text, UI_NO_ICON, mark ? UI_PRIMARY : UI_PLAIN, -1,
                      !answered || mark) &&
            !answered)
            answer(a, k);
    }
}

static void verdict(app *a)
{
    char *text = NULL;
    int own = fv_quiz_own(a->quiz, a->quiz_at);
    bool right = a->quiz_answer == own, more = a->quiz_at + 1 < fv_quiz_count(a->quiz);
    if (a->quiz_answer < 0) return;
    if (right)
        ui_text(tr(a, W_QUIZ_RIGHT), UI_BODY, UI_ROBUSTNESS);
    else if (asprintf(&text, tr(a, W_QUIZ_WRONG), fv_quiz_choice(a->quiz, a->quiz_at, own)) >= 0)
        ui_paragraph(text, UI_WARNING);
    free(text);
    if (more && ui_button("quiz-next", tr(a, W_QUIZ_NEXT), UI_ICON_RUN, UI_PRIMARY, -1, true))
        show_question(a, a->quiz_at + 1);
}

/* The same seed asks the same questions of everybody. */
static void begin_row(app *a)
{
    if (!a->quiz_seed) a->quiz_seed = SDL_GetPerformanceCounter() % 99999 + 1;
    ui_heading(tr(a, W_SEED));
    ui_seed("quiz-seed", &a->quiz_seed, -1);
    if (!ui_button("quiz-begin", tr(a, W_QUIZ_BEGIN), UI_ICON_RUN, UI_PRIMARY, -1, true)) return;
    begin(a);
    a->quiz_seed++; /* of the next round */
}

static void question(app *a, ui_rect r)
{
    char count[32];
    ui_area_begin("side-quiz", r, UI_PANEL, true);
    ui_paragraph(tr(a, W_QUIZ_ABOUT), UI_MUTED);
    bool ended = a->quiz && a->quiz_answer >= 0 && a->quiz_at + 1 == fv_quiz_count(a->quiz);
    if (a->quiz) {
        snprintf(count, sizeof count, "%d / %d", a->quiz_at + 1, fv_quiz_count(a->quiz));
        ui_heading(count);
        choices(a);
        verdict(a);
    }
    if (!a->quiz || ended) begin_row(a);
    figures(a);
    ui_area_end();
}

void page_quiz(app *a, ui_rect r)
{
    float left = ui_px(r.w < ui_px(1060) ? 300 : 380);
    ui_rect canvas = {r.x + left, r.y, r.w - left, r.h};
    question(a, (ui_rect){r.x, r.y, left, r.h});
    ui_area_begin("quiz-canvas", canvas, UI_CANVAS, false);
    if (a->quiz && a->quiz_texture) {
        float room = ui_room(), height = ui_height_left() - 24;
        float side = room < height ? room : height;
        ui_image("quiz-picture", a->quiz_texture, side, side, NULL, false);
    }
    ui_area_end();
}
