/* feavis gap PHOTOS: how far the model's embeddings of photos lie from those of their captions, and
 * how near a caption comes to its photo: what --plausible takes. */
#include <stdlib.h>

#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/gap.h"

typedef struct gap {
    cli *c;
    fv_model *model;
    fv_list photos, captions;
    int *of;
} gap;

static fv_status list(gap *q)
{
    cli *c = q->c;
    int missing = 0;
    const char *out = fv_options_get(c->options, "out");
    if (c->words && c->images)
        return fv_fail(FV_ERR_ARGUMENT, "gap takes one folder of photos, and there are two");
    if (c->words) c->images = c->words;
    if (!c->images || !*c->images || !*out)
        return fv_fail(FV_ERR_ARGUMENT, "gap needs a folder or list of photos and --out "
                                        "FILE.safetensors");
    FV_TRY(place_apart(out, "--out", c->captions, "--captions"));
    FV_TRY(place_apart(out, "--out", c->images, "the list of photos"));
    FV_TRY(place_check(out, "; give a file, gap.safetensors"));
    FV_TRY(many_list_pictures(&q->photos, c));
    if (!c->captions) return fv_gap_names(&q->captions, &q->of, &q->photos);
    FV_TRY(fv_gap_captions(&q->captions, &q->of, &missing, &q->photos, c->captions));
    if (missing && !c->quiet)
        fprintf(stderr, "feavis: %d captions are of photos that are not here\n", missing);
    return FV_OK;
}

static void tell_percentiles(const char *name, const float of[5])
{
    printf("%-22s", name);
    for (int i = 0; i < 5; i++) printf(" %6.3f", (double)of[i]);
    putchar('\n');
}

static void tell(const gap *q, const fv_gap_report *r)
{
    const char *out = fv_options_get(q->c->options, "out");
    if (json_on()) {
        json_begin("gap");
        json_path("path", out);
        json_whole("photos", r->photos);
        json_whole("captions", r->captions);
        json_number("length", (double)r->length);
        json_number("median", (double)r->plain[2]);
        json_number("median_moved", (double)r->moved[2]);
        json_end();
        return;
    }
    printf("%s: %d photos, %d captions, a gap of %.3f\n", out, r->photos, r->captions,
           (double)r->length);
    printf("cosine with the photo     5 %%   25 %%   50 %%   75 %%   95 %%\n");
    tell_percentiles("captions", r->plain);
    tell_percentiles("moved by the gap", r->moved);
}

/* Photos, then captions: each with its own speed. */
typedef struct stages {
    const cli *c;
    many_progress p;
    int done;
} stages;

static bool show(void *user, int done, int count, const char *failure)
{
    stages *s = user;
    if (!failure && done < s->done) s->p = many_progress_of(s->c, "captions");
    if (!failure) s->done = done;
    return many_show(&s->p, done, count, failure);
}

static fv_status run(gap *q)
{
    fv_gap_report report;
    FV_TRY(list(q));
    FV_TRY(fv_model_open(&q->model, q->c->options));
    stages at = {.c = q->c, .p = many_progress_of(q->c, "photos")};
    fv_status s = fv_gap_make(&report, q->model, &q->photos, &q->captions, q->of,
                              fv_options_get(q->c->options, "out"), show, &at);
    if (s == FV_CANCELLED) return fv_fail(FV_ERR_STOPPED, "interrupted");
    if (s >= 0) tell(q, &report);
    return s;
}

int command_gap(cli *c)
{
    gap q = {.c = c};
    int status = many_exit(run(&q));
    fv_list_clear(&q.photos);
    fv_list_clear(&q.captions);
    free(q.of);
    fv_model_close(q.model);
    return status;
}
