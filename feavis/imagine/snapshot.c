/* Snapshots: states kept in memory and restored. See history.h. */
#include <stdlib.h>
#include <string.h>

#include "feavis/history.h"
#include "feavis/imagine/session.h"

struct fv_snapshot {
    fv_options *recipe, *now;
    int step, replayed, restored, best_step;
    double rate_scale, best_loss;
    size_t count;               /* parameters */
    float *blocks;              /* [3 * count]: value, m, v */
    float *best;                /* [count]; NULL unless keep is best */
    char identity[FV_IDENTITY]; /* of the model */
};

fv_status fv_session_take_snapshot(fv_session *s, fv_snapshot **out)
{
    FV_TRY(fv_session_settle(s));
    fv_snapshot *k = calloc(1, sizeof *k);
    if (!k) return fv_fail(FV_ERR_MEMORY, "keeping a state: out of memory");
    *k = (fv_snapshot){.step = s->step,
                       .replayed = s->replayed,
                       .restored = s->restored,
                       .rate_scale = s->rate_scale,
                       .best_step = s->best_step,
                       .best_loss = s->best_loss,
                       .count = s->param_count};
    strcpy(k->identity, s->model->identity);
    k->blocks = malloc(3 * k->count * sizeof *k->blocks);
    if (s->best) k->best = malloc(k->count * sizeof *k->best);
    bool room = k->blocks && (k->best || !s->best);
    fv_status status = room ? FV_OK : fv_fail(FV_ERR_MEMORY, "keeping a state: out of memory");
    if (room && s->best) memcpy(k->best, s->best, k->count * sizeof *k->best);
    if (status >= 0) status = fv_session_state_read(s, k->blocks);
    if (status >= 0) status = fv_options_copy(&k->recipe, s->recipe);
    if (status >= 0) status = fv_options_copy(&k->now, s->now);
    if (status < 0) {
        fv_snapshot_free(k);
        return status;
    }
    *out = k;
    return FV_OK;
}

/* The plan's shape depends on the options that are not live; they have to agree. */
static const char *difference(const fv_options *a, const fv_options *b)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        if ((row->flags & FV_OPTION_LIVE) || !(row->flags & FV_OPTION_RECIPE)) continue;
        if (strcmp(row->name, "stop") == 0) continue;
        if (strcmp(fv_options_get(a, row->name), fv_options_get(b, row->name)) != 0)
            return row->name;
    }
    return NULL;
}

fv_status fv_session_restore(fv_session *s, const fv_snapshot *k)
{
    fv_options *recipe, *now;
    const char *other = difference(k->recipe, s->recipe);
    if (strcmp(k->identity, s->model->identity) != 0) other = "model";
    if (other || k->count != s->param_count)
        return fv_fail(FV_ERR_ARGUMENT, "the state of step %d is of another %s", k->step,
                       other ? other : "size");
    FV_TRY(fv_session_end_step(s));
    FV_TRY(fv_options_copy(&recipe, k->recipe));
    fv_status status = fv_options_copy(&now, k->now);
    if (status >= 0) status = fv_session_adopt(s, now, k->blocks);
    if (status < 0) {
        fv_options_free(recipe);
        return status;
    }
    s->owed = FV_OWED_NOTHING;
    if (s->best) memcpy(s->best, k->best, k->count * sizeof *k->best);
    s->best_step = k->best_step;
    s->best_loss = k->best_loss;
    fv_session_forget_pending(s);
    fv_options_free(s->recipe);
    s->recipe = recipe;
    s->step = s->kept_step = k->step;
    s->replayed = k->replayed;
    s->restored = k->restored;
    s->restored_in_a_row = 0;
    s->rate_scale = k->rate_scale;
    return FV_OK;
}

int fv_snapshot_step(const fv_snapshot *k)
{
    return k->step;
}

size_t fv_snapshot_bytes(const fv_snapshot *k)
{
    return sizeof *k + (size_t)(k->best ? 4 : 3) * k->count * sizeof *k->blocks;
}

void fv_snapshot_free(fv_snapshot *k)
{
    if (!k) return;
    fv_options_free(k->recipe);
    fv_options_free(k->now);
    free(k->blocks);
    free(k->best);
    free(k);
}
