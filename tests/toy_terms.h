/* Sessions that climb a term on the toy BriVL (toy.h). */
#ifndef FV_TESTS_TOY_TERMS_H
#define FV_TESTS_TOY_TERMS_H

#include "feavis/imagine/session.h"
#include "tests/toy.h"

/* A term alone on the toy, from strong noise, with views that show the picture as it is. */
static inline fv_options *term_options(const char *term)
{
    fv_options *o = toy_options();
    static const char *const still[] = {"shift",     "rotate",       "noise",
                                        "noise-end", "colour-shift", "tv"};
    for (size_t i = 0; i < sizeof still / sizeof still[0]; i++) set(o, still[i], "0");
    set(o, "scale-min", "1");
    set(o, "views", "1");
    set(o, "text", "");
    set(o, "term", term);
    set(o, "start-noise", "0.5");
    return o;
}

typedef struct opened {
    fv_options *options;
    fv_model *model;
    fv_session *session;
} opened;

/* Takes the options over. */
static inline opened open_options(fv_options *o)
{
    opened x = {.options = o};
    MUST(fv_model_open(&x.model, o));
    MUST(fv_session_open(&x.session, x.model, o));
    return x;
}

static inline void close_term(opened *x)
{
    fv_session_close(x->session);
    fv_model_close(x->model);
    fv_options_free(x->options);
}

#endif
