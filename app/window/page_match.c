/* Similarity: pictures against texts. Pressing a cell asks for a picture: of that text, begun with
 * that picture. */
#include <stdio.h>

#include "app/window/app.h"

static void compute(app *a)
{
    worker_post(a->worker, ORDER_MATCH, 0, a->match_texts, a->match_pictures);
}

static void bar(app *a)
{
    const worker_view *v = &a->view;
    bool has = a->matched.pictures.count && a->matched.texts.count;
    if (ui_button("compute", tr(a, W_COMPUTE), UI_ICON_RUN, UI_PRIMARY, 0,
                  *a->match_texts && *a->match_pictures && v->channels))
        compute(a);
    ui_beside();
    if (ui_button("clear", tr(a, W_CLEAR), UI_NO_ICON, UI_PLAIN, 0, *a->match_pictures)) {
        a->match_pictures[0] = 0;
        compute(a);
    }
    ui_beside();
    if (ui_button("matrix-save", tr(a, W_SAVE), UI_ICON_KEEP, UI_PLAIN, 0, has))
        worker_post(a->worker, ORDER_MATRIX, 0, NULL, NULL);
    ui_hint(tr(a, W_MATRIX_ABOUT));
}

static void take_cell(app *a, int cell)
{
    const worker_matched *m = &a->matched;
    int columns = m->texts.count;
    app_take(a, a->text, sizeof a->text, m->texts.at[cell % columns]);
    app_take(a, a->start, sizeof a->start, m->pictures.at[cell / columns]);
    app_imagine(a);
}

/* Texts and pictures are those the numbers are of, whatever the field says by now. A matrix for
 * each model that looks. */
static void tables(app *a)
{
    worker_matched *m = &a->matched;
    const char *labels[WORKER_MATCH];
    void *pictures[WORKER_MATCH];
    int loads = 2, cell = -1;
    if (a->view.match_serial) worker_match(a->worker, m);
    int rows = m->pictures.count, columns = m->texts.count;
    if (!rows || !columns) return;
    for (int j = 0; j < columns; j++) labels[j] = m->texts.at[j];
    for (int i = 0; i < rows; i++) pictures[i] = app_thumbnail(a, m->pictures.at[i], &loads);
    if (loads <= 0) app_more_frames(a);
    float width = (ui_room() - 80) / (float)columns;
    width = width > 150 ? 150 : width < 54 ? 54 : width;
    for (int g = 0; g < m->guides; g++) {
        char name[32] = "matrix";
        if (g) snprintf(name, sizeof name, "matrix-%d", g + 1);
        if (m->guides > 1) ui_heading(m->of[g].model);
        ui_table t = {m->of[g].values, rows, columns, labels, pictures, m->of[g].best, width, 64};
        int pressed = ui_matrix(name, &t);
        if (pressed >= 0) cell = pressed;
    }
    if (cell >= 0) take_cell(a, cell);
}

void page_match(app *a, ui_rect r)
{
    ui_area_begin("match", r, UI_PANEL, true);
    ui_paragraph(tr(a, W_MATCH_ABOUT), UI_MUTED);
    ui_poem("match-texts", a->match_texts, sizeof a->match_texts, tr(a, W_MATCH_HINT), 92);
    bar(a);
    ui_space(8);
    tables(a);
    ui_area_end();
}
