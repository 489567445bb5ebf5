/* The branches of the picture, under the scrubber and on its scale. */
#include <stdio.h>
#include <string.h>

#include "app/window/app.h"

enum { ROWS_SHOWN = 4 };

float tree_height(const app *a)
{
    int rows = a->view.line_count;
    if (rows < 2 || a->page != PAGE_IMAGINE) return 0;
    return ui_px((float)((rows < ROWS_SHOWN ? rows : ROWS_SHOWN) * UI_BRANCH_HEIGHT) + 20);
}

static void *texture_of(app *a, int i)
{
    const worker_line *l = &a->view.lines[i];
    if (l->current) return NULL;
    if (a->line_ids[i] != l->id || a->line_steps[i] != l->step) {
        fv_picture p;
        if (!worker_line_picture(a->worker, l->id, &p)) return NULL;
        a->line_textures[i] = display_texture(a->screen, a->line_textures[i], &p);
        fv_picture_free(&p);
        a->line_ids[i] = l->id;
        a->line_steps[i] = l->step;
    }
    return a->line_textures[i];
}

void page_controls_tree(app *a, ui_rect r)
{
    static ui_branch branches[FV_MOST_LINES];
    static char notes[FV_MOST_LINES][64];
    const worker_view *v = &a->view;
    int last = 1;
    for (int i = 0; i < v->line_count; i++) {
        const worker_line *l = &v->lines[i];
        snprintf(notes[i], sizeof notes[i], "#%s   %d", l->seed, l->step);
        branches[i] = (ui_branch){l->text, notes[i], texture_of(a, i), l->parent,
                                  l->fork, l->step,  l->current};
        if (l->step > last) last = l->step;
    }
    r.y -= ui_px(8); /* the controls end with room to spare */
    r.h += ui_px(8);
    ui_area_begin("tree", r, UI_PANEL, true);
    int pressed =
        ui_tree(branches, v->line_count, last, a->timeline.x + ui_px(7), a->timeline.w - ui_px(14));
    if (pressed >= 0 && !v->lines[pressed].current) {
        worker_post(a->worker, ORDER_LINE, (long)v->lines[pressed].id, NULL, NULL);
        a->shown_moment = -1;
    }
    ui_area_end();
}
