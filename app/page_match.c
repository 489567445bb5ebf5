/* Similarity: pictures against texts. A cell is a wish: that text, from that picture. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

const char *nth_line(const char *lines, int n, char *out, size_t size)
{
    *out = 0;
    while (*lines) {
        size_t length = strcspn(lines, "\r\n");
        if (lines[strspn(lines, " \t")] && strspn(lines, " \t") < length && n-- == 0) {
            snprintf(out, size, "%.*s", (int)length, lines);
            break;
        }
        lines += length + (lines[length] != 0);
    }
    return out;
}

static void compute(app *a)
{
    worker_post(a->worker, ORDER_MATCH, 0, a->match_texts, a->match_pictures);
}

static void bar(app *a)
{
    const worker_view *v = &a->view;
    if (ui_button("compute", tr(a, W_COMPUTE), UI_ICON_RUN, UI_PRIMARY, 0,
                  *a->match_texts && *a->match_pictures && v->channels))
        compute(a);
    ui_beside();
    if (ui_button("clear", tr(a, W_CLEAR), UI_NO_ICON, UI_PLAIN, 0, *a->match_pictures)) {
        a->match_pictures[0] = 0;
        compute(a);
    }
    ui_beside();
    if (ui_button("matrix-save", tr(a, W_SAVE), UI_ICON_KEEP, UI_PLAIN, 0,
                  v->match_pictures > 0 && v->match_texts > 0))
        worker_post(a->worker, ORDER_MATRIX, 0, NULL, NULL);
    ui_hint(tr(a, W_MATRIX_ABOUT));
}

static void imagine_cell(app *a, int row, int column)
{
    nth_line(a->match_texts, column, a->text, sizeof a->text);
    nth_line(a->match_pictures, row, a->start, sizeof a->start);
    app_imagine(a);
}

static void table(app *a)
{
    static float values[WORKER_MATCH * WORKER_MATCH];
    static char labels[WORKER_MATCH][256];
    const worker_view *v = &a->view;
    const char *columns[WORKER_MATCH];
    void *pictures[WORKER_MATCH];
    char path[1024];
    int best[WORKER_MATCH], loads = 2;
    if (!v->match_texts || !v->match_pictures || !worker_match(a->worker, values, best)) return;
    for (int j = 0; j < v->match_texts; j++)
        columns[j] = nth_line(a->match_texts, j, labels[j], sizeof labels[j]);
    for (int i = 0; i < v->match_pictures; i++)
        pictures[i] = app_thumbnail(a, nth_line(a->match_pictures, i, path, sizeof path), &loads);
    if (loads <= 0) app_more_frames(a);
    float width = (ui_room() - 80) / (float)v->match_texts;
    ui_table t = {values,
                  v->match_pictures,
                  v->match_texts,
                  columns,
                  pictures,
                  best,
                  width > 150  ? 150
                  : width < 54 ? 54
                               : width,
                  64};
    int cell = ui_matrix("matrix", &t);
    if (cell >= 0) imagine_cell(a, cell / v->match_texts, cell % v->match_texts);
}

void page_match(app *a, ui_rect r)
{
    ui_area_begin("match", r, UI_PANEL, true);
    ui_paragraph(tr(a, W_MATCH_ABOUT), UI_MUTED);
    ui_poem("match-texts", a->match_texts, sizeof a->match_texts, tr(a, W_MATCH_HINT), 92);
    bar(a);
    ui_space(8);
    table(a);
    ui_area_end();
}
