/* The branches of the picture, under the scrubber and on its scale. */
#include <stdio.h>
#include <string.h>

#include "app/window/app.h"

enum { ROWS_SHOWN = 4 };

float tree_height(const app *a)
{
    int rows = a->view.branch_count;
    if (rows < 2 || a->page != PAGE_IMAGINE) return 0;
    return ui_px((float)((rows < ROWS_SHOWN ? rows : ROWS_SHOWN) * UI_BRANCH_HEIGHT) + 20);
}

static void *texture_of(app *a, int i)
{
    const worker_branch *l = &a->view.branches[i];
    if (l->current) return NULL;
    if (a->branch_ids[i] != l->id || a->branch_steps[i] != l->step) {
        fv_picture p;
        if (!worker_branch_picture(a->worker, l->id, &p)) return NULL;
        a->branch_textures[i] = display_texture(a->screen, a->branch_textures[i], &p);
        fv_picture_free(&p);
        a->branch_ids[i] = l->id;
        a->branch_steps[i] = l->step;
    }
    return a->branch_textures[i];
}

void page_controls_tree(app *a, ui_rect r)
{
    static ui_branch branches[FV_MAX_BRANCHES];
    static char notes[FV_MAX_BRANCHES][64];
    const worker_view *v = &a->view;
    int last = 1;
    for (int i = 0; i < v->branch_count; i++) {
        const worker_branch *l = &v->branches[i];
        snprintf(notes[i], sizeof notes[i], "#%s   %d", l->seed, l->step);
        branches[i] = (ui_branch){l->text, notes[i], texture_of(a, i), l->parent,
                                  l->fork, l->step,  l->current};
        if (l->step > last) last = l->step;
    }
    r.y -= ui_px(8); /* the controls end with room to spare */
    r.h += ui_px(8);
    ui_area_begin("tree", r, UI_PANEL, true);
    int pressed = ui_tree(branches, v->branch_count, last, a->timeline.x + ui_px(7),
                          a->timeline.w - ui_px(14));
    if (pressed >= 0 && !v->branches[pressed].current) {
        worker_post(a->worker, ORDER_SWITCH, (long)v->branches[pressed].id, NULL, NULL);
        a->shown_frame = -1;
    }
    ui_area_end();
}
