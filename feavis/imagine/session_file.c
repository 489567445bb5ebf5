/* The whole state of a session as a .safetensors file: parameters, Adam's moments, the copy of the
 * NaN guard, the best state if one is kept; the recipe and a line of numbers as metadata. See
 * feavis.h. */
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/recipe.h"
#include "feavis/imagine/session.h"
#include "feavis/imagine/term_files.h"
#include "feavis/recipe.h"
#include "kernels/number.h"

static const char *const block_names[3] = {"value", "adam.m", "adam.v"};
static const char *const kept_names[3] = {"kept.value", "kept.adam.m", "kept.adam.v"};

fv_status fv_session_save(fv_session *s, const char *path)
{
    char *recipe = NULL, *files = NULL, numbers[160];
    FV_TRY(fv_session_settle(s));
    /* the guard's own copy must stay what it is: save from fresh ones */
    size_t n = s->param_count;
    float *blocks = malloc(3 * n * sizeof *blocks);
    if (!blocks) return fv_fail(FV_ERR_MEMORY, "saving %s: out of memory", path);
    fv_status status = fv_session_state_read(s, blocks);
    if (status >= 0) status = fv_session_recipe(s, &recipe);
    if (status >= 0) status = fv_recipe_write_files(&files, s->recipe, s->model);
    fv_save_entry entries[7];
    bool guarded = s->kept_step >= 0; /* else it was this state that could not be read */
    const float *kept = guarded ? s->kept : blocks;
    for (size_t i = 0; i < 3; i++) {
        entries[i] = (fv_save_entry){block_names[i], FV_FILE_F32, 1, {(int64_t)n}, blocks + i * n};
        entries[3 + i] = (fv_save_entry){kept_names[i], FV_FILE_F32, 1, {(int64_t)n}, kept + i * n};
    }
    entries[6] = (fv_save_entry){"best.value", FV_FILE_F32, 1, {(int64_t)n}, s->best};
    fv_print(numbers, sizeof numbers, "%d %d %a %d %d %d %a", s->step,
             guarded ? s->kept_step : s->step, s->rate_scale, s->restored, s->restored_in_a_row,
             s->best_step, s->best_loss);
    const char *const metadata[] = {"feavis.recipe", recipe, "feavis.files", files, "feavis.state",
                                    numbers,         NULL};
    if (status >= 0) status = fv_weights_save(path, entries, s->best ? 7 : 6, metadata);
    free(blocks);
    free(files);
    free(recipe);
    return status;
}

static fv_status check_fingerprint(const fv_weights *w, fv_model *m)
{
    fv_status s = fv_recipe_check_model(fv_weights_metadata(w, "feavis.recipe"), m);
    return s < 0 ? fv_fail_context(s, "saved state %s", fv_weights_path(w)) : s;
}

static const char *state_recipe(const fv_weights *w)
{
    const char *recipe = fv_weights_metadata(w, "feavis.recipe");
    if (!recipe) fv_fail(FV_ERR_FORMAT, "%s is not a saved state of feavis", fv_weights_path(w));
    return recipe;
}

static fv_status read_options(fv_options *o, const fv_weights *w)
{
    const char *recipe = state_recipe(w), *files = fv_weights_metadata(w, "feavis.files");
    if (!recipe) return FV_ERR_FORMAT;
    fv_status status = fv_recipe_apply(o, recipe, fv_weights_path(w));
    if (status >= 0 && files) status = fv_recipe_read_files(o, files, fv_weights_path(w));
    o->stop = 0; /* where it was saved is where it goes on */
    return status;
}

fv_status fv_session_read_options(fv_options *o, const char *path)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, path));
    fv_status status = read_options(o, w);
    fv_weights_close(w);
    return status;
}

static fv_status read_block(const fv_weights *w, const char *name, size_t n, float *out)
{
    const fv_entry *e = fv_weights_find(w, name);
    if (!e || fv_entry_count(e) != n || !fv_entry_readable(e))
        return fv_fail(FV_ERR_SHAPE, "saved state %s: %s has %zu numbers, expected %zu",
                       fv_weights_path(w), name, e ? fv_entry_count(e) : 0, n);
    fv_entry_read_f32(e, out);
    return FV_OK;
}

static fv_status read_state_blocks(const fv_weights *w, const char *const names[3], size_t n,
                                   float *out)
{
    for (size_t i = 0; i < 3; i++) FV_TRY(read_block(w, names[i], n, out + i * n));
    return FV_OK;
}

static fv_status read_state(fv_session *s, const fv_weights *w)
{
    const char *numbers = fv_weights_metadata(w, "feavis.state");
    int step, kept_step, restored, in_a_row, best_step = 0;
    double rate_scale, best_loss = 0;
    int found = numbers ? fv_scan(numbers, "%d %d %la %d %d %d %la", &step, &kept_step, &rate_scale,
                                  &restored, &in_a_row, &best_step, &best_loss)
                        : 0;
    bool whole = found == 7 || (found == 5 && !s->best); /* files without a best state are older */
    if (!whole || step < 0 || kept_step < 0 || best_step < 0 ||
        !(rate_scale > 0 && rate_scale <= 1))
        return fv_fail(FV_ERR_FORMAT, "saved state %s: its numbers are damaged",
                       fv_weights_path(w));
    s->step = step;
    FV_TRY(fv_session_replay(s)); /* may build another plan; the params stay as many */
    FV_TRY(read_state_blocks(w, block_names, s->param_count, s->kept));
    FV_TRY(fv_session_state_write(s->net.plan, s->kept));
    FV_TRY(read_state_blocks(w, kept_names, s->param_count, s->kept));
    if (s->best) FV_TRY(read_block(w, "best.value", s->param_count, s->best));
    s->best_step = best_step;
    s->best_loss = best_loss;
    s->kept_step = kept_step;
    s->rate_scale = rate_scale;
    s->restored = restored;
    s->restored_in_a_row = in_a_row;
    return FV_OK;
}

/* Does `row` shape the picture (no file that may lie elsewhere now, no machine), and differ? */
static bool changes(const fv_option *row, const fv_options *saved, const fv_options *over)
{
    const char *was = fv_options_get(saved, row->name), *now = fv_options_get(over, row->name);
    bool same;
    if (!(row->flags & FV_OPTION_RECIPE) || row->flags & (FV_OPTION_FILE | FV_OPTION_MODEL) ||
        strcmp(row->name, "stop") == 0 || strcmp(row->name, "start-hash") == 0 ||
        strcmp(row->name, "plausible-hash") == 0 || strcmp(was, now) == 0)
        return false;
    return row != fv_option_find("term") || fv_terms_same(&same, was, now) < 0 || !same;
}

/* What `over` has otherwise than the state was grown with: *o gets what it was grown with. Of what
 * cannot change in a picture that grows, one line says so. */
static fv_status find_changes(fv_options *o, const fv_options *saved, const fv_options *over)
{
    const fv_option *row;
    for (int i = 0; (row = fv_option_at(i)); i++) {
        if (!changes(row, saved, over)) continue;
        const char *was = fv_options_get(saved, row->name);
        if (!(row->flags & FV_OPTION_LIVE))
            return fv_fail(FV_ERR_ARGUMENT,
                           "%s is \"%.80s\", and was \"%.80s\" when this picture began to grow: it "
                           "cannot change any more",
                           row->name, fv_options_get(over, row->name), was);
        FV_TRY(fv_options_set(o, row->name, was));
    }
    return FV_OK;
}

/* They are live changes at the step where the state goes on, so that its recipe holds. */
static fv_status make_changes(fv_session *s, const fv_options *saved, const fv_options *over)
{
    const fv_option *row;
    for (int i = 0; (row = fv_option_at(i)); i++)
        if (changes(row, saved, over))
            FV_TRY(fv_session_set(s, row->name, fv_options_get(over, row->name)));
    return FV_OK;
}

fv_status fv_session_resume(fv_session **out, fv_model *m, const fv_options *over, const char *path)
{
    fv_weights *w;
    fv_options *o = NULL, *saved = NULL;
    fv_session *s = NULL;
    FV_TRY(fv_weights_open(&w, path));
    fv_status status = state_recipe(w) ? fv_options_copy(&o, over) : FV_ERR_FORMAT;
    if (status >= 0) status = check_fingerprint(w, m);
    if (status >= 0) status = fv_options_new(&saved);
    if (status >= 0) status = read_options(saved, w);
    if (status >= 0) status = find_changes(o, saved, over);
    if (status >= 0) status = fv_session_open(&s, m, o);
    if (status >= 0) status = read_state(s, w);
    if (status >= 0) status = make_changes(s, saved, over);
    fv_options_free(o);
    fv_options_free(saved);
    fv_weights_close(w);
    if (status < 0) {
        fv_session_close(s);
        return status;
    }
    *out = s;
    return FV_OK;
}
