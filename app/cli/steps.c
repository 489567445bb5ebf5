/* See steps.h. */
#include "app/cli/steps.h"

#include <math.h>
#include <stdlib.h>

#include "app/cli/places.h"
#include "feavis/codes.h"

fv_status steps_open(steps_log *l, const char *path)
{
    *l = (steps_log){.path = path};
    if (!path) return FV_OK;
    FV_TRY(place_check(path, ""));
    FV_TRY(many_open(&l->file));
    fputs("picture,step,loss,cosine,neuron,gradient,moved,cells\n", l->file.to);
    return FV_OK;
}

void steps_begin(steps_log *l)
{
    l->pictures++;
}

static void number(FILE *to, float x)
{
    fputc(',', to);
    if (!isnan(x)) fprintf(to, "%.9g", (double)x);
}

bool steps_note(void *log, fv_session *session, const fv_progress *p)
{
    const steps_log *l = log;
    (void)session;
    if (!l->path) return true;
    FILE *to = l->file.to;
    fprintf(to, "%d,%d", l->pictures, p->step);
    number(to, p->loss);
    number(to, p->cosine);
    number(to, p->neuron);
    number(to, p->gradient);
    if (p->moved >= 0)
        fprintf(to, ",%d,%d\n", p->moved, p->cells);
    else
        fputs(",,\n", to);
    return true;
}

fv_status steps_close(steps_log *l, fv_status s)
{
    char why[1024];
    if (!l->file.to) return s;
    snprintf(why, sizeof why, "%s", fv_error());
    fv_status written = many_save_as(&l->file, l->path);
    if (s < 0) return fv_fail(s, "%s", why);
    return written < 0 ? written : s;
}

/* --- beside the picture --- */

static fv_status save_codes(fv_session *s, const char *path)
{
    fv_codes codes;
    FV_TRY(fv_session_codes(s, true, &codes));
    fv_status status = fv_codes_write(&codes, path);
    fv_codes_free(&codes);
    return status;
}

fv_status steps_save_rest(fv_session *s, const fv_options *o)
{
    const char *state = fv_options_get(o, "state"), *codes = fv_options_get(o, "save-codes");
    if (*state) FV_TRY(fv_session_save(s, state));
    return *codes ? save_codes(s, codes) : FV_OK;
}

fv_status steps_check_codes(fv_session *s, const fv_options *o)
{
    fv_codes codes;
    if (!*fv_options_get(o, "save-codes")) return FV_OK;
    fv_status status = fv_session_codes(s, false, &codes);
    fv_codes_free(&codes);
    return status < 0 ? fv_fail_context(status, "--save-codes") : FV_OK;
}
