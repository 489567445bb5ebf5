/* --csv of a picture that grows: a row for each step.
 *
 *   picture,step,loss,cosine,neuron,gradient,moved,cells
 *   1,1,-0.031,0.031,,0.0012,,        empty: not measured of this picture */
#ifndef APP_STEPS_H
#define APP_STEPS_H

#include "app/cli/many.h"

typedef struct steps_log {
    many_file file;
    const char *path; /* NULL: nothing is noted */
    int pictures;     /* begun so far */
} steps_log;

/* path may be NULL. steps_close writes the file, also after the failure `s`, which it passes on. */
fv_status steps_open(steps_log *l, const char *path);
void steps_begin(steps_log *l);
bool steps_note(void *log, fv_session *s, const fv_progress *p); /* a grow_fn */
fv_status steps_close(steps_log *l, fv_status s);

/* What else is saved of a picture: --state, --save-codes. And that there are codes to save, before
 * the first step. */
fv_status steps_save_rest(fv_session *s, const fv_options *o);
fv_status steps_check_codes(fv_session *s, const fv_options *o);

#endif
